"""W2: binned events in, class scores out: 2312-512-10, T = 100, batch 128, N-MNIST's density. Rate: samples/s.

Also the latency of one sample at 1 thread, and the step before: raw recordings to binned events, beside tonic. Events
and frames are made before the clock starts; scores are spike counts. torch.sparse is the trick a clever user tries.
Rows of float16 and int8 weights say what share of the scores equals float32's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import spikesim as ss
from benchmarks import contenders as c
from benchmarks.workloads import BETA, INPUTS, SIDE, THRESHOLD, dense_weights, strokes

STEPS, BATCH = 100, 128
NARROW = (ss.EventDriven(weights=torch.float16), ss.EventDriven(weights=torch.int8))
"""Weight rows of fewer bits, reported apart: another result than the peers compute."""


def measure(rounds: int = 7) -> list[dict[str, Any]]:
    """Rows for the batch at 1 and 2 threads, for one sample, and for binning."""
    streams = strokes(BATCH)
    raster = ss.sparse_raster(streams, STEPS)
    w1, w2 = dense_weights(raster.dense())
    found = []
    for count in (1, 2):
        found += measured(raster, w1, w2, count, rounds)
    found += measured(raster.samples(0, 1), w1, w2, 1, 3 * rounds)
    return [*found, *binning(streams, rounds)]


def network(w1: Tensor, w2: Tensor) -> ss.Network:
    """Ours."""
    layers = [m for w in (w1, w2) for m in (c.linear(w), ss.LIF(BETA, THRESHOLD, strict=True))]
    return ss.Network.chain(*layers, readout=ss.Sum()).eval().requires_grad_(False)


def measured(raster: ss.SparseRaster, w1: Tensor, w2: Tensor, count: int, rounds: int) -> list[dict[str, Any]]:
    net, flat = network(w1, w2), flattened(raster)
    x = flat.dense()
    run = ss.run(net, flat, record=["1"])
    ours = {"spikesim, events": lambda: ss.run(net, flat).readout}
    narrow = {f"spikesim, events, {str(e.weights).removeprefix('torch.')} rows": e for e in NARROW}
    ours |= {name: lambda e=engine: ss.run(net, flat, engine=e).readout for name, engine in narrow.items()}
    peers = {
        "snnTorch Leaky, per step": lambda: snntorch(w1, w2, x), "SpikingJelly LIFNode": lambda: spikingjelly(w1, w2, x),
        "Norse LIFBox": lambda: norse(w1, w2, x), "Sinabs LIF": lambda: sinabs(w1, w2, x),
    }  # fmt: skip
    others = {"torch.sparse product, spikesim neurons": sparse(w1, w2, x)}
    rows = c.rows(
        "w2", ours, peers, others, raster.batch, count=count, rounds=rounds, batch=raster.batch,
        density=round(raster.density, 4), firing=round(float(run.recording["1"].mean()), 4),
    )  # fmt: skip
    for row in rows:
        if row["name"] in narrow:
            row |= agreement(run.readout, ss.run(net, flat, engine=narrow[row["name"]]).readout)
    sparse_s = next(row["median_s"] for row in rows if row["name"].startswith("torch.sparse"))
    return [{**r, "ratio_to_torch_sparse": sparse_s / r["median_s"]} if "median_s" in r else r for r in rows]


def agreement(wide: Tensor, narrow: Tensor) -> dict[str, float]:
    """Shares of spike counts (B, classes), and of the classes read off them, that equal those of float32 weights."""
    classes = wide.argmax(1) == narrow.argmax(1)
    return {"equal_scores": float((wide == narrow).float().mean()), "equal_classes": float(classes.float().mean())}


def flattened(raster: ss.SparseRaster) -> ss.SparseRaster:
    """The same events over one axis of inputs."""
    return ss.SparseRaster(raster.ptr, raster.idx, raster.val, raster.steps, (INPUTS,))


def sparse(w1: Tensor, w2: Tensor, x: Tensor) -> c.Run:
    """torch's CSR product over all steps, then our neurons and a dense product."""
    rows, first, neuron = x.flatten(0, 1).to_sparse_csr(), w1.T.contiguous(), ss.LIF(BETA, THRESHOLD, strict=True)

    def run() -> Tensor:
        hidden, _ = neuron((rows @ first).view(*x.shape[:2], -1))
        out, _ = neuron(hidden @ w2.T)
        return out.sum(0)

    return run


def snntorch(w1: Tensor, w2: Tensor, x: Tensor) -> c.Run:
    return c.per_step([c.linear(w1), c.snntorch_leaky(), c.linear(w2), c.snntorch_leaky()], x)


def spikingjelly(w1: Tensor, w2: Tensor, x: Tensor) -> c.Run:
    from spikingjelly.activation_based import layer

    layers = [m for w in (w1, w2) for m in (c.linear(w, layer.Linear, step_mode="m"), c.spikingjelly_lif())]
    return c.multi_step(torch.nn.Sequential(*layers).eval(), x)


def norse(w1: Tensor, w2: Tensor, x: Tensor) -> c.Run:
    import norse.torch as nt

    net = nt.SequentialState(c.linear(w1), nt.LIFBoxCell(c.norse_box()), c.linear(w2), nt.LIFBoxCell(c.norse_box()))

    def run() -> Tensor:
        state, out = None, []
        for step in x:
            s, state = net(step, state)
            out.append(s)
        return torch.stack(out).sum(0)

    return run


def sinabs(w1: Tensor, w2: Tensor, x: Tensor) -> c.Run:
    lifs = [c.sinabs_lif(), c.sinabs_lif()]
    net = torch.nn.Sequential(c.linear(w1), lifs[0], c.linear(w2), lifs[1])
    batch_first = x.transpose(0, 1).contiguous()

    def run() -> Tensor:
        for lif in lifs:
            lif.reset_states()
        return net(batch_first).sum(1)  # type: ignore[no-any-return]

    return run


def binning(streams: list[ss.EventStream], rounds: int) -> list[dict[str, Any]]:
    """Raw recordings to binned events at 1 thread; tonic makes dense frames."""
    offsets = np.cumsum([0, *(len(stream) for stream in streams)])
    ours: dict[str, c.Run] = {
        "raw: spikesim, every event an entry": lambda: ss.sparse_raster(streams, STEPS, merge=False),
        "raw: spikesim, events of a pixel and bin merged": lambda: ss.sparse_raster(streams, STEPS),
    }
    peers: dict[str, Callable[[], c.Run]] = {"raw: tonic ToFrame": lambda: tonic(streams)}
    return c.rows(
        "w2", ours, peers, {}, len(streams), count=1, rounds=rounds, batch=len(streams), events=int(offsets[-1])
    )


def tonic(streams: list[ss.EventStream]) -> c.Run:
    from tonic.transforms import ToFrame

    kind = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)])
    recordings = []
    for stream in streams:
        events = np.empty(len(stream), kind)
        for name in kind.names or ():
            events[name] = getattr(stream.columns, name)
        recordings.append(events)
    frames = ToFrame(sensor_size=(SIDE, SIDE, 2), n_time_bins=STEPS)
    return lambda: [frames(events) for events in recordings]
