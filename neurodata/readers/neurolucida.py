"""Neurolucida's text (.asc) and XML: trees of points with a diameter, outlines of cell bodies.

A text is a nest of parentheses. A tree lists points; where it divides, a nest holds its branches
with ``|`` between them, each of which goes on from the last point before. Coordinates are in
micrometres by the format. How trees join the cell body is not stated, so each has a root of its
own; the points of an outline are joined to the ones before them, in the column ``contour``.
Names, texts, pictures, markers and spines stay behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import UnreadableError, UnsafeError
from neurodata.readers import bids, delimited
from neurodata.readers.delimited import is_number
from neurodata.readers.morphology import (
    APICAL,
    AXON,
    DENDRITE,
    POINT_LIMIT,
    ROOT,
    SOMA,
    UNDEFINED,
    Points,
    morphology,
)
from neurodata.readers.neurolucida_xml import read_xml
from neurodata.safe import Raw

SUFFIXES = (".asc", ".xml")
EXTRA = ""  # needs no optional package
DEPTH_LIMIT = 2000
KINDS = {"cellbody": SOMA, "axon": AXON, "dendrite": DENDRITE, "apical": APICAL}
TOKEN = re.compile(r';[^\n]*|"(?:[^"\\]|\\.)*"|[()<>|,]|[^\s()<>|,;"]+|"')
CLASS = re.compile(rb"\(\s*(CellBody|Axon|Dendrite|Apical)\s*\)", re.IGNORECASE)
PROGRAM = b"MicroBrightField"
ROOT_ELEMENT = re.compile(rb"<mbf[\s>]")

members = bids.with_sidecars


class Spine(list[Any]):
    """What lies between ``<`` and ``>``."""


def sniff(head: bytes, path: Path) -> bool:
    """Tell Neurolucida's XML by its root, its text by a comment or a nest with a tree's class.

    Examples
    --------
    >>> sniff(b'("Cell" (Color Red) (CellBody) (1 2 3 0))', Path("a.asc"))
    True
    """
    if b"\0" in head:
        return False
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<"):
        return ROOT_ELEMENT.search(text) is not None
    if not text.startswith((b"(", b";")):
        return False
    return PROGRAM in text.split(b"\n", 1)[0] or CLASS.search(text) is not None


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a morphology as the node ``graph`` in raw form.

    Returns
    -------
    xarray.DataTree
        ``graph`` with edges from child to parent, ``position (node, axis)`` and ``radius (node)``
        float64 in micrometres, ``type (node)`` as in SWC (0 undefined, 1 cell body, 2 axon,
        3 dendrite, 4 apical dendrite), ``contour (node)`` where there are outlines.

    Raises
    ------
    UnreadableError
        When parentheses do not balance, a point is incomplete or goes on after a division.
    UnsafeError
        When nests are deeper than any tree divides.
    """
    data = safe.read_bytes(raw.main, delimited.TEXT_BYTES)
    xml = data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")
    points, left = read_xml(data, raw.name) if xml else _read_text(data, raw)
    what = "".join(f", {count} {name}" for name, count in left.items() if count)
    raw.note("text", f"names, colours and comments, removed{what}")
    ids = [str(number + 1) for number in range(len(points.kind))]
    tree = xr.DataTree.from_dict({"graph": morphology(points, ids, raw)})
    tree.attrs = {**bids.facts(raw), "modality": "connectome"}
    return tree


def _read_text(data: bytes, raw: Raw) -> tuple[Points, dict[str, int]]:
    """Return the points of a text, and how many spines, markers and outlines were left out."""
    text = data.decode("latin-1")
    found = _Found(raw)
    for item in _nests(text, raw):
        if isinstance(item, list):
            found.take(item)
    if not text.endswith(("\n", "\r")):
        raw.warn("last line", "no line end", "a line end", "make sure the file was not cut short")
    return found.points, found.left


def _words(text: str) -> Iterator[tuple[str, int]]:
    """Yield the words of a file and where they begin, comments and commas left out."""
    for match in TOKEN.finditer(text):
        if match[0] != "," and match[0][0] != ";":
            yield match[0], match.start()


