"""Forked children of a process that ran a flow, such as torch's workers, end as they should.

Prefect waits at the end of a process for its threads to have sent what they hold. A forked child
has no such threads: there the waiting fails, and with it the child, whatever it did before.
"""

from __future__ import annotations

import os
import threading
from typing import Any


def let_children_end() -> None:
    """Keep Prefect's last calls from being made in children that are forked from now on."""
    global _asked
    if not _asked and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_drop_last_calls)
        _asked = True


_asked = False


def _drop_last_calls() -> None:
    calls: list[Any] = getattr(threading, "_threading_atexits", [])
    calls[:] = [call for call in calls if not _is_prefects(call)]


def _is_prefects(call: Any) -> bool:
    """Say whether a call, as `threading` keeps it in a partial, is of Prefect."""
    name = getattr(getattr(call, "func", call), "__module__", None) or ""
    return name.split(".")[0] == "prefect"
