"""The command line: one file per verb; the only place that prints.

Exit 0: done. 1: refused, with one sentence on stderr. 2: a command line that cannot be understood.
"""

from __future__ import annotations

import sys

from ..errors import SpikesimError


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    from .app import app

    try:
        app(arguments, prog_name="spikesim")
    except SystemExit as end:
        return int(end.code or 0)
    except SpikesimError as error:
        sys.stderr.write(f"spikesim: {error}\n")
        return error.exit_code
    except BrokenPipeError:
        return 0
    return 0
