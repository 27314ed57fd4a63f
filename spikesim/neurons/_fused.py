"""The operation torch sees: the neuron's whole time loop as one, forward and backward.

An autograd function, and where torch compiles a custom operation, `torch.ops.spikesim.lif`, with a fake kernel and a registered
gradient: the first call of that imports torch's compiler (two seconds), later ones cost 50 microseconds more than the function.
Read `_membrane.py` for the equation and `_membrane_backward.py` for its adjoint.
"""

from __future__ import annotations

from functools import partial
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


def _coefficients(numbers: tuple[Tensor, ...], dtype: np.dtype) -> Coefficients:
    """Scalars for coefficients of one element (the fast kernels), rows for one value per neuron."""
    arrays = (n.detach().numpy() for n in numbers)
    return Coefficients(*(dtype.type(a.flat[0]) if a.size == 1 else np.ascontiguousarray(a, dtype) for a in arrays))


def _flat(x: Tensor, c: Coefficients) -> np.ndarray:
    """(..., B, N) as numpy; with scalar coefficients B joins N, so that blocks are long."""
    array = x.detach().contiguous().numpy()
    if all(np.ndim(k) == 0 for k in c):
        return array.reshape(*array.shape[:-2], 1, array.shape[-2] * array.shape[-1])
    return array


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


def _fired(x, v, leak, gain, bias, threshold, scale, shift, gated, code, height, rate, detach):  # type: ignore[no-untyped-def]
    """Spikes (T, B, N) and last membrane (B, N) of neurons driven by x."""
    c = _coefficients((leak, gain, bias, threshold, scale, shift), x.detach().numpy().dtype)
    spikes, last = torch.empty_like(x, memory_format=torch.contiguous_format), v.detach().clone().contiguous()
    if x.numel():
        _run(_flat(x, c), _flat(last, c), c, gated, _flat(spikes, c))
    return spikes, last


_op = torch.library.custom_op("spikesim::lif", _fired, mutates_args=(), device_types="cpu", schema=_SCHEMA)


@_op.register_fake
def _(x, v, leak, gain, bias, threshold, scale, shift, gated, code, height, rate, detach):  # type: ignore[no-untyped-def]
    return torch.empty_like(x), torch.empty_like(v)


def _returned(  # type: ignore[no-untyped-def]
    grads,
    x,
    v,
    carry,
    leak,
    gain,
    bias,
    threshold,
    scale,
    shift,
    gated,
    learn,
    code,
    height,
    rate,
    detach,
):
    """Gradients at the drive (T, B, N), at the first membrane (B, N), and sums (4, B, N) for the coefficients."""
    kind = grads.numpy().dtype.type
    c = _coefficients((leak, gain, bias, threshold, scale, shift), grads.numpy().dtype)
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


_back_op = torch.library.custom_op(
    "spikesim::lif_backward", _returned, mutates_args=(), device_types="cpu", schema=_BACK_SCHEMA
)


@_back_op.register_fake
def _(  # type: ignore[no-untyped-def]
    grads,
    x,
    v,
    carry,
    leak,
    gain,
    bias,
    threshold,
    scale,
    shift,
    gated,
    learn,
    code,
    height,
    rate,
    detach,
):  # type: ignore[no-untyped-def]
    return torch.empty_like(grads), torch.empty_like(v), grads.new_empty((4 if learn else 0, *v.shape))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:8])
    ctx.rest = inputs[8:]
    ctx.set_materialize_grads(False)  # else zeros are made for an output nobody differentiates


def _reduced(total: Tensor, like: Tensor) -> Tensor:
    """Sum a per-neuron gradient (B, N) down to a coefficient's shape: () for one number, (N,) for one per neuron."""
    return total.sum().reshape(like.shape) if like.numel() == 1 else total.sum(0).reshape(like.shape)


def _backward(run: Any, ctx: Any, grad_spikes: Tensor | None, grad_last: Tensor | None) -> tuple[Tensor | None, ...]:
    x, v, leak, gain, bias, threshold, scale, shift = ctx.saved_tensors
    grad_spikes = torch.zeros_like(x) if grad_spikes is None else grad_spikes
    grad_last = torch.zeros_like(v) if grad_last is None else grad_last
    gated, code, height, rate, detach = ctx.rest
    wanted = ctx.needs_input_grad
    learn = any(wanted[i] for i in (2, 4, 5, 7))
    drive, first, sums = run(
        grad_spikes,
        x,
        v,
        grad_last,
        leak,
        gain,
        bias,
        threshold,
        scale,
        shift,
        gated,
        learn,
        code,
        height,
        rate,
        detach,
    )
    d_leak, d_bias, d_threshold, d_shift = (
        (_reduced(total, like) for total, like in zip(sums, (leak, bias, threshold, shift))) if learn else (None,) * 4
    )
    return (drive, first, d_leak, None, d_bias, d_threshold, None, d_shift, *(None,) * 5)


_op.register_autograd(first_only(partial(_backward, torch.ops.spikesim.lif_backward)), setup_context=_setup)


class _Lif(torch.autograd.Function):
    forward = staticmethod(_fired)
    setup_context = staticmethod(_setup)

    @staticmethod
    @first_only
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        return _backward(_returned, ctx, *grads)


def lif(*given: Any) -> tuple[Tensor, Tensor]:
    """`_fired` with its gradient; the custom operation where tensors hold no numbers (torch compiles, fake tensors)."""
    traced = torch.compiler.is_compiling() or type(given[0]) is not Tensor
    return (torch.ops.spikesim.lif if traced else _Lif.apply)(*given)  # type: ignore[no-any-return]
