"""N-TIDIGITS as one HDF5 file: spoken digits heard by a silicon cochlea of 64 channels.

    train_labels, test_labels            names of utterances
    train_timestamps, test_timestamps    groups: name -> times in seconds
    train_addresses, test_addresses      groups: name -> channels of the same events

What public readers of the file agree on: these arrays; times in seconds; addresses from 0 to 63 in the published file; the digits
are what follows the last "-" of a name, one sign each, "z" (zero) and "o" (oh) beside 1 to 9. One sign: a single digit.
They differ in what "z" and "o" count as; here z = 0 and o = 10, so that label d is the digit d wherever it is below 10.
Not sure: the speaker. TIDIGITS has folders man/ad and the like, names are taken to begin so, and the group of a recording is
the first two parts of a name of at least three, else what stands before the digits. Addresses of two ears, 0 to 127, make 128
channels, as they stand.

Source: J. Anumula, D. Neil, T. Delbruck, S.-C. Liu, "Feature representations for neuromorphic audio spike streams", Frontiers in
Neuroscience 12:23, 2018.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from spikesim.core.events import EventStream
from spikesim.errors import DatasetError, must

from ..base import TEST, TRAIN, EventDataset
from ._hdf5 import opened, stream

CHANNELS, EARS = 64, 2
LABELS = {"z": 0, **{str(digit): digit for digit in range(1, 10)}, "o": 10}
PARTS = {"train": TRAIN, "test": TEST}
FIELDS = {f"{part}_{array}" for part in PARTS for array in ("labels", "timestamps", "addresses")}


def fits(file: Any) -> bool:
    """Has an open file the arrays of this layout."""
    return set(file) >= FIELDS


def read(path: Path, *, single: bool = True) -> EventDataset:
    """The recordings in the file at `path`, training before test, each in the order of its list of names.

    single   only those of one digit; False: all, and a recording of several digits has label -1
    Sample ids count all names of the file, whichever are read. Raises DatasetError, naming file and utterance, for another
    layout, digits that are none, and events that are.
    """
    path = Path(path)
    found = []
    with opened(path) as file:
        if not fits(file):
            got = ", ".join(sorted(file)) or "an empty file"
            raise DatasetError(must(str(path), "N-TIDIGITS, with train_labels, train_timestamps and so on", got))
        names = [(part, _text(name)) for part in PARTS for name in file[f"{part}_labels"][()]]
        for identity, (part, name) in enumerate(names):
            label = _label(path, name)
            if label >= 0 or not single:
                found.append((_recording(path, file, part, name), label, identity, PARTS[part], _group(name)))
    if not found:
        raise DatasetError(must(str(path), "of at least one recording of a single digit", f"{len(names)} of others"))
    streams, labels, ids, split, groups = zip(*found)
    return EventDataset.joined(
        _of_one_sensor(streams), list(labels), sample_ids=list(ids), name="ntidigits", split=list(split),
        groups=np.array(groups, str), polarity=1,
    )  # fmt: skip


def _text(name: Any) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)


def _label(path: Path, name: str) -> int:
    """The digit of a name, -1 for several."""
    digits = name.rsplit("-", 1)[-1]
    if not digits or set(digits) - set(LABELS):
        rule = 'ending in its digits (1 to 9, z, o) behind the last "-"'
        raise DatasetError(must(f"{path} utterance {name!r}", rule, repr(digits)))
    return LABELS[digits] if len(digits) == 1 else -1


def _group(name: str) -> str:
    parts = name.split("-")
    return "-".join(parts[:2] if len(parts) > 2 else parts[:-1])


def _recording(path: Path, file: Any, part: str, name: str) -> EventStream:
    where = f"{path} utterance {name!r}"
    if name not in file[f"{part}_addresses"] or name not in file[f"{part}_timestamps"]:
        raise DatasetError(must(where, f"in {part}_addresses and {part}_timestamps", "missing"))
    channels, seconds = (file[f"{part}_{array}"][name][()] for array in ("addresses", "timestamps"))
    return stream(where, channels, seconds, EARS * CHANNELS)


def _of_one_sensor(streams: Any) -> list[EventStream]:
    """The same on 64 channels where no address is of a second ear."""
    if max(int(s.x.max(initial=0)) for s in streams) >= CHANNELS:
        return list(streams)
    return [EventStream(s.t, s.x, s.y, s.p, (1, CHANNELS)) for s in streams]
