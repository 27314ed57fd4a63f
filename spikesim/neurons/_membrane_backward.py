"""Back-propagation through time of the leaky integrate-and-fire neuron: the adjoints of `_membrane.py`'s two steps.

With g = dL/ds, G = dL/dh, and the surrogate slope in place of ds/du:

    step         G_t = slope (g_t - through V_t (scale h_t + shift)) + V_t - s_t scale V_t,      V_{t-1} = leak G_t
    gated step   G_t = slope (g_t - through G_{t+1} (leak scale h_t + shift)) + leak (G_{t+1} - s_t scale G_{t+1})

V is the gradient at the membrane that is carried on; `through` is 1 where the reset carries gradient and 0 where
it is detached. dL/dx = gain G. Sums over time for the coefficients: leak, bias, threshold, shift.

The charges h are made again from the drive, by `_membrane.py`'s equation, a block of neurons at a time: to keep them costs
as many bytes as the drive, which is there anyway.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from .. import surrogate as surrogate_module
from ..core.kernel import block_at, blocks_in, inlined, kernel, plain, shared_out
from ..surrogate import Slope, slope_row, slope_row_reference
from . import _membrane as membrane_module
from ._membrane import Coefficients, gated_step, one_neuron, passed, rows_of, step

MOST, LEAST, CHARGES = 4096, 64, 32768
"""Neurons per parallel block at most and at least, and charges: its rows of one step stay in the L1 cache, charges in L2."""


@inlined
def block_of(steps):  # type: ignore[no-untyped-def]
    """Neurons per parallel block."""
    return max(LEAST, min(MOST, CHARGES // steps // LEAST * LEAST))


class Rule(NamedTuple):
    """Which backward pass: gated or not, reset carrying gradient (1.0) or detached (0.0), the surrogate's numbers.

    Flat, because a parallel region cannot be handed a tuple in a tuple.
    """

    gated: bool
    through: Any
    code: int
    height: Any
    rate: Any
    zero: Any
    one: Any


def step_back(g, carry, h, s, slope, c, through):  # type: ignore[no-untyped-def]
    """Adjoint of `_membrane.step`; carry = V_t. -> (dL/dh, dL/dthreshold, dL/dshift)"""
    gs = slope * (g - through * (carry * (c.scale * h + c.shift)))
    return gs + (carry - s * (c.scale * carry)), -gs, -(s * carry)


def gated_step_back(g, carry, h, s, slope, c, through):  # type: ignore[no-untyped-def]
    """Adjoint of `_membrane.gated_step`; carry = G_{t+1}. -> (dL/dh, dL/dthreshold, dL/dshift)"""
    gs = slope * (g - through * (carry * (c.leak * (c.scale * h) + c.shift)))
    return gs + c.leak * (carry - s * (c.scale * carry)), -gs, -(s * carry)


def left_over(h, s, c):  # type: ignore[no-untyped-def]
    """The membrane that leaks into the next step, after an immediate reset."""
    return h - s * (c.scale * h) - s * c.shift


def gated_left_over(h, s, c):  # type: ignore[no-untyped-def]
    """The membrane that leaks into the next step when the reset is gated: h - s scale h."""
    return h - s * (c.scale * h)


_step, _gated_step, _passed = inlined(step), inlined(gated_step), inlined(passed)
_step_back, _gated_step_back = inlined(step_back), inlined(gated_step_back)
_left_over, _gated_left_over = inlined(left_over), inlined(gated_left_over)


def backward_reference(
    grads: np.ndarray,
    x: np.ndarray,
    v0: np.ndarray,
    carry: np.ndarray,
    c: Coefficients,
    rule: Rule,
    drive_grads: np.ndarray,
    sums: np.ndarray,
) -> None:
    """numpy twin of `backward_kernel`, same arguments."""
    back, left = (gated_step_back, gated_left_over) if rule.gated else (step_back, left_over)
    fired_0 = (v0 >= c.threshold).astype(v0.dtype)
    final, charge, v = carry.copy(), np.empty_like(x), v0
    for t, drive in enumerate(x):
        _, v, charge[t] = (gated_step if rule.gated else step)(v, drive, c, lambda u: (u >= 0).astype(u.dtype), passed)
    if rule.gated:
        carry[...] = 0
    for t in range(grads.shape[0] - 1, -1, -1):
        h = charge[t]
        s, slope = (h >= c.threshold).astype(h.dtype), np.empty_like(h)
        slope_row_reference(rule.code, h - c.threshold, Slope(*rule[3:]), slope)
        gh, at_threshold, at_shift = back(grads[t], carry, h, s, slope, c, rule.through)
        if rule.gated and t == grads.shape[0] - 1:
            gh = gh + final
        drive_grads[t] = c.gain * gh
        if sums.shape[0]:
            before = charge[t - 1] if t else v0
            s_before = (before >= c.threshold).astype(h.dtype)
            leaked = left(before, s_before, c) if (t or rule.gated) else v0
            for k, part in enumerate((gh * leaked, gh, at_threshold, at_shift)):
                sums[k] += part
        carry[...] = gh if rule.gated else c.leak * gh
    if rule.gated:
        slope = np.empty_like(v0)
        slope_row_reference(rule.code, v0 - c.threshold, Slope(*rule[3:]), slope)
        gh, at_threshold, at_shift = back(0 * v0, carry, v0, fired_0, slope, c, rule.through)
        if sums.shape[0]:
            sums[2] += at_threshold
            sums[3] += at_shift
        carry[...] = gh


@inlined
def _fires(u):  # type: ignore[no-untyped-def]
    return np.float32(u >= 0)


@njit(nogil=True)
def _charge_row(x, v, c, gated, h):  # type: ignore[no-untyped-def]
    """One step: charges h of one row, its membranes v in and out."""
    if gated:
        for i in range(x.size):
            _, v[i], h[i] = _gated_step(v[i], x[i], one_neuron(c, i), _fires, _passed)
    else:
        for i in range(x.size):
            _, v[i], h[i] = _step(v[i], x[i], one_neuron(c, i), _fires, _passed)


@inlined
def _over(h, level):  # type: ignore[no-untyped-def]
    return np.float32(h >= level)


@njit(nogil=True)
def _slopes(h, c, rule, above, slope):  # type: ignore[no-untyped-def]
    """The surrogate's slope over one row; in place it would not be vectorised, hence the spare row `above`."""
    for i in range(h.size):
        above[i] = h[i] - one_neuron(c, i).threshold
    slope_row(rule.code, above, Slope(rule.height, rule.rate, rule.zero, rule.one), slope)


