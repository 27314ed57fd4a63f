"""What compiled gradients are not: differentiable themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch

from ..errors import ParameterError, must


def first_only(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A gradient of kernels, which torch would take for a constant where derivatives of it are asked for: it is refused there.

    Raises ParameterError where a graph of the gradient is made (`create_graph=True`).
    """

    @wraps(backward)
    def checked(*args: Any) -> Any:
        if torch.is_grad_enabled():
            remedy = "run with engine=spikesim.Reference(), which differentiates twice"
            raise ParameterError(must("backward.create_graph", "False for compiled neurons and events", True, remedy))
        return backward(*args)

    return checked
