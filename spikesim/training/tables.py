"""Tables of a TOML file that describes a training run, read once and with every key known."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..errors import ArtefactError, ParameterError, must, nearest


def read_tables(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file. ArtefactError where it cannot be read."""
    try:
        return tomllib.loads(Path(path).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ArtefactError(must(str(path), "a readable TOML file", str(error))) from None


def must_be_tables(path: Path, found: Collection[str], known: tuple[str, ...]) -> None:
    """Refuse a file with other tables than these."""
    for table in found:
        if table not in known:
            names = [f"[{name}]" for name in known]
            rule = f"made of {', '.join(names[:-1])} and {names[-1]}"
            raise ParameterError(must(str(path), rule, table, nearest(table, known)))


def known_keys(path: str | Path, table: str, found: dict[str, Any], known: Collection[str]) -> dict[str, Any]:
    """The table as it was found; a key that is not known is refused with the nearest spelling."""
    for key in found:
        if key not in known:
            raise ParameterError(must(f"{path} [{table}]", "made of known keys", key, nearest(key, known)))
    return found
