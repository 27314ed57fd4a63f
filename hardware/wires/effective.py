"""The exact effective-conductance matrix of a driven array: I = V^T G_eff, computed once.

Seen from a word line's segment j, columns j to n-1 are one conductance matrix Y_j (m, m). From the last column to the
first, with D_j = diag(g_.j) and T the bit lines' ladder (their segments and sense terminals),

    X_j = (T + D_j)^-1 D_j                bit-line potentials per volt on the column's word-line nodes
    S_j = D_j - D_j X_j + Y_{j+1}         what the column and all behind it draw
    Z_j = (1 + r_j S_j)^-1 r_j S_j        the drop over segment j:  w_j = (1 - Z_j) w_{j-1},  w_{-1} = V
    Y_j = Z_j / r_j                       r_j = along_j

The current of column j is the last row of X_j over below_{m-1}, times w_j. Running rows R hold the currents of the
columns behind, per volt at w_{j-1}:  R_k <- R_k (1 - Z_j). Z is solved for, not found as 1 - H: no digits are lost
when wires are good. Memory: the array, R (n, m) and a few (m, m). Cost: about n (7/3 m^3 + n m^2) operations; the
network is mirrored first where n < m. With r_word = 0 the columns stand in parallel: n m^2 + m^3.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from threadpoolctl import threadpool_limits

from spikesim.core.kernel import kernel
from spikesim.errors import ParameterError, must

from .ladder import Ladder


def effective(ladder: Ladder) -> np.ndarray:
    """(m, n) siemens: what one volt at source i drives into sense j, all other sources at 0 V."""
    if not ladder.carries():
        return np.zeros_like(ladder.g)
    m, n = ladder.g.shape
    word, bit = ladder.along[1:].any(), ladder.below[:-1].any()
    # One thread: LAPACK's own share such small systems out at a loss (ten times slower with two), and to other bits.
    with threadpool_limits(limits=1, user_api="blas"):
        if not word and not bit:
            return _lumped(ladder)
        # Mirrored, the columns are the shorter side; or the bit lines are the resistive ones.
        if not bit or (word and n < m):
            return np.ascontiguousarray(_eliminated(ladder.mirrored())[::-1, ::-1].T)
        return _eliminated(ladder)


def _eliminated(ladder: Ladder) -> np.ndarray:
    """`effective` by elimination of columns, last to first; every bit-line segment is resistive."""
    from scipy.linalg.lapack import dposv

    g, along, below = ladder
    m, n = g.shape
    rows, drawn, potentials = np.zeros((n, m)), np.zeros((m, m)), np.empty((m, m))
    unit = np.arange(m)
    for j in range(n - 1, -1, -1):
        column_kernel(np.ascontiguousarray(g[:, j]), 1.0 / below, potentials, drawn)
        rows[j] = potentials[-1] / below[-1]
        if along[j] == 0.0:
            continue
        drawn *= along[j]
        left = drawn.copy()
        left[unit, unit] += 1.0
        # Symmetric up to rounding, so the transpose (Fortran order, no copy) is the same system.
        _, z, failed = dposv(left.T, drawn.T, lower=1, overwrite_a=1, overwrite_b=1)
        if failed:
            raise ParameterError(must("Wires.g", "conductances whose sums are numbers", f"overflow in column {j}"))
        rows[j:] -= rows[j:] @ z
        drawn = np.ascontiguousarray(z.T)
        drawn /= along[j]
    return np.ascontiguousarray(rows.T)


def column_reference(g: np.ndarray, below: np.ndarray, potentials: np.ndarray, drawn: np.ndarray) -> None:
    """numpy twin of `column_kernel`: the dense system, shorted cells by their limit. Equal to rounding, not in bits."""
    m, short = len(g), np.isinf(g)
    ladder = np.diag(below + np.concatenate([[0.0], below[:-1]]))
    ladder -= np.diag(below[:-1], 1) + np.diag(below[:-1], -1)
    left, right = ladder + np.diag(np.where(short, 0.0, g)), np.diag(np.where(short, 1.0, g))
    left[short] = np.eye(m)[short]
    potentials[:] = np.linalg.solve(left, right)
    drawn += ladder @ potentials


@njit(nogil=True)
def _series(a, b):  # type: ignore[no-untyped-def]
    """Conductance of a > 0 and b >= 0 (inf included) in series."""
    return a / (1.0 + a / b)


@kernel(reference=column_reference)
def column_kernel(g, below, potentials, drawn):  # type: ignore[no-untyped-def]
    """g (m,), below (m,) siemens -> potentials X (m, m); drawn (m, m) gains D - D X."""
    m = g.size
    inverse, share = np.empty(m), np.empty(m)
    above, x = 0.0, potentials
    for i in range(m):
        inverse[i] = 1.0 / (g[i] + above + below[i])
        share[i] = 1.0 / (1.0 + (above + below[i]) / g[i])
        x[i] = 0.0
        if i:
            factor = inverse[i] * below[i - 1]
            for k in range(i):
                x[i, k] = factor * x[i - 1, k]
        x[i, i] = share[i]
        above = _series(below[i], g[i] + above)
    for i in range(m - 2, -1, -1):
        factor = inverse[i] * below[i]
        for k in range(m):
            x[i, k] += factor * x[i + 1, k]
    for i in range(m):
        up = below[i - 1] if i else 0.0
        if g[i] <= up + below[i]:
            for k in range(m):
                drawn[i, k] -= g[i] * x[i, k]
            drawn[i, i] += g[i]
            continue
        # g (1 - x) would lose digits, or be inf * 0: the same current is what the bit line carries off.
        for k in range(m):
            under = x[i + 1, k] if i + 1 < m else 0.0
            over = x[i - 1, k] if i else 0.0
            drawn[i, k] += below[i] * (x[i, k] - under) - up * (over - x[i, k])


def _lumped(ladder: Ladder) -> np.ndarray:
    """`effective` where wires are ideal and at most terminals are resistive: one node per line.

    Lines joined by shorted cells are one node k; with a source conductance s_k and a sense conductance t_k of its
    lines, (diag(s + t) + L) u = s V, L the Laplacian of the other cells; nodes on an ideal terminal have its potential.
    """
    g, r_source, r_sense = ladder.g, ladder.along[0], ladder.below[-1]
    m, _n = g.shape
    if not np.isinf(g).any() and r_source == 0.0 and r_sense == 0.0:
        return g.copy()
    node, count = _joined(g, r_source, r_sense)
    cells = np.zeros((count, count))
    np.add.at(cells, (node[:m, None], node[None, m:]), np.where(np.isinf(g), 0.0, g))
    cells += cells.T
    matrix = np.diag(cells.sum(1)) - cells
    fixed = np.zeros(count, bool)
    drive = np.zeros((count, m))
    for rows, r in ((node[:m], r_source), (node[m:], r_sense)):
        if r == 0.0:
            fixed[rows] = True
        else:
            np.add.at(matrix, (rows, rows), 1.0 / r)
    # Potentials of all nodes per volt at each source.
    u, free = np.zeros((count, m)), ~fixed
    if r_source == 0.0:
        u[node[:m], np.arange(m)] = 1.0
    else:
        np.add.at(drive, (node[:m], np.arange(m)), 1.0 / r_source)
    u[free] = np.linalg.solve(matrix[np.ix_(free, free)], drive[free] - matrix[np.ix_(free, fixed)] @ u[fixed])
    if r_sense > 0.0:
        return np.ascontiguousarray(u[node[m:]].T) / r_sense
    # What flows into a grounded column: through its cells, and through sources of rows shorted to it.
    return np.ascontiguousarray((drive - matrix @ u)[node[m:]].T)


def _joined(g: np.ndarray, r_source: float, r_sense: float) -> tuple[np.ndarray, int]:
    """Node of each word line and then each bit line (m + n,), and how many there are; refuses ideal loops."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    m, n = g.shape
    i, j = np.nonzero(np.isinf(g))
    pairs = coo_array((np.ones(len(i)), (i, m + j)), shape=(m + n, m + n))
    count, node = connected_components(pairs, directed=False)
    sources, senses = np.bincount(node[:m], minlength=count), np.bincount(node[m:], minlength=count)
    ideal = (sources if r_source == 0.0 else 0) + (senses if r_sense == 0.0 else 0)
    if (np.asarray(ideal) > 1).any():
        raise ParameterError(must("Wires", "a network without loops of zero resistance",
                                  "shorted cells between ideal terminals",
                                  "give the wires, r_source or r_sense a resistance"))  # fmt: skip
    return node, count
