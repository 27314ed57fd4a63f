"""What both directions share: the package, refusals, numbers, and time constants against steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import ArtefactError, ParameterError, must, nearest

OURS = "spikesim"
"""Key of the metadata that only we read."""

KINDS = (
    "Input", "Output", "Affine", "Linear", "Scale", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten", "Delay",
    "Threshold", "I", "IF", "LI", "LIF", "CubaLI", "CubaLIF", "NIRGraph",
)  # fmt: skip
"""Every node of NIR 1.0.8; all are read."""


class Unsaid(Exception):
    """What NIR cannot say; its text completes "got ..."."""


def package() -> Any:
    """The nir package, or a refusal that says how to get it."""
    try:
        import nir
    except ImportError:
        raise ArtefactError(
            must("spikesim.interop.nir", "used with the nir package", "none", "pip install 'spikesim[nir]'")
        ) from None
    return nir


def euler(dt: float, tau: np.ndarray) -> np.ndarray:
    """What is lost in one step of dt: dt / tau."""
    return dt / tau


def exponential(dt: float, tau: np.ndarray) -> np.ndarray:
    """What is lost in one step of dt under a constant drive: 1 - exp(-dt / tau), exact between spikes."""
    return -np.expm1(-dt / tau)


Loss = Callable[[float, np.ndarray], np.ndarray]
"""(dt, tau) -> what is lost in one step."""

LOSSES: dict[str, Loss] = {"euler": euler, "exponential": exponential}


def loss_of(integration: str) -> Loss:
    """The way from a time constant to a step, by name."""
    if integration not in LOSSES:
        rule = f"one of {', '.join(LOSSES)}"
        raise ParameterError(must("from_nir.integration", rule, integration, nearest(integration, LOSSES)))
    return LOSSES[integration]


def compact(values: Any, shape: tuple[int, ...]) -> Tensor:
    """float32 values for neurons of `shape`: one number, one per channel (C, 1, 1), or all of them."""
    a = np.broadcast_to(np.asarray(values, np.float64), shape).astype(np.float32)
    if a.size and (a == a.flat[0]).all():
        return torch.tensor(a.flat[0])
    if a.ndim == 3 and (a == a[:, :1, :1]).all():
        a = a[:, :1, :1]
    return torch.from_numpy(np.array(a))


def full(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """float32 values for neurons of `shape`, one for each: NIR takes a node's shape from them."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    return np.array(np.broadcast_to(np.asarray(values), shape), np.float32)


def pair(value: Any) -> tuple[int, int]:
    """A number or two of them as two."""
    flat = np.atleast_1d(np.asarray(value)).astype(int).tolist()
    return (flat[0], flat[-1])
