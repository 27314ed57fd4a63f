"""What one pixel of the event camera does, and the kernel that runs all pixels over one recording.

The model stands in `emulator.py`. The equations here are plain Python, written once: the reference calls them as
they are, the kernel compiles them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from spikesim.core import philox
from spikesim.core.kernel import inlined, kernel

LEVELS = 4096
"""Steps of the table of log(dark + luminance): sixteen to one step of an 8-bit image."""
SMALLEST = 0.05
"""Thresholds and refractory times are at least this part of their mean, however the draw falls."""
SIDE_BITS = 15
"""An event's key holds t, y (15 bits), x (15 bits) and p (1 bit), so that sorting keys sorts events by time."""
LEAK = 1 << 31
"""Added to the event number in the counter of a leak event's draw."""


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
    mean µs between leak events of a pixel, µs of a step and of the recording."""

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


def blended(a, b, c, d, row_part, column_part):  # type: ignore[no-untyped-def]
    """Where the table is to be read for luminances a b over c d: bilinear, times LEVELS, float32."""
    one, levels = np.float32(1), np.float32(LEVELS)
    upper = a * (one - column_part) + b * column_part
    lower = c * (one - column_part) + d * column_part
    return (upper * (one - row_part) + lower * row_part) * levels


def walk(trace, camera, i, j, who, draw, out, n):  # type: ignore[no-untyped-def]
    """Follow L of one pixel, linear between its values at the steps, and write its events from out[n] on -> next n.

    An event falls where L leaves [ref - down, ref + up]; then the pixel is held, and takes ref anew on release.
    Events are keys (see SIDE_BITS); those beyond the end of `out` are counted, not written.
    """
    pixel = i * camera.on.shape[1] + j
    event, held, free, ref, scale, hold = 0, True, 0.0, 0.0, 0.0, 0.0
    for k in range(trace.size - 1):
        begin, last = k * camera.step, trace[k + 1]
        while not (held and free >= begin + camera.step):
            if held:
                ref, held = trace[k] + (last - trace[k]) * ((free - begin) / camera.step), False
                noise, spread = draw(pixel, event, who)
                scale = max(SMALLEST, 1.0 + camera.noise * noise)
                hold = camera.refractory * max(SMALLEST, 1.0 + camera.spread * spread)
            upper, lower = ref + camera.on[i, j] * scale, ref - camera.off[i, j] * scale
            if lower < last < upper:
                break
            rising = last >= upper
            t = begin + camera.step * (((upper if rising else lower) - trace[k]) / (last - trace[k]))
            if t < camera.duration:
                if n < out.size:
                    out[n] = (((np.int64(t) << SIDE_BITS | i) << SIDE_BITS | j) << 1) | rising
                n += 1
            free, held = t + hold, True
            event += 1
    return n


def leaked(camera, i, j, who, draw, out, n):  # type: ignore[no-untyped-def]
    """Write the leak events of one pixel, ON after exponential waiting times -> next n."""
    pixel, event, t = i * camera.on.shape[1] + j, LEAK, 0.0
    while t < camera.duration:
        t += draw(pixel, event, who) * camera.interval
        if t < camera.duration:
            if n < out.size:
                out[n] = (((np.int64(t) << SIDE_BITS | i) << SIDE_BITS | j) << 1) | 1
            n += 1
        event += 1
    return n


def event_draw(pixel, event, who, generate, transform):  # type: ignore[no-untyped-def]
    """Two standard normals: threshold noise and refractory spread of one event."""
    w0, w1, _, _ = generate(np.uint64(pixel), np.uint64(event), who.sample0, who.sample1, who.key0, who.key1)
    return transform(w0, w1)


def wait_draw(pixel, event, who, generate, transform):  # type: ignore[no-untyped-def]
    """A standard exponential: the wait for one leak event."""
    w0, _, _, _ = generate(np.uint64(pixel), np.uint64(event), who.sample0, who.sample1, who.key0, who.key1)
    return -math.log(transform(w0))


def reference_event_draw(pixel: int, event: int, who: Identity) -> tuple[float, float]:
    """`event_draw` in plain Python."""
    return event_draw(pixel, event, who, philox.generated, philox.normal_pair_of)


def reference_wait_draw(pixel: int, event: int, who: Identity) -> float:
    """`wait_draw` in plain Python."""
    return wait_draw(pixel, event, who, philox.generated, philox.uniform_of)


def traced(scene: Scene, i: int, j: int) -> np.ndarray:
    """The table places (steps,) that pixel (i, j) sees."""
    y, x, image = scene.row + i, scene.column + j, scene.luminance
    corners = image[y, x], image[y, x + 1], image[y + 1, x], image[y + 1, x + 1]
    return blended(*corners, scene.row_part, scene.column_part).astype(np.int64)


def recording_reference(scene: Scene, camera: Pixels, who: Identity, out: np.ndarray) -> int:
    """Write the events of every pixel to `out`, pixel by pixel, and return their number.

    out   (n,) int64 keys; sorted, they are the recording. When the number is above n, the rest
          is missing: call again with more room.
    """
    n = 0
    top, bottom, left, right = scene.box
    height, width = camera.on.shape
    for i in range(height):
        for j in range(left, right) if top <= i < bottom else ():
            trace = camera.table[traced(scene, i, j)]
            n = walk(trace, camera, i, j, who, reference_event_draw, out, n)
        for j in range(width):
            n = leaked(camera, i, j, who, reference_wait_draw, out, n)
    return n


_blended, _walk, _leaked = inlined(blended), inlined(walk), inlined(leaked)
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
    height, width = camera.on.shape
    traces = np.empty((width, scene.row.size), np.float64)
    for i in range(height):
        seen = right - left if top <= i < bottom else 0
        for k in range(scene.row.size):  # a row of pixels at a time: neighbours lie side by side in the image
            first = scene.column[k] + left
            upper = scene.luminance[scene.row[k] + i, first : first + seen + 1]
            lower = scene.luminance[scene.row[k] + i + 1, first : first + seen + 1]
            a, b = scene.row_part[k], scene.column_part[k]
            for j in range(seen):
                place = _blended(upper[j], upper[j + 1], lower[j], lower[j + 1], a, b)
                traces[j, k] = camera.table[np.int64(place)]
        for j in range(seen):
            n = _walk(traces[j], camera, i, left + j, who, _event_draw, out, n)
        for j in range(width):
            n = _leaked(camera, i, j, who, _wait_draw, out, n)
    return n
