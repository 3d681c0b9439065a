"""Small XML documents as trees of elements, by way of the XML leaf of the one door."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from neurodata.errors import UnreadableError
from neurodata.safe_xml import check, in_blocks


@dataclass
class Element:
    """One element; its name has no prefix, its text no blanks around it."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def all(self, *names: str) -> Iterator[Element]:
        """Yield the elements at a path of names below this one."""
        if not names:
            yield self
            return
        for child in self.children:
            if child.name == names[0]:
                yield from child.all(*names[1:])

    def one(self, *names: str) -> str:
        """Return the text of the first element at a path, empty where there is none."""
        return next((found.text for found in self.all(*names)), "")


def parse(data: bytes, where: str) -> Element:
    """Return the outermost element of a document.

    Raises
    ------
    UnsafeError
        On a document type, an entity or more than a bounded depth.
    UnreadableError
        When it is not well-formed XML.

    Examples
    --------
    >>> parse(b"<a><b> 1 </b><b>2</b></a>", "a.xml").one("b")
    '1'
    """
    outside = Element("")
    path = [outside]

    def start(name: str, attributes: dict[str, str]) -> None:
        made = Element(name, attributes)
        path[-1].children.append(made)
        path.append(made)

    def end(_: str) -> None:
        made = path.pop()
        made.text = made.text.strip()

    def text(piece: str) -> None:
        path[-1].text += piece

    check(in_blocks(data), where, start, end, text)
    if len(outside.children) != 1:
        raise UnreadableError(where, "no element", "an XML document", "copy it again")
    return outside.children[0]
