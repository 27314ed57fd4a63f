"""Faults with your own numbers: nothing is faulty unless a macro's TOML says so."""

from __future__ import annotations

from .base import Faults

__all__ = ["Faults"]
