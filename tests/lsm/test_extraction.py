"""Features: windows, batches, events alone, warnings of reservoirs that never or always fire."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

import spikesim as ss
from spikesim.datasets import Counts, RateCoded
from spikesim.datasets.base import EventDataset
from spikesim.errors import DatasetError, ParameterError
from spikesim.lsm import Frames, Reservoir, extraction, features
from spikesim.lsm.extraction import UselessReservoir, event_counts, windowed

FRAMES = Frames(12, 6, 1)
RESERVOIR = Reservoir(36, 40, 0.9, 1.0, 0.6, 0.3)


def recordings(count: int = 9, events: int = 300) -> EventDataset:
    generator = np.random.default_rng(1)
    total = count * events
    return EventDataset(
        t=np.concatenate([np.sort(generator.integers(0, 50_000, events)) for _ in range(count)]),
        x=generator.integers(0, 10, total).astype(np.int16), y=generator.integers(0, 10, total).astype(np.int16),
        p=generator.integers(0, 2, total).astype(np.uint8), offsets=np.arange(0, total + 1, events),
        labels=np.arange(count) % 3, sensor=(10, 10),
    )  # fmt: skip


def test_windows_add_up_and_membranes_stand_beside() -> None:
    data, network = recordings(), RESERVOIR.network(ss.Seeds(0))
    whole = features(network, data, FRAMES).values
    parts = features(network, data, FRAMES, windows=5, membrane=True).values
    assert whole.shape == (9, 40) and parts.shape == (9, 6 * 40)
    assert whole.sum() > 0
    assert np.array_equal(parts[:, : 5 * 40].reshape(9, 5, 40).sum(1), whole)
    x = FRAMES.flat(data.sparse_raster(12, crop=(2, 2, 8, 8), polarity=1))
    run = ss.run(network, x)
    assert np.array_equal(parts[:, 5 * 40 :], run.state.nodes["n"].v.numpy())
    assert torch.equal(run.counts(5).sum(1), run.output.sum(0))
    assert torch.equal(run.counts(5)[:, 1], ss.run(network, x.dense()).output[2:4].sum(0))


def test_sensors_of_one_polarity_have_no_inputs_of_the_other() -> None:
    both = recordings()
    one = replace(both, p=np.ones_like(both.p), polarity=1)
    assert (Frames(4).inputs(both), Frames(4).inputs(one), Frames(4, 6).inputs(one), Frames(4, polarity=1).inputs(both)) == (
        200, 100, 36, 100
    )  # fmt: skip
    assert Frames(4).raster(one).shape == (1, 10, 10) and Frames(4).raster(both).shape == (2, 10, 10)
    for frames in (Frames(4), Frames(4, polarity=1)):
        assert torch.equal(frames.raster(one).dense(), one.raster(4)[:, :, 1:])
    assert np.array_equal(event_counts(one, Frames(4)), event_counts(one, Frames(4, polarity=1)))
    assert Frames(4).inputs(one.subset([2])) == 100 and features(
        replace(RESERVOIR, inputs=100).network(ss.Seeds(0)), one, Frames(4)
    ).values.shape == (9, 40)
    with pytest.raises(
        ParameterError, match=r"Frames.polarity must be 1 or left out for recordings, which has no other"
    ):
        Frames(4, polarity=0).inputs(one)
    with pytest.raises(
        DatasetError, match=r"EventDataset.p must be 1 of all events, the only one of the sensor, got 0"
    ):
        replace(both, polarity=1)
    shown = Counts(np.ones((2, 5, 7)), np.arange(2)), RateCoded(np.zeros((2, 3, 3), np.uint8), np.arange(2))
    assert [Frames(4).inputs(data) for data in shown] == [7, 9]


def test_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    data, network = recordings(), RESERVOIR.network(ss.Seeds(0))
    whole = features(network, data, FRAMES).values
    monkeypatch.setattr(extraction, "BATCH", 2)
    assert np.array_equal(features(network, data, FRAMES).values, whole)


def test_events_alone() -> None:
    data = recordings()
    raster = data.sparse_raster(12, crop=(2, 2, 8, 8), polarity=1)
    dense = raster.dense().flatten(2).numpy()
    counted = event_counts(data, FRAMES, windows=3)
    assert np.array_equal(counted.reshape(9, 3, 36)[:, 2], dense[8:].sum(0))
    assert np.array_equal(windowed(raster, 1)[:, 0].numpy(), dense.sum(0))
    fewer = event_counts(data, FRAMES, windows=3, size=20, seeds=ss.Seeds(1))
    assert fewer.shape == (9, 20)
    assert np.array_equal(fewer, event_counts(data, FRAMES, windows=3, size=20, seeds=ss.Seeds(1)))


def test_largest_cuts_counts_off() -> None:
    data = recordings()
    raster = data.sparse_raster(2)
    assert Frames(2, largest=2).flat(raster).dense().max() == 2
    assert Frames(2, largest=1).flat(raster).val is None
    assert raster.dense().max() > 2


def test_reservoirs_of_no_use_are_warned_of_with_the_knob() -> None:
    data = recordings()
    with pytest.warns(UselessReservoir, match=r"hardly fires: 0 % .* raise Reservoir.input_std .* lower threshold"):
        features(replace(RESERVOIR, threshold=1e6).network(ss.Seeds(0)), data, FRAMES)
    with pytest.warns(UselessReservoir, match=r"nearly always fires.*lower Reservoir.input_std .* raise threshold"):
        features(
            replace(RESERVOIR, input_std=500.0, loop_std=0.0, threshold=1e-3).network(ss.Seeds(0)),
            data,
            Frames(2, 6, 1),
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features(RESERVOIR.network(ss.Seeds(0)), data, FRAMES)


def test_refusals() -> None:
    with pytest.raises(ParameterError, match=r"Frames.side must be at most 10"):
        features(RESERVOIR.network(ss.Seeds(0)), recordings(), Frames(5, 20, 1))
    with pytest.raises(ParameterError, match=r"Frames.polarity"):
        Frames(5, polarity=2)
    with pytest.raises(ParameterError, match=r"Run.counts.windows"):
        features(RESERVOIR.network(ss.Seeds(0)), recordings(), FRAMES, windows=13)
