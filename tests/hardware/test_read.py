"""The crossbar read: kernel against its twin, counts against brute force, draws independent of batch and threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim import hardware
from spikesim.core.operator import Context
from spikesim.core.philox import split
from spikesim.errors import ParameterError, ShapeError
from spikesim.hardware._convert import Converters, Decoding, Draw
from spikesim.hardware._inputs import scan_reference, scanned, stepped, taken
from spikesim.hardware._list import Layout, list_kernel, list_reference
from spikesim.hardware._read import (
    CLIPPED,
    Cells,
    finish_kernel,
    pair_table,
    read_kernel,
    read_reference,
    sums_kernel,
    sums_reference,
)
from spikesim.hardware._sampled import sampled_kernel, sampled_reference
from spikesim.hardware.deployment import _program
from spikesim.hardware.drive import Drive
from spikesim.hardware.patches import Patches
from spikesim.hardware.tally import Tally
from spikesim.jobs import parallel_map

FLOAT = np.float32
# 2 channels of 6x5, kernel 3x2, stride 2x1 and once dilated: 12 rows on two arrays; and a linear layer of 12 inputs
LAYOUTS = [
    (Layout(6, 5, 3, 2, 2, 1, 1, 0, 1, 1, 3, 4, 6, 2, 1), 60),
    (Layout(6, 5, 3, 2, 1, 1, 2, 0, 2, 3, 6, 2, 1, 4, 2), 60),
    (Layout(1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1), 12),
]


def drawn_case(
    inputs: int, reference: bool, bits: int, fluctuate: bool
) -> tuple[np.ndarray, Cells, Converters, Decoding]:
    rng = np.random.default_rng(inputs + 2 * reference + bits)
    x = ((rng.random((40, inputs)) < 0.3) * rng.integers(-3, 4, (40, inputs))).astype(np.float32)
    x[0] = 3
    g = np.pad(rng.uniform(1e-7, 6e-5, (12, 11)).astype(np.float32), ((0, 0), (0, 5)))
    table = np.pad(np.concatenate([g, (0.02 * g) ** 2], 1) if fluctuate else g, ((0, 0), (0, 32 if fluctuate else 48)))
    nanosiemens = np.rint(np.stack([g[:, :6].sum(1), g[:, 6:].sum(1)], 1) * 1e9).astype(np.int64)
    table, first = pair_table(table, np.array([0, 7, 12]))
    cells = Cells(
        table[None].copy(), first, 11 if reference else 10, 16, fluctuate, np.array([0, 7, 12]),
        np.repeat(np.arange(2, dtype=np.int32), (7, 5)), np.array([0, 0]), nanosiemens,
    )  # fmt: skip

    def each(mean: float, sd: float) -> np.ndarray:
        return rng.normal(mean, sd, (2, 16)).astype(np.float32)

    capacitors = (2.0 ** np.arange(bits - 1, -1, -1)[None, :, None] * rng.normal(1, 0.03, (2, bits, 16))).astype(
        np.float32
    )
    # lsb small enough that some currents saturate
    lsb = each(4e-7, 1e-8)
    by = Converters(lsb, 1 / lsb, each(1, 0.02), each(0, 1e-7), each(1e-15, 0), capacitors, FLOAT(0), FLOAT(255))
    rule = Decoding(np.array([1.0, -1.0], FLOAT), np.zeros(0, np.int32), FLOAT(0), FLOAT(0))
    if reference:
        rule = Decoding(np.ones(1, FLOAT), np.zeros(10, np.int32), FLOAT(0.5), FLOAT(-3e-6))
    return x, cells, by, rule


@pytest.mark.parametrize(("layout", "inputs"), LAYOUTS)
@pytest.mark.parametrize(("reference", "bits"), [(False, 0), (True, 8)])
@pytest.mark.parametrize(
    ("noisy", "fluctuate", "converted"), [(True, True, True), (True, False, True), (False, True, False)]
)
def test_kernels_equal_their_references(
    layout: Layout, inputs: int, reference: bool, bits: int, noisy: bool, fluctuate: bool, converted: bool
) -> None:
    x, cells, by, rule = drawn_case(inputs, reference, bits, fluctuate)
    by = by if converted else by._replace(lsb=np.zeros((2, 16), np.float32))
    draw, ids, outputs = Draw(*split(1234567890123), 5, noisy), np.array([11, 7, -1, 3]), 10 if reference else 5
    steps, bad, bad_wanted, bad_late = Drive(0, True).steps, *np.zeros((3, 40), np.int64)
    x[7, 3], x[20, :2] = np.nan, (0.5, 2.0**25)

    def empty() -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((40, layout.high * layout.wide, outputs), np.float32), np.zeros((40, 2, 5), np.int64)

    (out, counts), (wanted, counts_wanted), (late, counts_late) = empty(), empty(), empty()
    read_kernel(x, steps, ids, layout, cells, by, rule, draw, out, counts, bad)
    read_reference(x, steps, ids, layout, cells, by, rule, draw, wanted, counts_wanted, bad_wanted)
    assert np.array_equal(bad, bad_wanted) and bad[[7, 20]].tolist() == [1, 2] and bad.sum() == 3
    assert counts[:, :, CLIPPED].any() == converted and np.array_equal(counts, counts_wanted)
    assert np.array_equal(out, wanted) and out.any()
    listed = list_kernel(x, steps, layout, cells.edges, cells.tile, bad_late)
    assert all(map(np.array_equal, listed, list_reference(x, steps, layout, cells.edges, cells.tile, bad)))
    assert np.array_equal(bad_late, bad)
    sums, sums_wanted = (np.zeros((len(listed[2]), 64), np.float32) for _ in range(2))
    sums_kernel(listed, cells, draw, sums)
    sums_reference(listed, cells, draw, sums_wanted)
    assert np.array_equal(sums[:, :16], sums_wanted[:, :16])
    finish_kernel(listed, sums, ids, cells, by, rule, draw, late, counts_late)
    assert np.array_equal(late, wanted) and np.array_equal(counts_late, counts_wanted)


def test_sampled_kernel_equals_its_reference() -> None:
    x, cells, _, _ = drawn_case(12, False, 0, True)
    steps, bad = Drive(0, True).steps, np.zeros(40, np.int64)
    listed = list_kernel(x, steps, LAYOUTS[2][0], cells.edges, cells.tile, bad)
    sd = np.random.default_rng(0).uniform(0, 1e-6, (12, 10)).astype(np.float32)
    fast, slow = (np.zeros((len(listed[2]), 64), np.float32) for _ in range(2))
    for sampled, sums in ((sampled_kernel, fast), (sampled_reference, slow)):
        sampled(listed, np.array([11, 7, -1, 3]), sd, Draw(*split(5), 5, True), sums)
    assert np.array_equal(fast, slow) and fast[:, :10].all() and not fast[:, 10:].any()


@pytest.mark.parametrize("drive", [Drive(0, True), Drive(255, True, 0.01), Drive(0, False, 1 / 9, True)])
def test_input_kernels_equal_their_references(drive: Drive) -> None:
    rng = np.random.default_rng(0)
    whole = (rng.random((9, 33)) < 0.4) * rng.integers(0 if drive.average else -3, 9, (9, 33))
    x = (whole / 9 if drive.average else whole + 0.3 * drive.analog * rng.random((9, 33))).astype(np.float32)
    steps, (bad, bad_wanted) = drive.steps, np.zeros((2, 9), np.int64)
    x[4, 5] = np.inf
    planes, planes_wanted = np.zeros((2, 9, 2), np.int64)
    most = scanned(x, steps, planes, bad, 0, 9)
    assert most == scan_reference(x, steps, planes_wanted, bad_wanted) > 5
    assert np.array_equal(planes, planes_wanted) and np.array_equal(bad, bad_wanted) and bad.sum() == 1
    fired, idx, val = np.zeros(64, np.uint8), np.empty(33, np.int32), np.empty(33, np.int32)
    for row in np.delete(x, 4, 0):
        n, v = taken(row, steps, fired, idx, val), stepped(row, steps)
        assert np.array_equal(idx[:n], np.flatnonzero(v)) and np.array_equal(val[:n], v[idx[:n]])


def deployed(macro: str = "taox40-projected", **options: object) -> tuple[ss.Network, hardware.Chip, torch.Tensor]:
    torch.manual_seed(0)
    network = ss.Network.chain(
        nn.Conv2d(2, 4, 3, stride=2, padding=1), ss.SignedIF(0.4, initial=0.2), nn.Conv2d(4, 6, 3),
        ss.SignedIF(0.3, initial=0.15), nn.Flatten(), nn.Linear(6 * 9, 5),
    ).requires_grad_(False)  # fmt: skip
    draw = torch.Generator().manual_seed(1)
    x = torch.poisson(torch.full((8, 5, 2, 10, 10), 0.3), generator=draw)
    return network, hardware.deploy(network, hardware.load_macro(macro), seeds=ss.Seeds(3), calibration=x, **options), x


def test_ideal_macro_is_the_network() -> None:
    network, chip, x = deployed("ideal")
    ideal, emulated = ss.run(network, x, record=["1", "3"]), ss.run(chip, x, record=["1", "3"])
    assert torch.equal(emulated.recording["1"], ideal.recording["1"])
    assert torch.equal(emulated.recording["3"], ideal.recording["3"]) and ideal.recording["3"].any()
    torch.testing.assert_close(emulated.output, ideal.output, rtol=1e-4, atol=1e-5)


def test_draws_do_not_depend_on_batch_or_threads() -> None:
    _, chip, x = deployed()
    ids = np.array([40, 41, 42, 43, 44])
    whole = ss.run(chip, x, sample_ids=ids).output
    parts = [ss.run(chip, x[:, part], sample_ids=ids[part]).output for part in (slice(0, 2), slice(2, 5))]
    assert torch.equal(torch.cat(parts, 1), whole)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    single = ss.run(chip, x, sample_ids=ids).output
    torch.set_num_threads(before)
    assert torch.equal(single, whole)
    assert not torch.equal(ss.run(chip, x, sample_ids=ids + 1).output, whole)
    first = ss.run(chip, x[:3], sample_ids=ids)
    second = ss.run(chip, x[3:], state=first.state, sample_ids=ids)
    assert torch.equal(torch.cat([first.output, second.output]), whole)


def test_chips_differ_and_repeat() -> None:
    network, _, x = deployed()
    macro = hardware.load_macro("taox40-projected")
    first, second = hardware.sample_chips(network, macro, 2, seeds=ss.Seeds(0), calibration=x)
    again = next(hardware.sample_chips(network, macro, 1, seeds=ss.Seeds(0), calibration=x))
    assert np.array_equal(first.crossbars["0"].g, again.crossbars["0"].g)
    assert not np.array_equal(first.crossbars["0"].g, second.crossbars["0"].g)


def test_counts_equal_brute_force() -> None:
    """Every patch, plane and sign of every layer, counted one by one from the recorded inputs."""
    _, chip, x = deployed()
    ledger = ss.Ledger()
    run = ss.run(chip, x, ledger=ledger, record=["1"])
    for node, inputs in (("0", x), ("2", run.recording["1"])):
        crossbar, drives, reads, nanosiemens = chip.crossbars[node], 0, 0, 0
        (kernel, _), (stride, _), (padding, _) = (
            crossbar.patches.kernel,
            crossbar.patches.stride,
            crossbar.patches.padding,
        )
        row_ns = np.rint(crossbar.g.sum(1, dtype=np.float64) * 1e9)
        for image in inputs.flatten(0, 1).numpy().astype(int):
            padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
            for i in range(0, padded.shape[1] - kernel + 1, stride):
                for j in range(0, padded.shape[2] - kernel + 1, stride):
                    patch = padded[:, i : i + kernel, j : j + kernel].ravel()
                    for sign in (1, -1):
                        for plane in range(4):
                            driven = ((np.maximum(sign * patch, 0) >> plane) & 1).astype(bool)
                            drives += int(driven.sum())
                            reads += bool(driven.any())
                            nanosiemens += int(row_ns[driven].sum())
        columns = crossbar.g.shape[1]
        counted = {action: ledger.count(action, node) for action in ss.Action}
        assert counted[ss.Action.row_drive] == counted[ss.Action.bits_sram] == drives > 0
        assert counted[ss.Action.column_convert] == counted[ss.Action.shift_add] == reads * columns
        assert counted[ss.Action.cell_read] == drives * columns
        assert counted[ss.Action.conductance_read] == nanosiemens
        assert counted[ss.Action.bits_bus] == 8 * reads * columns
        bias = inputs.shape[0] * inputs.shape[1] * crossbar.outputs * (25 if node == "0" else 9)
        assert counted[ss.Action.digital_add] == reads * columns // 2 + bias


def test_large_layers_are_tiled_and_their_partial_sums_added() -> None:
    torch.manual_seed(0)
    network = ss.Network.chain(nn.Linear(1300, 300)).requires_grad_(False)
    x = (torch.rand(2, 3, 1300) < 0.2).float()
    chip = hardware.deploy(network, hardware.load_macro("ideal"), seeds=ss.Seeds(0), calibration=x)
    assert chip.crossbars["0"].tiles == (3, 2)
    assert chip.crossbars["0"].utilisation == pytest.approx(1300 * 600 / (6 * 512 * 512))
    torch.testing.assert_close(ss.run(chip, x).output, ss.run(network, x).output, rtol=1e-4, atol=1e-5)
    ledger = ss.Ledger()
    ss.run(chip, x, ledger=ledger)
    assert {k.tile for k in ledger.total if k.action == ss.Action.row_drive} == {
        f"{r}.{c}" for r in range(3) for c in range(2)
    }


def test_analog_inputs_are_driven_bit_by_bit() -> None:
    torch.manual_seed(0)
    network = ss.Network.chain(nn.Linear(40, 6)).requires_grad_(False)
    x = torch.randn(3, 4, 40)
    chip = hardware.deploy(network, hardware.load_macro("ideal"), seeds=ss.Seeds(0), calibration=x)
    assert chip.crossbars["0"].drive.name == "signed analog"
    step = float(x.abs().max()) / 255
    wanted = ss.run(network, torch.round(x / step) * step).output
    torch.testing.assert_close(ss.run(chip, x).output, wanted, rtol=1e-3, atol=1e-4)


def test_nothing_but_its_drive_reaches_a_driver() -> None:
    macro = hardware.load_macro("taox40-projected")
    crossbar = _program("fc", nn.Linear(3, 2), macro, Drive(1, False), ss.Seeds(0))
    assert crossbar.patches == Patches()
    context = Context("fc", 0, np.arange(1))
    for value, message in (
        (0.3, "whole numbers up to 16777216 for its binary drive, got 0.3"),
        (2.0**25, "whole numbers up to 16777216"),
        (float("nan"), "whole numbers up to 16777216 for its binary drive, got nan"),
        (-1.0, "at least 0 for its binary drive, got -1"),
    ):
        with pytest.raises(ParameterError, match=f"fc.x must be {message}"):
            crossbar.apply(torch.full((1, 1, 3), value), context)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(12, 2), (3, 4)),
        (nn.Linear(12, 2), (3, 2, 2)),
        (nn.Linear(12, 2), (13,)),
        (nn.Conv2d(3, 2, 3), (2, 5, 5)),
        (nn.Conv2d(3, 2, 3), (3, 2, 5)),
        (nn.Conv2d(3, 2, 3), (3, 5)),
    ],
)
def test_inputs_of_another_shape_are_refused(layer: nn.Module, shape: tuple[int, ...]) -> None:
    """A kernel never sees an input whose rows the arrays do not have."""
    chip = hardware.deploy(
        ss.Network.chain(layer).requires_grad_(False), hardware.load_macro("ideal"), seeds=ss.Seeds(0)
    )
    with pytest.raises(ShapeError, match=r"0\.x must be \(T, B, "):
        ss.run(chip, torch.zeros(2, 3, *shape))


def test_counts_take_the_planes_they_need() -> None:
    """Calibrated on 0 and 1, then given 37: six planes, and the exact product."""
    torch.manual_seed(0)
    network = ss.Network.chain(nn.Linear(9, 4)).requires_grad_(False)
    chip = hardware.deploy(network, hardware.load_macro("ideal"), seeds=ss.Seeds(0), calibration=torch.ones(1, 1, 9))
    x = torch.full((1, 1, 9), 37.0)
    ledger = ss.Ledger()
    torch.testing.assert_close(ss.run(chip, x, ledger=ledger).output, ss.run(network, x).output, rtol=1e-4, atol=1e-4)
    assert next(chip.rows())["drive"] == "binary"
    assert ledger.count(ss.Action.column_convert) == 3 * 8  # 37 = 100101b: three planes hold a bit
    assert ledger.count(ss.Action.row_drive) == 3 * 9


def test_what_signed_neurons_reach_is_driven_in_two_passes() -> None:
    """Negative spikes are rare: a node behind a signed neuron takes them even where calibration held none."""
    network = ss.Network.chain(
        nn.Linear(4, 3), ss.SignedIF(1e6), nn.Flatten(), nn.Linear(3, 2), ss.IF(), nn.Linear(2, 2)
    )
    chip = hardware.deploy(
        network.requires_grad_(False), hardware.load_macro("ideal"), seeds=ss.Seeds(0), calibration=torch.ones(3, 2, 4)
    )
    assert [row["drive"] for row in chip.rows()] == ["binary", "signed binary", "binary"]


def test_counts_are_linear_in_time_and_batch() -> None:
    """A run cut anywhere books what it books in one piece, key by key."""
    _, chip, x = deployed()
    network = chip.network
    ids = np.arange(40, 45)
    whole, by_batch, by_time = ss.Ledger(), ss.Ledger(), ss.Ledger()
    ss.run(network, x, ledger=whole, sample_ids=ids)
    for part in (slice(0, 2), slice(2, 5)):
        ss.run(network, x[:, part], ledger=by_batch, sample_ids=ids[part])
    state = ss.run(network, x[:3], ledger=by_time, sample_ids=ids).state
    ss.run(network, x[3:], ledger=by_time, sample_ids=ids, state=state)
    assert whole.count(ss.Action.column_convert) > 0
    assert whole.total == by_batch.total == by_time.total and whole.squares == by_batch.squares


def test_engines_and_event_lists_give_the_same_reads() -> None:
    _, chip, x = deployed()
    wanted = ss.run(chip, x).output
    for engine in (ss.Reference(), ss.Fused(), ss.EventDriven(always=True)):
        torch.testing.assert_close(ss.run(chip, x, engine=engine).output, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("headroom", [1.0, 0.5])
def test_saturated_conversions_are_counted_and_reported(headroom: float) -> None:
    network, _, x = deployed()
    macro = hardware.load_macro("taox40-projected")
    macro = macro.varied(adc=type(macro.adc)(macro.adc.bits, headroom))
    chip = hardware.deploy(network, macro, seeds=ss.Seeds(3), calibration=x)
    tally, quiet = Tally(), Tally()
    output = ss.run(chip.watched(tally), x).output
    ss.run(chip.watched(quiet, quiet=True), x)
    assert torch.equal(output, ss.run(chip, x).output)  # watching changes nothing
    assert set(tally.clipped_share()) == {"0", "2", "5"}
    if headroom == 1.0:
        assert set(quiet.clipped.values()) == {0} and not chip.warnings
        assert max(tally.clipped_share().values()) < 0.01
    else:
        assert tally.clipped_share()["0"] > 0.01 and "of its conversions saturate" in chip.warnings[0]
    padded = Tally()
    ss.run(chip.watched(padded), x, sample_ids=np.array([0, 1, -1, -2, -3]))
    first = Tally()
    ss.run(chip.watched(first), x[:, :2])
    assert padded.converted == first.converted and padded.clipped == first.clipped


def one_output(network: ss.Network, chip: int, x: torch.Tensor) -> list[float]:
    """A job: what chip number `chip` says."""
    found = hardware.deploy(
        network, hardware.load_macro("taox40-projected"), seeds=ss.Seeds(0).child("chip", chip), calibration=x
    )
    return ss.run(found, x).readout.flatten().tolist()


def test_chips_do_not_depend_on_workers() -> None:
    network, _, x = deployed()
    jobs = [(network, chip, x) for chip in range(2)]
    serial = list(parallel_map(one_output, jobs, workers=1))
    assert list(parallel_map(one_output, jobs, workers=2)) == serial and serial[0] != serial[1]
