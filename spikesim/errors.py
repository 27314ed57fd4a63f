"""The exception tree: every refusal is one line that names owner, field, rule, value and remedy.

    SpikesimError
    ├── ParameterError    a number or choice outside its rule        (ValueError)
    ├── ShapeError        an array whose axes do not fit             (ValueError)
    ├── GraphError        a network whose nodes do not fit together  (ValueError)
    ├── ConversionError   an ANN that cannot become an SNN           (ValueError)
    ├── RangeError        outside what a device model was measured for (ValueError)
    ├── PresetError       a macro, price or experiment file          (ValueError)
    ├── DatasetError      recordings, images, readers                (ValueError)
    ├── JobError          work on other processes or machines        (RuntimeError)
    └── ArtefactError     files we write and read back               (OSError)

The grammar is `owner.field must be rule, got value; what to do`. The command line prints the message and
exits with the class's `exit_code`.
"""

from __future__ import annotations

from typing import Any


class SpikesimError(Exception):
    """Root of every refusal; `exit_code` is what the command line returns for it."""

    exit_code = 1


class ParameterError(SpikesimError, ValueError):
    """A number or choice outside its rule."""


class ShapeError(SpikesimError, ValueError):
    """An array whose axes do not fit."""


class GraphError(SpikesimError, ValueError):
    """A network whose nodes do not fit together."""


class ConversionError(SpikesimError, ValueError):
    """An ANN that cannot become a spiking network."""


class RangeError(SpikesimError, ValueError):
    """A request outside the range in which a device model was measured."""


class PresetError(SpikesimError, ValueError):
    """A macro, price or experiment file that says something it must not."""


class DatasetError(SpikesimError, ValueError):
    """Recordings or images that cannot be read as what they claim to be."""


class JobError(SpikesimError, RuntimeError):
    """Work that other processes or machines cannot do: a cluster that is away, a job on which workers die."""


class ArtefactError(SpikesimError, OSError):
    """A file or folder of ours that cannot be written or read back."""


def must(field: str, rule: str, got: Any, remedy: str = "") -> str:
    """The one sentence: `field must be rule, got value; remedy`.

    `field` is `owner.field`; long values are cut to 80 characters.
    """
    value = got if isinstance(got, str) else repr(got)
    value = value if len(value) <= 80 else value[:77] + "..."
    sentence = f"{field} must be {rule}, got {value}"
    return f"{sentence}; {remedy}" if remedy else sentence


def nearest(name: str, known: Any, count: int = 3) -> str:
    """A remedy that names the `count` known spellings closest to `name`, or all when none is close."""
    import difflib

    names = sorted(map(str, known))
    close = difflib.get_close_matches(str(name), names, n=count, cutoff=0.4)
    return f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(names)}"
