"""Where marks are found again: in every byte, packed ones unpacked, of what was written."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import zarr

from tests.canaries.marks import LONG, SHORT

_LONG = re.compile(LONG.lower().encode() + rb"[-a-z0-9]*")
_SHORT = re.compile(SHORT.lower().encode() + rb"[a-z2-7]{4,}")
_EMBEDDED = re.compile(rb"data:[a-z/+]+;base64,([A-Za-z0-9+/=]+)")
ELLIPSIS = "…".encode()
STARTS = (LONG.lower().encode(), SHORT.lower().encode())


class Finder:
    """Finds marks in bytes; the ids of recordings, which may be made of marks, are left out.

    Marks that are kept may be shortened for display, with an ellipsis.
    """

    def __init__(
        self, marks: Iterable[str], ids: Iterable[str] = (), kept: Iterable[str] = ()
    ) -> None:
        self.kept = {mark.lower().encode() for mark in kept}
        self.marks = {mark.lower().encode(): mark for mark in marks}
        self.plain = [mark for mark in self.marks if not mark.startswith(STARTS)]
        self.ids = sorted((each.lower().encode() for each in ids), key=len, reverse=True)

    def find(self, data: bytes) -> set[str]:
        """Return the marks in some bytes, whatever their case, in UTF-8 or UTF-16.

        Parts of long marks count; they come as they are found.
        """
        found: set[str] = set()
        for text in {data.lower(), data.replace(b"\0", b"").lower()}:
            found.update(self.marks[mark] for mark in self.plain if mark in text)
            if not (_LONG.search(text) or _SHORT.search(text)):
                continue
            for each in self.ids:
                text = text.replace(each, b"")
            for hit in [*_LONG.finditer(text), *_SHORT.finditer(text)]:
                found |= self._marks_of(hit[0], text[hit.end() : hit.end() + len(ELLIPSIS)])
        return found

    def _marks_of(self, hit: bytes, after: bytes) -> set[str]:
        if whole := [mark for mark in self.marks if hit.startswith(mark)]:
            return {self.marks[max(whole, key=len)]}
        if not hit.startswith(STARTS[0]):
            return set()
        if after == ELLIPSIS and (full := [mark for mark in self.kept if mark.startswith(hit)]):
            return {self.marks[full[0]]}
        return {hit.decode()}

    def where(self, parts: Iterable[tuple[str, bytes]]) -> dict[str, set[str]]:
        """Return where each mark is found."""
        found: dict[str, set[str]] = {}
        for place, data in parts:
            for mark in self.find(place.encode()) | self.find(data):
                found.setdefault(mark, set()).add(place)
        return found


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file below a folder; rows of tables and pictures in pages are unpacked."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        name, data = path.relative_to(folder).as_posix(), path.read_bytes()
        if path.suffix == ".parquet":  # packed, so that parts of marks are in it by chance
            table, facts = pyarrow.parquet.read_table(path), pyarrow.parquet.read_metadata(path)
            yield name, repr((facts.to_dict(), facts.metadata, table.to_pydict())).encode()
        elif path.suffix == ".html":
            yield name, _EMBEDDED.sub(b"", data).replace(b"<wbr>", b"")
            for number, picture in enumerate(_EMBEDDED.findall(data)):
                yield f"{name}: picture {number}", base64.b64decode(picture)
        else:
            yield name, data


def arrays(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the values of every array of a Zarr store, texts as UTF-8, with all attributes."""
    group = zarr.open_group(folder, mode="r")
    yield "attributes", repr(dict(group.attrs)).encode()
    for name, member in group.members(max_depth=None):
        yield f"{name} (attributes)", repr(dict(member.attrs)).encode()
        if isinstance(member, zarr.Array):
            yield f"{name} (values)", _bytes(np.asarray(member[...]))


def _bytes(values: np.ndarray[Any, Any]) -> bytes:
    if values.dtype.kind in "OUTS":
        return "\n".join(map(str, values.ravel().tolist())).encode()
    return values.tobytes()


def told(leaks: Mapping[str, set[str]], planted: Mapping[str, str]) -> list[str]:
    """Return a line a leak: the field, the mark and where it was found."""
    return [
        f"{planted.get(mark, 'part of a mark')}: {mark} in {', '.join(sorted(places)[:3])}"
        for mark, places in sorted(leaks.items())
    ]
