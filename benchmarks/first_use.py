"""What a user waits for once: the first call of each main path with an empty kernel cache, then with a full one.

Each path runs in its own process; `import` is what `import spikesim` and its engine add to `import torch`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

SETUP = """
import json, time
started = time.perf_counter(); import torch; torch_s = time.perf_counter() - started
started = time.perf_counter(); import spikesim as ss; bare_s = time.perf_counter() - started
import numpy as np
from torch import nn
ss.run, ss.LIF
x = (torch.rand(10, 4, 2, 34, 34) < 0.02).float()
flat = ss.SparseRaster.from_dense(x.flatten(2))
dense = ss.Network.chain(nn.Linear(2312, 64), ss.LIF(), nn.Linear(64, 10), ss.LIF())
def conv():
    return ss.Network.chain(nn.Conv2d(2, 8, 3), ss.LIF(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2048, 10), ss.LIF())
"""
PATHS = {
    "neuron": "ss.LIF()(x.flatten(2))",
    "dense network on events": "torch.set_grad_enabled(False); ss.run(dense, flat)",
    "convolutional network on a raster": "torch.set_grad_enabled(False); ss.run(conv(), x)",
    "recordings to events": "ss.sparse_raster([ss.EventStream.sorted(np.arange(9), np.arange(9), np.arange(9), "
    "np.zeros(9, np.uint8), (34, 34))], 10)",
    "training step on events": "torch.set_grad_enabled(True); dense(flat)[0].sum().backward()",
}


def measure() -> list[dict[str, Any]]:
    """Rows {name, first_s, first_cpu_s (processor time), again_s, import_s}; the last row: all paths in one process."""
    paths = {**PATHS, "all of them": "; ".join(PATHS.values())}
    rows = []
    for name, code in paths.items():
        with tempfile.TemporaryDirectory() as cache:
            first, again = called(code, cache), called(code, cache)
        rows.append(
            {"name": name, "first_s": round(first["call_s"], 2), "first_cpu_s": round(first["cpu_s"], 2),
             "again_s": round(again["call_s"], 2), "import_s": round(again["import_s"], 3),
             "import_torch_s": round(again["torch_s"], 2)}
        )  # fmt: skip
    return rows


def called(code: str, cache: str) -> dict[str, float]:
    """Seconds of the call and of the import in a new process with this kernel cache."""
    timed = (
        f"cpu, started = time.process_time(), time.perf_counter()\n{code}\n"
        "call_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu\n"
    )
    report = "print(json.dumps({'call_s': call_s, 'cpu_s': cpu_s, 'import_s': bare_s, 'torch_s': torch_s}))"
    done = subprocess.run(
        [sys.executable, "-c", SETUP + timed + report], env={**os.environ, "NUMBA_CACHE_DIR": cache},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return dict(json.loads(done.stdout.splitlines()[-1]))
