"""The way back through a fully connected stage: the adjoint of its neurons, and the gradient of its weights.

dL/dx_t     from dL/ds_t by the neuron's adjoint (`neurons/_membrane_backward.py`), a block of neurons of one sample at a time
dL/dW[o, i] = sum over events e at input i of val[e] dL/dx[row(e), o]
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from .. import surrogate as surrogate_module
from ..core import simd
from ..core import turned as turned_module
from ..core.kernel import kernel, plain, shared_out
from ..core.simd import FEW, LANES
from ..neurons import _membrane
from ..neurons import _sixteen as sixteen_module
from ..neurons._membrane import Coefficients, rows_of
from ..surrogate import Slope, slope_row, slope_row_reference

_rows_64, _rows_16, _row_spread_16 = simd.rows_summed_64, simd.rows_summed_16, simd.row_spread_16
_rows_gathered = simd.rows_gathered_64
_back = sixteen_module.back
_tile_turned = turned_module.tile_turned


class Grads(NamedTuple):
    """dL/ds of a stage: `dense` (B, T, N); or, for a few neurons after it, their dL/dx in `after` (B T, n) and their weights
    in `back` (blocks, n, 64), from which a block's is summed where it is needed. What is not used is empty."""

    dense: np.ndarray
    after: np.ndarray
    back: np.ndarray


def _grads_reference(given: Grads, k: int, b: int, t: int, steps: int, lanes: int) -> np.ndarray:
    g = np.zeros(lanes, np.float32)
    if len(given.back):
        n = given.after.shape[1]
        simd.rows_summed_reference(g, g, given.back[k], np.arange(n), given.after[b * steps + t], 0, n)
    else:
        here = given.dense[b, t, k * lanes : (k + 1) * lanes]
        g[: here.size] = here
    return g


def adjoint_reference(
    charge: np.ndarray, c: Coefficients, through: Any, code: int, rise: Slope, groups: int, grads: Grads,
    flow: np.ndarray, drive: np.ndarray,
) -> None:  # fmt: skip
    """numpy twin of `adjoint_kernel`, same arguments."""
    blocks, batch, steps, lanes = charge.shape
    for k in range(blocks):
        lo, row = k * lanes, plain(rows_of)(c, k * lanes, (k + 1) * lanes)
        for b in range(batch):
            for t in range(steps - 1, -1, -1):
                h, slope = charge[k, b, t], drive[k, b, t]
                slope_row_reference(code, h - row.threshold, rise, slope)
                g = _grads_reference(grads, k, b, t, steps, lanes)
                for at in range(0, lanes, FEW):
                    sixteen_module.back_reference(g, flow[b, lo : lo + lanes], h, slope, at, row, through)


@njit(nogil=True, error_model="numpy")
def _adjoint(charge, row, through, code, rise, grads, flow, k, first, last, drive):  # type: ignore[no-untyped-def]
    """Block k of samples first to last - 1: charge, drive (B, T, lanes); flow (B, blocks lanes)."""
    (_, steps, lanes), lo, few = charge.shape, k * charge.shape[2], grads.after.shape[1]
    g, above = np.zeros(lanes, np.float32), np.empty((steps, lanes), np.float32)
    none, order = np.zeros(LANES, np.float32), np.arange(few).astype(np.int32)
    for b in range(first, last):
        carried, h, out = flow[b, lo : lo + lanes], charge[b], drive[b]
        for t in range(steps):
            for j in range(lanes):
                above[t, j] = h[t, j] - _membrane._pick(row.threshold, j)
        slope_row(code, above.reshape(-1), rise, out.reshape(-1))
        for back_step in range(steps):
            t = steps - 1 - back_step
            if grads.back.shape[0]:
                _rows_64(g, none, grads.back[k], order, grads.after[b * steps + t], 0, few)
            else:
                given = grads.dense[b, t, lo : lo + lanes]
                for j in range(given.size):
                    g[j] = given[j]
            for at in range(0, lanes, FEW):
                _back(g, carried, h[t], out[t], at, row, through)


@kernel(
    reference=adjoint_reference, items=lambda *a: len(a[0]) * a[5],
    depends=(surrogate_module, _membrane, sixteen_module),
)  # fmt: skip
def adjoint_kernel(charge, c, through, code, rise, groups, grads, flow, drive, begin, end, team):  # type: ignore[no-untyped-def]
    """dL/dx into drive (blocks, B, T, lanes) from dL/ds in `Grads`; flow (B, blocks lanes): dL/dv, in and out.

    through  1 where the reset carries gradient, 0 where it is detached; code, rise  the surrogate's slope
    """
    if shared_out(begin, end, team):
        return
    _, batch, _, lanes = charge.shape
    for item in range(begin, end):
        k, group = item // groups, item % groups
        first, last, row = (
            batch * group // groups,
            batch * (group + 1) // groups,
            rows_of(c, k * lanes, (k + 1) * lanes),
        )
        _adjoint(charge[k], row, through, code, rise, grads, flow, k, first, last, drive[k])


