"""Crossbar: a layer's weights programmed into arrays, as a LinearOperator. Read `_read.py` for the read itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from spikesim.core.ledger import Action
from spikesim.core.operator import Context
from spikesim.core.philox import split
from spikesim.core.seeds import Seeds
from spikesim.errors import ParameterError, ShapeError, must
from spikesim.layers.counting import event_lists

from ._read import CLIPPED, CONDUCTANCE, DRIVES, READS, Cells, Draw, Layout, read_kernel
from .effects.spread import Independent, Proportional, Spread
from .macro import Macro
from .stored import Stored

MOST = 2**24
"""Largest input: the last whole number up to which float32 knows every one."""


@dataclass(frozen=True)
class Drive:
    """How inputs reach 1-bit row drivers, decided at deployment.

    levels   largest input met on the calibration inputs, 1 where drives are binary, 0 where they are counts; whole
             numbers take the bit planes that a call needs. 255 for analog inputs, which saturate there
    signed   negative inputs are driven in a second, subtracted pass
    step     0: inputs are whole numbers; otherwise the input's least significant bit (analog inputs, bit-serial)
    """

    levels: int
    signed: bool
    step: float = 0.0

    @property
    def name(self) -> str:
        """ "binary", "counts" or "analog", with "signed" where it is."""
        kind = "analog" if self.step else "binary" if self.levels == 1 else "counts"
        return f"signed {kind}" if self.signed else kind

    def whole(self, x: np.ndarray, node: str) -> np.ndarray:
        """The inputs as int32 numbers of `step`; ParameterError where a driver could not apply them."""
        sized = np.rint(x / self.step) if self.step else x
        drive = f"for its {self.name} drive"
        fits = np.isfinite(sized) if self.step else (sized == np.rint(sized)) & (np.abs(sized) <= MOST)
        if not fits.all():
            rule = "finite" if self.step else f"whole numbers up to {MOST}"
            raise ParameterError(
                must(f"{node}.x", f"{rule} {drive}", f"{x[~fits].flat[0]:g}", "deploy with such inputs")
            )
        if not self.signed and sized.size and sized.min() < 0:
            raise ParameterError(must(f"{node}.x", f"at least 0 {drive}", f"{x.min():g}", "deploy with such inputs"))
        return np.clip(sized, -self.levels, self.levels).astype(np.int32) if self.step else sized.astype(np.int32)


@dataclass(frozen=True)
class Patches:
    """How a layer's input is cut into patches: kernel, stride, padding; `spatial` for maps (C, H, W), else (n_in,)."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    spatial: bool = False

    def layout(self, node: str, in_shape: tuple[int, ...], rows: int, array_rows: int) -> Layout:
        """The geometry for inputs (C, H, W), or (n_in,) as n_in channels of one pixel, on `rows` layer rows.

        Raises ShapeError where inputs do not have those rows or are smaller than the kernel.
        """
        (ky, kx), (sy, sx), (py, px) = self.kernel, self.stride, self.padding
        channels = rows // (ky * kx)
        height, width = in_shape[1:] if len(in_shape) == 3 else (1, 1)
        high, wide = (height + 2 * py - ky) // sy + 1, (width + 2 * px - kx) // sx + 1
        fits = len(in_shape) == (3 if self.spatial else 1) and in_shape[0] == channels and min(high, wide) > 0
        if not fits:
            rule = f"(T, B, {channels}, H, W), at least as large as its kernel" if self.spatial else f"(T, B, {rows})"
            raise ShapeError(must(f"{node}.x", rule, f"(T, B, {', '.join(map(str, in_shape))})"))
        return Layout(height, width, ky, kx, sy, sx, py, px, high, wide, array_rows)


@dataclass
class Tally:
    """What converters met in the runs it was given to: by node, summed over samples (padding left out).

    largest     (row tiles,) siemens, largest column current      clipped, converted   conversions
    """

    largest: dict[str, np.ndarray] = field(default_factory=dict)
    clipped: dict[str, int] = field(default_factory=dict)
    converted: dict[str, int] = field(default_factory=dict)

    def add(self, node: str, largest: np.ndarray, clipped: int, converted: int) -> None:
        """Take in one call of a node."""
        self.largest[node] = np.maximum(self.largest.get(node, np.float32(0)), largest)
        self.clipped[node] = self.clipped.get(node, 0) + clipped
        self.converted[node] = self.converted.get(node, 0) + converted

    def clipped_share(self) -> dict[str, float]:
        """Node -> share of its conversions that were above the largest code."""
        return {node: clipped / max(self.converted[node], 1) for node, clipped in self.clipped.items()}


