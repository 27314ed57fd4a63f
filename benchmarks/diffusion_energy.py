"""Joules of a picture of the spiking U-Net, 50 DDIM steps: by the paper's count, and on an emulated chip.

SPIKESIM_SHARED=DIR DIFFUSION=OUT python -m benchmarks diffusion_energy        OUT/taught is that of `benchmarks.diffusion_models`
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import spikesim as ss
from benchmarks.diffusion import data, shared
from benchmarks.harness import machine
from spikesim import hardware
from spikesim.diffusion import DiffusionModel, Sampling, deployed, picture_energy

MACRO = "taox40-projected"


def measure(pictures: int = 2, steps: int = 50) -> list[dict[str, Any]]:
    """One row."""
    model = DiffusionModel.load(Path(os.environ["DIFFUSION"]) / "taught")
    macro, seeds = hardware.load_macro(MACRO), ss.Seeds(0)
    chip, warnings = deployed(model, macro, data("train", shared())[:64], seeds=seeds)
    found = picture_energy(model, Sampling(steps=steps), seeds=seeds, pictures=pictures, chip=chip, macro=macro)
    assert found.chip is not None
    layers = found.chip.energy_J
    return [
        {"macro": MACRO, "steps": steps, "time_steps": model.about.steps, **found.as_dict(), "warnings": list(warnings)}
        | {"chip_by_component_J": layers["by_component"], "text": str(found)}
        | machine()
    ]
