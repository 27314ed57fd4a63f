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
from spikesim.units import si

from .bank import Bank, drawn_periphery
from .calibration import Calibration, calibration_of
from .chips import Chip
from .crossbar import Crossbar, Programmed
from .drive import WHOLE, Drive
from .macro import Macro
from .patches import Patches
from .placement import physical, placed
from .stored import from_measured, write
from .tally import Survey, Tally
from .wires import LOSS_LIMIT

PLACES = ("crossbar", "digital")
MAPPED = (nn.Linear, nn.Conv1d, nn.Conv2d)
"""Layers that arrays can hold."""
AVERAGES = (nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
CLIPPED_SHARE = 0.01
"""Share of saturated conversions above which a chip warns."""


def deploy(
    network: Network, macro: Macro, *, seeds: Seeds, place: Mapping[str, str] | None = None,
    calibration: Tensor | None = None, measured: Mapping[str, np.ndarray] | None = None,
    scales: Mapping[str, float] | None = None, analog_bits: int = 8, sampled: bool = False,
) -> Chip:  # fmt: skip
    """Program `network` into one chip of `macro`.

    seeds        of this chip: programming errors are drawn here, read noise at every read
    place        {node: "digital"} leaves a linear node outside the arrays
    calibration  inputs (T, B, *shape) that classify drives and set converter ranges; None takes those that conversion
                 kept, spread over time; without any, ranges cover every row at once, and the chip says so
    measured     {node: conductances (rows, columns) in siemens} of real cells (`hardware.read_map`), the cells of an
                 output side by side (pairs: columns 2o and 2o+1), which take the place of programmed ones; they age, fail
                 and are read alike
    scales       {node: weight per siemens} of measured cells whose conductances say what the weights are, as those of cells
                 formed at random do; others aim at the mapping's own targets
    Raises GraphError for a node that is not there or cannot be mapped, ParameterError for weights or calibration
    inputs that are not finite.
    """
    remedies = {
        "network": "spikesim.convert(ann, calibration=inputs)", "macro": 'hardware.load_macro("taox40-projected")',
        "seeds": "spikesim.Seeds(7)",
    }  # fmt: skip
    for name, value, kind in (("network", network, Network), ("macro", macro, Macro), ("seeds", seeds, Seeds)):
        if not isinstance(value, kind):
            got = repr(value) if isinstance(value, (str, int, float, type(None))) else type(value).__name__
            raise ParameterError(must(f"deploy.{name}", f"a {kind.__name__}", got, remedies[name]))
    number("deploy.analog_bits", analog_bits, at_least=1, at_most=16, integer=True)
    chosen = _placed(network, place or {})
    if not chosen:
        raise GraphError(must("deploy.network", "one with a linear or convolution layer on a crossbar", "none"))
    x = calibration_of(network, calibration, seeds, "deploy")
    drives = drives_of(network, chosen, x, analog_bits)
    maps, scale = dict(measured or {}), dict(scales or {})
    for name in sorted(set(maps) - set(chosen)):
        raise GraphError(must("deploy.measured", "of nodes on crossbars", name, nearest(name, chosen)))
    for name in scale:
        if name not in maps:
            raise GraphError(must("deploy.scales", "of nodes with measured cells", name, nearest(name, maps)))
        number(f"deploy.scales[{name}]", scale[name], above=0)
    programmed = {
        n: Programmed(_program(n, network.node(n), macro, drives[n], seeds.child(n), maps.get(n), scale.get(n)))
        for n in chosen
    }
    nodes = {name: node.with_crossbar(sampled=sampled) for name, node in programmed.items()}
    chip, survey = ranged(Chip(network.replaced(nodes), network, macro), x)
    return replace(chip, warnings=_warnings(chip, x, survey))


def sample_chips(network: Network, macro: Macro, n: int, *, seeds: Seeds, **options: Any) -> Iterator[Chip]:
    """Chips 0 to n - 1 of a design, one at a time: chip k is deployed with `seeds.child("chip", k)`."""
    number("sample_chips.n", n, at_least=1, integer=True)
    for k in range(n):
        yield deploy(network, macro, seeds=seeds.child("chip", k), **options)


def _placed(network: Network, place: Mapping[str, str]) -> list[str]:
    """The nodes that go on crossbars."""
    linear = [n for n, m in network.nodes.items() if isinstance(m, MAPPED)]
    for name, where in place.items():
        if name not in linear:
            raise GraphError(must("deploy.place", "of linear and convolution nodes", name, nearest(name, linear)))
        if where not in PLACES:
            raise ParameterError(must(f"deploy.place[{name}]", f"one of {', '.join(PLACES)}", where))
    chosen = [name for name in linear if place.get(name, "crossbar") == "crossbar"]
    for name in chosen:
        module: Any = network.node(name)
        if not isinstance(module, nn.Linear) and not _is_plain(module):
            got = f"{module.padding_mode} padding {module.padding}, kernel {module.kernel_size}"
            rule = "an evenly zero-padded convolution"
            raise GraphError(must(f"network.{name}", rule, got, f'deploy with place={{"{name}": "digital"}}'))
    return chosen


def _is_plain(module: Any) -> bool:
    """Whether the row drivers can unroll a convolution; "same" pads evenly for odd kernels only."""
    even = module.padding == "same" and any(d * (k - 1) % 2 for d, k in zip(module.dilation, module.kernel_size))
    return module.padding_mode == "zeros" and not even


def drives_of(network: Network, chosen: list[str], shown: Calibration | None, bits: int) -> dict[str, Drive]:
    """Each node's drive, from what reaches it when the ideal network runs on the calibration inputs."""
    if shown is None:
        return {name: Drive(0, True) for name in chosen}
    shapes = network.shapes(shown.x[:1])
    return {
        name: _drive(given, _may_be_signed(network, name), _averaged(network, name, shapes), bits)
        for name, given in reaching(network, chosen, shown).items()
    }


def reaching(network: Network, chosen: list[str], shown: Calibration) -> dict[str, Tensor]:
    """Node -> (T, B, *in_shape), what reaches it when `network` runs on the calibration inputs."""
    sources = {name: [e.source for e in network.edges if e.target == name] for name in chosen}
    wanted = {s for found in sources.values() for s in found if s != INPUT}
    with torch.inference_mode():
        _, _, recorded = shown.bound(network)(shown.x, record=wanted)
    seen = {INPUT: shown.x, **recorded}
    return {name: sum(seen[s] for s in sources[name]) for name in chosen}  # type: ignore[misc]


def _averaged(network: Network, name: str, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Over how many values the pools between a node and what it reads take their averages: the least common multiple."""
    most = 1
    for source in {e.source for e in network.edges if e.target == name and not e.delay} - {INPUT}:
        module = network.node(source)
        here = 1
        if isinstance(module, AVERAGES):
            before = [shapes[e.source] for e in network.edges if e.target == source]
            kernel = getattr(module, "kernel_size", None)
            if kernel is None:  # adaptive: exact where it divides the map
                axes = 1 if isinstance(module, nn.AdaptiveAvgPool1d) else 2
                here = math.prod(-(-b // a) for a, b in zip(shapes[source][-axes:], before[0][-axes:]))
            else:
                axes = 1 if isinstance(module, nn.AvgPool1d) else 2
                sides = kernel if isinstance(kernel, tuple) else (kernel,) * axes
                here = getattr(module, "divisor_override", None) or math.prod(sides)
        if not isinstance(module, (Neuron, *MAPPED)):
            most = math.lcm(most, here * _averaged(network, source, shapes))
    return most


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


def _drive(x: Tensor, signed: bool, averaged: int, bits: int) -> Drive:
    signed, largest = signed or bool((x < 0).any()), float(x.abs().max())
    if torch.equal(x, x.round()):
        return Drive(1 if largest <= 1 else 0, signed)
    whole = x * averaged
    if averaged > 1 and bool(((whole - whole.round()).abs() < WHOLE).all()):
        return Drive(0, signed, 1 / averaged, average=True)
    levels = 2**bits - 1
    return Drive(levels, signed, max(largest, math.ulp(1.0)) / levels)


def _program(
    name: str, module: Any, macro: Macro, drive: Drive, seeds: Seeds, measured: np.ndarray | None = None,
    scale: float | None = None,
) -> Crossbar:  # fmt: skip
    weight = module.weight.detach().numpy().astype(np.float64)
    if not np.isfinite(weight).all():
        raise ParameterError(must(f"network.{name}.weight", "finite", float(weight[~np.isfinite(weight)].flat[0])))
    groups = getattr(module, "groups", 1)
    by_pixel = bool(macro.by_pixel) and not isinstance(module, nn.Linear) and groups == 1
    patches = Patches.of(module, by_pixel)
    rows = layer_rows(weight, groups, by_pixel)
    place = placed(len(rows), len(weight), macro, groups=groups, pixels=patches.pixels if by_pixel else 1, node=name)
    laid = macro.mapping.lay(rows, macro.device.g_min, macro.device.g_max)
    targets = physical(laid, place)
    stored = write(targets, macro, place, seeds) if measured is None else from_measured(
        measured, targets.shape, place, seeds, f"deploy.measured[{name}]"
    )  # fmt: skip
    periphery = drawn_periphery(macro, place, seeds)
    lsb = np.zeros(periphery.gain.shape, np.float32)
    small = replace(laid, targets=targets[:0], reference=None, scale=laid.scale if scale is None else scale)
    bank = Bank(macro, *stored.seen(macro), small, place, lsb, periphery)
    bias = np.zeros(len(weight), np.float32) if module.bias is None else module.bias.detach().numpy().astype(np.float32)
    return Crossbar(bank, patches, drive, bias, seeds.child("read"), stored, groups)


def layer_rows(weight: np.ndarray, groups: int, by_pixel: bool) -> np.ndarray:
    """Weights (n_out, C, *kernel) as layer rows (rows, outputs of a group), in the order of `placement`."""
    flat = weight.reshape(len(weight), weight.shape[1], -1)
    if by_pixel:
        flat = flat.swapaxes(1, 2)
    return flat.reshape(groups, len(weight) // groups, -1).transpose(0, 2, 1).reshape(-1, len(weight) // groups)


def ranged(chip: Chip, x: Calibration | None) -> tuple[Chip, Survey]:
    """The chip with converter ranges set on calibration inputs, read with no noise and no conversion before; None:
    every row at once. And what was seen on the way."""
    survey, banks = Survey(percentile=chip.macro.adc.percentile), {n: c.bank for n, c in chip.crossbars.items()}
    if x is not None:
        open_ = {name: replace(bank, lsb=np.zeros_like(bank.lsb)) for name, bank in banks.items()}
        _shown(_with_banks(chip, open_), x, survey)
    return _with_banks(chip, {n: bank.calibrated(survey.largest(n, bank)) for n, bank in banks.items()}), survey


def _with_banks(chip: Chip, banks: Mapping[str, Bank]) -> Chip:
    nodes: dict[str, Any] = {name: chip.network.node(name) for name in banks}
    made = {name: node.with_crossbar(bank=banks[name]) for name, node in nodes.items()}
    return replace(chip, network=chip.network.replaced(made))


def _shown(chip: Chip, x: Calibration, tally: Tally) -> None:
    """Run the calibration inputs through the chip without read noise."""
    with torch.inference_mode():
        replace(chip, network=x.bound(chip.network)).watched(tally, quiet=True)(x.x)


def _warnings(chip: Chip, x: Calibration | None, survey: Survey) -> tuple[str, ...]:
    """What may not work on this chip: no calibration; wires, amplifiers and converters out of their depth on its inputs."""
    said, macro = list(chip.macro.device.warnings), chip.macro
    if x is None:
        return (*said, "no calibration inputs: converter ranges cover all rows at once, which wastes most codes")
    for node, share in survey.lost().items():
        if share > LOSS_LIMIT:
            said.append(
                f"{node}: wires lose {100 * share:.2g} % of its column currents; use smaller arrays or lower conductances"
            )
    for node, crossbar in chip.crossbars.items():
        largest = float(survey.largest(node, crossbar.bank).max()) * macro.v_read
        if macro.i_max and largest > macro.i_max:
            rule = f"{si(largest, 'A')} in a column, {si(macro.i_max, 'A')} is what its amplifier takes"
            said.append(f"{node}: {rule}; use smaller arrays or a lower read voltage")
    adc = macro.adc
    if adc.headroom >= 1 and adc.percentile == 100 and not macro.i_max and _even(chip):
        return tuple(said)  # nothing is above the largest current met
    tally = Tally()
    _shown(chip, x, tally)
    return (*said, *clipping_warnings(tally))


def _even(chip: Chip) -> bool:
    """Whether all converters of a chip are alike."""
    parts = [c.bank.periphery for c in chip.crossbars.values()]
    return not any((p.gain != 1).any() or p.offset.any() or p.capacitors.size for p in parts)


def clipping_warnings(tally: Tally) -> tuple[str, ...]:
    """A sentence for every node of which more than 1 % of the conversions saturate."""
    return tuple(
        f"{node}: {100 * share:.2g} % of its conversions saturate; raise adc.headroom or deploy with such inputs"
        for node, share in tally.clipped_share().items()
        if share > CLIPPED_SHARE
    )
