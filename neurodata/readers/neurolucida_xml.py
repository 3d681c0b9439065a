"""Neurolucida's XML (``<mbf>``): the same trees and outlines as its text has, as elements.

A ``tree`` holds points and, after them, each ``branch`` that goes on from its last point; a
``contour`` called CellBody holds an outline. What else is there stays behind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from neurodata import safe_xml
from neurodata.errors import UnreadableError
from neurodata.readers.delimited import is_number
from neurodata.readers.morphology import (
    APICAL,
    AXON,
    DENDRITE,
    ROOT,
    SOMA,
    UNDEFINED,
    Points,
)

KINDS = (("apical", APICAL), ("axon", AXON), ("dendrite", DENDRITE))
BODIES = {"cellbody", "cell body", "soma"}


@dataclass
class Open:
    """An element that is being read; ``start`` is the point that it goes on from."""

    name: str
    kind: int = UNDEFINED
    start: int = ROOT
    last: int = ROOT
    contour: int = 0
    divided: bool = False


@dataclass
class Document:
    """The points of a document, and how much of it was left behind."""

    where: str
    points: Points = field(default_factory=Points)
    left: dict[str, int] = field(
        default_factory=lambda: {"spines": 0, "markers": 0, "other outlines": 0}
    )
    open: list[Open] = field(default_factory=list)
    contours: int = 0

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        """Take the start of an element."""
        here = self.open[-1] if self.open else Open("")
        if not self.open and name != "mbf":
            raise self.refusal(f"the root {name!r}", "mbf")
        found = Open(name)
        if name == "tree":
            said = attributes.get("type", "").lower()
            found.kind = next((kind for word, kind in KINDS if word in said), UNDEFINED)
        elif name == "branch":
            if here.name not in ("tree", "branch") or here.last == ROOT:
                raise self.refusal("a branch without a point before", "branches within trees")
            here.divided = True
            found = Open(name, here.kind, here.last, here.last)
        elif name == "contour":
            body = attributes.get("name", "").lower() in BODIES
            self.contours += body
            self.left["other outlines"] += not body
            found = Open(name, SOMA, contour=self.contours if body else 0)
        elif name == "point":
            self.point(here, attributes)
        elif name in ("spine", "marker"):
            self.left[f"{name}s"] += 1
        self.open.append(found)

    def point(self, here: Open, attributes: dict[str, str]) -> None:
        """Take a point of a tree or of the outline of a cell body."""
        if here.name not in ("tree", "branch") and not here.contour:
            return
        if here.divided:
            raise self.refusal("a point after the branches", "a branch's points before")
        cells = [attributes.get(key, "") for key in ("x", "y", "z", "d")]
        x, y, z, diameter = (float(cell) if is_number(cell) else math.nan for cell in cells)
        here.last = self.points.add((x, y, z, diameter), here.kind, here.last, here.contour)

    def end(self, name: str) -> None:
        """Take the end of an element."""
        self.open.pop()

    def refusal(self, found: str, expected: str) -> UnreadableError:
        """Make a refusal of the file."""
        where = f"{self.where}: after point {len(self.points.kind)}"
        return UnreadableError(where, found, expected, "mend or export the file again")


def read_xml(data: bytes, where: str) -> tuple[Points, dict[str, int]]:
    """Return the points of a document, and how many spines, markers and outlines were left out.

    Raises
    ------
    UnreadableError
        When it is no XML of Neurolucida's, or a point goes on after a division.
    UnsafeError
        On a document type or an entity, or elements nested too deep.
    """
    document = Document(where)
    safe_xml.check(safe_xml.in_blocks(data), where, document.begin, document.end)
    return document.points, document.left
