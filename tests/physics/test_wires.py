"""Crossbars with wire resistance against the full nodal equations, and the laws every resistor network obeys."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_array
from scipy.sparse.linalg import spsolve

import spikesim as ss
from spikesim.core.kernel import KERNELS
from spikesim.hardware.wires import LOSS_LIMIT, Drive, Driven, Gated, Ideal, Wires, line, lost

SHAPES = [(1, 1), (1, 9), (9, 1), (5, 9), (11, 4), (24, 24)]


def drawn(rng: np.random.Generator, shape: tuple[int, int], odd: float = 0.1) -> np.ndarray:
    """Conductances of 1 uS to 10 mS, a share `odd` open and as many shorted."""
    g = 10 ** rng.uniform(-6, -2, shape)
    kind = rng.random(shape)
    return np.where(kind < odd, 0.0, np.where(kind > 1 - odd, math.inf, g))


def equations(g: np.ndarray, wires: Wires) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Modified nodal analysis -> matrix, right sides (size, m) per volt at each source, and output rows (n, size).

    Unknowns: word-line nodes, bit-line nodes, and the current of every branch without resistance.
    """
    m, n = g.shape
    word = np.arange(m * n).reshape(m, n)
    bit = word + m * n
    source, ground = -1 - np.arange(m), -1 - m
    with np.errstate(divide="ignore"):
        ohms = 1 / g
    branches = [(source[i], word[i, 0], wires.r_source + wires.r_word) for i in range(m)]
    branches += [(word[i, j], word[i, j + 1], wires.r_word) for i in range(m) for j in range(n - 1)]
    branches += [(word[i, j], bit[i, j], ohms[i, j]) for i in range(m) for j in range(n)]
    branches += [(bit[i, j], bit[i + 1, j], wires.r_bit) for i in range(m - 1) for j in range(n)]
    branches += [(bit[-1, j], ground, wires.r_sense + wires.r_bit) for j in range(n)]
    ideal = [k for k, (_, _, r) in enumerate(branches) if r == 0]
    size = 2 * m * n + len(ideal)
    matrix, right, out = np.zeros((size, size)), np.zeros((size, m)), np.zeros((n, size))
    for k, (a, b, r) in enumerate(branches):
        if r == 0:
            own = 2 * m * n + ideal.index(k)
        for node, sign in ((a, 1), (b, -1)):
            if r == 0:
                if node >= 0:
                    matrix[node, own] += sign
                    matrix[own, node] += sign
                elif node != ground:
                    right[own, -1 - node] -= sign
            elif node >= 0:
                other = b if node == a else a
                matrix[node, node] += 1 / r
                if other >= 0:
                    matrix[node, other] -= 1 / r
                elif other != ground:
                    right[node, -1 - other] += 1 / r
        if b == ground:
            at = a - bit[-1, 0]
            out[at, own if r == 0 else a] = 1 if r == 0 else 1 / r
    return matrix, right, out


def exact(g: np.ndarray, wires: Wires) -> np.ndarray:
    """G_eff by `scipy.sparse.linalg.spsolve` of all equations."""
    matrix, right, out = equations(g, wires)
    solution = spsolve(csc_array(matrix), right)
    return (out @ solution.reshape(len(matrix), -1)).T  # type: ignore[no-any-return]


def exact_or_none(g: np.ndarray, wires: Wires) -> np.ndarray | None:
    """G_eff by singular values; None where a potential or a column current is not determined, or contradictory."""
    matrix, right, out = equations(g, wires)
    scale = np.abs(matrix).max(1, initial=0.0)
    scale[scale == 0] = 1.0
    matrix, right, nodes = matrix / scale[:, None], right / scale[:, None], 2 * g.size
    u, s, vt = np.linalg.svd(matrix)
    rank = int((s > 1e-11 * s[0]).sum()) if s.size else 0
    free = vt[rank:]
    if np.abs(free[:, :nodes]).max(initial=0) > 1e-6 or np.abs(free @ (out != 0).T).max(initial=0) > 1e-6:
        return None
    solution = vt[:rank].T @ ((u[:, :rank].T @ right) / s[:rank, None])
    if np.abs(matrix @ solution - right).max() > 1e-6 * np.abs(right).max(initial=1e-300):
        return None
    return (out @ solution).T  # type: ignore[no-any-return]


def close(got: np.ndarray, want: np.ndarray, tolerance: float = 1e-9) -> None:
    """Within `tolerance` of the largest; a millionth of a millionth of what the smallest cell carries is nothing."""
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.abs(want).max() + 1e-18)


