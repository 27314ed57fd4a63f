"""Chips that are saved, hashed, aged, exported, made of measured cells; and what is refused on the way."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim import hardware
from spikesim.hardware.macro import Macro

X = (torch.rand(5, 3, 6, generator=torch.Generator().manual_seed(1)) < 0.5).float()


def small() -> ss.Network:
    torch.manual_seed(0)
    return ss.Network.chain(nn.Linear(6, 4), ss.IF(0.5), nn.Linear(4, 3)).requires_grad_(False)


def convolutional() -> ss.Network:
    torch.manual_seed(0)
    return ss.Network.chain(
        nn.Conv2d(1, 2, 3), ss.IF(0.5), nn.Flatten(), nn.Linear(8, 3), input_shape=(1, 4, 4)
    ).requires_grad_(False)


def chip_of(name: str = "taox40-projected", seed: int = 1, **options: str) -> hardware.Chip:
    macro = hardware.load_macro(name, **options)  # type: ignore[arg-type]
    return hardware.deploy(small(), macro, seeds=ss.Seeds(seed), calibration=X)


def told(chip: hardware.Chip, x: torch.Tensor = X) -> torch.Tensor:
    return ss.run(chip, x).output


@pytest.mark.parametrize("name", hardware.macro_names())
def test_a_saved_chip_is_the_chip(tmp_path: Path, name: str) -> None:
    """Same reads to the bit, same hash, same later life; the hash tells chips apart, and ages."""
    chip = chip_of(name).aged(60.0)
    back = hardware.load_chip(chip.save(tmp_path))
    assert torch.equal(told(chip), told(back)) and back.age == 60.0 and back.macro == chip.macro
    assert back.content_hash == chip.content_hash and len(chip.content_hash) == 64
    assert back.aged(3600.0).content_hash == chip.aged(3600.0).content_hash
    assert chip.content_hash != chip_of(name).content_hash and chip.content_hash != chip_of(name, seed=2).content_hash
    assert list(back.rows()) == list(chip.rows()) and back.warnings == chip.warnings


def test_convolutions_and_digital_nodes_are_saved(tmp_path: Path) -> None:
    x = torch.rand(4, 2, 1, 4, 4).round()
    macro = hardware.load_macro("taox40", faults="immature")
    chip = hardware.deploy(convolutional(), macro, seeds=ss.Seeds(0), calibration=x, place={"3": "digital"})
    back = hardware.load_chip(chip.save(tmp_path))
    assert torch.equal(told(chip, x), told(back, x)) and list(back.crossbars) == ["0"]
    assert back.macro.faults == macro.faults


def test_a_hash_is_the_same_in_another_process(tmp_path: Path) -> None:
    chip = chip_of()
    code = f"from spikesim import hardware; print(hardware.load_chip({str(chip.save(tmp_path))!r}).content_hash)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == chip.content_hash


def broken(folder: Path, change: Callable[[dict], None]) -> Path:  # type: ignore[type-arg]
    path = folder / "chip.json"
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))
    return folder


BROKEN: dict[str, Callable[[Path], object]] = {
    "file must be there": lambda f: (f / "chip.json").unlink(),
    "chip.json must be JSON": lambda f: (f / "chip.json").write_text("{"),
    "format must be 2, got 1": lambda f: broken(f, lambda c: c.update(format=1)),
    "chip.safetensors must be a safetensors file": lambda f: (f / "chip.safetensors").write_bytes(b"no"),
    "content must be what chip.json says": lambda f: (
        chip_of(seed=5).save(f / "other") and (f / "other" / "chip.safetensors").replace(f / "chip.safetensors")
    ),
    "must be of types in spikesim.*, got os:system": lambda f: broken(
        f, lambda c: c["macro"].update({"is": "os:system"})
    ),
    "must be of dataclasses and enumerations": lambda f: broken(
        f, lambda c: c["macro"].update({"is": "spikesim.core.files:folder"})
    ),
    "must be of types that this version has": lambda f: broken(
        f, lambda c: c["macro"].update({"is": "spikesim.hardware.macro:Micro"})
    ),
    "chip.json must be as this version writes it": lambda f: broken(f, lambda c: c["macro"]["fields"].update(new=1)),
}


@pytest.mark.parametrize("message", sorted(BROKEN))
def test_a_broken_folder_is_refused(tmp_path: Path, message: str) -> None:
    chip_of().save(tmp_path)
    BROKEN[message](tmp_path)
    with pytest.raises(ss.SpikesimError) as caught:
        hardware.load_chip(tmp_path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["taox40-projected", "wan2022"])
def test_a_chip_ages_without_being_programmed_again(name: str) -> None:
    """Ages add up, in one step or two; each chip keeps its own drift; the young chip stays as it was."""
    chip = chip_of(name)
    before = chip.crossbars["0"].g.copy()
    once, twice = chip.aged(7200.0), chip.aged(3000.0).aged(4200.0)
    assert np.array_equal(once.crossbars["0"].g, twice.crossbars["0"].g) and once.age == twice.age == 7200.0
    assert not np.array_equal(once.crossbars["0"].g, before) and np.array_equal(chip.crossbars["0"].g, before)
    moved = once.crossbars["0"].g - before
    assert np.abs(moved).max() < 0.5 * chip.macro.device.g_max
    other = chip_of(name, seed=2)
    assert not np.allclose(moved, other.aged(7200.0).crossbars["0"].g - other.crossbars["0"].g)
    assert np.array_equal(chip.aged(0.0).crossbars["0"].g, before)
    assert np.isfinite(told(once).numpy()).all()


def test_time_that_was_not_measured_is_refused() -> None:
    with pytest.raises(ss.SpikesimError, match=r"aged\.seconds must be at most 172800 s"):
        chip_of("wan2022").aged(200_000.0)
    with pytest.raises(ss.SpikesimError, match="at least the 1 s from which relaxation was fitted"):
        chip_of().aged(0.5)
    with pytest.raises(ss.SpikesimError, match=r"chip\.aged\.seconds must be a number at least 0 s, got -1"):
        chip_of().aged(-1.0)


def test_cells_are_exported(tmp_path: Path) -> None:
    """Every cell of every node, targets beside conductances; fit_device reads the file back."""
    chip = chip_of("wan2022")
    files = chip.export(tmp_path)
    assert [f.name for f in files] == ["0.csv", "2.csv"]
    rows = np.loadtxt(files[0], delimiter=",", skiprows=1)
    g, stored = chip.crossbars["0"].g, chip.crossbars["0"].stored
    assert stored is not None and stored.targets is not None
    np.testing.assert_allclose(rows[:, 3].reshape(g.shape), g, rtol=1e-8)
    np.testing.assert_allclose(rows[:, 2].reshape(g.shape), stored.targets, rtol=1e-8)
    assert np.array_equal(rows[:, :2], np.argwhere(np.ones(g.shape)))
    fitted = hardware.fit_device(files[0], unit="S", target="target_S", measured="conductance_S")
    assert fitted.goodness["programming"]["n"] == g.size


def test_a_chip_of_measured_cells(tmp_path: Path) -> None:
    """A map takes the place of programming: weights are the differences of its columns; it ages and is saved too."""
    g = np.random.default_rng(0).uniform(1e-6, 40e-6, (6, 8))
    path = tmp_path / "map.csv"
    np.savetxt(path, g * 1e6, delimiter=",")
    macro = hardware.load_macro("taox40-projected")
    cells = hardware.read_map(path, unit="uS")
    chip = hardware.deploy(small(), macro, seeds=ss.Seeds(0), calibration=X, measured={"0": cells})
    positive, negative = chip.conductances("0")
    np.testing.assert_allclose(positive - negative, g[:, 0::2] - g[:, 1::2], rtol=1e-5, atol=1e-12)
    assert np.abs(chip.aged(3600.0).crossbars["0"].g - chip.crossbars["0"].g).max() > 0
    back = hardware.load_chip(chip.save(tmp_path / "chip"))
    assert torch.equal(told(chip), told(back))
    assert (chip.export(tmp_path)[0].read_text().splitlines()[1]).startswith("0,0,,")


MEASURED: dict[str, dict[str, np.ndarray]] = {
    "deploy.measured[0] must be (rows, columns) = (6, 8), the cells of an output side by side, got (8, 6)": {
        "0": np.ones((8, 6))
    },
    "deploy.measured[0] must be finite and at least 0 S, got nan": {"0": np.full((6, 8), np.nan)},
    "deploy.measured[0] must be finite and at least 0 S, got -1.0": {"0": np.full((6, 8), -1.0)},
    "deploy.measured must be of nodes on crossbars, got 1": {"1": np.ones((6, 8))},
}


@pytest.mark.parametrize("message", MEASURED)
def test_cells_that_do_not_fit_are_refused(message: str) -> None:
    with pytest.raises(ss.SpikesimError) as caught:
        hardware.deploy(small(), hardware.load_macro("taox40"), seeds=ss.Seeds(0), measured=MEASURED[message])
    assert str(caught.value).startswith(message)


def narrow(macro: Macro, **changes: object) -> Macro:
    return dataclasses.replace(macro, **changes)  # type: ignore[arg-type]


def test_every_array_has_its_own_draws() -> None:
    """Row tiles of one layer differ, and a tile's cells do not depend on what stands beside it."""
    from spikesim.hardware.placement import placed
    from spikesim.hardware.stored import write

    macro = narrow(hardware.load_macro("taox40"), rows=8, columns=8)
    targets = np.full((16, 16), 30e-6)
    g = write(targets, macro, placed(16, 8, macro), ss.Seeds(0)).programmed
    alone = write(targets[:8, :8], macro, placed(8, 4, macro), ss.Seeds(0)).programmed
    assert np.array_equal(g[:8, :8], alone)
    for other in (g[8:, :8], g[:8, 8:], g[8:, 8:]):
        assert not np.array_equal(alone, other)
