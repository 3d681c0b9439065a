"""Every stored byte against the manifests: at leisure, and on from where it was stopped."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from neurodata.errors import InvalidInputError, Problem
from neurodata.store import files, integrity

STATE = ".verified"
SAVED_S = 1.0
LINE = re.compile(r"(\S+Z) ([0-9a-f]{16})")


class Pace:
    """Waits, so that no more than so many megabytes (10^6 bytes) a second are read."""

    def __init__(self, limit_mb_s: float) -> None:
        if not (limit_mb_s > 0 and math.isfinite(limit_mb_s)):
            raise InvalidInputError("limit_mb_s", f"{limit_mb_s:g} MB/s", "more than 0")
        self._bytes_s = limit_mb_s * 1e6
        self._free_s = time.monotonic()

    def spent(self, count: int) -> None:
        """Wait until so many more bytes are due; of time that was lost, a second is made up."""
        now_s = time.monotonic()
        self._free_s = max(self._free_s, now_s - SAVED_S) + count / self._bytes_s
        time.sleep(max(0.0, self._free_s - now_s))


def scrub(
    root: Path, folders: Sequence[Path], *, resume: bool, limit_mb_s: float | None
) -> list[Problem]:
    """Compare every byte of versions with their manifests; see `Store.verify`.

    With ``resume`` each version that is intact is noted in a file of the store, by its digest
    alone; the file goes when all are done. What is damaged is compared again.

    Raises
    ------
    StoreError
        With ``resume``, when the store cannot be written.
    """
    spent = None if limit_mb_s is None else Pace(limit_mb_s).spent
    state = root / STATE
    with files.on_disk(root):
        before = noted(state) if resume else {}
    problems: list[Problem] = []
    done: list[str] = []
    for folder in folders:
        if since := before.get(folder.name):
            done.append(since)
            continue
        found = integrity.verify(folder, spent)
        if found and not folder.is_dir():  # it was forgotten or pruned meanwhile
            continue
        problems += found
        if resume and not found:
            now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            with files.on_disk(root):
                files.append(state, f"\n{now} {folder.name}".encode())
    if resume:
        with files.on_disk(root):
            files.remove(state)
    if done:
        found_before = f"{len(done)} versions compared before, since {min(done)}"
        problems.append(Problem("note", str(root), found_before, "", "they were intact"))
    return problems


def noted(state: Path) -> dict[str, str]:
    """Return when each version was compared that a run noted before it was stopped."""
    try:
        lines = files.read(state).decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return {}
    found = (LINE.fullmatch(line) for line in lines)  # a line that was cut short is none
    return {match[2]: match[1] for match in found if match}