def _nests(text: str, raw: Raw) -> Iterator[Any]:
    """Yield the nests at the top of a file: lists of words and of further lists."""
    stack: list[list[Any]] = [[]]
    for word, at in _words(text):
        if word in "(<":
            stack.append(Spine() if word == "<" else [])
            if len(stack) > DEPTH_LIMIT:
                raise UnsafeError(raw.name, f"nests {len(stack)} deep", f"{DEPTH_LIMIT}", "")
        elif word in ")>":
            closed = stack.pop()
            if not stack or isinstance(closed, Spine) != (word == ">"):
                raise _unbalanced(raw, text, at, f"{word!r} that closes nothing")
            if len(stack) == 1:
                yield closed
            else:
                stack[-1].append(closed)
        elif word == '"':
            raise _unbalanced(raw, text, at, "a text without its end")
        elif len(stack) > 1:
            stack[-1].append(word)
    if len(stack) > 1:
        raise _unbalanced(raw, text, len(text), f"{len(stack) - 1} nests without their end")


def _unbalanced(raw: Raw, text: str, at: int, found: str) -> UnreadableError:
    line = text.count("\n", 0, at) + 1
    where = f"{raw.name}: line {line}"
    return UnreadableError(where, found, "nests that balance", "copy or export the file again")


@dataclass
class _Branch:
    """A branch that is being read: the point it goes on from, and its last one."""

    items: Iterator[Any]
    start: int = ROOT
    last: int = ROOT
    divided: bool = False


@dataclass
class _Found:
    """The points found so far, and how much was left behind."""

    raw: Raw
    points: Points = field(default_factory=Points)
    left: dict[str, int] = field(
        default_factory=lambda: {"spines": 0, "markers": 0, "other outlines": 0}
    )
    contours: int = 0

    def take(self, nest: list[Any]) -> None:
        """Read a nest at the top: a tree begins with a list, an outline with its name."""
        first = nest[0] if nest else ""
        if isinstance(first, str) and not first.startswith('"'):
            self.left["markers"] += any(map(_is_point, nest))
            return
        if (cut := next(filter(_is_cut, nest), None)) is not None:
            raise self.refusal(f"the point {cut[:6]}", "x, y, z and diameter")
        words = [
            item[0].lower()
            for item in nest
            if isinstance(item, list) and len(item) == 1 and isinstance(item[0], str)
        ]
        kind = next((KINDS[word] for word in words if word in KINDS), None)
        if isinstance(first, list):
            self.tree(nest, UNDEFINED if kind is None else kind)
        elif kind == SOMA or (kind is None and first.strip('"').lower() == "cellbody"):
            self.outline(nest)
        else:
            self.left["other outlines"] += 1

    def outline(self, nest: list[Any]) -> None:
        self.contours += 1
        last = ROOT
        for item in filter(_is_point, nest):
            last = self.point(item, SOMA, last, self.contours)

    def tree(self, nest: list[Any], kind: int) -> None:
        """Read a tree in the order of the file, without recursion."""
        frames = [_Branch(iter(nest))]
        while frames:
            here = frames[-1]
            item = next(here.items, None)
            if item is None:
                frames.pop()
            elif _is_point(item):
                if here.divided:
                    raise self.refusal("a point after the branches", "a branch's points before")
                here.last = self.point(item, kind, here.last)
            elif item == "|":
                here.last, here.divided = here.start, False
            elif type(item) is list and item and (isinstance(item[0], list) or item[0] == "|"):
                if here.last == ROOT:
                    raise self.refusal("branches without a point before", "a root")
                here.divided = True
                frames.append(_Branch(iter(item), here.last, here.last))
            else:
                self.leave(item)

    def leave(self, item: Any) -> None:
        """Count what is not kept, and refuse what begins as a point does."""
        if isinstance(item, Spine):
            self.left["spines"] += 1
        elif _is_cut(item):
            raise self.refusal(f"the point {item[:6]}", "x, y, z and diameter")
        elif isinstance(item, list) and item and item[0].lower() != "color":
            self.left["markers"] += any(map(_is_point, item))

    def point(self, item: Sequence[str], kind: int, parent: int, contour: int = 0) -> int:
        if len(self.points.kind) >= POINT_LIMIT:
            raise UnsafeError(self.raw.name, "more points", f"{POINT_LIMIT}", "split the file")
        x, y, z, diameter = map(float, item[:4])
        return self.points.add((x, y, z, diameter), kind, parent, contour)

    def refusal(self, found: str, expected: str) -> UnreadableError:
        where = f"{self.raw.name}: after point {len(self.points.kind)}"
        return UnreadableError(where, found, expected, "mend or export the file again")


def _is_point(item: Any) -> bool:
    """Say whether an item is x, y, z and diameter, and perhaps a section's name."""
    if type(item) is not list or len(item) < 4:
        return False
    return all(isinstance(cell, str) and is_number(cell) for cell in item[:4])


def _is_cut(item: Any) -> bool:
    """Say whether an item begins as a point does and is none."""
    if type(item) is not list or not item or _is_point(item):
        return False
    return isinstance(item[0], str) and is_number(item[0])
