"""What becomes of hostile sources: each is built and ingested in a child process with limits."""

from __future__ import annotations

import ctypes
import gc
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import pytest

from neurodata.errors import NeurodataError, Problem
from neurodata.ingestion import Result, ingest
from neurodata.readers import TABLE, reader
from tests.fuzz.server import MIB, Limits, Server
from tests.hostile.case import OUTSIDE, Case

IN_ACCESS, IN_MODIFY, IN_OPEN, IN_CREATE, IN_ISDIR = 0x1, 0x2, 0x20, 0x100, 0x40000000
UNFORESEEN = "an ingest without exceptions"
STORE, SCRATCH = "store", "scratch"
LEVELS = ("error", "warning", "note")
READING = Limits(seconds=20.0, memory_bytes=8 * 2**30)
MEMORY_BYTES = {13: 50 * MIB, 21: 64 * MIB}
"""How far memory may grow, by fault."""
BUILDING = Limits(seconds=60.0, memory_bytes=2**40, file_bytes=2**32)


@dataclass(frozen=True)
class Verdict:
    """What became of one case.

    Parameters
    ----------
    kind : str
        ``refused`` (nothing was stored, with errors), ``dropped`` (a recording was stored, with
        an error or warning about the rest), ``accepted`` (stored, nothing said), ``foreign`` (an
        exception of another type), ``crash``, ``timeout``, ``memory`` or ``skipped``.
    said : tuple of str
        Errors and warnings.
    opened : tuple of str
        What was opened, read or written outside of the source.
    left : tuple of str
        New or changed files outside of the store.
    peak_bytes : int
        How far the memory grew.
    """

    case: Case
    kind: str
    said: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    peak_bytes: int = 0
    seconds: float = 0.0


@contextmanager
def watched(folder: Path) -> Iterator[list[str]]:
    """Have the kernel (inotify) tell what is opened, read or written below a folder."""
    seen: list[str] = []
    folders = {folder, *(path for path in folder.rglob("*") if path.is_dir())}
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    try:
        for path in folders if folder.is_dir() else ():
            mask = IN_ACCESS | IN_MODIFY | IN_OPEN | IN_CREATE
            if libc.inotify_add_watch(watch, os.fsencode(path), mask) < 0:
                raise OSError(ctypes.get_errno(), "inotify_add_watch")
        yield seen
        while True:
            try:
                events = os.read(watch, 2**16)
            except BlockingIOError:
                break
            seen += _names(events)
    finally:
        os.close(watch)


