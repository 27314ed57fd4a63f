"""V3: an ideal array is a matrix: products, transposes, slices of it and a solver built on it, as numpy has them.

The case is that of CrossSim's first tutorial (products of an ideal core equal numpy's); tolerance 1e-6 of the largest value.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim import hardware
from spikesim.core.operator import Context
from spikesim.hardware.mappings.differential import Mapping as Pair
from spikesim.hardware.mappings.offset import Mapping as Offset


def core(matrix: np.ndarray, **design: object) -> tuple[object, float]:
    """An operator for x -> x matrix of inputs in [-1, 1], analog with 16 bits."""
    network = ss.Network.chain(nn.Linear(*matrix.shape, bias=False)).requires_grad_(False)
    network.node("0").weight.copy_(torch.from_numpy(matrix.T))
    macro = hardware.load_macro("ideal").varied(**design)
    calibration = torch.linspace(-1, 1, matrix.shape[0])[None, None]
    chip = hardware.deploy(network, macro, seeds=ss.Seeds(0), calibration=calibration, analog_bits=16)
    return chip.crossbars["0"], 1 / (2**16 - 1)


def product(operator: object, x: np.ndarray) -> np.ndarray:
    y = operator.apply(torch.from_numpy(x.astype(np.float32))[None], Context("0", 0, np.arange(len(x))))  # type: ignore[attr-defined]
    return y[0].numpy()


@pytest.mark.parametrize("mapping", [Pair(), Pair(two_sided=1), Offset(), Offset(reference_column=1)], ids=str)
@pytest.mark.parametrize("rows", [512, 16])
def test_products_transposes_and_slices(mapping: object, rows: int) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.uniform(-1, 1, (40, 30))
    forward, step = core(matrix, mapping=mapping, rows=rows, columns=64)
    backward, _ = core(matrix.T.copy(), mapping=mapping, rows=rows, columns=64)
    x, y = (np.round(rng.uniform(-1, 1, (5, n)) / step) * step for n in (40, 30))
    for found, wanted in ((product(forward, x), x @ matrix), (product(backward, y), y @ matrix.T)):
        assert np.abs(found - wanted).max() < 3e-6 * np.abs(wanted).max() * (4 if isinstance(mapping, Offset) else 1)
    part = np.zeros((5, 40))
    part[:, 7:19] = x[:, 7:19]
    wanted = x[:, 7:19] @ matrix[7:19, 3:21]
    assert np.abs(product(forward, part)[:, 3:21] - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_conjugate_gradients_on_an_ideal_core() -> None:
    """A symmetric system solved with products on the array alone: to what 16-bit inputs leave."""
    rng = np.random.default_rng(1)
    half = rng.normal(size=(24, 24)) / 5
    matrix, wanted = half @ half.T + np.eye(24), rng.uniform(-1, 1, 24)
    operator, _ = core(matrix)
    b = wanted @ matrix
    x, residual = np.zeros(24), b.copy()
    direction = residual.copy()
    for _ in range(40):
        scale = np.abs(direction).max()
        image = product(operator, (direction / scale)[None])[0] * scale
        rate = residual @ residual / (direction @ image)
        x, before = x + rate * direction, residual @ residual
        residual = residual - rate * image
        direction = residual + residual @ residual / before * direction
        if np.abs(residual).max() < 1e-6:
            break
    assert np.abs(x - wanted).max() < 1e-3
