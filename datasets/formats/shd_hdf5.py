"""The Heidelberg spiking digits as an HDF5 file: spoken digits, English and German, heard by a model of an inner ear.

    spikes/times    list of each recording's times in seconds        spikes/units     list of its channels, 0 to 699
    labels          0 to 9 English, 10 to 19 German                  extra/speaker    number of who spoke; may be missing

The published files keep times in half precision, so they are exact to about half a millisecond at one second. A file is
either of training (shd_train.h5) or of test (shd_test.h5), whose name alone says so: the data set has no split of its own.

Source: B. Cramer, Y. Stradmann, J. Schemmel, F. Zenke, "The Heidelberg spiking data sets for the systematic evaluation of spiking
neural networks", IEEE Transactions on Neural Networks and Learning Systems 33, 2022.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from spikesim.errors import DatasetError, must

from ..base import EventDataset
from ._hdf5 import opened, stream

CHANNELS = 700
FIELDS = ("spikes/times", "spikes/units", "labels")


def fits(file: Any) -> bool:
    """Has an open file the arrays of this layout."""
    return all(field in file for field in FIELDS)


def read(path: Path) -> EventDataset:
    """The recordings in the file at `path`; sensor (1, 700), x the channel.

    Raises DatasetError, naming file and recording, for another layout, arrays of different lengths, and events that are none.
    """
    path = Path(path)
    with opened(path) as file:
        if not fits(file):
            got = ", ".join(sorted(file)) or "an empty file"
            raise DatasetError(must(str(path), f"SHD, with {', '.join(FIELDS)}", got))
        times, units, labels = (file[field][()] for field in FIELDS)
        speaker = file["extra/speaker"][()] if "extra/speaker" in file else None
    sizes = [len(array) for array in (times, units, labels, *([] if speaker is None else [speaker]))]
    if len(set(sizes)) > 1 or not sizes[0]:
        rule = "of as many times, units, labels and speakers, at least one"
        raise DatasetError(must(str(path), rule, ", ".join(map(str, sizes))))
    streams = [stream(f"{path} recording {i}", units[i], times[i], CHANNELS) for i in range(sizes[0])]
    groups = None if speaker is None else np.array([str(who) for who in speaker.tolist()])
    return EventDataset.joined(streams, labels, name=path.stem, groups=groups, polarity=1)
