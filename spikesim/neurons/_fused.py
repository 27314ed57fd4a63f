"""The operation torch sees: the neuron's whole time loop as one, forward and backward.

An autograd function, and where torch compiles a custom operation, `torch.ops.spikesim.lif`, with a fake kernel and a registered
gradient: the first call of that imports torch's compiler (two seconds), later ones cost 50 microseconds more than the function.
Read `_membrane.py` for the equation and `_membrane_backward.py` for its adjoint.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.derivative import first_only
from ..core.streaming import goes_past
from ._membrane import Coefficients, bits_kernel, run_kernel
from ._membrane_backward import Rule, backward_kernel
from ._sixteen import SLOPED
from ._streamed import fits, packed_kernel, streamed_backward_kernel, streamed_kernel

_SCHEMA = (
    "(Tensor x, Tensor v, Tensor leak, Tensor gain, Tensor bias, Tensor threshold, Tensor scale, Tensor shift,"
    " bool gated, int code, float height, float rate, bool detach) -> (Tensor, Tensor)"
)
_BACK_SCHEMA = (
    "(Tensor grads, Tensor x, Tensor v, Tensor carry, Tensor leak, Tensor gain, Tensor bias, Tensor threshold,"
    " Tensor scale, Tensor shift, bool gated, bool learn, int code, float height, float rate, bool detach)"
    " -> (Tensor, Tensor, Tensor)"
)

How = tuple[bool, int, float, float, bool]
"""Gated or not, the surrogate's code, height and rate, whether the reset carries no gradient."""


def _coefficients(numbers: tuple[Tensor, ...], dtype: np.dtype) -> Coefficients:
    """Scalars for coefficients of one element (the fast kernels), rows for one value per neuron."""
    return Coefficients(*(dtype.type(n.item()) if n.numel() == 1 else _row(n, dtype) for n in numbers))


def _row(n: Tensor, dtype: np.dtype) -> np.ndarray:
    return np.ascontiguousarray(n.detach().numpy(), dtype)


def _flat(x: Tensor, c: Coefficients) -> np.ndarray:
    """(..., B, N) as numpy; with scalar coefficients B joins N, so that blocks are long."""
    array = x.detach().contiguous().numpy()
    if any(isinstance(k, np.ndarray) for k in c):
        return array
    return array.reshape(*array.shape[:-2], 1, array.shape[-2] * array.shape[-1])


def _run(x: np.ndarray, v: np.ndarray, c: Coefficients, gated: bool, spikes: np.ndarray) -> None:
    """x and spikes (T, B, N), v (B, N) in and out: the kernel for these arrays."""
    if fits(x):
        streamed_kernel(x, v, c, gated, goes_past(x, spikes), spikes)
    else:
        run_kernel(x, v, c, gated, spikes)


def run_into(x: Tensor, v: Tensor, numbers: Coefficients, gated: bool, out: Tensor) -> Tensor:
    """Spikes of x (T, B, *shape) into `out`: as x, or bits (T, B, words) uint64. -> the last membrane (B, *shape)"""
    steps, batch, *shape = x.shape
    rows = (n.detach() if n.numel() == 1 else n.detach().expand(shape).reshape(-1) for n in numbers)
    c, last = _coefficients(tuple(rows), x.numpy().dtype), v.detach().clone().contiguous()
    if out.dtype == torch.uint64:
        drive, membrane, bits = x.view(steps, batch, -1).numpy(), last.view(batch, -1).numpy(), out.numpy()
        run = packed_kernel if fits(drive) else bits_kernel
        run(drive, membrane, c, gated, bits)
    else:
        parts = (x.view(steps, batch, -1), last.view(batch, -1), out.view(steps, batch, -1))
        drive, membrane, spikes = (_flat(part, c) for part in parts)
        _run(drive, membrane, c, gated, spikes)
    return last


def _fired(x: Tensor, v: Tensor, c: Coefficients, gated: bool) -> tuple[Tensor, Tensor]:
    """Spikes (T, B, N) and last membrane (B, N) of neurons driven by x."""
    spikes, last = torch.empty_like(x, memory_format=torch.contiguous_format), v.detach().clone().contiguous()
    if x.numel():
        _run(_flat(x, c), _flat(last, c), c, gated, _flat(spikes, c))
    return spikes, last


def _op_fired(x, v, leak, gain, bias, threshold, scale, shift, gated, code, height, rate, detach):  # type: ignore[no-untyped-def]
    c = _coefficients((leak, gain, bias, threshold, scale, shift), x.detach().numpy().dtype)
    return _fired(x, v, c, gated)


_op = torch.library.custom_op("spikesim::lif", _op_fired, mutates_args=(), device_types="cpu", schema=_SCHEMA)


