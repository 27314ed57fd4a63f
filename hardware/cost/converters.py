"""What one conversion costs by bits and node: the bound of a survey (`converters.toml`), for designs that vary their bits.

E(b) between tabulated bits: straight in ln E.   Another node, or bits outside 4 to 10: refused
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from spikesim.core.ledger import Action
from spikesim.core.params import number
from spikesim.errors import ParameterError, must
from spikesim.units import quantity, si

from ..constant import Constant
from ..macro import Macro

PRICE = f"price.{Action.column_convert.value}"


def survey_joules(bits: int, node: float) -> float:
    """Joules of one conversion of `bits` bits at a node (m). ParameterError outside the table."""
    table = _table()
    known = table["bits"]
    number("survey_joules.bits", bits, at_least=known[0], at_most=known[-1], integer=True)
    for nm, row in table["joules"].items():
        if abs(node * 1e9 / int(nm) - 1) < 1e-6:
            logs = [math.log(quantity(text, "J")) for text in row]
            return float(math.exp(np.interp(bits, known, logs)))
    rule = f"one of {', '.join(table['joules'])} nm"
    raise ParameterError(must("survey_joules.node", rule, f"{node * 1e9:g} nm", "it is not interpolated"))


def with_bits(macro: Macro, bits: int, *, node: float = 40e-9) -> Macro:
    """The macro with converters of other bits, their price moved along the survey's bound at a node (m).

    Seconds and area of a conversion stay. ParameterError outside the table.
    """
    ratio = survey_joules(bits, node) / survey_joules(macro.adc.bits, node)
    joules = macro.prices.get(Action.column_convert, 0.0) * ratio

    def there(constant: Constant) -> Constant:
        if constant.key == "adc.bits":
            return replace(constant, text=str(bits), value=float(bits), status="assumed", source="varied")
        if constant.key == PRICE:
            source = f"{constant.source}; moved from {macro.adc.bits} to {bits} bits along the bound of a survey"
            low, high = (None if end is None else end * ratio for end in (constant.low, constant.high))
            return replace(constant, text=si(joules, "J", 4), value=joules, source=source, low=low, high=high)
        return constant

    adc: Any = replace(macro.adc, bits=bits)  # type: ignore[type-var]
    prices = {**macro.prices, Action.column_convert: joules}
    return macro.varied(
        name=f"{macro.name}, {bits} bits", adc=adc, prices=prices, constants=tuple(there(c) for c in macro.constants)
    )


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads((Path(__file__).parent / "converters.toml").read_text())
