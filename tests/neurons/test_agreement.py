"""Named constructors against traces of the frameworks they are named after, spike for spike.

The traces were written by `python -m benchmarks.agreement --store` (`make peers`), which also compares live.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.agreement.cases import CASES, drive

TRACES = Path(__file__).parent / "traces"
STEPS, NEURONS = 100, 1024


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("way", ["by_kernel", "by_steps"])
def test_equals_its_framework(name: str, way: str) -> None:
    case = CASES[name]
    with np.load(TRACES / f"{case.peer}.npz") as traces:
        wanted, last = traces[f"{name}/spikes"], traces[f"{name}/v"]
        own = {key.removeprefix(f"{name}/"): traces[key] for key in traces.files if key.startswith(f"{name}/")}
    neuron, x = case.make(), drive(STEPS, NEURONS) * case.factor + case.offset
    numbers = {key: torch.from_numpy(value) for key, value in own.items() if key not in ("spikes", "v")}
    for key, value in neuron.state_dict().items():
        torch.testing.assert_close(numbers[key], value, rtol=1e-6, atol=0)
    neuron.load_state_dict(numbers)
    with torch.no_grad():
        spikes, state = getattr(neuron, way)(x, neuron.initial_state(x.shape[1:], x))
    assert x.numel() >= 10**5 and wanted.sum() > 0
    assert np.array_equal(spikes.numpy(), wanted) and np.array_equal(state.v.numpy().ravel(), last)
