"""Recordings, images and audio with labels: readers, the embedded default, the event-camera emulator and the cochlea.

    from spikesim import datasets
    data = datasets.load("digits")          # embedded; or "nmnist", a folder, an .npz

Every public name is loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

if __name__ == "datasets":
    raise ImportError("import spikesim.datasets; the bare name `datasets` belongs to another package")

_HOMES = {
    "audio": ("Audio", "read_fsdd", "read_wav"),
    "base": ("ArrayDataset", "EventDataset"),
    "catalogue": ("available", "describe", "find", "load", "summary"),
    "cochlea": ("Cochlea", "listen"),
    "counts": ("Counts", "read_counts"),
    "digits": ("digits",),
    "emulator": ("EventCamera", "emulate"),
    "emulation": ("Size", "emulate_to"),
    "shards": ("Shards", "write_shards"),
    "held_out": ("images_of", "unseen"),
    "images": ("Images", "emulated", "load_images"),
    "binary_frames": ("as_recordings", "as_stream"),
    "nmnist": ("read_folder", "write_folder"),
    "still_events": ("Odg", "odg", "odg_frames", "reconstructed"),
    "rate_coding": ("RateCoded", "RateCoding", "rate_coded"),
    "recording_files": ("read_class_folder",),
    "videos": ("VideoEvents", "video_events"),
    "warping": ("Warp", "warped"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
