"""A diffusion model on an emulated chip, and what a picture costs: by the paper's operation count, and from the chip's ledger.

    paper   E = 4.6 pJ MAC(first convolution) + 0.9 pJ sum of SOP,  SOP = rate T MAC of a layer that spikes drive
            E_ANN = 4.6 pJ sum of MAC;  32-bit float at 45 nm, arithmetic alone
    chip    counts of the run x the macro's prices (`hardware.price`): arrays, converters, buffers, neurons, digital layers

The paper's count leaves out memory, and here also layers that analog values drive (the time's layers, shortcuts, the tail): they
are given beside it, priced as multiply-accumulates. A picture is all its calls of the denoiser.

Cao et al. 2024, arXiv 2408.16467, table 4 and appendix; energies of operations: Horowitz, ISSCC 2014.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..core.ledger import Action, Key, Ledger
from ..core.params import number
from ..core.seeds import Seeds
from ..errors import ShapeError, must
from ..hardware.cost.price import price
from ..hardware.cost.report import EnergyReport
from ..hardware.deployment import deploy
from ..hardware.macro import Macro
from ..units import si
from .converted import noised_planes
from .model import DiffusionModel
from .sampling import Sampler, Sampling

MAC_J, AC_J = 4.6e-12, 0.9e-12


def deployed(
    model: DiffusionModel, macro: Macro, pictures: Tensor, *, seeds: Seeds, **options: Any
) -> tuple[DiffusionModel, tuple[str, ...]]:
    """The model with its layers on a chip's crossbars, and warnings.

    pictures  (N, C, H, W) of the training data, in -1..1: noised at all times, they set converters' ranges
    options   of `hardware.deploy`, whose errors are its own; ShapeError for other pictures
    """
    about = model.about
    if pictures.ndim != 4 or tuple(pictures.shape[1:]) != about.shape or not len(pictures):
        raise ShapeError(must("deployed.pictures", f"(N, {', '.join(map(str, about.shape))})", tuple(pictures.shape)))
    shown = noised_planes(model, pictures, seeds.child("calibration"))
    chip = deploy(
        model.network, macro, seeds=seeds.child("chip"), calibration=shown.expand(about.steps, *shown.shape), **options
    )
    return model.with_network(chip.network, chip=chip.content_hash), chip.warnings


@dataclass(frozen=True)
class PictureEnergy:
    """Joules of one picture.

    calls        of the denoiser            pictures    that were counted
    paper, ann   by the paper's formula: of the spiking network, of one dense pass of the same layers a call
    analog       what the formula leaves out in layers that analog values drive, as multiply-accumulates
    rate         spikes per input and step of the layers that spikes drive, weighted by their operations
    chip         one call on the chip, or None where the model is on none
    """

    calls: float
    pictures: int
    paper: float
    ann: float
    analog: float
    rate: float
    chip: EnergyReport | None

    @property
    def chip_J(self) -> float | None:
        """On the chip."""
        return None if self.chip is None else self.chip.energy_J["total"] * self.calls

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "calls": self.calls, "pictures": self.pictures, "paper_J": self.paper, "ann_J": self.ann,
            "analog_layers_J": self.analog, "rate": self.rate, "chip_J": self.chip_J,
            "chip_seconds": None if self.chip is None else self.chip.latency_s * self.calls,
            "excluded": "paper_J, ann_J: memory, neurons, normalisation; analog_layers_J: memory",
        }  # fmt: skip

    def __str__(self) -> str:
        chip = "" if self.chip_J is None else f"; on {self.chip.macro.name} {si(self.chip_J, 'J', 3)}"  # type: ignore[union-attr]
        return (
            f"a picture of {self.calls:g} calls: {si(self.paper, 'J', 3)} by the paper's count (memory, and "
            f"{si(self.analog, 'J', 3)} of analog layers, not in it), the same layers as an ANN {si(self.ann, 'J', 3)}{chip}"
        )


def picture_energy(
    model: DiffusionModel, sampling: Sampling, *, seeds: Seeds, pictures: int = 4, chip: DiffusionModel | None = None,
    macro: Macro | None = None,
) -> PictureEnergy:  # fmt: skip
    """Sample some pictures and count: on the network, and on `chip` (from `deployed`), priced with its macro."""
    number("picture_energy.pictures", pictures, at_least=1, integer=True)
    ledger = Ledger()
    Sampler(model, sampling, seeds, ledger=ledger)(range(pictures))
    calls, spent = ledger.samples / pictures, _by_formula(model, ledger)
    report = None
    if chip is not None and macro is not None:
        counted, network = Ledger(), chip.network
        Sampler(chip, sampling, seeds, ledger=counted)(range(pictures))
        edges = [(e.source, e.target) for e in network.edges]
        report = price(counted, macro, steps=chip.about.steps, order=network.order, edges=edges)
    paper, ann, analog = (spent[name] * calls for name in ("paper", "ann", "analog"))
    return PictureEnergy(calls, pictures, paper, ann, analog, spent["rate"], report)


def _by_formula(model: DiffusionModel, ledger: Ledger) -> dict[str, float]:
    """Joules of one call, and the rate; T times the first convolution is counted, and paid once."""
    network, steps = model.network, model.about.steps
    x = torch.zeros(1, *(network.input_shape or model.about.shape))
    dense = network.synapses(x)
    convolutions = [name for name in network.order if isinstance(network.node(name), nn.Conv2d)]
    first = convolutions[0] if convolutions else ""
    adds = {name: ledger.mean(Key(name, "", Action.digital_add)) for name in dense}
    macs = {name: ledger.mean(Key(name, "", Action.digital_mac)) for name in dense}
    spiking = [name for name in dense if adds[name] and not macs[name]]
    operations = sum(adds[name] for name in spiking)
    analog = sum(macs[name] for name in dense if name != first)
    return {
        "paper": MAC_J * dense.get(first, 0) + AC_J * operations, "ann": MAC_J * sum(dense.values()),
        "analog": MAC_J * analog, "rate": operations / max(steps * sum(dense[name] for name in spiking), 1),
    }  # fmt: skip
