"""A whole zero-shot study: features of both modalities, then one part after the other, each kept as it is finished.

    OUT/parts/<part>.json    what each part found: a run that was stopped goes on behind them
    parts   data, probe, seen, unseen, pairs, few_shots, groups, chips, encoders

Everything that is chosen is chosen on validation samples; test samples judge once. Chance stands beside every figure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ..core.files import folder, read_json, write_json
from ..core.seeds import Seeds
from ..errors import ArtefactError, DatasetError, must
from ..fingerprint import fingerprint
from ..statistics import mean_interval, wilson
from .alignment import Attributes, ByContrast, Canonical, Procrustes, Way
from .contrastive import Side, classes_of, trained
from .extraction import event_counts, features
from .probe import LinearProbe, probed
from .settings import Modality, ZeroShot
from .sources import Parts, recordings
from .zero_shot import (
    NAMES,
    Row,
    Sets,
    chosen_on_test,
    few_shots,
    matches,
    over_pairs,
    p_value,
    prototype_matches,
    shuffled_names,
)  # fmt: skip

VALIDATION_PAIRS = 15
"""Pairs that a way is chosen by; all others judge it."""
RIDGES = (0.1, 1.0, 10.0)
Tell = Callable[[str], None]


@dataclass(eq=False)
class Study:
    """`run()` gives all parts as one JSON value."""

    settings: ZeroShot
    seeds: Seeds
    out: Path
    root: Path | None = None
    tell: Tell = lambda text: None

    def run(self) -> Row:
        """Every part, from its file where that is there."""
        folder(self.out / "parts", "--out")
        self._must_be_ours()
        parts: dict[str, Callable[[], Row]] = {
            "data": self.data, "probe": self.probe,
            "seen": self.seen, "unseen": self.unseen, "pairs": self.pairs, "few_shots": self.few_shots
        }  # fmt: skip
        if self.settings.groups and self.parts["b"].train.groups is not None:
            parts["groups"] = self.groups
        if self.settings.chips is not None:
            from .on_chips import over_chips

            parts["chips"] = lambda: over_chips(self)
        if self.settings.encoders:
            from .baseline import trained_encoders

            parts["encoders"] = lambda: trained_encoders(self)
        return {name: self._kept(name, part) for name, part in parts.items()}

    def _kept(self, name: str, part: Callable[[], Row]) -> Row:
        path = self.out / "parts" / f"{name}.json"
        if not path.exists():
            self.tell(name)
            write_json(path, part())
        found: Row = read_json(path)
        return found

    def _must_be_ours(self) -> None:
        path, own = (
            self.out / "parts" / "of.json",
            {"study": fingerprint(settings=repr(self.settings), seeds=repr(self.seeds))},
        )
        if not path.exists():
            write_json(path, own)
        elif read_json(path) != own:
            rule = "an empty folder, or that of this study, seed and version"
            raise ArtefactError(must("--out", rule, f"{self.out}, of another one", "choose another, or delete it"))

    def modality(self, name: str) -> Modality:
        """The modality called "a" or "b"."""
        return self.settings.a if name == "a" else self.settings.b

    @cached_property
    def parts(self) -> dict[str, Parts]:
        """Recordings of both modalities."""
        return {n: recordings(self.modality(n), self.seeds.child("data", n), self.root) for n in NAMES}

    @cached_property
    def reservoirs(self) -> dict[str, Any]:
        """Both reservoirs' settings."""
        return {n: self.modality(n).built(self.modality(n).frames.inputs(self.parts[n].train)) for n in NAMES}

    def seeds_of(self, name: str) -> Seeds:
        """The seeds that a modality's weights are drawn from."""
        return self.seeds.child("reservoir", name)

    def made(self, name: str, network: Any, seeds: Seeds | None = None, ledger: Any = None) -> dict[str, Side]:
        """Features of a modality's three parts by a network or chip."""
        m = self.modality(name)
        options: dict[str, Any] = {"windows": m.windows, "membrane": m.membrane, "seeds": seeds}
        found = {}
        for part, data in zip(("train", "valid", "test"), self.parts[name]):
            counted = ledger if part == "test" else None
            made = features(network, data, m.frames, ledger=counted, **options)
            found[part] = Side(made.values, np.asarray(data.labels, np.int64))
        return found

    @cached_property
    def ideal(self) -> dict[str, dict[str, Side]]:
        """Features by the ideal reservoirs."""
        return {n: self.made(n, self.reservoirs[n].network(self.seeds_of(n))) for n in NAMES}

    @cached_property
    def counted(self) -> dict[str, dict[str, Side]]:
        """As many features of the events themselves, without any reservoir."""
        found: dict[str, dict[str, Side]] = {}
        for n in NAMES:
            m, size = self.modality(n), self.ideal[n]["train"].features.shape[1]
            found[n] = {
                part: Side(
                    event_counts(data, m.frames, windows=m.windows, size=size, seeds=self.seeds.child("events", n)),
                    np.asarray(data.labels, np.int64),
                )
                for part, data in zip(("train", "valid", "test"), self.parts[n])
            }
        return found

    def seen_of(self, classes: list[int]) -> list[int]:
        """Those of the classes that the named split trains on."""
        return [
            c for c in classes if (c in self.settings.seen if self.settings.seen else c not in self.settings.unseen)
        ]

    @staticmethod
    def sets(of: dict[str, dict[str, Side]], judged: str = "test") -> Sets:
        """Training samples beside those that judge: "valid" or "test"."""
        return Sets(of["a"]["train"], of["b"]["train"], of["a"][judged], of["b"][judged])

    def data(self) -> Row:
        """What was read, by modality: kind, name, where it is from if the file says so, sensor, inputs, samples of each part."""
        found: Row = {}
        for n in NAMES:
            m, parts = self.modality(n), self.parts[n]
            summary = parts.train.summary()
            row = {key: summary[key] for key in ("kind", "name", "source", "classes", "groups") if key in summary}
            sizes = {"train": len(parts.train) - parts.copies, "copies": parts.copies}
            sizes |= {"valid": len(parts.valid), "test": len(parts.test)}
            found[m.name] = {**row, "sensor": list(parts.train.sensor), "inputs": m.frames.inputs(parts.train), **sizes}
        return found

    def probe(self) -> Row:
        """Linear probes of either modality, reservoir and events alone."""
        found: Row = {}
        for n in NAMES:
            row: Row = {"features": self.ideal[n]["train"].features.shape[1]}
            for what, of in (("reservoir", self.ideal), ("events", self.counted)):
                train, test = of[n]["train"], of[n]["test"]
                right = probed(train.features, train.labels, test.features, LinearProbe()) == test.labels
                row[what] = {"accuracy": float(right.mean()), "ci95": wilson(float(right.mean()), len(right))}
            chance = float(np.bincount(test.labels).max() / len(test.labels))
            found[self.modality(n).name] = {**row, "samples": len(test.labels), "chance": chance}
        return found

    def seen(self) -> Row:
        """Matches among the classes that were trained on, by seeds; prototypes and events alone beside them."""
        classes = self.seen_of(self.sets(self.ideal).classes)
        found: Row = {"classes": classes}
        for what, of in (("reservoir", self.ideal), ("events", self.counted)):
            sets, runs, proto = self.sets(of), dict[str, list[float]](), dict[str, list[float]]()
            for k in range(self.settings.runs):
                embedding = trained(*sets.training(classes), self.settings.match, seeds=self.seeds.child("seen", k))
                got, support = matches(embedding, sets.judged(classes)), dict(zip(NAMES, sets.training(classes)))
                beside = prototype_matches(embedding, sets.judged(classes), support)
                for name in got:
                    runs.setdefault(self.named(name), []).append(got[name].accuracy)
                    proto.setdefault(self.named(name), []).append(beside[name].accuracy)
                if k == 0 and what == "reservoir":
                    found["matrix"] = {self.named(name): m.matrix.tolist() for name, m in got.items()}
                    found["chance"] = {self.named(name): m.chance for name, m in got.items()}
                    found["map"] = self._map(embedding, sets.judged(classes))
            found[what] = {name: _spread(values) for name, values in runs.items()}
            found[f"{what}_prototypes"] = {name: _spread(values) for name, values in proto.items()}
        return found

    def named(self, direction: str) -> str:
        """ "a to b" with the modalities' names."""
        first, _, second = direction.partition(" to ")
        return f"{self.modality(first).name} to {self.modality(second).name}"

    def _map(self, embedding: Any, sides: dict[str, Side], most: int = 40) -> Row:
        """Up to `most` samples of each class and modality in the two main directions of the space."""
        z = {n: embedding.of(n, s.features) for n, s in sides.items()}
        rows = {
            n: np.concatenate([np.flatnonzero(s.labels == c)[:most] for c in np.unique(s.labels)])
            for n, s in sides.items()
        }
        together = np.concatenate([z[n][rows[n]] for n in NAMES])
        _, _, axes = np.linalg.svd(together - together.mean(0), full_matrices=False)
        place = (together - together.mean(0)) @ axes[:2].T
        cut = len(rows["a"])
        return {
            self.modality(n).name: {
                "x": part[:, 0].tolist(),
                "y": part[:, 1].tolist(),
                "label": sides[n].labels[rows[n]].tolist(),
            }
            for n, part in (("a", place[:cut]), ("b", place[cut:]))
        }

    def unseen(self) -> Row:
        """The split that is named: at the last epoch over seeds, and what choosing on test samples makes of it."""
        s = self.settings
        sets = self.sets(self.ideal)
        row = chosen_on_test(s.match, sets, self.seen_of(sets.classes), s.unseen, self.seeds.child("unseen"), s.runs)
        return {**row, "last": _spread(row["last_epoch"])}

    def ways(self) -> dict[str, Way]:
        """What is tried to bring unseen classes together."""
        table = np.array(self.settings.attributes)
        made: dict[str, Callable[[float], Way]] = {
            "canonical": lambda ridge: Canonical(ridge=ridge), "procrustes": Procrustes,
            "attributes": lambda ridge: Attributes(table, ridge),
        }  # fmt: skip
        found: dict[str, Way] = {}
        for name in self.settings.ways:
            if name == "contrastive":
                found[name] = ByContrast(self.settings.match)
            else:
                found |= {f"{name}, ridge {ridge:g}": made[name](ridge) for ridge in RIDGES}
        return found

    def pairs(self) -> Row:
        """All pairs of classes held out in turn; the way chosen on validation pairs, judged on the others."""
        seeds, valid = self.seeds.child("pairs"), self.sets(self.ideal, "valid")
        everything = list(combinations(valid.classes, 2))
        order = seeds.child("order").generator().permutation(len(everything))
        cut = min(VALIDATION_PAIRS, len(everything) // 3)
        chosen_by, judged = ([everything[i] for i in sorted(part)] for part in np.split(order, [cut]))
        ways = self.ways()
        on_valid = {n: _mean(over_pairs(w, valid, seeds, chosen_by)) for n, w in ways.items()} if chosen_by else {}
        best = max(on_valid, key=lambda n: on_valid[n]) if on_valid else next(iter(ways))
        test = self.sets(self.ideal)
        rows = {n: over_pairs(w, test, seeds, everything) for n, w in ways.items()}
        self.tell(f"pairs: {self.settings.null} shuffles of names")
        held = _mean([r for r in rows[best] if tuple(r["pair"]) in set(judged)])
        null = shuffled_names(ways[best], test, seeds, self.settings.null, judged)
        return {
            "chance": 0.5, "on_validation_pairs": on_valid, "chosen": best, "validation_pairs": [list(p) for p in chosen_by],
            "held_out_pairs": len(judged), "held_out_mean": held, "null": null, "p": p_value(held, null) if null else None,
            "rows": rows, "means": {n: _mean(r) for n, r in rows.items()},
        }  # fmt: skip

    def few_shots(self) -> Row:
        """Matches of two classes of which some samples are labelled, over all pairs."""
        # A warped copy is no further label: only recordings themselves are drawn.
        own = {n: len(self.parts[n].train) - self.parts[n].copies for n in NAMES}
        first = {n: Side(s["train"].features[: own[n]], s["train"].labels[: own[n]]) for n, s in self.ideal.items()}
        sets, found = Sets(first["a"], first["b"], self.ideal["a"]["test"], self.ideal["b"]["test"]), {}
        pairs = list(combinations(sets.classes, 2))
        for shots in self.settings.shots:
            seeds = self.seeds.child("few shots", shots)
            found[str(shots)] = _spread([few_shots(sets, pair, shots, seeds.child(*pair)) for pair in pairs])
        return {"chance": 0.5, "pairs": len(pairs), "mean": found}

    def groups(self) -> Row:
        """Modality b with each of its groups (speakers) held out: trained without, judged on all test samples of it.

        A group is judged among the classes it has; those that are not in training and test, or have but one, are passed over.
        """
        train, test = self.parts["b"].train, self.parts["b"].test
        trained_on, judged_on = (set(() if of.groups is None else of.groups.tolist()) for of in (train, test))
        found: Row = {}
        a, b = self.ideal["a"], self.ideal["b"]
        for name in sorted(trained_on & judged_on) if len(trained_on) > 1 else ():
            kept, held = np.asarray(train.groups) != name, np.asarray(test.groups) == name
            side = Side(b["train"].features[kept], b["train"].labels[kept])
            judged = Side(b["test"].features[held], b["test"].labels[held])
            classes = self.seen_of(classes_of(a["train"], side))
            among = [c for c in classes if c in judged.labels]
            if len(among) < 2:
                continue
            answer = probed(side.features, side.labels, judged.features) == judged.labels
            sets = Sets(a["train"], side, a["test"], judged)
            embedding = trained(*sets.training(classes), self.settings.match, seeds=self.seeds.child("group", name))
            got = matches(embedding, sets.judged(among))
            shares = {self.named(n): m.accuracy for n, m in got.items()}
            found[name] = {"classes": len(among), "probe": float(answer.mean()), **shares}
        if not found:
            rule, had = "two or more in training, one judged in two classes", f"{len(trained_on)} and {len(judged_on)}"
            raise DatasetError(must(f"[{self.settings.b.name}] groups", rule, had, "set zeroshot.groups = false"))
        keys = [key for key in next(iter(found.values())) if key != "classes"]
        return {"by_group": found, "mean": {k: float(np.mean([row[k] for row in found.values()])) for k in keys}}


def _mean(rows: list[Row]) -> float:
    return float(np.mean([row["mean"] for row in rows]))


def _spread(values: list[float]) -> Row:
    return {"n": len(values), "mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
            "ci95": mean_interval(values), "least": min(values), "most": max(values)}  # fmt: skip
