"""Stages: a linear node and the neurons it drives, in one kernel, events in and spikes out.

A chain of stages is what the event-driven engine makes of a feed-forward network: currents never reach memory, and
spikes pass between layers as bits. Read `program.py` for how a network becomes a chain, then `dense.py`.
"""

from .learning import can_learn, learned
from .packed import Bits
from .program import EVENTS, Program, as_tensor, compiled
from .recurrent import Past

__all__ = ["EVENTS", "Bits", "Past", "Program", "as_tensor", "can_learn", "compiled", "learned"]
