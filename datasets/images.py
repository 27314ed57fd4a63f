"""Images with labels: scikit-learn's digits (embedded), MNIST-style .npz files, and recordings emulated from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spikesim.core.params import number
from spikesim.core.seeds import Seeds
from spikesim.errors import DatasetError, must

from . import image_folders
from .base import TEST, TRAIN, ArrayDataset, EventDataset
from .nmnist import FIRST_TEST_ID

DIGITS_TEST = 360
"""Test images of the embedded digits; the other 1437 train."""


@dataclass(frozen=True, eq=False)
class Images:
    """Grey images with labels.

    pixels  (N, H, W) uint8, 0 = black        labels  (N,) int64
    ids     (N,) int64, identity of an image  split   (N,) uint8, 0 = train, 1 = test, or None
    groups  (N,) str, who drew it, or None
    """

    pixels: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    name: str
    split: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.dtype != np.uint8:
            got = f"{self.pixels.dtype.name} {self.pixels.shape}"
            raise DatasetError(must("Images.pixels", "uint8 of shape (N, H, W)", got, "grey images, 0 to 255"))
        if not len(self.pixels) == len(self.labels) == len(self.ids):
            got = f"{len(self.pixels)}, {len(self.labels)}, {len(self.ids)}"
            raise DatasetError(must("Images", "as many pixels as labels and ids", got))
        for name, kinds in (("split", "iub"), ("groups", "U")):
            rows = getattr(self, name)
            if rows is not None and (rows.shape != (len(self.labels),) or rows.dtype.kind not in kinds):
                got, rule = f"{rows.dtype.name} {rows.shape}", f"{'texts' if kinds == 'U' else 'numbers'}, one an image"
                raise DatasetError(must(f"Images.{name}", rule, got))

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, limit: int) -> Images:
        """The first `limit` images, all when 0."""
        number("limit", limit, at_least=0, integer=True)
        return self.subset(slice(limit or len(self)))

    def subset(self, rows: Any) -> Images:
        """The images of these rows (indices, a mask or a slice), in that order."""
        split, groups = (None if of is None else of[rows] for of in (self.split, self.groups))
        return Images(self.pixels[rows], self.labels[rows], self.ids[rows], self.name, split, groups)

    def excluding(self, ids: np.ndarray) -> Images:
        """The images whose identity is not among `ids`: of recordings that are held out, so that nothing of them leaks."""
        return self.subset(~np.isin(self.ids, ids))

    def inverted(self) -> Images:
        """Black for white: of ink on paper, which is brighter than what is drawn on it."""
        return replace(self, pixels=255 - self.pixels)

    def resized(self, side: int) -> Images:
        """The images on side by side pixels, each the mean of what lies under it: P' = A P B', rows of A and B sum to 1."""
        number("Images.resized.side", side, at_least=1, integer=True)
        a, b = (_shares(side, n) for n in self.pixels.shape[1:])
        return replace(self, pixels=np.rint(a @ self.pixels.astype(np.float64) @ b.T).astype(np.uint8))

    def arrays(self) -> ArrayDataset:
        """The images as network input: x (N, 1, H, W) float32 in 0..1."""
        x = torch.from_numpy(self.pixels[:, None].astype(np.float32) / np.float32(255))
        return ArrayDataset(x, self.labels, self.ids, self.name, self.split)


def _shares(to: int, size: int) -> np.ndarray:
    """(to, size): the share of each new pixel that lies over each old one, in one direction."""
    edges, old = np.arange(to + 1) * (size / to), np.arange(size)
    over = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    return np.clip(over, 0, None) * (to / size)


def digits_images() -> Images:
    """scikit-learn's 1797 handwritten digits as 28 by 28 images of smooth strokes, split 1437 / 360.

    8 by 8 counts of ink -> cubic interpolation to 20 by 20 -> contrast curve clip((v - 4) / 8) -> centred in 28 by
    28, the proportions of MNIST. The split is stratified with a fixed seed.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
    1998, as shipped with scikit-learn.
    """
    from scipy import ndimage
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    found = load_digits()
    labels = found.target.astype(np.int64)
    smooth = ndimage.zoom(found.images, (1, 20 / 8, 20 / 8), order=3, grid_mode=True, mode="nearest")
    ink = np.clip((smooth - 4.0) / 8.0, 0.0, 1.0)
    pixels = np.zeros((len(ink), 28, 28), np.uint8)
    pixels[:, 4:24, 4:24] = np.rint(255 * ink)
    rows = np.arange(len(ink))
    split = np.full(len(rows), TRAIN, np.uint8)
    split[train_test_split(rows, test_size=DIGITS_TEST, stratify=labels, random_state=0)[1]] = TEST
    return Images(pixels, labels, rows, "digits", split)


def read_images(path: Path) -> Images:
    """Images of an .npz file with x, y (and split, groups), or train_x, train_y, test_x, test_y (and test_index, their true
    numbers).

    ids count from 1 and test images from 60001 on (after the training images where those are more), as the recordings of
    N-MNIST are numbered (`nmnist.py`).
    Raises DatasetError on anything but uint8 grey images.
    """
    path = Path(path)
    with np.load(path, allow_pickle=False) as file:
        if "x" in file and "y" in file:
            ids, groups = 1 + np.arange(len(file["y"])), file.get("groups")
            return Images(file["x"], file["y"].astype(np.int64), ids, path.stem, file.get("split"), groups)
        if not {"train_x", "train_y", "test_x", "test_y"} <= set(file):
            rule = "images x, y or train_x, train_y, test_x, test_y"
            raise DatasetError(must(str(path), rule, ", ".join(file) or "nothing"))
        train, test = file["train_x"], file["test_x"]
        labels = np.concatenate([file["train_y"], file["test_y"]]).astype(np.int64)
        test_ids = file["test_index"].astype(np.int64) if "test_index" in file else np.arange(len(test))
    first_test = max(FIRST_TEST_ID, len(train))
    ids = 1 + np.concatenate([np.arange(len(train)), first_test + test_ids])
    split = np.repeat(np.array([TRAIN, TEST], np.uint8), [len(train), len(test)])
    return Images(np.concatenate([train, test]), labels, ids, path.stem, split)


def load_images(name: str, *, root: Path | None = None) -> Images:
    """The images called `name` ("digits", "mnist", ...), or of the .npz file or the folder of classes at that path."""
    from .catalogue import find

    if name == "digits":
        return digits_images()
    found = find(name, root=root)
    if found is not None and image_folders.is_folder(found):
        return image_folders.read_folder(found)
    if found is None or found.suffix != ".npz":
        raise DatasetError(must("images", '"digits", "mnist", an .npz of images or a folder of classes of them', name))
    return read_images(found)


def emulated(name: str, seeds: Seeds, *, limit: int = 0, root: Path | None = None) -> EventDataset:
    """Recordings of the images `name` (see `load_images`) by the default event camera; `limit` > 0 takes the first."""
    from .emulator import EventCamera, emulate

    return emulate(load_images(name, root=root).first(limit), EventCamera(), seeds)
