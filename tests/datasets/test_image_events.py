"""Events made from images and videos: ODG and its way back, against a slow reading of what they are said to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spikesim.core.seeds import Seeds
from spikesim.datasets import (
    EventCamera,
    Images,
    Odg,
    VideoEvents,
    as_recordings,
    as_stream,
    emulate,
    load,
    load_images,
    odg,
    odg_frames,
    reconstructed,
    video_events,
)  # fmt: skip
from spikesim.datasets.still_events import COLUMNS, ROWS, SMALL, value
from spikesim.errors import SpikesimError


def picture(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def slow_odg(v: np.ndarray, threshold: float) -> np.ndarray:
    """Pixel by pixel: an event where both positions cover the pixel and it changed by more than the threshold, or where
    only the image's own inside is compared with it."""
    height, width = v.shape
    out = np.zeros((8, 2, height + 4, width + 4), np.uint8)
    for k in range(1, 9):
        for r in range(height + 4):
            for c in range(width + 4):
                rows, columns = (r - ROWS[k - 1], r - ROWS[k]), (c - COLUMNS[k - 1], c - COLUMNS[k])
                rows_in = [0 <= i < height for i in rows]
                columns_in = [0 <= i < width for i in columns]
                if rows_in[0] != rows_in[1] or columns_in[0] != columns_in[1]:
                    continue  # a row or column that only one of the two covers
                both = [v[rows[j], columns[j]] if rows_in[j] and columns_in[j] else np.float32(0) for j in (0, 1)]
                difference = both[1] - both[0]
                out[k - 1, 0, r, c] = difference < -np.float32(threshold)
                out[k - 1, 1, r, c] = difference > np.float32(threshold)
    return out


@pytest.mark.parametrize("shape", [(9, 7), (6, 11), (5, 5, 3)])
def test_odg_is_what_it_is_said_to_be(shape: tuple[int, ...]) -> None:
    image = picture(shape)
    grey = (image if image.ndim == 2 else image.max(2)).astype(np.float32) / np.float32(255)
    assert np.array_equal(odg(image, SMALL), slow_odg(grey, 0.18))
    assert odg(image, SMALL).any(axis=(2, 3)).all(), "every frame of noise has events of both signs"


