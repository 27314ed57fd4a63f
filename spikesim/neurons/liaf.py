"""LIAF: leaky integrate and analog fire. The membrane resets as a LIF's; what is sent on is analog."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..errors import ParameterError, must
from .general import Variant
from .lif import LIF


class LIAF(LIF):
    """Leaky integrate and analog fire.

        h = beta v + x;    s = 1 where h >= threshold;    v = reset(h, s);    output f(h)

    f   "relu": max(h, 0), or a number: h where h > 0, else that slope times h; "spike": s h
    The output is analog: hardware reads it with several bits. Other arguments, shapes and state: see `LeakyNeuron`.
    Wu et al. 2021 (LIAF-Net).
    """

    def __init__(
        self, beta: float | Tensor = 0.9, threshold: float | Tensor = 1.0, *, f: str | float = "relu", **options: Any
    ) -> None:
        named = {"relu": Variant(slope=0.0), "spike": Variant(plain=0.0, times=1.0)}
        if isinstance(f, str) and f not in named:
            raise ParameterError(must("LIAF.f", "relu, spike or a number", f))
        variant = named[f] if isinstance(f, str) else Variant(slope=float(f))
        super().__init__(beta, threshold, variant=variant, **options)
