"""The exponential synapse, which is also the leaky integrator: a linear recurrence with its kernel and its adjoint.

    AFTER_DECAY    i = leak i + x;       o = i              snnTorch, NIR, Lava
    BEFORE_DECAY   i = leak (i + x);     o = i              Sinabs, Rockpool
    DECAYS_LAST    o = i + x;            i = o - loss o     Norse, with loss = 1 - leak
    BLENDED        i = i + loss (x - i); o = i              NIR (Euler), with loss = dt / tau

The forms are one recurrence whose output is taken at three places; each is rounded as its frameworks round it.
Read `integrator.py` for the readout and `cuba.py` for the neuron behind a synapse.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.derivative import first_only
from ..core.kernel import block_at, blocks_in, inlined, kernel, shared_out

BLOCK = 8192
"""Neurons per parallel block: the current stays in the L2 cache over all steps."""

AFTER_DECAY, BEFORE_DECAY, DECAYS_LAST, BLENDED = range(4)


def after_decay(i, x, leak):  # type: ignore[no-untyped-def]
    """-> (o, i)"""
    i = leak * i + x
    return i, i


def before_decay(i, x, leak):  # type: ignore[no-untyped-def]
    """-> (o, i)"""
    i = leak * (i + x)
    return i, i


def decays_last(i, x, loss):  # type: ignore[no-untyped-def]
    """-> (o, i)"""
    o = i + x
    return o, o - loss * o


def blended(i, x, loss):  # type: ignore[no-untyped-def]
    """-> (o, i)"""
    i = i + loss * (x - i)
    return i, i


FORMS = (after_decay, before_decay, decays_last, blended)


def synapse_reference(code: int, x: np.ndarray, i: np.ndarray, leak: np.ndarray, out: np.ndarray) -> None:
    """numpy twin of `synapse_kernel`: x, out (T, B, N); i (B, N) in and out; leak, or loss (N,)."""
    for t in range(x.shape[0]):
        out[t], i[...] = FORMS[code](i, x[t], leak)


_after, _before, _last = inlined(after_decay), inlined(before_decay), inlined(decays_last)
_blended = inlined(blended)


@kernel(reference=synapse_reference, items=lambda _, x, *rest: blocks_in(x, BLOCK))
def synapse_kernel(code, x, i, leak, out, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    steps, _, size = x.shape
    for j in range(begin, end):
        b, lo, hi = block_at(j, size, BLOCK)
        current, keep = i[b, lo:hi], leak[lo:hi]
        for t in range(steps):
            drive, row = x[t, b, lo:hi], out[t, b, lo:hi]
            if code == AFTER_DECAY:
                for n in range(hi - lo):
                    row[n], current[n] = _after(current[n], drive[n], keep[n])
            elif code == BEFORE_DECAY:
                for n in range(hi - lo):
                    row[n], current[n] = _before(current[n], drive[n], keep[n])
            elif code == DECAYS_LAST:
                for n in range(hi - lo):
                    row[n], current[n] = _last(current[n], drive[n], keep[n])
            else:
                for n in range(hi - lo):
                    row[n], current[n] = _blended(current[n], drive[n], keep[n])


def after_decay_back(g, carry, before, x, o, leak):  # type: ignore[no-untyped-def]
    """Adjoint of `after_decay`: g = dL/do, carry = dL/di. -> (dL/dx, dL/di of the step before, dL/dleak)"""
    total = g + carry
    return total, leak * total, total * before


def before_decay_back(g, carry, before, x, o, leak):  # type: ignore[no-untyped-def]
    """Adjoint of `before_decay`."""
    total = g + carry
    return leak * total, leak * total, total * (before + x)


def decays_last_back(g, carry, before, x, o, loss):  # type: ignore[no-untyped-def]
    """Adjoint of `decays_last`."""
    total = g + (carry - loss * carry)
    return total, total, -(carry * o)


def blended_back(g, carry, before, x, o, loss):  # type: ignore[no-untyped-def]
    """Adjoint of `blended`."""
    total = g + carry
    return loss * total, total - loss * total, total * (x - before)


BACK = (after_decay_back, before_decay_back, decays_last_back, blended_back)


def synapse_back_reference(
    code: int, grads: np.ndarray, x: np.ndarray, out: np.ndarray, first: np.ndarray, carry: np.ndarray,
    leak: np.ndarray, drive: np.ndarray, leak_sum: np.ndarray,
) -> None:  # fmt: skip
    """numpy twin of `synapse_back_kernel`.

    grads, x, out, drive (T, B, N): dL/do, inputs, outputs, dL/dx; first (B, N): i before the run; carry (B, N): dL/di
    after the run in, before it out; leak_sum (B, N): dL/dleak, added to.
    """
    for t in range(grads.shape[0] - 1, -1, -1):
        before = out[t - 1] if t else first
        drive[t], carry[...], part = BACK[code](grads[t], carry, before, x[t], out[t], leak)
        leak_sum += part


_after_back, _before_back = inlined(after_decay_back), inlined(before_decay_back)
_last_back, _blended_back = inlined(decays_last_back), inlined(blended_back)


@kernel(reference=synapse_back_reference, items=lambda _, x, *rest: blocks_in(x, BLOCK))
def synapse_back_kernel(code, grads, x, out, first, carry, leak, drive, leak_sum, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    steps, _, size = grads.shape
    for j in range(begin, end):
        b, lo, hi = block_at(j, size, BLOCK)
        flow, total, keep = carry[b, lo:hi], leak_sum[b, lo:hi], leak[lo:hi]
        for back_step in range(steps):
            t = steps - 1 - back_step
            g, u, o, d = grads[t, b, lo:hi], x[t, b, lo:hi], out[t, b, lo:hi], drive[t, b, lo:hi]
            before = out[t - 1, b, lo:hi] if t > 0 else first[b, lo:hi]
            if code == AFTER_DECAY:
                for n in range(hi - lo):
                    d[n], flow[n], part = _after_back(g[n], flow[n], before[n], u[n], o[n], keep[n])
                    total[n] += part
            elif code == BEFORE_DECAY:
                for n in range(hi - lo):
                    d[n], flow[n], part = _before_back(g[n], flow[n], before[n], u[n], o[n], keep[n])
                    total[n] += part
            elif code == DECAYS_LAST:
                for n in range(hi - lo):
                    d[n], flow[n], part = _last_back(g[n], flow[n], before[n], u[n], o[n], keep[n])
                    total[n] += part
            else:
                for n in range(hi - lo):
                    d[n], flow[n], part = _blended_back(g[n], flow[n], before[n], u[n], o[n], keep[n])
                    total[n] += part


@torch.library.custom_op(
    "spikesim::synapse", mutates_args=(), device_types="cpu",
    schema="(Tensor x, Tensor i, Tensor leak, int code) -> (Tensor, Tensor)",
)  # fmt: skip
def synapse(x, i, leak, code):  # type: ignore[no-untyped-def]
    """Outputs (T, B, N) and the last current (B, N) of inputs x (T, B, N); leak, or loss (N,)."""
    x, last = x.contiguous(), i.clone().contiguous()
    out = torch.empty_like(x)
    if x.numel():
        synapse_kernel(code, x.numpy(), last.numpy(), leak.contiguous().numpy(), out.numpy())
    return out, last


@synapse.register_fake
def _(x, i, leak, code):  # type: ignore[no-untyped-def]
    return torch.empty_like(x, memory_format=torch.contiguous_format), torch.empty_like(i)


@torch.library.custom_op(
    "spikesim::synapse_backward", mutates_args=(), device_types="cpu",
    schema="(Tensor grads, Tensor x, Tensor out, Tensor first, Tensor carry, Tensor leak, int code)"
    " -> (Tensor, Tensor, Tensor)",
)  # fmt: skip
def synapse_backward(grads, x, out, first, carry, leak, code):  # type: ignore[no-untyped-def]
    """Gradients at the inputs (T, B, N), at the first current (B, N), and for the leak of every neuron (B, N)."""
    parts = [p.contiguous().numpy() for p in (grads, x, out, first)]
    drive, flow, leak_sum = torch.empty(grads.shape, dtype=x.dtype), carry.clone().contiguous(), torch.zeros_like(carry)
    leak_sum = leak_sum.contiguous()
    if grads.numel():
        synapse_back_kernel(
            code, *parts, flow.numpy(), leak.contiguous().numpy(), drive.numpy(), leak_sum.numpy()
        )  # fmt: skip
    return drive, flow, leak_sum


@synapse_backward.register_fake
def _(grads, x, out, first, carry, leak, code):  # type: ignore[no-untyped-def]
    return torch.empty(grads.shape, dtype=x.dtype), torch.empty_like(carry), torch.empty_like(carry)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, i, leak, ctx.code = inputs
    ctx.save_for_backward(x, output[0], i, leak)


def _backward(ctx: Any, grads: Tensor, grad_last: Tensor) -> tuple[Tensor | None, ...]:
    x, out, first, leak = ctx.saved_tensors
    drive, flow, leak_sum = torch.ops.spikesim.synapse_backward(grads, x, out, first, grad_last, leak, ctx.code)
    return drive, flow, leak_sum.sum(0) if ctx.needs_input_grad[2] else None, None


synapse.register_autograd(first_only(_backward), setup_context=_setup)


def current_by_kernel(x: Tensor, i: Tensor, leak: Tensor, code: int) -> tuple[Tensor, Tensor]:
    """Outputs (T, B, *shape) and last current (B, *shape) in the compiled kernel; leak broadcasts to *shape."""
    steps, batch, *shape = x.shape
    out, last = synapse(
        x.reshape(steps, batch, -1), i.reshape(batch, -1), leak.to(x).expand(shape).reshape(-1), code
    )  # fmt: skip
    return out.reshape(x.shape), last.reshape(i.shape)


def current_by_steps(x: Tensor, i: Tensor, leak: Tensor, code: int) -> tuple[Tensor, Tensor]:
    """The same in torch operations."""
    out, leak = [], leak.to(x)
    for drive in x:
        o, i = FORMS[code](i, drive, leak)
        out.append(o)
    return torch.stack(out), i
