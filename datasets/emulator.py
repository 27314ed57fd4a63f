"""The event-camera emulator: images become recordings like those of N-MNIST.

The image, shown dark on bright, moves along the saccade path s(t) before a sensor of H by W pixels. Pixel u sees the
luminance l(u, t) = 1 - image(u - s(t)), 0..1, interpolated bilinearly, and answers to its logarithm:

    L(u, t) = log(dark + l(u, t))
    event when  L - ref >= on (1 + mismatch a_u) (1 + noise n)       ON, p = 1
           or   ref - L >= off (1 + mismatch b_u) (1 + noise n)      OFF, p = 0
    then for a time  refractory (1 + refractory_spread m)  the pixel is held, and  ref <- L  at the end of it

a_u, b_u are standard normal, drawn once per pixel (fixed pattern of the camera); n, m standard normal, drawn per
event. Leak events, always ON, are added at a Poisson rate per pixel. Between steps of the path L is
taken as linear in time, so that event times are finer than the step: whole microseconds.

Draws are Philox words of counter (pixel, event of that pixel, sample id) under a key of the seeds: a recording does
not depend on what else is emulated, in which order or batch.

Sources: event generation model: G. Gallego et al., "Event-based vision: a survey", IEEE TPAMI 44(1), 2022, section
2.4; threshold mismatch, refractory time and leak events: Y. Hu, S.-C. Liu, T. Delbruck, "v2e: from video
frames to realistic DVS events", CVPR Workshops, 2021; saccades: G. Orchard et al., Frontiers in Neuroscience 9:437,
2015. Constants: see `EventCamera`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spikesim.core import philox
from spikesim.core.events import Columns
from spikesim.core.params import check
from spikesim.core.seeds import Seeds
from spikesim.errors import DatasetError, must

from ._pixels import LEVELS, SIDE_BITS, SMALLEST, Identity, Pixels, Scene, recording_kernel
from .base import EventDataset
from .saccades import SaccadePath

if TYPE_CHECKING:
    from .images import Images

CHUNK = 256
"""Images prepared at a time."""
FIRST_BUFFER = 1 << 14
"""Events a recording is given room for at first; doubled until it fits."""


@dataclass(frozen=True)
class EventCamera:
    """The camera and its movement. "fit" means fit to recordings of N-MNIST (docs/emulator.md).

    field              value       unit          source
    sensor             34, 34      pixels        Orchard 2015
    on, off            0.205       of log light  fit
    mismatch           0.12        of on, off    fit: unevenness of the mean map
    noise              0.62        of on, off    fit
    dark               0.1         of white      fit
    blur               0.5         pixels        fit: Gaussian of display and lens
    refractory_us      2000        µs            fit
    refractory_spread  0.3         of it         fit
    leak_hz            0.33        1/s a pixel   read off the sensor's corners, where 99.9 % of events are ON
    dark_on_bright     True                      read off: p = 1 where the image's strokes withdraw
    duration_us        308000      µs            median time of the last event
    step_us            3000        µs            numerical step of the path
    path                                         fit, see `saccades.py`
    """

    sensor: tuple[int, int] = (34, 34)
    on: float = 0.205
    off: float = 0.205
    mismatch: float = 0.12
    noise: float = 0.62
    dark: float = 0.1
    blur: float = 0.5
    refractory_us: float = 2000.0
    refractory_spread: float = 0.3
    leak_hz: float = 0.33
    dark_on_bright: bool = True
    duration_us: int = 308_000
    step_us: int = 3_000
    path: SaccadePath = SaccadePath()

    def __post_init__(self) -> None:
        for field in ("on", "off", "dark"):
            check(self, field, above=0)
        for field in ("mismatch", "noise", "refractory_spread"):
            check(self, field, at_least=0, at_most=1)
        check(self, "blur", at_least=0, at_most=4, unit="pixels")
        check(self, "refractory_us", at_least=1, unit="us")
        check(self, "leak_hz", at_least=0, unit="Hz")
        check(self, "duration_us", at_least=1, unit="us", integer=True)
        check(self, "step_us", at_least=1, unit="us", integer=True)


def _pixels(camera: EventCamera, seeds: Seeds) -> Pixels:
    """The camera's tables; the fixed pattern of thresholds is drawn once from the seeds."""
    pattern = 1.0 + camera.mismatch * seeds.child("pattern").generator().standard_normal((2, *camera.sensor))
    pattern = np.maximum(pattern, SMALLEST)
    table = np.log(camera.dark + np.arange(LEVELS + 1) / LEVELS)
    interval = 1e6 / camera.leak_hz if camera.leak_hz else math.inf
    return Pixels(
        table,
        camera.on * pattern[0],
        camera.off * pattern[1],
        camera.noise,
        float(camera.refractory_us),
        camera.refractory_spread,
        interval,
        float(camera.step_us),
        float(camera.duration_us),
    )