@njit(nogil=True, error_model="numpy")
def _gathered(first, rows, val, drive, block, out):  # type: ignore[no-untyped-def]
    """out (outputs, n_in), outputs of one block: sums of drive (R, 64) by input; block (inputs at a time, 64) is for them."""
    none, inputs = np.zeros(LANES, np.float32), out.shape[1]
    for at in range(0, inputs, block.shape[0]):
        until = min(inputs, at + block.shape[0])
        for i in range(at, until):
            _rows_gathered(block[i - at], none, drive, rows, val, first[i], first[i + 1])
        _tile_turned(out, 0, out.shape[0], at, until, block, True)


@njit(nogil=True, error_model="numpy")
def _scattered(ptr, idx, val, drive, table, out):  # type: ignore[no-untyped-def]
    """The same for a block of 16 outputs, by event: table (n_in, 16), zeros, stays in the cache, so events need no order."""
    for r in range(ptr.size - 1):
        _row_spread_16(table, drive[r], idx, val, ptr[r], ptr[r + 1])
    for o in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[o, i] = table[i, o]


def gathered_reference(
    ptr: np.ndarray, idx: np.ndarray, val: np.ndarray, first: np.ndarray, rows: np.ndarray, values: np.ndarray,
    drive: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """numpy twin of `gathered_kernel`, same arguments."""
    lanes = drive.shape[2]
    for k in range(drive.shape[0]):
        here = out[k * lanes : (k + 1) * lanes]
        table = np.zeros((out.shape[1], lanes), np.float32)
        if lanes == FEW:
            for r in range(ptr.size - 1):
                simd.row_spread_reference(table, drive[k, r], idx, val, ptr[r], ptr[r + 1])
        else:
            for i, x in enumerate(table):
                simd.rows_summed_reference(x, x, drive[k], rows, values, first[i], first[i + 1])
        here[:] = table.T[: len(here)]


@kernel(reference=gathered_reference, items=lambda *a: len(a[6]), depends=(simd, turned_module))
def gathered_kernel(ptr, idx, val, first, rows, values, drive, out, begin, end, team):  # type: ignore[no-untyped-def]
    """out (n_out, n_in) = the gradient of W from drive (blocks, R, lanes). Events as they were: ptr, idx, val; by input:
    those of input i at first[i] : first[i + 1] of rows and values, where lanes are 64."""
    if shared_out(begin, end, team):
        return
    lanes, inputs = drive.shape[2], out.shape[1]
    for k in range(begin, end):
        here = out[k * lanes : min(out.shape[0], (k + 1) * lanes)]
        if lanes == FEW:
            _scattered(ptr, idx, val, drive[k], np.zeros((inputs, FEW), np.float32), here)
        else:
            _gathered(first, rows, values, drive[k], np.empty((LANES, LANES), np.float32), here)


def entry_reference(
    ptr: np.ndarray, idx: np.ndarray, val: np.ndarray, first: np.ndarray, rows: np.ndarray, values: np.ndarray,
    charge: np.ndarray, c: Coefficients, through: Any, code: int, rise: Slope, grads: Grads, flow: np.ndarray,
    bias: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """numpy twin of `entry_kernel`, same arguments."""
    drive = np.empty_like(charge)
    adjoint_reference(charge, c, through, code, rise, 1, grads, flow, drive)
    flat = drive.reshape(len(drive), -1, drive.shape[3])
    gathered_reference(ptr, idx, val, first, rows, values, flat, out)
    for row in flat.swapaxes(0, 1):
        bias += row.ravel()


@kernel(
    reference=entry_reference,
    items=lambda *a: len(a[6]),
    depends=(simd, surrogate_module, turned_module, _membrane, sixteen_module),
)
def entry_kernel(  # type: ignore[no-untyped-def]
    ptr, idx, val, first, rows, values, charge, c, through, code, rise, grads, flow, bias, out, begin, end, team
):
    """`adjoint_kernel` and `gathered_kernel` of the first stage, block by block: dL/dx of a block lies in the L2 cache until
    both gradients, out (n_out, n_in) and bias (blocks lanes,), zeros before, are made of it."""
    if shared_out(begin, end, team):
        return
    _, batch, steps, lanes = charge.shape
    inputs, raw = out.shape[1], np.empty(batch * steps * lanes + LANES, np.float32)
    start = -(raw.ctypes.data // 4) % LANES  # on a cache line
    flat = raw[start : start + batch * steps * lanes].reshape(batch * steps, lanes)
    drive, every, ones = (
        flat.reshape(batch, steps, lanes),
        np.arange(len(flat)).astype(np.int32),
        np.empty(0, np.float32),
    )
    for k in range(begin, end):
        lo, row = k * lanes, rows_of(c, k * lanes, (k + 1) * lanes)
        here, total = out[lo : min(out.shape[0], lo + lanes)], bias[lo : lo + lanes]
        _adjoint(charge[k], row, through, code, rise, grads, flow, k, 0, batch, drive)
        if lanes == FEW:
            _rows_16(total, total, flat, every, ones, 0, every.size)
            _scattered(ptr, idx, val, flat, np.zeros((inputs, FEW), np.float32), here)
        else:
            _rows_64(total, total, flat, every, ones, 0, every.size)
            _gathered(first, rows, values, flat, np.empty((LANES, LANES), np.float32), here)
