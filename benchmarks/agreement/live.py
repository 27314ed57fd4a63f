"""The peers' own neurons on the drive of `cases.py`: each returns spikes (T, 1, N) and the last membrane (1, N)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Ran = tuple[Tensor, Tensor]


def snntorch(x: Tensor, *, reset: str, reset_delay: bool, alpha: float | None = None) -> Ran:
    """Leaky, or Synaptic where alpha is given; beta 0.9."""
    import snntorch as snn

    options: dict[str, Any] = {"reset_mechanism": reset, "reset_delay": reset_delay}
    neuron = snn.Leaky(beta=0.9, **options) if alpha is None else snn.Synaptic(alpha=alpha, beta=0.9, **options)
    state: list[Tensor] = [torch.zeros_like(x[0])] * (1 if alpha is None else 2)
    spikes = []
    for drive in x:
        s, *state = neuron(drive, *state)
        spikes.append(s)
    return torch.stack(spikes), state[-1]


def spikingjelly(x: Tensor, *, v_reset: float | None, **options: Any) -> Ran:
    """LIFNode where tau is given, else IFNode."""
    from spikingjelly.activation_based import neuron

    kind = neuron.LIFNode if "tau" in options else neuron.IFNode
    node = kind(v_reset=v_reset, step_mode="m", **options)
    return node(x), node.v


def norse(x: Tensor, *, v_th: float, v_reset: float | None, box: bool) -> Ran:
    """LIFBox, or LIF with its current; tau_mem 10 ms, tau_syn 5 ms."""
    import norse.torch as nt
    from norse.torch.functional.lif import LIFParameters
    from norse.torch.functional.lif_box import LIFBoxParameters
    from norse.torch.functional.reset import reset_subtract, reset_value

    threshold = torch.tensor(v_th)
    if not box:
        spikes, state = nt.LIF(LIFParameters(v_th=threshold, v_reset=torch.tensor(v_reset)))(x)
        return spikes, state.v
    how = reset_subtract if v_reset is None else reset_value
    cell, state, out = nt.LIFBoxCell(LIFBoxParameters(v_th=threshold, reset_method=how)), None, []
    for drive in x:
        z, state = cell(drive, state)
        out.append(z)
    return torch.stack(out), state.v  # type: ignore[union-attr]


def nir(x: Tensor, *, kind: str, **numbers: float) -> Ran:
    """NIR's nodes as Norse runs them (its importer takes r of a CubaLIF, and no v_reset)."""
    import nir as format
    import numpy as np

    node = getattr(format, kind)(**{
        **{k: np.full(x.shape[2], v, np.float32) for k, v in {"r": 1.0, "v_leak": 0.0, **numbers}.items()},
        **({} if kind == "LIF" else {"w_in": np.full(x.shape[2], numbers["w_in"], np.float32)}),
    })  # fmt: skip
    from norse.torch.utils.import_nir import _import_norse_module

    module, state, out = _import_norse_module(node, ignore_warnings=True), None, []
    for drive in x:
        z, state = module(drive, state)
        out.append(z)
    last = state if kind == "LIF" else state[1]  # type: ignore[index]
    return torch.stack(out), last.v  # type: ignore[union-attr]


def sinabs(
    x: Tensor, *, multi_spike: bool = True, reset: str = "subtract", reset_value: float = 0.0, **options: Any
) -> Ran:
    """LIF with tau_mem 10 steps."""
    import sinabs.layers as sl
    from sinabs.activation import MembraneReset, MembraneSubtract, MultiSpike, SingleSpike

    reset_fn = MembraneSubtract() if reset == "subtract" else MembraneReset(reset_value)
    layer = sl.LIF(tau_mem=10.0, spike_fn=MultiSpike if multi_spike else SingleSpike, reset_fn=reset_fn, **options)
    spikes = layer(x.transpose(0, 1).contiguous())
    return spikes.transpose(0, 1), layer.v_mem


def rockpool(x: Tensor, *, max_spikes: int = 2**16) -> Ran:
    """LIFTorch with tau_mem 10 ms, tau_syn 5 ms; it holds an N x N matrix, so neurons come in parts of 512."""
    from rockpool.nn.modules import LIFTorch

    spikes, last = [], []
    for part in x.split(512, 2):
        n = part.shape[2]
        module = LIFTorch(
            n, tau_mem=torch.full((n,), 10e-3), tau_syn=torch.full((n, 1), 5e-3), max_spikes_per_dt=max_spikes
        )
        spikes.append(module(part.transpose(0, 1).contiguous())[0].transpose(0, 1))
        last.append(module.vmem.detach().reshape(1, -1))
    return torch.cat(spikes, 2), torch.cat(last, 1)


def bindsnet(x: Tensor, **options: Any) -> Ran:
    """LIFNodes, dt 1 ms; it overwrites its input, so it gets a copy."""
    from bindsnet.network.nodes import LIFNodes

    nodes = LIFNodes(n=x.shape[2], **options)
    nodes.compute_decays(1.0)
    nodes.dt = torch.tensor(1.0)
    nodes.set_batch_size(1)
    spikes = []
    for drive in x:
        nodes.forward(drive.clone())
        spikes.append(nodes.s.clone().float())
    return torch.stack(spikes), nodes.v


PEERS: dict[str, Callable[..., Ran]] = {
    f.__name__: f for f in (snntorch, spikingjelly, norse, nir, sinabs, rockpool, bindsnet)
}
