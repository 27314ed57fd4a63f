"""The protocol: found where there is shared structure, at chance where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import spikesim as ss
from spikesim.errors import DatasetError
from spikesim.lsm.alignment import Attributes, ByContrast, Canonical, Procrustes
from spikesim.lsm.contrastive import Contrastive, Side
from spikesim.lsm.zero_shot import (
    Sets,
    chosen_on_test,
    few_shots,
    held_out,
    over_pairs,
    p_value,
    shuffled_names,
)

CLASSES, LATENT = 8, 3
QUICK = Contrastive(size=8, batch=64, training=replace(Contrastive().training, epochs=6, learning_rate=2e-2))


def sets(shared: bool) -> Sets:
    """Two modalities: linear views of class vectors, the same ones where structure is shared, and noise."""
    generator = np.random.default_rng(3)
    codes = generator.standard_normal((CLASSES, LATENT))
    made = []
    for size in (15, 10):
        view = generator.standard_normal((LATENT, size))
        own = codes if shared else generator.standard_normal((CLASSES, LATENT))
        for count in (160, 64):
            labels = np.arange(count) % CLASSES
            noise = 0.3 * generator.standard_normal((count, size))
            made.append(Side((own[labels] @ view + noise).astype(np.float32), labels))
    return Sets(made[0], made[2], made[1], made[3])


WAYS = {
    "contrastive": ByContrast(QUICK), "canonical": Canonical(ridge=0.1), "procrustes": Procrustes(0.1),
    "attributes": Attributes(np.random.default_rng(3).standard_normal((CLASSES, LATENT))),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_shared_structure_is_found(name: str) -> None:
    rows = over_pairs(WAYS[name], sets(True), ss.Seeds(0))
    assert len(rows) == CLASSES * (CLASSES - 1) // 2
    assert np.mean([row["mean"] for row in rows]) > 0.75


def test_names_that_are_shuffled_give_chance_and_right_ones_do_not() -> None:
    way, structured = WAYS["canonical"], sets(True)
    null = shuffled_names(way, structured, ss.Seeds(1), 20)
    observed = float(np.mean([row["mean"] for row in over_pairs(way, structured, ss.Seeds(1))]))
    assert abs(np.mean(null) - 0.5) < 0.1
    assert p_value(observed, null) == pytest.approx(1 / 21)
    without = sets(False)
    there = float(np.mean([row["mean"] for row in over_pairs(way, without, ss.Seeds(1))]))
    assert p_value(there, shuffled_names(way, without, ss.Seeds(1), 20)) > 0.05


def test_unseen_classes_are_not_trained_on() -> None:
    """The training samples of the held-out pair may be anything: nothing changes."""
    whole, pair = sets(True), (2, 5)
    spoilt = Side(whole.train_a.features.copy(), whole.train_a.labels)
    spoilt.features[np.isin(spoilt.labels, pair)] = 1e3
    for way in (WAYS["canonical"], WAYS["contrastive"]):
        found = held_out(way, whole, pair, ss.Seeds(0))
        again = held_out(way, Sets(spoilt, whole.train_b, whole.test_a, whole.test_b), pair, ss.Seeds(0))
        assert all(np.array_equal(found[name].right, again[name].right) for name in found)


def test_few_shots_tell_two_classes_apart_without_shared_structure() -> None:
    without = sets(False)
    shares = [few_shots(without, (0, k), shots, ss.Seeds(k)) for shots in (1, 10) for k in range(1, 8)]
    assert np.mean(shares[7:]) > 0.9
    assert np.mean(shares[7:]) >= np.mean(shares[:7])


def test_choosing_on_test_is_told_apart() -> None:
    row = chosen_on_test(QUICK, sets(False), list(range(6)), (6, 7), ss.Seeds(0), 3)
    assert len(row["last_epoch"]) == row["runs"] == 3 and row["chance"] == 0.5
    assert row["best_of_all"] == max(row["best_epoch_of_each_run"])
    assert all(best >= last for best, last in zip(row["best_epoch_of_each_run"], row["last_epoch"]))


def test_refusals() -> None:
    with pytest.raises(DatasetError, match=r"held_out.unseen"):
        held_out(WAYS["canonical"], sets(True), tuple(range(7)), ss.Seeds(0))
    with pytest.raises(DatasetError, match=r"labels must be below 3"):
        held_out(Attributes(np.ones((3, 2))), sets(True), (0, 1), ss.Seeds(0))
    with pytest.raises(DatasetError, match=r"Attributes.table"):
        Attributes(np.array([[np.nan]]))


def test_unseen_classes_are_in_both_test_parts() -> None:
    with pytest.raises(DatasetError, match=r"zeroshot\.unseen must be of .*which both modalities have, got \[6, 99\]"):
        chosen_on_test(QUICK, sets(False), list(range(6)), (6, 99), ss.Seeds(0), 1)
