"""Writing without leaving halves: temporary file first, then one rename."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ArtefactError, SpikesimError, must


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends well and removed when it does not.

    ArtefactError where the system refuses: a full disk, a folder that is gone.
    """
    folder(path.parent)
    temporary = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        temporary = Path(name)
        os.close(handle)
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except SpikesimError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        rule, remedy = "a file that can be written", "nothing of it was written; make room and run again"
        raise ArtefactError(must(str(path), rule, reason, remedy)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: Path, value: Any) -> None:
    """`value` as indented JSON at `path`, atomically; NaN and infinity are refused by the format."""
    with written(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_array(path: Path, array: Any) -> None:
    """A numpy array as .npy at `path`, atomically; arrays of objects are refused."""
    import numpy as np

    with written(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def read_json(path: Path) -> Any:
    """The value at `path`; ArtefactError when it is missing or no JSON."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise ArtefactError(must("file", "there", str(path), "check the path")) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtefactError(must(str(path), "JSON", str(error))) from None


def folder(path: Path, field: str = "out") -> Path:
    """Make `path` a folder we can write to, or raise ArtefactError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ArtefactError(
            must(field, "a folder that can be written", f"{path} ({reason})", "choose another")
        ) from None
    return path
