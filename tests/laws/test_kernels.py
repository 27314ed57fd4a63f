"""Law 1: every kernel equals the plain reference it was recorded with, bit for bit, on drawn shapes."""

from __future__ import annotations

import numpy as np
import pytest

from spikesim.core import streaming
from spikesim.core.simd import aligned
from spikesim.layers import conv, counting
from spikesim.neurons import _fused, _membrane, _membrane_backward, _streamed, signed
from spikesim.neurons._membrane import Coefficients
from spikesim.neurons._membrane_backward import Rule
from spikesim.neurons._sixteen import SLOPED
from spikesim.surrogate import SLOPES, Slope, slope_row, slope_row_reference

SHAPES = [(1, 1, 1), (7, 3, 5), (4, 1, 40_000)]


def coefficients(rng: np.random.Generator, dtype: type, size: int, per_neuron: bool) -> Coefficients:
    def draw(low: float, high: float) -> object:
        return rng.uniform(low, high, size).astype(dtype) if per_neuron else dtype(rng.uniform(low, high))

    return Coefficients(draw(0.5, 1), draw(0.5, 1.5), draw(-0.1, 0.1), draw(0.5, 1), draw(0, 0.5), draw(0.5, 1))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("per_neuron", [False, True])
@pytest.mark.parametrize("gated", [False, True])
def test_membrane_kernels_equal_their_references(shape: tuple[int, ...], per_neuron: bool, gated: bool) -> None:
    rng = np.random.default_rng(sum(shape))
    x = rng.normal(0.3, 0.6, shape).astype(np.float32)
    c = coefficients(rng, np.float32, shape[2], per_neuron)
    v = rng.uniform(0, 1, shape[1:]).astype(np.float32)
    fast, slow = [v.copy(), np.empty_like(x)], [v.copy(), np.empty_like(x)]
    _membrane.run_kernel(x, fast[0], c, gated, fast[1])
    _membrane.run_reference(x, slow[0], c, gated, slow[1])
    assert 0 < slow[1].mean() < 1 or x.size == 1
    assert all(np.array_equal(a, b) for a, b in zip(fast, slow))