def near(got: np.ndarray, want: np.ndarray) -> None:
    """As `close`, for what singular values of equations with entries of 1 give."""
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-8 * np.abs(want).max() + 1e-14)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ends", [(0.0, 0.0), (20.0, 300.0)])
def test_line_matrix_and_gated_equal_the_nodal_equations(shape: tuple[int, int], ends: tuple[float, float]) -> None:
    rng = np.random.default_rng([*shape, int(ends[0])])
    for r_word, r_bit in ((1.0, 1.0), (2.5, 40.0), (70.0, 3.0)):
        wires, g = Wires(r_word, r_bit, *ends), drawn(rng, shape)
        v = rng.uniform(-0.2, 0.2, (4, shape[0]))
        want = exact(g, wires)
        close(wires.effective(g), want)
        close(wires.currents(g, v), v @ want)
        active = rng.random(v.shape) < 0.4
        gated = [v[s] @ exact(np.where(active[s][:, None], g, 0.0), wires) for s in range(4)]
        close(wires.gated_currents(g, active, v), np.array(gated))


OHMS = st.sampled_from([0.0, 0.0, 1.0, 7.0, 300.0, math.inf])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.tuples(OHMS, OHMS, OHMS, OHMS), st.integers(1, 4), st.integers(1, 4), st.integers(0, 10**6))
def test_any_resistance_may_be_zero_or_infinite(ohms: tuple[float, ...], m: int, n: int, seed: int) -> None:
    """Where the equations determine potentials and currents the matrix is theirs, elsewhere one line refuses."""
    rng = np.random.default_rng(seed)
    wires, g = Wires(*ohms), drawn(rng, (m, n), odd=rng.choice([0.0, 0.15, 0.4]))
    want = exact_or_none(g, wires)
    if want is None:
        if math.isfinite(sum(ohms)):
            with pytest.raises(ss.SpikesimError, match="zero resistance"):
                wires.effective(g)
        return
    near(wires.effective(g), want)
    v, active = rng.uniform(0, 1, (2, m)), rng.random((2, m)) < 0.6
    near(wires.currents(g, v), v @ want)
    if math.isfinite(sum(ohms)):
        for s in range(2):
            gated = exact_or_none(np.where(active[s][:, None], g, 0.0), wires)
            if gated is not None:
                near(wires.gated_currents(g, active[s : s + 1], v[s : s + 1])[0], v[s] @ gated)


@pytest.mark.parametrize(
    ("wires", "g"),
    [
        (Wires(math.inf, math.inf), np.ones((2, 2))),
        (Wires(1.0, 1.0, math.inf, math.inf), np.ones((2, 2))),
        (Wires(math.inf, 1.0), np.array([[1.0, 0.0], [1.0, 1.0]])),
        (Wires(1.0, math.inf), np.array([[1.0, 0.0], [1.0, 1.0]])),
        (Wires(1.0, 1.0, r_source=math.inf), np.array([[0.0, 0.0], [1.0, 1.0]])),
        (Wires(1.0, 1.0, r_sense=math.inf), np.array([[0.0, 1.0], [0.0, 1.0]])),
        (Wires(0.0, 0.0), np.array([[math.inf, 1.0]])),
        (Wires(0.0, 0.0, r_sense=1.0), np.array([[math.inf], [math.inf]])),
        (Wires(0.0, 0.0, r_source=1.0), np.array([[math.inf, math.inf]])),
    ],
)
def test_networks_without_a_solution_are_refused(wires: Wires, g: np.ndarray) -> None:
    calls: list[Callable[[], object]] = [
        lambda: wires.effective(g),
        lambda: wires.currents(g, np.ones(len(g))),
        lambda: wires.gated_currents(g, np.ones((1, len(g)), bool), 1.0),
    ]
    for call in calls:
        with pytest.raises(ss.SpikesimError, match=r"^Wires must be [^\n]*$"):
            call()


def test_cut_lines_carry_nothing() -> None:
    g, active = np.ones((3, 2)), np.ones((1, 3), bool)
    for wires in (Wires(math.inf, 1), Wires(1, math.inf), Wires(1, 1, math.inf), Wires(1, 1, 0, math.inf)):
        for got in (wires.effective(g), wires.currents(g, np.ones(3)), wires.gated_currents(g, active, 1.0)):
            assert not got.any()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Wires(-1.0, 1.0), "Wires.r_word must be a resistance of at least 0 ohm"),
        (lambda: Wires(1.0, math.nan), "Wires.r_bit must be a resistance"),
        (lambda: Wires(1.0, True), "Wires.r_bit must be a resistance"),
        (lambda: Wires(1.0, 1.0, tolerance=0.0), "Wires.tolerance must be"),
        (lambda: Wires(1.0, 1.0).effective(np.array([[1.0, -1.0]])), "Wires.g must be at least 0 S"),
        (lambda: Wires(1.0, 1.0).effective(np.array([[math.nan]])), "Wires.g must be at least 0 S"),
        (lambda: Wires(1.0, 1.0).effective(np.ones(3)), "Wires.g must be a matrix"),
        (lambda: Wires(1.0, 1.0).effective(np.ones((0, 3))), "Wires.g must be a matrix"),
        (lambda: Wires(1.0, 1.0).currents(np.ones((2, 3)), np.ones((4, 3))), r"Wires.v must be \(batch, 2\) volts"),
        (lambda: Wires(1.0, 1.0).currents(np.ones((1, 3)), [math.nan]), "Wires.v must be finite"),
        (lambda: Wires(1.0, 1.0).gated_currents(np.ones((1, 3)), np.ones((1, 1)), 1.0), "Wires.active must be"),
        (lambda: Wires(1.0, 0.0).solve(np.ones((1, 3)), [1.0]), "Wires must be resistive in both lines"),
    ],
)
def test_bad_input_is_one_line(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ss.SpikesimError, match=rf"^{sentence}[^\n]*$"):
        call()


