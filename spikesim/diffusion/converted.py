"""A diffusion model by conversion: a U-Net with quantised activations becomes spiking, and is tuned block by block.

T = levels (2^bits - 1), thresholds are the clips that were learned, membranes start at half of them: then a neuron's count is the
quantised activation of a constant drive. What is lost comes from drives that are not constant.

Cao et al. 2024, arXiv 2408.16467, section 4.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..conversion import ConversionReport, convert
from ..conversion.block_finetuning import TunedBlock, Tuning, finetune_blocks
from ..core.seeds import Seeds
from ..errors import ConversionError, must
from ..layers import QuantisedReLU
from .model import DiffusionModel
from .network_denoiser import planes
from .unet import block_of


def noised_planes(model: DiffusionModel, pictures: Tensor, seeds: Seeds) -> Tensor:
    """What the network sees while it samples: (N, C + 1 (+ 1), H, W) of pictures noised at times drawn alike."""
    about, drawn = model.about, seeds.torch()
    schedule = about.whole_schedule()
    k = torch.randint(schedule.steps, (len(pictures),), generator=drawn)
    labels = torch.randint(about.classes + 1, (len(pictures),), generator=drawn) if about.classes else None
    x = schedule.noised(pictures, k, torch.randn(pictures.shape, generator=drawn))
    return planes(x, torch.as_tensor(schedule.times)[k], labels, about.classes)


def converted(
    model: DiffusionModel, pictures: Tensor, *, seeds: Seeds, steps: int | None = None, recipe: Any = "auto"
) -> tuple[DiffusionModel, ConversionReport]:
    """The model as a spiking one.

    pictures   (N, C, H, W) of the training data in -1..1, to calibrate with; 64 or more
    steps      T; None: the levels of its quantised activations. ConversionError where it has none and T is not given
    recipe     of `spikesim.convert`
    """
    levels = {m.levels for m in model.network.nodes.values() if isinstance(m, QuantisedReLU)}
    if steps is None and len(levels) != 1:
        rule = "given for a network without quantised activations of one number of levels"
        raise ConversionError(must("converted.steps", rule, None, 'train with activation = "quantised", or give T'))
    shown = noised_planes(model, pictures, seeds.child("calibration"))
    count = steps or levels.pop()
    network, report = convert(model.network, calibration=shown, steps=count, recipe=recipe)
    return model.with_network(network, count), report


def tuned(
    model: DiffusionModel, pictures: Tensor, *, seeds: Seeds, tuning: Tuning | None = None,
    watch: Callable[[TunedBlock], None] | None = None,
) -> tuple[DiffusionModel, list[TunedBlock]]:  # fmt: skip
    """A converted model with its blocks tuned one by one on such pictures (`conversion.block_finetuning`)."""
    shown = noised_planes(model, pictures, seeds.child("tuning"))
    network, blocks = finetune_blocks(
        model.network, shown, steps=model.about.steps, block_of=block_of, seeds=seeds, tuning=tuning, watch=watch
    )
    return model.with_network(network), blocks
