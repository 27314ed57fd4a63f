"""Intervals against scipy's own, against their definitions, and by how often they hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

import spikesim as ss
from spikesim.statistics import chip_accuracy, clopper_pearson, mean_interval, wilson, yields


@pytest.mark.parametrize(("count", "n"), [(0, 5), (1, 7), (188, 198), (30, 30)])
def test_shares_are_those_of_scipy(count: int, n: int) -> None:
    for ours, method in ((wilson(count / n, n), "wilson"), (clopper_pearson(count, n), "exact")):
        theirs = binomtest(count, n).proportion_ci(method=method)
        assert ours == pytest.approx([theirs.low, theirs.high], abs=1e-12)


def test_clopper_pearson_is_its_definition() -> None:
    low, high = clopper_pearson(3, 12)
    assert binom.sf(2, 12, low) == pytest.approx(0.025) and binom.cdf(3, 12, high) == pytest.approx(0.025)


def test_intervals_hold_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    over = [mean_interval(v) for v in rng.normal(0.9, 0.01, (2000, 5)).tolist()]
    held = np.mean([low < 0.9 < high for low, high in filter(None, over)])
    assert 0.935 < held < 0.965  # 3 standard errors of 2000 draws
    shares = rng.binomial(200, 0.95, 4000)
    covered = {k: wilson(k / 200, 200) for k in set(shares.tolist())}
    assert 0.93 < np.mean([covered[k][0] < 0.95 < covered[k][1] for k in shares.tolist()]) < 0.975
    reached = rng.binomial(12, 0.8, 4000).tolist()
    assert np.mean([clopper_pearson(k, 12)[0] < 0.8 < clopper_pearson(k, 12)[1] for k in reached]) >= 0.945


def test_chips_are_told_in_the_form_that_every_verb_has() -> None:
    found = chip_accuracy([0.9, 0.95, 0.91])
    assert set(found) == {"n", "mean", "ci95", "worst"} and found["n"] == 3 and found["worst"] == 0.9
    # t(0.975, 2) = 4.302653; s = 0.0264575
    assert found["ci95"] == pytest.approx([0.92 - 0.0657241, 0.92 + 0.0657241], abs=1e-6)
    assert chip_accuracy([0.99, 1.0])["ci95"][1] == 1.0
    assert chip_accuracy([0.9])["ci95"] == [0.0, 1.0] and mean_interval([0.9]) is None


def test_yield_counts_chips_that_reach_an_accuracy() -> None:
    rows = yields([0.9, 0.95, 0.8, 0.95], [0.95, 0.5])
    assert [row["chips"] for row in rows] == [2, 4] and rows[0]["share"] == 0.5
    assert rows[1]["ci95"] == pytest.approx(clopper_pearson(4, 4)) and rows[1]["ci95"][1] == 1.0
    with pytest.raises(ss.SpikesimError, match="yield accuracy must be a number at least 0 and at most 1"):
        yields([0.9], [95])
