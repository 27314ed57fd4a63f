"""deploy: a network's weights programmed into the arrays of one emulated chip, which then runs like the network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikesim.core.params import number
from spikesim.core.seeds import Seeds
from spikesim.errors import GraphError, ParameterError, must, nearest
from spikesim.layers import CumulativeMaxPool2d
from spikesim.network import INPUT, Network
from spikesim.neurons import Neuron, SignedIF

from .chips import Chip
from .crossbar import Crossbar, Drive, Patches, Programmed, Tally
from .macro import Macro
from .mappings.differential import DifferentialPair
from .stored import from_measured, write

PLACES = ("crossbar", "digital")
ANALOG_LEVELS = 255
"""Levels of an analog input: 8 bits, bit-serial."""
CLIPPED_SHARE = 0.01
"""Share of saturated conversions above which a chip warns."""
CALIBRATION_STEPS = 16
"""Steps over which stored calibration inputs are spread when the network is not bound to a number of steps."""


def deploy(
    network: Network, macro: Macro, *, seeds: Seeds, place: Mapping[str, str] | None = None,
    calibration: Tensor | None = None, measured: Mapping[str, np.ndarray] | None = None,
) -> Chip:  # fmt: skip
    """Program `network` into one chip of `macro`.

    seeds        of this chip: programming errors are drawn here, read noise at every read
    place        {node: "digital"} leaves a linear node outside the arrays
    calibration  inputs (T, B, *shape) that classify drives and set converter ranges; None takes those that conversion
                 kept, spread over time; without any, ranges cover every row at once, and the chip says so
    measured     {node: conductances (rows, 2 n_out) in siemens} of real cells (`hardware.read_map`), columns 2o and
                 2o+1 the pair of output o, which take the place of programmed ones; they age, fail and are read alike
    Raises GraphError for a node that is not there or cannot be mapped, ParameterError for weights or calibration
    inputs that are not finite.
    """
    for name, value, kind in (("macro", macro, Macro), ("seeds", seeds, Seeds)):
        if not isinstance(value, kind):
            remedy = 'hardware.load_macro("taox40-projected")' if name == "macro" else "spikesim.Seeds(7)"
            raise ParameterError(must(f"deploy.{name}", f"a {kind.__name__}", repr(value), remedy))
    chosen = _placed(network, place or {})
    if not chosen:
        raise GraphError(must("deploy.network", "one with a linear or convolution layer on a crossbar", "none"))
    x = _calibration_input(network, calibration, seeds)
    drives = _drives(network, chosen, x)
    maps = dict(measured or {})
    for name in set(maps) - set(chosen):
        raise GraphError(must("deploy.measured", "of nodes on crossbars", name, nearest(name, chosen)))
    programmed = {
        n: Programmed(_program(n, network.node(n), macro, drives[n], seeds.child(n), maps.get(n))) for n in chosen
    }
    chip = Chip(network.replaced(programmed), network, macro)
    ranges = _ranges(chip, x)
    nodes = {name: node.with_crossbar(lsb=macro.adc.lsb(ranges[name])) for name, node in programmed.items()}
    chip = replace(chip, network=network.replaced(nodes))
    return replace(chip, warnings=_warnings(chip, x))


def sample_chips(network: Network, macro: Macro, n: int, *, seeds: Seeds, **options: Any) -> Iterator[Chip]:
    """Chips 0 to n - 1 of a design, one at a time: chip k is deployed with `seeds.child("chip", k)`."""
    number("sample_chips.n", n, at_least=1, integer=True)
    for k in range(n):
        yield deploy(network, macro, seeds=seeds.child("chip", k), **options)


def _placed(network: Network, place: Mapping[str, str]) -> list[str]:
    """The nodes that go on crossbars."""
    linear = [n for n, m in network.nodes.items() if isinstance(m, (nn.Linear, nn.Conv2d))]
    for name, where in place.items():
        if name not in linear:
            raise GraphError(must("deploy.place", "of linear and convolution nodes", name, nearest(name, linear)))
        if where not in PLACES:
            raise ParameterError(must(f"deploy.place[{name}]", f"one of {', '.join(PLACES)}", where))
    chosen = [name for name in linear if place.get(name, "crossbar") == "crossbar"]
    for name in chosen:
        module: Any = network.node(name)
        if isinstance(module, nn.Conv2d) and not _is_plain(module):
            got = f"groups {module.groups}, dilation {module.dilation}, {module.padding_mode} padding {module.padding}"
            rule = "an ungrouped, undilated, evenly zero-padded convolution"
            raise GraphError(must(f"network.{name}", rule, got, f'deploy with place={{"{name}": "digital"}}'))
    return chosen


def _is_plain(module: nn.Conv2d) -> bool:
    """Whether the row drivers can unroll a convolution; "same" pads evenly for odd kernels only."""
    even = module.padding == "same" and any(k % 2 == 0 for k in module.kernel_size)
    return module.groups == 1 and module.dilation == (1, 1) and module.padding_mode == "zeros" and not even


def _calibration_input(network: Network, given: Tensor | None, seeds: Seeds) -> Tensor | None:
    """(T, B, *shape): the given inputs, or the kept ones over time: whole counts split over the steps, others repeated."""
    if given is not None:
        x = torch.as_tensor(given).float()
        if not torch.isfinite(x).all():
            raise ParameterError(must("deploy.calibration", "finite", float(x[~torch.isfinite(x)][0])))
        return x
    kept = network.calibration
    if kept is None:
        return None
    steps = (network.conversion.steps if network.conversion else None) or CALIBRATION_STEPS
    if not torch.equal(kept, kept.round()) or bool((kept < 0).any()):
        return kept.expand(steps, *kept.shape).contiguous()
    counts = kept.numpy().astype(np.int64)
    generator = seeds.child("calibration").generator()
    split = generator.multinomial(counts.ravel(), np.full(steps, 1 / steps)).T
    return torch.from_numpy(split.reshape(steps, *counts.shape).astype(np.float32))


def _bound(network: Network, steps: int) -> Network:
    unbound = network.conversion is not None and network.conversion.steps is None
    return network.bound(steps) if unbound else network


def _drives(network: Network, chosen: list[str], x: Tensor | None) -> dict[str, Drive]:
    """Each node's drive, from what reaches it when the ideal network runs on the calibration inputs."""
    if x is None:
        return {name: Drive(0, True) for name in chosen}
    sources = {name: [e.source for e in network.edges if e.target == name] for name in chosen}
    wanted = {s for found in sources.values() for s in found if s != INPUT}
    with torch.inference_mode():
        _, _, recorded = _bound(network, len(x))(x, record=wanted)
    seen = {INPUT: x, **recorded}
    return {
        name: _drive(sum(seen[s] for s in sources[name]), _may_be_signed(network, name))  # type: ignore[arg-type]
        for name in chosen
    }


