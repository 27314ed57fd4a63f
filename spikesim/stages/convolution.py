"""A two-dimensional convolution, its neurons and a max pool in one kernel: every event is scattered over its outputs.

    x_t[i, j, :] = bias + sum over events (c, y, x) of val W[c, u, v, :],   i s + u d = y + p,  j s + v d = x + p

Channels are innermost, padded to a multiple of 16, so that all taps an event has in one output row are one run of
memory: sums[i, j0 * O : (j0 + taps) * O] += val * W[c, u, those taps]. A max pool of spikes is their OR.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from torch import Tensor, nn

from ..core import runs, simd
from ..core.kernel import kernel, shared_out
from ..core.raster import SparseRaster
from ..core.simd import FEW, value_at
from ..layers.linear import bias_of, padded
from ..neurons import _membrane
from ..neurons import _sixteen as sixteen_module
from ..neurons._leaky import LeakyNeuron
from ..neurons._membrane import Coefficients, gated_step, passed, step
from .base import Stage
from .packed import Bits

_runs_added, _row_packed = runs.runs_added, sixteen_module.row_packed
PIECE_NS, ADD_NS, PRODUCT_NS, NEURON_NS = 3.5, 0.045, 0.014, 2.9
"""Cost at 2 threads of a run of memory that an event is added to, of one addition in it, of a product in the dense
convolution, and of what a dense neuron costs more than one of ours: fitted to `benchmarks/activity.py`."""
CAUTION = 0.6
"""The dense way is taken from this share of the crossover on: other processors multiply faster than the fitted one."""


class Taps(NamedTuple):
    """Where an input coordinate lands: entries first[i]:first[i + 1] say output, tap, and how many.

    Along y an entry is one output row and one kernel row. Along x it is a run: outputs out, out + 1, ... take the taps
    at place tap, tap + 1, ... of the packed kernel row. In the plane it is a run of memory: first of the output's sums,
    first of the channel's weights, length.
    """

    first: np.ndarray
    entries: np.ndarray
    """(n, 3) int32."""


class Plane(NamedTuple):
    """Sizes of the output: rows, columns, channels (padded), pool side, channels of one group (0: ungrouped)."""

    high: int
    wide: int
    channels: int
    pool: int
    grouped: int


def taps_along(size: int, out: int, kernel_size: int, stride: int, pad: int, dilation: int, runs: bool) -> Taps:
    """The taps of every input coordinate along one axis; `runs` joins neighbouring outputs (needs dilation 1)."""
    order = packed_order(kernel_size, stride)
    place = {int(v): k for k, v in enumerate(order)} if runs else {v: v for v in range(kernel_size)}
    first, entries = [0], []
    for at in range(size):
        found: list[list[int]] = []
        for v in order if runs else range(kernel_size):
            o, left = divmod(at + pad - int(v) * dilation, stride)
            if left or not 0 <= o < out:
                continue
            if runs and found and o == found[-1][0] + found[-1][2]:
                found[-1][2] += 1
            else:
                found.append([o, place[int(v)], 1])
        entries += found
        first.append(len(entries))
    return Taps(np.array(first, np.int32), np.array(entries, np.int32).reshape(-1, 3))


def taps_in_plane(rows: Taps, columns: Taps, width: int, taps: int, lanes: int, wide: int) -> Taps:
    """Every pixel's runs of memory: output rows `width` sums apart, kernel rows `taps` weights, columns `lanes` apart in
    the sums and `wide` in the weights."""
    first, entries = [0], []
    for y in range(rows.first.size - 1):
        down = rows.entries[rows.first[y] : rows.first[y + 1]]
        for x in range(columns.first.size - 1):
            across = columns.entries[columns.first[x] : columns.first[x + 1]]
            entries += [
                (i * width + o * lanes, u * taps + tap * wide, n * wide) for i, u, _ in down for o, tap, n in across
            ]
            first.append(len(entries))
    return Taps(np.array(first, np.int32), np.array(entries, np.int32).reshape(-1, 3))


def packed_order(kernel_size: int, stride: int) -> np.ndarray:
    """Kernel columns in the order in which neighbouring outputs use them: by phase of the stride, last first."""
    return np.concatenate([np.arange(phase, kernel_size, stride)[::-1] for phase in range(min(stride, kernel_size))])


def convolution_reference(
    ptr: np.ndarray, idx: np.ndarray, val: np.ndarray, where: np.ndarray, pieces: Taps,
    weight: np.ndarray, bias: np.ndarray, c: Coefficients, gated: bool, plane: Plane, valid: np.ndarray,
    v: np.ndarray, bits: np.ndarray,
) -> None:  # fmt: skip
    """numpy twin of `convolution_kernel`, same arguments."""
    batch, steps, _ = bits.shape
    rule, o = (gated_step if gated else step), plane.channels
    flat = weight.ravel()
    for r in range(batch * steps):
        b, t = divmod(r, steps)
        x = np.tile(bias, plane.high)
        for e in range(ptr[r], ptr[r + 1]):
            pixel, start, off = where[idx[e]]
            a = value_at(val, e)
            for to, tap, n in pieces.entries[pieces.first[pixel] : pieces.first[pixel + 1]]:
                x[to + off : to + off + n] += a * flat[start + tap : start + tap + n]
        x = x.reshape(plane.high, -1)
        s, v[b], _ = rule(v[b], x, c, lambda u: (u >= 0).astype(u.dtype), passed)
        p, high, wide = plane.pool, plane.high // plane.pool, plane.wide // plane.pool
        maps = s.reshape(plane.high, plane.wide, o)[: high * p, : wide * p].reshape(high, p, wide, p, o).max((1, 3))
        fired = np.zeros(bits.shape[2] * 64, np.uint8)
        fired[: maps.size] = maps.ravel()
        bits[b, t] = np.packbits(fired, bitorder="little").view(np.uint64) & valid


@njit(nogil=True)
def _grouped(first, last, idx, where, starts, pixels, ends):  # type: ignore[no-untyped-def]
    """Where each event's weights start, and neighbours of one pixel: their pixel, and the event after them. -> how many

    Spikes of a layer before come pixel by pixel. No branch depends on an event: half of them would be mispredicted.
    """
    g, before = -1, -1
    for e in range(first, last):
        i = idx[e]
        pixel = where[i, 0]
        starts[e - first] = where[i, 1]
        g += pixel != before
        before = pixel
        pixels[g], ends[g] = pixel, e + 1
    return g + 1


@njit(nogil=True)
def _scattered(first, last, idx, val, where, pieces, weight, lists, sums):  # type: ignore[no-untyped-def]
    flat, packed = sums.reshape(-1), weight.reshape(-1)
    starts, pixels, ends = lists
    at = first
    for g in range(_grouped(first, last, idx, where, starts, pixels, ends)):
        pixel, count = pixels[g], ends[g] - at
        for k in range(pieces.first[pixel], pieces.first[pixel + 1]):
            to, w, n = pieces.entries[k, 0], pieces.entries[k, 1], pieces.entries[k, 2]
            _runs_added(flat, to, packed, starts, at - first, w, val, at, count, n)
        at = ends[g]


@njit(nogil=True)
def _scattered_in_groups(first, last, idx, val, where, pieces, weight, sums):  # type: ignore[no-untyped-def]
    flat, packed = sums.reshape(-1), weight.reshape(-1)
    for e in range(first, last):
        i, a = idx[e], value_at(val, e)
        pixel, start, off = where[i, 0], where[i, 1], where[i, 2]
        for k in range(pieces.first[pixel], pieces.first[pixel + 1]):
            to, w = pieces.entries[k, 0] + off, pieces.entries[k, 1] + start
            for j in range(pieces.entries[k, 2]):
                flat[to + j] += a * packed[w + j]


@njit(nogil=True)
def _pooled(spikes, plane, out):  # type: ignore[no-untyped-def]
    """Spikes (rows, columns * channels / 16), 16 to a number -> their OR over pool x pool windows, flat."""
    many, p = plane.channels // FEW, plane.pool
    wide = plane.wide // p
    for py in range(plane.high // p):
        line = spikes[py * p]
        for q in range(1, p):
            other = spikes[py * p + q]
            for j in range(line.size):
                line[j] |= other[j]
        for px in range(wide):
            for w in range(many):
                found = line[px * p * many + w]
                for q in range(1, p):
                    found |= line[(px * p + q) * many + w]
                out[(py * wide + px) * many + w] = found


@njit(nogil=True)
def _sample(  # type: ignore[no-untyped-def]
    ptr, idx, val, where, pieces, weight, bias, c, gated, plane, valid, v, bits
):
    """One sample over all steps: ptr (T + 1,), v (H', W' O), bits (T, words)."""
    steps, words = bits.shape
    sums = np.empty((plane.high, plane.wide * plane.channels), np.float32)
    spikes = np.empty((plane.high, plane.wide * plane.channels // FEW), np.uint16)
    out = np.zeros(words * 4, np.uint16)
    most = 1
    for t in range(steps):
        most = max(most, ptr[t + 1] - ptr[t])
    lists = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int64)
    for i in range(plane.high):
        for j in range(bias.size):  # a slice assignment compiles for a second and more
            sums[i, j] = bias[j]
    for t in range(steps):
        if plane.grouped:
            _scattered_in_groups(ptr[t], ptr[t + 1], idx, val, where, pieces, weight, sums)
        else:
            _scattered(ptr[t], ptr[t + 1], idx, val, where, pieces, weight, lists, sums)
        for i in range(plane.high):
            _row_packed(sums[i], v[i], bias, spikes[i], c, gated)
        _pooled(spikes, plane, out)
        found = out.view(np.uint64)
        for w in range(words):
            bits[t, w] = found[w] & valid[w]


@kernel(reference=convolution_reference, items=lambda *a: len(a[-1]), depends=(simd, runs, _membrane, sixteen_module))
def convolution_kernel(  # type: ignore[no-untyped-def]
    ptr, idx, val, where, pieces, weight, bias, c, gated, plane, valid, v, bits, begin, end, team
):
    """Events (see `SparseRaster`) through one convolution, its neurons and their pool.

    where  (N, 3) int32: pixel, first weight and first output channel of every input; pieces of every pixel
    weight (C, kh, kw O) packed, bias (W' O,) for one output row, c scalars or rows (W' O,)
    v      (B, H', W' O) membranes, in and out      bits  (B, T, words) uint64 out; valid (words,) uint64
    """
    if shared_out(begin, end, team):
        return
    _, steps, _ = bits.shape
    for b in range(begin, end):
        part = ptr[b * steps : (b + 1) * steps + 1]
        _sample(part, idx, val, where, pieces, weight, bias, c, gated, plane, valid, v[b], bits[b])


class ConvolutionStage(Stage):
    """`nn.Conv2d`, its neurons and a max pool that follows them. in_shape (C, H, W)."""

    def __init__(
        self, name: str, linear: nn.Conv2d, neuron: LeakyNeuron, in_shape: tuple[int, ...],
        neuron_shape: tuple[int, ...], pool: int,
    ) -> None:  # fmt: skip
        channels, high, wide = neuron_shape
        super().__init__(name, linear, neuron, in_shape, (channels, high // pool, wide // pool))
        self.neuron_shape = neuron_shape
        size = -(-channels // FEW) * FEW
        group = linear.out_channels // linear.groups
        self.plane = Plane(high, wide, size, pool, group if linear.groups > 1 else 0)
        self._make_tables(linear, group)
        self.break_even = CAUTION * self._crossover(linear)

    def _crossover(self, linear: nn.Conv2d) -> float:
        """Share of non-zero inputs at which an event for each costs what the dense product costs."""
        (kh, kw), (sy, sx), p = linear.kernel_size, linear.stride, self.plane
        outputs, inputs = int(np.prod(self.neuron_shape)), int(np.prod(self.in_shape))
        products = outputs * kh * kw * linear.in_channels / linear.groups
        rows, taps = kh / sy, kh * kw / (sy * sx)
        pieces = rows if self.runs else taps
        event = PIECE_NS * pieces + ADD_NS * taps * (p.grouped or p.channels)
        return (PRODUCT_NS * products + NEURON_NS * outputs) / (event * inputs)

    def _make_tables(self, linear: nn.Conv2d, group: int) -> None:
        (kh, kw), (sy, sx), (dy, dx), (py, px) = linear.kernel_size, linear.stride, linear.dilation, paddings(linear)
        (channels, height, width), p = self.in_shape, self.plane
        self.runs = dx == 1 and not p.grouped
        rows = taps_along(height, p.high, kh, sy, py, dy, False)
        columns = taps_along(width, p.wide, kw, sx, px, dx, self.runs)
        lanes = p.grouped or p.channels
        self.pieces = taps_in_plane(rows, columns, p.wide * p.channels, kw * lanes, p.channels, lanes)
        c, y, x = (grid.ravel() for grid in np.indices(self.in_shape))
        per_group = channels // linear.groups
        off = c // per_group * group if p.grouped else 0 * c
        self.where = np.ascontiguousarray(np.stack([y * width + x, c * kh * kw * lanes, off], 1), np.int32)
        out_channels, high, wide = self.out_shape
        labels = np.full((high, wide, p.channels), -1, np.int64)
        labels[..., :out_channels] = np.arange(np.prod(self.out_shape)).reshape(self.out_shape).transpose(1, 2, 0)
        flat = np.full(-(-labels.size // 64) * 64, -1, np.int64)
        flat[: labels.size] = labels.ravel()
        self.relabel = np.maximum(flat, 0).astype(np.int32)
        self.valid = np.packbits(flat >= 0, bitorder="little").view(np.uint64)

    def pack(self) -> tuple[Any, ...]:
        linear, p = self.linear, self.plane
        weight = linear.weight.detach().numpy()  # (O, C / groups, kh, kw)
        out_channels, per_group, kh, kw = weight.shape
        if p.grouped:  # (C, kh, kw, O / groups)
            grouped = weight.reshape(linear.groups, p.grouped, per_group, kh, kw)
            laid = grouped.transpose(0, 2, 3, 4, 1).reshape(linear.in_channels, kh, kw, p.grouped)
        else:
            laid = np.zeros((per_group, kh, kw, p.channels), np.float32)
            laid[..., :out_channels] = weight.transpose(1, 2, 3, 0)
            if self.runs:
                laid = laid[:, :, packed_order(kw, linear.stride[1])]
        bias = np.tile(bias_of(linear, p.channels), p.wide)
        first = self.to_rows(self.first_membrane()[None])[0]
        packed = simd.aligned(len(laid), kh, laid[0, 0].size)
        packed[:] = laid.reshape(packed.shape)
        return packed, bias, self._coefficients(), first

    def _coefficients(self) -> Coefficients:
        """Scalars, or one row of the output plane: coefficients are per channel here."""
        c, p = self.neuron.coefficients(self.linear.weight.new_zeros(())), self.plane
        return Coefficients(*(
            np.float32(n.item()) if n.numel() == 1
            else np.tile(padded(n.detach().reshape(-1).numpy(), p.channels), p.wide) for n in c
        ))  # fmt: skip

    def to_rows(self, v: np.ndarray) -> np.ndarray:
        """Membranes (B, C' H' W') as the kernel has them, (B, H', W' O)."""
        channels, high, wide = self.neuron_shape
        out = np.zeros((len(v), high, wide, self.plane.channels), np.float32)
        out[..., :channels] = v.reshape(-1, channels, high, wide).transpose(0, 2, 3, 1)
        return out.reshape(len(v), high, -1)

    def spikes(self, x: SparseRaster, v: np.ndarray | None) -> tuple[Bits, np.ndarray]:
        weight, bias, c, first = self.packed()
        channels, high, wide = self.neuron_shape
        membranes = np.repeat(first[None], x.batch, 0) if v is None else self.to_rows(v)
        bits = np.empty((x.batch, x.steps, self.valid.size), np.uint64)
        convolution_kernel(
            x.ptr, x.idx, x.values, self.where, self.pieces, weight, bias, c, self.gated, self.plane,
            self.valid, membranes, bits,
        )  # fmt: skip
        last = membranes.reshape(-1, high, wide, self.plane.channels)[..., :channels].transpose(0, 3, 1, 2)
        return Bits(bits, self.relabel, self.out_shape), np.ascontiguousarray(last).reshape(x.batch, -1)

    def pooled(self, spikes: Tensor) -> Tensor:
        if self.plane.pool == 1:
            return spikes
        return nn.functional.max_pool2d(spikes.flatten(0, 1), self.plane.pool).unflatten(0, spikes.shape[:2])


def paddings(linear: nn.Conv2d) -> tuple[int, int]:
    """Padding in pixels before the first row and column; "same" pads less before than after."""
    if linear.padding == "valid":
        return 0, 0
    if linear.padding == "same":
        return tuple(d * (k - 1) // 2 for d, k in zip(linear.dilation, linear.kernel_size))  # type: ignore[return-value]
    return linear.padding  # type: ignore[return-value]