@pytest.mark.parametrize("shape", [(1, 1, 16), (7, 3, 48), (4, 1, 40_000)])
@pytest.mark.parametrize("per_neuron", [False, True])
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("far", [False, True])
def test_streamed_kernels_equal_the_equation(shape: tuple[int, ...], per_neuron: bool, gated: bool, far: bool) -> None:
    rng = np.random.default_rng(sum(shape))
    x = rng.normal(0.3, 0.6, shape).astype(np.float32)
    c = coefficients(rng, np.float32, shape[2], per_neuron)
    v = rng.uniform(0, 1, shape[1:]).astype(np.float32)
    fast, slow = ([v.copy(), aligned(*shape)] for _ in range(2))
    _streamed.streamed_kernel(x, fast[0], c, gated, far, fast[1])
    _membrane.run_reference(x, slow[0], c, gated, slow[1])
    assert 0 < slow[1].mean() < 1 or x.size < 20
    assert all(np.array_equal(a, b) for a, b in zip(fast, slow))
    bits = [np.zeros((*shape[:2], -(-shape[2] // 64)), np.uint64) for _ in range(2)]
    fast[0], slow[0] = v.copy(), v.copy()
    _streamed.packed_kernel(x, fast[0], c, gated, bits[0])
    _membrane.bits_reference(x, slow[0], c, gated, bits[1])
    assert np.array_equal(*bits) and np.array_equal(fast[0], slow[0])


def test_outputs_go_past_the_caches_only_where_none_holds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    x, out, odd = np.zeros((4, 1, 64), np.float32), aligned(4, 1, 64), aligned(4 * 64 + 1)[1:].reshape(4, 1, 64)
    assert not streaming.goes_past(x, out)
    monkeypatch.setattr(streaming, "FAR", 2 * x.nbytes - 1)
    assert streaming.goes_past(x, out) and not streaming.goes_past(x, odd)
    drive = np.random.default_rng(0).normal(0.3, 0.6, x.shape).astype(np.float32)
    c = Coefficients(*(np.float32(n) for n in (0.9, 1, 0, 1, 0, 1)))
    ran = []
    for spikes in (out, odd):
        v = np.zeros((1, 64), np.float32)
        _fused._run(drive, v, c, False, spikes)
        ran.append((v, spikes))
    assert all(np.array_equal(a, b) for a, b in zip(*ran)) and out.any()


@pytest.mark.parametrize("shape", SHAPES)
def test_signed_kernel_equals_its_reference(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(sum(shape))
    x = rng.normal(0.1, 0.8, shape).astype(np.float32)
    threshold = rng.uniform(0.5, 1, shape[2]).astype(np.float32)
    fast, slow = ([np.full(shape[1:], 0.3, np.float32), np.zeros(shape[1:], np.float32)] for _ in range(2))
    out = np.empty_like(x), np.empty_like(x)
    signed.signed_kernel(x, *fast, threshold, out[0])
    signed.signed_reference(x, *slow, threshold, out[1])
    assert np.array_equal(*out) and all(np.array_equal(a, b) for a, b in zip(fast, slow))


@pytest.mark.parametrize("shape", [(9, 2, 33), (600, 1, 200), (3, 1, 3000)])
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("through", [0.0, 1.0])
def test_backward_kernel_equals_its_reference(gated: bool, through: float, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    c = coefficients(rng, np.float64, shape[2], True)
    x, grads = rng.normal(0.3, 0.6, shape), rng.normal(size=shape)
    v0, carry = rng.uniform(0, 1, shape[1:]), rng.normal(size=shape[1:])
    rule = Rule(gated, through, 0, *(np.float64(n) for n in (1.0, np.pi, 0.0, 1.0)))
    fast = [carry.copy(), np.empty(shape), np.zeros((4, *shape[1:]))]
    slow = [carry.copy(), np.empty(shape), np.zeros((4, *shape[1:]))]
    _membrane_backward.backward_kernel(grads, x, v0, fast[0], c, rule, fast[1], fast[2])
    _membrane_backward.backward_reference(grads, x, v0, slow[0], c, rule, slow[1], slow[2])
    for a, b in zip(fast, slow):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape", [(4, 2, 48), (40, 1, 4000)])
@pytest.mark.parametrize("per_neuron", [False, True])
@pytest.mark.parametrize("through", [0.0, 1.0])
@pytest.mark.parametrize("code", SLOPED)
def test_streamed_backward_kernel_equals_the_equation(
    code: int, through: float, per_neuron: bool, shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(code)
    c = coefficients(rng, np.float32, shape[2], per_neuron)
    x, grads = rng.normal(0.3, 0.6, shape).astype(np.float32), rng.normal(size=shape).astype(np.float32)
    v0, carry = rng.uniform(0, 1, shape[1:]).astype(np.float32), rng.normal(size=shape[1:]).astype(np.float32)
    rule = Rule(False, np.float32(through), code, *(np.float32(n) for n in (1.0, 1.5, 0.0, 1.0)))
    fast, slow = ([carry.copy(), np.empty_like(x)] for _ in range(2))
    _streamed.streamed_backward_kernel(grads, x, v0, fast[0], c, rule, fast[1])
    _streamed.streamed_backward_reference(grads, x, v0, slow[0], c, rule, slow[1])
    assert all(np.array_equal(a, b) for a, b in zip(fast, slow)) and fast[1].any()


@pytest.mark.parametrize("code", range(len(SLOPES)))
def test_slope_rows_equal_their_equations(code: int) -> None:
    u = np.linspace(-2, 2, 101)
    c = Slope(*(np.float64(n) for n in (0.7, 1.3, 0.0, 1.0)))
    fast, slow = np.empty_like(u), np.empty_like(u)
    slope_row(code, u, c, fast)
    slope_row_reference(code, u, c, slow)
    np.testing.assert_allclose(fast, slow, rtol=1e-15)  # exp may differ in the last bit between numpy and libm


def drawn_lists(rng: np.random.Generator, rows: int, size: int) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    x = (rng.random((rows, size)) < 0.2) * rng.integers(1, 4, (rows, size))
    return x, counting.event_lists(x.astype(np.float32))


def test_counting_kernels_equal_their_references() -> None:
    rng = np.random.default_rng(5)
    x = rng.integers(-2, 3, (4, 3, 11)).astype(np.float32)
    fast, slow = ([np.ones((3, 11), np.int32), np.ones((3, 11), np.int32)] for _ in range(2))
    counting.activity_kernel(x, *fast)
    counting.activity_reference(x, *slow)
    assert all(np.array_equal(a, b) for a, b in zip(fast, slow)) and fast[0].sum() < fast[1].sum()
    for steps in (1, 4, 7):
        fired = np.ones((3, 11), np.int32), np.ones((3, 11), np.int32)
        x = rng.integers(-1, 2, (steps, 3, 11)).astype(np.float32)
        counting.fired_kernel(x, fired[0])
        counting.fired_reference(x, fired[1])
        assert np.array_equal(*fired)
    dense, (ptr, idx, val) = drawn_lists(rng, 6, 17)
    again = [np.empty_like(idx), np.empty_like(val)]
    counting.index_reference(dense.astype(np.float32), ptr, *again)
    assert np.array_equal(again[0], idx) and np.array_equal(again[1], val)


def test_event_kernels_equal_their_references() -> None:
    rng = np.random.default_rng(6)
    _, lists = drawn_lists(rng, 5, 3 * 9 * 8)
    weight = rng.normal(size=(3, 3, 2, 4)).astype(np.float32)
    bias = rng.normal(size=4).astype(np.float32)
    geometry = conv.Geometry(9, 8, 2, 1, 1, 0)
    fast, slow = np.empty((5, 5, 7, 4), np.float32), np.empty((5, 5, 7, 4), np.float32)
    conv.scattered_kernel(*lists, weight, bias, geometry, fast)
    conv.scattered_reference(*lists, weight, bias, geometry, slow)
    assert np.array_equal(fast, slow)
