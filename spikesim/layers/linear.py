"""Fully connected layers: one dense product over all steps, or weight rows added up for the events alone.

y = W x + b        x (T, B, n_in) -> y (T, B, n_out);      dL/dW = sum over events e of val[e] dL/dy at idx[e]

Event kernels read W cut into blocks of 64 outputs, (blocks, n_in, lanes): a block stays in the core's L2 cache while
it works through all rows, its sums in registers. The gradient of W is gathered in the same layout, and only where
there were events.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..core import simd
from ..core import turned as turned_module
from ..core.derivative import first_only
from ..core.kernel import kernel, shared_out
from ..core.operator import Context
from ..core.raster import SparseRaster
from ..core.simd import FEW, LANES
from ..errors import ShapeError, must
from .counting import count_operations

_rows_64, _rows_16, _row_spread = simd.rows_summed_64, simd.rows_summed_16, simd.row_spread
_tile_turned = turned_module.tile_turned
GROUPS = 32
"""Parts of the batch that are shared out among threads; results do not depend on it."""
TILE = 1024
"""Inputs of a block that are laid out at a time: a row of W is read, or written, some cache lines on end."""
ROWS = 32
"""Rows that go through all blocks before the next: few enough for the pages of their sums, far apart, to stay known to
the processor; enough for a sample's weight rows, which its steps share, to be read from its L2 cache."""


