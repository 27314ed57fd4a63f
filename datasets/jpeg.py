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
        parts = [_decoded(path, file[f"{part}_jpeg"], file[f"{part}_offsets"]) for part in ("train", "test")]
        labels = np.concatenate([file["train_y"], file["test_y"]]).astype(np.int64)
    split = np.repeat(np.array([TRAIN, TEST], np.uint8), [len(part) for part in parts])
    x = torch.from_numpy(np.concatenate(parts)).permute(0, 3, 1, 2).contiguous().float().div_(255)
    return ArrayDataset(x, labels, np.arange(len(labels)), path.stem, split)


def _decoded(path: Path, stream: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        pictures = [
            np.asarray(Image.open(io.BytesIO(stream[a:b].tobytes())).convert("RGB")) for a, b in pairwise(offsets)
        ]
    except UnidentifiedImageError:
        raise DatasetError(must(str(path), "JPEG files end to end", "bytes that are no image")) from None
    return np.stack(pictures)
