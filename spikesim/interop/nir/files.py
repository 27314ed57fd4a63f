"""NIR files (HDF5): what is in them is checked before any of it is read into memory. Reading runs no code."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...core.files import written
from ...errors import ArtefactError, must, nearest
from ...network import Network
from .base import KINDS, package
from .exporting import exported_with_remarks, warn_of
from .importing import DEEPEST, from_nir

LIMIT = 2**32
"""Bytes that the arrays of a file may take in memory."""

RATIO = 1100
"""Bytes in memory for one in the file: more than gzip can do."""

HEAP = b"GCOL\1\0\0\0"
"""What a heap of text begins with."""

FILTERS = frozenset((1, 2, 3, 4, 5, 6, 32000))
"""HDF5 filters that come with h5py (gzip, shuffle, checksum, szip, bits, offset, lzf); others would load a plugin."""


def write(
    network: Network, path: str | Path, *, dt: float | str | None = None, input_shape: Sequence[int] | None = None
) -> Path:
    """Write `to_nir(network)` to the file `path`, which appears whole or not at all; same arguments and refusals."""
    graph, remarks = exported_with_remarks(network, dt, input_shape)
    where = write_graph(graph, path)
    warn_of(remarks, 3)
    return where


def write_graph(graph: Any, path: str | Path) -> Path:
    """Write a `nir.NIRGraph` to the file `path`, which appears whole or not at all."""
    where = Path(path)
    with written(where) as temporary:
        package().write(temporary, graph)
    return where


def read(
    path: str | Path, *, dt: float | str | None = None, integration: str = "euler", reset: str | None = None
) -> Network:
    """The network in the file `path`; arguments as `from_nir`. Raises ArtefactError for a file that is no NIR graph."""
    return from_nir(graph_in(path), dt=dt, integration=integration, reset=reset)


def describe(path: str | Path) -> dict[str, Any]:
    """What the file holds: nodes and their kinds, edges, shapes, and what its metadata say."""
    graph, where = graph_in(path), Path(path)
    about = graph.metadata if isinstance(graph.metadata, dict) else {}
    return {
        "kind": "NIR graph", "nodes": {name: type(node).__name__ for name, node in graph.nodes.items()},
        "edges": len(graph.edges), "parameters": sum(map(_held, graph.nodes.values())),
        "input_shape": _plain(graph.input_type), "output_shape": _plain(graph.output_type),
        "metadata": {k: v.item() if isinstance(v, np.generic) else v for k, v in about.items() if _is_plain(v)},
        "bytes": where.stat().st_size,
    }  # fmt: skip


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float, np.generic))


def _held(node: Any) -> int:
    if type(node).__name__ == "NIRGraph":
        return sum(map(_held, node.nodes.values()))
    return sum(v.size for v in vars(node).values() if isinstance(v, np.ndarray) and v.dtype.kind == "f")


def _plain(types: dict[str, Any] | None) -> list[int] | None:
    """The shape of the first port."""
    first = next(iter((types or {}).values()), None)
    return None if first is None else [int(n) for n in np.ravel(first)]


def graph_in(path: str | Path) -> Any:
    """The `nir.NIRGraph` in a file, checked; its types are not (other writers' do not always agree)."""
    import h5py

    nir, where = package(), Path(path)
    if not where.is_file():
        raise ArtefactError(must("nir file", "there", str(path), "check the path"))
    _must_have_sound_text(where)
    try:
        with h5py.File(where, "r") as file:
            _must_be_sound(where, file)
        graph = nir.read(where, type_check=False)
    except (OSError, KeyError, ValueError, TypeError, AssertionError, AttributeError, RuntimeError) as error:
        if isinstance(error, ArtefactError):
            raise
        raise ArtefactError(must(str(where), "a NIR graph in HDF5", " ".join(str(error).split())[:80])) from None
    return graph


def _must_have_sound_text(path: Path) -> None:
    """Raise ArtefactError where a heap of text does not add up: the HDF5 library can read such a one for ever."""
    if not path.stat().st_size:
        return
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(HEAP)
        while at >= 0:
            end = at + (struct.unpack_from("<Q", data, at + 8)[0] if at + 16 <= len(data) else 0)
            k = at + 16
            while k + 16 <= end <= len(data):
                index, _, _, size = struct.unpack_from("<HHIQ", data, k)
                k += 16 + -(-size // 8) * 8 if index else (size if size >= 16 else end + 1)
            if not k <= end <= len(data) or end - k >= 16:
                raise ArtefactError(must(f"{path}", "a NIR graph in HDF5", f"a broken heap at byte {at}"))
            at = data.find(HEAP, at + 8)


def _must_be_sound(path: Path, file: Any) -> None:
    """Raise ArtefactError for links, filters, sizes and kinds of node that no NIR file has."""
    total = 0
    for name, item in _items(path, file, "", set()):
        total += _bytes(path, name, item)
        if name.startswith("node") and name.endswith("/type") and _is_node(name):
            kind = item[()]
            kind = kind.decode() if isinstance(kind, bytes) else str(kind)
            if kind not in KINDS:
                where = name.removesuffix("/type")
                raise ArtefactError(must(f"{path} {where}", f"one of {', '.join(KINDS)}", kind, nearest(kind, KINDS)))
        if total > LIMIT:
            raise ArtefactError(must(f"{path}", f"at most {LIMIT} bytes in memory", f"{total} up to {name}"))
    if "node" not in file or "type" not in file["node"]:
        raise ArtefactError(must(f"{path} node", "there", "none", "this HDF5 file holds no NIR graph"))


def _is_node(name: str) -> bool:
    """Whether ".../type" is that of a node, and no parameter or metadata of this name."""
    parts = name.split("/")[:-1]
    return parts == ["node"] or (len(parts) % 2 == 1 and all(p == "nodes" for p in parts[1::2]))


def _items(path: Path, group: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Every dataset by its name. Links are refused: they may lead anywhere, and in circles."""
    import h5py

    for key in group:
        name = f"{prefix}{key}"
        item = group[key] if isinstance(group.get(key, getlink=True), h5py.HardLink) else None
        address = 0 if item is None else h5py.h5o.get_info(item.id).addr
        if item is None or address in seen or name.count("/") > 4 * DEEPEST:
            raise ArtefactError(must(f"{path} {name[:40]}", "in the file itself, and once", "a link"))
        seen.add(address)
        if isinstance(item, h5py.Group):
            yield from _items(path, item, f"{name}/", seen)
        elif isinstance(item, h5py.Dataset):
            yield name, item


def _bytes(path: Path, name: str, item: Any) -> int:
    """Bytes of a dataset in memory, checked."""
    import h5py

    plist, text = item.id.get_create_plist(), h5py.check_string_dtype(item.dtype) is not None
    used = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
    if not used <= FILTERS or item.external or item.is_virtual or not (text or item.dtype.kind in "fiub"):
        rule = "plain numbers or text in the file itself, packed by gzip or lzf"
        raise ArtefactError(must(f"{path} {name}", rule, f"{item.dtype}, filters {sorted(used)}"))
    if item.nbytes > RATIO * (item.id.get_storage_size() + 64):
        got = f"{item.nbytes} of {item.id.get_storage_size()}"
        raise ArtefactError(must(f"{path} {name}", "no larger than its bytes can unpack to", got, "the file is broken"))
    return int(item.nbytes)
