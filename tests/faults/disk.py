"""A disk of which the n-th operation fails, or before whose n-th operation the process dies."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import pytest

Fault = Literal["none", "EIO", "dead", "ENOSPC", "kill"]
"""One operation fails; it and all later ones; it and all later ones that need room; SIGKILL."""

CALLS = (
    "open", "write", "pwrite", "ftruncate", "truncate", "fsync", "mkdir", "rmdir", "rename",
    "replace", "link", "symlink", "unlink", "remove", "utime", "chmod",
)  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
GROWING = {
    "open", "write", "pwrite", "mkdir", "sqlite insert", "sqlite commit", "sqlite vacuum",
}  # fmt: skip
CHANGING = ("INSERT", "UPDATE", "DELETE", "VACUUM")
SQLITE = {
    errno.EIO: ("disk I/O error", sqlite3.SQLITE_IOERR),
    errno.ENOSPC: ("database or disk is full", sqlite3.SQLITE_FULL),
}


class Disk(AbstractContextManager["Disk"]):
    """Counts and lists the operations on files below a folder while it is entered.

    Operations are the calls of `os` that change something, or open a file to change it, by
    whoever they are made, and the transactions of SQLite.

    Parameters
    ----------
    root : Path
        The folder; other files are left alone.
    at : int
        The operation at which the fault happens, from 1 on; 0 is never.
    """

    def __init__(self, root: Path, at: int = 0, fault: Fault = "none") -> None:
        self.root, self.at, self.fault = os.path.realpath(root), at, fault
        self.seen: list[str] = []
        self.happened = False
        self._lock = threading.Lock()
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> Disk:
        for name in CALLS:
            self._patch.setattr(os, name, self._counted(name, getattr(os, name)))
        self._patch.setattr(sqlite3, "connect", self._connect(sqlite3.connect))
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.undo()

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            path = self._path(arguments[0], named)
            if path is not None and (name != "open" or self._opens(path, arguments, named)):
                self.step(name, path)
            return real(*arguments, **named)

        return call

    def _path(self, file: Any, named: dict[str, Any]) -> str | None:
        """Return where below the root a path or a descriptor leads, else None."""
        try:
            if isinstance(file, int):
                path = os.readlink(f"/proc/self/fd/{file}")
            else:
                path = os.fsdecode(file)
                folder = named.get("dir_fd")
                if folder is not None:
                    path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
        except (OSError, TypeError):
            return None
        inside = path == self.root or path.startswith(self.root + os.sep)
        return path[len(self.root) + 1 :] if inside else None

    def _opens(self, path: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> bool:
        """Say whether a file is opened to change it, and on a full disk whether it is new."""
        flags = arguments[1] if len(arguments) > 1 else named["flags"]
        new = not os.path.lexists(os.path.join(self.root, path))
        return bool(flags & WRITING) and (new or self.fault != "ENOSPC")

    def step(self, name: str, path: str = "") -> None:
        """Count an operation that is about to be done; fail or die if it is its turn."""
        if self.fault == "ENOSPC" and name not in GROWING:
            return
        with self._lock:
            self.seen.append(f"{name} {path}".strip())
            number = len(self.seen)
        if self.fault == "none" or not self.at or number < self.at:
            return
        if self.fault == "EIO" and number > self.at:
            return
        self.happened = True
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        code = errno.ENOSPC if self.fault == "ENOSPC" else errno.EIO
        if name.startswith("sqlite"):
            text, kind = SQLITE[code]
            failure = sqlite3.OperationalError(text)
            failure.sqlite_errorcode = kind
            raise failure
        raise OSError(code, os.strerror(code), os.path.join(self.root, path))

    def _connect(self, real: Callable[..., Any]) -> Callable[..., Any]:
        class Connection(sqlite3.Connection):
            disk = self

            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                if sql.startswith(CHANGING):
                    self.disk.step(f"sqlite {sql.split()[0].lower()}")
                return super().execute(sql, *parameters)

            def executescript(self, sql: str) -> sqlite3.Cursor:
                self.disk.step("sqlite schema")
                return super().executescript(sql)

            def __exit__(self, kind: Any, error: Any, trace: Any) -> Literal[False]:
                commits = kind is None and self.in_transaction
                if commits:
                    self.disk.step("sqlite commit")
                super().__exit__(kind, error, trace)
                if commits and self.disk.fault in ("none", "kill"):
                    self.disk.step("after sqlite commit")
                return False

        def connect(database: Any, *arguments: Any, **named: Any) -> Any:
            inside = self._path(database, {}) is not None
            more = {"factory": Connection} if inside else {}
            return real(database, *arguments, **named, **more)

        return connect
