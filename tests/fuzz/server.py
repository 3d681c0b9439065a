"""A fork server: one process that has everything imported, and limited children for the cases."""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import resource
import selectors
import shutil
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

MIB = 2**20
GRACE = 12
"""A child that idles is ended after so many times its limit: the machine may be busy."""
FULL = 4
"""Exit code of a child that ran out of memory."""


@dataclass(frozen=True)
class Limits:
    """What one case may use: seconds, memory above that of the server, and bytes of one file."""

    seconds: float = 10.0
    memory_bytes: int = 1024 * MIB
    file_bytes: int = 1024 * MIB


@dataclass(frozen=True)
class Done:
    """What came of a case, and what it used."""

    case: Any
    result: dict[str, Any]
    seconds: float
    peak_bytes: int


Work = Callable[[Any, Path], dict[str, Any]]


class Server:
    """Forks children that do some cases each, one after the other, in a new folder each.

    A child that dies, hangs or swells takes no other case with it: those that it had not begun
    are done by the next one.

    Parameters
    ----------
    work : callable
        Called in the child with the case and an empty folder; returns plain data.
    folder : Path
        Where the children's folders are.
    children : int
        How many there are at a time.
    batch : int
        How many cases a child does.
    """

    def __init__(
        self, work: Work, folder: Path, limits: Limits, children: int = 2, batch: int = 1
    ) -> None:
        self.work, self.folder, self.limits = work, folder, limits
        self.children, self.batch = children, batch
        gc.collect()
        gc.freeze()  # children share these pages

    def run(self, cases: Iterable[Any]) -> Iterator[Done]:
        """Yield what comes of each case, as they end."""
        left, again, free = iter(cases), deque[Any](), list(range(self.children))
        with selectors.DefaultSelector() as waiting:
            while True:
                while free and (batch := self._batch(left, again)):
                    self._start(batch, free.pop(), waiting)
                if not waiting.get_map():
                    return
                for running in self._heard(waiting):
                    yield from running.take(self.limits)
                    if running.ended:
                        again.extend(running.cases)
                        free.append(running.slot)

    def _batch(self, left: Iterator[Any], again: deque[Any]) -> deque[Any]:
        if again:
            return deque([again.popleft()])
        return deque(islice(left, self.batch))

    def _start(self, cases: deque[Any], slot: int, waiting: selectors.BaseSelector) -> None:
        folder = self.folder / f"slot{slot}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        out, into = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(out)
            self._child(cases, folder, into)
        os.close(into)
        os.set_blocking(out, False)
        running = Running(cases, slot, pid, out, folder.with_suffix(".log"))
        waiting.register(out, selectors.EVENT_READ, running)

    def _heard(self, waiting: selectors.BaseSelector) -> list[Running]:
        """Return the children that said something, ended or had to be ended."""
        heard: list[Running] = [key.data for key, _ in waiting.select(timeout=0.5)]
        for key in list(waiting.get_map().values()):
            running: Running = key.data
            if running in heard:
                running.read()
            elif running.overdue(self.limits):
                running.kill()
                heard.append(running)
            if running.ended:
                waiting.unregister(running.out)
                os.close(running.out)
        return heard

    def _child(self, cases: deque[Any], folder: Path, into: int) -> None:
        """Do the work of a child under its limits, and never return."""
        status = 3
        try:
            os.setsid()
            log = os.open(folder.with_suffix(".log"), os.O_CREAT | os.O_TRUNC | os.O_RDWR)
            for stream in (1, 2):
                os.dup2(log, stream)
            faulthandler.enable(file=log)
            cap = _status("VmSize") + self.limits.memory_bytes
            resource.setrlimit(resource.RLIMIT_AS, (cap, cap))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.limits.file_bytes,) * 2)
            shutil.rmtree(folder, ignore_errors=True)
            for number, case in enumerate(cases):
                said = self._one(case, folder / str(number))  # readers may know files by name
                os.write(into, json.dumps(said).encode() + b"\n")
            status = 0
        except MemoryError:
            status = FULL
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _one(self, case: Any, folder: Path) -> dict[str, Any]:
        folder.mkdir(parents=True)
        Path("/proc/self/clear_refs").write_text("5")  # the greatest size is counted anew
        size, begun = _status("VmRSS"), _spent_s()
        result = self.work(case, folder)
        shutil.rmtree(folder, ignore_errors=True)
        peak = max(0, _status("VmHWM") - size)
        return {"result": result, "seconds": _spent_s() - begun, "peak_bytes": peak}


@dataclass(eq=False)
class Running:
    """A child at work on the first of its cases."""

    cases: deque[Any]
    slot: int
    pid: int
    out: int
    log: Path
    text: bytes = b""
    ended: bool = False
    killed: bool = False
    before_s: float = 0.0
    since: float = field(default_factory=time.monotonic)

    def read(self) -> None:
        """Take what the child wrote."""
        while not self.ended:
            try:
                part = os.read(self.out, MIB)
            except BlockingIOError:
                return
            self.text += part
            self.ended = not part

    def overdue(self, limits: Limits) -> bool:
        """Say whether the case at hand takes too long."""
        waited = time.monotonic() - self.since
        if waited < limits.seconds:
            return False
        return waited > GRACE * limits.seconds or self._spent_s() - self.before_s > limits.seconds

    def _spent_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """End the child and whatever it has started."""
        self.killed = self.ended = True
        os.killpg(self.pid, signal.SIGKILL)

    def take(self, limits: Limits) -> Iterator[Done]:
        """Yield what is done; of a child that has ended, also what ended it."""
        *lines, self.text = self.text.split(b"\n")
        for line in lines:
            said = json.loads(line)
            result, seconds = said["result"], said["seconds"]
            if seconds > limits.seconds:
                result = {"class": "timeout", "error": f"{seconds:.1f} s"}
            yield Done(self.cases.popleft(), result, seconds, said["peak_bytes"])
        if lines and not self.ended:
            self.since, self.before_s = time.monotonic(), self._spent_s()
        if self.ended:
            yield from self._end()

    def _end(self) -> Iterator[Done]:
        _, status, usage = os.wait4(self.pid, 0)
        if not self.cases:
            return
        code, seconds = os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
        if self.killed:
            result = {"class": "timeout", "error": f"ended after {seconds:.1f} s"}
        elif code == FULL:
            result = {"class": "memory", "error": "memory exhausted outside of the reader"}
        else:
            log = self.log.read_text("utf-8", "replace")
            result = {"class": "crash", "error": f"exit {code}", "trace": log[-4000:]}
        yield Done(self.cases.popleft(), result, seconds, 0)


def _spent_s() -> float:
    """Return the processor time of this process and of those it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _status(key: str) -> int:
    """Return a size of this process in bytes, as the kernel counts it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return 0
