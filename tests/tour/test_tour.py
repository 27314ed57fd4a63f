"""Every tour script, and the README's example, runs as it stands."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("script", sorted(p.name for p in HERE.glob("tour_*.py")))
def test_tour(script: str) -> None:
    assert len((HERE / script).read_text().splitlines()) < 60
    runpy.run_path(str(HERE / script))


def test_readme_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (HERE.parents[1] / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.S)
    assert sum(bool(line.strip()) for line in example.splitlines()) <= 15
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
