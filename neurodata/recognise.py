"""Sort raw files into recordings by their content; what is not understood is listed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from neurodata.errors import NotFoundError, Problem, RefusedError
from neurodata.readers import TABLE, reader
from neurodata.readers.bids import recording_name
from neurodata.readers.zarr_files import MARKERS
from neurodata.safe import head
from neurodata.sources import Scan

GENERIC_TEXT = {
    ".csv",
    ".tsv",
    ".txt",
    ".json",
    ".md",
    ".rst",
    ".html",
    ".yaml",
    ".yml",
    ".cff",
    "",
}
DOCUMENTS = {
    "README",
    "LICENSE",
    "LICENCE",
    "CHANGES",
    "CITATION",
    "DATASET_DESCRIPTION",
    "PARTICIPANTS",
}
FOLDER_MARKS = (*MARKERS, "info")  # files that make a folder one recording
UNFIT = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Found:
    """The files of one recording, its reader, the name it will have, and first findings."""

    reader: str
    files: tuple[Path, ...]
    name: str
    problems: tuple[Problem, ...]


def recognise(scan: Scan, only: str | None = None) -> tuple[list[Found], list[Problem]]:
    """Return the recordings among some files, and findings about files of none.

    Parameters
    ----------
    only : str, optional
        The one reader to use; files of other formats are then not asked about.
    """
    formats: dict[Path, str] = {}
    problems = list(scan.problems)
    for path in scan.files:
        try:
            if name := _format(path, only):
                formats[path] = name
        except RefusedError as error:
            problems.append(replace(error.problem, where=path.relative_to(scan.root).as_posix()))
        except OSError as error:
            where = path.relative_to(scan.root).as_posix()
            problems.append(Problem("error", where, str(error.strerror), "a readable file"))
    members = {path: reader(name).members(path, scan.files) for path, name in formats.items()}
    side_cars = {path for files in members.values() for path in files[1:]}
    refused = {problem.where for problem in problems}
    mains = [path for path in formats if path not in side_cars]
    found = [_found(scan.root, path, formats[path], members[path]) for path in mains]
    used = {path for item in found for path in item.files}
    for path in scan.files:
        where = path.relative_to(scan.root).as_posix()
        if path not in used and where not in refused:
            problems.append(_leftover(path, where, only))
    return found, problems


def _format(path: Path, only: str | None) -> str | None:
    start = head(path)
    if only is not None and only not in TABLE:
        raise NotFoundError(f"reader {only!r}", "none of that name", ", ".join(TABLE))
    for name in [only] if only else TABLE:
        if reader(name).sniff(start, path):
            return name
    return None


def _found(root: Path, path: Path, name: str, files: tuple[Path, ...]) -> Found:
    problems = []
    where = path.relative_to(root).as_posix()
    suffixes = reader(name).SUFFIXES
    if not path.name.lower().endswith(suffixes):
        problems.append(
            Problem("warning", where, f"content of format {name}",
                    "a suffix " + " or ".join(suffixes), "read by its content; rename the file")
        )  # fmt: skip
    named = path.parent if path.name in FOLDER_MARKS else path
    bids = recording_name(named)
    if bids is None:
        problems.append(
            Problem("note", where, "no BIDS entities in the name", "", "the id is the file's name")
        )
    below = root.parent if named == root else root
    return Found(name, files, bids or slug(named, below), tuple(problems))


def slug(path: Path, root: Path) -> str:
    """Return an id part made of a file's path below its root, without suffixes.

    Examples
    --------
    >>> slug(Path("raw/day 1/cell.nii.gz"), Path("raw"))
    'day-1_cell'
    """
    below = path.relative_to(root)
    stem = below.name
    for suffix in (".gz", below.name.removesuffix(".gz").rpartition(".")[2]):
        stem = stem.removesuffix(suffix if suffix.startswith(".") else f".{suffix}")
    text = "_".join([*below.parent.parts, stem or below.name])
    return UNFIT.sub("-", text).strip("-._")[:128] or "recording"


def _leftover(path: Path, where: str, only: str | None) -> Problem:
    suffixes = {s for name in TABLE for s in reader(name).SUFFIXES}
    claimed = path.name.lower().endswith(tuple(suffixes - GENERIC_TEXT))
    if path.name.split(".")[0].upper() in DOCUMENTS and _is_text(path):
        return Problem("note", where, "a document", "", "not stored")
    if _is_text(path) and not (claimed and only is None):
        return Problem(
            "warning", where, "a file that no recording uses", "", "remove it if unneeded"
        )
    known = ", ".join([only] if only else TABLE)
    return Problem("error", where, "content of no known format", f"one of {known}",
                   "check that the file is whole and not an error page")  # fmt: skip


def _is_text(path: Path) -> bool:
    try:
        start = head(path)
    except RefusedError:
        return False
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(start) - 4 and b"\0" not in start
    return b"\0" not in start
