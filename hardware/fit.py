"""A lab's own cells: fit_device reads measured cells from a CSV and finds the device they are, with goodness of fit.

fitted = hardware.fit_device("cells.csv", unit="uS")        columns target, measured
print(fitted)                                               curves compared, KS p, n, valid range
fitted.save("mine.toml")
macro = hardware.load_macro("taox40-projected", device="mine.toml")
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spikesim.core.files import written
from spikesim.errors import DatasetError, ParameterError, must
from spikesim.units import quantity

from .constant import Constant
from .curves import Fitted, candidates, ks_normal, lognormal
from .devices.program_verify import Cell
from .effects.spread import Independent, Lognormal, Polynomial, Proportional
from .measured import header_of, is_map, read_map, read_table, siemens

FEWEST = 20
"""Cells below which nothing is fitted."""
BIAS_SIGMA = 4.0
"""Standard errors by which deviations may miss zero before the fit warns."""


@dataclass(frozen=True)
class DeviceFit:
    """Fitted constants of a `program_verify` device, and how well they describe the cells.

    constants   key ("device.g_min") , text, SI value, status "fit" or "measured", source with n
    goodness    what was fitted ("programming", "read", ...) -> curve, n, ks_p, ks_p_held_out, bic of every curve tried
    warnings    what the device leaves out, with numbers
    """

    constants: tuple[Constant, ...]
    goodness: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def device(self) -> Cell:
        """The fitted cell. ParameterError where cells were not among what was measured (forming voltages alone)."""
        given: dict[str, Any] = {c.key.removeprefix("device."): c.value for c in self.constants}
        if "g_min" not in given:
            raise ParameterError(
                must("DeviceFit.device", "fitted to cells", "forming voltages alone", "pass both files")
            )
        return Cell(**given)

    def save(self, path: str | Path) -> Path:
        """Write the device as TOML, each constant with unit, status and source, and a table of goodness."""
        path = Path(path)
        lines = ['name = "fitted"', "", "[device]", 'kind = "program_verify"']
        lines += [
            f"{c.key.removeprefix('device.')} = {{ value = {_toml_value(c)}, status = {json.dumps(c.status)}, "
            f"source = {json.dumps(c.source, ensure_ascii=False)} }}"
            for c in self.constants
        ]
        for name, found in self.goodness.items():
            lines += ["", f"[fit.{name}]", *(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in found.items())]
        with written(path) as temporary:
            temporary.write_text("\n".join(lines) + "\n")
        return path

    def __str__(self) -> str:
        lines = []
        for name, found in self.goodness.items():
            lines.append(f"{name}: " + ", ".join(f"{k} {_short(v)}" for k, v in found.items()))
        lines += [f"  {c.key:<28} {c.text:<24} {c.status:<9} {c.source}" for c in self.constants]
        return "\n".join([*lines, *(f"warning: {w}" for w in self.warnings)])


def fit_device(
    path: str | Path, *, unit: str, volts: float | None = None, target: str | None = "target",
    measured: str = "measured", reads: tuple[str, ...] = (), time: str | None = None, voltage: str | None = None,
    forming: str | Path | None = None,
) -> DeviceFit:  # fmt: skip
    """The device that measured cells are.

    path       CSV with a header and one line per cell; or without header, a map of formed cells (0: not formed); or one
               column of forming voltages, with unit "V"
    unit       of conductances ("uS"), resistances ("kohm"), currents ("uA", read at `volts`), or "V"
    target     column of what a cell was programmed to; None: cells were formed, not programmed
    measured   column of what it reads
    reads      columns of repeated reads of each cell, instead of `measured`: their spread is read noise
    time       column of seconds since programming; the earliest lines show programming, later ones relaxation
    voltage    column of read voltages: lines then show how the current departs from G V
    forming    a second file: one column of forming voltages

    Spread curves (independent, proportional, polynomials, lognormal) are fitted by likelihood and chosen by BIC. KS p
    compares standardised deviations with N(0, 1): on the fitted cells, and on every second cell from a fit to the others.
    Raises DatasetError for a file without those columns, with gaps or too few cells; ParameterError for units.
    """
    path = Path(path)
    if unit == "V":
        return _forming(path)
    if is_map(path):
        found = _formed(read_map(path, unit=unit, volts=volts).ravel(), path)
    elif target is None:
        found = _formed(_cells(path, (measured,), unit, volts)[measured], path)
    else:
        found = _programmed(path, unit, volts, target, reads or (measured,), time, voltage)
    return found if forming is None else _merged(found, _forming(Path(forming)))


def _merged(first: DeviceFit, second: DeviceFit) -> DeviceFit:
    return DeviceFit(
        first.constants + second.constants, first.goodness | second.goodness, first.warnings + second.warnings
    )  # fmt: skip


def _cells(path: Path, columns: tuple[str, ...], unit: str, volts: float | None) -> dict[str, np.ndarray]:
    return {name: siemens(values, unit, volts) for name, values in read_table(path, columns).items()}


def _programmed(
    path: Path, unit: str, volts: float | None, target: str, reads: tuple[str, ...], time: str | None,
    voltage: str | None,
) -> DeviceFit:  # fmt: skip
    """Programming error, and what further columns show: read noise, relaxation, conduction."""
    table = _cells(path, (target, *reads), unit, volts)
    aimed, seen = table[target], np.stack([table[name] for name in reads], 1)
    _enough(path, len(aimed))
    extra = read_table(path, tuple(name for name in (time, voltage) if name))
    source = f"{path.name}, n = {len(aimed)}"
    low, high = float(aimed.min()), float(aimed.max())
    if not high > low:
        raise DatasetError(must(f"{path} {target}", "of at least two targets", f"{low:g} S alone"))
    found = DeviceFit(
        (
            _constant("g_min", low, "S", "measured", f"{source}: lowest target"),
            _constant("g_max", high, "S", "measured", f"{source}: highest target"),
            _constant("g_reference", high, "S", "measured", f"{source}: highest target"),
        )
    )
    if voltage:
        found, factor = _conduction(found, aimed, seen, extra[voltage], source)
        seen = seen / factor[:, None]
    early = np.ones(len(aimed), bool) if time is None else extra[time] == extra[time].min()
    mean = seen.mean(1)
    _enough(path, int(early.sum()))
    if np.array_equal(aimed[early], mean[early]):
        raise DatasetError(must(f"{path}", "of measured cells", "cells that equal their targets", "check the columns"))
    tried = _tried(aimed[early], mean[early], high)
    found = _with_curve(found, tried, aimed[early], mean[early], source)
    if len(reads) > 1:
        found = _with_read_noise(found, seen, high, source)
    if time and not early.all():
        found = _with_relaxation(found, tried, aimed, mean, extra[time], source)
    return found


def _enough(path: Path, n: int) -> None:
    if n < FEWEST:
        raise DatasetError(must(f"{path}", f"of at least {FEWEST} cells", n, "measure more"))


def _tried(aimed: np.ndarray, mean: np.ndarray, reference: float) -> list[Fitted]:
    """Every curve of the programming error, best first."""
    also = lognormal(aimed, mean)
    tried = candidates(aimed, mean - aimed, reference) + ([also] if also else [])
    return sorted(tried, key=lambda f: f.bic)


def _with_curve(
    found: DeviceFit, tried: list[Fitted], aimed: np.ndarray, mean: np.ndarray, source: str
) -> DeviceFit:  # fmt: skip
    """The best curve as constants, its goodness, and a warning where deviations have a mean."""
    best = tried[0]
    statistic, p = ks_normal(best.z)
    held = _held_out(best, aimed, mean) if len(aimed) >= 4 * FEWEST else None
    goodness = {
        "curve": best.name, "n": len(best.z), "ks_statistic": statistic, "ks_p": p,
        **({} if held is None else {"ks_p_held_out": held}), **{f"bic {f.name}": f.bic for f in tried},
        "lowest_S": float(aimed.min()), "highest_S": float(aimed.max()),
    }  # fmt: skip
    said = f"{source}: {best.name}, KS p {p:.3g}"
    added = _curve_constants(best, "programming", said)
    bias = float(best.z.mean()) * math.sqrt(len(best.z))
    warning = () if abs(bias) < BIAS_SIGMA else (
        f"programming: deviations have a mean of {float((mean - aimed).mean()):.3g} S ({bias:.1f} standard errors), which the "
        "device leaves out",
    )  # fmt: skip
    poor = () if p > 1e-3 else (f"programming: no curve describes these cells well (KS p {p:.2g})",)
    return DeviceFit(
        found.constants + added, found.goodness | {"programming": goodness}, found.warnings + warning + poor
    )  # fmt: skip


def _held_out(best: Fitted, aimed: np.ndarray, mean: np.ndarray) -> float | None:
    """KS p of every second cell under the same kind of curve fitted to the others; None where those have none."""
    half = [f for f in _tried(aimed[::2], mean[::2], float(aimed.max())) if f.name == best.name]
    return ks_normal(_standardised(half[0], aimed[1::2], mean[1::2]))[1] if half else None


def _standardised(fitted: Fitted, aimed: np.ndarray, mean: np.ndarray) -> np.ndarray:
    if isinstance(fitted.spread, Lognormal):
        return np.log(mean / aimed) / fitted.spread.s
    return (mean - aimed) / np.maximum(fitted.spread.sd(aimed), np.finfo(np.float64).tiny)


def _curve_constants(fitted: Fitted, name: str, source: str) -> tuple[Constant, ...]:
    """A curve as constants of program_verify: {name}_error, {name}_share or lognormal_error."""
    spread, error = fitted.spread, f"{name}_error"
    match spread:
        case Proportional(share):
            return (_constant(f"{name}_share", share, "", "fit", source),)
        case Independent(value):
            return (_constant(error, (value,), "S", "fit", source),)
        case Polynomial(coefficients, _):
            return (_constant(error, coefficients, "S", "fit", source),)
        case Lognormal(s):
            return (_constant("lognormal_error", s, "", "fit", source),)
    raise ParameterError(must("curve", "one that program_verify holds", type(spread).__name__))


def _with_read_noise(found: DeviceFit, seen: np.ndarray, reference: float, source: str) -> DeviceFit:
    """Spread of repeated reads (n, k) around each cell's mean, freed of the mean's own error."""
    k, seen = seen.shape[1], seen[seen.any(1)]  # a cell that reads 0 every time shows no noise
    mean = seen.mean(1, keepdims=True)
    if not (seen - mean).any():
        raise DatasetError(must("reads", "repeated reads", "columns that are equal"))
    # k - 1 of k deviations of a cell are free: turned so that they are independent, each with the spread of one read
    turn = np.linalg.qr(np.column_stack([np.ones(k), np.eye(k)[:, : k - 1]]))[0][:, 1:]
    free = ((seen - mean) @ turn).ravel()
    tried = candidates(np.repeat(mean[:, 0], k - 1), free, reference)
    statistic, p = ks_normal(tried[0].z)
    goodness = {"curve": tried[0].name, "n": free.size, "ks_statistic": statistic, "ks_p": p}
    goodness |= {f"bic {f.name}": f.bic for f in tried}
    added = _curve_constants(tried[0], "read", f"{source}, {k} reads each: {tried[0].name}, KS p {p:.3g}")
    return DeviceFit(found.constants + added, found.goodness | {"read": goodness}, found.warnings)


def _with_relaxation(
    found: DeviceFit, tried: list[Fitted], aimed: np.ndarray, mean: np.ndarray, seconds: np.ndarray, source: str
) -> DeviceFit:  # fmt: skip
    """Mean shift and gained spread at every later time."""
    times, shifts, gained = sorted(set(seconds.tolist()))[1:], [], []
    if min(seconds) < 0:
        raise DatasetError(must("time", "at least 0 s", float(min(seconds))))
    for t in times:
        at = seconds == t
        deviation = mean[at] - aimed[at]
        shifts.append(float(deviation.mean()))
        before = float(np.mean(tried[0].spread.sd(aimed[at]) ** 2))
        gained.append(math.sqrt(max(float(deviation.var()) - before, 0.0)))
    added = (
        _constant("relaxation_times", tuple(times), "s", "measured", source),
        _constant("relaxation_shift", tuple(shifts), "S", "fit", f"{source}: mean deviation at each time"),
        _constant("relaxation_sd", tuple(gained), "S", "fit", f"{source}: spread gained since programming"),
    )
    counts = {"n": int((seconds > seconds.min()).sum()), "last_s": times[-1]}
    return DeviceFit(found.constants + added, found.goodness | {"relaxation": counts}, found.warnings)


def _conduction(
    found: DeviceFit, aimed: np.ndarray, seen: np.ndarray, volts: np.ndarray, source: str
) -> tuple[DeviceFit, np.ndarray]:  # fmt: skip
    """I / (G V) = 1 + excess (V / highest)^2 by least squares of measured / target. -> the fit, and each line's factor."""
    highest = float(np.abs(volts).max())
    if len(set(np.abs(volts).tolist())) < 2 or highest == 0:
        raise DatasetError(must("voltage", "of at least two read voltages", f"{highest:g} V alone"))
    if (aimed == 0).any():
        raise DatasetError(must("target", "above 0 with a voltage column", 0.0))
    u = (volts / highest) ** 2
    level, slope = np.linalg.lstsq(np.stack([np.ones_like(u), u], 1), (seen / aimed[:, None]).mean(1), rcond=None)[0]
    excess = float(slope / level)
    added = (
        _constant("iv_excess", excess, "", "fit", f"{source}: current over G V at the highest voltage, less 1"),
        _constant("iv_voltage", highest, "V", "measured", f"{source}: highest voltage"),
    )
    goodness = {"n": len(u), "highest_V": highest, "excess": excess}
    return DeviceFit(found.constants + added, {"conduction": goodness}), 1 + excess * u


