"""NormalisedLIF against IIR-SNN's equation written out, spikes and gradients of weights, leak and threshold."""

from __future__ import annotations

import torch

from spikesim.neurons import NormalisedLIF, by_kernel, by_steps
from spikesim.surrogate import Triangular


class _Spike(torch.autograd.Function):
    """1 where z > 0; slope 0.3 max(0, 1 - |z|)."""

    @staticmethod
    def forward(ctx, z):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(z)
        return (z > 0).to(z)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        (z,) = ctx.saved_tensors
        return grad * 0.3 * torch.clamp(1 - z.abs(), min=0)


def written_out(x: torch.Tensor, leak: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """U <- lambda U + x, o = 1 where U / V > 1, U <- U - V o with a hard step."""
    u, spikes = torch.zeros_like(x[0]), []
    for drive in x:
        u = leak * u + drive
        spikes.append(_Spike.apply(u / threshold - 1))
        u = u - threshold * spikes[-1].detach()
    return torch.stack(spikes)


def test_spikes_and_gradients_are_those_of_the_paper() -> None:
    x = torch.rand(6, 4, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    weight = torch.rand(6, 4, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for rule in (by_kernel, by_steps):
        neuron = NormalisedLIF(
            0.8, 0.37, learn=("leak", "threshold"), surrogate=Triangular(), detach_reset=True
        ).double()  # fmt: skip
        spikes, _ = neuron(x, None, rule)
        leak, threshold = (p.detach().clone().requires_grad_() for p in (neuron.leak, neuron.threshold))
        wanted = written_out(x, leak, threshold)
        assert torch.equal(spikes, wanted) and 0.2 < float(spikes.detach().mean()) < 0.9
        (got_x,) = torch.autograd.grad((spikes * weight).sum(), x, retain_graph=True)
        (spikes * weight).sum().backward()
        (x_wanted, *others) = torch.autograd.grad((wanted * weight).sum(), (x, leak, threshold))
        torch.testing.assert_close(got_x, x_wanted, rtol=1e-10, atol=1e-12)
        for parameter, other in zip((neuron.leak, neuron.threshold), others):
            torch.testing.assert_close(parameter.grad, other, rtol=1e-9, atol=1e-12)
        x.grad = None


def test_as_lif_spikes_alike() -> None:
    x = torch.rand(10, 3, 20, generator=torch.Generator().manual_seed(0))
    neuron = NormalisedLIF(0.9, torch.linspace(0.2, 1.1, 20), bias=0.02)
    with torch.no_grad():
        assert torch.equal(neuron(x)[0], neuron.as_lif()(x)[0])
