"""Where a layer's cells stand: its rows and columns cut into arrays.

Rows of a layer are c kh kw + u kw + v of its kernel, cut every `macro.rows`; a grouped convolution's groups stand in
arrays of their own, each with the columns of its own outputs alone. By pixel (k x k processing elements), rows are
(u kw + v) C + c and every pixel (u, v) of the kernel has arrays of its own. Outputs are cut so that the cells of one, and the
reference column where the mapping has one, stand in one array.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from spikesim.errors import ParameterError, must

from .macro import Macro
from .mappings.base import Laid


@dataclass(frozen=True, eq=False)
class Placement:
    """Cells (rows, columns) on arrays.

    rows, columns   (tiles + 1,) int64, edges of row tiles and column tiles
    first           (row tiles,) int64, first output of the group that a row tile belongs to
    outputs         of one group
    order           (K outputs + reference columns,) int64: the column of cell k of output o at k outputs + o
    reference       (outputs,) int32, which reference column (counted from 0) is an output's; empty without any
    lines           (rows,) int64, the line of its row tile, counted from the layer's first, on which each row stands; empty
                    where rows stand in their own order
    """

    rows: np.ndarray
    columns: np.ndarray
    first: np.ndarray
    outputs: int
    order: np.ndarray
    reference: np.ndarray
    lines: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def tiles(self) -> tuple[int, int]:
        """(row tiles, column tiles)."""
        return len(self.rows) - 1, len(self.columns) - 1

    @property
    def tile(self) -> np.ndarray:
        """(rows,) int32, the row tile of each row."""
        return np.repeat(np.arange(len(self.rows) - 1, dtype=np.int32), np.diff(self.rows))

    def by_row(self, values: np.ndarray) -> np.ndarray:
        """Values of lines (lines, ...) as those of the layer's rows."""
        return values[self.lines] if len(self.lines) else values

    def arrays(self) -> list[tuple[int, int, tuple[slice, slice]]]:
        """Row tile, column tile and place of every array."""
        (i_max, j_max), r, c = self.tiles, self.rows, self.columns
        return [(i, j, (slice(r[i], r[i + 1]), slice(c[j], c[j + 1]))) for i in range(i_max) for j in range(j_max)]


def placed(
    rows: int, outputs: int, macro: Macro, *, groups: int = 1, pixels: int = 1, node: str = "layer"
) -> Placement:  # fmt: skip
    """Rows and outputs of a layer on arrays of `macro`; pixels above 1: by pixel. ParameterError where cells do not fit."""
    mapping = macro.mapping
    per, each = (macro.columns - mapping.referenced) // mapping.cells, outputs // groups
    if per < 1:
        rule = f"at least {mapping.cells + mapping.referenced} for one output of {node}"
        raise ParameterError(must("Macro.columns", rule, macro.columns, "use fewer slices or wider arrays"))
    step, parts = rows // (groups * pixels), groups * pixels
    tops = [part * step + top for part in range(parts) for top in range(0, step, macro.rows)]
    first = [top // (rows // groups) * each for top in tops]
    held = [min(per, each - left) for left in range(0, each, per)]
    wide = [n * mapping.cells + mapping.referenced for n in held]
    edges = np.concatenate([[0], np.cumsum(wide)]).astype(np.int64)
    of = np.repeat(np.arange(len(held)), held)  # the column tile of each output
    left = edges[of] + (np.arange(each) - of * per) * mapping.cells
    order = (left + np.arange(mapping.cells)[:, None]).ravel()
    if mapping.referenced:
        order = np.concatenate([order, edges[1:] - 1])
    reference = of.astype(np.int32) if mapping.referenced else np.zeros(0, np.int32)
    return Placement(
        np.array([*tops, rows], np.int64), edges, np.array(first, np.int64), each, order.astype(np.int64), reference
    )


def physical(laid: Laid, place: Placement) -> np.ndarray:
    """(lines, columns) siemens: the targets of a layer where they stand."""
    rows, outputs, cells = laid.targets.shape
    targets = np.empty((rows, int(place.columns[-1])))
    targets[:, place.order[: outputs * cells]] = laid.targets.transpose(0, 2, 1).reshape(rows, -1)
    if laid.reference is not None:
        targets[:, place.order[outputs * cells :]] = laid.reference[:, None]
    if len(place.lines):
        targets[place.lines] = targets.copy()
    return targets