@pytest.mark.parametrize("shape", [(300, 200), (100, 254), (60, 60, 3)])
def test_large_images_give_the_papers_frames(shape: tuple[int, ...]) -> None:
    """The long side becomes 254, events with 16 < row, column < 240 stay, the middle 224 of the centred canvas is kept."""
    image = picture(shape)
    frames = odg(image)
    assert frames.shape == (8, 2, 224, 224) and frames.max() == 1
    small = value(image, 254)
    assert max(small.shape) == 254
    canvas = slow_frames = odg(np.rint(small * 255).astype(np.uint8), SMALL).astype(bool)
    wanted = np.zeros((8, 2, 256, 256), np.uint8)
    dr, dc = ((254 - n) // 2 for n in small.shape)
    for k, p, r, c in zip(*np.nonzero(canvas)):
        if 16 < r < 240 and 16 < c < 240:
            wanted[k, p, r + dr, c + dc] = 1
    assert np.array_equal(frames, wanted[:, :, 16:240, 16:240]) and slow_frames.any()


def test_nearest_scaling_takes_pixels_as_they_are() -> None:
    image = picture((8, 4))
    assert np.array_equal(value(image, 16), np.kron(image, np.ones((2, 2))).astype(np.float32) / np.float32(255))
    assert value(image, 4).shape == (4, 2) and np.array_equal(value(image, 4) * 255, image[::2, ::2].astype(np.float32))


def test_reconstruction_shifts_every_frame_back_and_adds() -> None:
    frames = np.random.default_rng(1).integers(0, 2, (8, 2, 12, 10), dtype=np.uint8)
    wanted = np.zeros((12, 10), np.float32)
    for k in range(8):
        for r in range(12):
            for c in range(10):
                i, j = r + ROWS[k + 1] - 1, c + COLUMNS[k + 1] - 1
                if 0 <= i < 12 and 0 <= j < 10:
                    wanted[r, c] += float(frames[k, 1, i, j]) - float(frames[k, 0, i, j])
    assert np.array_equal(reconstructed(frames), wanted)


def test_reconstruction_finds_edges_where_the_image_has_them() -> None:
    image = np.zeros((20, 20), np.uint8)
    image[6:14, 6:14] = 255
    plane = reconstructed(odg(image, SMALL))[1:-3, 1:-3]
    inside, outside = plane[8:12, 8:12], plane[:3]
    assert not inside.any() and not outside.any()
    edge = np.zeros((20, 20), bool)
    edge[4:16, 4:16], edge[8:12, 8:12] = True, False
    assert (plane[~edge] == 0).all() and plane[6:14, 6:14].sum() > 0


def test_dark_images_are_dropped_with_their_labels() -> None:
    pixels = np.stack([picture((9, 9)), np.zeros((9, 9), np.uint8), picture((9, 9), 1)])
    frames, kept = odg_frames(Images(pixels, np.array([3, 4, 5]), np.array([10, 11, 12]), "three"), SMALL)
    assert frames.shape == (2, 8, 2, 13, 13) and kept.labels.tolist() == [3, 5] and kept.ids.tolist() == [10, 12]
    with pytest.raises(SpikesimError, match=r"odg_frames\.images must be some with 1 events, got none"):
        odg_frames(Images(pixels[1:2], np.array([4]), np.array([11]), "one"), SMALL)


def test_frames_become_recordings_and_come_back() -> None:
    frames = np.stack([odg(picture((9, 9), seed), SMALL) for seed in range(3)])
    data = as_recordings(frames, [0, 1, 0], sample_ids=[5, 6, 7])
    assert np.array_equal(data.raster(8).transpose(0, 1).numpy(), frames) and data.sample_ids.tolist() == [5, 6, 7]
    counts = np.zeros((2, 2, 3, 4), np.uint8)
    counts[1, 1, 2, 3] = 2
    stream = as_stream(counts, 500)
    assert [c.tolist() for c in stream.columns] == [[500, 500], [3, 3], [2, 2], [1, 1]] and stream.sensor == (3, 4)


def test_video_events_are_the_share_asked_for() -> None:
    video = picture((60, 16, 18))
    frames = video_events(video)
    assert frames.shape == (30, 2, 16, 18)
    assert frames[:, 0].mean() == pytest.approx(0.075, abs=2e-3) and frames[:, 1].mean() == pytest.approx(
        0.075, abs=2e-3
    )
    taken = video[np.rint(np.linspace(0, 59, 31)).astype(int)].astype(np.float32) / np.float32(255)
    difference = np.diff(taken, axis=0)
    on, off = difference[frames[:, 1] == 1], difference[frames[:, 0] == 1]
    assert on.min() > np.sort(difference, axis=None)[int(0.92 * difference.size)] and off.max() < 0
    still = video_events(np.repeat(video[:1], 40, axis=0))
    assert not still.any()


def test_video_thresholds_may_differ_by_pixel() -> None:
    video, settings = picture((40, 8, 8, 3)), VideoEvents(spread=0.03)
    first, again = (video_events(video, settings, seeds=Seeds(3)) for _ in range(2))
    assert np.array_equal(first, again) and not np.array_equal(first, video_events(video, settings, seeds=Seeds(4)))
    assert 0.05 < first[:, 1].mean() < 0.1 and not (first[:, 0] & first[:, 1]).any()
    with pytest.raises(SpikesimError, match=r"video_events\.seeds must be given with a spread"):
        video_events(video, settings)


def test_bad_images_are_refused_in_a_line() -> None:
    for call, text in (
        (lambda: odg(np.zeros((4, 4), np.float32)), r"odg\.image must be uint8 .*got float32 \(4, 4\)"),
        (lambda: odg(picture((2000, 1))), r"odg\.image must be less long than 254 times its width"),
        (lambda: reconstructed(np.zeros((7, 2, 4, 4))), r"reconstructed\.frames must be \(8, 2, H, W\)"),
        (lambda: Odg(side=0), r"Odg\.cut must be less than half the side, got 16"),
        (lambda: Odg(threshold=1.0), r"Odg\.threshold must be a number above 0"),
        (
            lambda: as_stream(np.zeros((3, 1, 4, 4), np.uint8)),
            r"as_stream\.frames must be whole numbers \(T, 2, H, W\)",
        ),
        (lambda: video_events(np.zeros((3, 4), np.uint8)), r"video_events\.video must be uint8"),
        (lambda: VideoEvents(share=0.0), r"VideoEvents\.share must be a number above 0"),
    ):
        with pytest.raises(SpikesimError, match=text) as raised:
            call()
        assert "\n" not in str(raised.value)


def test_held_out_identities_are_not_emulated() -> None:
    images = load_images("digits").first(30)
    held = images.ids[[2, 5, 29]]
    source = emulate(images.excluding(held), EventCamera(duration_us=6000), Seeds(0))
    assert len(source) == 27 and not np.isin(source.sample_ids, held).any()
    assert np.isin(np.setdiff1d(images.ids, held), source.sample_ids).all()


def test_emulated_mnist_without_a_test_fold_shows_none_of_its_images(shared_data: Path) -> None:
    """The identity of an image is that of the recording that shows it: labels of all 990 agree, so exclusion is by image."""
    real, images = load(shared_data / "nmnist_small.npz"), load_images(str(shared_data / "mnist.npz"))
    row = {int(i): n for n, i in enumerate(images.ids)}
    assert all(images.labels[row[int(i)]] == label for i, label in zip(real.sample_ids, real.labels))
    for _, test in real.folds(5):
        held = real.subset(test)
        kept = images.excluding(held.sample_ids)
        assert len(kept) == len(images) - len(test)
        assert not set(kept.ids.tolist()) & set(held.sample_ids.tolist())
        shown = {images.pixels[row[int(i)]].tobytes() for i in held.sample_ids}
        assert not shown & {pixels.tobytes() for pixels in kept.pixels}
