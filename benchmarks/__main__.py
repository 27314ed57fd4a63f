"""`python -m benchmarks [--keep] [CLAIM]`: measure one claim or all of them, write JSON lines to `benchmarks/results/`.

`--keep` measures only what a claim has no recorded row of, where the claim can go on after an interruption.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from benchmarks.harness import keep, record

CLAIMS = sorted(p.stem for p in Path(__file__).parent.glob("[a-z]*.py") if "\ndef measure(" in p.read_text())


def main() -> int:
    keeping = "--keep" in sys.argv
    wanted = [name for name in sys.argv[1:] if name != "--keep"] or CLAIMS
    for claim in wanted:
        if claim not in CLAIMS:
            sys.stderr.write(f"benchmarks.CLAIM must be one of {', '.join(CLAIMS)}, got {claim}\n")
            return 1
        if keeping:
            keep(claim)
        rows = import_module(f"benchmarks.{claim}").measure()
        print(record(claim, rows))
        for row in rows:
            print("  ", row)
    return 0


sys.exit(main())
