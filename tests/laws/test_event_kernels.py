"""Law 1 for the kernels of events: lists in, sums, spikes and gradients out, bit for bit as their references."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim.core import binning, raster, simd
from spikesim.core.events import Columns, Window
from spikesim.core.raster import SparseRaster
from spikesim.graph import Row
from spikesim.layers import linear
from spikesim.neurons import _membrane
from spikesim.neurons._membrane import Coefficients
from spikesim.stages import convolution, dense, narrow, packed, recurrent

VALUES = pytest.mark.parametrize("graded", [False, True], ids=["ones", "graded"])


def drawn(shape: tuple[int, ...], graded: bool, seed: int = 0, share: float = 0.2) -> SparseRaster:
    """Events in (T, B, *shape); a row in the middle stays empty."""
    rng = np.random.default_rng(seed)
    x = (rng.random(shape) < share).astype(np.float32)
    x[shape[0] // 2] = 0
    x *= rng.integers(2, 5, shape) if graded else 1
    found = SparseRaster.from_dense(torch.from_numpy(x))
    assert (found.val is not None) == graded
    return found


def same(*pairs: tuple[np.ndarray, np.ndarray]) -> None:
    for fast, slow in pairs:
        np.testing.assert_array_equal(fast, slow)


@VALUES
def test_raster_kernels(graded: bool) -> None:
    x = drawn((5, 3, 40), graded)
    out = [np.zeros((5, 3, 40), np.float32) for _ in range(2)]
    raster.filled_kernel(x.ptr, x.idx, x.values, out[0])
    raster.filled_reference(x.ptr, x.idx, x.values, out[1])
    same((out[0], out[1]))
    counts = [np.empty((3, 5), np.int32) for _ in range(2)]
    raster.counted_kernel(out[0], counts[0])
    raster.counted_reference(out[0], counts[1])
    lists = [(np.empty_like(x.idx), np.empty(x.idx.size, np.float32)) for _ in range(2)]
    raster.listed_kernel(out[0], x.ptr, *lists[0])
    raster.listed_reference(out[0], x.ptr, *lists[1])
    same((counts[0], counts[1]), *zip(*lists), (lists[0][0], x.idx))


@pytest.mark.parametrize("merge", [False, True])
def test_binning_kernels(merge: bool) -> None:
    rng = np.random.default_rng(4)
    offsets, shape = np.array([0, 90, 90, 150]), (2, 6, 9)
    t = np.concatenate([np.sort(rng.integers(0, 1000, n)) for n in (90, 60)])
    p, y, x = (rng.integers(0, n, 150) for n in shape)
    events = Columns(t.astype(np.int64), x.astype(np.int16), y.astype(np.int16), p.astype(np.uint8))
    window = Window(np.array([0, 1, 2]), np.array([100, 0, 0]), np.array([700, 1, 1000]))
    parts = [
        (np.empty((3, 7), np.int64), np.zeros(150, np.int32), np.zeros(150 if merge else 0, np.float32))
        for _ in range(2)
    ]
    binning.merged_kernel(events, offsets, window, shape, merge, *parts[0])
    binning.merged_reference(events, offsets, window, shape, merge, *parts[1])
    assert 0 < parts[0][0].sum() < 150
    ends = np.concatenate([[0], np.cumsum(parts[0][0].sum(1))])
    for counts, *values in parts:
        assert counts.sum() == ends[-1]
        for part in values:
            if part.size:
                (binning.moved_kernel if values is parts[0][1:] else binning.moved_reference)(offsets[:-1], ends, part)
    moved = [np.arange(150) for _ in range(2)]
    binning.moved_kernel(offsets[:-1], ends, moved[0])
    binning.moved_reference(offsets[:-1], ends, moved[1])
    end = ends[-1]
    same(*((f[:end], s[:end]) for f, s in zip(parts[0][1:], parts[1][1:])), (parts[0][0], parts[1][0]), moved)


def layer(outputs: int, inputs: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(outputs, inputs)).astype(np.float32), rng.normal(size=outputs).astype(np.float32)


@VALUES
@pytest.mark.parametrize("outputs", [10, 64, 70])
def test_linear_kernels(outputs: int, graded: bool) -> None:
    x = drawn((5, 3, 40), graded)
    weight, bias = layer(outputs, 40)
    blocks, plain = linear.blocks_of(weight), np.zeros((1, 40, 16) if outputs <= 16 else (-(-outputs // 64), 40, 64))
    linear.blocks_reference(weight, plain, False)
    back = [np.empty_like(weight) for _ in range(2)]
    linear.blocks_kernel(back[0], blocks, True)
    linear.blocks_reference(back[1], blocks, True)
    same((blocks, plain), (back[0], back[1]), (back[0], weight))
    start = linear.padded(bias, blocks.shape[0] * blocks.shape[2])
    out = [np.empty((5, 3, outputs), np.float32) for _ in range(2)]
    linear.rows_added_kernel(x.ptr, x.idx, x.values, blocks, start, out[0])
    linear.rows_added_reference(x.ptr, x.idx, x.values, blocks, start, out[1])
    grads = np.random.default_rng(2).normal(size=out[0].shape).astype(np.float32)
    gathered = [np.empty((-(-outputs // 64), 40, 64), np.float32) for _ in range(2)]
    linear.spread_kernel(x.ptr, x.idx, x.values, grads, gathered[0])
    linear.spread_reference(x.ptr, x.idx, x.values, grads, gathered[1])
    same((out[0], out[1]), (gathered[0], gathered[1]))


def rows(size: int, per_neuron: bool, seed: int = 3) -> Coefficients:
    rng = np.random.default_rng(seed)

    def draw(low: float, high: float) -> Any:
        return rng.uniform(low, high, size).astype(np.float32) if per_neuron else np.float32(rng.uniform(low, high))

    return Coefficients(draw(0.5, 1), draw(0.5, 1.5), draw(-0.1, 0.1), draw(0.5, 1), draw(0, 0.5), draw(0.5, 1))


@VALUES
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("outputs,lanes", [(10, 16), (70, 64), (250, 128)])
def test_dense_stage_kernel(outputs: int, lanes: int, gated: bool, graded: bool) -> None:
    x = drawn((6, 3, 40), graded)
    weight, bias = layer(outputs, 40)
    blocks = linear.blocks_of(weight, lanes)
    size = blocks.shape[0] * blocks.shape[2]
    valid = np.full(-(-size // 64), 2**64 - 1, np.uint64)
    valid[-1] = (1 << (outputs % 64)) - 1
    c, start = rows(size, gated), linear.padded(bias, size)
    ran = []
    for run in (dense.dense_kernel, dense.dense_reference):
        v, bits = np.full((3, size), 0.1, np.float32), np.zeros((3, 6, valid.size), np.uint64)
        run(x.ptr, x.idx, x.values, blocks, start, c, gated, valid, 2, v, bits)
        ran.append((v, bits))
    assert ran[0][1].any()
    same(*zip(*ran))


@VALUES
@pytest.mark.parametrize("kind", [torch.float16, torch.int8])
@pytest.mark.parametrize("outputs", [10, 70])
def test_dense_stage_kernel_of_narrow_rows(outputs: int, kind: torch.dtype, graded: bool) -> None:
    x = drawn((6, 3, 40), graded)
    weight, bias = layer(outputs, 40)
    blocks, scale = narrow.narrowed(linear.blocks_of(weight), kind)
    assert blocks.ctypes.data % simd.LINE == 0 and blocks.dtype.itemsize < 4
    c = rows(scale.size, True)
    c, start = c._replace(gain=c.gain * scale), linear.padded(bias, scale.size) / scale
    valid, ran = np.full(len(blocks), 2**64 - 1, np.uint64), []
    for run in (dense.dense_kernel, dense.dense_reference):
        v, bits = np.full((3, scale.size), 0.1, np.float32), np.zeros((3, 6, len(blocks)), np.uint64)
        run(x.ptr, x.idx, x.values, blocks, start, c, False, valid, 2, v, bits)
        ran.append((v, bits))
    assert ran[0][1].any()
    same(*zip(*ran))


@pytest.mark.parametrize("kind,step", [(torch.float16, 2.0**-11), (torch.int8, 0.5 / 127)])
def test_narrow_rows_are_near(kind: torch.dtype, step: float) -> None:
    weight = torch.from_numpy(layer(70, 40)[0])
    found, peak = narrow.dequantised(weight, kind), weight.abs().amax(1, keepdim=True)
    assert 0 < ((found - weight).abs() / peak).max() <= 1.01 * step
    assert torch.equal(narrow.dequantised(found, torch.float16), found) or kind == torch.int8


@VALUES
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("delay,batch", [(1, 3), (3, 3), (1, 20), (2, 70), (1, 140)])
def test_recurrent_stage_kernel(delay: int, batch: int, given: bool, graded: bool) -> None:
    """Few samples, and as many as are kept as transposed bits: one word, two, and two parts of the batch."""
    x, n, size, words = drawn((7, batch, 40), graded), 70, 128, 2
    rng = np.random.default_rng(5)
    square = np.zeros((size, size), np.float32)
    square[:n, :n] = rng.normal(size=(n, n)) / 8
    weight = linear.blocks_of((rng.normal(size=(n, 40)) / 2).astype(np.float32), 64)
    around = linear.blocks_of(square, 64)
    past = (rng.integers(0, 2**63, (batch, delay, words)) & rng.integers(0, 2**63, (batch, delay, words))).astype(
        np.uint64
    )
    valid = np.array([2**64 - 1, 63], np.uint64)
    past &= valid
    drive = rng.normal(size=(7 if given else 0, batch, n)).astype(np.float32)
    ran = []
    for run in (recurrent.recurrent_kernel, recurrent.recurrent_reference):
        v, bits = np.full((words, batch, 64), 0.1, np.float32), np.zeros((batch, 7, words), np.uint64)
        bias = linear.padded(np.linspace(0, 0.1, n), size)
        c, ahead = rows(size, given), np.full((3, words, batch, 64), np.nan, np.float32)
        run(x.ptr, x.idx, x.values, weight, around, drive, bias, c, delay > 1, valid, past, ahead, v, bits)
        ran.append((v, bits))
    assert ran[0][1].any()
    same(*zip(*ran))


CONVOLUTIONS = {
    "plain": {"kernel_size": 3}, "padded": {"kernel_size": 5, "padding": 2}, "stride": {"kernel_size": 3, "stride": 2},
    "dilated": {"kernel_size": 3, "dilation": 2}, "groups": {"kernel_size": 3, "groups": 2, "padding": 1},
    "same": {"kernel_size": (3, 4), "padding": "same"}, "stride above kernel": {"kernel_size": 2, "stride": 3},
}  # fmt: skip


def by_pixel(x: SparseRaster, pixels: int) -> SparseRaster:
    """The same events, every step's in the order of their pixels, as spikes of a layer before come."""
    order = np.arange(x.idx.size)
    for lo, hi in zip(x.ptr, x.ptr[1:]):
        order[lo:hi] = lo + np.argsort(x.idx[lo:hi] % pixels, kind="stable")
    return SparseRaster.trusted(x.ptr, x.idx[order], None if x.val is None else x.val[order], x.steps, x.shape)