@dataclass(frozen=True)
class Crossbar:
    """A programmed layer. apply: x (T, B, *in_shape) -> (T, B, *out_shape); see `core.operator.LinearOperator`.

    g        (rows, 2 n_out) float32 siemens: columns 2o and 2o+1 are G+ and G- of output o
    scale    weight per siemens;   bias (n_out,) added digitally at every step
    lsb      (row tiles,) siemens per ADC code; 0 where currents are not converted (ideal, or not calibrated yet)
    seeds    of this layer's read noise; None: reads do not fluctuate
    tally    is told of every call, where given
    stored   what the cells were programmed to, and ended at; `g` is what a read sees of them at `age` (s)
    """

    macro: Macro
    patches: Patches
    drive: Drive
    g: np.ndarray
    scale: float
    bias: np.ndarray
    lsb: np.ndarray
    seeds: Seeds | None
    tally: Tally | None = None
    stored: Stored | None = None
    age: float = 0.0

    def aged(self, seconds: float) -> Crossbar:
        """The same cells `seconds` after programming."""
        if self.stored is None:
            raise ParameterError(must("Crossbar.stored", "given for cells to age", "nothing"))
        return replace(self, g=self.stored.conductances(self.macro, seconds), age=seconds)

    @property
    def outputs(self) -> int:
        """n_out."""
        return self.g.shape[1] // 2

    @property
    def tiles(self) -> tuple[int, int]:
        """Arrays used: (row tiles, column tiles)."""
        rows, columns = self.g.shape
        return -(-rows // self.macro.rows), -(-columns // self.macro.columns)

    @property
    def utilisation(self) -> float:
        """Programmed cells over the cells of all arrays used."""
        return self.g.size / (self.tiles[0] * self.tiles[1] * self.macro.rows * self.macro.columns)

    @property
    def scatters(self) -> bool:
        """Whether `apply_events` takes this layer's index lists: linear layers' alone."""
        return not self.patches.spatial

    def row_fanout(self) -> np.ndarray:
        """n_out for every row of the unrolled layer."""
        return np.full(self.g.shape[0], self.outputs, np.int64)

    def apply(self, x: Tensor, ctx: Context) -> Tensor:
        """Weights times x with noise and conversion, and the bias; counts what was driven and converted."""
        y, counts, largest = self._read(x, ctx)
        self._book(counts, x.shape[1], ctx)
        if self.tally is not None:
            met = counts.reshape(x.shape[0], -1, *counts.shape[1:])[:, ctx.sample_ids >= 0].sum((0, 1, 2))
            self.tally.add(ctx.where, largest, int(met[CLIPPED]), int(met[READS]) * self.g.shape[1])
        if ctx.ledger is not None and self.bias.any():
            ctx.ledger.add(ctx.where, "", Action.digital_add, np.full(x.shape[1], y[:, 0].numel(), np.int64))
        return y

    def apply_events(self, ptr: np.ndarray, idx: np.ndarray, val: np.ndarray | None, ctx: Context) -> Tensor:
        """As `apply` for a linear layer's index lists; rows r = t B + b -> (T B, n_out)."""
        batch = len(ctx.sample_ids)
        dense = np.zeros((len(ptr) - 1, self.g.shape[0]), np.float32)
        rows = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
        dense[rows, idx] = 1 if val is None else val
        return self.apply(torch.from_numpy(dense).unflatten(0, (-1, batch)), ctx).flatten(0, 1)

    def _read(self, x: Tensor, ctx: Context) -> tuple[Tensor, np.ndarray, np.ndarray]:
        """-> y, counts (T B, row tiles, 3 + column tiles), and for a tally the largest current of each row tile."""
        steps, batch = x.shape[:2]
        layout = self.patches.layout(ctx.where, tuple(x.shape[2:]), len(self.g), self.macro.rows)
        rows = self.drive.whole(x.detach().reshape(steps * batch, -1).numpy(), ctx.where)
        ptr, idx, val = event_lists(rows.astype(np.float32))
        out = np.zeros((len(rows), layout.high * layout.wide, self.outputs), np.float32)
        counts = np.zeros((len(rows), self.tiles[0], CONDUCTANCE + self.tiles[1]), np.int64)
        most = np.zeros((0 if self.tally is None else len(rows), self.tiles[0]), np.float32)
        low, high = split(0 if self.seeds is None else self.seeds.key)
        noise = np.float32(relative_noise(self.macro.device.reading, self.macro.device.kind))
        draw = Draw(low, high, ctx.step0, bool(self.seeds is not None and noise > 0))
        cells = Cells(self.g, self._nanosiemens(), self.lsb, np.float32(self.macro.adc.top), noise)
        read_kernel(
            (ptr, idx, val.astype(np.int32)), ctx.sample_ids.astype(np.int64), layout, cells, draw, out, counts, most
        )
        out *= np.float32(self.scale * (self.drive.step or 1.0))
        out += self.bias
        shaped = out.transpose(0, 2, 1).reshape(steps, batch, self.outputs, layout.high, layout.wide)
        y = torch.from_numpy(np.ascontiguousarray(shaped if self.patches.spatial else shaped[..., 0, 0]))
        return y, counts, most.max(0, initial=0.0)

    def _nanosiemens(self) -> np.ndarray:
        """(rows, column tiles) int64: each row's conductance in a column tile, in nanosiemens."""
        edges = range(0, self.g.shape[1], self.macro.columns)
        parts = [self.g[:, e : e + self.macro.columns].sum(1, dtype=np.float64) for e in edges]
        return np.rint(np.stack(parts, 1) * 1e9).astype(np.int64)

    def _book(self, counts: np.ndarray, batch: int, ctx: Context) -> None:
        """Counts of a run into the ledger, by array "row tile.column tile".

        A read drives its rows in every column tile, and converts all its columns; each code is moved to and added
        into a partial sum (bits_bus, shift_add), each pair subtracted (digital_add); a driven row's bit is read
        from the input buffer (bits_sram). Patches are unrolled by the drivers: no copies are made or counted.
        """
        if ctx.ledger is None:
            return
        sums = counts.reshape(-1, batch, *counts.shape[1:]).sum(0)
        columns, bits = self.g.shape[1], max(self.macro.adc.bits, 1)
        for row_tile in range(self.tiles[0]):
            drives, reads = sums[:, row_tile, DRIVES], sums[:, row_tile, READS]
            for column_tile in range(self.tiles[1]):
                here = min(columns - column_tile * self.macro.columns, self.macro.columns)
                conversions = reads * here
                booked = {
                    Action.row_drive: drives, Action.cell_read: drives * here,
                    Action.conductance_read: sums[:, row_tile, CONDUCTANCE + column_tile],
                    Action.column_convert: conversions, Action.shift_add: conversions,
                    Action.digital_add: conversions // 2, Action.bits_sram: drives, Action.bits_bus: conversions * bits,
                }  # fmt: skip
                for action, count in booked.items():
                    ctx.ledger.add(ctx.where, f"{row_tile}.{column_tile}", action, count)


def relative_noise(reading: Spread, kind: str) -> float:
    """The share of its conductance by which a cell fluctuates. ParameterError for noise that is no such share."""
    if isinstance(reading, Proportional):
        return reading.share
    if isinstance(reading, Independent) and reading.value == 0:
        return 0.0
    rule = "proportional to the conductance in this version of the read kernel"
    raise ParameterError(must(f"{kind}.reading", rule, type(reading).__name__))


class Programmed(nn.Module):
    """A network node that is a crossbar; its bias is a buffer, so that `Network.bound` can divide it by T."""

    bias: Tensor

    def __init__(self, crossbar: Crossbar) -> None:
        super().__init__()
        self._crossbar = crossbar
        self.register_buffer("bias", torch.from_numpy(crossbar.bias.copy()))

    @property
    def operator(self) -> Crossbar:
        """The crossbar, with this node's bias."""
        return replace(self._crossbar, bias=self.bias.numpy())

    def with_crossbar(self, **changes: object) -> Programmed:
        """The same node with fields of its crossbar changed."""
        return Programmed(replace(self.operator, **changes))  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        rows, columns = self._crossbar.g.shape
        return f"{rows} rows, {columns} columns, arrays {self._crossbar.tiles}, drive {self._crossbar.drive.name}"
