"""Single reads of a wired array by line solves: all bit lines exactly, all word lines exactly, in turn.

Unknown is the drop d on word-line nodes, w = V - d. With T_w the word lines' ladders, T_b the bit lines', D the cells,

    b = (T_b + D)^-1 D w             every bit line for given word lines: a tridiagonal solve for each column
    (T_w + S) d = S V,   S w = D (w - b)        currents that leave the word lines

Plain alternation (Gauss-Seidel over lines) repeats d <- d + (T_w + E)^-1 (S (V - d) - T_w d), a tridiagonal solve for
each row, with E = 1 / (1/g + 1/t), t the bit-line segments at the node (E = D where wires are good). Here the same
two solves make the steps of conjugate gradients, which need a fraction of the sweeps and also converge with shorted
cells. In terms of the drop good wires cost no digits: r -> 0 gives the ideal currents.

Sweeps end when the currents that Kirchhoff's law still misses at the word-line nodes are, summed over the array, at
most `tolerance` times the sum of what its cells draw from ideal word lines. Current put into a node leaves through
the terminals, each share at least 0, so this is also a bound on the summed error of all column currents (rounding
aside).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from spikesim.core.kernel import kernel, shared_out

ROWS_AT_ONCE = 8
"""Word lines solved side by side, so that the processor need not wait for one recurrence."""


def read_reference(g, along, below, v, active, gated, start, tolerance, sweeps, fields, currents, word, bit, missing):  # type: ignore[no-untyped-def]
    """numpy twin of `read_kernel`: the dense nodal system, gated rows' cells open; equal within the tolerance, not in
    bits. Shorted cells are a million times better than the best segment."""
    m, n = g.shape
    at = np.arange(m * n).reshape(m, n)
    for s in range(len(v)):
        matrix, right = np.zeros((2 * m * n, 2 * m * n)), np.zeros(2 * m * n)
        cells = np.where(active[s][:, None] | (not gated), np.minimum(g, 1e6 / min(along.min(), below.min())), 0.0)
        for a, b, conductance in (
            (at, at + m * n, cells),
            (at[:, :-1], at[:, 1:], np.broadcast_to(1 / along[1:], (m, n - 1))),
            (at[:-1] + m * n, at[1:] + m * n, np.broadcast_to(1 / below[:-1, None], (m - 1, n))),
        ):
            for x, y, sign in ((a, a, 1), (b, b, 1), (a, b, -1), (b, a, -1)):
                np.add.at(matrix, (x, y), sign * conductance)
        matrix[at[:, 0], at[:, 0]] += 1 / along[0]
        matrix[at[-1] + m * n, at[-1] + m * n] += 1 / below[-1]
        right[at[:, 0]] = v[s] / along[0]
        u = np.linalg.solve(matrix, right).reshape(2, m, n)
        currents[s], missing[s] = u[1, -1] / below[-1], 0.0
        if fields:
            word[s], bit[s] = u


@njit(nogil=True)
def _bit_factors(g, below):  # type: ignore[no-untyped-def]
    """Share of the cell and 1 / pivot at each bit-line node, from the top (k, n); sums of positive terms only."""
    k, n = g.shape
    share, inverse, above = np.empty((k, n)), np.empty((k, n)), np.zeros(n)
    for i in range(k):
        for j in range(n):
            rest = above[j] + below[i]
            share[i, j] = 1.0 / (1.0 + rest / g[i, j])
            inverse[i, j] = 1.0 / (g[i, j] + rest)
            above[j] = below[i] / (1.0 + below[i] / (g[i, j] + above[j]))
    return share, inverse


@njit(nogil=True)
def _word_factors(g, along, below):  # type: ignore[no-untyped-def]
    """1 / pivot of T_w + E at each word-line node, from the far end (k, n)."""
    k, n = g.shape
    inverse = np.empty((k, n))
    for i in range(k):
        t = below[i] + (below[i - 1] if i else 0.0)
        behind = 0.0
        for j in range(n - 1, -1, -1):
            seen = 1.0 / (1.0 / g[i, j] + 1.0 / t) + behind
            inverse[i, j] = 1.0 / (seen + along[j])
            behind = along[j] / (1.0 + along[j] / seen)
    return inverse


@njit(nogil=True)
def _bit_lines(w, share, inverse, below, b):  # type: ignore[no-untyped-def]
    """b = (T_b + D)^-1 D w (k, n), all columns at once."""
    k, n = w.shape
    for j in range(n):
        b[0, j] = share[0, j] * w[0, j]
    for i in range(1, k):
        g = below[i - 1]
        for j in range(n):
            b[i, j] = share[i, j] * w[i, j] + g * inverse[i, j] * b[i - 1, j]
    for i in range(k - 2, -1, -1):
        g = below[i]
        for j in range(n):
            b[i, j] += g * inverse[i, j] * b[i + 1, j]


@njit(nogil=True)
def _word_lines(x, inverse, along):  # type: ignore[no-untyped-def]
    """x <- (T_w + E)^-1 x in place (k, n), some rows side by side."""
    k, n = x.shape
    for first in range(0, k, ROWS_AT_ONCE):
        last = min(first + ROWS_AT_ONCE, k)
        for i in range(first, last):
            x[i, n - 1] *= inverse[i, n - 1]
        for j in range(n - 2, -1, -1):
            for i in range(first, last):
                x[i, j] = (x[i, j] + along[j + 1] * x[i, j + 1]) * inverse[i, j]
        for j in range(1, n):
            for i in range(first, last):
                x[i, j] += along[j] * inverse[i, j] * x[i, j - 1]


@njit(nogil=True)
def _cells(w, b, finite, stiff, below, q):  # type: ignore[no-untyped-def]
    """q = S w (k, n), currents from word to bit lines; at stiff cells, what the bit line carries off."""
    k, n = w.shape
    for i in range(k):
        for j in range(n):
            q[i, j] = finite[i, j] * (w[i, j] - b[i, j])
    for s in range(stiff.shape[0]):
        i, j = stiff[s, 0], stiff[s, 1]
        under = b[i + 1, j] if i + 1 < k else 0.0
        q[i, j] = below[i] * (b[i, j] - under)
        if i:
            q[i, j] -= below[i - 1] * (b[i - 1, j] - b[i, j])


@njit(nogil=True)
def _add_wires(d, along, sign, q):  # type: ignore[no-untyped-def]
    """q += sign T_w d (k, n)."""
    k, n = d.shape
    for i in range(k):
        q[i, 0] += sign * along[0] * d[i, 0]
        for j in range(1, n):
            q[i, j] += sign * along[j] * (d[i, j] - d[i, j - 1])
        for j in range(n - 1):
            q[i, j] += sign * along[j + 1] * (d[i, j] - d[i, j + 1])


@njit(nogil=True)
def _factors(g, along, below):  # type: ignore[no-untyped-def]
    """What all reads of a network share: along, below, cells that are not stiff, the stiff ones, the factors.

    A cell is stiff above the conductance of its bit-line segments: g (w - b) would lose digits there.
    """
    k, n = g.shape
    finite, count = g.copy(), 0
    for i in range(k):
        t = below[i] + (below[i - 1] if i else 0.0)
        for j in range(n):
            if g[i, j] > t:
                finite[i, j] = -1.0
                count += 1
    stiff = np.empty((count, 2), np.int64)
    for i in range(k if count else 0):
        for j in range(n):
            if finite[i, j] < 0.0:
                count -= 1
                stiff[count, 0], stiff[count, 1], finite[i, j] = i, j, 0.0
    share, inverse = _bit_factors(g, below)
    return along, below, finite, stiff, share, inverse, _word_factors(g, along, below)


@njit(nogil=True)
def _apply(w, f, b, q):  # type: ignore[no-untyped-def]
    """b = (T_b + D)^-1 D w,  q = S w."""
    _, below, finite, stiff, share, inverse, _ = f
    _bit_lines(w, share, inverse, below, b)
    _cells(w, b, finite, stiff, below, q)


@njit(nogil=True)
def _dot(a, b):  # type: ignore[no-untyped-def]
    """Sum of a b over (k, n), eight partial sums side by side in a fixed order."""
    total = 0.0
    part = np.zeros(8)
    for i in range(a.shape[0]):
        x, y = a[i], b[i]
        whole = x.size // 8 * 8
        for j in range(0, whole, 8):
            for lane in range(8):
                part[lane] += x[j + lane] * y[j + lane]
        for j in range(whole, x.size):
            total += x[j] * y[j]
    for lane in range(8):
        total += part[lane]
    return total


@njit(nogil=True)
def _size(a):  # type: ignore[no-untyped-def]
    """Sum of |a| over (k, n)."""
    total = 0.0
    for i in range(a.shape[0]):
        row = 0.0
        for j in range(a.shape[1]):
            row += abs(a[i, j])
        total += row
    return total


@njit(nogil=True)
def _descend(f, tolerance, sweeps, d, r, w, b):  # type: ignore[no-untyped-def]
    """Conjugate gradients on the drop d and its residual r (k, n), in place; w, b are work. -> sum |r|."""
    along, word_inverse = f[0], f[6]
    k, n = d.shape
    p, q = np.zeros((k, n)), w
    missing, before = _size(r), 1.0
    for sweep in range(sweeps):
        if missing <= tolerance:
            break
        for i in range(k):
            for j in range(n):
                q[i, j] = r[i, j]
        _word_lines(q, word_inverse, along)
        now = _dot(r, q)
        ratio = now / before if sweep else 0.0
        before = now
        for i in range(k):
            for j in range(n):
                p[i, j] = q[i, j] + ratio * p[i, j]
        _apply(p, f, b, q)
        _add_wires(p, along, 1.0, q)
        step = now / _dot(p, q)
        for i in range(k):
            for j in range(n):
                d[i, j] += step * p[i, j]
                r[i, j] -= step * q[i, j]
        missing = _size(r)
    return missing


@njit(nogil=True)
def _solve(f, v, start, tolerance, sweeps, w, b, current):  # type: ignore[no-untyped-def]
    """One read; w, b (k, n) are left as the potentials, current (n,) as the column currents. -> what is missing."""
    along, below = f[0], f[1]
    k, n = w.shape
    d, r = np.zeros((k, n)), np.empty((k, n))
    for i in range(k):
        for j in range(n):
            w[i, j] = v[i]
    _apply(w, f, b, r)
    scale = _size(r)
    if start.size:
        for i in range(k):
            for j in range(n):
                w[i, j] = start[i, j]
                d[i, j] = v[i] - start[i, j]
        _apply(w, f, b, r)
        _add_wires(d, along, -1.0, r)
    missing = _descend(f, tolerance * scale, sweeps, d, r, w, b)
    for i in range(k):
        for j in range(n):
            w[i, j] = v[i] - d[i, j]
    _bit_lines(w, f[4], f[5], below, b)
    for j in range(n):
        current[j] = below[k - 1] * b[k - 1, j]
    return missing / scale if scale > 0.0 else 0.0


@njit(nogil=True)
def _inverted(x):  # type: ignore[no-untyped-def]
    return 1.0 / x


@njit(nogil=True)
def _merged(below, rows):  # type: ignore[no-untyped-def]
    """Conductances of the bit-line segments between active rows; below (m,) ohms."""
    ends = np.append(rows[1:], below.size)
    merged = np.empty(rows.size)
    for t in range(rows.size):
        ohms = 0.0
        for i in range(rows[t], ends[t]):
            ohms += below[i]
        merged[t] = 1.0 / ohms
    return merged


@njit(nogil=True)
def _one_read(g, below, v, active, gated, f, tolerance, sweeps, fields, places):  # type: ignore[no-untyped-def]
    """Solve for one row of a batch: with f as it is, or for the network of the active rows."""
    start, current, word, bit = places
    n = g.shape[1]
    if gated:
        rows = np.flatnonzero(active)
        if rows.size == 0:
            current[:] = 0.0
            return 0.0
        f, v = _factors(g[rows], f[0], _merged(below, rows)), v[rows]
    w, b = np.empty((v.size, n)), np.empty((v.size, n))
    missing = _solve(f, v, start, tolerance, sweeps, w, b, current)
    if fields:
        word[:] = w
        bit[:] = b
    return missing


@njit(nogil=True, error_model="numpy")
def _reads(  # type: ignore[no-untyped-def]
    g, below, v, active, gated, f, start, tolerance, sweeps, fields, currents, word, bit, missing, begin, end, team
):
    """Reads begin to end - 1, each on its own."""
    if shared_out(begin, end, team):
        return
    for s in range(begin, end):
        at, full = s % start.shape[0], s % word.shape[0]
        places = start[at], currents[s], word[full], bit[full]
        missing[s] = _one_read(g, below, v[s], active[s], gated, f, tolerance, sweeps, fields, places)


@kernel(reference=read_reference, regions=lambda *_: 1)
def read_kernel(  # type: ignore[no-untyped-def]
    g, along, below, v, active, gated, start, tolerance, sweeps, fields, currents, word, bit, missing, team
):
    """g (m, n) siemens; along (n,), below (m,) ohms, all above 0; v, active (batch, m) -> currents (batch, n), missing
    (batch,) as a share, and with `fields` word, bit (batch, m, n) volts. start (batch, m, n): word-line potentials to
    begin with. gated: each read is of its active rows' network, bit-line segments merged between them. What is not
    asked for has shape (1, 0, n), or (batch, 0)."""
    f, reads = _factors(g[:1] if gated else g, _inverted(along), _inverted(below)), v.shape[0]
    _reads(
        g, below, v, active, gated, f, start, tolerance, sweeps, fields, currents, word, bit, missing, np.int64(0),
        reads, team,
    )  # fmt: skip
