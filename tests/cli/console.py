"""Commands as a person gives them: what they say, and the one line with which they refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spikesim.cli import main


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """Run with --json, expect exit 0; what it printed."""
    assert main([*map(str, arguments), "--json"]) == 0, capsys.readouterr()
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run, expect exit 1, nothing on stdout and one line on stderr; return it."""
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert code == 1 and len(lines) == 1 and lines[0].startswith("spikesim: ") and not captured.out, captured
    return lines[0]