@_op.register_fake
def _(x, v, leak, gain, bias, threshold, scale, shift, gated, code, height, rate, detach):  # type: ignore[no-untyped-def]
    return torch.empty_like(x), torch.empty_like(v)


def _returned(
    grads: Tensor, x: Tensor, v: Tensor, carry: Tensor, c: Coefficients, learn: bool, how: How
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients at the drive (T, B, N), at the first membrane (B, N), and sums (4, B, N) for the coefficients."""
    gated, code, height, rate, detach = how
    kind = grads.detach().numpy().dtype.type
    rule = Rule(gated, kind(not detach), code, kind(height), kind(rate), kind(0), kind(1))
    drive, flow = torch.empty_like(grads, memory_format=torch.contiguous_format), carry.clone().contiguous()
    sums = grads.new_zeros((4 if learn else 0, *v.shape))
    if grads.numel():
        g, drawn, first, carried = (_flat(part, c) for part in (grads, x, v, flow))
        if fits(g) and code in SLOPED and not learn and not gated:
            streamed_backward_kernel(g, drawn, first, carried, c, rule, _flat(drive, c))
        else:
            backward_kernel(g, drawn, first, carried, c, rule, _flat(drive, c), _flat(sums, c))
    return drive, flow, sums


def _op_returned(  # type: ignore[no-untyped-def]
    grads, x, v, carry, leak, gain, bias, threshold, scale, shift, gated, learn, code, height, rate, detach
):  # fmt: skip
    c = _coefficients((leak, gain, bias, threshold, scale, shift), grads.numpy().dtype)
    return _returned(grads, x, v, carry, c, learn, (gated, code, height, rate, detach))


_back_op = torch.library.custom_op(
    "spikesim::lif_backward", _op_returned, mutates_args=(), device_types="cpu", schema=_BACK_SCHEMA
)


@_back_op.register_fake
def _(  # type: ignore[no-untyped-def]
    grads, x, v, carry, leak, gain, bias, threshold, scale, shift, gated, learn, code, height, rate, detach
):  # fmt: skip
    return torch.empty_like(grads), torch.empty_like(v), grads.new_empty((4 if learn else 0, *v.shape))


def _reduced(total: Tensor, like: Tensor) -> Tensor:
    """Sum a per-neuron gradient (B, N) down to a coefficient's shape: () for one number, (N,) for one per neuron."""
    return total.sum().reshape(like.shape) if like.numel() == 1 else total.sum(0).reshape(like.shape)


def _backward(ctx: Any, grad_spikes: Tensor | None, grad_last: Tensor | None) -> tuple[Tensor | None, ...]:
    """Gradients of what `_op_fired` is given. `ctx.c` None: the operation that torch sees into."""
    x, v, *numbers = ctx.saved_tensors
    grad_spikes = torch.zeros_like(x) if grad_spikes is None else grad_spikes
    grad_last = torch.zeros_like(v) if grad_last is None else grad_last
    wanted, how = ctx.needs_input_grad, ctx.how
    learn = any(wanted[i] for i in (2, 4, 5, 7))
    if ctx.c is None:
        gated, *rest = how
        found = torch.ops.spikesim.lif_backward(grad_spikes, x, v, grad_last, *numbers, gated, learn, *rest)
    else:
        found = _returned(grad_spikes, x, v, grad_last, ctx.c, learn, how)
    drive, first, sums = found
    leak, _, bias, threshold, _, shift = numbers
    d_leak, d_bias, d_threshold, d_shift = (
        (_reduced(total, like) for total, like in zip(sums, (leak, bias, threshold, shift))) if learn else (None,) * 4
    )
    return (drive, first, d_leak, None, d_bias, d_threshold, None, d_shift, *(None,) * 5)


def _kept(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:8])
    ctx.how, ctx.c = inputs[8:], None
    ctx.set_materialize_grads(False)  # else zeros are made for an output nobody differentiates


_op.register_autograd(first_only(_backward), setup_context=_kept)


class _Lif(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, Tensor]:
        # Without `setup_context`: torch then binds arguments to names at every call, which takes as long as all of this.
        x, v, *numbers = given[:8]
        c = _coefficients(tuple(numbers), x.numpy().dtype)
        output = _fired(x, v, c, given[8])
        _kept(ctx, given, output)
        ctx.c = c
        return output

    backward = staticmethod(first_only(_backward))


def lif(*given: Any) -> tuple[Tensor, Tensor]:
    """`_op_fired` with its gradient; the custom operation where tensors hold no numbers (torch compiles, fake tensors)."""
    traced = torch.compiler.is_compiling() or type(given[0]) is not Tensor
    return (torch.ops.spikesim.lif if traced else _Lif.apply)(*given)  # type: ignore[no-any-return]