def rows_added_reference(
    ptr: np.ndarray, idx: np.ndarray, val: np.ndarray, weight: np.ndarray, bias: np.ndarray, out: np.ndarray
) -> None:
    """numpy twin of `rows_added_kernel`, same arguments."""
    blocks, _, lanes = weight.shape
    steps = out.shape[0]
    for r in range(ptr.size - 1):
        for k in range(blocks):
            x = np.empty(lanes, np.float32)
            simd.rows_summed_reference(x, bias[k * lanes : (k + 1) * lanes], weight[k], idx, val, ptr[r], ptr[r + 1])
            target = out[r % steps, r // steps, k * lanes : (k + 1) * lanes]
            target[:] = x[: target.size]


@kernel(reference=rows_added_reference, items=lambda *a: -(-(len(a[0]) - 1) // ROWS), depends=(simd,))
def rows_added_kernel(ptr, idx, val, weight, bias, out, begin, end, team):  # type: ignore[no-untyped-def]
    """out (T, B, n_out) = bias + the weight rows of each row's events (`SparseRaster`); weight (blocks, n_in, lanes)."""
    if shared_out(begin, end, team):
        return
    steps, batch, size = out.shape
    blocks, _, lanes = weight.shape
    for item in range(begin, end):
        x, last = np.empty(lanes, np.float32), min(batch * steps, (item + 1) * ROWS)
        for k in range(blocks):
            lo, w = k * lanes, weight[k]
            start, hi = bias[lo : lo + lanes], min(size, lo + lanes)
            for r in range(item * ROWS, last):
                if lanes == FEW:
                    _rows_16(x, start, w, idx, val, ptr[r], ptr[r + 1])
                else:
                    _rows_64(x, start, w, idx, val, ptr[r], ptr[r + 1])
                target = out[r % steps, r // steps, lo:hi]
                for j in range(target.size):
                    target[j] = x[j]


def spread_reference(ptr: np.ndarray, idx: np.ndarray, val: np.ndarray, grads: np.ndarray, out: np.ndarray) -> None:
    """numpy twin of `spread_kernel`, same arguments."""
    out[:] = 0
    for r in range(ptr.size - 1):
        row = grads[r % grads.shape[0], r // grads.shape[0]]
        for k in range(out.shape[0]):
            part = np.zeros(LANES, np.float32)
            part[: row.size - k * LANES] = row[k * LANES : (k + 1) * LANES]
            simd.row_spread_reference(out[k], part, idx, val, ptr[r], ptr[r + 1])


@kernel(reference=spread_reference, items=lambda *a: len(a[-1]), depends=(simd,))
def spread_kernel(ptr, idx, val, grads, out, begin, end, team):  # type: ignore[no-untyped-def]
    """out (blocks, n_in, 64) = sum of val[e] grads[t, b] over the events of every input; grads (T, B, n_out)."""
    if shared_out(begin, end, team):
        return
    steps, _, size = grads.shape
    for k in range(begin, end):
        part, target = np.zeros(LANES, np.float32), out[k]
        for i in range(target.shape[0]):
            for j in range(LANES):
                target[i, j] = 0
        here = min(size - k * LANES, LANES)
        for r in range(ptr.size - 1):
            if ptr[r] == ptr[r + 1]:
                continue
            row = grads[r % steps, r // steps, k * LANES : k * LANES + here]
            for j in range(here):
                part[j] = row[j]
            _row_spread(target, part, idx, val, ptr[r], ptr[r + 1])


def blocks_reference(weight: np.ndarray, out: np.ndarray, back: bool) -> None:
    """weight (n_out, n_in) to out (blocks, n_in, lanes), or `back`."""
    lanes = out.shape[2]
    for o in range(weight.shape[0]):
        if back:
            weight[o] = out[o // lanes, :, o % lanes]
        else:
            out[o // lanes, :, o % lanes] = weight[o]


@kernel(
    reference=blocks_reference, items=lambda _, out, back: len(out) * -(-out.shape[1] // TILE), depends=(turned_module,)
)
def blocks_kernel(weight, out, back, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    _, inputs, lanes = out.shape
    tiles = (inputs + TILE - 1) // TILE
    for item in range(begin, end):
        k, at = item // tiles, item % tiles * TILE
        last, until = min(weight.shape[0], (k + 1) * lanes), min(inputs, at + TILE)
        _tile_turned(weight, k * lanes, last, at, until, out[k, at:until], back)


def blocks_of(weight: np.ndarray, lanes: int = 0, array: Callable[..., np.ndarray] | None = None) -> np.ndarray:
    """Weights (n_out, n_in) cut for the event kernels: (blocks, n_in, lanes), unless told 64, or 16 where 16 outputs do.

    array  makes the result, of any content, from its shape
    """
    outputs, inputs = weight.shape
    lanes = lanes or (FEW if outputs <= FEW else LANES)
    blocks, rest = -(-outputs // lanes), outputs % lanes
    out = (array or partial(simd.aligned, zero=False))(blocks, inputs, lanes)
    if rest:
        out[-1, :, rest:] = 0
    blocks_kernel(weight, out, False)
    return out


class Packed:
    """A weight laid out for the event kernels, packed again only when the parameter has changed."""

    def __init__(self, layout: Any) -> None:
        self._layout, self._stamp, self._array = layout, (0, 0), np.empty(0, np.float32)
        self._weight: Tensor | None = None

    def of(self, weight: Tensor) -> np.ndarray:
        """The weight in the kernel's layout, contiguous float32."""
        stamp = (weight.data_ptr(), -1 if weight.is_inference() else weight._version)
        if stamp != self._stamp:
            self._array = self._layout(np.asarray(weight.detach().numpy(), np.float32))
            # The weight is kept: a parametrization makes another each time, which would come to lie in this one's memory.
            self._stamp, self._weight = stamp, weight.detach()
        return self._array


def padded(row: np.ndarray, size: int) -> np.ndarray:
    """The row with zeros up to `size`, float32."""
    out = simd.aligned(size)
    out[: row.size] = row
    return out


def bias_of(module: nn.Linear | nn.Conv2d, size: int) -> np.ndarray:
    """The module's bias as float32, zeros up to `size` or where it has none."""
    return padded(np.empty(0) if module.bias is None else module.bias.detach().numpy(), size)


class Dense:
    """`nn.Linear` as a LinearOperator."""

    break_even = 0.2
    """Share of non-zero inputs above which the dense product is faster (benchmarks/README.md)."""

    def __init__(self, module: nn.Linear, in_shape: tuple[int, ...]) -> None:
        if not in_shape or in_shape[-1] != module.in_features:
            remedy = "a Flatten before it?" if prod(in_shape) == module.in_features else ""
            raise ShapeError(must("Linear.in_shape", f"({module.in_features},)", in_shape, remedy))
        self.module, self._packed = module, Packed(blocks_of)
        self.scatters = len(in_shape) == 1
        self._fanout = np.full(prod(in_shape), module.out_features, np.int64)

    def apply(self, x: Tensor, ctx: Context) -> Tensor:
        """x (T, B, n_in) -> (T, B, n_out), one product over T*B."""
        count_operations(x, self._fanout, ctx)
        return self.module(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def apply_events(self, ptr: np.ndarray, idx: np.ndarray, val: np.ndarray | None, ctx: Context) -> Tensor:
        """Index lists of T*B rows -> (T*B, n_out)."""
        weight = self._packed.of(self.module.weight)
        out = np.empty((ptr.size - 1, 1, self.module.out_features), np.float32)
        values = np.empty(0, np.float32) if val is None else val
        bias = bias_of(self.module, weight.shape[0] * weight.shape[2])
        rows_added_kernel(ptr, idx, values, weight, bias, out)
        return torch.from_numpy(out[:, 0])

    def row_fanout(self) -> np.ndarray:
        """n_out for every input."""
        return self._fanout


@torch.library.custom_op("spikesim::event_linear", mutates_args=(), device_types="cpu")
def _event_linear(
    ptr: Tensor, idx: Tensor, val: Tensor, steps: int, weight: Tensor, bias: Tensor
) -> Tensor:  # fmt: skip
    blocks = blocks_of(weight.detach().contiguous().numpy())
    out = torch.empty(steps, (ptr.numel() - 1) // steps, weight.shape[0])
    start = padded(bias.detach().numpy(), blocks.shape[0] * blocks.shape[2])
    rows_added_kernel(ptr.numpy(), idx.numpy(), val.numpy(), blocks, start, out.numpy())
    return out


@_event_linear.register_fake
def _(ptr: Tensor, idx: Tensor, val: Tensor, steps: int, weight: Tensor, bias: Tensor) -> Tensor:
    return weight.new_empty(steps, (ptr.shape[0] - 1) // steps, weight.shape[0])


@torch.library.custom_op("spikesim::event_linear_backward", mutates_args=(), device_types="cpu")
def _event_linear_backward(ptr: Tensor, idx: Tensor, val: Tensor, grads: Tensor, inputs: int) -> Tensor:
    outputs = grads.shape[2]
    gathered = simd.aligned(-(-outputs // LANES), inputs, LANES)
    spread_kernel(ptr.numpy(), idx.numpy(), val.numpy(), grads.contiguous().numpy(), gathered)
    out = torch.empty(outputs, inputs)
    blocks_kernel(out.numpy(), gathered, True)
    return out


@_event_linear_backward.register_fake
def _(ptr: Tensor, idx: Tensor, val: Tensor, grads: Tensor, inputs: int) -> Tensor:
    return grads.new_empty(grads.shape[2], inputs)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ptr, idx, val, _, weight, _ = inputs
    ctx.save_for_backward(ptr, idx, val)
    ctx.inputs = weight.shape[1]


def _differentiated(ctx: Any, grads: Tensor) -> tuple[Tensor | None, ...]:
    ptr, idx, val = ctx.saved_tensors
    weight = torch.ops.spikesim.event_linear_backward(ptr, idx, val, grads, ctx.inputs)
    return None, None, None, None, weight, grads.sum((0, 1)) if ctx.needs_input_grad[5] else None


_event_linear.register_autograd(first_only(_differentiated), setup_context=_keep)


def event_linear(x: SparseRaster, weight: Tensor, bias: Tensor | None) -> Tensor:
    """W x + b for events x -> (T, B, n_out) float32; differentiable in weight (n_out, n_in) and bias (n_out,)."""
    start = weight.new_zeros(weight.shape[0]) if bias is None else bias
    ptr, idx, val = (torch.from_numpy(part) for part in (x.ptr, x.idx, x.values))
    return torch.ops.spikesim.event_linear(ptr, idx, val, x.steps, weight, start)  # type: ignore[no-any-return]
