"""Two processes by torchrun: one step's gradient, and a run of two epochs, are those of one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import two_processes
from safetensors.torch import load_file

from spikesim.training.processes import Processes

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, torch.Tensor]]:
    """What each of two processes left."""
    out = tmp_path_factory.mktemp("parallel")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(two_processes.__file__), str(out)], capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert (out / "run.safetensors").exists()
    return [load_file(out / f"{rank}.safetensors") for rank in (0, 1)]


def test_a_step_of_two_processes_has_the_gradient_of_one(found: list[dict[str, torch.Tensor]]) -> None:
    alone = two_processes.gradient(Processes())
    assert "gradient.2.leak" in alone and len(alone) == 5
    for name, wanted in alone.items():
        largest = float(wanted.abs().max())
        for process in found:
            assert float((process[name] - wanted).abs().max()) <= 1e-5 * largest


def test_a_run_of_two_processes_is_that_of_one(found: list[dict[str, torch.Tensor]]) -> None:
    alone = two_processes.trained(None)
    for name, wanted in alone.items():
        for process in found:
            torch.testing.assert_close(process[name], wanted, rtol=1e-4, atol=1e-6)
    for name in alone:
        assert torch.equal(found[0][name], found[1][name])
