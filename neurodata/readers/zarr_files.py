"""The files of a Zarr hierarchy, in a folder or a zip, by their names below its root.

A name that metadata state is looked up among the files that were found, never on the disk, so
nothing leads out of the hierarchy.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from neurodata import safe, safe_zip
from neurodata.errors import RefusedError, UnreadableError, UnsafeError
from neurodata.safe import Raw

MARKERS = (".zattrs", ".zgroup", ".zarray", "zarr.json")
ATTRS = (".zattrs", "zarr.json")
JSON_LIMIT_BYTES = 16 * 2**20
ROOT_LIMIT = 8


@dataclass(frozen=True)
class Entry:
    """A file of a hierarchy: where it is, its size in bytes and what shows that it changed."""

    path: Path
    size: int
    changed_ns: int
    member: safe_zip.Member | None = None


@dataclass(frozen=True, eq=False)
class Files:
    """All files of a hierarchy, read only as they were when it was opened; it pickles.

    Parameters
    ----------
    root : Path
        The raw folder; nothing outside is opened.
    where : str
        The hierarchy's name, for messages.
    entries : mapping of str to Entry
        By the file's name below the hierarchy, ``/`` between parts.
    """

    root: Path
    where: str
    entries: Mapping[str, Entry]

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        stamps = [(name, e.size, e.changed_ns) for name, e in self.entries.items()]
        return str(self.root), self.where, hash(tuple(stamps))

    def read(self, name: str, limit: int) -> bytes:
        """Return a whole file of at most ``limit`` bytes.

        Raises
        ------
        UnreadableError
            When it is not there, or changed since the hierarchy was opened.
        UnsafeError
            When it is larger.
        """
        entry = self._entry(name)
        if entry.member is not None:
            return safe_zip.read_member(entry.path, entry.member, limit)
        return safe.read_bytes(safe.inside(entry.path, self.root), limit)

    def part(self, name: str, start: int, count: int, limit: int) -> bytes:
        """Return ``count`` bytes of a file from ``start``.

        Raises
        ------
        UnreadableError
            When the file is shorter, not there, or changed.
        UnsafeError
            When more than ``limit`` bytes would have to be read.
        """
        entry = self._entry(name)
        if start < 0 or count < 0 or start + count > entry.size:
            raise UnreadableError(
                f"{self.where}: {name}", f"{entry.size} bytes", f"{start + count} at least",
                "copy or download it again",
            )  # fmt: skip
        if count > limit:
            raise UnsafeError(f"{self.where}: {name}", f"{count} bytes", f"at most {limit}")
        if entry.member is not None:
            return safe_zip.read_range(entry.path, entry.member, start, count, limit)
        path = safe.inside(entry.path, self.root)
        return bytes(safe.memmap(path, np.dtype("u1"), (count,), start)) if count else b""

    def json(self, name: str) -> dict[str, Any]:
        """Return a metadata file: one JSON object, no key twice.

        Raises
        ------
        UnreadableError
            When it is no such object.
        """
        return parse(self.read(name, JSON_LIMIT_BYTES), f"{self.where}: {name}")

    def _entry(self, name: str) -> Entry:
        entry = self.entries.get(name)
        if entry is None:
            raise UnreadableError(f"{self.where}: {name}", "no such file", "one", "copy it again")
        if _changed_ns(entry.path) != entry.changed_ns:
            raise UnreadableError(
                f"{self.where}: {name}", "a file that changed while it was read",
                "the file as it was checked", "read it again",
            )  # fmt: skip
        return entry


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return -1


def parse(data: bytes, where: str) -> dict[str, Any]:
    """Return a JSON object; keys that come twice and anything but an object are refused.

    Raises
    ------
    UnreadableError
        When the bytes are none.

    Examples
    --------
    >>> parse(b'{"zarr_format": 2}', "a.zarr: .zgroup")
    {'zarr_format': 2}
    """
    try:
        found = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(where, f"no JSON ({error})", "a JSON object", "mend it") from error
    if not isinstance(found, dict):
        raise UnreadableError(where, f"JSON that is no object ({type(found).__name__})", "one")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key twice in one object")
    return found


def open_files(raw: Raw) -> Files:
    """Return the files of the hierarchy that a recording's main file is the root of.

    Raises
    ------
    UnreadableError
        When a zip holds no hierarchy, or several.
    """
    if is_zip(safe.head(raw.main)):
        return _open_zip(raw)
    return folder_files(raw.main.parent, raw)


def folder_files(base: Path, raw: Raw) -> Files:
    """Return the files of a recording that lie below a folder."""
    entries = {}
    for path in raw.files:
        if path.is_relative_to(base):
            stat = path.stat()
            name = path.relative_to(base).as_posix()
            entries[name] = Entry(path, stat.st_size, stat.st_mtime_ns)
    return Files(raw.root, base.name, entries)


def _open_zip(raw: Raw) -> Files:
    path = raw.main
    changed = _changed_ns(path)
    found = safe_zip.members(path)
    roots = zip_roots(found)
    if len(roots) != 1:
        names = ", ".join(root or "." for root in roots[:ROOT_LIMIT]) or "none"
        raise UnreadableError(
            raw.name, f"{len(roots)} Zarr hierarchies in one zip ({names})", "one", "unpack it"
        )
    cut = len(roots[0]) + 1 if roots[0] else 0
    entries = {
        name[cut:]: Entry(path, member.size, changed, member)
        for name, member in found.items()
        if not cut or name.startswith(roots[0] + "/")
    }
    return Files(raw.root, raw.name, entries)


def is_zip(head: bytes) -> bool:
    """Say whether bytes begin as a zip does."""
    return head.startswith(safe_zip.MAGIC)


def zip_roots(names: Mapping[str, Any]) -> list[str]:
    """Return the outermost folders of a zip that have Zarr metadata.

    Examples
    --------
    >>> zip_roots(dict.fromkeys(["a.zarr/.zgroup", "a.zarr/0/.zarray", "a.zarr/0/0.0"]))
    ['a.zarr']
    """
    folders = {name.rpartition("/")[0] for name in names if name.rpartition("/")[2] in MARKERS}
    return [folder for folder in sorted(folders) if not folders & set(_above(folder))]


def _above(folder: str) -> Iterator[str]:
    """Yield all folders above one, by name."""
    while folder:
        folder = folder.rpartition("/")[0]
        yield folder


def below(path: Any, where: str) -> str:
    """Return a path that metadata name, after checking that it leads to a place below.

    Raises
    ------
    UnsafeError
        When it is absolute or leads elsewhere.

    Examples
    --------
    >>> below("labels/nuclei", "a.zarr")
    'labels/nuclei'
    """
    parts = str(path).removesuffix("/").split("/")
    if not isinstance(path, str) or "\\" in path or any(p in ("", ".", "..") for p in parts):
        raise UnsafeError(where, f"metadata that name the path {path!r}", "a path below", "mend it")
    return "/".join(parts)


# ---- which files belong together


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the files of the recording that a metadata file belongs to, its main file first.

    The recording is the outermost image by the metadata, else the outermost group or array.
    Groups above images (plates, wells) are side-cars of the first image below them.

    Parameters
    ----------
    folder : sequence of Path
        All files, sorted.

    Examples
    --------
    >>> members(Path("a.zip"), [Path("a.zip"), Path("b.zip")])
    (PosixPath('a.zip'),)
    """
    if path.name not in MARKERS:
        return (path,)
    chain = [path.parent]
    while (above := _markers(chain[-1].parent, folder)) and chain[-1].parent != chain[-1]:
        chain.append(above[0].parent)
    chain.reverse()
    for depth, base in enumerate(chain):
        if images := [p for p in _markers(base, folder) if _image(p)]:
            upper = [marker for group in chain[:depth] for marker in _markers(group, folder)]
            return tuple(dict.fromkeys([images[0], *below_folder(base, folder), *upper]))
    image: Path | None = None
    for base in chain:
        inner = below_folder(base, folder)
        first = next((p for p in inner if _image(p)), None)
        if first is None and (image is None or any(map(_array, inner))):
            return tuple(dict.fromkeys([_main(_markers(base, folder), path), *inner]))
        image = first or image
    return (path,) if image is None else (image, path)


