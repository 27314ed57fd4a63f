"""Macro: the design of an in-memory-computing array and its surroundings, with every constant's source."""

from __future__ import annotations

from collections.abc import Mapping as Table
from dataclasses import dataclass, replace
from typing import Any

from spikesim.core.ledger import Action
from spikesim.core.params import check, number
from spikesim.errors import ParameterError, must
from spikesim.units import si

from .constant import Constant
from .converters.base import Converter
from .cost.table import CostTable
from .cost.technology import SOURCE, energy_ratio
from .devices.base import Device
from .faults.base import Faults
from .mappings.base import Mapping
from .mappings.differential import Mapping as DifferentialPair
from .wires import Drive, Ideal

QUOTED = ("published", "power")
"""Tables of figures that are quoted for comparison: nothing is computed from them."""


@dataclass(frozen=True)
class Macro:
    """A design: arrays of cells, 1-bit row drivers, one kind of column converter, and a price per action.

    rows, columns          of one array                      v_read (V), t_read (s)   of one read
    device, adc            the cell and the converter        t_convert (s)            of one conversion
    columns_per_converter  columns that share a converter and are converted one after the other
    prices                 joules per action; the array itself is V^2 t G
    g_max_range            the window's top (S) at both ends of what is assumed about the conductance scale
    note                   what a reader of any result must know; printed with every estimate
    faults                 of cells, rows and columns of every array
    mapping                how weights stand in cells
    wires                  resistance of lines, and how rows without input are held
    i_max                  largest column current that reaches a converter (A); 0: no limit
    by_pixel               1: every pixel of a convolution's kernel has arrays of its own; 0: rows are unrolled (im2col)
    costs                  seconds, areas, leakage; how arrays make tiles
    Raises ParameterError.
    """

    name: str
    description: str
    source: str
    rows: int
    columns: int
    v_read: float
    t_read: float
    device: Device
    adc: Converter
    t_convert: float
    columns_per_converter: int
    prices: Table[Action, float]
    g_max_range: tuple[float, float]
    constants: tuple[Constant, ...]
    note: str = ""
    faults: Faults = Faults()
    mapping: Mapping = DifferentialPair()
    wires: Drive = Ideal()
    i_max: float = 0.0
    by_pixel: int = 0
    costs: CostTable = CostTable()

    def __post_init__(self) -> None:
        check(self, "rows", at_least=1, at_most=2**16, integer=True)
        check(self, "columns", at_least=2, at_most=2**14, integer=True)
        check(self, "v_read", above=0, unit="V")
        check(self, "t_read", above=0, unit="s")
        check(self, "t_convert", at_least=0, unit="s")
        check(self, "columns_per_converter", at_least=1, integer=True)
        check(self, "i_max", at_least=0, unit="A")
        check(self, "by_pixel", at_least=0, at_most=1, integer=True)
        for action, joules in self.prices.items():
            number(f"Macro.prices.{action}", joules, at_least=0, unit="J")
        low, high = self.g_max_range
        if not 0 < low <= high:
            raise ParameterError(must("Macro.g_max_range", "two rising conductances above 0 S", self.g_max_range))

    @property
    def assumed(self) -> tuple[Constant, ...]:
        """The constants that no measurement or paper backs, of those that anything is computed from."""
        return tuple(c for c in self.constants if c.status == "assumed" and c.key.split(".")[0] not in QUOTED)

    def scaled(self, node: float, supply: float) -> Macro:
        """The design with its digital prices moved to another process node (m) and supply (V).

        Moved are the prices whose constants say for which node and supply they hold; converters, drivers and arrays
        stay. ParameterError where no price says so, and for a node outside the table (`cost.technology`).
        """
        moved = {c.key: c for c in self.constants if c.node and c.supply and c.key.startswith("price.")}
        if not moved:
            rule = "of a macro whose prices state their node and supply"
            raise ParameterError(must("Macro.scaled", rule, self.name, "price it as it is"))
        ratios = {k: energy_ratio(c.node or 0, c.supply or 0, node, supply) for k, c in moved.items()}
        prices = {a: p * ratios.get(f"price.{a.value}", 1.0) for a, p in self.prices.items()}
        to = f"{node * 1e9:g} nm, {supply:g} V"

        def there(constant: Constant) -> Constant:
            ratio = ratios.get(constant.key)
            if ratio is None:
                return constant
            value: Any = constant.value
            source = f"{constant.source}; scaled to {to} ({SOURCE})"
            limits = {k: v * ratio for k in ("low", "high") if (v := getattr(constant, k)) is not None}
            status = "assumed" if constant.status == "assumed" else "fit"
            return replace(
                constant, value=value * ratio, text=si(value * ratio, "J", 4), status=status, source=source,
                node=node, supply=supply, **limits,
            )  # fmt: skip

        constants = tuple(there(c) for c in self.constants)
        return replace(self, name=f"{self.name} at {to}", prices=prices, constants=constants)

    def varied(self, **changes: object) -> Macro:
        """The design with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]
