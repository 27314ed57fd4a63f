"""A whole IIR-SNN study from a TOML file: train the ANN, retrain it down to one step, and what stands beside it.

    [retrain]
    model = "vgg5"              # an architecture (with width, hidden, batch_norm, dropout), or package.module:function
    data = "fashion_mnist.npz"  # as on the command line
    stages = [5, 4, 3, 2, 1]
    epochs = [1, 1, 1, 2, 8]    # of each stage; left out: those of [snn]
    compare = true              # also: direct training at the last T from random weights, and conversion at every T
    [ann]                       # `Training` of the ANN
    [snn]                       # `Training` of every stage

Folder: ann.safetensors, stage-T.safetensors, direct.safetensors are checkpoints, T<k>/ the finished networks. A run that was
stopped, anywhere, goes on from them.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import checkpoint
from ..architectures import KNOWN, architecture, must_be_known
from ..conversion import convert
from ..core.ledger import Action, Ledger
from ..core.params import check
from ..core.seeds import Seeds
from ..datasets import EventDataset
from ..errors import DatasetError, ParameterError, must
from ..evaluation import evaluate, evaluate_ann, paired_gap
from ..graph import INPUT
from ..hardware.cost.baselines import arithmetic
from ..network import Network
from ..neurons import Neuron
from .batches import TensorBatches
from .experiment import Experiment
from .loop import fit
from .losses import CrossEntropy, MembraneCrossEntropy
from .settings import Training
from .single_timestep import Schedule, constrain, initialise_thresholds, listed, plain, retrain, spiking_twin
from .tables import known_keys, must_be_tables, read_tables

TIMED, REPEATS = 64, 7
"""Samples of a timed inference; repetitions, of which the median counts."""

Tell = Callable[[str, Any], None]


@dataclass(frozen=True)
class Retraining:
    """The `[retrain]` table.

    model, width, hidden, batch_norm, dropout   see `architecture`; of a model of your own, dropout is that of the stages
    data, batch_size, augment, validation, smoothing   as in `Experiment`
    stages, epochs, percentile, steps, samples  see `Schedule`
    samples_used     training samples; 0: all      compare   whether what stands beside it is trained too
    direct_steps     steps that thresholds of direct training are first measured over; 0: as many as it has
    """

    model: str
    data: str
    width: float = 1.0
    hidden: int = 1024
    batch_norm: bool = True
    dropout: float = 0.2
    batch_size: int = 64
    augment: str = "none"
    validation: float = 0.0
    smoothing: float = 0.0
    stages: tuple[int, ...] = (5, 4, 3, 2, 1)
    percentile: float = 90.0
    steps: int = 100
    samples: int = 256
    samples_used: int = 0
    compare: bool = True
    epochs: tuple[int, ...] = ()
    direct_steps: int = 0

    def __post_init__(self) -> None:
        for name in ("stages", "epochs"):
            object.__setattr__(self, name, listed(getattr(self, name)))
        for name in ("samples_used", "direct_steps"):
            check(self, name, at_least=0, integer=True)
        self.experiment()  # what these refuse is refused before any work
        self.schedule(Training())
        if ":" not in self.model:
            must_be_known(self.model)

    def experiment(self) -> Experiment:
        """The same settings of data and batches, of an ANN's training."""
        return Experiment(
            self.model, self.data, self.batch_size, self.smoothing, augment=self.augment, validation=self.validation
        )

    def schedule(self, training: Training) -> Schedule:
        """The stages."""
        return Schedule(
            training, self.stages, self.percentile, self.steps, self.samples, self.dropout, self.smoothing, self.epochs
        )  # fmt: skip

    def built(self, shape: tuple[int, ...], classes: int, own: Callable[[str], nn.Module]) -> nn.Module:
        """The ANN for inputs of `shape`; `own` makes package.module:function."""
        if ":" in self.model:
            return own(self.model)
        if len(shape) != 3:
            raise DatasetError(must("retrain.data", "images (C, H, W) for an architecture", shape))
        return architecture(
            self.model, shape, classes, width=self.width, hidden=self.hidden, batch_norm=self.batch_norm,
            dropout=self.dropout,
        )  # type: ignore[arg-type]  # fmt: skip


def read_retraining(path: Path) -> tuple[Retraining, Training, Training]:
    """Settings, training of the ANN, training of every stage. Unknown keys are refused with the nearest spelling."""
    tables = read_tables(path)
    must_be_tables(path, tables, ("retrain", "ann", "snn"))
    found = known_keys(path, "retrain", tables.get("retrain", {}), Retraining.__dataclass_fields__)
    for key in ("model", "data"):
        if key not in found:
            example = f"one of {', '.join(KNOWN)}, or package.module:function" if key == "model" else "a data set"
            raise ParameterError(must(f"{path} [retrain] {key}", example, "nothing"))
    return Retraining(**found), Training.from_toml(path, "ann"), Training.from_toml(path, "snn")