def _may_be_signed(network: Network, name: str) -> bool:
    """Whether what reaches a node comes from neurons or pools that say -1, if only rarely."""
    waiting, seen = [name], set[str]()
    while waiting:
        at = waiting.pop()
        for source in {e.source for e in network.edges if e.target == at} - seen - {INPUT}:
            module = network.node(source)
            if isinstance(module, (SignedIF, CumulativeMaxPool2d)):
                return True
            seen.add(source)
            if not isinstance(module, Neuron):
                waiting.append(source)
    return False


def _drive(x: Tensor, signed: bool) -> Drive:
    signed, largest = signed or bool((x < 0).any()), float(x.abs().max())
    if not torch.equal(x, x.round()):
        return Drive(ANALOG_LEVELS, signed, max(largest, math.ulp(1.0)) / ANALOG_LEVELS)
    return Drive(1 if largest <= 1 else 0, signed)


def _program(
    name: str, module: Any, macro: Macro, drive: Drive, seeds: Seeds, measured: np.ndarray | None = None
) -> Crossbar:  # fmt: skip
    weight = module.weight.detach().numpy().astype(np.float64)
    if not np.isfinite(weight).all():
        raise ParameterError(must(f"network.{name}.weight", "finite", float(weight[~np.isfinite(weight)].flat[0])))
    rows = weight.reshape(len(weight), -1).T  # (C kh kw, n_out)
    positive, negative, scale = DifferentialPair(macro.device.g_min, macro.device.g_max).conductances(rows)
    targets = np.stack([positive, negative], 2).reshape(len(rows), -1)
    stored = write(targets, macro, seeds) if measured is None else from_measured(
        measured, targets.shape, seeds, f"deploy.measured[{name}]"
    )  # fmt: skip
    cells = stored.conductances(macro)
    patches = Patches()
    if isinstance(module, nn.Conv2d):
        patches = Patches(module.kernel_size, module.stride, _padding(module), True)  # type: ignore[arg-type]
    bias = np.zeros(len(weight), np.float32) if module.bias is None else module.bias.detach().numpy().astype(np.float32)
    lsb = np.zeros(-(-rows.shape[0] // macro.rows), np.float32)
    return Crossbar(macro, patches, drive, cells, scale, bias, lsb, seeds.child("read"), stored=stored)


def _padding(module: nn.Conv2d) -> tuple[int, int]:
    """Padding in pixels per axis."""
    if not isinstance(module.padding, str):
        return module.padding  # type: ignore[return-value]
    ky, kx = module.kernel_size
    return (0, 0) if module.padding == "valid" else (ky // 2, kx // 2)


def _ranges(chip: Chip, x: Tensor | None) -> dict[str, np.ndarray]:
    """The largest column current expected in each row tile (siemens), with no noise and no conversion before it."""
    crossbars = chip.crossbars
    if x is None:
        return {name: _all_rows(crossbar) for name, crossbar in crossbars.items()}
    tally = Tally()
    _shown(chip, x, tally)
    return {name: np.where(top > 0, top, _all_rows(crossbars[name])) for name, top in tally.largest.items()}


def _shown(chip: Chip, x: Tensor, tally: Tally) -> None:
    """Run the calibration inputs through the chip without read noise."""
    with torch.inference_mode():
        replace(chip, network=_bound(chip.network, len(x))).watched(tally, quiet=True)(x)


def _warnings(chip: Chip, x: Tensor | None) -> tuple[str, ...]:
    """What may not work on this chip: no calibration; converters that saturate on the calibration inputs."""
    said = chip.macro.device.warnings
    if x is None:
        return (*said, "no calibration inputs: converter ranges cover all rows at once, which wastes most codes")
    if chip.macro.adc.headroom >= 1:  # nothing is above the largest current met
        return said
    tally = Tally()
    _shown(chip, x, tally)
    return (*said, *clipping_warnings(tally))


def clipping_warnings(tally: Tally) -> tuple[str, ...]:
    """A sentence for every node of which more than 1 % of the conversions saturate."""
    return tuple(
        f"{node}: {100 * share:.2g} % of its conversions saturate; raise adc.headroom or deploy with such inputs"
        for node, share in tally.clipped_share().items()
        if share > CLIPPED_SHARE
    )


def _all_rows(crossbar: Crossbar) -> np.ndarray:
    """The current with every row of an array driven: the most there can be."""
    starts = range(0, len(crossbar.g), crossbar.macro.rows)
    return np.array([crossbar.g[s : s + crossbar.macro.rows].sum(0).max() for s in starts], np.float32)
