"""The CIFAR study's tables: gaps are paired, the peer's best is the best documented recipe, missing cells stay empty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.cifar_recipes import PEER, scored
from benchmarks.cifar_table import Cells, ahead, figure, tables


def cells() -> Cells:
    """100 images: an ANN with 90 right; ours with 80 and theirs with 60 and 70 of them; an option of theirs with 85."""
    labels = np.zeros(100, int)
    rows = {
        ("ANN", "", 0): 90, ("spikesim", "auto", 8): 80, (PEER, "max", 8): 60, (PEER, "LTB", 8): 70,
        (PEER, "99.9 %, channels, half", 8): 85,
    }  # fmt: skip
    found = {("vgg", *k): scored((np.arange(100) >= n).astype(int), labels) for k, n in rows.items()}
    found["vgg-qcfs", "ANN", "", 0] = found["vgg", "ANN", "", 0]
    found["vgg-qcfs", "spikesim", "signed", 8] = found["vgg", "spikesim", "auto", 8]
    return {key: {"recipe": key[2], **cell} for key, cell in found.items()}


def test_the_gap_is_paired_and_against_the_best_documented_recipe() -> None:
    name, points, error = ahead(cells(), "vgg", 8) or ("", 0.0, 0.0)
    assert (name, points) == ("LTB", pytest.approx(10))
    assert error == pytest.approx(100 * (0.1 * 0.9 / 99) ** 0.5)
    assert ahead(cells(), "vgg", 4) is None


def test_tables_and_figure(tmp_path: Path) -> None:
    text = tables(cells())
    assert "vgg: ANN 90.0 % on 100 test images" in text and "resnet20" not in text
    assert "| auto |  |  |  | 80.0 |  |  |  |" in text
    assert "| auto less the peer's best documented recipe, points |  |  |  | +10.0 ± 3.0 |  |  |  |" in text
    assert "| signed, drop against the ANN |  |  |  | +10.0 ± 3.0 |  |  |  |" in text
    figure(cells(), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_cells_of_more_images_are_compared_on_those_that_both_were_shown() -> None:
    found, labels = cells(), np.zeros(400, int)
    found["vgg", "ANN", "", 0] = scored((np.arange(400) >= 390).astype(int), labels)
    text = tables(found)
    assert "vgg: ANN 97.5 % on 400 test images, 100.0 % on the 100 of this table" in text
    assert "| signed, drop against the ANN |  |  |  | +20.0 ± 4.0 |  |  |  |" in text
