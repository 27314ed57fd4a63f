"""What one pixel of the event camera does, and the kernel that runs all pixels over one recording.

The model stands in `emulator.py`. The equations here are plain Python, written once: the reference calls them as
they are, the kernel compiles them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from spikesim.core import philox
from spikesim.core.kernel import inlined, kernel

LEVELS = 4096
"""Steps of the table of log(dark + luminance): sixteen to one step of an 8-bit image."""
SMALLEST = 0.05
"""Thresholds and refractory times are at least this part of their mean, however the draw falls."""
BACKGROUND = 1 << 31
"""Added to the event number in the counter of a background event's draw."""


class Scene(NamedTuple):
    """What moves: luminance padded by the reach of the path (float32, 0..1), and where the sensor's first pixel lies
    in it at every step: whole row and column (int64) and fractions (float32). Pixels outside box = (top, bottom,
    left, right) see no change."""

    luminance: np.ndarray
    row: np.ndarray
    row_part: np.ndarray
    column: np.ndarray
    column_part: np.ndarray
    box: tuple[int, int, int, int]


class Pixels(NamedTuple):
    """The camera: L by luminance (LEVELS + 1,) float64, thresholds (H, W) float64, noise and refractory coefficients,
    mean µs between background events of a pixel, µs of a step and of the recording."""

    table: np.ndarray
    on: np.ndarray
    off: np.ndarray
    noise: float
    refractory: float
    spread: float
    interval: float
    step: float
    duration: float


class Identity(NamedTuple):
    """Sample id and key as words (uint64 below 2^32): what draws are named by."""

    sample0: np.uint64
    sample1: np.uint64
    key0: np.uint64
    key1: np.uint64


def level(scene, table, i, j, k):  # type: ignore[no-untyped-def]
    """L of pixel (i, j) at step k: the bilinear luminance, looked up in the table. k may be an array."""
    one, levels = np.float32(1), np.float32(LEVELS)
    y, x, a, b = scene.row[k] + i, scene.column[k] + j, scene.row_part[k], scene.column_part[k]
    image = scene.luminance
    upper = image[y, x] * (one - b) + image[y, x + 1] * b
    lower = image[y + 1, x] * (one - b) + image[y + 1, x + 1] * b
    return table[np.int64((upper * (one - a) + lower * a) * levels)]


def walk(trace, camera, pixel, who, draw, out, n):  # type: ignore[no-untyped-def]
    """Follow L of one pixel, linear between its values at the steps, and write its events from out[n] on -> next n.

    An event falls where L leaves [ref - down, ref + up]; then the pixel is held, and takes ref anew on release.
    Events are keys (t H W + pixel) 2 + p; those beyond the end of `out` are counted, not written.
    """
    i, j, area = pixel // camera.on.shape[1], pixel % camera.on.shape[1], camera.on.size
    event, held, free, ref = 0, False, 0.0, trace[0]
    noise, spread = draw(pixel, event, who)
    scale = max(SMALLEST, 1.0 + camera.noise * noise)
    for k in range(trace.size - 1):
        begin = k * camera.step
        slope = (trace[k + 1] - trace[k]) / camera.step
        while True:
            if held:
                if free >= begin + camera.step:
                    break
                ref, held = trace[k] + slope * (free - begin), False
            rising = slope > 0.0
            target = ref + camera.on[i, j] * scale if rising else ref - camera.off[i, j] * scale
            if slope == 0.0 or (trace[k + 1] < target if rising else trace[k + 1] > target):
                break
            t = begin + (target - trace[k]) / slope
            if t < camera.duration:
                if n < out.size:
                    out[n] = (np.int64(t) * area + pixel) * 2 + rising
                n += 1
            free, held = t + camera.refractory * max(SMALLEST, 1.0 + camera.spread * spread), True
            event += 1
            noise, spread = draw(pixel, event, who)
            scale = max(SMALLEST, 1.0 + camera.noise * noise)
    return n


