"""Dropout keyed by sample: kernel and reference, batches in any order and company, time steps alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim.training.dropout import keyed_dropout, mask_kernel, mask_reference


@pytest.mark.parametrize("size", [1, 7, 64])
def test_kernel_equals_its_reference(size: int) -> None:
    ids, limit, scale = np.array([3, -1, 2**40, 3]), np.uint64(round(0.3 * 2**32)), np.float32(1 / 0.7)
    key = np.uint64(ss.Seeds(1).key)
    fast, slow = np.empty((4, size), np.float32), np.empty((4, size), np.float32)
    mask_kernel(ids, 5, key, limit, scale, fast)
    mask_reference(ids, 5, int(key), limit, scale, slow)
    assert np.array_equal(fast, slow) and np.array_equal(fast[0], fast[3])


def masked(ids: list[int], x: torch.Tensor, model: nn.Module, number: int = 0) -> torch.Tensor:
    with keyed_dropout(model, ss.Seeds(4)) as masks:
        masks.at(number, np.array(ids))
        return model(x)  # type: ignore[no-any-return]


def test_a_mask_belongs_to_a_sample_and_a_batch_number() -> None:
    model, x = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5)), torch.ones(3, 50)
    whole = masked([7, 8, 9], x, model)
    assert torch.equal(masked([9, 7], x[:2], model), whole[[2, 0]])
    assert not torch.equal(masked([7, 8, 9], x, model, number=1), whole)
    assert set(whole.unique().tolist()) == {0.0, 4.0} and 0.15 < float((whole > 0).float().mean()) < 0.35
    assert "forward" not in vars(model[0]), "the layer is as it was"
    assert torch.equal(masked([7, 8, 9], x, model.eval()), x)


def test_steps_of_a_sample_share_a_mask_and_channels_fall_whole() -> None:
    model, x = nn.Dropout2d(0.5), torch.ones(4 * 3, 20, 2, 2)
    y = masked([0, 1, 2], x, model).unflatten(0, (4, 3))
    assert torch.equal(y, y[:1].expand_as(y)) and not torch.equal(y[0, 0], y[0, 1])
    assert torch.equal(y, y[..., :1, :1].expand_as(y)) and set(y.unique().tolist()) == {0.0, 2.0}


def test_kept_share_is_the_one_asked_for() -> None:
    y = masked(list(range(1000)), torch.ones(1000, 100), nn.Dropout(0.2))
    assert abs(float((y > 0).float().mean()) - 0.8) < 5 * (0.16 / 1e5) ** 0.5
