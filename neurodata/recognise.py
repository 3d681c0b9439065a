"""Sort raw files into recordings by their content; what is not understood is listed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from neurodata.content import SYSTEM, UNKNOWN, UNNEEDED, WHOLE, describe_file
from neurodata.errors import NotFoundError, Problem, RefusedError
from neurodata.readers import CERTAIN, TABLE, reader
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
FOLDER_MARKS = (*MARKERS, "info", "info.xml")  # files that make a folder one recording
ZARR_FOLDER = ".zarr"
UNFIT = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Found:
    """The files of one recording, its reader, the name it will have, and first findings."""

    reader: str
    files: tuple[Path, ...]
    name: str
    problems: tuple[Problem, ...]


def recognise(
    scan: Scan,
    only: str | None = None,
    chosen: Mapping[Path, str] | None = None,
    named: Collection[Path] = (),
) -> tuple[list[Found], list[Problem]]:
    """Return the recordings among some files, and findings about files of none.

    Parameters
    ----------
    only : str, optional
        The one reader to use; files of other formats are then not asked about.
    chosen : mapping of Path to str, optional
        The readers to use for some files.
    named : collection of Path, optional
        Those of them that were named one by one: recordings also where a reader would set them
        aside.
    """
    formats: dict[Path, str] = {}
    problems = list(scan.problems)
    for path in scan.files:
        try:
            if name := _format(path, only or (chosen or {}).get(path), scan.files):
                formats[path] = name
        except RefusedError as error:
            problems.append(replace(error.problem, where=path.relative_to(scan.root).as_posix()))
        except OSError as error:
            where = path.relative_to(scan.root).as_posix()
            problems.append(Problem("error", where, str(error.strerror), "a readable file"))
    members = _members(scan, formats, problems)
    side_cars = {path for files in members.values() for path in files[1:]}
    mains = [path for path in members if path not in side_cars]
    unsure = [path for path in mains if path not in named]
    aside = {path: why for path in unsure if (why := _aside(path, formats[path], scan))}
    found = [
        _found(scan, path, formats[path], members[path]) for path in mains if path not in aside
    ]
    used = {path for item in found for path in item.files}
    for main, why in aside.items():
        own = [path.relative_to(scan.root).as_posix() for path in members[main] if path not in used]
        problems += [replace(why, where=where) for where in own]
    told = {problem.where for problem in problems}
    left = {path: path.relative_to(scan.root).as_posix() for path in scan.files if path not in used}
    left = {path: where for path, where in left.items() if where not in told}
    bare, rest = _bare_zarr(scan, left)
    leftover = [_leftover(path, left[path], only) for path in rest]
    return _apart(found, scan.root), [*problems, *bare, *leftover]


def _members(
    scan: Scan, formats: dict[Path, str], problems: list[Problem]
) -> dict[Path, tuple[Path, ...]]:
    """Return the files of each recording; those of a damaged one are left out and told."""
    found = {}
    for path, name in formats.items():
        try:
            found[path] = reader(name).members(path, scan.files)
        except RefusedError as error:
            problems.append(replace(error.problem, where=path.relative_to(scan.root).as_posix()))
    return found


def _apart(found: list[Found], root: Path) -> list[Found]:
    """Return the recordings with the format behind a name that files of several formats share."""
    same: dict[str, list[str]] = {}
    for item in found:
        same.setdefault(item.name.casefold(), []).append(item.reader)
    named = []
    for item in found:
        readers, longer = same[item.name.casefold()], f"{item.name}_{item.reader}"
        if 1 < len(readers) == len(set(readers)) and longer.casefold() not in same:
            where = item.files[0].relative_to(root).as_posix()
            says = f"the name {item.name!r} of {len(readers)} recordings"
            note = Problem("note", where, says, "", "the id ends with the format")
            item = replace(item, name=longer[-128:], problems=(*item.problems, note))
        named.append(item)
    return named


def _format(path: Path, only: str | None, folder: Sequence[Path]) -> str | None:
    start = head(path)
    if only is not None and only not in TABLE:
        raise NotFoundError(f"reader {only!r}", "none of that name", ", ".join(TABLE))
    for name in () if only else CERTAIN:
        certain: Callable[[bytes, Path, Sequence[Path]], bool] | None
        certain = getattr(reader(name), "certain", None)
        if certain and certain(start, path, folder):
            return name
    for name in [only] if only else TABLE:
        if reader(name).sniff(start, path):
            return name
    return None


def _aside(path: Path, name: str, scan: Scan) -> Problem | None:
    """Return why a file that a reader knows is no recording, where the reader says so."""
    say: Callable[[Path, Sequence[Path]], Problem | None] | None
    say = getattr(reader(name), "aside", None)
    return say(path, scan.files) if say else None


def _found(scan: Scan, path: Path, name: str, files: tuple[Path, ...]) -> Found:
    problems = []
    root, where = scan.root, path.relative_to(scan.root).as_posix()
    suffixes = reader(name).SUFFIXES
    if not path.name.lower().endswith(suffixes):
        problems.append(
            Problem("warning", where, f"content of format {name}",
                    "a suffix " + " or ".join(suffixes), "read by its content; rename the file")
        )  # fmt: skip
    named = path.parent if path.name in FOLDER_MARKS else path
    bids = recording_name(named)
    own = "" if bids else _own_name(path, name, scan)
    if bids is None:
        hint = "the id is the folder's name and a number" if own else "the id is the file's name"
        problems.append(Problem("note", where, "no BIDS entities in the name", "", hint))
    below = root.parent if named == root else root
    if own:
        named = Path(os.path.commonpath([file.parent for file in files]), own)
    return Found(name, files, bids or slug(named, below), tuple(problems))


def _own_name(path: Path, name: str, scan: Scan) -> str:
    """Return the recording's name within its folder, where the reader has a better one."""
    say: Callable[[Path, Sequence[Path]], str] | None = getattr(reader(name), "name", None)
    return say(path, scan.files) if say else ""


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


