"""The same inference by other means: counts of the ideal run times published constants (`baselines.toml`).

One multiplication or one addition is one OP. An event of -1 or 1 adds its weights (additions, AC); a graded, fractional or
analog input multiplies them (multiply-accumulates, MAC). None of these prices knows an array, a wire or a clock.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from spikesim.errors import ParameterError, must, nearest
from spikesim.units import measure

from ..constant import Constant


@dataclass(frozen=True)
class Operations:
    """Means per inference: additions and multiply-accumulates that events caused, neuron updates, and the
    multiply-accumulates of one dense pass of the ANN."""

    additions: float
    macs: float
    updates: float
    ann_macs: float

    @property
    def effective(self) -> float:
        """OP that events caused."""
        return self.additions + 2 * self.macs

    @property
    def ann(self) -> float:
        """OP of one dense pass of the ANN."""
        return 2 * self.ann_macs


@cache
def constants() -> Mapping[str, Constant]:
    """The constants of `baselines.toml` by name, with status and source."""
    table = tomllib.loads((Path(__file__).parent / "baselines.toml").read_text())["constants"]
    return {
        name: Constant(name, str(row["value"]), measure(row["value"]), row["status"], row["source"])
        for name, row in table.items()
    }


def joules_of(name: str) -> float:
    """One constant of `baselines.toml`."""
    value: Any = constants()[name].value
    return float(value)


def arithmetic(additions: float, macs: float, kind: str = "fp32") -> float:
    """Joules of additions and multiply-accumulates at 45 nm; kind "fp32" or "int8"."""
    kinds = ("fp32", "int8")
    if kind not in kinds:
        raise ParameterError(must("arithmetic.kind", f"one of {', '.join(kinds)}", kind, nearest(kind, kinds)))
    return additions * joules_of(f"{kind}_add") + macs * joules_of(f"{kind}_mac")


def device(synaptic: float, updates: float, name: str | tuple[float, float]) -> float:
    """Joules of synaptic operations and neuron updates on a device of KerasSpiking's table ("loihi", "cpu", ...), or on
    one with these joules per operation and per update."""
    if not isinstance(name, str):
        return synaptic * name[0] + updates * name[1]
    known = sorted(key.removesuffix("_update") for key in constants() if key.endswith("_update"))
    if name not in known:
        raise ParameterError(must("device.name", "one of the tabulated devices", name, nearest(name, known)))
    return synaptic * joules_of(f"{name}_synapse") + updates * joules_of(f"{name}_update")


def gpu(operations: float) -> float:
    """Joules of OP on a graphics card at its peak INT8 rate and full utilisation: a lower bound for one."""
    return operations * joules_of("gpu_op")


def digital_snn(done: Operations) -> float:
    """Joules on a digital spiking accelerator with SATA's blocks: every synaptic operation fetches its weight, every
    update reads, adds, compares, resets and writes a membrane."""
    c = joules_of
    fetch = c("weight_bits") * c("sram_bit")
    add = c("sata_and") + c("sata_add") + c("sata_register")
    state = 2 * c("state_bits") * c("sram_bit") + c("sata_add") + c("sata_compare") + c("sata_mux") + c("sata_register")
    return done.additions * (fetch + add) + done.macs * (fetch + add + c("sata_multiply")) + done.updates * state


NOTES = {
    "ann_operations_4.6pJ": "multiply-accumulates of one dense pass of the ANN, 32-bit float at 45 nm; no memory",
    "snn_operations_0.9pJ": "additions of this run, 32-bit float at 45 nm, graded inputs as multiply-accumulates; no memory",
    "ann_operations_int8": "the same in 8-bit whole numbers",
    "snn_operations_int8": "the same in 8-bit whole numbers",
    "digital_snn_sata": "digital accelerator of SATA's blocks with its SRAM; a weight fetched per addition",
    "digital_snn_loihi": "Loihi's published joules per synaptic operation and update",
    "ann_gpu_peak_int8": "one dense pass at 0.48 pJ/OP: peak INT8 of a graphics card at full utilisation",
}
"""What each baseline is, in one line."""


def baselines(done: Operations) -> dict[str, float]:
    """Joules per inference by name; `NOTES` says what they are."""
    return {
        "ann_operations_4.6pJ": arithmetic(0, done.ann_macs),
        "snn_operations_0.9pJ": arithmetic(done.additions, done.macs),
        "ann_operations_int8": arithmetic(0, done.ann_macs, "int8"),
        "snn_operations_int8": arithmetic(done.additions, done.macs, "int8"),
        "digital_snn_sata": digital_snn(done),
        "digital_snn_loihi": device(done.additions + done.macs, done.updates, "loihi"),
        "ann_gpu_peak_int8": gpu(done.ann),
    }
