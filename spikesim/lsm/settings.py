"""A zero-shot study as a TOML file.

[zeroshot]
a, b = "image", "audio"      # the modalities' names, each a table below
unseen = [8, 9]              # the published split; all pairs are looked at beside it
[image]
data = "mnist"               # images, which are emulated, or recordings by name or path: for training
test = "nmnist"              # recordings that are judged; left out: the test part of `data`
per_class = 224
frames = { steps = 50, side = 16, polarity = 1 }
reservoir = { like = "image", weights = "formed", voltage = 3.433 }
[audio]
data = "fsdd"
warp = { copies = 2, channels = 3, tempo = 0.1 }   # `Warp`: copies of training recordings; left out: none
cochlea = { half = 0.01, top_hz = 300, tau_us = 20000, bandwidth = 1.5 }    # `Cochlea`, here its `wide`; left out: the default
[match]                      # `Contrastive`
[match.training]             # `Training`
[chips]                      # left out: no chips
macro = "taox40-projected"
count = 20

Instead of recordings, `data` may be a file of counts, and images may be rate coded:

[brain]
data = "handwriting.npz"     # counts (trials, steps, channels) and labels, or a .mat: `datasets/counts.py`
[letters]
data = "letters"             # images: .npz with x, y, or folders <class>/<picture>.png
rate = { gain = 0.4, size = 28, inverted = true }   # `RateCoding`; left out: emulated
test_share = 0.2             # of each class is judged, where neither the data nor `test` says which
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..core.params import check
from ..datasets.cochlea import Cochlea
from ..datasets.rate_coding import RateCoding
from ..datasets.warping import Warp
from ..errors import ParameterError, must, nearest
from ..training.settings import Training
from ..training.tables import known_keys, must_be_tables, read_tables
from .contrastive import Contrastive
from .extraction import Frames
from .reservoir import PUBLISHED, Reservoir
from .weights import Formed, Gaussian, Weights

WEIGHTS = ("gaussian", "formed")
WAYS = ("contrastive", "canonical", "procrustes", "attributes")
OWN = ("like", "weights", "voltage")
"""What a table `reservoir` has beside the fields of `Reservoir`."""
NUMBER = (int, float)
KIND_NAMES: dict[Any, str] = {int: "whole numbers", NUMBER: "numbers", str: "names", list: "lists of numbers"}
LISTS: dict[str, Any] = {"unseen": int, "seen": int, "ways": str, "shots": int, "attributes": list}
CHIP_LISTS: dict[str, Any] = {"read_noise": NUMBER, "adc_bits": int, "ages": NUMBER, "voltages": NUMBER}
"""Keys that hold lists, and of what."""
DRAWN = {"inputs", "input_weights", "loop_weights"}
"""Fields of `Reservoir` that the data and `weights` decide."""


@dataclass(frozen=True)
class Modality:
    """A modality's table.

    name            of the table                  data, test      where recordings come from
    per_class       training samples of each class, 0: all     test_per_class   the same of judged ones
    validation      share of training samples that is held back, where the data does not say which
    test_share      share of each class that is judged, where the data does not say which and there is no `test`; 0: refused
    rate            images are rate coded so; None: emulated      warp    copies of training recordings; None: none
    cochlea         that hears audio; None: the default
    frames          how they are shown            windows, membrane   see `features`
    reservoir       by inputs, once they are known
    """

    name: str
    data: str
    test: str = ""
    per_class: int = 0
    test_per_class: int = 0
    validation: float = 0.2
    test_share: float = 0.0
    rate: RateCoding | None = None
    warp: Warp | None = None
    cochlea: Cochlea | None = None
    frames: Frames = Frames()
    windows: int = 1
    membrane: bool = False
    reservoir: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("per_class", "test_per_class"):
            check(self, name, at_least=0, integer=True)
        check(self, "validation", above=0, below=1)
        check(self, "test_share", at_least=0, below=1)
        if self.test and self.test_share:
            raise ParameterError(must(f"[{self.name}] test_share", "left out beside test", self.test_share))
        if self.test and self.test == self.data:
            raise ParameterError(must(f"[{self.name}] test", "another data set than data", self.test))
        if self.rate and self.warp:
            raise ParameterError(must(f"[{self.name}] warp", "left out beside rate: of recordings only", self.warp))
        check(self, "windows", at_least=1, at_most=self.frames.steps, integer=True)
        self.built(1)

    def built(self, inputs: int) -> Reservoir:
        """The reservoir for so many inputs."""
        given = dict(self.reservoir)
        like, kind, voltage = given.pop("like", ""), given.pop("weights", "gaussian"), given.pop("voltage", None)
        where = f"[{self.name}] reservoir"
        known_keys("the file", f"{self.name}.reservoir", given, {f.name for f in fields(Reservoir)} - DRAWN | set(OWN))
        if kind not in WEIGHTS:
            raise ParameterError(must(f"{where}.weights", f"one of {', '.join(WEIGHTS)}", kind, nearest(kind, WEIGHTS)))
        if like and like not in PUBLISHED:
            rule = f"one of {', '.join(PUBLISHED)}"
            raise ParameterError(must(f"{where}.like", rule, like, nearest(like, PUBLISHED)))
        if voltage is not None and kind != "formed":
            raise ParameterError(must(f"{where}.voltage", 'left out unless weights = "formed"', voltage))
        drawn: Weights = Gaussian() if kind == "gaussian" else Formed(*([] if voltage is None else [voltage]))
        made = Reservoir.published(like) if like else Reservoir(inputs)
        return replace(made, inputs=inputs, input_weights=drawn, loop_weights=drawn, **given)


@dataclass(frozen=True)
class Chips:
    """The `[chips]` table: macro, how many, forming voltages, read noise, converter bits and ages (s) to look at beside."""

    macro: str = "taox40-projected"
    count: int = 20
    read_noise: tuple[float, ...] = ()
    adc_bits: tuple[int, ...] = ()
    ages: tuple[float, ...] = ()
    voltages: tuple[float, ...] = ()
    varied: int = 3

    def __post_init__(self) -> None:
        check(self, "count", at_least=1, integer=True)
        check(self, "varied", at_least=1, integer=True)
        for name in ("read_noise", "adc_bits", "ages", "voltages"):
            object.__setattr__(self, name, tuple(getattr(self, name)))


@dataclass(frozen=True)
class ZeroShot:
    """The `[zeroshot]` table, and the others.

    unseen      the split that is looked at by itself      seen     classes trained on in it; empty: all others
    runs        seeds of it
    ways        for all pairs; the best on validation pairs is judged on the rest
    null        permutations of names, 0: none             shots    labelled samples a class
    groups      also: modality b with each of its groups (speakers) held out
    encoders    also: trained spiking encoders, for so many epochs (0: not)
    """

    a: Modality
    b: Modality
    match: Contrastive = Contrastive()
    chips: Chips | None = None
    unseen: tuple[int, ...] = (8, 9)
    seen: tuple[int, ...] = ()
    runs: int = 10
    ways: tuple[str, ...] = ("contrastive", "canonical", "procrustes")
    null: int = 100
    shots: tuple[int, ...] = (1, 5, 20)
    groups: bool = True
    encoders: int = 0
    attributes: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        for name in ("unseen", "seen", "ways", "shots"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "attributes", tuple(tuple(row) for row in self.attributes))
        kinds = all(isinstance(n, NUMBER) for row in self.attributes for n in row)
        if len({len(row) for row in self.attributes}) > 1 or not kinds:
            rule, got = "rows of numbers, all of one length", f"lengths {[len(row) for row in self.attributes]}"
            raise ParameterError(must("zeroshot.attributes", rule, got))
        check(self, "runs", at_least=1, integer=True)
        for name in ("null", "encoders"):
            check(self, name, at_least=0, integer=True)
        if len(set(self.unseen)) < 2:
            raise ParameterError(must("zeroshot.unseen", "at least two classes", list(self.unseen)))
        if set(self.unseen) & set(self.seen):
            raise ParameterError(must("zeroshot.seen", f"without {list(self.unseen)}, the unseen", list(self.seen)))
        for way in self.ways:
            if way not in WAYS:
                raise ParameterError(must("zeroshot.ways", f"of {', '.join(WAYS)}", way, nearest(way, WAYS)))
        if "attributes" in self.ways and not self.attributes:
            rule = 'a row of numbers for every class, with the way "attributes"'
            raise ParameterError(must("zeroshot.attributes", rule, "nothing"))


def read_zero_shot(path: Path) -> ZeroShot:
    """The study that a TOML file describes; unknown or missing keys are refused."""
    tables = read_tables(path)
    head = _table(f"{path} [zeroshot]", tables.get("zeroshot", {}))
    names = [head.pop(side, None) for side in ("a", "b")]
    if None in names or len(set(names)) < 2:
        raise ParameterError(must(f"{path} [zeroshot] a, b", "the names of two modalities", names))
    must_be_tables(path, tables, ("zeroshot", *names, "match", "chips"))
    known_keys(path, "zeroshot", head, {f.name for f in fields(ZeroShot)} - {"a", "b", "match", "chips"})
    _must_be_lists(f"{path} [zeroshot]", head, LISTS)
    found: dict[str, Any] = {side: _modality(path, name, tables) for side, name in zip("ab", names)}
    found["match"] = _match(path, _table(f"{path} [match]", tables.get("match", {})))
    if "chips" in tables:
        chips = _table(f"{path} [chips]", tables["chips"])
        _must_be_lists(f"{path} [chips]", chips, CHIP_LISTS)
        found["chips"] = Chips(**known_keys(path, "chips", tables["chips"], {f.name for f in fields(Chips)}))
    return ZeroShot(**found, **head)


def _table(where: str, value: Any) -> dict[str, Any]:
    """A table of the file as a dict of our own."""
    if not isinstance(value, dict):
        raise ParameterError(must(where, "a table", value))
    return dict(value)


def _must_be_lists(where: str, table: dict[str, Any], kinds: dict[str, Any]) -> None:
    """Refuse keys that are no list of things of their kind."""
    for key, kind in kinds.items():
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
            raise ParameterError(must(f"{where} {key}", f"a list of {KIND_NAMES[kind]}", value))


def _modality(path: Path, name: str, tables: dict[str, Any]) -> Modality:
    if not isinstance(tables.get(name), dict) or "data" not in tables[name]:
        raise ParameterError(must(f"{path} [{name}] data", "a data set", tables.get(name, "no such table")))
    found = known_keys(path, name, dict(tables[name]), {f.name for f in fields(Modality)} - {"name"})
    frames = known_keys(
        path,
        f"{name}.frames",
        _table(f"{path} [{name}.frames]", found.pop("frames", {})),
        {f.name for f in fields(Frames)},
    )
    made: dict[str, Any] = {"rate": RateCoding, "warp": Warp, "cochlea": Cochlea}
    for key in made.keys() & found.keys():
        table = _table(f"{path} [{name}.{key}]", found[key])
        found[key] = made[key](**known_keys(path, f"{name}.{key}", table, {f.name for f in fields(made[key])}))
    found["reservoir"] = _table(f"{path} [{name}.reservoir]", found.get("reservoir", {}))
    return Modality(name, frames=Frames(**frames), **found)


def _match(path: Path, found: dict[str, Any]) -> Contrastive:
    learning = _table(f"{path} [match.training]", found.pop("training", {}))
    known_keys(path, "match", found, {f.name for f in fields(Contrastive)} - {"training"})
    known_keys(path, "match.training", learning, {f.name for f in fields(Training)})
    return Contrastive(**found, training=replace(Contrastive().training, **learning))