class Study:
    """One run of the file on training samples and test samples; `tell(what, epoch)` hears of every epoch."""

    def __init__(
        self, settings: Retraining, ann: Training, snn: Training, data: tuple[Any, Any], seeds: Seeds, out: Path,
        own: Callable[[str], nn.Module], tell: Tell,
    ) -> None:  # fmt: skip
        train, self.test = data
        if isinstance(train, EventDataset):
            rule = "arrays, which are shown at every step (direct encoding)"
            raise DatasetError(
                must("retrain.data", rule, f"recordings, {train.name}", "use `spikesim train` for events")
            )
        if settings.samples_used:
            train = train.subset(np.arange(min(settings.samples_used, len(train))))
        self.settings, self.ann_training, self.snn_training = settings, ann, snn
        self.seeds, self.out, self.tell, self.own = seeds, out, tell, own
        self.kept, self.held = settings.experiment().parted(train, seeds.root)
        self.x: Tensor = self.kept.frames()
        self.classes = max(train.classes, self.test.classes)

    def run(self) -> dict[str, Any]:
        """Everything, as JSON; minutes are those of this run, without what checkpoints spared it."""
        started = time.perf_counter()
        ann, minutes = self._ann(), dict[str, float]()
        right = {"ann": evaluate_ann(ann, self.test).right}
        minutes["ann"] = _minutes(started)
        rows: list[dict[str, Any]] = []
        networks: dict[int, Network] = {}
        for stage in self._stages(ann):
            networks[stage.steps] = stage.network
            checkpoint.save(stage.network, self.out / f"T{stage.steps}")
            before = right[f"{rows[-1]['steps']}"] if rows else right["ann"]
            rows.append(self._row(stage.network, stage.steps, right, before))
        minutes["stages"] = _minutes(started) - minutes["ann"]
        if self.settings.compare:
            self._compare(ann, rows, right)
        return {
            "ann_accuracy": float(right["ann"].mean()), "test_samples": len(self.test), "classes": self.classes,
            "chance": 1 / self.classes, "training_samples": len(self.x), "stages": rows,
            "parameters": sum(p.numel() for p in ann.parameters()), "minutes": minutes,
            "milliseconds_per_sample": self._times(ann, networks),
        }  # fmt: skip

    def _fresh(self) -> nn.Module:
        torch.manual_seed(self.seeds.child("weights").key & 0x7FFF_FFFF)
        return self.settings.built(tuple(self.x.shape[1:]), self.classes, self.own)

    def _batches(self, data: Any, training: bool) -> Any:
        return self.settings.experiment().batches(data, training)

    def _validation(self) -> TensorBatches | None:
        return None if self.held is None else self._batches(self.held, False)

    def _ann(self) -> nn.Module:
        model = self._fresh()
        fit(
            model, self._batches(self.kept, True), CrossEntropy(self.settings.smoothing), self.ann_training,
            seeds=self.seeds.child("ann"), validation=self._validation(), checkpoint=self.out / "ann.safetensors",
            watch=lambda epoch: self.tell("ANN", epoch),
        )  # fmt: skip
        return model

    def _stages(self, ann: nn.Module) -> Any:
        return retrain(
            ann, self._batches(self.kept, True), self.settings.schedule(self.snn_training), self.x,
            seeds=self.seeds.child("snn"), validation=self._validation(), folder=self.out,
            watch=lambda steps, epoch: self.tell(f"T = {steps}", epoch),
        )  # fmt: skip

    def _row(self, network: Network, steps: int, right: dict[str, np.ndarray], before: np.ndarray) -> dict[str, Any]:
        """A stage: accuracy, the drop against the stage before and the ANN (points, paired), spikes, energy."""
        ledger = Ledger()
        right[str(steps)] = found = evaluate(network, self.test, steps=steps, ledger=ledger).right
        return {
            "steps": steps, "accuracy": float(found.mean()), "drop_from_before": _points(found, before),
            "drop_from_ann": _points(found, right["ann"]), **spikes_and_energy(network, self.test.x[:1], ledger, steps),
        }  # fmt: skip

    def _compare(self, ann: nn.Module, rows: list[dict[str, Any]], right: dict[str, np.ndarray]) -> None:
        for row in rows:
            steps = row["steps"]
            converted, report = convert(ann, calibration=self.x[:512], steps=steps)
            found = evaluate(converted, self.test, steps=steps).right
            row["converted"] = {"accuracy": float(found.mean()), "recipe": report.recipe}
            row["ahead_of_converted"] = _points(found, right[str(steps)])
        steps = self.settings.stages[-1]
        direct = evaluate(self._direct(steps), self.test, steps=steps).right
        rows[-1]["direct"] = {"accuracy": float(direct.mean()), "epochs": self.epochs}
        rows[-1]["ahead_of_direct"] = _points(direct, right[str(steps)])

    @property
    def epochs(self) -> int:
        """Epochs of the whole schedule, the ANN's included; as many as direct training has."""
        stages = self.settings.schedule(self.snn_training).trainings
        return self.ann_training.epochs + sum(training.epochs for training in stages)

    def _direct(self, steps: int) -> Network:
        """The same network trained at `steps` from random weights, for as many epochs.

        Thresholds of a long run are so high that random weights hardly fire at T = 1: a deep network then learns nothing, but a
        shallow one learns more (`direct_steps`).
        """
        twin = spiking_twin(self._fresh(), self.x[:64], dropout=self.settings.dropout)
        path, settings = self.out / "direct.safetensors", self.settings
        if not path.exists():
            over = settings.direct_steps or steps
            initialise_thresholds(twin, self.x[: settings.samples], steps=over, percentile=settings.percentile)
        training = replace(self.snn_training, epochs=self.epochs)
        fit(
            twin, self._batches(self.kept, True), MembraneCrossEntropy(settings.smoothing, steps), training,
            seeds=self.seeds.child("direct"), validation=self._validation(), checkpoint=path, constrain=constrain,
            watch=lambda epoch: self.tell(f"direct, T = {steps}", epoch),
        )  # fmt: skip
        return plain(twin)

    def _times(self, ann: nn.Module, networks: dict[int, Network]) -> dict[str, float]:
        """Median milliseconds per sample of the ANN and of every stage, turn by turn, with torch's present threads."""
        x, twin = self.test.x[:TIMED], copy.deepcopy(ann).eval()
        ways: dict[str, Callable[[], Any]] = {"ann": lambda: twin(x)}
        for steps, network in networks.items():
            ways[str(steps)] = lambda network=network, steps=steps: network(x.expand(steps, *x.shape))  # type: ignore[misc]
        taken: dict[str, list[float]] = {name: [] for name in ways}
        with torch.inference_mode():
            for way in ways.values():
                way()
            for _ in range(REPEATS):
                for name, way in ways.items():
                    started = time.perf_counter()
                    way()
                    taken[name].append(1e3 * (time.perf_counter() - started) / len(x))
        return {name: statistics.median(values) for name, values in taken.items()}