def _names(events: bytes) -> Iterator[str]:
    at = 0
    while at < len(events):
        length = int.from_bytes(events[at + 12 : at + 16], "little")
        mask = int.from_bytes(events[at + 4 : at + 8], "little")
        name = events[at + 16 : at + 16 + length].rstrip(b"\0").decode(errors="replace")
        yield f"{name or 'the folder'} ({mask:#x})"
        at += 16 + length


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of what lies below a folder, the store aside."""
    found = {}
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if below.parts[0] != STORE:
            stat = path.lstat()
            is_folder = path.is_dir() and not path.is_symlink()
            found[str(below)] = (0, 0) if is_folder else (stat.st_size, stat.st_mtime_ns)
    return found


def outcome(source: Path, folder: Path, declare: dict[str, Any]) -> dict[str, Any]:
    """Ingest a source that was built in a folder and say what came of it."""
    scratch = folder / SCRATCH
    scratch.mkdir(exist_ok=True)
    before = state(folder)
    tempfile.tempdir = str(scratch)
    try:
        with watched(folder / OUTSIDE) as opened:
            found = _ingest(source, folder / STORE, declare)
            gc.collect()
    finally:
        tempfile.tempdir = None
    after = state(folder)
    left = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return {**found, "opened": opened, "left": left}


def _ingest(source: Path, store: Path, declare: dict[str, Any]) -> dict[str, Any]:
    try:
        with dask.config.set(scheduler="synchronous"):
            result = ingest(source, store=store, declare=declare)
    except NeurodataError as error:
        return {"class": "refused", "said": [f"{type(error).__name__}: {error}"[:500]]}
    except Exception as error:
        kind = "memory" if isinstance(error, MemoryError) else "foreign"
        return {"class": kind, "said": [f"{type(error).__name__}: {error}"[:500]]}
    return {"class": _class(result), "said": [str(p)[:500] for p in _told(result)]}


def _told(result: Result) -> list[Problem]:
    found = result.findings()
    told = [p for p in found if p.level != "note" or "left out" in f"{p.where} {p.found}"]
    return sorted(told, key=lambda problem: LEVELS.index(problem.level))


def _class(result: Result) -> str:
    told = _told(result)
    if any(problem.expected == UNFORESEEN for problem in told):
        return "foreign"
    if all(entry.status == "failed" for entry in result.entries):
        return "refused" if any(problem.level == "error" for problem in told) else "foreign"
    return "dropped" if told else "accepted"


# ---- many cases, each in a child


def run(cases: Iterable[Case], base: Path, children: int = 2, batch: int = 32) -> list[Verdict]:
    """Build and ingest cases, and return what became of each, in order.

    Parameters
    ----------
    base : Path
        An empty folder, in which each case has its own.
    """
    listed = list(cases)
    for case in listed:
        _declared(case)  # imports what children need, so that none of it counts as theirs
    dask.config.set(scheduler="synchronous")
    for name in TABLE:
        reader(name)
    ready = {}
    with tempfile.TemporaryDirectory() as slots:
        builder = Server(_build, Path(slots) / "build", BUILDING, children, batch)
        jobs = [(number, case, base / str(number)) for number, case in enumerate(listed)]
        for done in builder.run(jobs):
            ready[done.case[0]] = done.result
        server = Server(_read, Path(slots) / "read", READING, children, batch)
        again = [
            (number, folder, ready[number]["source"], _declared(case))
            for number, case, folder in jobs
            if ready[number]["class"] == "built"
        ]
        found = {done.case[0]: done for done in server.run(again)}
    verdicts = []
    for number, case in enumerate(listed):
        if number not in found:
            said = (str(ready[number].get("error", "")),)
            verdicts.append(Verdict(case, ready[number]["class"], said))
            continue
        done = found[number]
        told = done.result
        said = tuple(told.get("said", [str(told.get("error", ""))]))
        outside, left = tuple(told.get("opened", ())), tuple(told.get("left", ()))
        verdicts.append(
            Verdict(case, told["class"], said, outside, left, done.peak_bytes, done.seconds)
        )
    return verdicts


def _build(job: tuple[int, Case, Path], slot: Path) -> dict[str, Any]:
    _, case, folder = job
    folder.mkdir(parents=True)
    try:
        return {"class": "built", "source": str(case.build(folder))}
    except pytest.skip.Exception as error:
        return {"class": "skipped", "error": str(error)}
    except Exception as error:
        return {"class": "unbuilt", "error": f"{type(error).__name__}: {error}"}


def _declared(case: Case) -> dict[str, Any]:
    try:
        return case.declare
    except pytest.skip.Exception:
        return {}  # it cannot be built either


def _read(job: tuple[int, Path, str, dict[str, Any]], slot: Path) -> dict[str, Any]:
    _, folder, source, declare = job
    return outcome(Path(source), folder, declare)


def faults(verdict: Verdict, is_valid: bool) -> list[str]:
    """Return what is wrong with what became of a case."""
    wrong = []
    good = ("accepted", "dropped") if is_valid else ("refused", "dropped")
    if verdict.kind not in (*good, "skipped"):
        wrong.append(f"{verdict.kind}: {'; '.join(verdict.said)[:300]}")
    if verdict.opened:
        wrong.append(f"opened outside: {', '.join(verdict.opened[:3])}")
    if verdict.left:
        wrong.append(f"left behind: {', '.join(verdict.left[:3])}")
    if verdict.peak_bytes > MEMORY_BYTES.get(verdict.case.fault, verdict.peak_bytes):
        wrong.append(f"{verdict.peak_bytes // MIB} MiB of memory")
    return [f"{verdict.case.name}: {text}" for text in wrong]