def _bare_zarr(scan: Scan, left: Mapping[Path, str]) -> tuple[list[Problem], list[Path]]:
    """Return one finding for each Zarr folder without metadata, and the files of no such."""
    found: dict[Path, int] = {}
    rest, there = [], set(scan.files) if left else set()
    for path in left:
        above = [one for one in path.parents if one.is_relative_to(scan.root)]
        homes = [one for one in above if one.suffix == ZARR_FOLDER]
        if homes and not any(Path(homes[-1], mark) in there for mark in MARKERS):
            found[homes[-1]] = found.get(homes[-1], 0) + 1
        else:
            rest.append(path)
    problems = [
        Problem("error", home.relative_to(scan.root).as_posix() if home != scan.root else home.name,
                f"a Zarr folder without its metadata, {count} file(s)",
                " or ".join(MARKERS), "copy it again, hidden files too")
        for home, count in found.items()
    ]  # fmt: skip
    return problems, rest


def _leftover(path: Path, where: str, only: str | None) -> Problem:
    suffixes = {s for name in TABLE for s in reader(name).SUFFIXES}
    claimed = only is None and path.name.lower().endswith(tuple(suffixes - GENERIC_TEXT))
    kind = describe_file(path)
    if kind.name == "text" and path.name.split(".")[0].upper() in DOCUMENTS:
        return Problem("note", where, "a document", "", "not stored")
    if path.name.lower() in SYSTEM:
        return Problem("note", where, kind.name, "", "left out")
    if kind.name == "text" and not claimed:
        return Problem("warning", where, "a file that no recording uses", "", UNNEEDED)
    if not kind.data and not claimed:
        return Problem("warning", where, f"{kind.name}, which no recording uses", "", UNNEEDED)
    wanted = f"the format {only}" if only else "a format that neurodata reads"
    if path.suffix and kind.name != UNKNOWN.name:
        wanted += f", as its suffix {path.suffix} says" if claimed else ""
    hint = WHOLE if kind.hint == UNNEEDED else kind.hint
    return Problem("error", where, kind.name, wanted, hint)
