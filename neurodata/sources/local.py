"""Raw files in a local folder."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

from neurodata.errors import (
    InvalidInputError,
    NotFoundError,
    Problem,
    RefusedError,
    UnreadableError,
)
from neurodata.safe import inside

BLOCK_BYTES = 2**20
STAGING = ".staging"  # a folder that holds one of this name is a store
ZARR_METADATA = frozenset((".zarray", ".zattrs", ".zgroup", ".zmetadata"))


@dataclass(frozen=True)
class Fingerprint:
    """The identity of a file's bytes."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Scan:
    """The files below a folder, and the findings about those that cannot be used."""

    root: Path
    files: tuple[Path, ...]
    problems: tuple[Problem, ...]


def scan(folder: Path) -> Scan:
    """List the regular files below a folder; links are followed inside it only.

    Hidden files and folders (names that begin with a dot) and stores are left out with a note.

    Raises
    ------
    NotFoundError
        When there is no such folder.
    InvalidInputError
        When the folder is a store.
    """
    if not folder.is_dir():
        raise NotFoundError(
            str(folder), "no such folder", "a folder of raw files", "check the path"
        )
    if (folder / STAGING).is_dir():
        raise InvalidInputError(str(folder), "a store", "a folder of raw files", "check the path")
    files: list[Path] = []
    problems: list[Problem] = []
    for parent, folders, names in os.walk(folder):
        hidden = [n for n in [*folders, *names] if n.startswith(".") and n not in ZARR_METADATA]
        problems += [_hidden(Path(parent, name), folder) for name in hidden]
        stores = [name for name in folders if Path(parent, name, STAGING).is_dir()]
        problems += [_store(Path(parent, name), folder) for name in stores]
        folders[:] = sorted(set(folders) - set(hidden) - set(stores))
        for path in (Path(parent, name) for name in sorted(set(names) - set(hidden))):
            where = path.relative_to(folder).as_posix()
            try:
                if inside(path, folder).is_file():
                    files.append(path)
                else:
                    problems.append(Problem("error", where, "no regular file", "one", "remove it"))
            except RefusedError as error:
                problems.append(replace(error.problem, where=where))
        problems += [p for name in folders if (p := _linked_folder(Path(parent, name), folder))]
    return Scan(folder, tuple(sorted(files)), tuple(problems))


def _hidden(path: Path, folder: Path) -> Problem:
    where = path.relative_to(folder).as_posix()
    return Problem("note", where, "a hidden file", "", "left out; rename it to have it read")


def _store(path: Path, folder: Path) -> Problem:
    return Problem("note", path.relative_to(folder).as_posix(), "a store", "", "left out")


def _linked_folder(path: Path, folder: Path) -> Problem | None:
    if not path.is_symlink():
        return None
    where = path.relative_to(folder).as_posix()
    return Problem("error", where, "a linked folder", "a real one", "copy it, or name its target")


def matching(path: Path, name: str, stated: Fingerprint | None) -> Fingerprint:
    """Return a file's identity, which must be the stated one where one is stated.

    Raises
    ------
    UnreadableError
        When it is another.
    """
    found = fingerprint(path)
    if stated is not None and stated != found:
        raise UnreadableError(
            name, f"{found.size} bytes, sha256 {found.sha256[:16]}…",
            f"{stated.size} bytes, sha256 {stated.sha256[:16]}…", "fetch the file again",
        )  # fmt: skip
    return found


def fingerprint(path: Path) -> Fingerprint:
    """Return size and sha256 of a file.

    Raises
    ------
    UnreadableError
        When it changes while it is read.
    """
    before = path.stat()
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    after = path.stat()
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, size):
        raise UnreadableError(
            path.name, "a file that changed meanwhile", "one at rest", "try again"
        )
    return Fingerprint(size, digest.hexdigest())