@inlined
def _back(g, carry, h, slope, k, rule):  # type: ignore[no-untyped-def]
    s = _over(h, k.threshold)
    if rule.gated:
        return _gated_step_back(g, carry, h, s, slope, k, rule.through)
    return _step_back(g, carry, h, s, slope, k, rule.through)


# Loops over few arrays each: with many, the compiler gives up proving that they do not overlap, and vectorises none.


@njit(nogil=True)
def _sums_row(g, flow, h, slope, before, final, first, c, rule, sums):  # type: ignore[no-untyped-def]
    """One step's share of the coefficients' gradients: sums (4, n) += those of leak, bias, threshold, shift."""
    leak, bias, threshold, shift = sums[0], sums[1], sums[2], sums[3]
    for i in range(h.size):
        gh, _, _ = _back(g[i], flow[i], h[i], slope[i], one_neuron(c, i), rule)
        bias[i] += gh + final[i]
    for i in range(h.size):
        _, at_threshold, _ = _back(g[i], flow[i], h[i], slope[i], one_neuron(c, i), rule)
        threshold[i] += at_threshold
    for i in range(h.size):
        _, _, at_shift = _back(g[i], flow[i], h[i], slope[i], one_neuron(c, i), rule)
        shift[i] += at_shift
    for i in range(h.size):
        k = one_neuron(c, i)
        gh, _, _ = _back(g[i], flow[i], h[i], slope[i], k, rule)
        s = _over(before[i], k.threshold)
        now = before[i] if first else _left_over(before[i], s, k)
        leak[i] += (gh + final[i]) * (_gated_left_over(before[i], s, k) if rule.gated else now)


