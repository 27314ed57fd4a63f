"""The emulated read beside the ideal product, and beside what other crossbar simulators take for theirs.

One 512 x 512 array, batch 256, 8-bit converters, every cell fluctuating by its own amount in every read: 512 inputs, 256
outputs in differential pairs. Beside it the ideal product of the same array, `torch.matmul` of (256, 512) and (512, 512) in
float32. Inputs are spikes: 2 and 10 % of rows driven, half of them (a bit plane of dense inputs), all. Timed is the operator
from tensor to tensor: lists of rows, currents, noise, conversion, subtraction. "wired" has 1 ohm per segment (driven).
aihwkit runs where it is installed. Medians of rounds in turn; seeds 0.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

import spikesim as ss
from benchmarks import contenders as c
from benchmarks import harness
from spikesim import hardware
from spikesim.core.operator import Context
from spikesim.hardware.wires import Driven, Wires

ROWS, COLUMNS, BATCH, ROUNDS = 512, 512, 256, 15
SHARES = (0.02, 0.1, 0.5, 1.0)
IDEAL = "ideal product, torch"


def measure(rounds: int = ROUNDS, shares: tuple[float, ...] = SHARES) -> list[dict[str, Any]]:
    """Rows at 1 and 2 threads."""
    return [row for threads in (1, 2) for share in shares for row in measured(share, threads, rounds)]


def measured(share: float, threads: int, rounds: int) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    x, array = (torch.rand(1, BATCH, ROWS) < share).float(), torch.rand(ROWS, COLUMNS)
    ideal = torch.empty(BATCH, COLUMNS)
    ways: dict[str, Callable[[], Any]] = {IDEAL: lambda: torch.matmul(x[0], array, out=ideal)}
    macro = hardware.load_macro("taox40-projected")
    for name, design in {
        "every cell fluctuates, 8-bit ADC": macro,
        "every cell fluctuates, 8-bit ADC, wired": macro.varied(wires=Driven(Wires(1.0, 1.0))),
        "8-bit ADC": macro.varied(device=hardware.load_macro("ideal").device),
    }.items():
        ways[name] = functools.partial(_operator(x, design).apply, x, Context("0", 0, np.arange(BATCH)))
    with c.threads(threads):
        times = harness.spent({**ways, **peers(x)}, rounds)
    return [
        {
            "name": name, "threads": threads, "share": share, "rows": ROWS, "columns": COLUMNS, "batch": BATCH,
            "rounds": rounds, "median_s": statistics.median(taken), "rate": BATCH / statistics.median(taken),
            "unit": "reads/s", "times_ideal": harness.median_ratio(taken, times[IDEAL]),
        }
        for name, taken in times.items()
    ]  # fmt: skip


def _operator(x: torch.Tensor, macro: hardware.Macro) -> Any:
    torch.manual_seed(0)
    network = ss.Network.chain(nn.Linear(ROWS, COLUMNS // 2, bias=False)).requires_grad_(False)
    return hardware.deploy(network, macro, seeds=ss.Seeds(0), calibration=x).crossbars["0"]


def peers(x: torch.Tensor) -> dict[str, Callable[[], Any]]:
    """aihwkit's tile with noise of weights (one level for all cells) and an 8-bit converter, where it is installed."""
    try:
        from aihwkit.nn import AnalogLinear
        from aihwkit.simulator.configs import InferenceRPUConfig
    except ImportError:
        return {}
    config = InferenceRPUConfig()
    config.forward.w_noise, config.forward.out_res = 0.02, 1 / 254
    tile = AnalogLinear(ROWS, COLUMNS, bias=False, rpu_config=config)
    return {"aihwkit, constant noise of weights, 8-bit ADC": lambda: tile(x[0])}
