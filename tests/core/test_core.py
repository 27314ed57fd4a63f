"""The ground floor: seeds, ledger, files, units, the grammar of refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import spikesim as ss
from benchmarks import limits
from spikesim import errors
from spikesim.core.files import read_json, write_json, written
from spikesim.core.ledger import Key
from spikesim.core.simd import LINE, aligned
from spikesim.units import quantity, si


def test_seeds_are_names_not_state() -> None:
    seeds = ss.Seeds(7)
    assert seeds.child("a").key == ss.Seeds(7).child("a").key != seeds.child("b").key
    assert seeds.child("a", 1).key == seeds.child("a").child(1).key != seeds.child("a", "1").key
    assert np.array_equal(seeds.child("a").generator().random(3), seeds.child("a").generator().random(3))


def drawn_ledger(samples: int, seed: int) -> tuple[ss.Ledger, np.ndarray]:
    counts = np.random.default_rng(seed).integers(0, 50, samples)
    ledger = ss.Ledger()
    ledger.open(np.arange(samples))
    ledger.add("fc", "0", ss.Action.row_drive, counts)
    ledger.close()
    return ledger, counts


def test_ledger_adds_up_and_knows_its_error() -> None:
    (first, a), (second, b) = drawn_ledger(9, 1), drawn_ledger(5, 2)
    both, every, key = first + second, np.concatenate([a, b]), Key("fc", "0", ss.Action.row_drive)
    assert both.samples == 14 and both.total[key] == every.sum()
    assert both.standard_error(key) == pytest.approx(every.std(ddof=1) / np.sqrt(14))
    assert next(iter(both.rows()))["mean"] == pytest.approx(every.mean())


def test_ledger_does_not_count_padding_or_fractions() -> None:
    ledger = ss.Ledger()
    ledger.open(np.array([0, -1]))
    ledger.add("fc", "", ss.Action.digital_add, np.array([3, 100]))
    with pytest.raises(errors.ParameterError, match="whole numbers"):
        ledger.add("fc", "", ss.Action.digital_add, np.array([0.5, 1.0]))
    ledger.close()
    assert ledger.count(ss.Action.digital_add) == 3 and ledger.samples == 1


def test_quantities() -> None:
    assert quantity("20 ms", "s") == pytest.approx(0.02)
    assert quantity("1.5 um2", "m2") == pytest.approx(1.5e-12)
    assert quantity(0.5, "V") == 0.5 and quantity(".5 V", "V") == 0.5 and quantity("2. V", "V") == 2
    for text in ("0.0.2", "0..9", "1.0.0 ns", ".", "e3"):
        with pytest.raises(errors.ParameterError, match="quantity must be"):
            quantity(text, "s")
    with pytest.raises(errors.ParameterError, match=r"macro\.v must be given in V"):
        quantity("3 mA", "V", field="macro.v")
    assert si(2.6e-12, "J") == "2.6 pJ" and si(0.0, "J") == "0 J"


def test_writing_leaves_no_halves(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1})

    def fail() -> None:
        with written(tmp_path / "a.json") as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert read_json(tmp_path / "a.json") == {"x": 1} and [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_every_error_is_in_the_tree_and_one_line() -> None:
    kinds = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    assert all(issubclass(kind, ss.SpikesimError) for kind in kinds) and len(kinds) > 5
    assert errors.must("a.b", "above 0", -1, "raise it") == "a.b must be above 0, got -1; raise it"
    assert errors.nearest("taox4", ["taox40", "isaac32"]) == "did you mean taox40?"


def test_all_names_are_exported() -> None:
    assert all(getattr(ss, name) is not None for name in ss.__all__)
    with pytest.raises(AttributeError):
        ss.nothing  # noqa: B018


@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.uint16])
def test_aligned_arrays_begin_on_a_cache_line(dtype: type) -> None:
    kept = [aligned(3, 5, 7, dtype=dtype) for _ in range(20)]
    assert all(a.ctypes.data % LINE == 0 and a.shape == (3, 5, 7) and a.dtype == dtype and not a.any() for a in kept)
    assert aligned(0, 64).size == 0


def test_limits_of_the_machine_are_measured() -> None:
    assert 0 < limits.row_seconds(8, 16, 1) < 1 and limits.copy_rate(1, 1) > 0