@njit(nogil=True)
def _flow_row(g, flow, h, slope, final, c, rule, out):  # type: ignore[no-untyped-def]
    """One step back: the gradient at the drive to `out`, the carried one in `flow`; `final` joins dL/dh."""
    for i in range(h.size):
        k = one_neuron(c, i)
        gh, _, _ = _back(g[i], flow[i], h[i], slope[i], k, rule)
        total = gh + final[i]
        out[i] = k.gain * total
        flow[i] = total if rule.gated else k.leak * total


@njit(nogil=True)
def _start_row(flow, h, c, rule, above, slope, none, sums):  # type: ignore[no-untyped-def]
    """Gated: the reset that the membrane before the first step still owes."""
    _slopes(h, c, rule, above, slope)
    if sums.shape[0]:
        threshold, shift = sums[2], sums[3]
        for i in range(h.size):
            _, at_threshold, _ = _back(none[i], flow[i], h[i], slope[i], one_neuron(c, i), rule)
            threshold[i] += at_threshold
        for i in range(h.size):
            _, _, at_shift = _back(none[i], flow[i], h[i], slope[i], one_neuron(c, i), rule)
            shift[i] += at_shift
    for i in range(h.size):
        gh, _, _ = _back(none[i], flow[i], h[i], slope[i], one_neuron(c, i), rule)
        flow[i] = gh


@kernel(
    reference=backward_reference, items=lambda x, *_: blocks_in(x, plain(block_of)(x.shape[0])),
    depends=(surrogate_module, membrane_module),
)  # fmt: skip
def backward_kernel(grads, x, v0, carry, c, rule, drive_grads, sums, begin, end, team):  # type: ignore[no-untyped-def]
    """grads, drive x, drive_grads (T, B, N); v0 (B, N); carry (B, N): dL/dv_T in, dL/dv_0 out; sums (4 or 0, B, N)."""
    if shared_out(begin, end, team):
        return
    steps, _, size = grads.shape
    block = block_of(steps)
    charges = np.empty((steps, min(block, size)), grads.dtype)
    for j in range(begin, end):
        b, lo, hi = block_at(j, size, block)
        row, flow, start, n = rows_of(c, lo, hi), carry[b, lo:hi], v0[b, lo:hi], hi - lo
        above, slope, none, last = start.copy(), np.empty_like(flow), np.zeros_like(flow), flow.copy()
        for t in range(steps):
            _charge_row(x[t, b, lo:hi], above, row, rule.gated, charges[t, :n])
        mine = np.zeros((sums.shape[0], n), flow.dtype)
        if rule.gated:
            for i in range(n):
                flow[i] = none[i]
        for back_step in range(steps):
            t = steps - 1 - back_step
            h, g, out = charges[t, :n], grads[t, b, lo:hi], drive_grads[t, b, lo:hi]
            final = last if rule.gated and back_step == 0 else none
            _slopes(h, row, rule, above, slope)
            if mine.shape[0]:
                before = charges[t - 1, :n] if t > 0 else start
                _sums_row(g, flow, h, slope, before, final, t == 0, row, rule, mine)
            _flow_row(g, flow, h, slope, final, row, rule, out)
        if rule.gated:
            _start_row(flow, start, row, rule, above, slope, none, mine)
        for q in range(mine.shape[0]):
            for i in range(n):
                sums[q, b, lo + i] += mine[q, i]
