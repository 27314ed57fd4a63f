"""Emulated in-memory-computing hardware: devices, mappings, converters, macros, deployment, energy.

    from spikesim import hardware
    chip = hardware.deploy(network, hardware.load_macro("taox40-projected"), seeds=Seeds(7))
    print(hardware.estimate(chip, data, steps=32))

Hardware meets the rest at two seams in `core`: LinearOperator and Ledger. Every public name is loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "tally": ("Survey", "Tally"),
    "chips": ("Chip", "load_chip"),
    "deployment": ("deploy", "sample_chips"),
    "energy": ("EnergyReport", "estimate", "price"),
    "ann": ("ann_of", "ann_on_chip", "estimate_ann"),
    "comparison": ("Comparison", "compare"),
    "sensitivity": ("Sweep", "sweep"),
    "design": ("Search", "search"),
    "study": ("OverChips", "one_chip"),
    "variation": ("hardest", "varied"),
    "constant": ("Constant",),
    "cost.converters": ("survey_joules", "with_bits"),
    "cost.processing_element": ("processing_element_cost",),
    "cost.technology": ("area_ratio", "energy_ratio"),
    "fit": ("DeviceFit", "fit_device"),
    "loop": ("in_the_loop",),
    "macro": ("Macro",),
    "measured": ("read_map",),
    "presets": ("fault_names", "load_device", "load_macro", "macro_names"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
