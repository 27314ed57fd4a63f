"""Quality: intervals that hold, floors that are floors, what a copy, a blur and a lost class are told apart by."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spikesim as ss
from spikesim.diffusion import Classifier, Comparison, classifier_of, classifier_of_file, compared, frechet, quality
from spikesim.diffusion.comparison import _swapped
from spikesim.diffusion.quality import with_interval
from spikesim.errors import SpikesimError
from spikesim.statistics import wilson

SIDE = 4


class Quadrants(nn.Module):
    """x (N, 1, 4, 4) of -1 ... 1 -> logits of which quadrant is bright, from its four means."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.flat, self.scale = nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 4, bias=False)
        with torch.no_grad():
            self.scale.weight.copy_(8 * torch.eye(4))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.scale(self.flat(self.pool(x)))
        return y


@cache
def classifier() -> Classifier:
    return classifier_of(Quadrants(), "scale", shape=(1, SIDE, SIDE), name="quadrants", low=-1)


def drawn(seed: int, count: int, quadrants: tuple[int, ...] = (0, 1, 2, 3), spread: float = 0.2) -> Tensor:
    """Dark pictures with one bright quadrant."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.full((count, 1, SIDE, SIDE), -0.6)
    which = torch.tensor(quadrants)[torch.randint(len(quadrants), (count,), generator=generator)]
    for row, q in enumerate(which.tolist()):
        x[row, 0, 2 * (q // 2) : 2 * (q // 2) + 2, 2 * (q % 2) : 2 * (q % 2) + 2] = 0.6
    return (x + spread * torch.randn(x.shape, generator=generator)).clamp(-1, 1)


def judged(pictures: Tensor, **options: object):  # type: ignore[no-untyped-def]
    return quality(pictures, drawn(0, 700), classifier(), seeds=ss.Seeds(3), draws=50, **options)  # type: ignore[arg-type]


def test_good_pictures_are_like_real_ones() -> None:
    found = judged(drawn(1, 300), training=drawn(2, 800))
    assert found.samples == 300 and found.frechet.samples == (300, 300) == found.frechet_floor.samples
    assert found.frechet.value < 3 * found.frechet_floor.interval[1] and found.kernel.interval[0] < 0.05
    assert found.frechet_training.samples == (300, 300)
    sure = found.sureness
    assert sure.sampled.value > 0.9 and sure.real.value > 0.9 and sure.noise.value < 0.8 and sure.blends.value < 0.3
    assert sure.samples[:3] == (300, 700, 300) and 180 < sure.samples[3] < 270
    assert found.coverage.factor < 2 and found.coverage_real.factor < 2
    low, high = found.neighbours.nearer.interval
    assert [low, high] == wilson(found.neighbours.nearer.value, 210)  # 1/210 = 1/300 + 1/700
    assert low < 0.05 < high and found.neighbours.samples == (300, 700) and found.neighbours.training == 800


def test_copies_blur_and_lost_classes_are_told_apart() -> None:
    training = drawn(2, 800)
    copies = judged(training[:300], training=training)
    assert copies.neighbours.nearer.value == 1 and copies.neighbours.sampled[1] == 0 < copies.neighbours.held_out[1]

    blurred = judged(drawn(1, 300) * 0.3)
    assert blurred.frechet.interval[0] > blurred.frechet_floor.interval[1] and blurred.kernel.interval[0] > 0
    assert blurred.sureness.sampled.interval[1] < blurred.sureness.real.interval[0] and blurred.neighbours is None

    lost = judged(drawn(1, 300, quadrants=(0, 1, 3)))
    assert lost.coverage.missing == [2] and math.isinf(lost.coverage.factor)
    assert lost.frechet.interval[0] > lost.frechet_floor.interval[1]
    assert lost.as_dict()["classes"]["sampled"]["factor"] is None


def test_the_text_and_the_numbers() -> None:
    found = judged(drawn(1, 300), training=drawn(2, 800), searched=100)
    text, numbers = str(found), json.loads(json.dumps(found.as_dict(), allow_nan=False))
    for said in ("Frechet distance of quadrants, input of scale", "300 and 300 samples", "two real sets of as many", "noise",
                 "blends", "300 training pictures: ", "100 sampled", "4 classes in 300", "700 real", "chance 5%",
                 "0 by chance"):  # fmt: skip
        assert said in text, said
    assert "FID" not in text and numbers["features"] == "quadrants, input of scale"
    assert numbers["frechet"]["value"] == found.frechet.value and numbers["sure"]["level"] == 0.9
    assert judged(drawn(1, 300), training=drawn(2, 800), searched=100).as_dict() == found.as_dict()


def test_a_network_without_classes() -> None:
    found = judged(drawn(1, 300))
    bare = judged_by(replace(classifier(), layer=None, classes=0, name="logits"))
    assert bare.sureness is None and bare.coverage is None and "sure" not in bare.as_dict() and "sure" not in str(bare)
    assert bare.frechet.value == pytest.approx(64 * found.frechet.value, rel=1e-5)


def judged_by(other: Classifier):  # type: ignore[no-untyped-def]
    return quality(drawn(1, 300), drawn(0, 700), other, seeds=ss.Seeds(3), draws=50)


def test_the_interval_holds_what_others_of_as_many_get() -> None:
    """The mean distance of n against n samples, of sets that are unlike and of such that are equal."""
    for apart in (0.0, 0.5):
        rng = np.random.default_rng(5)
        sets = [(rng.standard_normal((100, 5)) + apart, rng.standard_normal((100, 5))) for _ in range(80)]
        mean = np.mean([frechet(a, b, features="n").value for a, b in sets])
        intervals = [with_interval(a, b, "n", ss.Seeds(i), 50).interval for i, (a, b) in enumerate(sets)]
        held = np.mean([low <= mean <= high for low, high in intervals])
        assert held >= 0.87, (apart, held)


def test_damage_is_seen_on_real_digits(shared_data: Path) -> None:
    looks = classifier_of_file(shared_data / "checkpoints" / "mnist-8.onnx", name="MNIST-8")
    with np.load(shared_data / "mnist.npz") as file:
        whole, real = (
            torch.as_tensor(file[k][::9][:m, None]).float() / 127.5 - 1 for k, m in (("train_x", 400), ("test_x", 800))
        )
    noise = torch.randn(whole.shape, generator=torch.Generator().manual_seed(0))
    found = [
        quality(x, real, looks, seeds=ss.Seeds(0), draws=20, floors=4)
        for x in (whole, (whole + 0.5 * noise).clamp(-1, 1), whole[:40].repeat(10, 1, 1, 1))
    ]
    good, noisy, few = found
    assert good.sureness.blends.value < 0.6 < 0.9 < good.sureness.sampled.value
    assert good.frechet.value < good.frechet_floor.interval[1] * 1.3
    for bad in (noisy, few):
        assert bad.frechet.interval[0] > good.frechet.interval[1] and bad.kernel.value > good.kernel.value
    assert compared(whole, (whole + 0.2 * noise).clamp(-1, 1), real, looks, seeds=ss.Seeds(0), draws=20).difference < 0


def pair(seed: int, count: int, more: float) -> tuple[Tensor, Tensor]:
    """The same pictures twice, the second a little darker, each with a little noise of its own."""
    x = drawn(seed, count)
    noise = [0.02 * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + 100 + k)) for k in (0, 1)]
    return (x + noise[0]).clamp(-1, 1), (x + noise[1] - more).clamp(-1, 1)


def against(a: Tensor, b: Tensor, seed: int = 0) -> Comparison:
    return compared(a, b, drawn(0, 700), classifier(), seeds=ss.Seeds(seed), draws=100)


def test_pairs_show_a_difference_that_unpaired_sets_do_not() -> None:
    a, b = pair(11, 300, 0.02)
    found, shuffled = against(a, b), against(a, b.flip(0))
    assert found.difference == found.a.value - found.b.value < 0
    assert shuffled.difference == pytest.approx(found.difference)
    width, wider = (c.interval[1] - c.interval[0] for c in (found, shuffled))
    assert width < wider / 2 and found.swapped <= 0.02 < 0.3 < shuffled.swapped
    assert found.differs and found.needed == 300 and "they differ" in str(found)
    assert found.a.samples == (300, 700) and found.floor.samples == (300, 400)
    assert 0 < found.floor.value < 0.05 and "300 real against 400 others" in str(found)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["differs"] is True
    back = against(b, a)
    assert back.difference == -found.difference
    assert back.interval == pytest.approx((-found.interval[1], -found.interval[0]))


def test_swaps_are_of_whole_pairs() -> None:
    rng = np.random.default_rng(1)
    a, b, real = (rng.standard_normal((count, 3)) for count in (12, 12, 30))
    drawn_swaps = ss.Seeds(4).child("compared", "swaps").generator()
    value, as_large = 0.4, 0
    for _ in range(40):
        one, two = a.copy(), b.copy()
        for row in np.flatnonzero(drawn_swaps.integers(0, 2, 12)):
            one[row], two[row] = b[row], a[row]
        apart = frechet(one, real, features="n").value - frechet(two, real, features="n").value
        as_large += abs(apart) >= value
    assert 5 < as_large < 35 and _swapped(a, b, real, value, ss.Seeds(4), 40) == (1 + as_large) / 41


def test_no_difference_is_not_claimed() -> None:
    a, b = pair(11, 300, 0.0)
    same = against(a, a)
    assert same.difference == 0 and not same.differs and math.isinf(same.needed) and same.as_dict()["needed"] is None
    assert "no number of each" in str(same) and same.swapped == 1
    many = [against(*pair(seed, 100, 0.0), seed) for seed in range(20)]
    assert sum(c.differs for c in many) <= 3 and 0.3 < np.mean([c.swapped for c in many]) < 0.7
    found = against(a, b)
    assert not found.differs and found.needed > 300 and "the interval holds 0; about" in str(found)


def test_the_number_that_would_be_needed() -> None:
    """An interval from -1, around 1, excludes 0 at half its width: with four times as many."""
    some = frechet(np.eye(3), np.eye(3), features="n")
    found = Comparison(some, some, some, 1.0, (-1.0, 2.0), 0.5)
    assert found.needed == 12 and not found.differs
    assert replace(found, difference=-0.5, interval=(-1.0, 1.0)).needed == 27
    assert replace(found, interval=(0.5, 3.0)).needed == 3


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: judged(drawn(1, 19)), "quality.pictures must be a whole number at least 20, got 19"),
        (lambda: judged(drawn(1, 400)), "quality.real must be 800 pictures or more"),
        (lambda: judged(drawn(1, 300)[:, :, 1:]), r"quality.real must be \(N, 1, 3, 4\) as the sampled"),
        (lambda: judged(drawn(1, 300), training=drawn(2, 800)[:, :, 1:]), "quality.training must be"),
        (lambda: judged(drawn(1, 300), training=drawn(2, 19)), "quality.training must be a whole number at least 20, got 19"),
        (lambda: judged(drawn(1, 300), training=drawn(0, 700)), "quality.real must be held out from training"),
        (lambda: judged(drawn(1, 300) + 2), r"quality.pictures must be floats in \[-1, 1\]"),
        (lambda: judged(drawn(1, 300), floors=1), "quality.floors must be"),
        (lambda: judged(drawn(1, 300), level=2.0), "quality.level must be"),
        (lambda: quality(drawn(1, 30), drawn(2, 90, (1,)), classifier(), seeds=ss.Seeds(0)), "of two classes or more"),
        (lambda: against(drawn(1, 30), drawn(1, 31)), r"compared.b must be \(30, 1, 4, 4\) as a"),
        (lambda: against(drawn(1, 10), drawn(1, 10)), "compared.a must be a whole number at least 20, got 10"),
    ],
)  # fmt: skip
def test_refusals(make, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SpikesimError, match=says) as refused:
        make()
    assert "\n" not in str(refused.value)
