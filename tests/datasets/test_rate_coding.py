"""Rate coding: how often pixels fire, and that spikes depend on image, step and pixel alone."""

from __future__ import annotations

import numpy as np
import pytest

from spikesim.core import philox
from spikesim.core.seeds import Seeds
from spikesim.datasets import Images, RateCoded, rate_coded, rate_coding
from spikesim.errors import DatasetError, ParameterError
from spikesim.lsm.extraction import Frames


def images(n: int = 7, side: int = 9) -> Images:
    pixels = np.random.default_rng(n).integers(0, 256, (n, side, side)).astype(np.uint8)
    pixels[:, :2] = 0
    return Images(pixels, np.arange(n) % 3, np.arange(n) * 2**33 + 4, "made", np.arange(n) % 2)


def dense(data: RateCoded, frames: Frames) -> np.ndarray:
    """(N, T, pixels)."""
    return np.concatenate([raster.dense().numpy() for raster, _ in data.batches(frames)], 1).swapaxes(0, 1)


@pytest.mark.parametrize("gain", [0.4, 3.0])
def test_pixels_fire_at_their_rate_and_independently(gain: float) -> None:
    data = rate_coded(images(), Seeds(1), gain)
    found = dense(data, Frames(steps=2000))
    chance = np.minimum(1, gain * images().pixels.reshape(7, -1) / 255)
    assert set(np.unique(found)) == {0, 1} and not found[:, :, :18].any()
    error = (found.mean(1) - chance) / np.sqrt(np.maximum(chance * (1 - chance), 1e-9) / 2000)
    assert abs(error).max() < 4.5 and 0.8 < error[(chance > 0) & (chance < 1)].std() < 1.2
    assert (found.mean(1)[chance == 1] == 1).all() and data.summary()["rate"] == pytest.approx(chance.mean())
    centred = (found - chance[:, None])[:, :, 18:]
    for lag in (1, 2, 3, 4):
        assert abs((centred[:, lag:] * centred[:, :-lag]).mean()) < 1e-3
    assert abs((centred[1:] * centred[:-1]).mean()) < 1e-3


def test_spikes_are_those_of_their_counters() -> None:
    found, which = dense(rate_coded(images(), Seeds(2)), Frames(steps=7)), 3
    key, identity = Seeds(2).child("rate coding").key, int(images().ids[which])
    for pixel in range(81):
        for step in range(7):
            word = philox.words(pixel, step // 4, identity & 0xFFFFFFFF, identity >> 32, key)[step % 4]
            chance = 0.4 * images().pixels[which].ravel()[pixel] / 255
            assert found[which, step, pixel] == (philox.uniform_of(word) < chance)


def test_spikes_do_not_depend_on_batch_order_steps_or_box(monkeypatch: pytest.MonkeyPatch) -> None:
    data = rate_coded(images(), Seeds(1))
    every = dense(data, Frames(steps=30))
    monkeypatch.setattr(rate_coding, "BATCH", 2)
    assert np.array_equal(dense(data, Frames(steps=30)), every)
    assert np.array_equal(dense(data.subset([5, 0]), Frames(steps=30)), every[[5, 0]])
    assert np.array_equal(dense(data, Frames(steps=11)), every[:, :11])
    boxed = every.reshape(7, 30, 9, 9)[:, :, 2:7, 2:7].reshape(7, 30, 25)
    assert np.array_equal(dense(data, Frames(steps=30, side=5, polarity=1)), boxed)
    assert not np.array_equal(dense(rate_coded(images(), Seeds(3)), Frames(steps=30)), every)


def test_rows_keep_what_they_are() -> None:
    part = rate_coded(images(), Seeds(1), 0.7).part("test")
    assert part.sample_ids.tolist() == images().ids[1::2].tolist() and part.gain == 0.7 and part.seeds == Seeds(1)
    assert [ids.tolist() for _, ids in part.batches(Frames())] == [images().ids[1::2].tolist()]


def test_what_cannot_be_shown_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"RateCoded\.gain must be"):
        rate_coded(images(), Seeds(0), 0.0)
    with pytest.raises(DatasetError, match=r"RateCoded\.pixels must be uint8"):
        RateCoded(np.zeros((2, 3, 3)), np.arange(2))
    with pytest.raises(ParameterError, match=r"Frames\.polarity must be 1 or None"):
        next(rate_coded(images(), Seeds(0)).batches(Frames(polarity=0)))
