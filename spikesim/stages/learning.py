"""Back-propagation through a chain of fully connected stages as one operation, events in, spikes of the last stage out.

Forward as `dense.py`, and h is kept. Backward from the last stage to the first, with g = dL/ds:

    dL/dx_t   the adjoint of the neuron's step (`neurons/_membrane_backward.py`), a block of 64 neurons of one sample at a time
    dL/dW[o, i] = sum over events e at input i of val[e] dL/dx[row(e), o]
    g of the stage before = dL/dx W

Events are sorted by input for the gradient of W, so that a row of it stays in registers until it is whole; rows
of dL/dx lie in the L2 cache. Currents, spikes and their gradients between the layers never reach memory as frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core import simd
from ..core.derivative import first_only
from ..core.kernel import kernel, plain, shared_out
from ..core.raster import SparseRaster
from ..core.simd import FEW, LANES
from ..layers.linear import GROUPS, bias_of, blocks_of
from ..neurons import State, _membrane
from ..neurons import _sixteen as sixteen_module
from ..neurons._membrane import Coefficients, rows_of
from .adjoint import Grads, adjoint_kernel, entry_kernel, gathered_kernel
from .by_input import by_input
from .dense import DenseStage
from .packed import AS_IT_IS, Bits
from .program import Program

SUMMED = 32
"""Neurons of a stage from whose dL/dx that of the stage before is summed block by block; a dense product of more is faster."""
_rows_64, _rows_16, _kept = simd.rows_summed_64, simd.rows_summed_16, sixteen_module.sixteen_kept


def charged_reference(
    ptr: np.ndarray, idx: np.ndarray, val: np.ndarray, weight: np.ndarray, bias: np.ndarray, c: Coefficients,
    valid: np.ndarray, groups: int, v: np.ndarray, charge: np.ndarray, bits: np.ndarray,
) -> None:  # fmt: skip
    """numpy twin of `charged_kernel`, same arguments."""
    blocks, batch, steps, lanes = charge.shape
    for r in range(batch * steps):
        (b, t), word = divmod(r, steps), np.uint64(0)
        for k in range(blocks):
            here, x = slice(k * lanes, (k + 1) * lanes), charge[k, b, t]
            simd.rows_summed_reference(x, bias[here], weight[k], idx, val, ptr[r], ptr[r + 1])
            row, word = plain(rows_of)(c, here.start, here.stop), np.uint64(0)
            for at in range(0, lanes, FEW):
                bit = sixteen_module.sixteen_kept_reference(x, v[b, here], at, row, False)
                word |= bit << np.uint64(at)
            bits[b, t, k] = word & valid[k]


@kernel(reference=charged_reference, items=lambda *a: len(a[3]) * a[7], depends=(simd, _membrane, sixteen_module))
def charged_kernel(  # type: ignore[no-untyped-def]
    ptr, idx, val, weight, bias, c, valid, groups, v, charge, bits, begin, end, team
):
    """`dense_kernel` of `dense.py` for lanes 64 or 16 and an immediate reset, which keeps h in charge (blocks, B, T, lanes)."""
    if shared_out(begin, end, team):
        return
    _, batch, steps, lanes = charge.shape
    for item in range(begin, end):
        k, group = item // groups, item % groups
        lo, hi = k * lanes, (k + 1) * lanes
        w, start, row = weight[k], bias[lo:hi], rows_of(c, lo, hi)
        for b in range(batch * group // groups, batch * (group + 1) // groups):
            membrane = v[b, lo:hi]
            for t in range(steps):
                x, first, last, word = charge[k, b, t], ptr[b * steps + t], ptr[b * steps + t + 1], np.uint64(0)
                if lanes == FEW:
                    _rows_16(x, start, w, idx, val, first, last)
                else:
                    _rows_64(x, start, w, idx, val, first, last)
                for at in range(0, lanes, FEW):
                    word |= _kept(x, membrane, at, row, False) << np.uint64(at)
                bits[b, t, k] = word & valid[k]


class Layer:
    """What the way back needs of one stage besides its weight: its events, h and coefficients.

    Its large array is the stage's again once nobody needs the layer: the pages of a new one must first be found.
    """

    def __init__(self, stage: DenseStage, events: SparseRaster, charge: np.ndarray, c: Coefficients) -> None:
        self.stage, self.events, self.charge, self.c = stage, events, charge, c

    def __del__(self) -> None:
        self.stage.spare(self.charge)


def _forward(stage: DenseStage, x: SparseRaster, v: np.ndarray | None) -> tuple[Bits, np.ndarray, Layer]:
    """One stage: its spikes, last membranes (B, blocks lanes), and what is kept."""
    weight = stage.linear.weight.detach().contiguous().numpy()
    lanes = FEW if len(weight) <= FEW else LANES
    blocks = blocks_of(weight, lanes, stage.array)
    size = len(blocks) * lanes
    c, first = stage.neurons(size)
    membranes = stage.membranes(x.batch, first, v)
    charge = stage.array(len(blocks), x.batch, x.steps, lanes)
    bits = np.empty((x.batch, x.steps, len(blocks)), np.uint64)
    bias = bias_of(stage.linear, size)
    groups = min(x.batch, GROUPS)
    charged_kernel(x.ptr, x.idx, x.values, blocks, bias, c, stage.valid, groups, membranes, charge, bits)
    stage.spare(blocks)
    return Bits(bits, AS_IT_IS, stage.out_shape), membranes, Layer(stage, x, charge, c)


def _neurons(drive: np.ndarray, n: int) -> Tensor:
    """dL/dx (blocks, B, T, lanes) as (B, T, n)."""
    blocks, batch, steps, lanes = drive.shape
    if blocks == 1:
        return torch.from_numpy(drive[0])[..., :n]
    return torch.from_numpy(drive).permute(1, 2, 0, 3).reshape(batch, steps, blocks * lanes)[..., :n]


class Learned(torch.autograd.Function):
    """(stages, events, first membranes, weight, bias, weight, bias, ...) -> spikes (T, B, N) of the last, last membranes."""

    @staticmethod
    def forward(ctx: Any, stages: list[DenseStage], x: SparseRaster, states: list[Any], *parameters: Any) -> Any:
        ctx.layers, last = [], []
        spikes = None
        for stage, v in zip(stages, states):
            spikes, membranes, layer = _forward(stage, x if spikes is None else spikes.lists(), v)
            ctx.layers.append(layer)
            last.append(torch.from_numpy(membranes[:, : stage.linear.out_features]))
        assert spikes is not None
        ctx.save_for_backward(*parameters[::2])  # which refuses weights that have been changed meanwhile
        ctx.set_materialize_grads(False)
        return spikes.dense(), *last

    @staticmethod
    @first_only
    def backward(ctx: Any, grads: Any, *carried: Any) -> Any:
        found: list[Any] = []
        wanted, weights = ctx.needs_input_grad[3:], ctx.saved_tensors
        events = ctx.layers[-1].events
        shape = events.batch, events.steps, len(weights[-1])
        g = _dense(torch.zeros(shape) if grads is None else grads.transpose(0, 1).contiguous())
        for i in range(len(ctx.layers) - 1, -1, -1):
            layer, bias = ctx.layers[i], None
            back = _Back(layer, weights[i].shape[1], g, carried[i])
            weight = torch.empty(weights[i].shape)
            if i == 0:
                bias = back.to_weights(weight)
            else:
                drive = back.to_drive(weight)
                bias = torch.from_numpy(drive).sum((1, 2)).flatten() if wanted[2 * i + 1] else None
                g = _before(weights[i], drive, ctx.layers[i - 1].charge.shape[3])
            kept = None if bias is None or not wanted[2 * i + 1] else bias[: len(weight)]
            found = [weight if wanted[2 * i] else None, kept, *found]
        return None, None, None, *found


def _dense(g: Tensor) -> Grads:
    nothing = np.empty((0, 0), np.float32)
    return Grads(g.numpy(), nothing, nothing[None][:0])


def _before(weight: Tensor, drive: np.ndarray, lanes: int) -> Grads:
    """dL/ds of the stage before, of blocks of `lanes`, from dL/dx of this one."""
    n, inputs = weight.shape
    rows = _neurons(drive, n).reshape(-1, n)
    if n > SUMMED or lanes != LANES:
        return _dense((rows @ weight).view(*drive.shape[1:3], inputs))
    blocks = -(-inputs // LANES)
    wide, back = np.zeros((n, blocks * LANES), np.float32), simd.aligned(blocks, n, LANES, zero=False)
    wide[:, :inputs] = weight.detach().numpy()
    back[:] = wide.reshape(n, blocks, LANES).swapaxes(0, 1)
    return Grads(np.empty((0, 0, 0), np.float32), rows.contiguous().numpy(), back)


class _Back:
    """The way back through one stage, from g = dL/ds (B, T, N) and, where there is one, dL/dv of the last membranes."""

    def __init__(self, layer: Layer, inputs: int, g: Grads, carried: Tensor | None) -> None:
        blocks, self.batch, _, lanes = layer.charge.shape
        neuron, self.layer, self.grads = layer.stage.neuron, layer, g
        self.flow = simd.aligned(self.batch, blocks * lanes)
        if carried is not None:
            self.flow[:, : carried.shape[1]] = carried.numpy()
        rise = neuron.surrogate.coefficients(np.float32)
        self.rule = layer.charge, layer.c, np.float32(not neuron.detach_reset), neuron.surrogate.code, rise
        x, nothing = layer.events, np.empty(0, np.int32)
        order = nothing.astype(np.int64), nothing, nothing.astype(np.float32)
        if lanes == LANES:
            order = by_input(x, inputs)
        self.events = x.ptr, x.idx, x.values, *order

    def to_weights(self, weight: Tensor) -> Tensor:
        """The gradient of W to `weight`. -> that of the bias (blocks lanes,)"""
        bias = np.zeros(self.flow.shape[1], np.float32)
        entry_kernel(*self.events, *self.rule, self.grads, self.flow, bias, weight.numpy())
        return torch.from_numpy(bias)

    def to_drive(self, weight: Tensor) -> np.ndarray:
        """The gradient of W to `weight`. -> dL/dx (blocks, B, T, lanes)"""
        drive = np.empty_like(self.layer.charge)
        adjoint_kernel(*self.rule, min(self.batch, GROUPS), self.grads, self.flow, drive)
        gathered_kernel(*self.events, drive.reshape(len(drive), -1, drive.shape[3]), weight.numpy())
        return drive


def can_learn(program: Program, states: Mapping[Any, Any]) -> bool:
    """Whether `learned` gives every gradient that is asked for: fully connected stages, immediate resets, fixed coefficients,
    states without a gradient."""
    for stage in program.stages:
        if type(stage) is not DenseStage or stage.gated:
            return False
        weight = stage.linear.weight
        if weight.dtype != torch.float32 or weight.device.type != "cpu":
            return False
        if any(p.requires_grad for p in stage.neuron.parameters()):
            return False
    return not any(part.requires_grad for state in states.values() if state is not None for part in state)


def learned(program: Program, x: SparseRaster, states: Mapping[Any, Any]) -> tuple[Tensor, dict[Any, Any]]:
    """Spikes (T, B, *shape) of a chain that `can_learn`, with a gradient, and the states after it."""
    stages: list[Any] = program.stages
    before = [states[s.name].v.reshape(x.batch, -1).numpy() if states.get(s.name) else None for s in stages]
    parameters = [p for stage in stages for p in (stage.linear.weight, stage.linear.bias)]
    spikes, *last = Learned.apply(stages, x, before, *parameters)
    return spikes, {s.name: State(v.view(x.batch, *s.neuron_shape)) for s, v in zip(stages, last)}
