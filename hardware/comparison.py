"""A spiking network at several T beside the ANN that it came from, on one chip: where spikes cost less, if anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spikesim.core.ledger import Action
from spikesim.datasets.base import ArrayDataset, EventDataset
from spikesim.units import si

from .ann import BITS, estimate_ann
from .chips import Chip
from .cost.report import EnergyReport
from .energy import estimate


@dataclass(frozen=True)
class Comparison:
    """A spiking network beside its ANN on one chip. Made by `compare`.

    spiking   T -> report;   ann   bits -> report;   activity   T -> events per input line and step, over all layers
    """

    spiking: Mapping[int, EnergyReport]
    ann: Mapping[int, EnergyReport]
    activity: Mapping[int, float]

    def verdicts(self, points: float = 1.0) -> list[str]:
        """For each ANN, in words: up to which T and activity spikes cost less, and what they cost at its accuracy.

        points   percentage points by which a spiking network may be less accurate and count as equal
        """
        said = []
        for bits, dense in sorted(self.ann.items(), reverse=True):
            joules, accuracy = dense.energy_J["total"], dense.accuracy or 0
            about = f"beside the ANN at {bits} bits ({si(joules, 'J')}, {100 * accuracy:.2f} %): "
            cheaper = [t for t, r in sorted(self.spiking.items()) if r.energy_J["total"] < joules]
            if cheaper:
                t = cheaper[-1]
                lost = 100 * ((self.spiking[t].accuracy or 0) - accuracy)
                spent = si(self.spiking[t].energy_J["total"], "J")
                about += (
                    f"spikes cost less up to T = {t} ({spent}, {self.activity[t]:.3f} events per input and step), "
                    f"at {lost:+.2f} points; "
                )
            else:
                about += "spikes cost more at every T; "
            equal = {t: r for t, r in self.spiking.items() if 100 * ((r.accuracy or 0) - accuracy) >= -points}
            if not equal:
                said.append(f"{about}no T is within {points:g} point of its accuracy")
                continue
            t, report = min(equal.items(), key=lambda item: item[1].energy_J["total"])
            ratio = report.energy_J["total"] / joules
            wins = "spikes win" if ratio < 1 else "the ANN wins"
            said.append(f"{about}within {points:g} point, at T = {t}, they cost {ratio:.3g} times as much: {wins}")
        return said

    def rows(self) -> list[dict[str, Any]]:
        """One dict per T and per number of bits: accuracy, joules, seconds, joule seconds."""
        named = [(f"SNN, T = {t}", r) for t, r in sorted(self.spiking.items())]
        named += [(f"ANN, {b} bits", r) for b, r in sorted(self.ann.items(), reverse=True)]
        return [
            {
                "network": name, "accuracy": r.accuracy, "joules": r.energy_J["total"], "seconds": r.latency_s,
                "joule_seconds": r.energy_delay,
            }
            for name, r in named
        ]  # fmt: skip

    def __str__(self) -> str:
        lines = [f"{'':<16} {'accuracy':>9} {'energy':>10} {'latency':>10}"]
        lines += [
            f"{r['network']:<16} {100 * (r['accuracy'] or 0):>7.2f} % {si(r['joules'], 'J'):>10} {si(r['seconds'], 's'):>10}"
            for r in self.rows()
        ]
        return "\n".join([*lines, *self.verdicts()])


def compare(
    chip: Chip, data: EventDataset | ArrayDataset, *, steps: Sequence[int] = (1, 2, 4, 8, 16, 32), bits: Sequence[int] = BITS
) -> Comparison:  # fmt: skip
    """The spiking network at several T beside its ANN at several bits, on the same chip and samples."""
    dense = {b: estimate_ann(chip, data, bits=b) for b in bits}
    spiking = {t: estimate(chip, data, steps=t, beside=False) for t in steps}
    lines = _lines(chip, data)
    return Comparison(spiking, dense, {t: _driven(r) / max(lines * t, 1) for t, r in spiking.items()})


def _lines(chip: Chip, data: EventDataset | ArrayDataset) -> float:
    """Row lines of one dense step: every patch of every layer drives all its rows once."""
    synapses = chip.source.synapses(data.frames()[:1])
    return sum(synapses[name] * crossbar.groups / crossbar.outputs for name, crossbar in chip.crossbars.items())


def _driven(report: EnergyReport) -> float:
    """Rows driven per inference, once for all column tiles of a layer."""
    columns: dict[str, set[str]] = {}
    for key in report.ledger.total:
        if key.tile:
            columns.setdefault(key.node, set()).add(key.tile.split(".")[-1])
    return sum(
        report.ledger.mean(key) / len(columns[key.node])
        for key in report.ledger.total
        if key.action is Action.row_drive
    )
