"""spikesim: convert trained ANNs to spiking networks, simulate event data, estimate energy on emulated macros.

    import spikesim as ss
    from spikesim import hardware

Every public name is loaded on first use. Read `network.py`, `engine.py`, then `conversion/`, then `hardware/`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "conversion": ("ConversionReport", "convert"),
    "checkpoint": ("load", "save"),
    "core.binning": ("sparse_raster",),
    "core.events": ("EventStream",),
    "core.ledger": ("Action", "Ledger"),
    "core.raster": ("SparseRaster",),
    "core.seeds": ("Seeds",),
    "early_exit": ("Lead", "chosen_lead", "evaluate_early", "run_until"),
    "engine": ("EventDriven", "Fused", "Reference", "Run", "run"),
    "errors": ("SpikesimError",),
    "layers": ("DelayedLinear", "SparseLinear"),
    "network": ("Edge", "Network"),
    "neurons": (
        "IF",
        "LIAF",
        "LIF",
        "AdaptiveLIF",
        "BySubtraction",
        "CorrectedIF",
        "CuBaLIF",
        "GradedIF",
        "Integrator",
        "NoReset",
        "NormalisedLIF",
        "ParametricLIF",
        "SignedIF",
        "ToValue",
    ),
    "readout": ("DelayedMean", "Mean", "Sum"),
    "surrogate": ("ATan", "FastSigmoid", "Gaussian", "Rectangular", "StraightThrough", "SuperSpike", "Triangular"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'spikesim' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"spikesim.{_HOME_OF[name]}"), name)
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
