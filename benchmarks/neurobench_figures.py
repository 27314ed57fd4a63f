"""NeuroBench's own figures of small snnTorch networks, stored for `tests/interop/test_neurobench.py`.

    .venv-peers/bin/python -m benchmarks.neurobench_figures --store

needs the peers (`make peers`); without `--store` it prints theirs beside ours.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

STORED = Path(__file__).parents[1] / "tests" / "interop" / "neurobench.json"
STEPS, BATCH = 6, 5


def layers(name: str) -> list[nn.Module]:
    """Modules of a case, with weights that are the same on every machine; some are 0."""
    import snntorch

    def leaky(beta: float, last: bool = False, **options: Any) -> nn.Module:
        return snntorch.Leaky(beta=beta, init_hidden=True, output=last, **options)

    made: list[nn.Module] = {
        "dense": lambda: [nn.Linear(20, 30), leaky(0.9), nn.Linear(30, 6), leaky(0.7, True)],
        "convolution": lambda: [
            nn.Conv2d(2, 4, 3, stride=2, padding=1), leaky(0.8, threshold=0.5), nn.Flatten(), nn.Linear(100, 7, bias=False),
            leaky(0.95, True, reset_mechanism="zero"),
        ],
        "integrate": lambda: [nn.Linear(12, 40, bias=False), leaky(1.0, threshold=0.6), nn.Linear(40, 5), leaky(1.0, True)],
    }[name]()  # fmt: skip
    draw = np.random.default_rng(7)
    for module in made:
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            weight = draw.normal(0, 0.4, module.weight.shape) * (draw.random(module.weight.shape) < 0.8)
            module.weight.data = torch.from_numpy(weight.astype(np.float32))
            if module.bias is not None:
                module.bias.data = torch.from_numpy(draw.normal(0, 0.1, module.bias.shape).astype(np.float32))
    return made


def inputs(name: str, graded: bool) -> torch.Tensor:
    """x (T, B, *shape): spikes of -1, 0 and 1, or counts at every other step."""
    shape = {"dense": (20,), "convolution": (2, 10, 10), "integrate": (12,)}[name]
    draw = np.random.default_rng(11)
    share = [0.01, 0.95, 0.04] if name == "integrate" else [0.1, 0.6, 0.3]  # so few that membranes stay as they are
    x = draw.choice([-1.0, 0.0, 1.0], (STEPS, BATCH, *shape), p=share)
    if graded:
        x[::2] *= draw.integers(1, 4, x[::2].shape)
    return torch.from_numpy(x.astype(np.float32))


CASES = [(name, graded) for name in ("dense", "convolution", "integrate") for graded in (False, True)]


def theirs(name: str, graded: bool) -> dict[str, Any]:
    """What NeuroBench says of a case."""
    from neurobench.metrics.static.connection_sparsity import ConnectionSparsity
    from neurobench.metrics.static.footprint import Footprint
    from neurobench.metrics.workload.activation_sparsity import ActivationSparsity
    from neurobench.metrics.workload.membrane_updates import MembraneUpdates
    from neurobench.metrics.workload.synaptic_operations import SynapticOperations
    from neurobench.models import SNNTorchModel

    network = nn.Sequential(*layers(name))
    x = inputs(name, graded).transpose(0, 1)  # (batch, step, ...)
    model = SNNTorchModel(network)
    fixed = {"footprint": Footprint()(model), "connection_sparsity": ConnectionSparsity()(model)}
    model.register_hooks()
    with torch.no_grad():
        answer = model(x)
    metrics = {
        "activation_sparsity": ActivationSparsity(), "membrane_updates": MembraneUpdates(),
        "synaptic_operations": SynapticOperations(),
    }  # fmt: skip
    counted = {key: metric(model, answer, (x, torch.zeros(BATCH))) for key, metric in metrics.items()}
    return {**fixed, **counted, "spikes": int(answer.sum())}


def ours(name: str, graded: bool) -> dict[str, Any]:
    """What we say of the same network, read from snnTorch."""
    from spikesim.interop.neurobench import footprint, neurobench_figures
    from spikesim.interop.snntorch import from_snntorch

    modules = layers(name)
    found = neurobench_figures(from_snntorch(modules), inputs(name, graded)).to_json()
    return {**found, "footprint": footprint(nn.Sequential(*modules))}


def main() -> None:
    """Print both, or store theirs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", action="store_true", help="write tests/interop/neurobench.json")
    store = parser.parse_args().store
    found = {f"{name}{' graded' if graded else ''}": theirs(name, graded) for name, graded in CASES}
    if store:
        STORED.write_text(json.dumps(found, indent=1) + "\n")
    for name, graded in CASES:
        print(
            name,
            "graded" if graded else "",
            found[f"{name}{' graded' if graded else ''}"],
            ours(name, graded),
            sep="\n  ",
        )


if __name__ == "__main__":
    main()