@pytest.mark.parametrize("shape", [(6, 6), (3, 10)])
def test_good_wires_are_ideal(shape: tuple[int, int]) -> None:
    """Loss falls in proportion to the resistance, with no floor of rounding; at 0 the ideal matrix, bit for bit."""
    rng = np.random.default_rng(5)
    g, v = rng.uniform(1e-6, 1e-4, shape), rng.uniform(0, 1, (3, shape[0]))
    for r in (1e-3, 1e-6, 1e-9):
        for got in (Wires(r, r).effective(g), Wires(r, r, r, r).effective(g)):
            assert 0 < (1 - got / g).max() < 1e-2 * r
        close(Wires(r, r).currents(g, v), v @ g, 1e-2 * r)
        close(Wires(r, r).gated_currents(g, v > 0.5, v), np.where(v > 0.5, v, 0) @ g, 1e-2 * r)
    for drive in (Ideal(), Driven(Wires(0, 0))):
        assert np.array_equal(drive.matrix(g), g)
        np.testing.assert_allclose(drive.currents(g, v), v @ g, rtol=1e-15)
    assert Wires(0, 0).ideal and not Wires(0, 0, 0, 1).ideal


def test_superposition_and_reciprocity() -> None:
    rng = np.random.default_rng(6)
    g, wires = drawn(rng, (8, 5)), Wires(2.0, 5.0, 30.0, 7.0)
    a, b = rng.uniform(-1, 1, (2, 8))
    close(wires.currents(g, 2 * a - 3 * b), 2 * wires.currents(g, a) - 3 * wires.currents(g, b))
    exchanged = Wires(5.0, 2.0, 7.0, 30.0).effective(g[::-1, ::-1].T)
    close(exchanged[::-1, ::-1].T, wires.effective(g))


def test_current_is_conserved_at_every_node() -> None:
    rng = np.random.default_rng(7)
    g, wires, v = rng.uniform(1e-5, 1e-3, (9, 6)), Wires(3.0, 2.0, 10.0, 4.0), rng.uniform(0, 1, (2, 9))
    full = wires.solve(g, v)
    cell = (full.word - full.bit) * g
    along = np.concatenate([(v[:, :, None] - full.word[:, :, :1]) / 13.0, -np.diff(full.word, axis=2) / 3.0], axis=2)
    np.testing.assert_allclose(along[:, :, :-1] - along[:, :, 1:], cell[:, :, :-1], atol=1e-9)
    np.testing.assert_allclose(full.bit[:, -1] / 6.0, full.currents, rtol=1e-12)
    assert along[:, :, 0].sum() == pytest.approx(full.currents.sum(), rel=1e-10)


def test_the_tolerance_bounds_the_error_of_all_columns_together() -> None:
    rng = np.random.default_rng(8)
    g, v = rng.uniform(1e-4, 1e-2, (20, 30)), rng.uniform(0, 1, (5, 20))
    wires = Wires(5.0, 5.0)
    want = v @ wires.effective(g)
    scale = Wires(0.0, 5.0).currents(g, v).sum(1)
    for tolerance in (1e-2, 1e-4, 1e-8):
        error = np.abs(Wires(5.0, 5.0, tolerance=tolerance).currents(g, v) - want).sum(1)
        assert (error <= tolerance * scale).all()


def test_a_start_at_the_solution_needs_no_sweep() -> None:
    rng = np.random.default_rng(9)
    g, v, wires = rng.uniform(1e-5, 1e-3, (7, 8)), rng.uniform(0, 1, (2, 7)), Wires(3.0, 2.0)
    full = wires.solve(g, v)
    close(wires.solve(1.1 * g, v, full).currents, wires.currents(1.1 * g, v))
    currents, missing, none = np.empty((2, 8)), np.empty(2), np.empty((1, 0, 8))
    rows = np.empty((2, 0), bool)
    for start, most in ((full.word, 1e-10), (none, 2.0)):
        line.read_kernel(*wires._ladder(g), v, rows, False, start, 1e-30, 0, False, currents, none, none, missing)
        assert (missing < most).all() and (missing > most * 1e-8).any()


