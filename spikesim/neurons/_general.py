"""The general integrate-and-fire neuron: every published variant that `_membrane.py` does not run.

    ignore     x = 0 while refractory (`IGNORES`)
    gate       r = spikes of the step before, where the reset acts late (`DELAYED`, `WIPED`, `RESIDUAL`)
    charge     h = one of CHARGES, less r theta or plus r value
    hold       h = v and no spike while refractory (`HOLDS`)
    fire       s = 1 where h >= theta (> where strict), or min(most, floor(max(h, 0) / theta))
    reset      v = one of RESETS;  DELAYED, WIPED: v = h;  RESIDUAL: v = h - (s - r) theta
    clip       v = max(v, floor)
    remember   a = keep a + jump s;  k = steps where s, else max(k - 1, 0)
    emit       o = s,  s (plain + times h),  or h where h > 0 else slope h

with theta = threshold + strength a. All charges are linear in v and x; they differ in how float32 rounds, which is
why each is written the way its framework writes it. `advance` is the equation, for torch and numpy alike; the kernel
runs its lines as passes over rows. Read `general.py` for the switches, `lif.py` and `cuba.py` for who uses what.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from ..core.kernel import block_at, blocks_in, inlined, kernel, shared_out

BLOCK = 2048
"""Neurons per parallel block: the rows of one block stay in the L1 and L2 caches over all steps."""

LINEAR, DIVIDED, DIVIDED_LEAK, BLENDED, BLENDED_LEAK, ABOUT_REST = range(6)
UNTOUCHED, SUBTRACTED, REPLACED, REPLACED_AND_RAISED = range(4)
NOW, DELAYED, RESIDUAL, WIPED = range(4)
NEVER, HOLDS, IGNORES = range(3)
UNCLIPPED, CLIPPED, SHIFT_CLIPPED = range(3)
SPIKES, SCALED, RECTIFIED = range(3)


class Row(NamedTuple):
    """Coefficients that may differ between neurons: numbers, or one value per neuron."""

    leak: Any
    gain: Any
    bias: Any
    rest: Any
    tau: Any
    threshold: Any
    value: Any


class Numbers(NamedTuple):
    """Coefficients of the layer, in the membrane's dtype."""

    keep: Any
    jump: Any
    strength: Any
    steps: Any
    floor: Any
    most: Any
    slope: Any
    plain: Any
    times: Any
    zero: Any
    one: Any


class Rule(NamedTuple):
    """Which lines of the equation apply; codes as named above."""

    charge: int = LINEAR
    reset: int = SUBTRACTED
    when: int = NOW
    strict: bool = False
    multi: bool = False
    refractory: int = NEVER
    adaptive: bool = False
    clip: int = UNCLIPPED
    emit: int = SPIKES


class Ops(NamedTuple):
    """Operations of numpy or torch; `step` is H(u), `counts` the number of spikes, `gate` passes or detaches a reset."""

    where: Callable[..., Any]
    maximum: Callable[..., Any]
    step: Callable[..., Any]
    counts: Callable[..., Any]
    gate: Callable[..., Any]


def linear(v, x, c):  # type: ignore[no-untyped-def]
    """snnTorch, Sinabs, Rockpool, NIR"""
    return (c.leak * v + c.gain * x) + c.bias


def divided(v, x, c):  # type: ignore[no-untyped-def]
    """SpikingJelly, decay_input=True"""
    return v + (x - (v - c.rest)) / c.tau


def divided_leak(v, x, c):  # type: ignore[no-untyped-def]
    """SpikingJelly, decay_input=False"""
    return v - (v - c.rest) / c.tau + x


def blended(v, x, c):  # type: ignore[no-untyped-def]
    """Norse LIFBox"""
    return v + c.gain * (x + c.rest - v)


def blended_leak(v, x, c):  # type: ignore[no-untyped-def]
    """Norse LIF"""
    return v + c.gain * ((c.rest - v) + x)


def about_rest(v, x, c):  # type: ignore[no-untyped-def]
    """BindsNET"""
    return c.leak * (v - c.rest) + c.rest + x


