"""Which recordings go: all of a person, or versions that nothing needs any more."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neurodata.errors import InvalidInputError, NotFoundError, Problem, StoreError
from neurodata.store import catalog, files
from neurodata.store.chunk_cache import FOLDER, cache_folder, clean_cache
from neurodata.store.commit import LOCK, STAGING, sweep, versions
from neurodata.store.manifest import NAME
from neurodata.store.removal import begun, remove, resume, tidy, told, tombstones


@dataclass(frozen=True)
class Held:
    """A version that goes: its recording's id, its name and its bytes on the disk."""

    id: str
    version: str
    size_bytes: int


@dataclass(frozen=True)
class Removal:
    """What a removal takes away, or would take away.

    Parameters
    ----------
    held : tuple of Held
        The versions.
    ids : tuple of str
        The recordings; those of a removal that was begun before and finished now included.
    aliases : tuple of str
        Other names that point to them.
    problems : tuple of Problem
        What to look at.
    tombstone : mapping or None
        What stays in the store once it is done: number, date, kind and counts.
    """

    held: tuple[Held, ...]
    ids: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    tombstone: Mapping[str, Any] | None = None

    @property
    def size_bytes(self) -> int:
        """Return the bytes of all versions together."""
        return sum(one.size_bytes for one in self.held)

    def counts(self) -> dict[str, int]:
        """Return how much it is, without saying what."""
        facts = {"recordings": len(self.ids), "versions": len(self.held)}
        return {**facts, "size_bytes": self.size_bytes}


def forget(root: Path, subject: str, dataset: str | None = None, *, yes: bool = False) -> Removal:
    """Remove all that a store holds of a person; without ``yes`` only say what would go.

    All versions go of every recording of which one version states this subject, with their
    aliases, catalogue rows and what killed ingests left. With ``yes`` the cache of remote chunks
    of this machine is emptied too, as nothing tells whose its entries are.

    Parameters
    ----------
    subject : str
        As recordings state it, letter by letter.
    dataset : str, optional
        Of this data set only.

    Raises
    ------
    NotFoundError
        When no recording states that subject.
    StoreError
        When something cannot be removed; the next call goes on with it.

    Examples
    --------
    >>> import tempfile, neurodata
    >>> store = neurodata.open_store(tempfile.mkdtemp(), create=True)
    >>> _ = neurodata.ingest("eeg_fp1", store=store)
    >>> store.forget("X").counts()["recordings"], len(store.ids())
    (2, 2)
    """
    if not subject:
        raise InvalidInputError("subject", "no text", "a subject as recordings state it")
    with told(root):
        if not yes:
            found = _of(root, subject, dataset)
            if not found.ids and not begun(root):
                raise _unknown(root)
            return replace(found, problems=(*found.problems, *_begun(root)))
        sweep(root)
        with files.locked(root / STAGING / LOCK):
            before = resume(root)
            found = _of(root, subject, dataset)
            if not found.ids and not before:
                raise _unknown(root)
            if found.ids:
                paths = sorted({one.id for one in found.held})
                remove(root, "forget", paths, found.ids, found.counts())
            tidy(root)
            left = tombstones(root)[-1]
            problems = (*found.problems, *_at_work(root), *_cache_emptied())
    ids = tuple(sorted({*before, *found.ids}))
    return replace(found, ids=ids, problems=problems, tombstone=left)


def prune(
    root: Path,
    dataset: str | None = None,
    *,
    keep: int = 1,
    pinned: Collection[str] = (),
    yes: bool = False,
) -> Removal:
    """Remove old versions; without ``yes`` only say which would go.

    Parameters
    ----------
    keep : int
        So many of the newest versions of every recording stay.
    pinned : collection of str
        Versions, ``id@version``, that stay whatever their age, as splits name them. A version
        that another name points to stays too.

    Raises
    ------
    InvalidInputError
        When ``keep`` is less than 1.
    NotFoundError
        When there is no such data set.
    StoreError
        When something cannot be removed; the next call goes on with it.
    """
    if keep < 1:
        raise InvalidInputError("keep", str(keep), "1 or more versions")
    with told(root):
        if not yes:
            found = _old(root, dataset, keep, pinned)
            return replace(found, problems=(*found.problems, *_begun(root)))
        sweep(root)
        with files.locked(root / STAGING / LOCK):
            resume(root)
            found = _old(root, dataset, keep, pinned)
            if not found.held:
                return found
            paths = [f"{one.id}/{one.version}" for one in found.held]
            return replace(found, tombstone=remove(root, "prune", paths, paths, found.counts()))


