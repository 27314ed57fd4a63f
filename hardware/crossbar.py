"""Crossbar: a layer's weights programmed into arrays, as a LinearOperator. Read `_read.py` for the read itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from spikesim.core.ledger import Action
from spikesim.core.operator import Context
from spikesim.core.philox import split
from spikesim.core.seeds import Seeds
from spikesim.errors import ParameterError, must
from spikesim.layers.counting import event_lists

from ._read import CONDUCTANCE, DRIVES, READS, Cells, Draw, Layout, read_kernel
from .macro import Macro


@dataclass(frozen=True)
class Drive:
    """How inputs reach 1-bit row drivers, decided at deployment.

    levels   largest input size: 1 is one read; n needs ceil(log2(n + 1)) bit planes; 0: as many planes as a call needs
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
        if not self.step and not np.array_equal(sized, np.rint(sized)):
            wrong = float(sized[sized != np.rint(sized)].flat[0])
            raise ParameterError(
                must(f"{node}.x", f"whole numbers for its {self.name} drive", wrong, "deploy with such inputs")
            )
        largest, smallest = (float(sized.max()), float(sized.min())) if sized.size else (0.0, 0.0)
        if smallest < 0 and not self.signed:
            raise ParameterError(
                must(f"{node}.x", f"at least 0 for its {self.name} drive", smallest, "recalibrate the chip")
            )
        if self.levels and not self.step and max(largest, -smallest) > self.levels:
            raise ParameterError(
                must(f"{node}.x", f"at most {self.levels} for its {self.name} drive", largest, "recalibrate")
            )
        return np.clip(sized, -self.levels, self.levels).astype(np.int32) if self.step else sized.astype(np.int32)


@dataclass(frozen=True)
class Patches:
    """How a layer's input is cut into patches: kernel, stride and padding, and how many patches there are."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    def layout(self, in_shape: tuple[int, ...], array_rows: int) -> Layout:
        """The geometry for inputs (C, H, W), or (n_in,) as n_in channels of one pixel."""
        height, width = in_shape[1:] if len(in_shape) == 3 else (1, 1)
        (ky, kx), (sy, sx), (py, px) = self.kernel, self.stride, self.padding
        high, wide = (height + 2 * py - ky) // sy + 1, (width + 2 * px - kx) // sx + 1
        return Layout(height, width, ky, kx, sy, sx, py, px, high, wide, array_rows)


@dataclass(frozen=True)
class Crossbar:
    """A programmed layer. apply: x (T, B, *in_shape) -> (T, B, *out_shape); see `core.operator.LinearOperator`.

    g        (rows, 2 n_out) float32 siemens: columns 2o and 2o+1 are G+ and G- of output o
    scale    weight per siemens;   bias (n_out,) added digitally at every step
    lsb      (row tiles,) siemens per ADC code; 0 where currents are not converted (ideal, or not calibrated yet)
    seeds    of this layer's read noise; None: reads do not fluctuate
    """

    macro: Macro
    patches: Patches
    drive: Drive
    g: np.ndarray
    scale: float
    bias: np.ndarray
    lsb: np.ndarray
    seeds: Seeds | None

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

    def row_fanout(self) -> np.ndarray:
        """n_out for every row of the unrolled layer."""
        return np.full(self.g.shape[0], self.outputs, np.int64)

    def apply(self, x: Tensor, ctx: Context) -> Tensor:
        """Weights times x with noise and conversion, and the bias; counts what was driven and converted."""
        y, counts, _ = self.read(x, ctx)
        self._book(counts, x.shape[1], ctx)
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

    def read(self, x: Tensor, ctx: Context, peaks: bool = False) -> tuple[Tensor, np.ndarray, np.ndarray]:
        """-> y, counts (T B, row tiles, 2 + column tiles), and where `peaks` the largest current met of each row tile."""
        steps, batch = x.shape[:2]
        layout = self.patches.layout(tuple(x.shape[2:]), self.macro.rows)
        rows = self.drive.whole(x.detach().reshape(steps * batch, -1).numpy(), ctx.where)
        ptr, idx, val = event_lists(rows.astype(np.float32))
        out = np.zeros((len(rows), layout.high * layout.wide, self.outputs), np.float32)
        counts = np.zeros((len(rows), self.tiles[0], CONDUCTANCE + self.tiles[1]), np.int64)
        most = np.zeros((len(rows) if peaks else 0, self.tiles[0]), np.float32)
        low, high = split(0 if self.seeds is None else self.seeds.key)
        noise = np.float32(self.macro.device.read_noise)
        draw = Draw(low, high, ctx.step0, bool(self.seeds is not None and noise > 0))
        cells = Cells(self.g, self._nanosiemens(), self.lsb, np.float32(self.macro.adc.top), noise)
        read_kernel(
            (ptr, idx, val.astype(np.int32)), ctx.sample_ids.astype(np.int64), layout, cells, draw, out, counts, most
        )
        out *= np.float32(self.scale * (self.drive.step or 1.0))
        out += self.bias
        shaped = out.transpose(0, 2, 1).reshape(steps, batch, self.outputs, layout.high, layout.wide)
        y = torch.from_numpy(np.ascontiguousarray(shaped if x.ndim == 5 else shaped[..., 0, 0]))
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

    def calibrated(self, lsb: np.ndarray) -> Programmed:
        """The same node with converter ranges set."""
        return Programmed(replace(self.operator, lsb=lsb))

    def extra_repr(self) -> str:
        rows, columns = self._crossbar.g.shape
        return f"{rows} rows, {columns} columns, arrays {self._crossbar.tiles}, drive {self._crossbar.drive.name}"