CHARGES: tuple[Callable[..., Any], ...] = (linear, divided, divided_leak, blended, blended_leak, about_rest)


def untouched(h, s, level, value, one):  # type: ignore[no-untyped-def]
    """No reset."""
    return h


def subtracted(h, s, level, value, one):  # type: ignore[no-untyped-def]
    """By the threshold, once per spike."""
    return h - s * level


def replaced(h, s, level, value, one):  # type: ignore[no-untyped-def]
    """To `value`."""
    return (one - s) * h + s * value


def replaced_and_raised(h, s, level, value, one):  # type: ignore[no-untyped-def]
    """Sinabs: to 0, and `value` is added to every neuron, spike or not."""
    return (one - s) * h + value


RESETS: tuple[Callable[..., Any], ...] = (untouched, subtracted, replaced, replaced_and_raised)


def level_of(a, threshold, n):  # type: ignore[no-untyped-def]
    """The threshold in force."""
    return threshold + n.strength * a


def counted(h, level, n, maximum, minimum, floor):  # type: ignore[no-untyped-def]
    """How many thresholds the membrane holds."""
    return minimum(floor(maximum(h, n.zero) / level), n.most)


def advance(v, a, k, x, c, n, rule, ops):  # type: ignore[no-untyped-def]
    """One step. -> (o, v, a, k)"""
    level = level_of(a, c.threshold, n) if rule.adaptive else c.threshold
    idle = k > n.zero
    if rule.refractory == IGNORES:
        x = ops.where(idle, n.zero, x)
    late = rule.when != NOW and rule.reset != UNTOUCHED
    r = ops.gate(_spikes(v, level, n, rule, ops)) if late else n.zero
    before = late and rule.reset == REPLACED and rule.when != WIPED
    h = CHARGES[rule.charge](v - r * v if before else v, x, c)
    if late:
        h = h - r * level if rule.reset == SUBTRACTED else h + r * c.value if before else h - r * h + r * c.value
    h = ops.where(idle, v, h) if rule.refractory == HOLDS else h
    s = _spikes(h, level, n, rule, ops)
    s = ops.where(idle, n.zero, s) if rule.refractory == HOLDS else s
    if rule.when == NOW:
        one_at_most = ops.step(h - level) if rule.multi and rule.reset != SUBTRACTED else s
        v = RESETS[rule.reset](h, ops.gate(one_at_most), level, c.value, n.one)
    else:
        v = h - (ops.gate(s) - r) * level if late and rule.when == RESIDUAL else h
    if rule.clip:
        v = ops.maximum(v, n.floor) if rule.clip == CLIPPED else ops.maximum(v - n.floor, n.zero) + n.floor
    a = n.keep * a + n.jump * s if rule.adaptive else a
    k = ops.where(s > n.zero, n.steps, ops.maximum(k - n.one, n.zero)) if rule.refractory else k
    if rule.emit == RECTIFIED:
        return ops.where(h > n.zero, h, n.slope * h), v, a, k
    return (s * (n.plain + n.times * h) if rule.emit == SCALED else s), v, a, k


def _spikes(h, level, n, rule, ops):  # type: ignore[no-untyped-def]
    if rule.multi:
        return ops.counts(h, level, n)
    # H(u > 0) written with H(u >= 0), so that one surrogate serves both.
    return n.one - ops.step(level - h) if rule.strict else ops.step(h - level)


def _counts_numpy(h: np.ndarray, level: Any, n: Numbers) -> np.ndarray:
    return counted(h, level, n, np.maximum, np.minimum, np.floor)


NUMPY = Ops(np.where, np.maximum, lambda u: (u >= 0).astype(u.dtype), _counts_numpy, lambda s: s)


