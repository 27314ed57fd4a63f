"""A folder is a registry: its files are the family's members, found by name, imported on use."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from ..errors import ParameterError, must, nearest


def names(package: ModuleType) -> list[str]:
    """The members of a family, sorted: the module names in `package` that do not start with `_` or `base`."""
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith(("_", "base")))


def get(package: ModuleType, name: str, *, field: str = "kind") -> ModuleType:
    """The member module called `name`; ParameterError with the nearest names when there is none."""
    known = names(package)
    if name not in known:
        family = package.__name__.rsplit(".", 1)[-1]
        raise ParameterError(must(field, f"one of the {family}", name, nearest(name, known)))
    return importlib.import_module(f"{package.__name__}.{name}")
