"""Morphologies in NeuroML 2: segments between two points, each joined to its parent.

A segment ends at its distal point; it begins at its proximal one or, where it has none, on its
parent, at ``fractionAlong``. Points become nodes: the distal ones, the proximal ones that are not
the end of the parent, and places along a segment where others begin. Coordinates are in
micrometres by the format. Names, notes and annotations stay behind, channels and networks too.

References
----------
R. C. Cannon et al. (2014), doi.org/10.3389/fninf.2014.00079; https://docs.neuroml.org.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import xarray as xr

from neurodata import safe, safe_xml
from neurodata.declare import Declared
from neurodata.errors import UnknownFormatError, UnreadableError
from neurodata.readers import bids, delimited
from neurodata.readers.morphology import (
    APICAL,
    AXON,
    DENDRITE,
    ROOT,
    SOMA,
    UNDEFINED,
    Points,
    morphology,
)
from neurodata.safe import Raw

SUFFIXES = (".nml", ".cell.nml", ".xml")
EXTRA = ""  # needs no optional package
NAMESPACE = "http://www.neuroml.org/schema/neuroml2"
XYZD = ("x", "y", "z", "diameter")
# Groups are told by the format's own ids, by the ids of its ontologies, else by what they say
LEXICON = {
    "sao864921383": AXON, "sao1211023249": DENDRITE, "sao1044911821": SOMA,
    "go:0030424": AXON, "go:0030425": DENDRITE, "go:0043025": SOMA, "go:0097440": APICAL,
}  # fmt: skip
WORDS = (("soma", SOMA), ("axon", AXON), ("apical", APICAL), ("dendrite", DENDRITE))
Point = tuple[float, float, float, float]

members = bids.with_sidecars


@dataclass
class Segment:
    """A segment as the file has it; ``proximal`` is None where it begins on its parent."""

    number: str
    parent: str | None = None
    fraction: float = 1.0
    proximal: Point | None = None
    distal: Point | None = None


@dataclass
class Document:
    """What a file holds of segments and groups."""

    where: str
    segments: dict[str, Segment] = field(default_factory=dict)
    groups: dict[str, tuple[str, list[str], list[str]]] = field(default_factory=dict)
    here: list[str] = field(default_factory=list)
    open_segment: Segment | None = None
    open_group: str = ""
    paths: int = 0

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        """Take the start of an element."""
        parent = self.here[-1] if self.here else ""
        self.here.append(name)
        if not parent and (name != "neuroml" or NAMESPACE not in attributes.values()):
            raise UnknownFormatError(
                self.where, f"the root {name!r} of another schema", "NeuroML 2", "convert the file"
            )
        if name == "segment" and parent == "morphology":
            self.open_segment = Segment(self.value(attributes, "id"))
        elif parent == "segment" and self.open_segment is not None:
            self.place(self.open_segment, name, attributes)
        elif name == "segmentGroup" and parent == "morphology":
            self.open_group = self.value(attributes, "id")
            if self.open_group in self.groups:
                raise self.refusal(f"the group {self.open_group!r} twice", "each once")
            self.groups[self.open_group] = (attributes.get("neuroLexId", ""), [], [])
        elif parent == "segmentGroup":
            _, members, included = self.groups[self.open_group]
            if name == "member":
                members.append(self.value(attributes, "segment"))
            elif name == "include":
                included.append(self.value(attributes, "segmentGroup"))
            self.paths += name in ("path", "subTree")

    def place(self, segment: Segment, name: str, attributes: dict[str, str]) -> None:
        """Take the parent or an end of a segment."""
        if name == "parent":
            segment.parent = self.value(attributes, "segment")
            segment.fraction = self.number(attributes, "fractionAlong", "1")
            if not 0 <= segment.fraction <= 1:
                raise self.refusal(f"fractionAlong={segment.fraction}", "0 to 1")
        elif name in ("proximal", "distal"):
            x, y, z, diameter = (self.number(attributes, key) for key in XYZD)
            if getattr(segment, name) is not None:
                raise self.refusal(f"{name} twice", "once a segment")
            setattr(segment, name, (x, y, z, diameter))

    def end(self, name: str) -> None:
        """Take the end of an element."""
        self.here.pop()
        segment = self.open_segment
        if name == "segment" and segment is not None and self.here[-1:] == ["morphology"]:
            if segment.number in self.segments:
                raise self.refusal(f"the segment {segment.number!r} twice", "each id once")
            if segment.distal is None or (segment.parent is None and segment.proximal is None):
                raise self.refusal(f"the segment {segment.number!r} without an end", "both ends")
            self.segments[segment.number] = segment
            self.open_segment = None

    def value(self, attributes: dict[str, str], key: str) -> str:
        """Return an attribute that must be there."""
        if not attributes.get(key, "").strip():
            raise self.refusal(f"{self.here[-1]} without {key}", "it")
        return attributes[key].strip()

    def number(self, attributes: dict[str, str], key: str, default: str = "") -> float:
        """Return a finite number."""
        text = attributes.get(key, default)
        value = float(text) if delimited.is_number(text.strip()) else math.nan
        if not math.isfinite(value):
            raise self.refusal(f"{self.here[-1]} {key}={text[:40]!r}", "a finite number")
        return value

    def refusal(self, found: str, expected: str) -> UnreadableError:
        """Make a refusal of the file."""
        return UnreadableError(self.where, found, expected, "mend or export the file again")


def sniff(head: bytes, path: Path) -> bool:
    """Say whether an XML file is NeuroML, of any version.

    Examples
    --------
    >>> sniff(b'<neuroml xmlns="http://www.neuroml.org/schema/neuroml2" id="a">', Path("a.nml"))
    True
    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text.startswith(b"<") and re.search(rb"<(\w+:)?neuroml[\s>]", text) is not None


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read the morphology of a cell as the node ``graph`` in raw form.

    Returns
    -------
    xarray.DataTree
        ``graph`` with edges from child to parent, ``position (node, axis)`` and ``radius (node)``
        float64 in micrometres, ``type (node)`` as in SWC.

    Raises
    ------
    UnreadableError
        When the file has another number of morphologies than one, a segment lacks an end or its
        parent, or parents form a circle.
    UnknownFormatError
        When it is of version 1.
    UnsafeError
        On a document type or an entity.
    """
    document = Document(raw.name)
    data = safe.read_bytes(raw.main, delimited.TEXT_BYTES)
    counts = safe_xml.check(safe_xml.in_blocks(data), raw.name, document.begin, document.end)
    if counts["morphology"] != 1 or not document.segments:
        found = f"{counts['morphology']} morphologies of {len(document.segments)} segments"
        raise document.refusal(found, "one cell a file, with its segments")
    kinds = _kinds(document)
    points, ids = _points(document, kinds)
    if document.paths:
        raw.note("segmentGroup", f"{document.paths} paths and subtrees, not looked up for types")
    raw.note("names", "names, notes and annotations, removed")
    tree = xr.DataTree.from_dict({"graph": morphology(points, ids, raw)})
    tree.attrs = {**bids.facts(raw), "modality": "connectome"}
    return tree


def _kinds(document: Document) -> dict[str, int]:
    """Return the type of each segment, from the groups that it is in."""
    kinds: dict[str, int] = {}
    for wanted in (DENDRITE, APICAL, AXON, SOMA):  # the later the surer
        for name, (lexical, _, _) in document.groups.items():
            said = next((kind for word, kind in WORDS if word in name.lower()), UNDEFINED)
            if LEXICON.get(lexical.lower(), said) == wanted:
                kinds.update(dict.fromkeys(_members(document, name), wanted))
    return kinds


def _members(document: Document, name: str) -> list[str]:
    found: list[str] = []
    work, seen = [name], set[str]()
    while work:
        group = work.pop()
        if group in seen:
            continue
        if group not in document.groups:
            raise document.refusal(f"a group that includes {group!r}", "groups that are there")
        seen.add(group)
        _, members, included = document.groups[group]
        if lost := [member for member in members if member not in document.segments]:
            raise document.refusal(f"the member {lost[0]!r} of {group!r}", "segments of the file")
        found += members
        work += included
    return found


def _points(document: Document, kinds: dict[str, int]) -> tuple[Points, list[str]]:
    """Return points in the order of the segments, each after its parent."""
    points, ids = Points(), list[str]()
    places: dict[tuple[str, float], int] = {}
    order = _order(document)
    fractions: dict[str, set[float]] = {}
    for number in order:
        segment = document.segments[number]
        if segment.parent is not None:
            fractions.setdefault(segment.parent, set()).add(segment.fraction)
    ends: dict[str, tuple[Point, Point]] = {}
    for number in order:
        segment, kind = document.segments[number], kinds.get(number, UNDEFINED)
        last, start = ROOT, segment.proximal
        if segment.parent is not None:
            place = (segment.parent, segment.fraction)
            last, begin = places[place], _between(*ends[segment.parent], segment.fraction)
            start = begin if start is None else start
        if segment.distal is None or start is None:
            raise document.refusal(f"the segment {number!r} without an end", "both ends")
        if last == ROOT or start != points.xyzd[last]:
            last = points.add(start, kind, last)
            ids.append(f"{number}@0")
        places[number, 0.0] = last
        ends[number] = (start, segment.distal)
        for fraction in sorted(fractions.get(number, set()) - {0.0, 1.0}):
            last = points.add(_between(start, segment.distal, fraction), kind, last)
            places[number, fraction] = last
            ids.append(f"{number}@{fraction:.17g}")
        places[number, 1.0] = points.add(segment.distal, kind, last)
        ids.append(number)
    return points, ids


def _between(first: Point, last: Point, fraction: float) -> Point:
    if fraction in (0.0, 1.0):
        return last if fraction else first
    x, y, z, diameter = (a + (b - a) * fraction for a, b in zip(first, last, strict=True))
    return x, y, z, diameter


def _order(document: Document) -> list[str]:
    """Return the segments in the order of the file, but each after its parent."""
    children: dict[str | None, list[str]] = {}
    for number, segment in document.segments.items():
        if segment.parent is not None and segment.parent not in document.segments:
            found = f"the segment {number!r} whose parent {segment.parent!r} is missing"
            raise document.refusal(found, "parents among the segments")
        children.setdefault(segment.parent, []).append(number)
    order: list[str] = []
    work = children.get(None, [])[::-1]
    while work:
        order.append(work.pop())
        work += children.get(order[-1], [])[::-1]
    if len(order) != len(document.segments):
        circling = len(document.segments) - len(order)
        raise document.refusal(f"{circling} segments that lead to no root", "trees")
    return order
