"""run: a network over time. The one verb for simulation; `execution.py` holds the engines it can be given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .core.ledger import Ledger
from .core.packing import packed
from .core.params import number
from .core.raster import SparseRaster
from .core.seeds import Seeds
from .errors import ParameterError, ShapeError, must
from .execution import Engine, EventDriven, Fused, Reference
from .network import Network, NetworkState
from .readout import Readout
from .stages import Bits, as_tensor

__all__ = ["Engine", "EventDriven", "Fused", "Reference", "Run", "run"]


class Run:
    """What a run gave.

    output     (T, B, ...) of the output node          readout    (B, ...) the network's own answer
    state      pass it to the next run to go on        recording  {name: (T, B, ...)} of what was asked for

    Spikes that a chain of stages gave stay packed, 32 times smaller, until `output` is asked for.
    """

    def __init__(self, output: Tensor | Bits, readout: Tensor, state: NetworkState, recording: dict[str, Any]) -> None:
        self._output, self.readout, self.state, self.recording = output, readout, state, recording

    @property
    def output(self) -> Tensor:
        """(T, B, ...) of the output node."""
        self._output = as_tensor(self._output)
        return self._output

    def counts(self, windows: int = 1) -> Tensor:
        """(B, windows, ...): the output summed over `windows` parts of time, from step floor(w T / windows) on."""
        found, steps = (
            self._output,
            self._output.shape[0] if isinstance(self._output, Tensor) else self._output.words.shape[1],
        )
        number("Run.counts.windows", windows, at_least=1, at_most=steps, integer=True)
        edges = [w * steps // windows for w in range(windows + 1)]
        if isinstance(found, Tensor):
            return torch.stack([found[a:b].sum(0) for a, b in pairwise(edges)], 1)
        return torch.stack([found.between(a, b).counts() for a, b in pairwise(edges)], 1)


def run(
    network: Network, x: Tensor | np.ndarray | SparseRaster | Sequence[Tensor], *,
    steps: int | None = None, state: NetworkState | None = None,
    record: Iterable[str] | Mapping[str, Sequence[int] | None] = (), engine: Engine | None = None, seeds: Seeds | None = None,
    ledger: Ledger | None = None, sample_ids: np.ndarray | None = None,
) -> Run:  # fmt: skip
    """Simulate `network` on x.

    steps given    x (B, *shape) is shown at every one of `steps` steps
    steps absent   x (T, B, *shape) is the input over time; a converted network reads it as counts that sum to the
                   ANN's input, and is bound to T on the way (`Network.bound`). A SparseRaster says the same in events
    several x      a tuple: one tensor for each input of the ANN, with the same leading axes
    record         node names for their outputs, "name.events" for events, "name.v" for membranes;
                   {"name.v": [3, 17]} keeps those neurons alone
    engine         None: chosen by input and gradient; or Reference(), Fused(), EventDriven()
    seeds, ledger  what is drawn and counted on the way (crossbars draw; everything counts)
    sample_ids     (B,) identities that draws are keyed by; negative marks padding, which is not counted
    Raises ShapeError, ParameterError before anything runs. The input is never changed.
    """
    if isinstance(x, (tuple, list)):
        x = _packed(network, x, 2 if steps is None else 1)
    if not isinstance(x, SparseRaster):  # which was checked when it was made
        x = torch.as_tensor(np.ascontiguousarray(x) if isinstance(x, np.ndarray) else x)
        x = x if x.is_floating_point() else x.float()
        _must_be_finite(x)
    if steps is not None:
        number("run.steps", steps, at_least=1, integer=True, remedy="the number of time steps to simulate")
        if isinstance(x, SparseRaster):
            raise ParameterError(must("run.steps", "absent for events, which have their own", steps))
        x = x.unsqueeze(0).expand(steps, *x.shape)
    elif network.conversion is not None and network.conversion.steps is None:
        if state is not None:
            raise ParameterError(
                must("run.network", "bound to its T before a run is cut", "unbound", "network.bound(T)")
            )
        network = network.bound(x.steps if isinstance(x, SparseRaster) else x.shape[0])
    batch = x.batch if isinstance(x, SparseRaster) else x.shape[1] if x.ndim > 1 else 0
    ids = np.arange(batch) if sample_ids is None else np.asarray(sample_ids)
    if ledger is None:
        output, state, recording = network(
            x, state, seeds=seeds, record=record, engine=engine, sample_ids=ids, packed=True
        )
    else:
        ledger.open(ids)
        try:
            output, state, recording = network(
                x, state, seeds=seeds, ledger=ledger, record=record, engine=engine, sample_ids=ids
            )
        finally:
            ledger.close()
    return Run(output, _read_out(network.readout, output), state, recording)


def _read_out(readout: Readout, output: Tensor | Bits) -> Tensor:
    """The readout of (T, B, ...), from counts of packed spikes where these say it."""
    if isinstance(output, Tensor):
        return readout(output)
    found = readout.of_counts(output.counts(), output.words.shape[1])
    return readout(output.dense()) if found is None else found


def _packed(network: Network, parts: Sequence[Any], leading: int) -> Tensor:
    """The tensors of a model of several inputs, side by side."""
    shapes = () if network.conversion is None else network.conversion.inputs
    if not shapes or any(isinstance(part, SparseRaster) for part in parts):
        rule = "one tensor or raster, or a tensor for each input of a converted ANN of several"
        raise ShapeError(must("run.x", rule, f"a {type(parts).__name__} of {len(parts)}"))
    return packed([torch.as_tensor(part).float() for part in parts], shapes, leading, "run.x")


def _must_be_finite(x: Tensor) -> None:
    if x.ndim < 1:
        raise ShapeError(must("run.x", "(T, B, *shape)", tuple(x.shape)))
    # A sum is one pass and cheap; it is not finite wherever an entry is not, and seldom otherwise.
    if not bool(torch.isfinite(x.detach().sum())) and not bool(torch.isfinite(x).all()):
        where = tuple(int(i) for i in (~torch.isfinite(x)).nonzero()[0])
        raise ParameterError(must("run.x", "finite", f"{x[where].item()} at {where}", "clean the input"))
