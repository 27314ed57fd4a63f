"""Wire networks that others have published the solution of."""

from __future__ import annotations

import numpy as np
import pytest

from spikesim.hardware.wires import Wires

OHMS = np.array([[345, 903, 755, 257, 646], [652, 401, 508, 166, 454], [442, 874, 190, 244, 635]], float)
VOLTS = np.array([[1.5, 4.1, 2.6, 2.1], [2.3, 4.5, 1.1, 0.8], [1.7, 4.0, 3.3, 1.1]])
FIRST = [0.0115850254, 0.0091906416, 0.0151156812, 0.0258332082, 0.0098117929]
FOURTH = [0.0096873619, 0.0054936966, 0.0099259521, 0.0169780359, 0.0065862078]


def test_badcrossbar_example() -> None:
    """The example of badcrossbar's README (0.5 ohm); outputs to the ten decimals they were printed with."""
    wires = Wires(0.5, 0.5)
    for currents in (wires.currents(1 / OHMS, VOLTS.T), VOLTS.T @ wires.effective(1 / OHMS)):
        np.testing.assert_allclose(currents[0], FIRST, rtol=0, atol=0.51e-10)
        np.testing.assert_allclose(currents[3], FOURTH, rtol=0, atol=0.51e-10)
    full = wires.solve(1 / OHMS, VOLTS.T)
    cell = ((full.word - full.bit) / OHMS)[2, 0, 3]  # third set, first row, fourth column
    assert cell == pytest.approx(0.0098561978, abs=0.51e-10)
    np.testing.assert_allclose(((full.word - full.bit) / OHMS).sum(1), full.currents, rtol=1e-12)
