"""Is every byte of a pushed folder the one that was written?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from neurodata import safe
from neurodata.errors import Problem, RefusedError
from neurodata.publish.croissant import FILE, STORES
from neurodata.splits import Split
from neurodata.store import integrity
from neurodata.store.files import listing, sha256

AGAIN = "push the data set again, or restore the folder from a copy"


def verify_pushed(folder: Path) -> list[Problem]:
    """Compare every byte below a pushed folder with Croissant file, manifests and split digests.

    Examples
    --------
    >>> print(*verify_pushed(Path("nowhere")))
    error: croissant.json: found no readable file; expected the list of the folder's files; \
push the data set again, or restore the folder from a copy
    """
    return [*verify_stores(folder), *verify_files(folder)]


def verify_stores(folder: Path) -> list[Problem]:
    """Compare every byte of the recordings with their manifests."""
    return [problem for version in _versions(folder) for problem in integrity.verify(version)]


def verify_files(folder: Path) -> list[Problem]:
    """Compare all files but those of the recordings with the Croissant file."""
    try:
        document = safe.read_json(folder / FILE)
        listed = {
            one["contentUrl"]: one["sha256"]
            for one in document["distribution"]
            if one["@type"] == "cr:FileObject"
        }
        found = set(listing(folder)) - {FILE}
    except (RefusedError, OSError, KeyError, TypeError):
        return [_problem(FILE, "no readable file", "the list of the folder's files")]
    inside = tuple(f"{path.relative_to(folder).as_posix()}/" for path in _versions(folder))
    return [*_files(folder, found, listed, inside), *_splits(folder)]


def _versions(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"{STORES}/*/*/*") if path.is_dir())


def _files(
    folder: Path, found: set[str], listed: dict[str, str], inside: tuple[str, ...]
) -> Iterator[Problem]:
    for name in sorted(found | listed.keys()):
        if name not in found:
            yield _problem(name, "no file", "the one that is listed")
        elif name not in listed:
            if not name.startswith(inside):
                yield _problem(name, "an added file", "none")
        elif sha256(folder / name) != listed[name]:
            yield _problem(name, "changed bytes", f"the sha256 that {FILE} lists")


def _splits(folder: Path) -> Iterator[Problem]:
    for path in sorted(folder.glob("splits/*.json")):
        try:
            Split.read(path)
        except RefusedError as error:
            yield error.problem


def _problem(name: str, found: str, expected: str) -> Problem:
    return Problem("error", name, found, expected, AGAIN)