def _formed(g: np.ndarray, path: Path) -> DeviceFit:
    """Cells formed at random: the share that formed, and whether they are lognormal or normal."""
    formed = g[g > 0]
    _enough(path, len(formed))
    source = f"{path.name}, {len(formed)} formed cells of {len(g)}"
    logs = np.log(formed)
    sd, log_sd = float(formed.std()), float(logs.std())
    if np.ptp(formed) == 0:
        raise DatasetError(must(f"{path}", "of measured cells", "cells that are all equal"))
    normal, log_normal = (formed - formed.mean()) / sd, (logs - logs.mean()) / log_sd
    n = len(formed)
    bic = {
        "normal": 2 * math.log(n) + n * (math.log(2 * math.pi) + 1) + 2 * n * math.log(sd),
        "lognormal": 2 * math.log(n) + n * (math.log(2 * math.pi) + 1) + 2 * n * math.log(log_sd) + 2 * logs.sum(),
    }
    chosen = min(bic, key=lambda k: bic[k])
    ks = {"normal": ks_normal(normal)[1], "lognormal": ks_normal(log_normal)[1]}
    cv = sd / float(formed.mean()) if chosen == "normal" else math.sqrt(math.expm1(log_sd**2))
    median = float(formed.mean() if chosen == "normal" else np.exp(logs.mean()))
    said = f"{source}: {chosen}, KS p {ks[chosen]:.3g}"
    constants = (
        _constant("g_min", 0.0, "S", "measured", f"{source}: cells that did not form read 0"),
        _constant("g_max", float(formed.max()), "S", "measured", f"{source}: highest cell"),
        _constant("formed_median", median, "S", "fit", said),
        _constant("formed_cv", cv, "", "fit", said),
        _constant("formed_normal", float(chosen == "normal"), "", "fit", said),
    )
    goodness = {
        "curve": chosen, "n": n, "formed_share": n / len(g), "ks_p": ks[chosen],
        **{f"ks_p {k}": p for k, p in ks.items()}, **{f"bic {k}": float(b) for k, b in bic.items()},
        "lowest_S": float(formed.min()), "highest_S": float(formed.max()),
    }  # fmt: skip
    return DeviceFit(constants, {"formed": goodness})


