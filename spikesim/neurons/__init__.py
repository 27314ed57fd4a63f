"""Neurons: one equation in `_membrane.py`, one small file per family member, modules in `base.py`."""

from .base import BySubtraction, Neuron, NoReset, Reset, State, ToValue, Unroll, by_kernel, by_steps
from .iaf import IF
from .lif import LIF

__all__ = [
    "IF",
    "LIF",
    "BySubtraction",
    "Neuron",
    "NoReset",
    "Reset",
    "State",
    "ToValue",
    "Unroll",
    "by_kernel",
    "by_steps",
]
