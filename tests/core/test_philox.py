"""Philox4x32-10 against the known answers of its authors' library, and the draws made from its words."""

from __future__ import annotations

import numpy as np
import pytest

from spikesim.core import philox

KNOWN = [
    ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, 0xFFFFFFFF_FFFFFFFF, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        0x299F31D0_A4093822,
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize("counter, key, answer", KNOWN)
def test_known_answers(counter: tuple[int, ...], key: int, answer: tuple[int, ...]) -> None:
    assert tuple(int(w) for w in philox.words(*counter, key)) == answer
    compiled = philox.philox4x32(*map(np.uint64, counter), *philox.split(key))
    assert tuple(int(w) for w in compiled) == answer


def test_words_broadcast_and_depend_on_the_counter_alone() -> None:
    grid = philox.words(np.arange(6)[:, None], 3, np.arange(4), 0, 99)
    one = philox.words(5, 3, 2, 0, 99)
    assert all(w.shape == (6, 4) for w in grid)
    assert all(int(w[5, 2]) == int(o) for w, o in zip(grid, one))


def test_uniforms_stay_inside_the_open_interval() -> None:
    ends = philox.uniform(np.uint64(0)), philox.uniform(np.uint64(0xFFFFFFFF))
    assert 0 < ends[0] < ends[1] < 1


def test_normals_have_the_moments_of_a_normal() -> None:
    first, second, _, _ = philox.words(np.arange(20_000), 0, 0, 0, 1)
    pairs = np.array([philox.normal_pair_of(a, b) for a, b in zip(first, second)])
    assert np.abs(pairs.mean(0)).max() < 0.03
    assert np.abs(np.cov(pairs.T) - np.eye(2)).max() < 0.04
    assert abs((pairs**4).mean() - 3) < 0.15
