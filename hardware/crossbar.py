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

from ._convert import Draw
from ._dense import read_dense
from ._list import Layout, Listed, list_kernel
from ._read import CLIPPED, CONDUCTANCE, DRIVES, READS, finish_kernel, read_kernel, sums_kernel
from ._sampled import sampled_kernel
from .bank import Bank
from .drive import Drive
from .macro import Macro
from .patches import Patches
from .stored import Stored
from .tally import Survey, Tally
from .wires import Gated

ROOM = 2**26
"""Bytes of the sums of reads that are kept at a time where they are not finished at once."""


@dataclass(frozen=True)
class Crossbar:
    """A programmed layer. apply: x (T, B, *in_shape) -> (T, B, *out_shape); see `core.operator.LinearOperator`.

    bank     the cells as a read sees them at `age` (s), and their converters
    bias     (n_out,) added digitally at every step
    groups   of a grouped convolution
    seeds    of this layer's read noise; None: reads do not fluctuate
    sampled  whether every cell's fluctuation is drawn for every read, instead of their sum's
    tally    is told of every call, where given
    stored   what the cells were programmed to, and ended at
    gain     (n_out,) float32 that products are multiplied by digitally before the bias is added; None: by nothing
    """

    bank: Bank
    patches: Patches
    drive: Drive
    bias: np.ndarray
    seeds: Seeds | None
    stored: Stored
    groups: int = 1
    sampled: bool = False
    tally: Tally | None = None
    age: float = 0.0
    gain: np.ndarray | None = None

    def aged(self, seconds: float) -> Crossbar:
        """The same cells `seconds` after programming."""
        g, sd = self.stored.seen(self.macro, seconds)
        return replace(self, bank=replace(self.bank, g=g, sd=sd), age=seconds)

    @property
    def macro(self) -> Macro:
        """The design."""
        return self.bank.macro

    @property
    def g(self) -> np.ndarray:
        """(lines, columns) float32 siemens: conductances as a read sees them, where cells stand (`placement`)."""
        return self.bank.g

    @property
    def outputs(self) -> int:
        """n_out."""
        return self.bank.placement.outputs * self.groups

    @property
    def tiles(self) -> tuple[int, int]:
        """Arrays used: (row tiles, column tiles)."""
        return self.bank.placement.tiles

    @property
    def utilisation(self) -> float:
        """Programmed cells over the cells of all arrays used."""
        return self.g.size / (self.tiles[0] * self.tiles[1] * self.macro.rows * self.macro.columns)

    @property
    def scatters(self) -> bool:
        """Whether `apply_events` takes this layer's index lists: linear layers' alone."""
        return not self.patches.axes

    def row_fanout(self) -> np.ndarray:
        """Outputs of its group for every row of the unrolled layer."""
        return np.full(self.g.shape[0], self.bank.placement.outputs, np.int64)

    def apply(self, x: Tensor, ctx: Context) -> Tensor:
        """Weights times x with noise and conversion, and the bias; counts what was driven and converted."""
        y, counts = self._read(x, ctx)
        self._book(counts, x.shape[1], ctx)
        if self.tally is not None:
            met = counts.reshape(x.shape[0], -1, *counts.shape[1:])[:, ctx.sample_ids >= 0].sum((0, 1, 2))
            self.tally.add(ctx.where, int(met[CLIPPED]), int(met[READS]) * self.bank.converted)
        if ctx.ledger is not None:
            size = np.full(x.shape[1], y[:, 0].numel(), np.int64)
            if self.bias.any():
                ctx.ledger.add(ctx.where, "", Action.digital_add, size)
            if self.drive.average or self.gain is not None:
                ctx.ledger.add(ctx.where, "", Action.digital_mac, size)
        return y

    def apply_events(self, ptr: np.ndarray, idx: np.ndarray, val: np.ndarray | None, ctx: Context) -> Tensor:
        """As `apply` for a linear layer's index lists; rows r = t B + b -> (T B, n_out)."""
        batch = len(ctx.sample_ids)
        dense = np.zeros((len(ptr) - 1, self.g.shape[0]), np.float32)
        rows = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
        dense[rows, idx] = 1 if val is None else val
        return self.apply(torch.from_numpy(dense).unflatten(0, (-1, batch)), ctx).flatten(0, 1)

    def _read(self, x: Tensor, ctx: Context) -> tuple[Tensor, np.ndarray]:
        """-> y, and counts (T B, row tiles, 3 + column tiles)."""
        steps, batch = x.shape[:2]
        layout = self.patches.layout(ctx.where, tuple(x.shape[2:]), len(self.g) // self.patches.pixels)
        rows = x.detach().reshape(steps * batch, -1).contiguous()
        ids, bank = ctx.sample_ids.astype(np.int64), self.bank
        if x.device.type != "cpu":
            found, booked = self._read_as_products(x, rows, ids, ctx)
            counts = booked.cpu().numpy()
        else:
            given, bad = rows.numpy(), np.zeros(len(rows), np.int64)
            out = np.zeros((steps * batch, layout.high * layout.wide, self.outputs), np.float32)
            counts = np.zeros((len(out), self.tiles[0], CONDUCTANCE + self.tiles[1]), np.int64)
            low, high = split(0 if self.seeds is None else self.seeds.key)
            draw = Draw(low, high, ctx.step0, self.seeds is not None and bank.fluctuates)
            if self._elsewhere:
                self._read_in_parts(given, ids, layout, draw, ctx.where, out, counts, bad)
            else:
                cells = bank.kernel_cells
                if ctx.ledger is None:  # nobody asks for the conductance driven
                    cells = cells._replace(nanosiemens=np.empty((len(self.g), 0), np.int64))
                by, rule, whole = bank.converters, bank.decoding, self.drive.steps
                read_kernel(given, whole, ids, layout, cells, by, rule, draw, out, counts, bad)
            if bad.any():
                raise self.drive.refusal(given, ctx.where)
            found = torch.from_numpy(out)
        found *= float(np.float32(bank.laid.scale * (self.drive.step or 1.0)))
        if self.gain is not None:
            found *= torch.from_numpy(self.gain).to(found.device)
        if self.bias.any():
            found += torch.from_numpy(self.bias).to(found.device)
        shaped = found.transpose(1, 2).reshape(steps, batch, self.outputs, layout.high, layout.wide).contiguous()
        return shaped.reshape(*shaped.shape[:3], *shaped.shape[5 - self.patches.axes :]), counts

    def _read_as_products(self, x: Tensor, rows: Tensor, ids: np.ndarray, ctx: Context) -> tuple[Tensor, Tensor]:
        """On other devices than the CPU. ParameterError where the circuit must be solved read by read."""
        if self._elsewhere:
            rule = "Ideal or Driven, reads not sampled and not calibrated, for inputs that are not on the CPU"
            raise ParameterError(must(f"{ctx.where}.wires", rule, type(self.macro.wires).__name__, "run on the CPU"))
        whole = self.drive.whole(rows, ctx.where).reshape(x.shape)
        key = self.seeds.key if self.seeds is not None and self.bank.fluctuates else None
        return read_dense(whole, ids, ctx.step0, self.patches, self.bank, key, self.outputs)

    @property
    def _elsewhere(self) -> bool:
        """Whether the sums of reads are made or looked at outside of the kernel that finishes them."""
        return self.sampled or isinstance(self.tally, Survey) or isinstance(self.macro.wires, Gated)

    def _read_in_parts(
        self,
        x: np.ndarray,
        ids: np.ndarray,
        layout: Layout,
        draw: Draw,
        where: str,
        out: np.ndarray,
        counts: np.ndarray,
        bad: np.ndarray,
    ) -> None:
        """As `read_kernel`, with all sums of some rows of the batch in memory at a time; bits are the same."""
        bank, place = self.bank, self.bank.placement
        cells = bank.kernel_cells
        finished = cells
        if isinstance(self.macro.wires, Gated):  # whose conductances are those that currents say
            finished = cells._replace(nanosiemens=np.empty((len(self.g), 0), np.int64))
        bare = self.stored.bare(self.macro, self.age) if isinstance(self.tally, Survey) else self.g
        size = _rows_at_a_time(x, self.drive, layout.high * layout.wide * place.tiles[0] * cells.blocks[:, 0].nbytes)
        for begin in range(0, len(x), size):
            mine = slice(begin, begin + size)
            listed = list_kernel(x[mine], self.drive.steps, layout, place.rows, place.tile, bad[mine])
            listed[2][:, 2] += begin
            sums = np.zeros((len(listed[2]), cells.blocks[:, 0].size), np.float32)
            sums_kernel(listed, cells, draw, sums)
            drives = np.bincount(listed[0], minlength=len(bare)).astype(np.float64)
            carried = float(drives @ place.by_row(bank.g.sum(1, dtype=np.float64)))
            kept = np.ones(len(sums), np.float32)
            if isinstance(self.macro.wires, Gated):
                physical, kept = self._through_gated_wires(self.macro.wires, listed, sums)
                carried = float(physical.sum())
                delivered = np.rint(1e9 * np.add.reduceat(physical, place.columns[:-1], axis=1)).astype(np.int64)
                np.add.at(counts[:, :, CONDUCTANCE:], (listed[2][:, 2], listed[2][:, 0]), delivered)
            if isinstance(self.tally, Survey):
                whole = float(drives @ place.by_row(bare.sum(1, dtype=np.float64)))
                self.tally.currents(where, bank, listed[2][:, 0], sums[:, : bank.converted], carried, whole)
            if self.sampled and draw.noisy:
                fluctuation = np.zeros_like(sums)
                sampled_kernel(listed, ids, np.sqrt(bank.columns[1]), draw, fluctuation)
                sums[:, cells.padded :] = 0
                sums += kept[:, None] * fluctuation
            finish_kernel(listed, sums, ids, finished, bank.converters, bank.decoding, draw, out, counts)

    def _through_gated_wires(self, gated: Gated, listed: Listed, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Replace column currents by those of arrays whose rows without input are disconnected. Variances shrink by the
        square of the share of its current that a read keeps. -> the currents (reads, columns); those shares (reads,)."""
        bank, place = self.bank, self.bank.placement
        physical = np.zeros((len(sums), bank.g.shape[1]))
        reads = np.repeat(np.arange(len(sums)), np.diff(listed[1]))
        lines = place.by_row(np.arange(len(bank.g)))[listed[0]]
        for i, _, (rows, columns) in place.arrays():
            mine = np.flatnonzero(listed[2][:, 0] == i)
            active = np.zeros((len(sums), rows.stop - rows.start), bool)
            here = (lines >= rows.start) & (lines < rows.stop)
            active[reads[here], lines[here] - rows.start] = True
            if len(mine):
                block = bank.g[rows, columns].astype(np.float64)
                physical[mine, columns] = gated.wires.gated_currents(block, active[mine], 1.0)
        whole = np.add.reduceat(bank.g.sum(1, dtype=np.float64)[lines], listed[1][:-1]) if len(sums) else np.ones(0)
        sums[:, : bank.converted] = bank.ordered(physical)
        kept = (physical.sum(1) / np.maximum(whole, 1e-30)).astype(np.float32)
        sums[:, bank.kernel_cells.padded :] *= (kept * kept)[:, None]
        return physical, kept

    def _book(self, counts: np.ndarray, batch: int, ctx: Context) -> None:
        """Counts of a run into the ledger, by array "row tile.column tile".

        A read drives its rows in every column tile, and converts all its columns; each code is moved to and added
        into a partial sum (bits_bus, shift_add), the codes of an output put together (digital_add), and where the mapping
        shifts, the rows driven counted (digital_add). A driven row's bit is read from the input buffer (bits_sram).
        Patches are unrolled by the drivers: no copies are made or counted.
        """
        if ctx.ledger is None:
            return
        sums = counts.reshape(-1, batch, *counts.shape[1:]).sum(0)
        mapping, edges, bits = self.macro.mapping, self.bank.placement.columns, max(self.macro.adc.bits, 1)
        for row_tile in range(self.tiles[0]):
            drives, reads = sums[:, row_tile, DRIVES], sums[:, row_tile, READS]
            for column_tile, here in enumerate(np.diff(edges)):
                outputs, codes = map(round, mapping.converted(here))
                conversions = reads * codes
                added = reads * (codes - outputs) + (drives if self.bank.laid.shift and not column_tile else 0)
                booked = {
                    Action.row_drive: drives, Action.cell_read: drives * here,
                    Action.conductance_read: sums[:, row_tile, CONDUCTANCE + column_tile],
                    Action.column_convert: conversions, Action.shift_add: conversions,
                    Action.digital_add: added, Action.bits_sram: drives, Action.bits_bus: conversions * bits,
                }  # fmt: skip
                for action, count in booked.items():
                    ctx.ledger.add(ctx.where, f"{row_tile}.{column_tile}", action, count)


def _rows_at_a_time(x: np.ndarray, drive: Drive, bytes_each: int) -> int:
    """Rows of the batch whose sums take at most ROOM bytes, at `bytes_each` of a row's reads of one pass."""
    steps = drive.steps
    largest = min(np.nan_to_num(np.abs(x).max(initial=0)) * steps.per, steps.most)
    planes = 2 * max(int(np.rint(largest)).bit_length(), 1)
    return max(1, ROOM // (bytes_each * planes))


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
        return replace(self._crossbar, bias=self.bias.detach().cpu().numpy())

    def with_crossbar(self, **changes: object) -> Programmed:
        """The same node with fields of its crossbar changed."""
        return Programmed(replace(self.operator, **changes))  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        rows, columns = self._crossbar.g.shape
        return f"{rows} rows, {columns} columns, arrays {self._crossbar.tiles}, drive {self._crossbar.drive.name}"
