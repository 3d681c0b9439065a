"""Forked processes, which begin warm; they answer through their exit status only."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any


def begin(work: Callable[[], Any]) -> int:
    """Do something in a forked process and return its id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def ended(pid: int) -> int:
    """Wait for a process and return its exit status; minus the number of a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def done(work: Callable[[], Any]) -> int:
    """Do something in a forked process, wait for it and return its exit status."""
    return ended(begin(work))


def together(works: Sequence[Callable[[], Any]]) -> list[int]:
    """Do things in as many processes, which begin at the same moment; return their statuses."""
    reading, writing = os.pipe()
    pids = [begin(partial(_at_once, reading, writing, work)) for work in works]
    os.close(reading)
    os.close(writing)
    return [ended(pid) for pid in pids]


def _at_once(reading: int, writing: int, work: Callable[[], Any]) -> None:
    os.close(writing)
    os.read(reading, 1)  # returns when nobody has the other end any more
    os.close(reading)
    work()
