"""Neurons: one equation in `_membrane.py`, one small file per family member, the module in `base.py`.

What goes beyond that equation (other forms of the charge, refractory steps, several spikes, adaptation, analog output)
is `_general.py`; the exponential synapse and the integrator are `synapse.py`.
"""

from ._resets import BySubtraction, NoReset, Reset, ToValue
from .adaptive import AdaptiveLIF
from .base import Neuron, State, Unroll, by_kernel, by_steps
from .corrected import CorrectedIF
from .cuba import CuBaLIF
from .graded import GradedIF
from .iaf import IF
from .integrator import Integrator
from .liaf import LIAF
from .lif import LIF
from .normalised import NormalisedLIF
from .parametric import ParametricLIF
from .signed import SignedIF

__all__ = [
    "IF", "LIAF", "LIF", "AdaptiveLIF", "BySubtraction", "CorrectedIF", "CuBaLIF", "GradedIF", "Integrator", "Neuron",
    "NoReset", "NormalisedLIF", "ParametricLIF", "Reset", "SignedIF", "State", "ToValue", "Unroll", "by_kernel", "by_steps",
]  # fmt: skip
