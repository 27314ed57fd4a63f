"""What a way to repair answers, and `repaired`, which goes through several of them on one chip.

    way.prepared(network, macro, seeds=...)   -> a network to be deployed instead: before there is a chip, the same for all
    way.applied(chip, shown)                  -> the chip, repaired on calibration inputs

On calibration, every node of a chip is shown what reaches it in the ideal network (`seen`), so that all of them can be
corrected at once; reads fluctuate as they do in use, with draws of their own. Calibration inputs carry no labels here, and
are never test data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from spikesim.core.operator import Context
from spikesim.core.seeds import Seeds
from spikesim.errors import ParameterError, must
from spikesim.network import Network

from ..calibration import Calibration, calibration_of
from ..chips import Chip
from ..crossbar import Crossbar
from ..deployment import reaching
from ..macro import Macro

ROUNDING = 1e-5
"""Corrections below this share of what they correct are rounding of sums, not of the chip, and are not made."""


class Way:
    """Abstract: one way to repair. Subclasses are frozen dataclasses of its options.

    programs   whether cells are programmed again, which is done before a chip ages
    """

    programs: ClassVar[bool] = False

    def prepared(self, network: Network, macro: Macro, *, seeds: Seeds) -> Network:
        """The network to deploy; most ways leave it."""
        return network

    def applied(self, chip: Chip, shown: Calibration) -> Chip:
        """The chip, repaired; ways that work on networks leave it."""
        return chip


def repaired(chip: Chip, *ways: Way, calibration: Tensor | None = None, seeds: Seeds | None = None) -> Chip:
    """`chip` after each of `ways` in turn.

    calibration   inputs (T, B, *shape) as for `deploy`; None takes those that conversion kept
    seeds         of the spreading of kept counts over steps
    Corrections are measured at the calibration's T and hold there. Raises ParameterError for what is not a way, for ways that
    work on networks before they are deployed, and without calibration inputs.
    """
    if not isinstance(chip, Chip):
        raise ParameterError(
            must("repaired.chip", "a Chip", type(chip).__name__, "hardware.deploy(network, macro, ...)")
        )
    for way in ways:
        if not isinstance(way, Way):
            raise ParameterError(must("repaired.ways", "ways of hardware.repair", repr(way), "hardware.Offsets()"))
        if type(way).applied is Way.applied:
            rule = f"ways that work on chips, which {type(way).__name__} does not"
            raise ParameterError(
                must("repaired.ways", rule, repr(way), "use way.prepared(network, macro) before deploy")
            )
    shown = calibration_of(chip.source, calibration, seeds or Seeds(0), "repaired")
    if shown is None:
        raise ParameterError(must("repaired.calibration", "given for a network that kept none", "none"))
    for way in ways:
        chip = way.applied(chip, shown)
    return chip


class Seen(NamedTuple):
    """One node on the calibration inputs: x (T, B, *in_shape) as the ideal network has it, the ideal layer's output on it
    (T, B, n_out, ...), and the crossbar."""

    name: str
    x: Tensor
    ideal: Tensor
    crossbar: Crossbar

    def read(self, number: int, **changes: object) -> Tensor:
        """The crossbar's output on x, in another draw of its noise for each `number`; with fields changed."""
        own = self.crossbar.seeds
        fresh = {"seeds": None if own is None else own.child("calibration", number), "tally": None, **changes}
        crossbar: Crossbar = replace(self.crossbar, **fresh)  # type: ignore[arg-type]
        with torch.inference_mode():
            return crossbar.apply(self.x, _context(self.name, self.x))


def seen(chip: Chip, shown: Calibration) -> Iterator[Seen]:
    """Every programmed node of a chip on the calibration inputs, bound as `shown` binds."""
    source, nodes = shown.bound(chip.source), replace(chip, network=shown.bound(chip.network)).crossbars
    for name, x in reaching(chip.source, list(nodes), shown).items():
        with torch.inference_mode():
            ideal = source.node(name)(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        yield Seen(name, x, ideal, nodes[name])


def _context(name: str, x: Tensor) -> Context:
    return Context(name, 0, np.arange(x.shape[1]), None, None)


def corrected(chip: Chip, shown: Calibration, changes: dict[str, dict[str, Any]]) -> Chip:
    """The chip with fields of its crossbars changed; {node: {"bias": ...}} is the bias at the calibration's T."""
    conversion = chip.conversion
    bound = conversion is None or conversion.steps is not None
    factors = {} if bound else conversion.factors(shown.steps)
    nodes: dict[str, Any] = {}
    for name, change in changes.items():
        if "bias" in change:
            change["bias"] = (change["bias"] / factors.get(name, 1.0)).astype(np.float32)
        node: Any = chip.network.node(name)
        nodes[name] = node.with_crossbar(**change)
    return replace(chip, network=chip.network.replaced(nodes))
