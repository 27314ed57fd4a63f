"""The event-camera emulator: its equation, its draws, and its likeness to real recordings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.emulator_statistics import BARS, compared, rate
from spikesim.core import philox
from spikesim.core.seeds import Seeds
from spikesim.datasets import EventCamera, Images, _pixels, emulate, emulator, images_of, load, load_images
from spikesim.datasets.saccades import SaccadePath
from spikesim.errors import DatasetError, ParameterError

QUIET = EventCamera(mismatch=0.0, noise=0.0, leak_hz=0.0, refractory_spread=0.0, blur=0.0)


def drawn_images(n: int = 4, seed: int = 0, side: int = 9) -> Images:
    rng = np.random.default_rng(seed)
    pixels = (rng.integers(0, 256, (n, side, side)) * (rng.random((n, side, side)) < 0.4)).astype(np.uint8)
    return Images(pixels, np.arange(n), np.arange(n) + 5, "drawn")


@pytest.mark.parametrize("sensor, leak", [((34, 34), 20.0), ((9, 12), 0.0), ((11, 10), 300.0)])
def test_kernel_equals_its_reference(sensor: tuple[int, int], leak: float) -> None:
    camera = EventCamera(sensor=sensor, leak_hz=leak, duration_us=100_000)
    pixels, corners = emulator._pixels(camera, Seeds(3)), emulator._corners(camera)
    for ink, number in zip(emulator._luminances(drawn_images(2).pixels, camera), (7, 2**40 + 1)):
        scene = emulator._scene(ink, camera, corners)
        who = _pixels.Identity(*philox.split(number), *philox.split(99))
        fast, slow = np.zeros(6_000, np.int64), np.zeros(6_000, np.int64)
        count = _pixels.recording_kernel(scene, pixels, who, fast)
        assert count == _pixels.recording_reference(scene, pixels, who, slow)
        assert 0 < count < 6_000 and np.array_equal(fast, slow)
        short = np.zeros(10, np.int64)  # a buffer that is too small: counted, not written
        assert _pixels.recording_kernel(scene, pixels, who, short) == count and np.array_equal(short, fast[:10])


def test_recordings_do_not_depend_on_their_company() -> None:
    images = drawn_images(6)
    together = emulate(images, EventCamera(), Seeds(1))
    order = [4, 0]
    some = Images(images.pixels[order], images.labels[order], images.ids[order], "some")
    apart = emulate(some, EventCamera(), Seeds(1))
    assert all(apart[i][0] == together[j][0] for i, j in enumerate(order))
    assert emulate(some, EventCamera(), Seeds(2))[0][0] != apart[0][0]


def test_long_recordings_get_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = emulate(drawn_images(1), EventCamera(), Seeds(0))
    monkeypatch.setattr(emulator, "FIRST_BUFFER", 16)
    assert emulate(drawn_images(1), EventCamera(), Seeds(0))[0][0] == whole[0][0]


def test_a_moving_edge_gives_the_events_of_the_equation() -> None:
    """One step of luminance passes a pixel: log(dark + 1) - log(dark) over the threshold is the number of events."""
    path = SaccadePath(x=(0.0, 6.0), y=(0.0, 0.0), knot_us=600_000.0)
    camera = replace(QUIET, path=path, duration_us=600_000, step_us=500, on=0.2, off=0.2, dark=0.1, refractory_us=1)
    image = np.zeros((1, 20, 20), np.uint8)
    image[:, :, :10] = 255
    data = emulate(Images(image, np.zeros(1, int), np.zeros(1, int), "edge"), camera, Seeds(0))
    stream, expected = data[0][0], int(np.log(1.1 / 0.1) / 0.2)
    middle = stream.crop(18, 15, 22, 19).frame()[0].numpy()  # dark ink moves right over pixels that were bright
    assert np.abs(middle[0] - expected).max() <= 1 and not middle[1].any()
    t = np.array([stream.crop(x, 15, x + 1, 16).t.mean() for x in range(18, 22)])
    assert np.allclose(np.diff(t), 100_000, atol=2_000)  # one pixel per 100 ms


def test_polarity_follows_the_contrast_of_the_display() -> None:
    image = drawn_images(1)
    dark = emulate(image, QUIET, Seeds(0)).frames().numpy()
    bright = emulate(image, replace(QUIET, dark_on_bright=False), Seeds(0)).frames().numpy()
    swapped = np.corrcoef(dark[0].ravel(), bright[0, ::-1].ravel())[0, 1]
    assert swapped > 0.5 and swapped > np.corrcoef(dark[0].ravel(), bright[0].ravel())[0, 1]


def test_a_held_pixel_is_silent_for_the_refractory_time() -> None:
    data = emulate(drawn_images(2), replace(QUIET, refractory_us=4_000.0), Seeds(0))
    for i in range(2):
        stream = data[i][0]
        pixel = stream.y.astype(int) * 34 + stream.x
        order = np.argsort(pixel, kind="stable")
        pause = np.diff(stream.t[order])[np.diff(pixel[order]) == 0]
        assert pause.size and pause.min() >= 3_999


def test_an_empty_image_leaks_on_events_only() -> None:
    nothing = Images(np.zeros((8, 5, 5), np.uint8), np.zeros(8, int), np.arange(8), "nothing")
    assert len(emulate(nothing, QUIET, Seeds(0)).t) == 0
    data = emulate(nothing, replace(QUIET, leak_hz=5.0), Seeds(0))
    expected = 8 * 34 * 34 * 5.0 * 0.308
    assert data.p.all() and abs(len(data.t) - expected) < 5 * np.sqrt(expected)


@pytest.mark.parametrize("field, value", [("on", 0), ("dark", -1), ("noise", 2), ("step_us", 0), ("leak_hz", -1)])
def test_cameras_check_themselves(field: str, value: object) -> None:
    with pytest.raises(ParameterError, match=f"EventCamera.{field} must be"):
        replace(EventCamera(), **{field: value})


def test_paths_and_images_are_checked() -> None:
    with pytest.raises(ParameterError, match=r"SaccadePath.x, y"):
        SaccadePath(x=(0.0,), y=(0.0, 1.0))
    with pytest.raises(DatasetError, match="at most 34x34 pixels, got 40x40"):
        emulate(drawn_images(1, side=40), EventCamera(), Seeds(0))


def test_the_path_is_a_triangle_of_three_saccades() -> None:
    x, y = SaccadePath().at(np.array([0.0, 85_000.0, 220_000.0, 310_000.0]))
    corners = np.stack([x, y], 1)
    assert np.abs(corners[3] - corners[0]).max() < 0.4
    assert np.linalg.norm(np.diff(corners, axis=0), axis=1) == pytest.approx([5.7, 6.4, 5.1], abs=0.3)


def test_embedded_recordings_burst_three_times() -> None:
    data = load("digits").subset(np.arange(60))  # type: ignore[union-attr]
    events = rate(data).sum(0)
    rest = events[[17, 44, 61]].max()
    assert all(events[a:b].max() > 4 * rest for a, b in ((0, 17), (17, 44), (44, 61)))
    assert 0.45 < data.p.mean() < 0.55


def test_emulated_recordings_are_like_real_ones(shared_data: Path) -> None:
    real = load("nmnist", root=shared_data).subset(np.arange(0, 990, 16))  # type: ignore[union-attr]
    found = compared(real, emulate(images_of(real, load_images("mnist", root=shared_data)), EventCamera(), Seeds(0)))
    assert found["met"] == dict.fromkeys(BARS, True), found["held"]
    alike = found["recording_by_recording"]
    assert alike["frame_correlation"] > 0.9 and alike["on_frame_correlation"] > 0.85
    assert alike["raster_12_steps_correlation"] > alike["raster_12_steps_correlation_polarities_swapped"] + 0.5
