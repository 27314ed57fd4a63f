"""Folders of pictures, one folder a class: letters as Omniglot keeps them, and what is kept like it.

    <folder>/<class>/<picture>.png                      or in two parts, train/<class>/... and test/<class>/...
    label    the class's name where all are numbers, else its place among the names in order
    group    what follows the last "_" of a picture's name, where every name has one: Omniglot's who drew it

Pictures are read as grey, 0 = black, all of one size; ids are their places in the order of parts, classes and names, from 1.

Source: the layout of B. M. Lake, R. Salakhutdinov, J. B. Tenenbaum, "Human-level concept learning through probabilistic program
induction", Science 350, 2015, one alphabet of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spikesim.errors import DatasetError, must

from .base import TEST, TRAIN

if TYPE_CHECKING:
    from PIL import Image

    from .images import Images

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
PARTS = {"train": TRAIN, "test": TEST}


def is_folder(path: Path) -> bool:
    """Does `path` hold folders with pictures, or two parts that do."""
    return path.is_dir() and any(_classes(part) for part in (path, *(path / name for name in PARTS)))


def read_folder(path: Path) -> Images:
    """The pictures in a folder of classes. DatasetError, naming the file, for one that cannot be read or has another size."""
    from .images import Images

    path = Path(path)
    parts = {part: _classes(path / name) for name, part in PARTS.items()}
    divided = any(parts.values())
    parts = parts if divided else {TRAIN: _classes(path)}
    names = sorted({name for classes in parts.values() for name in classes})
    if not names:
        raise DatasetError(must(str(path), f"a folder with <class>/<picture> ({', '.join(SUFFIXES)})", "none of these"))
    label = {name: int(name) if all(n.isdecimal() for n in names) else i for i, name in enumerate(names)}
    files = [(file, label[name], part) for part, classes in parts.items() for name in classes for file in classes[name]]
    pixels: list[np.ndarray] = []
    for file, _, _ in files:
        pixels.append(_grey(file))
        if pixels[-1].shape != pixels[0].shape:
            (h, w), (rows, columns) = pixels[0].shape, pixels[-1].shape
            raise DatasetError(must(str(file), f"of {h}x{w} pixels, as {files[0][0].name}", f"{rows}x{columns}"))
    stems = [file.stem for file, _, _ in files]
    groups = np.array([stem.rpartition("_")[2] for stem in stems]) if all("_" in stem for stem in stems) else None
    split = np.array([part for _, _, part in files], np.uint8) if divided else None
    labels = np.array([number for _, number, _ in files], np.int64)
    return Images(np.stack(pixels), labels, 1 + np.arange(len(files)), path.name, split, groups)


def _classes(path: Path) -> dict[str, list[Path]]:
    """Name of a class -> its pictures, both in order."""
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir()) if path.is_dir() else []
    found = {folder.name: sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES) for folder in folders}
    return {name: files for name, files in found.items() if files}


def eight_bits(picture: Image.Image) -> Image.Image:
    """A picture of 16 bits in grey with 8; others as they are. (PIL's own conversion takes all above 255 for white.)"""
    from PIL import Image

    if not picture.mode.startswith("I"):
        return picture
    return Image.fromarray((np.asarray(picture, np.float64) / 257).round().clip(0, 255).astype(np.uint8))


def _grey(file: Path) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as picture:
            return np.array(eight_bits(picture).convert("L"))
    except (UnidentifiedImageError, OSError):
        raise DatasetError(must(str(file), "a picture that can be read", "something else")) from None