def background(camera, pixel, who, draw, out, n):  # type: ignore[no-untyped-def]
    """Write the background events of one pixel, exponential waiting times, polarity a fair coin -> next n."""
    event = BACKGROUND
    wait, on = draw(pixel, event, who)
    t = wait * camera.interval
    while t < camera.duration:
        if n < out.size:
            out[n] = (np.int64(t) * camera.on.size + pixel) * 2 + on
        n += 1
        event += 1
        wait, on = draw(pixel, event, who)
        t += wait * camera.interval
    return n


def event_draw(pixel, event, who, generate, transform):  # type: ignore[no-untyped-def]
    """Two standard normals: threshold noise and refractory spread of one event."""
    w0, w1, _, _ = generate(np.uint64(pixel), np.uint64(event), who.sample0, who.sample1, who.key0, who.key1)
    return transform(w0, w1)


def wait_draw(pixel, event, who, generate, transform):  # type: ignore[no-untyped-def]
    """A standard exponential and a coin: waiting time and polarity of one background event."""
    w0, w1, _, _ = generate(np.uint64(pixel), np.uint64(event), who.sample0, who.sample1, who.key0, who.key1)
    return -math.log(transform(w0)), np.int64(w1 & np.uint64(1))


def reference_event_draw(pixel: int, event: int, who: Identity) -> tuple[float, float]:
    """`event_draw` in plain Python."""
    return event_draw(pixel, event, who, philox.philox4x32.py_func, philox.normal_pair.py_func)


def reference_wait_draw(pixel: int, event: int, who: Identity) -> tuple[float, int]:
    """`wait_draw` in plain Python."""
    return wait_draw(pixel, event, who, philox.philox4x32.py_func, philox.uniform.py_func)


def recording_reference(scene: Scene, camera: Pixels, who: Identity, out: np.ndarray) -> int:
    """Write the events of every pixel to `out`, pixel by pixel, and return their number.

    out   (n,) int64 keys (t H W + pixel) 2 + p; sorted, they are the recording. When the number is above n, the rest
          is missing: call again with more room.
    """
    n, steps = 0, np.arange(len(scene.row))
    top, bottom, left, right = scene.box
    for pixel in range(camera.on.size):
        i, j = divmod(pixel, camera.on.shape[1])
        if top <= i < bottom and left <= j < right:
            n = walk(level(scene, camera.table, i, j, steps), camera, pixel, who, reference_event_draw, out, n)
        if camera.interval < math.inf:
            n = background(camera, pixel, who, reference_wait_draw, out, n)
    return n


_level, _walk, _background = inlined(level), inlined(walk), inlined(background)
_draw_event, _draw_wait = inlined(event_draw), inlined(wait_draw)
_philox, _pair, _uniform = philox.philox4x32, philox.normal_pair, philox.uniform


@inlined
def _event_draw(pixel, event, who):  # type: ignore[no-untyped-def]
    return _draw_event(pixel, event, who, _philox, _pair)


@inlined
def _wait_draw(pixel, event, who):  # type: ignore[no-untyped-def]
    return _draw_wait(pixel, event, who, _philox, _uniform)


@kernel(reference=recording_reference, depends=(philox,))
def recording_kernel(scene, camera, who, out):  # type: ignore[no-untyped-def]
    n = 0
    top, bottom, left, right = scene.box
    trace = np.empty(scene.row.size, np.float64)
    for pixel in range(camera.on.size):
        i, j = pixel // camera.on.shape[1], pixel % camera.on.shape[1]
        if top <= i < bottom and left <= j < right:
            for k in range(trace.size):
                trace[k] = _level(scene, camera.table, i, j, k)
            n = _walk(trace, camera, pixel, who, _event_draw, out, n)
        if camera.interval < math.inf:
            n = _background(camera, pixel, who, _wait_draw, out, n)
    return n
