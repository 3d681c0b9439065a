"""A store's contents: catalogue, versions, leftovers, and what does not belong there."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from shlex import quote
from urllib.parse import quote as percent

from neurodata.doctor.check import Check, run
from neurodata.errors import IntegrityError, Problem, RefusedError
from neurodata.store import catalog, files, integrity
from neurodata.store.commit import LOCK, STAGING, versions
from neurodata.store.manifest import FORMAT, NAME, PART, VERSION_LENGTH
from neurodata.store.removal import JOURNAL, REMOVALS
from neurodata.store.scrub import STATE
from neurodata.store.store import JOURNALS, Store

VERSION = re.compile(rf"[0-9a-f]{{{VERSION_LENGTH}}}")
OWN = {STAGING, REMOVALS, STATE, catalog.FILE, *(catalog.FILE + suffix for suffix in JOURNALS)}
AHEAD_S = 3600.0
Progress = Callable[[int, int], None]


def contents(root: Path, deep: bool = False, progress: Progress | None = None) -> Iterator[Check]:
    """Check everything in a store; with ``deep`` every byte of it."""
    foreign = list(strangers(root))
    yield Check("files", "those of a store", tuple(foreign))
    yield Check("staging", "what is at work", tuple(leftovers(root)))
    folders = [path for path in versions(root) if _is_version(root, path)]
    damaged = {}
    for done, folder in enumerate(folders):
        if progress:
            progress(done, len(folders))
        if found := damage(root, folder, deep):
            damaged[folder] = found
    if progress and folders:
        progress(len(folders), len(folders))
    how = "every byte" if deep else "manifests, sizes and indices"
    problems = [problem for found in damaged.values() for problem in found]
    yield Check("versions", f"{len(folders)}, {how} compared", tuple(problems))
    yield Check("times of versions", "in the past", tuple(ahead(root, folders, time.time())))
    unreadable = list(unusable(root))
    yield Check("catalogue", "readable", tuple(unreadable))
    if not unreadable:
        known = {str(path) for path in versions(root)} - {str(path) for path in folders}
        skipped = known | {str(path) for path in damaged}
        yield Check("catalogue's rows", "those of the manifests", tuple(differing(root, skipped)))


def _is_version(root: Path, path: Path) -> bool:
    dataset, recording, version = path.relative_to(root).parts
    named = PART.fullmatch(dataset) and PART.fullmatch(recording)
    linked = any(each.is_symlink() for each in (path, path.parent, path.parent.parent))
    return bool(named and VERSION.fullmatch(version)) and not linked


def _rebuild(root: Path) -> str:
    return run("neurodata", "rebuild", "--store", root)


def strangers(root: Path) -> Iterator[Problem]:
    """Yield what lies in a store and is neither data set, recording nor version, or is a link."""
    for first in sorted(root.iterdir()):
        if first.name in OWN and (_is_folder(first, re.compile(".*")) or files.is_regular(first)):
            continue
        if not _is_folder(first, PART):
            yield _stranger(root, first)
            continue
        for second in sorted(first.iterdir()):
            if not _is_folder(second, PART):
                yield _stranger(root, second)
                continue
            wrong = (each for each in second.iterdir() if not _is_folder(each, VERSION))
            yield from (_stranger(root, each) for each in sorted(wrong))


def _is_folder(path: Path, form: re.Pattern[str]) -> bool:
    return not path.is_symlink() and path.is_dir() and bool(form.fullmatch(path.name))


def _stranger(root: Path, path: Path) -> Problem:
    found = "a link" if path.is_symlink() else "a file or folder that is not of a store"
    away = f"{root}.strangers"
    hint = f"{run('mkdir', '-p', away)} && {run('mv', path, away)[5:]}"
    return Problem("warning", str(path), found, "data sets, recordings and versions only", hint)


def leftovers(root: Path) -> Iterator[Problem]:
    """Yield what processes that ended left in staging; the work of living ones is left out."""
    sweep = f"import neurodata; print(neurodata.open_store({str(root)!r}).sweep())"
    finish = f"run: python -c {quote(sweep)} (every ingest does that too)"
    staging = root / STAGING
    there = sorted(staging.iterdir()) if staging.is_dir() else []
    locks = {path for path in there if path.suffix == ".lock" and files.is_regular(path)}
    locked = {path.with_suffix("") for path in locks}
    idle = _is_free(staging / LOCK)
    for path in there:
        if path in locked or (path in locks and path.name == LOCK):
            continue
        if path.suffix == JOURNAL and files.is_regular(path):
            if idle:
                found = "a removal that was begun and not finished"
                yield Problem("warning", str(path), found, "none", finish)
        elif path not in locks:
            if idle:
                found = f"{size(path)} bytes that no process has locked"
                yield Problem("warning", str(path), found, "none", run("rm", "-r", path))
        elif _is_free(path):
            found = f"{size(path.with_suffix(''))} bytes of a process that ended"
            yield Problem("warning", str(path.with_suffix("")), found, "none", finish)


def _is_free(lock: Path) -> bool:
    if not files.is_regular(lock):
        return True
    with files.if_free(lock) as free:
        return free


def size(path: Path) -> int:
    """Return the bytes of a file, or of the files below a folder."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size if os.path.lexists(path) else 0
    return sum(
        Path(parent, name).lstat().st_size for parent, _, names in os.walk(path) for name in names
    )


