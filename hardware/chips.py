"""Chips: networks on programmed arrays. They run, age, and are saved as folders that read back to the same reads.

    DIR/chip.json            format, macro, crossbars, age, warnings, content hash
    DIR/chip.safetensors     cells: targets, programmed and present conductances, converter steps, biases
    DIR/network, DIR/source  the chip's network with its programmed nodes left out, and the network that was deployed

No pickle; loading runs no code from the folder. chip.json is written last and holds the hash of all the rest, so that a
folder that was only half written is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn

from spikesim import checkpoint
from spikesim.core.files import folder, read_json, write_json, written
from spikesim.core.params import number
from spikesim.errors import ArtefactError, GraphError, ParameterError, must, nearest
from spikesim.network import Network

from .artefact import decoded, digest, encoded
from .crossbar import Crossbar, Programmed
from .macro import Macro
from .mappings.differential import Mapping as DifferentialPair
from .tally import Tally

FORMAT = 2
"""Version of the folder layout; another one is refused."""
NETWORKS = ("network", "source")


@dataclass(frozen=True)
class Chip:
    """One emulated chip: a network whose linear nodes are crossbars. `ss.run(chip, x)` works as for the network.

    network   with programmed nodes          macro    the design
    source    the network that was deployed  warnings what may not work, with numbers
    age       seconds since its cells were programmed
    """

    network: Network
    source: Network
    macro: Macro
    warnings: tuple[str, ...] = ()
    age: float = 0.0

    def __call__(self, *arguments: Any, **options: Any) -> tuple[Tensor, Any, dict[str, Tensor]]:
        return self.network(*arguments, **options)

    @property
    def readout(self) -> Any:
        """The network's readout."""
        return self.network.readout

    @property
    def conversion(self) -> Any:
        """What the network remembers of its ANN."""
        return self.network.conversion

    def bound(self, steps: int) -> Chip:
        """The chip for rasters of `steps` bins: thresholds and biases are digital, so the cells stay as they are."""
        return replace(self, network=self.network.bound(steps), source=self.source.bound(steps))

    @property
    def crossbars(self) -> dict[str, Crossbar]:
        """Node name -> its crossbar."""
        return {n: m.operator for n, m in self.network.nodes.items() if isinstance(m, Programmed)}

    def conductances(self, node: str) -> tuple[np.ndarray, np.ndarray]:
        """G+ and G- of a node, (rows, n_out) in siemens. GraphError for a node that is not programmed, ParameterError where
        weights are not one pair of cells each."""
        if node not in self.crossbars:
            raise GraphError(must("chip.conductances", "a programmed node", node, nearest(node, self.crossbars)))
        mapping = self.macro.mapping
        if not isinstance(mapping, DifferentialPair) or mapping.slices > 1:
            remedy = f'chip.crossbars["{node}"].g has all cells'
            raise ParameterError(must("chip.macro.mapping", "one pair of cells per weight", repr(mapping), remedy))
        bank = self.crossbars[node].bank
        pairs = bank.placement.by_row(bank.g)[:, bank.placement.order]
        return pairs[:, : bank.placement.outputs].copy(), pairs[:, bank.placement.outputs :].copy()

    def aged(self, seconds: float) -> Chip:
        """The same chip `seconds` later: its cells drift and relax, each as drawn for this chip; nothing is programmed
        again and converter ranges stay. RangeError for times that the device was not measured for."""
        number("chip.aged.seconds", seconds, at_least=0, unit="s")
        age = self.age + float(seconds)
        nodes = {
            n: Programmed(m.operator.aged(age)) for n, m in self.network.nodes.items() if isinstance(m, Programmed)
        }
        return replace(self, network=self.network.replaced(nodes), age=age)

    @property
    def content_hash(self) -> str:
        """64 hex digits of everything that the chip is: networks, macro, cells, age; the same in any process."""
        networks = [checkpoint.as_json(network) for network in self._networks().values()]
        parts = [(value, {k: t.numpy() for k, t in tensors.items()}) for value, tensors in networks]
        return digest(self._described(), *parts)

    def save(self, path: str | Path) -> Path:
        """Write the chip into the folder `path` (made if missing); `hardware.load_chip` reads it back.

        Raises ArtefactError when that is not possible.
        """
        where, (described, arrays) = Path(path), self._described()
        found = {"format": FORMAT, "content_hash": self.content_hash, **described}
        folder(where)
        for name, network in self._networks().items():
            checkpoint.save(network, where / name)
        with written(where / "chip.safetensors") as temporary:
            save_file(arrays, temporary)
        write_json(where / "chip.json", found)
        return where

    def export(self, path: str | Path) -> list[Path]:
        """Write one CSV per programmed node into the folder `path`: row, column, target_S and conductance_S of each
        cell (an empty target: the cell was measured). -> their paths."""
        where, files = folder(Path(path)), []
        for name, crossbar in self.crossbars.items():
            targets = crossbar.stored.targets
            lines = ["row,column,target_S,conductance_S"]
            for (row, column), value in np.ndenumerate(crossbar.g):
                target = "" if targets is None else f"{targets[row, column]:.9g}"
                lines.append(f"{row},{column},{target},{value:.9g}")
            with written(where / f"{name}.csv") as temporary:
                temporary.write_text("\n".join(lines) + "\n")
            files.append(where / f"{name}.csv")
        return files

    def watched(self, tally: Tally, *, quiet: bool = False) -> Chip:
        """The same chip telling `tally` of every conversion; `quiet`: without read noise."""
        changes = {"tally": tally, "seeds": None} if quiet else {"tally": tally}
        nodes = {n: m.with_crossbar(**changes) for n, m in self.network.nodes.items() if isinstance(m, Programmed)}
        return replace(self, network=self.network.replaced(nodes))

    def rows(self) -> Iterator[dict[str, Any]]:
        """One dict per programmed node: drive, rows and columns of cells, arrays (row, column tiles), utilisation."""
        for name, crossbar in self.crossbars.items():
            rows, columns = crossbar.g.shape
            yield {
                "node": name, "drive": crossbar.drive.name, "rows": rows, "columns": columns,
                "arrays": crossbar.tiles, "utilisation": crossbar.utilisation,
            }  # fmt: skip

    def _networks(self) -> dict[str, Network]:
        """Both networks as they are saved: programmed nodes stand in chip.json."""
        blanks = {name: nn.Identity() for name in self.crossbars}
        return dict(zip(NETWORKS, (self.network.replaced(blanks), self.source)))

    def _described(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The chip without its networks: JSON and arrays."""
        arrays: dict[str, np.ndarray] = {}
        crossbars = {name: replace(crossbar, tally=None) for name, crossbar in self.crossbars.items()}
        return {
            "macro": encoded(self.macro, "macro", arrays, {}),
            "crossbars": encoded(crossbars, "cells", arrays, {"macro": self.macro}),
            "age": self.age, "warnings": list(self.warnings),
        }, arrays  # fmt: skip


def load_chip(path: str | Path) -> Chip:
    """The chip saved at `path`. ArtefactError when it is missing, broken, incomplete or of another format."""
    where = Path(path)
    found = read_json(where / "chip.json")
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        got = found.get("format") if isinstance(found, dict) else type(found).__name__
        raise ArtefactError(must(f"{where / 'chip.json'} format", f"{FORMAT}", got, "save it with this version"))
    try:
        arrays = load_file(where / "chip.safetensors")
    except (OSError, SafetensorError) as error:
        raise ArtefactError(must(f"{where / 'chip.safetensors'}", "a safetensors file", str(error))) from None
    network, source = (checkpoint.load(where / name) for name in NETWORKS)
    macro = decoded(found.get("macro"), arrays, {})
    crossbars = decoded(found.get("crossbars"), arrays, {"macro": macro})
    nodes = {name: Programmed(crossbar) for name, crossbar in crossbars.items()}
    chip = Chip(network.replaced(nodes), source, macro, tuple(found["warnings"]), found["age"])
    if chip.content_hash != found["content_hash"]:
        raise ArtefactError(must(f"{where} content", "what chip.json says", "something else", "save the chip again"))
    return chip
