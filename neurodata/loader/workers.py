"""A few threads with two queues: what a consumer waits for goes before what may come later."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any


class Job:
    """Some tasks that are done when the last of them is; the first failure is raised by `wait`.

    Attributes
    ----------
    done : Future
        Of all tasks.
    dropped : bool
        Tasks that did not begin yet never will.
    """

    def __init__(self, tasks: int) -> None:
        self._left = tasks
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self.done: Future[None] = Future()
        self.dropped = False
        if tasks == 0:
            self.done.set_result(None)

    def finish(self, failure: BaseException | None = None) -> None:
        """Count one task as done."""
        with self._lock:
            self._failure = self._failure or failure
            self._left -= 1
            left = self._left
        if left == 0 and self._failure is None:
            self.done.set_result(None)
        elif left == 0:
            self.done.set_exception(self._failure)

    def wait(self) -> None:
        """Wait for all tasks.

        Raises
        ------
        BaseException
            What the first task that failed raised.
        """
        self.done.result()

    def settle(self) -> None:
        """Wait for all tasks, whatever became of them."""
        self.done.exception()

    def drop(self) -> None:
        """Leave out the tasks that did not begin yet."""
        self.dropped = True


class Workers:
    """Threads that run tasks, urgent ones first; they start when the first task comes.

    Examples
    --------
    >>> workers, seen = Workers(2), []
    >>> workers.run([lambda: seen.append(1), lambda: seen.append(2)], urgent=True).wait()
    >>> sorted(seen)
    [1, 2]
    >>> workers.close()
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._queues = _Queues()
        self._threads: list[threading.Thread] = []
        self._end = weakref.finalize(self, _Queues.close, self._queues)

    def run(
        self, tasks: list[Callable[[], Any]], *, urgent: bool, after: Future[Any] | None = None
    ) -> Job:
        """Start some tasks, at once or after something else, and return the job that they are.

        Where what they wait for fails, they fail with it and none of them runs.
        """
        if not self._threads:
            for number in range(self.count):
                name = f"neurodata-loader-{number}"
                thread = threading.Thread(
                    target=_work, args=(self._queues,), name=name, daemon=True
                )
                thread.start()
                self._threads.append(thread)
        job = Job(len(tasks))
        items = [(job, task) for task in tasks]
        if after is None:
            self._queues.put(items, urgent)
        else:
            after.add_done_callback(partial(_follow, self._queues, items, urgent))
        return job

    def close(self) -> None:
        """Drop what was not begun and end the threads."""
        self._end()
        for thread in self._threads:
            thread.join()
        self._threads = []


def _follow(
    queues: _Queues, items: list[tuple[Job, Callable[[], Any]]], urgent: bool, done: Future[Any]
) -> None:
    """Start what waited for something, or let it fail likewise.

    What was waited for knows this call for as long as it lives, but no batch through it.
    """
    waiting = items.copy()
    items.clear()
    failure = RuntimeError("the loader was closed") if done.cancelled() else done.exception()
    if failure is None:
        queues.put(waiting, urgent)
        return
    for job, _ in waiting:
        job.finish(failure)


class _Queues:
    """Two queues behind one condition."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.urgent: deque[tuple[Job, Callable[[], Any]]] = deque()
        self.patient: deque[tuple[Job, Callable[[], Any]]] = deque()
        self.closed = False
        self.process = os.getpid()

    def put(self, items: list[tuple[Job, Callable[[], Any]]], urgent: bool) -> None:
        with self.condition:
            if not self.closed:
                (self.urgent if urgent else self.patient).extend(items)
                self.condition.notify(len(items))
                return
        for job, _ in items:
            job.finish(RuntimeError("the loader was closed"))

    def get(self) -> tuple[Job, Callable[[], Any]] | None:
        with self.condition:
            while not (self.urgent or self.patient or self.closed):
                self.condition.wait()
            if self.closed:
                return None
            return self.urgent.popleft() if self.urgent else self.patient.popleft()

    def close(self) -> None:
        if self.process != os.getpid():  # threads and perhaps the lock stayed behind in a fork
            return
        with self.condition:
            self.closed = True
            dropped = [*self.urgent, *self.patient]
            self.urgent.clear()
            self.patient.clear()
            self.condition.notify_all()
        for job, _ in dropped:
            job.finish(RuntimeError("the loader was closed"))


def _work(queues: _Queues) -> None:
    """Run tasks until the queues are closed."""
    while (item := queues.get()) is not None:
        job, task = item
        try:
            if not job.dropped:
                task()
        except BaseException as failure:
            job.finish(failure)
        else:
            job.finish()
        del item, job, task  # a thread that waits keeps no batch alive


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
