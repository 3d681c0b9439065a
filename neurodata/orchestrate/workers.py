"""Worker processes that fail one at a time and that never outlive us."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.connection import Connection
from queue import SimpleQueue
from types import TracebackType
from typing import ParamSpec, TypeVar

from neurodata.errors import NeurodataError
from neurodata.secret_guard import guard_process

P = ParamSpec("P")
T = TypeVar("T")


SERVER_PID = "NEURODATA_SERVER_PID"  # set by `serve` for the processes of its runs


def end_with_server() -> None:
    """End this process soon after the `serve` that started it, if one did, was killed."""
    server = int(os.environ.get(SERVER_PID, "0"))
    if not server or server == os.getpid():
        return

    def wait() -> None:
        while os.getppid() == server:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


class WorkerDiedError(NeurodataError):
    """A worker process ended in the middle of its work."""


def end_with_parent(leash: Connection) -> None:
    """Prepare a worker: Ctrl-C is the parent's, and the worker ends when the leash is cut."""

    def wait() -> None:
        try:
            leash.recv_bytes()
        except (EOFError, OSError):
            os._exit(1)

    guard_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=wait, daemon=True).start()


class Worker:
    """One process; it ends at once when the other end of its leash closes, by us or by a kill."""

    def __init__(self) -> None:
        context = get_context("spawn")  # a fork would copy locks that threads hold
        self.theirs, self.ours = context.Pipe(duplex=False)
        self.lock = threading.Lock()
        self.pool = ProcessPoolExecutor(
            1, mp_context=context, initializer=end_with_parent, initargs=(self.theirs,)
        )

    def close(self, at_once: bool) -> None:
        """End the process: ``at_once`` cuts its leash, or else it finishes its work."""
        with self.lock:  # a stopped run and the death that it causes both come here
            if at_once:
                self.ours.close()
            self.pool.shutdown(wait=True, cancel_futures=at_once)
            self.ours.close()
            self.theirs.close()


class Workers:
    """A fixed number of worker processes, started when needed and replaced when they die.

    Each is its own pool: a crash in a native library ends the one piece of work that caused it.

    Parameters
    ----------
    count : int
        Processes, and at most as many threads may `call` at a time.

    Examples
    --------
    >>> with Workers(1) as workers:
    ...     workers.call(abs, -3)
    3
    """

    def __init__(self, count: int) -> None:
        self.closed = False
        self._all: set[Worker] = set()
        self._idle: SimpleQueue[Worker | None] = SimpleQueue()
        for _ in range(count):
            self._idle.put(None)

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``function`` in an idle worker and return its result.

        Raises
        ------
        WorkerDiedError
            When the process ended before the function returned.
        """
        worker = self._idle.get()
        try:
            if self.closed:
                raise WorkerDiedError("the run was stopped")
            if worker is None:
                worker = Worker()
                self._all.add(worker)
            return worker.pool.submit(function, *args, **kwargs).result()
        except BrokenProcessPool:
            dead, worker = worker, None
            self._discard(dead)
        finally:
            self._idle.put(worker)
        raise WorkerDiedError(
            "the worker process died: killed, out of memory, or crashed in a native library"
            " (a script that starts workers needs `if __name__ == '__main__':`)"
        )

    def _discard(self, worker: Worker | None) -> None:
        if worker is not None:
            worker.close(at_once=True)
            self._all.discard(worker)

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closed = True
        for worker in list(self._all):
            worker.close(at_once=error is not None)
