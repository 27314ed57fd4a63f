"""Real recordings and the images they show: which belong together, and how nothing of a test fold is trained on.

N-MNIST's recording k of a split shows MNIST image k - 1 of that split. `nmnist.py` and `images.read_images` give both one
number (test ones after 60000; `test_index` of an .npz says which test image stands where), and what is emulated from an
image keeps it. So images and recordings are matched by number, and the match is checked by their labels.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from spikesim.errors import DatasetError, must

from .base import EventDataset
from .images import Images
from .shards import Shards

Made = TypeVar("Made", Images, EventDataset, Shards)


def images_of(recordings: EventDataset, images: Images) -> Images:
    """The images that recordings show, in their order. DatasetError where one shows none of them, or another digit."""
    row = {number: i for i, number in enumerate(images.ids.tolist())}
    missing = [number for number in recordings.sample_ids.tolist() if number not in row]
    if missing:
        got = f"{missing[0]}, which shows none of them"
        raise DatasetError(must("images_of.recordings.sample_ids", f"of the {len(images)} images", got))
    shown = images.subset(np.array([row[number] for number in recordings.sample_ids.tolist()], np.int64))
    _check_digits(shown.ids, shown.labels, recordings.labels)
    return shown


def unseen(made: Made, held: EventDataset) -> Made:
    """Images, or recordings emulated from them, without those that the real recordings `held` show: nothing of a test
    fold leaks into what is trained on.

    made   Images, EventDataset or Shards, numbered as `load_images("mnist")` numbers images; held ones may be missing
    Raises DatasetError where an image and the recording of its number are different digits: one of the two is not
    numbered as N-MNIST is, and the wrong ones would be left out.
    """
    ids = made.ids if isinstance(made, Images) else made.sample_ids
    common, rows, held_rows = np.intersect1d(ids, held.sample_ids, return_indices=True)
    _check_digits(common, made.labels[rows], held.labels[held_rows])
    return made.excluding(held.sample_ids)


def _check_digits(ids: np.ndarray, images: np.ndarray, recordings: np.ndarray) -> None:
    differ = np.flatnonzero(images != recordings)
    if len(differ):
        i = differ[0]
        got = f"image {ids[i]}, a {images[i]}, and recording {ids[i]}, a {recordings[i]}"
        raise DatasetError(must("sample_ids", "N-MNIST's numbers, so that both are one digit", got))
