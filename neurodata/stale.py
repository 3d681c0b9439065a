"""What outside the store still holds recordings that left it: split files and pushed folders.

The store owns neither, so they are listed by name, with what is to be done.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from neurodata.errors import Problem, RefusedError
from neurodata.splits import Split
from neurodata.store.files import sha256
from neurodata.store.manifest import NAME

CROISSANT = "croissant.json"
STORES = "stores"
DIGITS = 12
MEND = "docs/personal_data.md, 'Stale splits'"


def pinned(folder: Path) -> frozenset[str]:
    """Return the versions, ``id@version``, that the split files of a folder name.

    Raises
    ------
    SplitError
        When one cannot be read, as it may need a version.
    """
    frozen = map(Split.read, split_files(folder))
    return frozenset(f"{one['id']}@{one['version']}" for s in frozen for one in s.assignments)


def split_files(folder: Path) -> list[Path]:
    """Return the split files of a folder, or the one that is given itself."""
    return [folder] if folder.is_file() else sorted(folder.glob("*.json"))


def stale_splits(folder: Path, ids: Collection[str], subject: str = "") -> list[Problem]:
    """Return a warning for each split file that names one of the recordings, or the subject."""
    return [found for path in split_files(folder) for found in _split(path, ids, subject)]


def _split(path: Path, ids: Collection[str], subject: str) -> Iterator[Problem]:
    try:
        split = Split.read(path)
    except RefusedError as error:
        yield Problem("warning", str(path), error.found, error.expected,
                      "look whether it names the person")  # fmt: skip
        return
    gone = set(ids)
    groups = split.by in ("subject", "session") and subject
    named = {
        one["id"]
        for one in split.assignments
        if one["id"] in gone or (groups and one["group"].partition("/")[0] == subject)
    }
    if named:
        count = len({one["id"] for one in split.assignments})
        yield Problem(
            "warning", f"{path} (digest {split.digest[:DIGITS]})",
            f"{len(named)} of {count} recordings that are gone, or go with --yes",
            "a split of what is there",
            f"take them out ({MEND}), then score and push again",
        )  # fmt: skip


def stale_pushed(folders: Iterable[Path], ids: Collection[str], subject: str = "") -> list[Problem]:
    """Return a warning for each pushed folder that holds one of the recordings, or the subject.

    Parameters
    ----------
    folders : iterable of Path
        Pushed folders, or folders of them.
    """
    return [found for folder in _pushed(folders) for found in _revision(folder, ids, subject)]


def _pushed(folders: Iterable[Path]) -> list[Path]:
    found = [path for folder in folders for path in (folder, *sorted(folder.glob("*")))]
    return list(dict.fromkeys(path for path in found if (path / STORES).is_dir()))


def _revision(folder: Path, ids: Collection[str], subject: str) -> Iterator[Problem]:
    stores = folder / STORES
    held = [path for path in sorted(stores.glob("*/*")) if path.is_dir()]
    gone = [
        path
        for path in held
        if path.relative_to(stores).as_posix() in ids
        or (subject and any(_subject(one) == subject for one in path.glob(f"*/{NAME}")))
    ]
    if gone:
        croissant = folder / CROISSANT
        name = f" ({CROISSANT} {sha256(croissant)[:DIGITS]})" if croissant.is_file() else ""
        yield Problem(
            "warning", f"{folder}{name}",
            f"{len(gone)} of {len(held)} recordings that are gone, or go with --yes",
            "a revision without them",
            "delete it, push again, and replace what was uploaded, its history included",
        )  # fmt: skip


def _subject(path: Path) -> str:
    try:
        return str(json.loads(path.read_bytes())["attrs"].get("subject", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