def _corners(camera: EventCamera) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Where the sensor's first pixel lies in the padded image at every step: whole row and column, and fractions."""
    steps = -(-camera.duration_us // camera.step_us)
    x, y = camera.path.at(np.arange(steps + 1) * float(camera.step_us))
    margin = camera.path.reach + 1
    row, column = margin - y, margin - x
    return (
        np.floor(row).astype(np.int64),
        (row - np.floor(row)).astype(np.float32),
        np.floor(column).astype(np.int64),
        (column - np.floor(column)).astype(np.float32),
    )


def _luminances(pixels: np.ndarray, camera: EventCamera) -> np.ndarray:
    """Images (n, h, w) uint8 as ink (n, H + .., W + ..) float32, 0..1: in the middle of the sensor, padded by the
    reach of the path, blurred."""
    from scipy.ndimage import gaussian_filter

    (height, width), margin = camera.sensor, camera.path.reach + 1
    top, left = margin + (height - pixels.shape[1]) // 2, margin + (width - pixels.shape[2]) // 2
    ink = np.zeros((len(pixels), height + 2 * margin, width + 2 * margin), np.float32)
    ink[:, top : top + pixels.shape[1], left : left + pixels.shape[2]] = pixels
    return gaussian_filter(ink, (0, camera.blur, camera.blur), truncate=2.0) / np.float32(255)


def _scene(ink: np.ndarray, camera: EventCamera, corners: tuple[np.ndarray, ...]) -> Scene:
    """One padded image as luminance, with the box of pixels that see ink at some time."""
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    (height, width), box = camera.sensor, (0, 0, 0, 0)
    if len(rows):  # sensor row i looks at padded rows i + row and i + row + 1
        row, column = corners[0], corners[2]
        box = (
            max(int(rows[0] - row.max()) - 1, 0),
            min(int(rows[-1] - row.min()) + 1, height),
            max(int(columns[0] - column.max()) - 1, 0),
            min(int(columns[-1] - column.min()) + 1, width),
        )
    luminance = np.float32(1) - ink if camera.dark_on_bright else ink
    return Scene(luminance, corners[0], corners[1], corners[2], corners[3], box)


def _recorded(scene: Scene, pixels: Pixels, who: Identity) -> np.ndarray:
    """The sorted event keys of one recording."""
    out = np.empty(FIRST_BUFFER, np.int64)
    count = recording_kernel(scene, pixels, who, out)
    while count > len(out):
        out = np.empty(2 * len(out), np.int64)
        count = recording_kernel(scene, pixels, who, out)
    return np.sort(out[:count])


class Recorder:
    """The camera with its fixed pattern, ready for images; may be used by several threads at a time.

    Raises DatasetError for images larger than the sensor.
    """

    def __init__(self, camera: EventCamera, seeds: Seeds, size: tuple[int, int]) -> None:
        (height, width), (h, w) = camera.sensor, size
        if h > height or w > width:
            rule = f"at most {height}x{width} pixels"
            raise DatasetError(must("emulate.images", rule, f"{h}x{w}", "crop or scale them"))
        self._camera, self._pixels, self._corners = camera, _pixels(camera, seeds), _corners(camera)
        self._key = philox.split(seeds.child("events").key)

    def keys(self, pixels: np.ndarray, ids: np.ndarray) -> list[np.ndarray]:
        """The sorted event keys of each image of pixels (n, h, w) uint8, ids (n,)."""
        inks = _luminances(pixels, self._camera)
        return [
            _recorded(
                _scene(ink, self._camera, self._corners), self._pixels, Identity(*philox.split(int(i)), *self._key)
            )
            for ink, i in zip(inks, ids)
        ]


def emulate(images: Images, camera: EventCamera, seeds: Seeds) -> EventDataset:
    """One recording per image, with its label, id, split and group.

    images   (N, h, w) uint8, h <= H and w <= W, centred on the sensor -> EventDataset of N recordings on (H, W)

    The same seeds, id and image give the same recording. Raises DatasetError for images larger than the sensor.
    Thousands of them: `emulate_to`, which writes them to a folder.
    """
    recorder = Recorder(camera, seeds, images.pixels.shape[1:])  # type: ignore[arg-type]
    keys = [np.zeros(0, np.int64)]
    for start in range(0, len(images), CHUNK):
        some = slice(start, start + CHUNK)
        keys += recorder.keys(images.pixels[some], images.ids[some])
    t, x, y, p = taken_apart(np.concatenate(keys))
    columns = Columns(t, x.astype(np.int16), y.astype(np.int16), p.astype(np.uint8))
    rows = (np.array(values, np.int64) for values in (np.cumsum([*map(len, keys)]), images.labels, images.ids))
    offsets, labels, ids = rows
    split = None if images.split is None else np.array(images.split, np.uint8)
    groups = None if images.groups is None else np.array(images.groups)
    return EventDataset.trusted(
        columns, offsets, labels, camera.sensor, sample_ids=ids, name=images.name, split=split, groups=groups
    )  # fmt: skip


def taken_apart(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """t, x, y, p of event keys, int64."""
    side = (1 << SIDE_BITS) - 1
    return keys >> (2 * SIDE_BITS + 1), keys >> 1 & side, keys >> (SIDE_BITS + 1) & side, keys & 1
