"""The read as products in torch, which other devices run: the kernels' counts and words, their outputs to rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim import hardware
from spikesim.core.operator import Context
from spikesim.core.philox import words, words_of_tensors
from spikesim.errors import ParameterError
from spikesim.hardware._dense import read_dense
from spikesim.hardware.converters.sar import ADC as SAR
from spikesim.hardware.crossbar import Crossbar
from spikesim.hardware.mappings.differential import Mapping as Pair
from spikesim.hardware.mappings.offset import Mapping as Offset

MACRO = hardware.load_macro("taox40-projected").varied(rows=20, columns=24)
DESIGNS = {
    "pairs": MACRO,
    "subtracted, successive approximation": MACRO.varied(
        mapping=Pair(analog=1), adc=SAR(8, noise=0.5, capacitor_sd=0.05)
    ),
    "reference column, by pixel": MACRO.varied(mapping=Offset(4, 2, reference_column=1), by_pixel=1),
}


def test_words_of_tensors_are_those_of_arrays() -> None:
    rng = np.random.default_rng(0)
    counter = rng.integers(0, 2**32, (4, 100))
    found = words_of_tensors(*torch.from_numpy(counter), key=2**64 - 12345)
    assert all(np.array_equal(f.numpy(), w) for f, w in zip(found, words(*counter, key=2**64 - 12345)))


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize(
    "layer", [nn.Linear(45, 7), nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2), nn.Conv1d(6, 5, 4)]
)
@pytest.mark.parametrize("noisy", [False, True])
def test_products_are_the_kernels_reads(design: str, layer: nn.Module, noisy: bool) -> None:
    torch.manual_seed(0)
    shape = {nn.Linear: (45,), nn.Conv2d: (6, 7, 6), nn.Conv1d: (6, 11)}[type(layer)]
    x = torch.poisson(torch.full((3, 4, *shape), 0.5), generator=torch.Generator().manual_seed(1))
    x *= torch.randint(0, 2, x.shape) * 2 - 1
    network = ss.Network.chain(layer).requires_grad_(False)
    chip = hardware.deploy(network, DESIGNS[design], seeds=ss.Seeds(0), calibration=x)
    crossbar: Crossbar = chip.crossbars["0"]
    ids, ledger = np.array([5, 9, 2**33, 7]), ss.Ledger()
    context = Context("0", 6, ids, None, ledger)
    key = crossbar.seeds.key if noisy else None  # type: ignore[union-attr]
    ledger.open(ids)
    reader = crossbar if noisy else crossbar.__class__(**{**vars(crossbar), "seeds": None})
    wanted, counts_wanted = reader._read(x, context)
    found, counts = read_dense(x, ids, 6, crossbar.patches, crossbar.bank, key, crossbar.outputs)
    found = found * crossbar.bank.laid.scale + torch.from_numpy(crossbar.bias)
    found = found.transpose(1, 2).reshape(wanted.shape)
    kept = np.ones(counts.shape[2], bool)
    kept[2] = False  # whether a conversion clips may hang on the last bit
    assert np.array_equal(counts.numpy()[:, :, kept], counts_wanted[:, :, kept])
    near = (found - wanted).abs() <= 1e-4 * wanted.abs().max()
    assert near.float().mean() > 0.98 and (found - wanted).abs().max() < 0.2 * wanted.abs().max()


def test_other_devices_refuse_what_the_cpu_refuses() -> None:
    drive = hardware.drive.Drive(1, False)
    for value, message in ((0.3, "whole numbers"), (float("nan"), "whole numbers"), (-1.0, "at least 0")):
        with pytest.raises(ParameterError, match=f"fc.x must be {message}"):
            drive.whole(torch.full((1, 3), value), "fc")
    assert drive.whole(torch.tensor([[0.0, 5.0]]), "fc").tolist() == [[0.0, 5.0]]
    analog = hardware.drive.Drive(255, True, 0.01)
    assert analog.whole(torch.tensor([[-9.0, 0.014]]), "fc").tolist() == [[-255.0, 1.0]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_chip_runs_on_a_cuda_device() -> None:
    torch.manual_seed(0)
    network = ss.Network.chain(nn.Linear(45, 30), ss.IF(0.5), nn.Linear(30, 7)).requires_grad_(False)
    x = (torch.rand(5, 4, 45) < 0.4).float()
    chip = hardware.deploy(network, MACRO, seeds=ss.Seeds(0), calibration=x)
    wanted = ss.run(chip, x).output
    found = ss.run(chip.network.cuda(), x.cuda()).output.cpu()
    assert ((found - wanted).abs() < 1e-3 * wanted.abs().max()).float().mean() > 0.9
