"""Memory of reading and normalising files that are ten times as large as what it may take."""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask

from neurodata.errors import NeurodataError
from neurodata.ingestion import normalise
from neurodata.plan import Job
from neurodata.readers import reader
from neurodata.recognise import recognise
from neurodata.safe import Raw
from neurodata.sources import scan
from tests.fuzz.large import LARGE
from tests.fuzz.server import MIB, Limits, Server

BUDGET_MIB, TIMES = 64, 10
SMALL_BYTES = 4 * MIB
LIMITS = Limits(seconds=300.0, memory_bytes=2**40, file_bytes=2**40)


def main(formats: tuple[str, ...] | None, as_json: bool = False) -> int:
    """Measure the formats with large data, and print a line each."""
    over = False
    for name in formats or tuple(LARGE):
        found = measure(name)
        over = over or found["over"]
        words = "  ".join(f"{key} {value}" for key, value in found.items())
        print(json.dumps(found) if as_json else words, flush=True)
    return int(over)


def measure(name: str, budget_mib: int = BUDGET_MIB) -> dict[str, Any]:
    """Read and normalise a large recording in a process of its own.

    Returns
    -------
    dict
        ``peak_mib`` is the greatest anonymous memory above that before the reading, which has
        read a small recording of the format, so that all is imported.
    """
    dask.config.set(scheduler="synchronous")
    with tempfile.TemporaryDirectory(prefix="neurodata-memory-") as folder:
        server = Server(_make, Path(folder) / "made", LIMITS, children=1)
        sizes = {"small": SMALL_BYTES, "large": budget_mib * TIMES * MIB}
        for which, size in sizes.items():
            (made,) = server.run([(name, size, Path(folder) / which)])
            if made.result["class"] != "made":
                raise RuntimeError(f"{name}: {made.result}")
        _normalise(name, Path(folder) / "small")
        server = Server(_measure, Path(folder) / "read", LIMITS, children=1)
        (done,) = server.run([(name, Path(folder) / "large")])
    result = done.result
    peak = round(result.get("peak", 0) / MIB, 1)
    bad = result["class"] != "read"
    return {
        "format": name, "file_mib": budget_mib * TIMES, "peak_mib": peak,
        "seconds": round(done.seconds, 1), "over": bad or peak > budget_mib,
        **({"error": str(result)[:500]} if bad else {}),
    }  # fmt: skip


def _make(case: tuple[str, int, Path], slot: Path) -> dict[str, Any]:
    name, size, folder = case
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    LARGE[name].make(folder, size)
    return {"class": "made"}


def _measure(case: tuple[str, Path], slot: Path) -> dict[str, Any]:
    with _watched(slot / "peak") as peak:
        _normalise(*case)
    return {"class": "read", "peak": peak[0]}


def _normalise(name: str, root: Path) -> None:
    reader(name)
    found, _ = recognise(scan(root))
    if [item.reader for item in found] != [name]:
        raise RuntimeError(f"{root} is read as {[item.reader for item in found]}")
    (item,) = found
    job = Job("memory", item.name, root, item.files, name, dict(LARGE[name].declared))
    try:
        normalise(job, Raw(root, item.files))
    except NeurodataError as error:
        raise RuntimeError(str(error)) from error


@contextmanager
def _watched(path: Path) -> Iterator[list[int]]:
    """Give the greatest growth of this process's anonymous memory, seen by another process."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    own, peak = os.getpid(), [0]
    before = _anonymous(own)
    out, into = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(into)
        _watch(own, out, path)
    try:
        yield peak
    finally:
        os.close(into)
        os.waitpid(pid, 0)
        os.close(out)
        peak[0] = int(path.read_text()) - before


def _watch(pid: int, until: int, path: Path) -> None:
    """Look every millisecond until the other end of a pipe is closed."""
    greatest = _anonymous(pid)
    while not select.select([until], [], [], 0.001)[0]:
        greatest = max(greatest, _anonymous(pid))
    path.write_text(str(greatest))
    os._exit(0)


def _anonymous(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("RssAnon:")[2].split()[0]) * 1024
