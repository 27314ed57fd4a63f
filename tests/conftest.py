"""Shared fixtures: the optional folder of real recordings, and seeds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings ($SPIKESIM_DATA or ../shared/data); skips, visibly, without it."""
    root = Path(os.environ.get("SPIKESIM_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (root / "nmnist_small.npz").is_file():
        pytest.skip("needs the shared data folder: set SPIKESIM_DATA")
    return root