def _main(markers: Sequence[Path], path: Path) -> Path:
    named = {marker.name: marker for marker in markers}
    found = (named[name] for name in ("zarr.json", ".zarray", ".zgroup") if name in named)
    return next(found, path)


def _markers(base: Path, folder: Sequence[Path]) -> list[Path]:
    return [base / name for name in MARKERS if _listed(base / name, folder)]


def _listed(path: Path, folder: Sequence[Path]) -> bool:
    at = bisect_left(folder, path)
    return at < len(folder) and folder[at] == path


def below_folder(base: Path, folder: Sequence[Path]) -> Sequence[Path]:
    """Return the part of the sorted ``folder`` that lies below ``base``."""
    first = bisect_left(folder, base)
    last = bisect_left(folder, True, first, key=lambda path: not path.is_relative_to(base))
    return folder[first:last]


def _array(marker: Path) -> bool:
    """Say whether a file on the disk is the metadata of an array."""
    if marker.name == "zarr.json":
        return not _is_group(marker)
    return marker.name == ".zarray"


def _is_group(marker: Path) -> bool:
    try:
        found = parse(safe.read_bytes(marker, JSON_LIMIT_BYTES), marker.name)
    except RefusedError:
        return False
    return found.get("node_type") == "group"


def _image(marker: Path) -> bool:
    """Say whether a metadata file on the disk describes an OME-Zarr image."""
    if marker.name not in ATTRS:
        return False
    try:
        stat = marker.stat()
    except OSError:
        return False
    return _says_image(marker, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _says_image(marker: Path, size: int, changed_ns: int) -> bool:
    try:
        return is_image(parse(safe.read_bytes(marker, JSON_LIMIT_BYTES), marker.name))
    except RefusedError:
        return False


def attributes(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the attributes of a group's metadata, of Zarr format 2 (.zattrs) or 3."""
    inner = found.get("attributes", {}) if "zarr_format" in found else found
    return inner if isinstance(inner, dict) else {}


def is_image(found: Mapping[str, Any]) -> bool:
    """Say whether a group's metadata describe an OME-Zarr image.

    Examples
    --------
    >>> is_image({"multiscales": []}), is_image({"zarr_format": 2})
    (True, False)
    """
    attrs = attributes(found)
    ome = attrs.get("ome")
    return "multiscales" in (ome if isinstance(ome, dict) else attrs)


def whole_json(head: bytes, path: Path) -> dict[str, Any] | None:
    """Return the JSON object that a file is, by its first bytes or all of them, else None."""
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return None
    try:
        data = head if len(head) < safe.HEAD_BYTES else safe.read_bytes(path, JSON_LIMIT_BYTES)
        return parse(data, path.name)
    except (RefusedError, OSError):
        return None
