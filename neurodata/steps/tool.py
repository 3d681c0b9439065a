"""Run an external program: only one that is allowed, without a shell, within limits.

A pipeline names a program; the person who runs it says in ``$NEURODATA_TOOLS`` which files may be
run (their paths, separated as in ``$PATH``). So a pipeline from elsewhere starts nothing by
itself. A program has the rights of the person who runs it; what is limited is its time, what it
writes to its folder, and what it sees of the environment.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from neurodata.errors import InvalidInputError, NotFoundError, UnsafeError
from neurodata.sources import fingerprint

ALLOWED = "NEURODATA_TOOLS"
VERSION_S = 30.0
VERSION_LENGTH = 200
LOG_BYTES = 2**24
POLL_S = 0.05


@dataclass(frozen=True)
class Limits:
    """How long a program may run, and how much it may write."""

    timeout_s: float
    most_bytes: int


def allowed(name: str, where: str) -> Path:
    """Return the file of a program that the person allows.

    Raises
    ------
    UnsafeError
        When it is not in ``$NEURODATA_TOOLS``.
    NotFoundError
        When it is, but is no program.
    """
    listed = [Path(text) for text in os.environ.get(ALLOWED, "").split(os.pathsep) if text]
    paths = [path for path in listed if path.name == name]
    if not paths:
        there = shutil.which(name) or f"/path/to/{name}"
        raise UnsafeError(
            where, f"the program {name!r}, which a pipeline asks for", f"one in ${ALLOWED}",
            f"if you trust it: export {ALLOWED}={there}",
        )  # fmt: skip
    path = paths[0]
    if not path.is_absolute() or not path.is_file() or not os.access(path, os.X_OK):
        raise NotFoundError(
            where, f"no program {path.name!r}", "an absolute path", f"mend ${ALLOWED}"
        )
    return path.resolve()


def identity(name: str, args: Sequence[str], code: int, where: str) -> dict[str, str]:
    """Return the version that a program tells of itself, and its sha256.

    Parameters
    ----------
    args : sequence of str
        What it is called with to tell its version.
    code : int
        The exit code that it then has.

    Raises
    ------
    InvalidInputError
        When it tells none.
    """
    path = allowed(name, where)
    sha256 = fingerprint(path).sha256
    return {"version": _version(path, sha256, tuple(args), code, where), "sha256": sha256}


@cache
def _version(path: Path, sha256: str, args: tuple[str, ...], code: int, where: str) -> str:
    with tempfile.TemporaryDirectory(prefix="neurodata-") as name:
        folder = Path(name)
        found, text = run([str(path), *args], folder, {}, Limits(VERSION_S, LOG_BYTES), where)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if found != code or not lines:
        raise InvalidInputError(
            where, f"exit code {found} and {len(lines)} lines for {path.name} {' '.join(args)}",
            f"exit code {code} and a version", "mend version_args, version_exit",
        )  # fmt: skip
    plain = re.sub(r"[^\x20-\x7e]", "?", lines[0])
    return re.sub(r"(?<!\S)/\S+", "...", plain)[:VERSION_LENGTH]  # paths tell of this machine


def run(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    limits: Limits,
    where: str,
) -> tuple[int, str]:
    """Run a program in a folder and return its exit code and what it said.

    Parameters
    ----------
    command : sequence of str
        The program's path and its arguments, passed as they are.
    folder : Path
        Where it runs; also its home and its place for temporary files.
    environment : mapping
        Added to ``PATH``, ``LANG`` and the folder.

    Raises
    ------
    UnsafeError
        When it takes longer or writes more than the limits; it and all that it started is killed.
    """
    base = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8",
            "HOME": str(folder), "TMPDIR": str(folder)}  # fmt: skip
    with tempfile.TemporaryFile(prefix="neurodata-") as log:
        try:
            process = subprocess.Popen(  # noqa: S603 - allowed by name, no shell
                list(command), cwd=folder, env={**base, **environment}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            name = Path(command[0]).name
            raise InvalidInputError(where, f"{name}: {error.strerror}", "a program") from error
        with _ended(process):
            _watch(process, folder, log.fileno(), limits, where)
        log.seek(0)
        return process.returncode, log.read(LOG_BYTES).decode("utf-8", "replace")


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill a process and all that it started at the end of the block."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _watch(
    process: subprocess.Popen[bytes], folder: Path, log: int, limits: Limits, where: str
) -> None:
    name, started = Path(str(process.args[0])).name, time.monotonic()  # type: ignore[index]
    while True:
        ended = process.poll() is not None
        size = written(folder)
        if size > limits.most_bytes or os.fstat(log).st_size > LOG_BYTES:
            raise UnsafeError(
                where, f"{name}, which wrote over {size} bytes", f"at most {limits.most_bytes}",
                "raise most_bytes if that is meant",
            )  # fmt: skip
        if ended:
            return
        if time.monotonic() - started > limits.timeout_s:
            raise UnsafeError(
                where, f"{name}, still running after {limits.timeout_s:g} s", "its end",
                "raise timeout_s if it needs longer",
            )  # fmt: skip
        time.sleep(POLL_S)


def written(folder: Path) -> int:
    """Return how many bytes the files below a folder have; links count as themselves."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118
    return total
