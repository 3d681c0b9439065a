"""The command line: every verb is one library call."""

from __future__ import annotations

import sys
import traceback

from neurodata.cli.outcome import FAULT
from neurodata.secret_guard import guard_process
from neurodata.shown import shown


def main() -> None:
    """Run the command line; an uncaught exception ends with exit code 3."""
    guard_process()
    import neurodata.cli.upkeep  # noqa: F401 - adds its verbs to the app
    from neurodata.cli.more_verbs import app

    try:
        app()
    except Exception:  # the last resort of a command line
        sys.stderr.write(shown(traceback.format_exc()))
        sys.exit(FAULT)


__all__ = ["main"]
