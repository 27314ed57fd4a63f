"""`python -m benchmarks [CLAIM]`: measure one claim or all of them, write JSON lines to `benchmarks/results/`."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from benchmarks.harness import record

CLAIMS = sorted(p.stem for p in Path(__file__).parent.glob("[a-z]*.py") if "\ndef measure(" in p.read_text())


def main() -> int:
    wanted = sys.argv[1:] or CLAIMS
    for claim in wanted:
        if claim not in CLAIMS:
            sys.stderr.write(f"benchmarks.CLAIM must be one of {', '.join(CLAIMS)}, got {claim}\n")
            return 1
        rows = import_module(f"benchmarks.{claim}").measure()
        print(record(claim, rows))
        for row in rows:
            print("  ", row)
    return 0


sys.exit(main())
