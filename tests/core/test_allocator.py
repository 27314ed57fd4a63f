"""Freed memory is kept for the next step: page faults of the same work, counted in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys
from contextlib import nullcontext
import numpy as np
from spikesim.core.allocator import freed_memory_kept

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        blocks = [np.ones(1 << 20, np.float32) for _ in range(8)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with freed_memory_kept() if sys.argv[1] == "kept" else nullcontext():
    faults()
    print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_freed_memory_is_not_asked_for_again() -> None:
    found = {
        way: int(subprocess.run([sys.executable, "-c", CODE, way], capture_output=True, text=True, check=True).stdout)
        for way in ("kept", "given back")
    }
    assert found["kept"] < 1000 < found["given back"], found