def spikes_and_energy(network: Network, x: Tensor, ledger: Ledger, steps: int) -> dict[str, Any]:
    """What a run counted, per inference, and two ratios of the ANN's energy (4.6 pJ for each of a dense pass's products).

    spikes           layer -> spikes per neuron
    paper_ratio      4.6 OPS_1 + 0.9 sum over later layers of (spikes per neuron of its source) OPS_l: a pool's fractions and
                     residual sums count as additions of the spikes behind them
    counted_ratio    0.9 for every addition, 4.6 for every product with a value other than +-1, as counted; the first layer,
                     whose input is the same at every step, once
    """
    shapes, products = network.shapes(x[None]), network.synapses(x)
    samples = ledger.samples
    spiking = [n for n, m in network.nodes.items() if isinstance(m, Neuron) and m.spiking]
    spikes = {n: ledger.count(Action.spike_hop, n) / samples / int(np.prod(shapes[n])) for n in spiking}
    entry = [n for n in products if _sources(network, n) == {INPUT}]
    macs = sum(ledger.count(Action.digital_mac, n) / (steps if n in entry else 1) for n in products)
    adds = sum(ledger.count(Action.digital_add, n) for n in products)
    rates = {n: sum(spikes[s] for s in _sources(network, n) if s in spikes) for n in products if n not in entry}
    paper = arithmetic(sum(rates[n] * products[n] for n in rates), sum(products[n] for n in entry))
    dense = arithmetic(0, sum(products.values()))
    return {
        "spikes": spikes, "operations": {"adds": adds / samples, "macs": macs / samples, "dense": sum(products.values())},
        "paper_ratio": dense / paper, "counted_ratio": dense / arithmetic(adds / samples, macs / samples),
    }  # fmt: skip


def _sources(network: Network, name: str) -> set[str]:
    """The neurons (or the input) whose values reach a node without another neuron or layer of weights between."""
    found: set[str] = set()
    for source in (e.source for e in network.edges if e.target == name):
        ends = source == INPUT or isinstance(network.node(source), (Neuron, nn.Conv2d, nn.Linear))
        found |= {source} if ends else _sources(network, source)
    return found


def _points(first: np.ndarray, second: np.ndarray) -> list[float]:
    """Points by which the second is ahead of the first on the same samples, and the paired standard error."""
    gap, error = paired_gap(first, second)
    return [100 * gap, 100 * error]


def _minutes(started: float) -> float:
    return (time.perf_counter() - started) / 60