def _forming(path: Path) -> DeviceFit:
    """One column of forming voltages: a normal forming curve."""
    header = header_of(path)
    if len(header) != 1:
        raise DatasetError(must(f"{path} columns", "one column of forming voltages", ", ".join(header)))
    volts = read_table(path, (header[0],))[header[0]]
    _enough(path, len(volts))
    mean, sd = float(volts.mean()), float(volts.std(ddof=1))
    if np.ptp(volts) == 0 or volts.min() <= 0:
        raise DatasetError(must(f"{path}", "forming voltages above 0 V that differ", f"{volts.min():g} V"))
    statistic, p = ks_normal((volts - mean) / sd)
    source = f"{path.name}, n = {len(volts)}"
    said = f"{source}: normal, KS p {p:.3g}"
    constants = (
        _constant("forming_mean", mean, "V", "fit", said),
        _constant("forming_sd", sd, "V", "fit", said),
        _constant("forming_low", float(volts.min()), "V", "measured", f"{source}: lowest"),
        _constant("forming_high", float(volts.max()), "V", "measured", f"{source}: highest"),
    )
    goodness = {
        "curve": "normal", "n": len(volts), "ks_statistic": statistic, "ks_p": p, "lowest_V": float(volts.min()),
        "highest_V": float(volts.max()),
    }  # fmt: skip
    return DeviceFit(constants, {"forming": goodness})


def _constant(name: str, value: Any, unit: str, status: str, source: str) -> Constant:
    """A constant as it will be written: its value is what its text says."""
    texts = [f"{v:.9g} {unit}".strip() for v in (value if isinstance(value, tuple) else (value,))]
    written = tuple(quantity(text, unit) for text in texts)
    return Constant(
        f"device.{name}", ", ".join(texts), written if isinstance(value, tuple) else written[0], status, source
    )  # fmt: skip


def _toml_value(constant: Constant) -> str:
    """A constant's value as TOML: a number, a text with its unit, or a list of them."""
    parts = constant.text.split(", ")
    shown = [p if " " not in p else json.dumps(p) for p in parts]
    return f"[{', '.join(shown)}]" if isinstance(constant.value, tuple) else shown[0]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
