"""Summary statistics of the published cells of the 40 nm TaOx chip family, and of what fit_device makes of them.

    python -m benchmarks.device_cells --data DIR

DIR holds breakdown_voltage_V.csv, weight_map_input_50x8.csv and weight_map_hidden_50x50.csv (S. Wang et al., Nature
Machine Intelligence 5, 2023; unit of the maps not labelled). Writes benchmarks/results/device_cells.json, which
tests/published holds the device to where the data are not there.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from spikesim.core.files import write_json

RESULT = Path(__file__).parent / "results" / "device_cells.json"
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
MAPS = ("weight_map_input_50x8", "weight_map_hidden_50x50")


def summary(folder: Path) -> dict[str, Any]:
    """Statistics of the three files; KS p of normal and lognormal with mean and deviation of the same cells."""
    from scipy.stats import kstest, skew

    volts = np.loadtxt(folder / "breakdown_voltage_V.csv", skiprows=1)
    maps = [np.loadtxt(folder / f"{name}.csv", delimiter=",") for name in MAPS]
    cells = np.concatenate([m.ravel() for m in maps])
    formed = cells[cells > 0]
    logs = np.log(formed)
    both = [(m[:, :-1] > 0) & (m[:, 1:] > 0) for m in maps]
    left = np.concatenate([m[:, :-1][b] for m, b in zip(maps, both)])
    right = np.concatenate([m[:, 1:][b] for m, b in zip(maps, both)])
    return {
        "source": "github.com/wangsc1912/ESGNN, data/experimental_data (MIT); unit of the maps not labelled",
        "forming_voltage_V": {
            "n": len(volts), "mean": float(volts.mean()), "sd": float(volts.std(ddof=1)), "min": float(volts.min()),
            "max": float(volts.max()), "median": float(np.median(volts)), "skew": float(skew(volts)),
            "formed_at": {f"{v}": float((volts <= v + 1e-9).mean()) for v in (3.3, 3.4, 3.5, 3.6, 3.7)},
            "ks_p_normal_3.433_0.1144": float(kstest(volts, "norm", args=(3.433, 0.1144)).pvalue),
        },
        "cells": {
            "n": len(cells), "n_formed": len(formed), "zeros": float((cells == 0).mean()), "mean": float(formed.mean()),
            "sd": float(formed.std()), "cv": float(formed.std() / formed.mean()), "skew": float(skew(formed)),
            "ks_p_lognormal": float(kstest(logs, "norm", args=(logs.mean(), logs.std())).pvalue),
            "ks_p_normal": float(kstest(formed, "norm", args=(formed.mean(), formed.std())).pvalue),
            "neighbour_correlation": float(np.corrcoef(left, right)[0, 1]),
            "quantiles_over_median": {
                f"{q}": float(np.quantile(formed, q) / np.median(formed)) for q in QUANTILES
            },
        },
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    found = summary(parser.parse_args().data)
    write_json(RESULT, found)
    print(RESULT)


if __name__ == "__main__":
    main()
