"""in_the_loop: a network that trains on emulated arrays: reads forward, the ideal layer's gradient back.

    y = read(cells of w, x) + b                       forward, with programming errors, noise and conversion
    dL/dx, dL/dw = those of the ideal layer with the weights that the cells stand for       straight through

Weights stay the network's own parameters, with their names. Every forward pass of training programs them anew:

    refresh "batch"   into another chip for each pass               "chip"   into the same chip, whose errors stay the same
            "step"    into another chip for each time step

Passes are counted in a buffer, so that a run that is resumed draws what it would have drawn; in `eval()` the chip is
always the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from spikesim.core.operator import Context
from spikesim.core.seeds import Seeds
from spikesim.errors import ParameterError, must
from spikesim.network import Network

from .bank import Bank
from .crossbar import Crossbar
from .deployment import deploy, layer_rows
from .macro import Macro
from .placement import physical
from .stored import write

REFRESH = ("batch", "step", "chip")


def in_the_loop(
    network: Network, macro: Macro, *, seeds: Seeds, calibration: Tensor | None = None, refresh: str = "batch",
    place: Mapping[str, str] | None = None, analog_bits: int = 8,
) -> Network:  # fmt: skip
    """`network` with its linear nodes on arrays of `macro`, ready to train; parameters are copies with the same names.

    calibration, place, analog_bits   as `deploy`: drives and converter ranges are set once, with the weights of now
    refresh                           see above
    When it has learned, `network.load_state_dict(loop.state_dict(), strict=False)` takes the weights back.
    Raises what `deploy` raises.
    """
    if refresh not in REFRESH:
        raise ParameterError(must("in_the_loop.refresh", f"one of {', '.join(REFRESH)}", refresh))
    chip = deploy(network, macro, seeds=seeds, calibration=calibration, place=place, analog_bits=analog_bits)
    nodes = {
        name: InTheLoop(network.node(name), crossbar, seeds.child(name), refresh)
        for name, crossbar in chip.crossbars.items()
    }
    return network.replaced(nodes)


class InTheLoop(nn.Module):
    """A linear or convolution node whose forward pass is a crossbar's; see the module."""

    passes: Tensor

    def __init__(self, layer: Any, crossbar: Crossbar, seeds: Seeds, refresh: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(layer.weight.detach().clone())
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().clone())
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))
        self._crossbar, self._seeds, self._refresh = crossbar, seeds, refresh

    @property
    def operator(self) -> InTheLoop:
        """Itself: `apply` looks at the weights of the moment."""
        return self

    scatters = False

    def row_fanout(self) -> np.ndarray:
        """As the crossbar's."""
        return self._crossbar.row_fanout()

    def apply_events(self, ptr: np.ndarray, idx: np.ndarray, val: np.ndarray | None, ctx: Context) -> Tensor:
        """As the crossbar's, of the chip of `eval()`: index lists carry no gradient."""
        return self._programmed(0)[0].apply_events(ptr, idx, val, ctx)

    def apply(self, x: Tensor, ctx: Context) -> Tensor:  # type: ignore[override]
        """x (T, B, *in_shape) -> (T, B, *out_shape), with the gradient of the ideal layer."""
        number = 0
        if self.training and torch.is_grad_enabled():
            self.passes += 1
            number = int(self.passes)
        if self._refresh == "step" and number:
            parts = [self._read(x[t : t + 1], replace(ctx, step0=ctx.step0 + t), number, t + 1) for t in range(len(x))]
            y = torch.cat(parts)
        else:
            y = self._read(x, ctx, number, 0)
        if self.bias is None:
            return y
        return y + self.bias.reshape(-1, *(1,) * self._crossbar.patches.axes)

    def _read(self, x: Tensor, ctx: Context, number: int, step: int) -> Tensor:
        crossbar, stood = self._programmed(number, step)
        read = crossbar.apply(x.detach(), ctx)
        weight = _Instead.apply(self.weight, stood.to(self.weight))
        flat, axes = x.flatten(0, 1), self._crossbar.patches.axes
        patches, groups = self._crossbar.patches, self._crossbar.groups
        if not axes:
            ideal = functional.linear(flat, weight)
        else:
            convolve: Any = functional.conv1d if axes == 1 else functional.conv2d
            sides = (p[2 - axes :] for p in (patches.stride, patches.padding, patches.dilation))
            ideal = convolve(flat, weight, None, *sides, groups)
        return _Instead.apply(ideal.unflatten(0, x.shape[:2]), read)  # type: ignore[no-any-return]

    def _programmed(self, number: int, step: int = 0) -> tuple[Crossbar, Tensor]:
        """The crossbar that pass `number` reads, and the weights its cells stand for, in the shape of the layer's."""
        base = self._crossbar
        macro, place = base.macro, base.bank.placement
        weight = self.weight.detach().cpu().numpy().astype(np.float64)
        rows = layer_rows(weight, base.groups, base.patches.by_pixel)
        laid = macro.mapping.lay(rows, macro.device.g_min, macro.device.g_max)
        own = self._seeds if not number else self._seeds.child("pass", number, step)
        chip = self._seeds if self._refresh == "chip" else own
        stored = write(physical(laid, place), macro, place, chip)
        g, sd = stored.seen(macro)
        bank = replace(base.bank, g=g, sd=sd, laid=replace(laid, targets=laid.targets[:0], reference=None))
        bias = np.zeros(len(weight), np.float32)
        crossbar = replace(base, bank=bank, bias=bias, seeds=own.child("read"), stored=stored)
        return crossbar, torch.from_numpy(stood_for(bank, base, weight.shape))


def stood_for(bank: Bank, crossbar: Crossbar, shape: tuple[int, ...]) -> np.ndarray:
    """The weights that a layer's cells stand for before noise and conversion, (n_out, C, *kernel)."""
    groups, pixels = crossbar.groups, crossbar.patches.pixels
    flat = bank.weights.reshape(groups, -1, bank.placement.outputs).transpose(0, 2, 1)
    if crossbar.patches.by_pixel:
        flat = flat.reshape(shape[0], pixels, -1).swapaxes(1, 2)
    return flat.reshape(shape)


class _Instead(torch.autograd.Function):
    """Forward the second value, back to the first: straight through whatever made the one of the other."""

    @staticmethod
    def forward(ctx: Any, exact: Tensor, value: Tensor) -> Tensor:
        return value.to(exact)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0], None
