"""The XML leaf of the one door: no document type, no entity, no depth or size without a bound.

Entities can multiply a kilobyte into gigabytes and document types can name files of the machine.
Formats of this package need neither, so a document that has one is refused before any library
parses it. The check is made by the parser itself (expat), in whatever encoding the bytes are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NoReturn
from xml.parsers import expat

from neurodata.errors import UnreadableError, UnsafeError

DEPTH_LIMIT = 100
ELEMENT_LIMIT = 50_000_000
BLOCK_BYTES = 2**16
Start = Callable[[str, dict[str, str]], None]
Text = Callable[[str], None]


def check(
    blocks: Iterable[bytes],
    where: str,
    start: Start | None = None,
    end: Text | None = None,
    text: Text | None = None,
) -> Counter[str]:
    """Parse a document to its end and return how often each element occurs.

    Parameters
    ----------
    blocks : iterable of bytes
        The document in pieces.
    start, end, text : callable, optional
        Called with each element's name, without its prefix, and at its start its attributes;
        with each piece of text.

    Raises
    ------
    UnsafeError
        On a document type, an entity, elements nested over 100 deep or over 50 million of them.
    UnreadableError
        When it is not well-formed XML.

    Examples
    --------
    >>> dict(check([b"<graph><node/><node/></graph>"], "a.graphml"))
    {'graph': 1, 'node': 2}
    >>> check([b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'], "a.graphml")
    Traceback (most recent call last):
    neurodata.errors.UnsafeError: a.graphml: found a document type (line 1); expected plain XML; \
remove the DOCTYPE line
    """
    watch = _Watch(where, start, end)
    parser = watch.parser
    if text:
        parser.CharacterDataHandler = text
    total = 0
    try:
        for block in blocks:
            parser.Parse(block, False)
            total += len(block)
            if watch.counts.total() > ELEMENT_LIMIT:
                watch.refuse(f"over {ELEMENT_LIMIT} elements", "split the file")
        parser.Parse(b"", True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise UnreadableError(
            where, f"no well-formed XML after {total} bytes ({error})", "a whole XML document",
            "copy or download it again",
        ) from error  # fmt: skip
    return watch.counts


class _Watch:
    """Handlers of one document: count its elements, refuse what no plain document has."""

    def __init__(self, where: str, start: Start | None, end: Text | None) -> None:
        self.where, self.start, self.end = where, start, end
        self.counts: Counter[str] = Counter()
        self.depth = 0
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler, self.parser.EndElementHandler = self.begin, self.finish
        self.parser.StartDoctypeDeclHandler = self.no_doctype  # which alone can declare entities

    def refuse(self, what: str, hint: str) -> NoReturn:
        found = f"{what} (line {self.parser.CurrentLineNumber})"
        raise UnsafeError(self.where, found, "plain XML", hint)

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            self.refuse(f"elements over {DEPTH_LIMIT} deep", "export it anew")
        local = name.rpartition(":")[2]
        self.counts[local] += 1
        if self.start:
            self.start(local, attributes)

    def finish(self, name: str) -> None:
        self.depth -= 1
        if self.end:
            self.end(name.rpartition(":")[2])

    def no_doctype(self, *_: Any) -> NoReturn:
        self.refuse("a document type", "remove the DOCTYPE line")


def in_blocks(data: bytes) -> Iterable[bytes]:
    """Yield a document in pieces for `check`."""
    for first in range(0, len(data), BLOCK_BYTES):
        yield data[first : first + BLOCK_BYTES]
