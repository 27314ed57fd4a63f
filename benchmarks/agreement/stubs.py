"""Stand-ins for packages that a peer imports but that its neurons never use, so that they need not be installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

UNUSED = ("torchvision", "torchaudio", "cv2", "gymnasium", "gym", "ale_py", "foolbox")
"""Top-level packages imported by BindsNET's and SpikingJelly's data sets, pipelines and plots."""


class _Blank(type):
    """A class whose every attribute is another blank class."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Blank(name, (), {})


class _Module(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Blank(name, (), {})


class _Finder:
    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.split(".")[0] in UNUSED else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def register() -> None:
    """Let imports of the unused packages succeed where these are not installed."""
    sys.meta_path.append(_Finder())  # type: ignore[arg-type]
