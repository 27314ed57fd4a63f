"""Contrastive match and retrieval, on modalities whose classes can be told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import spikesim as ss
from spikesim.errors import DatasetError, ParameterError
from spikesim.lsm.contrastive import Contrastive, Embedding, Pairs, Side, SymmetricLoss, trained
from spikesim.lsm.retrieval import by_prototype, judged, matched, prototypes
from spikesim.lsm.zero_shot import Sets, matches, prototype_matches


def side(seed: int, size: int, count: int = 200, classes: int = 5, spread: float = 0.5) -> Side:
    """Blobs around centres of their own."""
    centres = np.random.default_rng(size).standard_normal((classes, size)) * 2
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    return Side((centres[labels] + spread * generator.standard_normal((count, size))).astype(np.float32), labels)


SETS = Sets(side(0, 20), side(1, 12, 90), side(2, 20, 60), side(3, 12, 50))
QUICK = Contrastive(size=8, batch=64, training=replace(Contrastive().training, epochs=8, learning_rate=2e-2))


@pytest.mark.parametrize("class_aware", [True, False])
def test_modalities_meet(class_aware: bool) -> None:
    embedding = trained(SETS.train_a, SETS.train_b, replace(QUICK, class_aware=class_aware), seeds=ss.Seeds(0))
    found = matches(embedding, SETS.judged(range(5)))
    assert set(found) == {"a to b", "b to a"}
    for match in found.values():
        assert match.accuracy > 0.9
        assert 0.15 < match.chance < 0.27
        assert match.matrix.sum() == len(match.right)
        assert np.trace(match.matrix) == match.right.sum()
    z = embedding.of("a", SETS.test_a.features)
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, rtol=1e-5)
    beside = prototype_matches(embedding, SETS.judged(range(5)), {"a": SETS.train_a, "b": SETS.train_b})
    assert all(m.accuracy > 0.9 and m.chance == pytest.approx(0.2) for m in beside.values())


def test_training_is_the_same_for_the_same_seeds() -> None:
    first, again, other = (trained(SETS.train_a, SETS.train_b, QUICK, seeds=ss.Seeds(k)) for k in (0, 0, 1))
    x = SETS.test_a.features
    assert np.array_equal(first.of("a", x), again.of("a", x))
    assert not np.array_equal(first.of("a", x), other.of("a", x))


@pytest.mark.parametrize("class_aware", [True, False])
def test_the_loss_is_its_formula(class_aware: bool) -> None:
    a, b, labels = side(5, 6, 7), side(6, 4, 7), torch.tensor([0, 1, 0, 2, 1, 0, 2])
    embedding = Embedding(a.features, b.features, QUICK)
    x = torch.from_numpy(np.concatenate([a.features, b.features], 1))
    loss, scores = SymmetricLoss(0.3, class_aware, 3)(embedding, x, labels)
    za, zb = (torch.from_numpy(embedding.of(n, s.features)).double() for n, s in (("a", a), ("b", b)))
    s = (za @ zb.T / 0.3).numpy()
    same = labels.numpy()[:, None] == labels.numpy()[None] if class_aware else np.eye(7, dtype=bool)
    total = 0.0
    for table in (s, s.T):
        for i in range(7):
            log = table[i] - np.log(np.exp(table[i]).sum())
            total -= log[same[i]].mean() / 14
    assert float(loss.detach()) == pytest.approx(total, rel=1e-5)
    assert scores.argmax(1).tolist() == labels.numpy()[s.argmax(1)].tolist()


def test_pairs_are_of_one_class_and_all_samples_are_used() -> None:
    pairs = Pairs(SETS.train_a, SETS.train_b, 32)
    batches = list(pairs.epoch(ss.Seeds(4)))
    assert len(batches) == len(pairs)
    rows = torch.cat([batch.x for batch in batches]).numpy()
    labels = torch.cat([batch.labels for batch in batches]).numpy()
    for part, of in ((rows[:, :20], SETS.train_a), (rows[:, 20:], SETS.train_b)):
        known = {row.tobytes(): label for row, label in zip(of.features, of.labels)}
        assert [known[row.tobytes()] for row in np.ascontiguousarray(part)] == labels.tolist()
        assert len({row.tobytes() for row in np.ascontiguousarray(part)}) == len(of.labels)


def test_raw_counts_point_one_way_and_standardised_ones_do_not() -> None:
    """Why features are standardised: positive counts are all alike by their direction."""
    shifted = Sets(
        *(Side(s.features + np.float32(30), s.labels) for s in (SETS.train_a, SETS.train_b, SETS.test_a, SETS.test_b))
    )
    raw = matched(shifted.test_a.features, shifted.test_a.labels, shifted.train_a.features, shifted.train_a.labels)
    cosine = shifted.test_a.features @ shifted.train_a.features.T
    cosine /= np.linalg.norm(shifted.test_a.features, axis=1)[:, None] * np.linalg.norm(
        shifted.train_a.features, axis=1
    )
    assert cosine.min() > 0.98 and raw.accuracy < 0.6
    embedding = trained(shifted.train_a, shifted.train_b, QUICK, seeds=ss.Seeds(0))
    assert all(m.accuracy > 0.9 for m in matches(embedding, shifted.judged(range(5))).values())


def test_retrieval_by_hand() -> None:
    queries, candidates = np.eye(3)[[0, 1, 2, 2]], np.array([[0.9, 0.1, 0.0], [0.0, 0.8, 0.3], [0.1, 0.0, 0.7]])
    match = matched(queries, np.array([4, 7, 7, 9]), candidates, np.array([4, 7, 9]))
    assert match.right.tolist() == [True, True, False, True]
    assert match.matrix.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert match.classes.tolist() == [4, 7, 9] and match.chance == pytest.approx(1 / 3)
    means, classes = prototypes(np.array([[2.0, 0.0], [4.0, 0.0], [0.0, 1.0]]), np.array([1, 1, 3]))
    assert means.tolist() == [[1, 0], [0, 1]] and classes.tolist() == [1, 3]
    assert by_prototype(np.array([[1.0, 0.2]]), np.array([3]), np.eye(2), np.array([1, 3])).accuracy == 0


def test_a_class_with_one_sample_is_enough() -> None:
    labels = SETS.train_b.labels.copy()
    rows = np.flatnonzero(labels == 2)
    kept = np.setdiff1d(np.arange(len(labels)), rows[1:])
    b = Side(SETS.train_b.features[kept], labels[kept])
    embedding = trained(SETS.train_a, b, QUICK, seeds=ss.Seeds(0))
    assert np.isfinite(embedding.of("b", b.features)).all()


def test_refusals() -> None:
    with pytest.raises(DatasetError, match=r"at least two classes that both modalities have"):
        trained(SETS.train_a, Side(SETS.train_b.features, SETS.train_b.labels + 10), QUICK, seeds=ss.Seeds(0))
    with pytest.raises(DatasetError, match=r"of classes that both modalities have"):
        judged(np.array([1, 2]), np.array([1, 1]), np.array([1]))
    with pytest.raises(DatasetError, match=r"Side.features"):
        Side(np.zeros((3, 2), np.float32), np.zeros(2, int))
    with pytest.raises(DatasetError, match=r"classes must be among the labels"):
        SETS.train_a.of([77])
    with pytest.raises(ParameterError, match=r"Contrastive.temperature must be"):
        Contrastive(temperature=0.0)
    with pytest.raises(ParameterError, match=r"Contrastive.batch"):
        trained(SETS.train_a, SETS.train_b, replace(QUICK, batch=1), seeds=ss.Seeds(0))
