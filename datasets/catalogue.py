"""Data by name or path: where it is looked for, and what a path holds.

order for names   the given root, $SPIKESIM_DATA, the cache folder ($XDG_CACHE_HOME or ~/.cache, spikesim),
                  then what is embedded ("digits")
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spikesim.core.seeds import Seeds
from spikesim.errors import DatasetError, must, nearest

from . import es_imagenet, image_folders, jpeg, nmnist, recording_files, shards
from .audio import RATE, Audio, is_audio, is_wav, read_fsdd, read_wav
from .base import TEST, TRAIN, ArrayDataset, EventDataset
from .formats._hdf5 import is_hdf5
from .images import read_images

if TYPE_CHECKING:
    from .cochlea import Cochlea

EMBEDDED = ("digits",)
PLACES = {
    "nmnist": ("nmnist", "N-MNIST", "NMNIST", nmnist.SMALL_FILE),
    "mnist": ("mnist.npz",),
    "fashion_mnist": ("fashion_mnist.npz",),
    "cifar10_jpeg": ("cifar10_jpeg.npz",),
    "fsdd": ("fsdd.npz",),
}
"""Names that can be loaded from files, and the files or folders each goes by."""
RAGGED = {"t", "x", "y", "p", "offsets", "labels"}


def roots(root: Path | None = None) -> list[Path]:
    """The folders that are searched, in order."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spikesim"
    given = [Path(root)] if root is not None else []
    environment = [Path(os.environ["SPIKESIM_DATA"])] if os.environ.get("SPIKESIM_DATA") else []
    return [*given, *environment, cache]


def find(name: str | Path, *, root: Path | None = None) -> Path | None:
    """The file or folder of a data set, None when it is embedded.

    `name` is a path that exists, or a name. Raises DatasetError with the nearest names for an unknown one, and with
    the folders searched for a known one that is nowhere.
    """
    path = Path(name)
    if str(name) in PLACES:
        for folder in roots(root):
            for place in PLACES[str(name)]:
                if _fits(folder / place):
                    return folder / place
        if not path.exists():
            searched = ", ".join(map(str, roots(root)))
            raise DatasetError(
                must(f'data "{name}"', "in a data folder", f"nothing in {searched}", "set SPIKESIM_DATA")
            )
    if str(name) in EMBEDDED:
        return None
    if path.exists():
        return path
    raise DatasetError(must("data", "a data set name, folder or file", str(name), nearest(str(name), known())))


def _fits(place: Path) -> bool:
    return place.is_file() or nmnist.is_folder(place)


def known() -> list[str]:
    """The names that `load` takes."""
    return sorted([*EMBEDDED, *PLACES])


def available(root: Path | None = None) -> dict[str, str]:
    """{name: where it is}: "embedded", a path, or "not found"."""
    where = {}
    for name in known():
        try:
            where[name] = str(find(name, root=root) or "embedded")
        except DatasetError:
            where[name] = "not found"
    return where


def load(
    data: str | Path = "digits", *, root: Path | None = None, cochlea: Cochlea | None = None
) -> EventDataset | ArrayDataset:
    """The data set called `data`, or at that path: an N-MNIST folder, a folder with nmnist_small.npz, an ES-ImageNet
    folder, a folder of classes of recordings (CIFAR10-DVS) or of pictures, a folder of parts (`Shards` reads it bit by bit), an
    .npz, a WAV file, or an HDF5 file of N-TIDIGITS or SHD.

    An .npz holds ragged events (t, x, y, p, offsets, labels) -> EventDataset, images or other arrays (x, y) or
    (train_x, train_y, test_x, test_y) -> ArrayDataset; uint8 images become (N, 1, H, W) in 0..1.
    Audio (samples, offsets ... of spoken digits, or a WAV file, brought to 8 kHz where above) -> EventDataset, as the cochlea
    hears it with seeds 0; heard anew at each call, 2,500 spoken digits in some seconds. `cochlea`: another than the default one.
    Raises DatasetError, in one line, on anything else, and for a cochlea beside data that are not audio.
    """
    found = _found(data, root)
    if isinstance(found, Audio):
        return _heard(found, cochlea)
    if cochlea is not None:
        raise DatasetError(must("load.cochlea", "left out unless data are audio", f"{data}"))
    return found


