"""The zoo of fifteen strangers at full size: converted or not, by us and by SpikingJelly, and how far from their ANNs.

Each network has random weights (seed 0), and then weights trained for a minute's worth of steps on blurred noise with
labels of a random teacher. Thresholds come from the inputs that are measured on, so nothing is clipped and what is left
falls with T. All T of ours are taken from one run: without `steps` a network does not depend on T.
`.venv-peers/bin/python -m benchmarks zoo`, which goes on where it was interrupted; ZOO=name,name measures some.
"""

from __future__ import annotations

import copy
import os
import re
import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import spikesim as ss
from benchmarks.harness import resumed
from benchmarks.zoo_models import ZOO, Entry
from spikesim.conversion import Recipe

STEPS = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
SLOPE_FROM = 64
CONVERTERS = (
    ("spikesim", "signed"), ("spikesim", "max"), ("SpikingJelly", "99.9%"), ("SpikingJelly", "max"),
    ("SpikingJelly", "ltb"),
)  # fmt: skip
"""Whose converter, which of its recipes."""


def measure() -> list[dict[str, Any]]:
    """Rows {network, weights, converter, recipe, steps, relative_error, slope, neurons, error}."""
    return resumed("zoo", cases(os.environ.get("ZOO", ",".join(ZOO)).split(",")), row_of)


def cases(names: Iterable[str], width: int = 2, samples: int = 16) -> list[dict[str, Any]]:
    """Every network with random and with trained weights, by every converter."""
    return [
        {"network": name, "weights": weights, "width": width, "samples": samples, "converter": whose, "recipe": recipe}
        for name in names
        for weights in weights_of(name)
        for whose, recipe in CONVERTERS
    ]


def weights_of(name: str) -> tuple[str, ...]:
    """Random weights, and trained ones; a file is not trained."""
    return ("random",) if name == "onnx_mnist8" else ("random", "trained")


def row_of(case: dict[str, Any], steps: tuple[int, ...] = STEPS) -> dict[str, Any]:
    """One converter on one network."""
    ann, x, wanted = subject(case["network"], case["weights"], case["width"], case["samples"])
    lossless = {"lossless": ZOO[case["network"]].lossless}
    if case["converter"] == "spikesim":
        return lossless | ours(ann, x, wanted, case["recipe"], steps)
    return lossless | spikingjelly(ann, x, wanted, case["recipe"])


@lru_cache(maxsize=1)
def subject(name: str, weights: str, width: int, samples: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A network in eval mode, inputs, and its answers."""
    entry = ZOO[name]
    ann = entry.network(width)
    if weights == "trained":
        trained(ann, entry)
    x = entry.inputs(samples, seed=2)
    with torch.no_grad():
        return ann, x, ann(x)


def trained(ann: nn.Module, entry: Entry, batches: int = 20) -> None:
    """A few steps of Adam towards a random linear teacher's answers, in place; ends in eval mode."""
    torch.manual_seed(3)
    x = entry.inputs(128, seed=4)
    teacher = torch.randn(x[0].numel(), 10)
    labels = (x.flatten(1) @ teacher).argmax(1)
    optimiser = torch.optim.Adam(ann.parameters(), 1e-3)
    ann.train()
    for i in range(batches):
        rows = slice(32 * (i % 4), 32 * (i % 4) + 32)
        y = ann(x[rows])
        image = y.ndim > 2  # then towards the input's first channel
        loss = functional.mse_loss(y[:, 0], x[rows, 0]) if image else functional.cross_entropy(y, labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    ann.eval()


def ours(ann: nn.Module, x: Tensor, wanted: Tensor, recipe: str | Recipe, steps: tuple[int, ...]) -> dict[str, Any]:
    """Our converter's error at each T, and its slope from `SLOPE_FROM` on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        snn, report = ss.convert(ann, calibration=x, recipe=recipe)
    sums = ss.run(snn, x, steps=max(steps)).output.double().cumsum(0)
    found = {t: relative(sums[t - 1] / t, wanted) for t in steps}
    late = [t for t in steps if t >= SLOPE_FROM]
    slope = float(np.polyfit(np.log(late), np.log([found[t] for t in late]), 1)[0]) if len(late) > 1 else None
    return {
        "converted": True, "neurons": len(report.layers),
        "float_operators": len(report.float_operators), "relative_error": {str(t): v for t, v in found.items()},
        "slope": slope,
    }  # fmt: skip


def spikingjelly(ann: nn.Module, x: Tensor, wanted: Tensor, recipe: str, steps: int = 32) -> dict[str, Any]:
    """SpikingJelly's result on the same network, or what it says; absent where it is not installed."""
    try:
        from benchmarks.agreement import stubs

        stubs.register()
        from spikingjelly.activation_based import ann2snn
        from spikingjelly.activation_based import functional as state
    except ImportError as error:
        return {"converted": None, "error": f"not installed ({error})"}
    loader = [(x, torch.zeros(len(x)))]
    try:
        if recipe == "ltb":
            chosen = ann2snn.LocalThresholdBalancingRecipe(dataloader=loader)
        else:
            chosen = ann2snn.RateCodingRecipe(dataloader=loader, mode=recipe)
        snn = ann2snn.Converter(chosen).convert(copy.deepcopy(ann))
        with torch.no_grad():
            state.reset_net(snn)
            mean = sum(snn(x) for _ in range(steps)) / steps
    except Exception as error:  # whatever a peer says to a stranger's model is the result
        said = re.sub(r" at 0x\w+", "", (str(error).strip().splitlines() or [""])[0])[:120]
        return {"converted": False, "error": f"{type(error).__name__}: {said}"}
    return {"converted": True, "relative_error": {str(steps): relative(mean, wanted)}}


def relative(got: Tensor, wanted: Tensor) -> float:
    """|got - wanted| / |wanted|."""
    return float((got - wanted).norm() / wanted.norm())
