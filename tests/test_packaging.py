"""What is installed is what the tree holds, nothing but `spikesim` is, and every module stands alone."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "spikesim": ROOT / "spikesim",
    "spikesim.hardware": ROOT / "hardware",
    "spikesim.datasets": ROOT / "datasets",
}


def packages_in_tree() -> set[str]:
    found = set()
    for name, folder in FOLDERS.items():
        for init in folder.rglob("__init__.py"):
            parts = init.parent.relative_to(folder).parts
            if not (name == "spikesim" and parts and parts[0] in ("hardware", "datasets")):
                found.add(".".join([name, *parts]))
    return found


def modules() -> list[str]:
    found = []
    for package in sorted(packages_in_tree()):
        head = max((n for n in FOLDERS if package == n or package.startswith(n + ".")), key=len)
        folder = FOLDERS[head].joinpath(*package.removeprefix(head).strip(".").split(".")).resolve()
        found += [package, *(f"{package}.{p.stem}" for p in sorted(folder.glob("*.py")) if not p.stem.startswith("__"))]
    return found


def test_package_list_is_the_tree() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert set(listed) == packages_in_tree()


def test_every_module_imports_alone() -> None:
    """In a forked interpreter each, from a parent that has only torch and numba: no room needs another first."""
    code = (
        "import importlib, os, sys, torch, numba\n"
        "for name in sys.argv[1:]:\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        try:\n"
        "            importlib.import_module(name)\n"
        "        except BaseException as error:\n"
        "            print(name, repr(error)); os._exit(1)\n"
        "        os._exit(0)\n"
        "    if os.waitpid(child, 0)[1]: sys.exit(1)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *modules()], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_bare_datasets_is_refused() -> None:
    done = subprocess.run([sys.executable, "-c", "import datasets"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1 and "import spikesim.datasets" in done.stderr


def test_importing_spikesim_loads_nothing_heavy() -> None:
    code = "import sys, spikesim; print([m for m in ('torch', 'numba', 'snntorch', 'tonic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_wheel_through_the_sdist_installs_outside_the_checkout(tmp_path: Path) -> None:
    if importlib.util.find_spec("build") is None:
        pytest.skip("needs the build package")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    wheel = next(tmp_path.glob("*.whl"))
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0] for n in names if "dist-info" not in n} == {"spikesim"}
    assert any(n.endswith(".toml") and n.startswith("spikesim/hardware/macros/") for n in names)
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True)
    site = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    code = (
        "import spikesim, spikesim.hardware as h, spikesim.datasets as d; from spikesim.hardware import load_macro;"
        "print(load_macro('taox40').name, spikesim.__file__)"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0 and str(tmp_path / "env") in done.stdout, done.stdout + done.stderr
