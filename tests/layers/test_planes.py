"""Planes beside a picture: channels picked out, time as waves, class as a row."""

from __future__ import annotations

import math

import pytest
import torch

from spikesim.errors import ParameterError
from spikesim.layers import Channels, ClassEmbedding, TimeEmbedding


def test_channels_are_picked() -> None:
    x = torch.arange(24.0).reshape(2, 3, 2, 2)
    assert torch.equal(Channels(1, 3)(x), x[:, 1:])
    with pytest.raises(ParameterError, match=r"Channels\.start"):
        Channels(2, 2)


def test_waves_are_those_of_the_formula() -> None:
    x = torch.tensor([0.0, 3.0, 999.0])[:, None, None, None].expand(3, 1, 4, 4)
    found = TimeEmbedding(6)(x)
    for row, t in zip(found, (0.0, 3.0, 999.0)):
        f = [10000 ** (-i / 3) for i in range(3)]
        expected = [math.sin(t * k) for k in f] + [math.cos(t * k) for k in f]
        torch.testing.assert_close(row, torch.tensor(expected), atol=2e-4, rtol=0)
    with pytest.raises(ParameterError, match=r"TimeEmbedding\.size must be even"):
        TimeEmbedding(5)


def test_a_class_is_a_row_and_learns() -> None:
    layer = ClassEmbedding(3, 4)
    x = torch.tensor([2.0, 3.0])[:, None, None, None].expand(2, 1, 2, 2)
    found = layer(x)
    assert torch.equal(found, layer.weight[[2, 3]])
    found.sum().backward()
    assert torch.equal(layer.weight.grad, torch.tensor([0.0, 0.0, 1.0, 1.0])[:, None].expand(4, 4))
