"""EnergyReport: what an inference costs, as a tree, as rows and as one screen of text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spikesim.core.files import written
from spikesim.core.ledger import Action, Ledger
from spikesim.units import si

from ..constant import Constant
from ..macro import Macro
from ..wires import Ideal
from .pricing import Assumption, Charge, charges
from .table import COMPONENTS
from .timing import Timing
from .tree import Branch

EXCLUDED = (
    "programming the cells, and refreshing them",
    "clock distribution and control",
    "off-chip memory and links; the sensor",
)
WIRES = "wire resistance in the arrays (its energy and its error)"
SUNK = "what rows held at 0 V take out of the lines of wired arrays"
LEAKAGE = "leakage: the macro has no figure for it"
AREA = "area: the macro has no figures for it"
ROW = (
    "node", "tile", "component", "action", "total", "mean", "standard_error", "price_J", "joules", "status", "source"
)  # fmt: skip
"""Columns of a report's rows."""


@dataclass(frozen=True)
class OnChip:
    """The ANN behind a network on the same chip: bits of its inputs, accuracy, joules and seconds per inference."""

    bits: int
    accuracy: float
    joules: float
    seconds: float

    def to_json(self) -> dict[str, float]:
        """Plain values."""
        return {"bits": self.bits, "accuracy": self.accuracy, "energy_J": self.joules, "latency_s": self.seconds}


