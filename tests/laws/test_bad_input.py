"""What a user gets wrong is refused in one line that names it, or handled; nothing runs half way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim.neurons import State


def dense() -> ss.Network:
    return ss.Network.chain(nn.Linear(6, 4), ss.LIF(0.9), nn.Linear(4, 2), ss.IF()).requires_grad_(False)


def convolutional() -> ss.Network:
    return ss.Network.chain(nn.Conv2d(2, 3, 3), ss.LIF(0.9), nn.Flatten(), nn.Linear(48, 2), ss.IF()).requires_grad_(
        False
    )


def events(**changes: Any) -> ss.SparseRaster:
    given: dict[str, Any] = {
        "ptr": np.array([0, 1, 2]), "idx": np.array([0, 5]), "val": None, "steps": 2, "shape": (6,), **changes,
    }  # fmt: skip
    return ss.SparseRaster(**given)


REFUSED: dict[str, Callable[[], object]] = {
    "Linear.in_shape must be (6,), got (7,)": lambda: ss.run(dense(), torch.zeros(3, 2, 7)),
    "Convolution.in_shape must be (2, H, W)": lambda: ss.run(convolutional(), torch.zeros(3, 2, 5, 6, 6)),
    "Network.0 must be fed what Linear(in_features=6": lambda: ss.run(dense(), torch.zeros(3, 2, 6, dtype=torch.float64)),
    "Linear.in_shape must be (6,)": lambda: ss.run(dense(), events(shape=(7,))),
    "Linear.in_shape must be (6,), got (2, 3); a Flatten before it?": lambda: ss.run(dense(), torch.zeros(1, 1, 2, 3)),
    "Network.x must be (T, B, *shape), got (0, 2, 6)": lambda: ss.run(dense(), torch.zeros(0, 2, 6)),
    "Network.x must be (T, B, *shape), got (3, 0, 6)": lambda: ss.run(dense(), torch.zeros(3, 0, 6)),
    "Network.x must be (T, B, *shape), got (6,)": lambda: ss.run(dense(), torch.zeros(6)),
    "EventDriven.weights must be torch.float32, torch.float16 or torch.int8": lambda: ss.EventDriven(weights=torch.int32),
    "EventDriven.weights must be torch.float32 where no nn.Linear": lambda: ss.run(
        dense(), torch.zeros(3, 2, 6), engine=ss.EventDriven(weights=torch.int8, stages=False)),
    "run.x must be finite, got nan at (1, 0, 2)": lambda: ss.run(dense(), holed(float("nan"))),
    "run.x must be finite, got -inf at (1, 0, 2)": lambda: ss.run(dense(), holed(float("-inf"))),
    "run.steps must be a whole number at least 1": lambda: ss.run(dense(), torch.zeros(2, 6), steps=0),
    "run.sample_ids must be (2,)": lambda: ss.run(dense(), torch.zeros(3, 2, 6), sample_ids=np.arange(3)),
    "run.record must be a node of the network": lambda: ss.run(dense(), torch.zeros(3, 2, 6), record=["9"]),
    "LIF.from_tau": lambda: ss.LIF.from_tau("-1 ms", "1 ms"),
    "LIF.x must be (T, B, *shape) in float32 or float64": lambda: ss.LIF()(torch.zeros(0, 2, 3)),
    "LIF.state must be (2, 4)": lambda: ss.LIF()(torch.zeros(3, 2, 4), State(torch.zeros(2, 5))),
    "LIF.into.out must be contiguous (3, 2, 4)": lambda: ss.LIF().into(torch.zeros(3, 2, 4), torch.zeros(3, 2, 5)),
    "LIF.into.x must be contiguous on the CPU": lambda: ss.LIF(refractory=1).into(torch.zeros(3, 2, 4), torch.zeros(3, 2, 4)),
    "SparseRaster.ptr must be rising from 0": lambda: events(ptr=np.array([0, 2, 1])),
    "SparseRaster.ptr must be (B * 2 + 1,)": lambda: events(steps=2, ptr=np.array([0, 2])),
    "SparseRaster.idx must be from 0 to 5": lambda: events(idx=np.array([0, 6])),
    "SparseRaster.idx must be from 0 to 5, an input of (6,), got -1": lambda: events(idx=np.array([-1, 0])),
    "SparseRaster.idx must be a row of whole numbers": lambda: events(idx=np.array([0.0, 1.0])),
    "SparseRaster.val must be (2,), finite": lambda: events(val=np.array([1.0, np.nan])),
    "SparseRaster.shape must be at most 2^31 - 1 inputs": lambda: events(shape=(2**16, 2**16)),
    "SparseRaster.from_dense.x must be": lambda: ss.SparseRaster.from_dense(torch.zeros(3, 0, 6)),
    "sparse_raster.steps must be a whole number at least 1": lambda: ss.sparse_raster([recording()], 0),
    "sparse_raster.streams must be recordings of one sensor": lambda: ss.sparse_raster([], 4),
}  # fmt: skip
REFUSED["LIF.tau must be a number above 0 s"] = REFUSED.pop("LIF.from_tau")


def holed(value: float) -> torch.Tensor:
    x = torch.zeros(3, 2, 6)
    x[1, 0, 2] = value
    return x


def recording() -> ss.EventStream:
    return ss.EventStream.sorted(
        np.array([0, 5]), np.array([0, 1]), np.array([1, 0]), np.array([0, 1], np.uint8), (4, 4)
    )


@pytest.mark.parametrize("message", sorted(REFUSED))
def test_refused_in_one_line(message: str) -> None:
    with pytest.raises(ss.SpikesimError) as caught:
        REFUSED[message]()
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", [None, ss.Reference(), ss.Fused(), ss.EventDriven(always=True)])
def test_any_strides_are_taken(engine: ss.Fused | None) -> None:
    """Transposed, stepped, reversed and repeated (0-stride) inputs give what their copies give; none is changed."""
    net, x = dense(), (torch.rand(8, 6, 4, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    one = x[:1, :1, :1].expand(5, 3, 6)
    for strided in (x.permute(2, 0, 1), x.transpose(1, 2)[::2], one):
        wanted = ss.run(net, strided.clone(), engine=engine).output
        assert torch.equal(ss.run(net, strided, engine=engine).output, wanted)
    backwards = x.transpose(1, 2).numpy()[::-1, :, ::-1]
    wanted = ss.run(net, torch.from_numpy(backwards.copy()), engine=engine).output
    assert torch.equal(ss.run(net, backwards, engine=engine).output, wanted)


def test_strided_drive_of_a_neuron() -> None:
    x = torch.rand(4, 6, 8, generator=torch.Generator().manual_seed(0)) * 2
    for neuron in (ss.LIF(), ss.LIF(refractory=1), ss.CuBaLIF(), ss.SignedIF(), ss.Integrator()):
        for strided in (x.permute(2, 0, 1), x[:, :, ::2], x[:, :1].expand(4, 6, 8)):
            with torch.no_grad():
                assert torch.equal(neuron(strided)[0], neuron(strided.contiguous())[0])
