"""NIR: what the format cannot say, and files that are broken or hostile, are refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import spikesim as ss
from spikesim.errors import SpikesimError
from spikesim.interop.nir import from_nir, read, to_nir, write
from spikesim.layers import CumulativeMaxPool2d, SumPool2d
from spikesim.neurons import SignedIF

nir = pytest.importorskip("nir")
DT = 1e-3

UNSAYABLE: dict[str, nn.Module] = {
    "SignedIF at 1: signed spikes": SignedIF(), "CumulativeMaxPool2d at 1: max pooling over time": CumulativeMaxPool2d(2),
    "AdaptiveLIF at 1: an adapting threshold": ss.AdaptiveLIF(), "LIF at 1: refractory steps": ss.LIF(refractory=2),
    "LIF at 1: several spikes a step": ss.LIF(max_spikes=3), "LIAF at 1: analog output": ss.LIAF(),
    "IF at 1: a constant drive without a leak": ss.IF(bias=0.1), "Tanh at 1: a layer it has no node for": nn.Tanh(),
    "MaxPool2d at 1: max pooling": nn.MaxPool2d(2),
}  # fmt: skip


@pytest.mark.parametrize("said", UNSAYABLE)
def test_what_the_format_cannot_say_is_named_and_nothing_is_written(said: str, tmp_path: Path) -> None:
    network = ss.Network.chain(nn.Conv2d(2, 3, 3), UNSAYABLE[said], input_shape=(2, 6, 6), dt=DT)
    with pytest.raises(ss.errors.ConversionError, match="recipe='binary'") as refusal:
        write(network, tmp_path / "net.nir")
    assert said in str(refusal.value) and "\n" not in str(refusal.value) and not list(tmp_path.iterdir())


def _of(**changes: object) -> object:
    nodes = {
        "in": nir.Input(input_type=np.array([2])),
        "lif": nir.LIF(*(np.full(2, v) for v in (0.01, 1.0, 0.0, 1.0))),
        "out": nir.Output(output_type=np.array([2])),
    }
    edges = changes.pop("edges", [("in", "lif"), ("lif", "out")])
    return nir.NIRGraph({**nodes, **changes}, edges, type_check=False)


REFUSED: dict[str, Callable[[], object]] = {
    "from_nir.dt must be given": lambda: from_nir(_of()),
    "from_nir.dt must be a number above 0": lambda: from_nir(_of(), dt=-1.0),
    "from_nir.lif.tau must be at least 0.02 s": lambda: from_nir(_of(), dt=0.02),
    "from_nir.edges must be between its nodes": lambda: from_nir(_of(edges=[("in", "lfi")]), dt=DT),
    "a way from the input": lambda: from_nir(_of(edges=[("in", "out")]), dt=DT),
    "one with one Output node": lambda: from_nir(_of(more=nir.Output(output_type=np.array([2]))), dt=DT),
    "of the shape (2,) that it is fed": lambda: from_nir(_of(lif=nir.IF(np.ones(3), np.ones(3))), dt=DT),
    "from_nir.lif.weight must be": lambda: from_nir(_of(lif=nir.Linear(np.ones((2, 3)))), dt=DT),
    "from_nir.lif.r must be finite": lambda: from_nir(_of(lif=nir.IF(np.array([1, np.nan]), np.ones(2))), dt=DT),
    "from_nir.integration must be one of": lambda: from_nir(_of(), dt=DT, integration="eular"),
    "from_nir.reset must be one of": lambda: from_nir(_of(), dt=DT, reset="soft"),
    "the same for all neurons": lambda: from_nir(_of(lif=nir.IF(np.ones(2), np.ones(2), np.arange(2.0))), dt=DT),
    "must be whole steps": lambda: from_nir(_of(lif=nir.Delay(np.full(2, 0.0015))), dt=DT),
    "to_nir.dt must be given": lambda: to_nir(ss.Network.chain(ss.LIF(0.9), input_shape=(2,))),
    "to_nir.input_shape must be given": lambda: to_nir(ss.Network.chain(ss.IF())),
}


@pytest.mark.parametrize("said", REFUSED)
def test_refusals(said: str) -> None:
    with pytest.raises(SpikesimError) as refusal:
        REFUSED[said]()
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


def test_broken_files_are_refused_in_one_line(tmp_path: Path) -> None:
    import h5py

    path = write(
        ss.Network.chain(nn.Linear(30, 20), ss.IF(reset=ss.ToValue(0.0)), input_shape=(30,)), tmp_path / "net.nir"
    )
    whole = path.read_bytes()
    cases = {"HDF5": b"not one", "NIR graph": whole[: len(whole) // 2]}
    for said, data in cases.items():
        (tmp_path / "bad.nir").write_bytes(data)
        with pytest.raises(ss.errors.ArtefactError, match=said):
            read(tmp_path / "bad.nir")

    def changed(change: Callable[[object], None], said: str) -> None:
        (tmp_path / "bad.nir").write_bytes(whole)
        with h5py.File(tmp_path / "bad.nir", "a") as file:
            change(file)
        with pytest.raises(SpikesimError, match=said) as refusal:
            read(tmp_path / "bad.nir")
        assert "\n" not in str(refusal.value)

    def large(file: object) -> None:
        del file["node/nodes/0/weight"]  # type: ignore[attr-defined]
        file.create_dataset("node/nodes/0/weight", (10**6, 10**6), "f4", compression="gzip")  # type: ignore[attr-defined]

    def renamed(file: object) -> None:
        file["node/nodes/1/type"][()] = "Izhikevich"  # type: ignore[index]

    def linked(file: object) -> None:
        del file["node/nodes/0/weight"]  # type: ignore[attr-defined]
        file["node/nodes/0/weight"] = h5py.ExternalLink("/etc/passwd", "/")  # type: ignore[index]

    def circular(file: object) -> None:
        file["node/nodes/0/more"] = file["node"]  # type: ignore[index]

    def missing(file: object) -> None:
        del file["node/nodes/1"]  # type: ignore[attr-defined]

    def empty(file: object) -> None:
        del file["node"]  # type: ignore[attr-defined]

    changed(large, "no larger than its bytes can unpack to")
    changed(renamed, "Izhikevich")
    changed(linked, "a link")
    changed(circular, "a link")
    changed(missing, "between its nodes")
    changed(empty, "holds no NIR graph")


def test_flipped_bytes_never_end_in_anything_but_a_refusal_or_a_network(tmp_path: Path) -> None:
    nodes = [
        nn.Conv2d(2, 3, 3),
        ss.LIF(0.9, 0.5, reset=ss.ToValue(0.0)),
        SumPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 4),
    ]
    path = write(ss.Network.chain(*nodes, input_shape=(2, 6, 6), dt=DT), tmp_path / "net.nir")
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 12):
            data[at] = rng.integers(256)
        (tmp_path / "bad.nir").write_bytes(bytes(data))
        try:
            read(tmp_path / "bad.nir")
        except SpikesimError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 5