def _found(data: str | Path, root: Path | None) -> EventDataset | ArrayDataset | Audio:
    found = find(data, root=root)
    if found is None:
        from .digits import digits

        return digits()
    if found.is_dir():
        if image_folders.is_folder(found):
            return image_folders.read_folder(found).arrays()
        if nmnist.is_folder(found):
            return nmnist.read_folder(found)
        if (found / nmnist.SMALL_FILE).is_file():
            return nmnist.read_npz(found / nmnist.SMALL_FILE)
        if shards.is_folder(found):
            return shards.Shards.open(found).load()
        if es_imagenet.is_folder(found):
            return es_imagenet.read_folder(found)
        if recording_files.is_class_folder(found):
            return recording_files.read_class_folder(found)
        kinds = "Train/<digit>/<id>.bin, <class>/<recording>.aedat or .mat, <class>/<image>.png"
        rule = f"a folder with {kinds}, or {nmnist.SMALL_FILE}"
        raise DatasetError(must(f'data "{found}"', rule, "neither", nearest(str(data), known())))
    return _read_file(found)


def _read_file(path: Path) -> EventDataset | ArrayDataset | Audio:
    """A file that holds a data set; HDF5 and WAV are known by their first bytes."""
    if is_hdf5(path):
        return recording_files.read_hdf5(path)
    if path.suffix.lower() == ".wav" or is_wav(path):
        return read_wav(path)
    if path.suffix != ".npz":
        rule = "a folder, an .npz, a WAV or an HDF5 file"
        raise DatasetError(must(f'data "{path}"', rule, f"a {path.suffix or 'bare'} file"))
    return _read_npz(path)


def _heard(audio: Audio, cochlea: Cochlea | None) -> EventDataset:
    """What the cochlea makes of audio, of 8 kHz at most."""
    from .cochlea import Cochlea, listen

    return listen(audio.at(min(RATE, audio.rate)), cochlea or Cochlea(), Seeds(0))


def _read_npz(path: Path) -> EventDataset | ArrayDataset | Audio:
    try:
        with np.load(path, allow_pickle=False) as file:
            names = set(file)
            x = file["x"] if {"x", "y"} <= names and not names >= RAGGED else None
            y = file["y"] if x is not None else None
            split = file["split"] if x is not None and "split" in file else None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        raise DatasetError(must(str(path), "an .npz of plain arrays", "something else", "save with np.savez")) from None
    if names >= RAGGED:
        return nmnist.read_npz(path)
    if is_audio(names):
        return read_fsdd(path)
    if names >= jpeg.FIELDS:
        return jpeg.read_jpegs(path)
    if x is None or y is None or (x.dtype == np.uint8 and x.ndim == 3):
        return read_images(path).arrays()
    return _arrays(path, x, y, split)


def _arrays(path: Path, x: np.ndarray, y: np.ndarray, split: np.ndarray | None) -> ArrayDataset:
    if x.dtype.kind not in "fiub" or x.ndim < 2 or y.shape != (len(x),) or y.dtype.kind not in "iu":
        got = f"x {x.dtype.name} {x.shape}, y {y.dtype.name} {y.shape}"
        raise DatasetError(must(str(path), "x (N, *shape) of numbers and y (N,) of whole numbers", got))
    if split is not None and (split.shape != y.shape or not np.isin(split, (TRAIN, TEST)).all()):
        raise DatasetError(
            must(f"{path} split", f"(N,) of {TRAIN} (training) and {TEST} (test)", f"{split.dtype} {split.shape}")
        )
    parts = None if split is None else split.astype(np.uint8)
    return ArrayDataset(torch.from_numpy(x.astype(np.float32)), y.astype(np.int64), None, path.stem, parts)  # type: ignore[arg-type]


def summary(data: str | Path = "digits", *, root: Path | None = None) -> dict[str, Any]:
    """`load(data).summary()`, without all of a folder of parts in memory."""
    found = find(data, root=root)
    if found is not None and shards.is_folder(found):
        return shards.Shards.open(found).summary()
    return load(data, root=root).summary()


def describe(path: str | Path) -> dict[str, Any]:
    """What a recording file, a data folder or an .npz holds, for people."""
    path = Path(path)
    reader = recording_files.by_suffix().get(path.suffix)
    if reader is not None and not path.is_dir():
        stream = reader.read(path)
        return {
            "kind": "recording",
            "sensor": list(stream.sensor),
            "events": len(stream),
            "duration_ms": stream.duration / 1000,
            "on_share": float(stream.p.mean()),
        }
    return summary(path)
