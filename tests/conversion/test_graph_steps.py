"""Steps that change the graph or the thresholds: what they must keep, and what they must make better."""

from __future__ import annotations

import pytest
import torch
from conversion.strangers import Residual, seeded
from torch import Tensor, nn
from torch.nn import functional

from spikesim.conversion import FoldPadding, LightCalibration, Recipe, recipe_of
from spikesim.conversion.calibration import Calibration
from spikesim.conversion.capture import capture
from spikesim.conversion.choice import best_recipe
from spikesim.layers.shape import Rearrange


def images(count: int = 96, seed: int = 0) -> Tensor:
    return torch.rand(count, 1, 12, 12, generator=torch.Generator().manual_seed(seed))


class Padded(nn.Module):
    """Padding outside the convolutions: even, uneven, and with two readers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, stride=2)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.a(functional.pad(x, (1, 1, 2, 2))))
        x = functional.relu(self.b(functional.pad(x, (1, 1, 1, 1))))
        x = functional.relu(self.c(functional.pad(x, (0, 1, 0, 1))))
        return self.head(x.mean((2, 3)))


def test_even_padding_becomes_the_convolutions_own_and_uneven_padding_stays() -> None:
    ann, x = seeded(Padded).eval(), images()
    draft = capture(ann, x[:2], Calibration(x))
    folded = FoldPadding()(draft)
    assert sum(isinstance(n.module, Rearrange) for n in draft.nodes) == 3
    assert sum(isinstance(n.module, Rearrange) for n in folded.nodes) == 1
    assert [n.module.padding for n in folded.nodes if isinstance(n.module, nn.Conv2d)] == [(2, 1), (2, 2), (0, 0)]
    with torch.no_grad():
        assert torch.allclose(folded.values(x)[folded.output], ann(x), atol=1e-6)
    assert ann.b.padding == (1, 1)  # the user's model is as it was


def test_a_sample_of_the_calibration_data_does_not_depend_on_their_order() -> None:
    x = images(150)
    wanted = Calibration(x).sample(40)
    order = torch.randperm(150, generator=torch.Generator().manual_seed(1))
    assert torch.equal(Calibration(list(x[order].split(37))).sample(40), wanted)
    rows = {tuple(row.flatten().tolist()) for row in wanted}
    assert len(rows) == 40 and rows <= {tuple(row.flatten().tolist()) for row in x}
    assert len(Calibration(x).sample(1000)) == 150


@pytest.mark.parametrize("steps", [1, 2, 8])
def test_auto_takes_what_errs_least_and_signed_is_among_what_it_tries(steps: int) -> None:
    x = images()
    draft = capture(seeded(Residual).eval(), x[:2], Calibration(x))
    with torch.no_grad():
        _, name, why = best_recipe(draft, steps)
    tried = {
        text.rsplit(": ", 1)[0]: float(text.rsplit(": ", 1)[1])
        for text in why.split(f"T = {steps}: ")[1].split(", ")
        if ": " in text
    }
    assert "thresholds for T" in tried and min(tried.values()) <= tried["thresholds for T"]
    assert f"T = {steps}" in why and name.startswith("signed, ")


def test_statistics_that_are_shared_give_the_thresholds_of_a_pass_of_their_own() -> None:
    from spikesim.conversion.recipe import GRAPH
    from spikesim.conversion.threshold_balance import observed

    x = images()
    draft = capture(seeded(Residual).eval(), x[:2], Calibration(x))
    shared = observed(Recipe("", GRAPH)(draft))
    for recipe in (
        recipe_of("signed"),
        recipe_of("signed", 8),
        Recipe("c", (*recipe_of("signed", 8).steps, LightCalibration(8))),
    ):
        one, other = recipe(draft), recipe(shared)
        for a, b in zip(one.neurons(), other.neurons()):
            assert a.threshold is not None and b.threshold is not None
            assert torch.equal(a.threshold.theta, b.threshold.theta)
