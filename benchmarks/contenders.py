"""Peers for W1 to W4: each builder makes a callable for the workload at hand, or fails to import and is left out.

All neurons are v = 0.9 v + I; s = v > 1; v = v - s (Norse scales its input by 0.1 instead, which costs the same).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import numba
import torch
from torch import Tensor, nn

from benchmarks.agreement import stubs
from benchmarks.harness import median_ratio, spent

stubs.register()

TAU = -1 / math.log(0.9)
Run = Callable[[], object]


def linear(weight: Tensor, kind: Any = nn.Linear, **options: Any) -> Any:
    """A layer without bias with these weights (out, in)."""
    module = kind(weight.shape[1], weight.shape[0], bias=False, **options)
    module.weight.data = weight.clone()
    return module


def convolution(weight: Tensor, kind: Any = nn.Conv2d, **options: Any) -> Any:
    """A convolution without bias or padding with these weights (out, in, k, k)."""
    module = kind(weight.shape[1], weight.shape[0], weight.shape[2], bias=False, **options)
    module.weight.data = weight.clone()
    return module


def snntorch_leaky(**options: Any) -> Any:
    import snntorch

    return snntorch.Leaky(beta=0.9, reset_delay=False, **options)


def spikingjelly_lif(mode: str = "m", **options: Any) -> Any:
    from spikingjelly.activation_based import neuron, surrogate

    return neuron.LIFNode(
        tau=10.0, decay_input=False, v_reset=None, step_mode=mode, surrogate_function=surrogate.ATan(), **options
    )


def norse_box() -> Any:
    """Parameters of Norse's LIFBox with reset by subtraction."""
    from norse.torch.functional.lif_box import LIFBoxParameters
    from norse.torch.functional.reset import reset_subtract

    return LIFBoxParameters(
        tau_mem_inv=torch.tensor(100.0), reset_method=reset_subtract, v_th=torch.tensor(0.1)
    )  # fmt: skip


def sinabs_lif(multi: bool = False, **options: Any) -> Any:
    import sinabs.layers as sl
    from sinabs.activation import MultiSpike, SingleSpike

    return sl.LIF(tau_mem=TAU, norm_input=False, spike_fn=MultiSpike if multi else SingleSpike, **options)


def per_step(modules: list[nn.Module], x: Tensor) -> Run:
    """snnTorch's way: a Python loop over steps, spike counts of the last layer. Neurons carry (spikes, membrane)."""
    import snntorch

    def run() -> Tensor:
        membranes = {m: m.reset_mem() for m in modules if isinstance(m, snntorch.Leaky)}
        out = []
        for step in x:
            for module in modules:
                if module in membranes:
                    step, membranes[module] = module(step, membranes[module])
                else:
                    step = module(step)
            out.append(step)
        return torch.stack(out).sum(0)

    return run


def multi_step(net: nn.Module, x: Tensor, call: Any = None) -> Run:
    """SpikingJelly's way: the whole sequence through every layer."""
    from spikingjelly.activation_based import functional

    def run() -> Tensor:
        functional.reset_net(net)
        return (call or net)(x).sum(0)  # type: ignore[no-any-return]

    return run


@contextmanager
def threads(n: int) -> Iterator[None]:
    """torch and numba on n threads."""
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(n)
    numba.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])


def made(builders: dict[str, Callable[[], Run]]) -> tuple[dict[str, Run], list[str]]:
    """The contenders that can be built, and the names of those whose package is missing."""
    runs, missing = {}, []
    for name, build in builders.items():
        try:
            runs[name] = build()
        except ImportError:
            missing.append(name)
    return runs, missing


def rows(
    claim: str, ours: dict[str, Run], peers: dict[str, Callable[[], Run]], others: dict[str, Run], work: float, *,
    unit: str = "samples/s", count: int = 2, rounds: int = 7, grad: bool = False, **about: Any,
) -> list[dict[str, Any]]:  # fmt: skip
    """Measure all side by side. -> rows {name, threads, median_s, rate, unit, ratio_to_best_peer, spread, ...}

    ratio_to_best_peer is the median over rounds of best peer's time over this one's; the best peer is the one with the
    least median. `others` are neither ours nor a peer as shipped (compiled peers, tricks, limits): they are no best peer.
    """
    with threads(count), torch.set_grad_enabled(grad):
        built, missing = made(peers)
        times = spent({**ours, **built, **others}, rounds)
    best = min(built, key=lambda name: median(times[name]), default=None)
    found = []
    for name, taken in times.items():
        kind = "ours" if name in ours else "peer" if name in built else "other"
        ratio = median_ratio(times[best], taken) if best else None
        found.append(
            {
                "name": name, "kind": kind, "threads": count, "median_s": median(taken), "least_s": min(taken),
                "rate": work / median(taken), "unit": unit, "ratio_to_best_peer": ratio, "best_peer": best,
                "rounds": rounds, **about,
            }
        )  # fmt: skip
    return [*found, *({"name": name, "threads": count, "skipped": "not installed: make peers"} for name in missing)]
