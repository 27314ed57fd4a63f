"""Colour images kept as JPEG files end to end in an .npz: (train|test)_jpeg uint8, _offsets, _y."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from spikesim.errors import DatasetError, must

from .base import TEST, TRAIN, ArrayDataset

FIELDS = frozenset(f"{part}_{field}" for part in ("train", "test") for field in ("jpeg", "offsets", "y"))


def read_jpegs(path: Path) -> ArrayDataset:
    """Images x (N, 3, H, W) float32 in 0..1, training images first; JPEG is lossy, so they are not the originals."""
    with np.load(path, allow_pickle=False) as file:
        streams = [(file[f"{part}_jpeg"], file[f"{part}_offsets"]) for part in ("train", "test")]
        labels = np.concatenate([file["train_y"], file["test_y"]]).astype(np.int64)
    split = np.repeat(np.array([TRAIN, TEST], np.uint8), [len(offsets) - 1 for _, offsets in streams])
    return ArrayDataset(_decoded(path, streams), labels, np.arange(len(labels)), path.stem, split)


def _decoded(path: Path, streams: list[tuple[np.ndarray, np.ndarray]]) -> torch.Tensor:
    """All pictures, written one by one into the array that is returned: the only copy of them as numbers."""
    from PIL import Image, UnidentifiedImageError

    pieces = [stream[a:b].tobytes() for stream, offsets in streams for a, b in pairwise(offsets)]
    x = torch.empty(0)
    for i, piece in enumerate(pieces):
        try:
            picture = torch.from_numpy(np.array(Image.open(io.BytesIO(piece)).convert("RGB"))).permute(2, 0, 1)
        except UnidentifiedImageError:
            raise DatasetError(must(str(path), "JPEG files end to end", "bytes that are no image")) from None
        if i == 0:
            x = torch.empty(len(pieces), *picture.shape)
        if picture.shape != x.shape[1:]:
            raise DatasetError(must(str(path), f"pictures of one size, {tuple(x.shape[1:])}", tuple(picture.shape)))
        x[i] = picture
    return x.div_(255)
