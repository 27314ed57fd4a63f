"""Early exit: a sample is answered as soon as its running readout is clear, and costs nothing from then on.

    lead after t steps      m_t = largest less second largest of the readout of outputs 1..t
    exit                    at the first t with m_t >= kappa sigma_t
    sigma_t                 rms change, from step t to the last, of the difference of two outputs: what is still to come

sigma and kappa are chosen on inputs without labels, so that with a stated confidence no more than a tolerated share of
the early answers differs from those of all T steps. One threshold for all steps cannot do that: sigma falls as 1 / t.
State goes in and out of `run`, so a batch is cut after every step and only the samples that go on are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .core.params import number
from .core.seeds import Seeds
from .datasets.base import EventDataset
from .engine import run
from .errors import ParameterError, must
from .evaluation import BATCH, Data, Evaluation, batches
from .network import Network

TAIL = 0.1
"""Share of the inputs that the tail of the distribution is fitted to."""


@dataclass(frozen=True)
class Lead:
    """Exit after step t where the largest entry of the running readout leads the next by leads[t - 1] or more.

    leads  one number per step, in the unit of the outputs; inf: never there. The last step ends every sample anyway.
    """

    leads: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.leads or not all(lead >= 0 for lead in self.leads):  # nan compares as false
            raise ParameterError(must("Lead.leads", "one number >= 0 per step", self.leads, "inf: no exit there"))

    def reached(self, running: Tensor, step: int) -> Tensor:
        """running (B, classes), the readout after `step` steps -> (B,) bool."""
        return lead(running) >= self.leads[step - 1]


def lead(readout: Tensor) -> Tensor:
    """Largest less second largest entry, (..., classes) -> (...)."""
    best = readout.topk(2, -1).values
    return best[..., 0] - best[..., 1]


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
    network: Network, x: Tensor, rule: Lead, *, steps: int, shown: bool = True,
    seeds: Seeds | None = None, sample_ids: np.ndarray | None = None,
) -> EarlyRun:  # fmt: skip
    """Run each sample until its readout leads by enough, for `steps` steps at most.

    x   (B, *shape) shown at every step; with shown=False (T, B, *shape), T = steps, as `run` reads it
    Raises ParameterError for a network whose neurons look at their whole input before they speak (recipes `cos` and
    `srp`): it cannot be cut; and for a rule of other steps.
    """
    number("run_until.steps", steps, at_least=1, integer=True)
    if network.uncut:
        raise ParameterError(
            must("run_until.network", "one that can be cut in time", "neurons with a first presentation")
        )
    if len(rule.leads) != steps:
        raise ParameterError(must("run_until.rule", f"for {steps} steps", len(rule.leads), "choose it for this T"))
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
        done = rule.reached(running, step) if step < steps else torch.ones(len(going), dtype=torch.bool)
        answers[going[done]], taken[going[done]] = running[done], step
        if bool(done.all()):
            break
        going, said, state = going[~done], said[:, ~done], found.state.samples(~done)
    return EarlyRun(answers, taken)


def chosen_lead(
    network: Network, data: Data, *, steps: int, tolerance: float = 0.002, confidence: float = 0.95,
    seeds: Seeds | None = None,
) -> Lead:  # fmt: skip
    """The least leads at which no more than `tolerance` of the answers differ from those after all steps.

        w = largest m_t / sigma_t at which a sample's running answer is not yet its last one;    kappa: P(w >= kappa) <= tolerance

    Labels are not looked at; accuracy changes by less than answers do. kappa is an upper bound at `confidence`, see
    `upper_quantile`: fewer inputs give later exits, and too few none. Inputs the network was calibrated with will do.
    Raises ParameterError for a network of a single output.
    """
    number("chosen_lead.tolerance", tolerance, above=0, at_most=1)
    number("chosen_lead.confidence", confidence, above=0, at_most=1 - 1e-9)
    running = running_readouts(network, data, steps=steps, seeds=seeds)
    if running.ndim != 3 or running.shape[-1] < 2:
        got = tuple(running.shape[2:])
        raise ParameterError(must("chosen_lead.network", "one with an output for each of two or more classes", got))
    answers, leads, sigma = running.argmax(-1), lead(running), _still_to_come(running)
    ratio = torch.where(answers != answers[-1], leads / sigma[:, None].clamp(min=1e-30), 0.0)
    kappa = upper_quantile(ratio.amax(0).double().numpy(), tolerance, confidence)
    return Lead(tuple(kappa * s if s else 0.0 for s in sigma.tolist()))


def _still_to_come(running: Tensor) -> Tensor:
    """sigma (T,): rms over samples and pairs of outputs of how their difference changes from each step to the last."""
    change = running - running[-1:]
    return (2 * change.var(-1)).mean(1).sqrt()


def upper_quantile(worst: np.ndarray, tolerance: float, confidence: float) -> float:
    """A number that, with `confidence`, no more than `tolerance` of the values like `worst` (N,) >= 0 reach; inf: unknown.

    The k largest (TAIL of N) are taken to lie above the next, u, as an exponential distribution does:

        P(w > x) = p exp(-(x - u) / beta),   p ~ Beta(k + 1, N - k),   sum of (w - u) / beta ~ Gamma(k),   x = u + c mean(w - u)

    and c is the least with P(p exp(-c Gamma(k) / k) > tolerance) <= 1 - confidence: exact for such a tail, and careful
    for those that fall faster, like a normal one. Where fewer than three values are above 0, their number alone counts
    (Clopper and Pearson's bound for r of N: 1500 inputs without one differing answer show 0.002).
    """
    from scipy.optimize import brentq
    from scipy.stats import beta, gamma

    ordered, n = np.sort(worst)[::-1], len(worst)
    k = min(int(TAIL * n), int((ordered > 0).sum()) - 1)
    if k < 2:
        r = np.arange(n)
        within = np.flatnonzero(beta.ppf(confidence, r + 1, n - r) <= tolerance)
        return float(ordered[within[-1]]) * (1 + 1e-6) if within.size else float("inf")
    p = beta.ppf((np.arange(500) + 0.5) / 500, k + 1, n - k)  # 500 equally likely values
    room = k * np.log(p / tolerance).clip(0)

    def exceeded(c: float) -> float:
        return float(gamma.cdf(room / c, k).mean()) - (1 - confidence)

    least, most = 1e-9, 1e6
    c = least if exceeded(least) <= 0 else brentq(exceeded, least, most)
    return float(ordered[k] + c * (ordered[:k] - ordered[k]).mean()) * (1 + 1e-6)


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


def exits(running: Tensor, rule: Lead) -> EarlyRun:
    """Where samples would have ended: running (T, B, classes) of a whole run. `run_until` gives the same and saves the rest."""
    reached = torch.stack([rule.reached(now, t) for t, now in enumerate(running, 1)])
    reached[-1] = True
    first = reached.float().argmax(0)  # the first step that is reached
    return EarlyRun(running[first, torch.arange(running.shape[1])], first + 1)


def evaluate_early(
    network: Network, data: Data, rule: Lead, *, steps: int, seeds: Seeds | None = None, batch: int = BATCH
) -> EarlyEvaluation:
    """`evaluate`, with every sample answered as soon as it is clear."""
    scores, taken = [], []
    with torch.inference_mode():
        for rows, ids in batches(data, batch):
            keep = ids >= 0
            shown = not isinstance(data, EventDataset)
            x = data.x[rows[keep]] if shown else data.raster(steps, rows[keep])  # type: ignore[union-attr]
            found = run_until(network, x, rule, steps=steps, shown=shown, seeds=seeds, sample_ids=ids[keep])
            scores.append(found.readout)
            taken.append(found.steps)
    return EarlyEvaluation(torch.cat(scores).numpy(), np.asarray(data.labels), torch.cat(taken).numpy())
