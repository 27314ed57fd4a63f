"""Liquid state machines: fixed random reservoirs, their features, probes and projections, zero-shot match of modalities.

Read `weights.py` (what is random), `reservoir.py`, `extraction.py`, then `contrastive.py` and `retrieval.py`; `study.py` is all
of it from one TOML file.
"""

from .contrastive import Contrastive, Embedding, trained
from .extraction import Features, Frames, features
from .probe import LinearProbe, probed
from .reservoir import Reservoir
from .retrieval import matched, prototypes, retrieved
from .weights import Formed, Gaussian, Given

__all__ = [
    "Contrastive",
    "Embedding",
    "Features",
    "Formed",
    "Frames",
    "Gaussian",
    "Given",
    "LinearProbe",
    "Reservoir",
    "features",
    "matched",
    "probed",
    "prototypes",
    "retrieved",
    "trained",
]
