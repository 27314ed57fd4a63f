"""Counts times prices, and how far the total moves with what is assumed.

    E = sum over (layer, array, action) of count x price  +  G (V^2 t + current price)  +  leakage x latency

G is the conductance that was driven. A macro may state a price of its own for it in place of V^2 t.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from spikesim.core.ledger import Action, Ledger

from ..constant import Constant
from ..macro import Macro
from .table import COMPONENTS, Part
from .tree import Share

WINDOW = "device.g_max"
"""The constant that all conductances follow."""
NANO = 1e-9
"""Siemens of one count of conductance."""


@dataclass(frozen=True)
class Charge:
    """What one count of an action costs under one component: joules, and the constant that says so ("": V^2 t)."""

    component: str
    joules: float
    key: str


def charges(action: Action, macro: Macro) -> tuple[Charge, ...]:
    """What one count of an action costs on a macro; nothing where the macro has no price for it."""
    if action is not Action.conductance_read:
        joules = macro.prices.get(action, 0.0)
        return (Charge(COMPONENTS[action], joules, f"price.{action.value}"),) if joules else ()
    own, key = macro.costs.array_price, "price.conductance_read"
    array = Charge("array", NANO * (macro.v_read**2 * macro.t_read if own is None else own), "" if own is None else key)
    current = Charge("converters", NANO * macro.costs.current_price, "price.column_current")
    return tuple(charge for charge in (array, current) if charge.joules)


def spent(ledger: Ledger, macro: Macro, conductance: float = 1.0) -> dict[Share, float]:
    """Mean joules per inference by layer, tile and component; all conductances times `conductance`."""
    found: dict[Share, float] = {}
    for key in sorted(ledger.total):
        factor = conductance if key.action is Action.conductance_read else 1.0
        for charge in charges(key.action, macro):
            share = key.node, key.tile, charge.component
            found[share] = found.get(share, 0.0) + factor * ledger.mean(key) * charge.joules
    return found


@dataclass(frozen=True)
class Assumption:
    """An assumed constant, and the totals (J) at both ends of what it may be; None where no ends are known or where
    another value would need another run."""

    constant: Constant
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        found: dict[str, Any] = {"key": self.constant.key, "value": self.constant.text, "source": self.constant.source}
        return found if self.low is None else {**found, "total_J": [self.low, self.high]}


Variant = tuple[Macro, float]
"""A macro and the factor by which all conductances differ from those of the run."""


def assumptions(macro: Macro, total: Callable[[Macro, float], float]) -> tuple[tuple[Assumption, ...], float, float]:
    """Every assumed constant with the totals at its ends, and the totals with all of them low, and all high.

    total(macro, conductance)   joules per inference; it must rise with every price
    """
    found, ends = [], {"low": (macro, 1.0), "high": (macro, 1.0)}
    for constant in macro.assumed:
        limits = _limits(constant, macro)
        moved = {end: _moved((macro, 1.0), constant.key, value) for end, value in limits.items()}
        if not limits or None in moved.values():
            found.append(Assumption(constant))
            continue
        low, high = (total(*moved[end]) for end in ("low", "high"))  # type: ignore[misc]
        found.append(Assumption(constant, low, high))
        ends = {end: _moved(variant, constant.key, limits[end]) or variant for end, variant in ends.items()}
    return tuple(found), total(*ends["low"]), total(*ends["high"])


def _limits(constant: Constant, macro: Macro) -> dict[str, float]:
    """Both ends of what a constant may be; empty where they are not known."""
    if constant.key == WINDOW:
        return dict(zip(("low", "high"), macro.g_max_range))
    value = constant.value
    if isinstance(value, tuple) or (constant.low is None and constant.high is None):
        return {}
    return {
        "low": value if constant.low is None else constant.low,
        "high": value if constant.high is None else constant.high,
    }


READ = {"array.v_read": "v_read", "array.t_read": "t_read"}
CONDUCTANCE = {"price.conductance_read": "array_price", "price.column_current": "current_price"}
ACTIONS = {f"price.{action.value}": action for action in Action}
LEAKS = {f"leakage.{part.value}": part for part in Part}
"""Constants that a total follows: fields of a macro, of its cost table, prices by action, leakages by part."""


def _moved(variant: Variant, key: str, value: float) -> Variant | None:
    """The variant with one constant at another value; None where that is not a matter of prices."""
    macro, conductance = variant
    costs, changes = macro.costs, dict[str, Any]()
    if key == WINDOW:
        conductance *= value / macro.device.g_max
    elif key in READ:
        changes = {READ[key]: value}
    elif key in CONDUCTANCE:
        changes = {"costs": replace(costs, **{CONDUCTANCE[key]: value})}  # type: ignore[arg-type]
    elif key in ACTIONS:
        changes = {"prices": {**macro.prices, ACTIONS[key]: value}}
    elif key in LEAKS:
        changes = {"costs": replace(costs, leakages={**costs.leakages, LEAKS[key]: value})}
    else:
        return None
    return macro.varied(**changes), conductance


def summed(shares: Mapping[Share, float], which: int) -> dict[str, float]:
    """Shares added up by layer (0), tile (1) or component (2), zeros left out."""
    names = dict.fromkeys(share[which] for share, value in shares.items() if value)
    return {name: math.fsum(v for share, v in shares.items() if share[which] == name) for name in names}
