"""What happens to a training run when the machine does its worst: killed in the middle of a checkpoint, a full disk."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim.errors import ArtefactError
from spikesim.training import CrossEntropy, TensorBatches, Training, fit

SETTINGS = Training(epochs=4, learning_rate=1e-2)


def run(checkpoint: Path | None) -> tuple[nn.Module, int]:
    """Train a small network; the epochs that this call did itself."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)), torch.randn(60, 6)
    done: list[int] = []
    batches = TensorBatches(x, x[:, :3].argmax(1), 16)
    fit(
        model,
        batches,
        CrossEntropy(),
        SETTINGS,
        seeds=ss.Seeds(1),
        checkpoint=checkpoint,
        watch=lambda e: done.append(e.number),
    )
    return model, len(done)


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import test_faults
replace, calls = os.replace, []
def killing(*arguments):
    calls.append(arguments)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*arguments)
os.replace = killing
test_faults.run(Path(sys.argv[1]))
"""


def test_a_run_killed_in_the_middle_of_a_checkpoint_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    child = CHILD.format(here=str(Path(__file__).parent))
    killed = subprocess.run([sys.executable, "-c", child, str(path)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert path.exists() and len(list(tmp_path.iterdir())) == 2  # the second epoch's, and half of the third's
    model, epochs = run(path)
    whole, _ = run(None)
    assert epochs == 2
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), whole.state_dict().values()))


def test_a_full_disk_is_one_sentence_and_the_checkpoint_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, replace, calls = tmp_path / "run.safetensors", os.replace, []

    def full(*arguments: str) -> None:
        calls.append(arguments)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(*arguments)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(
        ArtefactError, match=r"run.safetensors must be a file that can be written, got No space left on device"
    ) as refusal:
        run(path)
    assert "\n" not in str(refusal.value)
    assert [p.name for p in tmp_path.iterdir()] == ["run.safetensors"]
    monkeypatch.undo()
    model, epochs = run(path)
    whole, _ = run(None)
    assert epochs == 2
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), whole.state_dict().values()))
