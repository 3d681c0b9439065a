"""Memory and processor time of a tree of processes, as Linux counts them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """Return all living descendants of a process."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{waiting.pop()}/task").iterdir():
                with contextlib.suppress(OSError):
                    below = [int(word) for word in (task / "children").read_text().split()]
                    found += below
                    waiting += below
    return found


def own_mib(pid: int | str = "self") -> float:
    """Return the anonymous and shared memory of one process, by its resident pages."""
    return _sum_kib(f"/proc/{pid}/status", ("RssAnon", "RssShmem")) / 1024


def tree_mib(pid: int) -> float:
    """Return the anonymous and shared memory of a process and its descendants, no page twice."""
    below = children(pid)
    if not below:
        return own_mib(pid)
    shares = ("Pss_Anon", "Pss_Shmem")
    return sum(_sum_kib(f"/proc/{one}/smaps_rollup", shares) for one in (pid, *below)) / 1024


def _sum_kib(file: str, names: tuple[str, ...]) -> int:
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(names))


def busy_s() -> float:
    """Return the seconds for which the machine's cores were not idle, all together."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle, waiting = fields[3], fields[4]
    return (sum(fields) - idle - waiting) / TICKS_PER_S


def tree_cpu_s(pid: int) -> float:
    """Return the processor seconds of a process, its descendants and those it has waited for."""
    total = 0
    for one in (pid, *children(pid)):
        with contextlib.suppress(OSError):
            after_name = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            total += sum(int(word) for word in after_name[11:15])
    return total / TICKS_PER_S


class Peak(threading.Thread):
    """Watches the memory of a process tree until it is stopped; `mib` is the highest seen."""

    def __init__(self, pid: int, every_s: float = 0.03, every_tree_s: float = 0.2) -> None:
        super().__init__(daemon=True)
        self.pid, self.every_s, self.every_tree_s = pid, every_s, every_tree_s
        self.mib = 0.0
        self._stopped = threading.Event()

    def run(self) -> None:
        """Sample until `stop`; a tree of several processes less often, as that costs more."""
        while not self._stopped.is_set():
            start = time.perf_counter()
            self.mib = max(self.mib, tree_mib(self.pid))
            took = time.perf_counter() - start
            alone = took < self.every_s / 10
            self._stopped.wait(self.every_s if alone else self.every_tree_s)

    def stop(self) -> float:
        """Stop and return the peak in MiB."""
        self._stopped.set()
        self.join()
        return self.mib


class Load:
    """Cores that this process tree and everything else use between two moments."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.start, self.own, self.all = time.perf_counter(), tree_cpu_s(pid), busy_s()

    def cores(self) -> tuple[float, float]:
        """Return the cores used by the tree and by others since the start."""
        elapsed_s = max(time.perf_counter() - self.start, 1e-9)
        own_s = tree_cpu_s(self.pid) - self.own
        others_s = max(0.0, busy_s() - self.all - own_s)
        return own_s / elapsed_s, others_s / elapsed_s
