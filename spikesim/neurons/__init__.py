"""Neurons: one equation in `_membrane.py`, one small file per family member, the module in `base.py`."""

from ._resets import BySubtraction, NoReset, Reset, ToValue
from .base import Neuron, State, Unroll, by_kernel, by_steps
from .iaf import IF
from .lif import LIF
from .signed import SignedIF

__all__ = [
    "IF", "LIF", "BySubtraction", "Neuron", "NoReset", "Reset", "SignedIF", "State", "ToValue", "Unroll", "by_kernel",
    "by_steps",
]  # fmt: skip
