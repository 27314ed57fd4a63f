"""Early exit: a sample is answered as soon as its running readout is confident, and costs nothing from then on.

    confidence after t steps   c_t = max softmax(readout of outputs 1..t / scale);   exit at the first t with c_t >= threshold

Outputs of a converted network are in the ANN's units, which need not be those of a softmax: scale brings them there, so
that confidences do not all round to 1. The threshold is
chosen on inputs without labels: the lowest at which the early answers are those of all T steps.
State goes in and out of `run`, so a batch is cut after every step and only the samples that go on are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .core.params import check, number
from .core.seeds import Seeds
from .datasets.base import EventDataset
from .engine import run
from .errors import ParameterError, must
from .evaluation import BATCH, Data, Evaluation, batches
from .network import Network


@dataclass(frozen=True)
class Confidence:
    """Exit where the largest softmax of the running readout over `scale` is at least `threshold`, after `least` steps or more."""

    threshold: float
    least: int = 1
    scale: float = 1.0

    def __post_init__(self) -> None:
        check(self, "threshold", at_least=0, at_most=1)
        check(self, "least", at_least=1, integer=True)
        check(self, "scale", above=0)

    def reached(self, running: Tensor, step: int) -> Tensor:
        """running (B, classes), the readout after `step` steps -> (B,) bool."""
        return (
            (running / self.scale).softmax(-1).amax(-1) >= self.threshold
            if step >= self.least
            else torch.zeros(len(running), dtype=torch.bool)
        )


@dataclass(frozen=True)
class EarlyRun:
    """readout (B, classes) at each sample's own end, steps (B,) that it took."""

    readout: Tensor
    steps: Tensor


@dataclass(frozen=True)
class EarlyEvaluation(Evaluation):
    """An evaluation, and the steps (N,) that every sample took."""

    steps: np.ndarray

    @property
    def mean_steps(self) -> float:
        """Mean number of steps over samples."""
        return float(self.steps.mean())


def run_until(
    network: Network, x: Tensor, confidence: Confidence, *, steps: int, shown: bool = True,
    seeds: Seeds | None = None, sample_ids: np.ndarray | None = None,
) -> EarlyRun:  # fmt: skip
    """Run each sample until it is confident, for `steps` steps at most.

    x   (B, *shape) shown at every step; with shown=False (T, B, *shape), T = steps, as `run` reads it
    Raises ParameterError for a network whose neurons look at their whole input before they speak (recipes `cos` and
    `srp`): it cannot be cut.
    """
    number("run_until.steps", steps, at_least=1, integer=True)
    if network.uncut:
        raise ParameterError(
            must("run_until.network", "one that can be cut in time", "neurons with a first presentation")
        )
    network = network.bound(1 if shown else steps)  # an input that is shown is whole at every step
    ids = np.arange(x.shape[0 if shown else 1]) if sample_ids is None else np.asarray(sample_ids)
    going, taken = torch.arange(len(ids)), torch.full((len(ids),), steps)
    answers, said, state = torch.empty(0), torch.empty(0), None
    for step in range(1, steps + 1):
        here = x[going][None] if shown else x[step - 1 : step, going]
        found = run(network, here, state=state, seeds=seeds, sample_ids=ids[going.numpy()])
        said = torch.cat([said, found.output]) if step > 1 else found.output
        running = network.readout(said)
        if step == 1:
            answers = torch.zeros_like(running)
        done = confidence.reached(running, step) if step < steps else torch.ones(len(going), dtype=torch.bool)
        answers[going[done]], taken[going[done]] = running[done], step
        if bool(done.all()):
            break
        going, said, state = going[~done], said[:, ~done], found.state.samples(~done)
    return EarlyRun(answers, taken)


def chosen_confidence(
    network: Network, data: Data, *, steps: int, tolerance: float = 0.002, seeds: Seeds | None = None
) -> Confidence:
    """The lowest threshold at which hardly an answer on `data` differs from that after all steps.

        differing answers = 0,    or    (differing answers + 1) / (N + 1) <= tolerance

    One more than were seen, because the lowest threshold that does is also the luckiest. Labels are not looked at.
    1 where no threshold will do.
    """
    number("chosen_confidence.tolerance", tolerance, at_least=0, at_most=1)
    running = running_readouts(network, data, steps=steps, seeds=seeds)
    late, scale = running[-1].argmax(-1), _scale(running[-1])
    for threshold in torch.cat([torch.linspace(0.1, 0.9, 33), 1 - torch.logspace(-1, -6, 41)]).tolist():
        early = exits(running, Confidence(threshold, scale=scale)).readout.argmax(-1)
        differing = int((early != late).sum())
        if not differing or (differing + 1) / (len(late) + 1) <= tolerance:
            return Confidence(threshold, scale=scale)
    return Confidence(1.0, scale=scale)


def _scale(answers: Tensor) -> float:
    """What half of the answers (N, classes) lead by, over 4: at that lead, confidence against one rival is 98 %."""
    best = answers.topk(min(2, answers.shape[-1]), -1).values
    lead = float((best[:, 0] - best[:, -1]).median()) / 4
    return lead if lead > 0 else 1.0


def running_readouts(
    network: Network, data: Data, *, steps: int, seeds: Seeds | None = None, batch: int = BATCH
) -> Tensor:
    """The readout after every step of a whole run, (steps, N, classes): what early exits of any threshold follow from."""
    parts = []
    with torch.inference_mode():
        for rows, ids in batches(data, batch):
            x, shown = (data.raster(steps, rows), None) if isinstance(data, EventDataset) else (data.x[rows], steps)
            output = run(network, x, steps=shown, seeds=seeds, sample_ids=ids).output[:, torch.from_numpy(ids >= 0)]
            parts.append(torch.stack([network.readout(output[: t + 1]) for t in range(steps)]))
    return torch.cat(parts, 1)


def exits(running: Tensor, confidence: Confidence) -> EarlyRun:
    """Where samples would have ended: running (T, B, classes) of a whole run. `run_until` gives the same and saves the rest."""
    reached = torch.stack([confidence.reached(now, t) for t, now in enumerate(running, 1)])
    reached[-1] = True
    first = reached.float().argmax(0)  # the first step that is reached
    return EarlyRun(running[first, torch.arange(running.shape[1])], first + 1)


def evaluate_early(
    network: Network, data: Data, confidence: Confidence, *, steps: int, seeds: Seeds | None = None, batch: int = BATCH
) -> EarlyEvaluation:
    """`evaluate`, with every sample answered as soon as it is confident."""
    scores, taken = [], []
    with torch.inference_mode():
        for rows, ids in batches(data, batch):
            keep = ids >= 0
            shown = not isinstance(data, EventDataset)
            x = data.x[rows[keep]] if shown else data.raster(steps, rows[keep])  # type: ignore[union-attr]
            found = run_until(network, x, confidence, steps=steps, shown=shown, seeds=seeds, sample_ids=ids[keep])
            scores.append(found.readout)
            taken.append(found.steps)
    return EarlyEvaluation(torch.cat(scores).numpy(), np.asarray(data.labels), torch.cat(taken).numpy())