def test_reads_depend_on_neither_batch_nor_threads() -> None:
    import torch

    rng = np.random.default_rng(10)
    g, v, wires = rng.uniform(1e-5, 1e-3, (20, 30)), rng.uniform(0, 1, (7, 20)), Wires(3.0, 2.0)
    active, before = v < 0.3, torch.get_num_threads()
    together = wires.currents(g, v), wires.gated_currents(g, active, v)
    try:
        torch.set_num_threads(1)
        for s in range(7):
            assert np.array_equal(wires.currents(g, v[s])[0], together[0][s])
            assert np.array_equal(wires.gated_currents(g, active[s], v[s])[0], together[1][s])
    finally:
        torch.set_num_threads(before)


def test_gated_rows_lose_less_than_rows_held_at_zero() -> None:
    """256 x 256, mean 50 uS, 1 ohm, 10 % of rows active: 0.52 of the column current lost gated, 0.65 driven."""
    rng = np.random.default_rng(0)
    g, wires = rng.uniform(0, 1e-4, (256, 256)), Wires(1.0, 1.0, tolerance=1e-6)
    v = 0.2 * (rng.permuted(np.arange(256) < 26) * np.ones((4, 1)))
    v = rng.permuted(v, axis=1)
    assert Gated(wires).ir_loss(g, v) == pytest.approx(0.52, abs=0.025)
    assert Driven(wires).ir_loss(g, v) == pytest.approx(0.65, abs=0.025)
    assert Ideal().ir_loss(g, v) == 0
    assert Gated(Wires(0.01, 0.01)).ir_loss(g, v) < LOSS_LIMIT < Gated(wires).ir_loss(g, v)


@pytest.mark.parametrize("drive", [Ideal(), Driven(Wires(2.0, 1.0)), Gated(Wires(2.0, 1.0))])
def test_every_drive_reads_what_its_matrix_says(drive: Drive) -> None:
    rng = np.random.default_rng(11)
    g, v = rng.uniform(1e-6, 1e-4, (6, 4)), rng.uniform(0, 1, (3, 6)) * (rng.random((3, 6)) < 0.5)
    matrix = drive.matrix(g)
    assert (matrix is None) == isinstance(drive, Gated)
    if matrix is not None:
        close(drive.currents(g, v), v @ matrix)
    else:
        close(drive.currents(g, v), Wires(2.0, 1.0).gated_currents(g, v != 0, v))
    assert not drive.currents(g, np.zeros(6)).any()
    for reads in (1, 5):
        close(drive.reader(g, reads)(v), drive.currents(g, v))
    assert lost(np.zeros(3), np.zeros(3)) == 0
    g[0, 0] = math.inf
    if not isinstance(drive, Ideal):
        assert drive.ir_loss(g, v) == 1
    else:
        with pytest.raises(ss.SpikesimError, match="zero resistance"):
            drive.currents(g, v)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (5, 7)])
def test_kernels_equal_their_references(shape: tuple[int, int]) -> None:
    (m, n), rng = shape, np.random.default_rng(12)
    g, v = rng.uniform(1e-5, 1e-3, shape), rng.uniform(0, 1, (3, m))
    g[0, 0] = math.inf
    active, along, below = rng.random((3, m)) < 0.5, rng.uniform(1, 9, n), rng.uniform(1, 9, m)

    def column(run: Callable[..., None]) -> list[np.ndarray]:
        potentials, drawn = np.empty((m, m)), np.eye(m)
        run(np.ascontiguousarray(g[:, 0]), 1 / below, potentials, drawn)
        return [potentials, drawn]

    def read(run: Callable[..., None], gated: bool) -> list[np.ndarray]:
        out = [np.empty((3, n)), np.empty((3, m, n)), np.empty((3, m, n))]
        run(g, along, below, v, active, gated, none, 1e-13, 1000, not gated, *out, np.empty(3))
        return out[:1] if gated else out

    none = np.empty((1, 0, n))
    kernel, reference = KERNELS["spikesim.hardware.wires.effective.column_kernel"]
    for got, want in zip(column(kernel), column(reference)):
        close(got, want, 1e-12)
    kernel, reference = KERNELS["spikesim.hardware.wires.line.read_kernel"]
    for gated in (False, True):
        for got, want in zip(read(kernel, gated), read(reference, gated)):
            close(got, want, 1e-5)
