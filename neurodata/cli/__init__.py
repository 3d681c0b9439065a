"""The command line: every verb is one library call."""

from __future__ import annotations

import sys
import traceback

from neurodata.cli.outcome import FAULT


def main() -> None:
    """Run the command line; an uncaught exception ends with exit code 3."""
    from neurodata.cli.more_verbs import app

    try:
        app()
    except Exception:  # the last resort of a command line
        traceback.print_exc()
        sys.exit(FAULT)


__all__ = ["main"]