@VALUES
@pytest.mark.parametrize("outputs", [6, 60])
@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolution_kernel(options: dict[str, Any], pool: int, outputs: int, graded: bool) -> None:
    x = drawn((4, 2, 4, 9, 8), graded, share=0.4)
    x = x if outputs == 6 else by_pixel(x, 72)
    torch.manual_seed(0)
    net = ss.Network.chain(nn.Conv2d(4, outputs, **options), ss.LIF(0.9, 0.3), *[nn.MaxPool2d(pool)] * (pool > 1))
    program = ss.stages.compiled(net.nodes, Row(net.names, {}), (4, 9, 8))
    assert program is not None
    (stage,) = program.stages
    weight, bias, c, first = stage.packed()
    ran = []
    for run in (convolution.convolution_kernel, convolution.convolution_reference):
        v, bits = np.repeat(first[None], 2, 0), np.zeros((2, 4, stage.valid.size), np.uint64)
        run(
            x.ptr, x.idx, x.values, stage.where, stage.pieces, weight, bias, c, False, stage.plane,
            stage.valid, v, bits,
        )  # fmt: skip
        ran.append((v, bits))
    assert ran[0][1].any()
    same(*zip(*ran))


@pytest.mark.parametrize("table", [False, True])
def test_bits_become_lists(table: bool) -> None:
    rng = np.random.default_rng(7)
    words = rng.integers(0, 2**63, (9, 3)).astype(np.uint64) & rng.integers(0, 2**63, (9, 3)).astype(np.uint64)
    words[4] = 0
    relabel = rng.permutation(192).astype(np.int32) if table else packed.AS_IT_IS
    ptr = np.concatenate([[0], np.cumsum([sum(int(w).bit_count() for w in row) for row in words])])
    idx = [np.empty(ptr[-1], np.int32) for _ in range(2)]
    counted = [np.zeros(10, np.int64) for _ in range(2)]
    packed.counted_kernel(words, counted[0])
    packed.counted_reference(words, counted[1])
    same((counted[0], ptr), (counted[1], ptr))
    packed.listed_kernel(words, relabel, ptr, idx[0])
    packed.listed_reference(words, relabel, ptr, idx[1])
    same((idx[0], idx[1]))


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("size", [1, 64, 100, 20_000])
def test_spikes_as_bits(size: int, gated: bool) -> None:
    rng = np.random.default_rng(size)
    x, c = rng.normal(0.3, 0.6, (4, 2, size)).astype(np.float32), rows(size, gated)
    ran = []
    for run in (_membrane.bits_kernel, _membrane.bits_reference):
        v, bits = np.full((2, size), 0.1, np.float32), np.zeros((4, 2, -(-size // 64)), np.uint64)
        run(x, v, c, gated, bits)
        ran.append((v, bits))
    same(*zip(*ran))


@pytest.mark.skipif(simd.ones is simd.ones_reference, reason="JIT is off: the references run")
def test_bit_counts() -> None:
    import numba

    @numba.njit
    def both(word):  # type: ignore[no-untyped-def]
        return simd_ones(word), simd_lowest(word)

    simd_ones, simd_lowest = simd.ones, simd.lowest
    for word in (0, 1, 2**63, 0b1011000, 2**64 - 1):
        assert both(np.uint64(word)) == (simd.ones_reference(word), simd.lowest_reference(word))


@pytest.mark.parametrize("relabelled", [False, True])
def test_packed_spikes_unpacked_and_counted(relabelled: bool) -> None:
    rng = np.random.default_rng(2)
    words = rng.integers(0, 2**63, (3, 5, 2)).astype(np.uint64) & rng.integers(0, 2**63, (3, 5, 2)).astype(np.uint64)
    relabel = rng.permutation(128).astype(np.int32) if relabelled else packed.AS_IT_IS
    bits = packed.Bits(words, relabel, (128,))
    dense = bits.dense()
    assert torch.equal(bits.lists().dense(), dense) and torch.equal(bits.counts(), dense.sum(0)) and dense.any()
    for fast, slow, out in (
        (packed.unpacked_kernel, packed.unpacked_reference, np.ones((5, 3, 128), np.float32)),
        (packed.summed_kernel, packed.summed_reference, np.zeros((3, 128), np.float32)),
    ):
        given = words if out.ndim == 2 else words.reshape(-1, 2)
        ran = [out.copy(), out.copy()]
        fast(given, relabel, ran[0])
        slow(given, relabel, ran[1])
        same((ran[0], ran[1]))
