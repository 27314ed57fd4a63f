"""Rules that frozen parameter sets check themselves by.

A parameter set is a frozen dataclass whose `__post_init__` calls `check`; the message names class and field.
"""

from __future__ import annotations

import math
from typing import Any

from ..errors import ParameterError, must


def check(
    owner: Any,
    field: str,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    unit: str = "",
    integer: bool = False,
) -> None:
    """Raise ParameterError unless `owner.field` is a finite number within the given bounds (in `unit`)."""
    value = getattr(owner, field)
    number(
        f"{type(owner).__name__}.{field}",
        value,
        above=above,
        at_least=at_least,
        at_most=at_most,
        below=below,
        unit=unit,
        integer=integer,
    )


def number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    unit: str = "",
    integer: bool = False,
    remedy: str = "",
) -> None:
    """Raise ParameterError unless `value` is a finite number (an int where `integer`) within the bounds."""
    rules = [f"above {above:g}" for _ in [0] if above is not None]
    rules += [f"at least {at_least:g}" for _ in [0] if at_least is not None]
    rules += [f"at most {at_most:g}" for _ in [0] if at_most is not None]
    rules += [f"below {below:g}" for _ in [0] if below is not None]
    rule = ("a whole number " if integer else "a number ") + " and ".join(rules) + (f" {unit}" if unit else "")
    kind = isinstance(value, int) if integer else isinstance(value, (int, float))
    fits = (
        kind
        and not isinstance(value, bool)
        and math.isfinite(value)
        and (above is None or value > above)
        and (at_least is None or value >= at_least)
        and (at_most is None or value <= at_most)
        and (below is None or value < below)
    )
    if not fits:
        raise ParameterError(must(name, rule, value, remedy))
