"""`python -m benchmarks.agreement [--store]`: every named constructor against its peer, spike for spike.

Runs in the environment of `make peers`. One JSON line per case; exit status 1 where a spike differs. `--store` writes
the peers' spikes for `make test` to tests/neurons/traces/.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

from . import stubs

stubs.register()

from .cases import CASES, Case, drive  # noqa: E402 (the stubs must come first)
from .live import PEERS  # noqa: E402

LIVE, STORED = (200, 4096), (100, 1024)
TRACES = Path(__file__).parents[2] / "tests" / "neurons" / "traces"


def compared(name: str, case: Case) -> dict[str, object]:
    """Our run beside the peer's: spikes that differ, and the largest difference of a last membrane."""
    x = drive(*LIVE) * case.factor + case.offset
    theirs, last = PEERS[case.peer](x.clone(), **case.options)
    ours, state = case.make()(x)
    return {
        "case": name, "neuron_steps": x.numel(), "spikes": int(theirs.sum()), "differ": int((ours != theirs).sum()),
        "largest_dv": float((state.v - last.reshape(state.v.shape)).abs().max()),
    }  # fmt: skip


def stored(peer: str) -> None:
    """The peer's spikes and last membranes for every case, with our coefficients; one archive per peer."""
    kept = {}
    for name, case in CASES.items():
        if case.peer == peer:
            spikes, last = PEERS[peer](drive(*STORED) * case.factor + case.offset, **case.options)
            kept[f"{name}/spikes"] = spikes.numpy().astype(np.uint8)
            kept[f"{name}/v"] = last.numpy().reshape(-1)
            for number, value in case.make().state_dict().items():  # exp() may round differently on another machine
                kept[f"{name}/{number}"] = value.numpy()
    TRACES.mkdir(exist_ok=True)
    np.savez_compressed(TRACES / f"{peer}.npz", **kept)


def main() -> int:
    torch.manual_seed(0)
    wrong = 0
    with torch.no_grad():
        for name, case in CASES.items():
            row = compared(name, case)
            wrong += row["differ"] != 0 or row["spikes"] == 0
            print(json.dumps(row), flush=True)
        if "--store" in sys.argv[1:]:
            for peer in PEERS:
                stored(peer)
    print(json.dumps({"cases": len(CASES), "wrong": wrong}))
    return int(wrong > 0)


sys.exit(main())