def damage(root: Path, folder: Path, deep: bool) -> list[Problem]:
    """Return the findings about one version, each with what to do about it."""
    try:
        found = integrity.verify(folder) if deep else []
        if not deep:
            integrity.check(folder)
    except RefusedError as error:
        found = [error.problem]
    except OSError as error:
        found = [Problem("error", str(folder), f"that it cannot be read ({error})", "a version")]
    return [replace(problem, hint=_mend(root, folder, problem)) for problem in found]


def _mend(root: Path, folder: Path, problem: Problem) -> str:
    if problem.expected == FORMAT:
        return "run: pip install --upgrade neurodata-store"
    away = f"{run('rm', '-r', folder)} && {_rebuild(root)[5:]}"
    return f"restore {folder} from a copy; or {away} and ingest the source again"


def ahead(root: Path, folders: list[Path], now_s: float) -> Iterator[Problem]:
    """Yield which versions were committed after now: they stay the newest until then."""
    for folder in folders:
        path = folder / NAME
        later_s = path.stat().st_mtime - now_s if path.is_file() else 0.0
        if later_s > AHEAD_S:
            hint = f"{run('touch', path)} && {_rebuild(root)[5:]}"
            found = f"a version that was committed {later_s / 3600:.0f} h from now"
            yield Problem("warning", str(folder), found, "one in the past", hint)


def unusable(root: Path) -> Iterator[Problem]:
    """Yield why a catalogue cannot be used; nothing is written to it."""
    path = root / catalog.FILE
    if path.is_symlink() or not path.is_file():
        if versions(root) or path.is_symlink():
            found = "a link" if path.is_symlink() else "no catalogue"
            yield Problem("error", str(path), found, "one", _rebuild(root))
        return
    try:
        address = f"file:{percent(str(path))}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=catalog.BUSY_S)) as connection:
            (found,) = connection.execute("PRAGMA quick_check").fetchone()
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        found, tables = str(error), set()
    if found != "ok":
        yield Problem("error", str(path), f"a damaged catalogue ({found})", "one", _rebuild(root))
    elif not {"versions", "aliases"} <= tables:
        yield Problem("error", str(path), "a catalogue without its tables", "one", _rebuild(root))


def differing(root: Path, skipped: set[str]) -> Iterator[Problem]:
    """Yield where catalogue and manifests differ, but for what is skipped."""
    if not (root / catalog.FILE).is_file():
        return
    try:
        found = Store(root)._unindexed()
    except IntegrityError as error:
        found = [error.problem]
    for problem in found:
        if problem.where not in skipped:
            yield replace(problem, hint=_rebuild(root))
