"""Requests of one process: an event loop in a thread, bounded numbers, and tries with back-off.

A process that was forked starts anew, with connections of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import random
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from neurodata.errors import IntegrityError, NotFoundError, RefusedError, StoreError, UnsafeError

PARALLEL = 64
TRIES = 5
BACK_OFF_S = 0.2
LONGEST_WAIT_S = 10.0
RECENT_BYTES = 64 * 2**20
SLOWEST_BYTES_PER_S = 50_000

Kind = Literal["again", "damaged", "missing", "denied", "unsafe", "unfit"]
T = TypeVar("T")


class Failure(Exception):  # noqa: N818 (never leaves the store; see `refusal`)
    """A request without data: what was found, and by ``kind`` whether a new try may help."""

    def __init__(
        self, kind: Kind, found: str, expected: str = "", hint: str = "", wait_s: float = 0.0
    ) -> None:
        super().__init__(found)
        self.kind, self.found, self.expected = kind, found, expected
        self.hint, self.wait_s = hint, wait_s


class Reply(NamedTuple):
    """The bytes of an answer, and the size of the whole file where the answer states it."""

    data: bytes
    total: int | None


class Source(Protocol):
    """Where the files of a remote store come from.

    Attributes
    ----------
    where : str
        The address without secrets.
    origin : str
        What names the store in the cache; like ``where``, without a revision.
    timeout_s : float
        How long a server may stay silent.
    """

    where: str
    origin: str
    timeout_s: float

    async def get(self, path: str, span: tuple[int, int] | None, limit: int) -> Reply:
        """Try once to get a whole file of at most ``limit`` bytes, or ``(start, length)`` of it."""
        ...

    async def folders(self, path: str) -> list[str]:
        """Return the names of the folders below a folder; one without a way to list is unfit."""
        ...

    async def modified_ns(self, path: str) -> int:
        """Return when a file was last changed."""
        ...


_MEANS: Mapping[Kind, tuple[type[RefusedError], str, str]] = {
    "damaged": (IntegrityError, "the published bytes", "try again, or publish the store again"),
    "missing": (NotFoundError, "a file", "check the address"),
    "denied": (StoreError, "access", "check the address and your login"),
    "unsafe": (UnsafeError, "the file", "give the address that it should lead to"),
    "again": (StoreError, "an answer", "try again later"),
    "unfit": (StoreError, "an answer", "serve the store as plain files, with byte ranges"),
}


def refusal(where: str, failure: Failure) -> RefusedError:
    """Return the typed error that a failure means.

    Examples
    --------
    >>> print(refusal("https://host/a", Failure("denied", "status 403")))
    https://host/a: found status 403; expected access; check the address and your login
    """
    kind, expected, hint = _MEANS[failure.kind]
    return kind(where, failure.found, failure.expected or expected, failure.hint or hint)


async def together(jobs: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results of jobs that run at the same time; the first error ends all."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def tries(job: Callable[[], Awaitable[T]], where: str) -> T:
    """Run a request, again with growing pauses where that may help.

    Raises
    ------
    RefusedError
        Of the type that says what was wrong with the last try.
    """
    number = -1
    while True:
        number += 1
        try:
            return await job()
        except Failure as failure:
            last = number + 1 == TRIES or (failure.kind == "damaged" and number > 1)
            if last or failure.kind not in ("again", "damaged"):
                raise refusal(where, failure) from None
            pause_s = BACK_OFF_S * 2**number * random.uniform(0.5, 1.5)  # noqa: S311
            await asyncio.sleep(min(max(pause_s, failure.wait_s), LONGEST_WAIT_S))


class Recent:
    """The parts that came last, in bounded memory; threads may share it."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit, self._held = limit_bytes, 0
        self._parts: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        """Return a part that is still here."""
        with self._lock:
            data = self._parts.get(key)
            if data is not None:
                self._parts.move_to_end(key)
            return data

    def put(self, key: str, data: bytes) -> None:
        """Keep a part, and let the oldest ones go."""
        with self._lock:
            self._held += len(data) - len(self._parts.pop(key, b""))
            self._parts[key] = data
            while self._held > self._limit:
                self._held -= len(self._parts.popitem(last=False)[1])


class Engine:
    """The event loop of this process, what waits in it, and its connections."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.slots = asyncio.Semaphore(PARALLEL)
        self.clients: dict[str, Any] = {}
        self.pending: dict[str, asyncio.Future[None]] = {}
        self.recent = Recent(RECENT_BYTES)
        threading.Thread(target=self.loop.run_forever, name="neurodata", daemon=True).start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for some work to be done in the loop, and return its result."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Close the connections, at the end of the process."""
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(self._close(), self.loop).result(1.0)

    async def _close(self) -> None:
        for client in list(self.clients.values()):
            if isinstance(client, asyncio.Future):
                client = await client
            if hasattr(client, "close"):
                await client.close()


_engine: Engine | None = None
_lock = threading.Lock()
_of_parents: list[Engine | None] = []  # never closed here: their connections are the parent's


def engine() -> Engine:
    """Return the engine of this process."""
    global _engine
    with _lock:
        if _engine is None:
            _engine = Engine()
        return _engine


def _after_fork() -> None:
    global _engine, _lock
    _of_parents.append(_engine)
    _engine, _lock = None, threading.Lock()


def _at_exit() -> None:
    if _engine is not None:
        _engine.stop()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