def general_reference(
    x: np.ndarray, v: np.ndarray, a: np.ndarray, k: np.ndarray, table: np.ndarray, n: Numbers, rule: Rule,
    out: np.ndarray,
) -> None:  # fmt: skip
    """numpy twin of `general_kernel`.

    x, out (T, B, N); v, a, k (B, N) are read and left at their last values (a, k (B, 0) where the rule has none);
    table (7, N or 1) is the Row.
    """
    c = Row(*table)
    for t in range(x.shape[0]):
        out[t], v[...], a[...], k[...] = advance(v, a, k, x[t], c, n, rule, NUMPY)


_linear, _divided, _divided_leak = inlined(linear), inlined(divided), inlined(divided_leak)
_blended, _blended_leak, _about_rest = inlined(blended), inlined(blended_leak), inlined(about_rest)
_subtracted, _replaced, _raised = inlined(subtracted), inlined(replaced), inlined(replaced_and_raised)
_level_of, _counted = inlined(level_of), inlined(counted)


@inlined
def _one(c, i):  # type: ignore[no-untyped-def]
    return Row(c.leak[i], c.gain[i], c.bias[i], c.rest[i], c.tau[i], c.threshold[i], c.value[i])


@inlined
def _max(p, q):  # type: ignore[no-untyped-def]
    return p if p > q else q


@inlined
def _min(p, q):  # type: ignore[no-untyped-def]
    return p if p < q else q


@njit(nogil=True)
def _copied(row, out):  # type: ignore[no-untyped-def]
    for i in range(row.size):
        out[i] = row[i]


@njit(nogil=True)
def _charge_row(code, v, x, c, h):  # type: ignore[no-untyped-def]
    if code == LINEAR:
        for i in range(h.size):
            h[i] = _linear(v[i], x[i], _one(c, i))
    elif code == DIVIDED:
        for i in range(h.size):
            h[i] = _divided(v[i], x[i], _one(c, i))
    elif code == DIVIDED_LEAK:
        for i in range(h.size):
            h[i] = _divided_leak(v[i], x[i], _one(c, i))
    elif code == BLENDED:
        for i in range(h.size):
            h[i] = _blended(v[i], x[i], _one(c, i))
    elif code == BLENDED_LEAK:
        for i in range(h.size):
            h[i] = _blended_leak(v[i], x[i], _one(c, i))
    else:
        for i in range(h.size):
            h[i] = _about_rest(v[i], x[i], _one(c, i))


@njit(nogil=True)
def _fire_row(h, level, n, rule, s):  # type: ignore[no-untyped-def]
    if rule.multi:
        for i in range(h.size):
            s[i] = _counted(h[i], level[i], n, _max, _min, np.floor)
    elif rule.strict:
        for i in range(h.size):
            s[i] = h[i] > level[i]
    else:
        for i in range(h.size):
            s[i] = h[i] >= level[i]


@njit(nogil=True)
def _charge_late(code, reset, wiped, v, x, r, level, c, scratch, h):  # type: ignore[no-untyped-def]
    """The charge with the reset r of the spikes of the step before."""
    if reset == REPLACED and not wiped:
        for i in range(h.size):
            scratch[i] = v[i] - r[i] * v[i]
        _charge_row(code, scratch, x, c, h)
        for i in range(h.size):
            h[i] = h[i] + r[i] * c.value[i]
        return
    _charge_row(code, v, x, c, h)
    if reset == REPLACED:
        for i in range(h.size):
            h[i] = h[i] - r[i] * h[i] + r[i] * c.value[i]
    else:
        for i in range(h.size):
            h[i] = h[i] - r[i] * level[i]


@njit(nogil=True)
def _reset_row(h, s, r, level, c, n, rule, v):  # type: ignore[no-untyped-def]
    if rule.reset == UNTOUCHED or rule.when == DELAYED or rule.when == WIPED:
        _copied(h, v)
    elif rule.when == RESIDUAL:
        for i in range(v.size):
            v[i] = h[i] - (s[i] - r[i]) * level[i]
    elif rule.reset == SUBTRACTED:
        for i in range(v.size):
            v[i] = _subtracted(h[i], s[i], level[i], c.value[i], n.one)
    elif rule.reset == REPLACED:
        for i in range(v.size):
            v[i] = _replaced(h[i], _min(s[i], n.one), level[i], c.value[i], n.one)
    else:
        for i in range(v.size):
            v[i] = _raised(h[i], _min(s[i], n.one), level[i], c.value[i], n.one)
    if rule.clip == CLIPPED:
        for i in range(v.size):
            v[i] = _max(v[i], n.floor)
    elif rule.clip == SHIFT_CLIPPED:
        for i in range(v.size):
            v[i] = _max(v[i] - n.floor, n.zero) + n.floor


