"""Whether calibration inputs are scaled as the training's were, as far as a normalisation remembers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .draft import Draft

FAR = 10.0
"""Root mean square, in the normalisation's standard deviations, above which (or below its inverse) inputs look wrong."""


@torch.no_grad()
def range_warning(draft: Draft) -> str | None:
    """One line where the first batch normalisation meets other values than it was trained on, else None.

    rms = sqrt(mean ((x - mu)^2 / sigma^2)),      near 1 on the training's inputs
    """
    first = next((node for node in draft.nodes if isinstance(node.module, (nn.BatchNorm1d, nn.BatchNorm2d))), None)
    if first is None:
        return None
    source = first.sources[0]
    x = draft.calibration.first
    values = x if source not in {node.name for node in draft.nodes} else _value(draft, source, x)
    norm: nn.Module = first.module
    mean, var = (t.reshape(-1, *[1] * (values.ndim - 2)) for t in (norm.running_mean, norm.running_var))  # type: ignore[operator,union-attr]
    rms = float(((values - mean).square() / (var + norm.eps)).mean().sqrt())  # type: ignore[operator]
    if 1 / FAR < rms < FAR:
        return None
    return (
        f"calibration inputs reach ann.{first.path} at {rms:.2g} of its standard deviations, where training had about 1: "
        "are they scaled as in training?"
    )


def _value(draft: Draft, name: str, x: Tensor) -> Tensor:
    return next(value for node, value in draft.replay(x) if node.name == name)