def _of(root: Path, subject: str, dataset: str | None) -> Removal:
    """Return all versions of the recordings of which a version states the subject."""
    folders = [one for one in versions(root) if dataset in (None, one.parts[-3])]
    stated = {folder: _subject(folder) for folder in folders}
    ids = {_id(folder) for folder, found in stated.items() if found == subject}
    rows = [row for row in _rows(root, "versions") if dataset in (None, row["dataset"])]
    ids |= {_name(row) for row in rows if _attrs(row).get("subject") == subject}
    own = [folder for folder in folders if _id(folder) in ids]
    others = sum(stated[folder] not in (None, subject) for folder in own)
    unread = sum(found is None for found in stated.values()) - sum(stated[f] is None for f in own)
    aliases = {_name(row) for row in _rows(root, "aliases") if _target(row) in ids}
    return Removal(
        tuple(map(_held, own)),
        tuple(sorted(ids)),
        tuple(sorted(aliases - ids - {_name(row) for row in rows})),
        tuple(_doubts(others, unread)),
    )


def _doubts(others: int, unread: int) -> list[Problem]:
    found = []
    if others:
        found.append(
            Problem("warning", "versions", f"{others} that state another subject or none",
                    "this one", "they go too, as their recordings have versions of this one")
        )  # fmt: skip
    if unread:
        found.append(
            Problem("warning", "versions", f"{unread} without a readable manifest",
                    "one that tells whose they are", "run: neurodata verify")
        )  # fmt: skip
    return found


def _old(root: Path, dataset: str | None, keep: int, pinned: Collection[str]) -> Removal:
    """Return the versions after the newest that neither a split nor another name needs."""
    every = _rows(root, "versions")
    rows = [row for row in every if dataset in (None, row["dataset"])]
    if dataset is not None and not rows:
        raise NotFoundError(str(root), f"no data set {dataset!r}", "one", "neurodata ls lists them")
    known = {_name(row) for row in every}
    pointers = [row for row in _rows(root, "aliases") if _name(row) not in known]
    named = {f"{_target(row)}@{row['version']}" for row in pointers}
    order: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: (row["committed_ns"], row["version"]), reverse=True):
        order.setdefault(_name(row), []).append(row["version"])
    held, problems = [], []
    for name, versions_of in sorted(order.items()):
        for version in versions_of[keep:]:
            full = f"{name}@{version}"
            if full in pinned or full in named:
                why = "a split" if full in pinned else "another name"
                problems.append(Problem("note", full, f"an old version that {why} needs, kept"))
            elif (root / name / version).is_dir():
                held.append(_held(root / name / version))
    return Removal(tuple(held), tuple(sorted({one.id for one in held})), (), tuple(problems))


def _subject(folder: Path) -> str | None:
    """Return what a manifest says, intact or not; None where it cannot be read."""
    try:
        return str(json.loads(files.read(folder / NAME))["attrs"].get("subject", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _rows(root: Path, table: str) -> list[dict[str, Any]]:
    with catalog.connect(root) as connection:
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]  # noqa: S608


def _attrs(row: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(json.loads(row["attrs"]))
    except (ValueError, TypeError):
        return {}


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['dataset']}/{row['recording']}"


def _target(row: Mapping[str, Any]) -> str:
    return f"{row['dataset']}/{row['target']}"


def _id(folder: Path) -> str:
    return "/".join(folder.parts[-3:-1])


def _held(folder: Path) -> Held:
    """Return a version with its bytes on the disk, whatever its manifest says."""
    paths = [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]
    return Held(_id(folder), folder.name, sum(path.lstat().st_size for path in paths))


def _unknown(root: Path) -> NotFoundError:
    return NotFoundError(
        str(root), "no recording of that subject", "a subject as recordings state it",
        "it is compared letter by letter; `neurodata show ID` shows that of a recording",
    )  # fmt: skip


def _begun(root: Path) -> list[Problem]:
    count = len(begun(root))
    found = f"{count} removals that were begun"
    return [Problem("warning", str(root), found, "none", "add --yes")] if count else []


def _at_work(root: Path) -> list[Problem]:
    """Warn of ingests that live: they may hold the person, and commit after this."""
    locks = [path for path in (root / STAGING).glob("*.lock") if path.name != LOCK]
    found = f"{len(locks)} ingests at work"
    hint = "when they are done, run it again"
    return [Problem("warning", str(root), found, "none", hint)] if locks else []


def _cache_emptied() -> list[Problem]:
    """Empty the cache of remote chunks, if there is one; nobody knows whose its entries are."""
    if not (cache_folder() / FOLDER).is_dir():
        return []
    try:
        freed = clean_cache()
    except StoreError as error:
        return [Problem("warning", error.where, error.found, error.expected, "empty it")]
    found = f"{freed} bytes of remote stores, removed, as nothing tells whose they are"
    return [Problem("note", str(cache_folder()), found)] if freed else []