@njit(nogil=True)
def _remember_row(s, n, rule, a, k):  # type: ignore[no-untyped-def]
    if rule.adaptive:
        for i in range(s.size):
            a[i] = n.keep * a[i] + n.jump * s[i]
    if rule.refractory != NEVER:
        for i in range(s.size):
            left = _max(k[i] - n.one, n.zero)
            k[i] = n.steps if s[i] > n.zero else left


@njit(nogil=True)
def _emit_row(h, s, n, code, out):  # type: ignore[no-untyped-def]
    if code == SPIKES:
        _copied(s, out)
    elif code == SCALED:
        for i in range(s.size):
            out[i] = s[i] * (n.plain + n.times * h[i])
    else:
        for i in range(s.size):
            low = n.slope * h[i]
            out[i] = h[i] if h[i] > n.zero else low


@njit(nogil=True)
def _advance_row(x, v, a, k, c, n, rule, scratch, out):  # type: ignore[no-untyped-def]
    """`advance` for one row; scratch (5, m) holds h, s, r, the threshold in force and a spare row."""
    h, s, r, level, spare = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    late = rule.when != NOW and rule.reset != UNTOUCHED
    if rule.adaptive:
        for i in range(h.size):
            level[i] = _level_of(a[i], c.threshold[i], n)
    if late:
        _fire_row(v, level, n, rule, r)
    if rule.refractory == IGNORES:
        for i in range(h.size):
            drive = x[i]  # loaded before the choice, or the loop would not vectorise
            spare[i] = n.zero if k[i] > n.zero else drive
        _charge_row(rule.charge, v, spare, c, h)
    elif late:
        _charge_late(rule.charge, rule.reset, rule.when == WIPED, v, x, r, level, c, spare, h)
    else:
        _charge_row(rule.charge, v, x, c, h)
    if rule.refractory == HOLDS:
        for i in range(h.size):
            held, charged = v[i], h[i]
            h[i] = held if k[i] > n.zero else charged
    _fire_row(h, level, n, rule, s)
    if rule.refractory == HOLDS:
        for i in range(h.size):
            spike = s[i]
            s[i] = n.zero if k[i] > n.zero else spike
    _reset_row(h, s, r, level, c, n, rule, v)
    _remember_row(s, n, rule, a, k)
    _emit_row(h, s, n, rule.emit, out)


@njit(nogil=True)
def _run_block(b, lo, hi, x, v, a, k, table, n, rule, out):  # type: ignore[no-untyped-def]
    """All steps of neurons lo..hi of sample b. Rows are sliced from whole arrays: a row of a slice has a stride."""
    rows, scratch = np.empty((7, hi - lo), x.dtype), np.empty((5, hi - lo), x.dtype)
    for q in range(7):
        for i in range(hi - lo):
            rows[q, i] = table[q, lo + i if table.shape[1] > 1 else 0]
    c = Row(rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6])
    _copied(c.threshold, scratch[3])
    membrane, adapted, counter = v[b, lo:hi], a[b, lo:hi], k[b, lo:hi]
    for t in range(x.shape[0]):
        _advance_row(x[t, b, lo:hi], membrane, adapted, counter, c, n, rule, scratch, out[t, b, lo:hi])


@kernel(reference=general_reference, items=lambda x, *_: blocks_in(x, BLOCK))
def general_kernel(x, v, a, k, table, n, rule, out, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    for j in range(begin, end):
        b, lo, hi = block_at(j, x.shape[2], BLOCK)
        _run_block(b, lo, hi, x, v, a, k, table, n, rule, out)