@dataclass(frozen=True)
class EnergyReport:
    """Joules of one inference, where they go, and what they are compared with. Made by `estimate` and `price`.

    energy_J    total, by_component, by_layer: means per inference;   low, high: over what is assumed;
                standard_error: of the total over samples, an upper bound (as if all counts rose together);
                ci95: [low, high] of the mean over samples, from it
    tree        network / layer / tile / component: joules, seconds, m2
    timing      serial and pipelined latency, and the critical path
    assumptions the assumed constants, with the totals at the ends of each where they are known
    baselines   joules of the same inference by other means, by name (`baseline_notes` says what they are)
    ann         the ANN behind the network on the same chip, the first of the baselines (empty where none is known)
    operations  OP (one multiplication or one addition) per inference: "effective" for the events that came, "ann" for
                one dense pass of the network it came from (both empty from `price`)
    utilisation programmed cells over the cells of all arrays used (None from `price`)
    accuracy, ideal_accuracy   of the chip and of the network it came from, on the same samples (None from `price`)
    clipped     node -> share of its conversions that saturated (empty from `price`)
    """

    macro: Macro
    energy_J: dict[str, Any]
    tree: Branch
    timing: Timing
    assumptions: tuple[Assumption, ...]
    samples: int
    ledger: Ledger
    baselines: dict[str, float] = field(default_factory=dict)
    baseline_notes: dict[str, str] = field(default_factory=dict)
    ann: tuple[OnChip, ...] = ()
    operations: dict[str, float] = field(default_factory=dict)
    utilisation: float | None = None
    accuracy: float | None = None
    ideal_accuracy: float | None = None
    warnings: tuple[str, ...] = ()
    clipped: Mapping[str, float] = field(default_factory=dict)

    @property
    def latency_s(self) -> float:
        """Seconds per inference, layers one after the other."""
        return self.timing.serial

    @property
    def energy_delay(self) -> float:
        """Joule seconds: the total times the latency."""
        return float(self.energy_J["total"] * self.latency_s)

    @property
    def area_mm2(self) -> float:
        """Arrays, what stands around them, membranes."""
        return 1e6 * self.tree.area

    @property
    def tops_per_watt(self) -> dict[str, float]:
        """Operations per joule / 1e12, by the same names as `operations`."""
        return {name: count / max(self.energy_J["total"], 1e-300) / 1e12 for name, count in self.operations.items()}

    @property
    def assumed(self) -> tuple[Constant, ...]:
        """The macro's constants that no measurement or paper backs."""
        return self.macro.assumed

    @property
    def excluded(self) -> tuple[str, ...]:
        """What no joule, second or square metre stands for."""
        lacking = ((LEAKAGE, self.macro.costs.leakages), (AREA, self.macro.costs.areas))
        ideal = isinstance(self.macro.wires, Ideal)
        return (*EXCLUDED, WIRES if ideal else SUNK, *(text for text, known in lacking if not known))

    def rows(self) -> Iterator[dict[str, Any]]:
        """One dict per (node, tile, action, component): mean count and its error, price and its source, mean joules.

        Leakage, which is not counted but lasts, has rows of its own without a count.
        """
        constants = {c.key: c for c in self.macro.constants}
        for row in self.ledger.rows():
            action = Action(row["action"])
            for charge in charges(action, self.macro) or (Charge(COMPONENTS[action], 0.0, f"price.{action.value}"),):
                known = constants.get(charge.key)
                status, source = (known.status, known.source) if known else ("", "")
                if not charge.key:
                    status, source = "assumed", "V^2 t G, from array.v_read, array.t_read and the programmed cells"
                joules = {"price_J": charge.joules, "joules": row["mean"] * charge.joules}
                yield {**row, "component": charge.component, **joules, "source": source, "status": status}
        leaking = [c.status for key, c in constants.items() if key.startswith("leakage.")]
        about = {
            "action": "leakage", "total": "", "mean": "", "standard_error": "", "price_J": "",
            "source": "leakage.* of the parts there, for the serial latency",
            "status": "assumed" if "assumed" in leaking else next(iter(leaking), ""),
        }  # fmt: skip
        for path, branch in self.tree.walk():
            if branch.name == "leakage" and branch.level == "component" and branch.joules:
                yield {"node": path[1], "tile": path[2], "component": "leakage", **about, "joules": branch.joules}

    def to_csv(self, path: str | Path) -> Path:
        """Write `rows()` as a CSV file. Raises ArtefactError when that is not possible."""
        return write_rows(path, self.rows())

    def to_json(self) -> dict[str, Any]:
        """Plain values for files."""
        return {
            "macro": self.macro.name, "energy_J": self.energy_J, "latency_s": self.latency_s, "area_mm2": self.area_mm2,
            "baselines": self.baselines, "accuracy": self.accuracy, "ideal_accuracy": self.ideal_accuracy,
            "samples": self.samples, "assumed": [a.to_json() for a in self.assumptions],
            "excluded": list(self.excluded), "warnings": list(self.warnings), "note": self.macro.note,
            "clipped": dict(self.clipped), "timing": self.timing.to_json(), "utilisation": self.utilisation,
            "ann_on_macro": [a.to_json() for a in self.ann], "operations": self.operations,
            "tops_per_watt": self.tops_per_watt, "baseline_notes": self.baseline_notes,
            "tree": self.tree.to_json(), "sources": {c.key: c.source for c in self.macro.constants},
        }  # fmt: skip

    def __str__(self) -> str:
        energy = self.energy_J
        spread = f"{si(energy['low'], 'J')} to {si(energy['high'], 'J')} over what is assumed"
        lines = [
            f"{self.macro.name}: {si(energy['total'], 'J')} per inference"
            f"{f' ({spread})' if energy['low'] < energy['high'] else ''}, {self.samples} samples, "
            f"95 % interval of the mean {' to '.join(si(v, 'J') for v in energy['ci95'])}",
            f"  {self._about()}",
        ]
        if self.accuracy is not None and self.ideal_accuracy is not None:
            lines.append(f"  accuracy {100 * self.accuracy:.2f} %, ideal network {100 * self.ideal_accuracy:.2f} %")
        ordered = sorted(energy["by_component"].items(), key=lambda item: -item[1])
        lines.append(f"  {'component':<20} {'energy':>10}   share")
        lines += [self._line(name, joules) for name, joules in ordered]
        lines.append(f"  {'layer':<20} {'energy':>10}   share {'time':>10} {'area':>10}  arrays")
        lines += [self._layer(branch) for branch in self.tree.children if branch.joules or branch.area]
        lines += [f"  {'beside it':<20} {'energy':>10}"] if self.baselines else []
        notes = self.baseline_notes
        lines += [
            f"  {name:<20} {si(v, 'J'):>10}   {notes.get(name, '')}".rstrip() for name, v in self.baselines.items()
        ]
        lines += [self._against(a) for a in self.ann]
        lines += self._assumed_lines()
        lines.append(f"  left out: {'; '.join(self.excluded)}")
        lines += [f"  note: {self.macro.note}"] if self.macro.note else []
        return "\n".join([*lines, *(f"  warning: {w}" for w in self.warnings)])

    def _about(self) -> str:
        """Latency, area and efficiency in one line."""
        timing, parts = self.timing, list[str]()
        parts.append(f"{si(timing.serial, 's')} layer after layer, {si(timing.pipelined, 's')} pipelined")
        if timing.bottleneck:
            parts.append(f"slowest layer {timing.bottleneck}")
        if self.tree.area:
            used = "" if self.utilisation is None else f" (cells {100 * self.utilisation:.0f} % used)"
            parts.append(f"{self.area_mm2:.3g} mm²{used}")
        parts += [f"{value:.3g} TOPS/W ({name} operations)" for name, value in self.tops_per_watt.items()]
        return "; ".join(parts)

    def _line(self, name: str, joules: float) -> str:
        return f"  {name:<20} {si(joules, 'J'):>10}  {100 * joules / max(self.energy_J['total'], 1e-300):5.1f} %"

    def _layer(self, branch: Branch) -> str:
        arrays = sum(1 for tile in branch.children if tile.name.replace(".", "").isdigit())
        time = si(branch.seconds, "s") if branch.seconds else ""
        area = f"{1e6 * branch.area:.3g} mm²" if branch.area else ""
        return f"{self._line(branch.name, branch.joules)} {time:>10} {area:>10}  {arrays or ''}".rstrip()

    def _against(self, ann: OnChip) -> str:
        ratio = self.energy_J["total"] / max(ann.joules, 1e-300)
        points = 100 * ((self.accuracy or 0.0) - ann.accuracy)
        return f"  spikes cost {ratio:.3g} times what the ANN at {ann.bits} bits costs on this chip, at {points:+.2f} points"

    def _assumed_lines(self) -> list[str]:
        """The assumed constants: first those whose ends are known, with what they do to the total."""
        known = [a for a in self.assumptions if a.low is not None and a.high is not None and a.low < a.high]
        lines = [
            f"  assumed: {a.constant.key} = {a.constant.text}; total {si(a.low or 0, 'J')} to {si(a.high or 0, 'J')}"
            for a in sorted(known, key=lambda a: (a.low or 0) - (a.high or 0))
        ]
        others = ", ".join(a.constant.key for a in self.assumptions if a not in known)
        return [*lines, f"  assumed, no range known: {others or 'nothing more'}"]


def write_rows(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows of a report as a CSV file. Raises ArtefactError when that is not possible."""
    text = io.StringIO()
    table = csv.DictWriter(text, ROW, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    with written(Path(path)) as temporary:
        temporary.write_text(text.getvalue())
    return Path(path)
