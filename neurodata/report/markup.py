"""Pieces of HTML; everything that comes from data is escaped here."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from typing import NewType

from neurodata.errors import Problem
from neurodata.shown import shown

Html = NewType("Html", str)

LEVELS = ("error", "warning", "note")


def escape(value: object) -> Html:
    """Return text from data as HTML, without secrets and control characters.

    Examples
    --------
    >>> escape("<b> & 'c'")
    '&lt;b&gt; &amp; &#x27;c&#x27;'
    """
    return Html(html.escape(shown(str(value))))


def join(parts: Iterable[Html], between: str = "\n") -> Html:
    """Join pieces of HTML."""
    return Html(between.join(parts))


def element(tag: str, *content: Html, **attributes: str) -> Html:
    """Return one element; attribute values are escaped, ``class_`` is written ``class``.

    Examples
    --------
    >>> element("p", escape("a<b"), class_="soft")
    '<p class="soft">a&lt;b</p>'
    """
    inside = "".join(f' {k.rstrip("_")}="{escape(v)}"' for k, v in attributes.items())
    return Html(f"<{tag}{inside}>{''.join(content)}</{tag}>")


def table(head: Sequence[str], rows: Iterable[Html]) -> Html:
    """Return a table that scrolls sideways on narrow screens."""
    titles = join((element("th", escape(title)) for title in head), "")
    body = f"<table><thead><tr>{titles}</tr></thead><tbody>{join(rows)}</tbody></table>"
    return element("div", Html(body), class_="scroll")


def row(cells: Sequence[tuple[str, Html]], kind: str = "") -> Html:
    """Return a table row of (class, content) cells."""
    made = [element("td", content, class_=name) if name else element("td", content)
            for name, content in cells]  # fmt: skip
    return element("tr", *made, class_=kind) if kind else element("tr", *made)


def level(name: str) -> Html:
    """Return a level of findings in its colour; ``""`` is none at all."""
    return element("span", escape(name or "no findings"), class_=f"level {name or 'none'}")


def worst(problems: Iterable[Problem]) -> str:
    """Return the worst level among findings, or ``""``."""
    found = {problem.level for problem in problems}
    return next((name for name in LEVELS if name in found), "")


def findings(problems: Sequence[tuple[str, Problem]]) -> Html:
    """Return a table of (recording, finding), the worst first; notes are folded away."""
    ranked = sorted(problems, key=lambda pair: LEVELS.index(pair[1].level))
    loud = [pair for pair in ranked if pair[1].level != "note"]
    quiet = [pair for pair in ranked if pair[1].level == "note"]
    parts = [_findings_table(loud) if loud else element("p", escape("no errors or warnings"))]
    if quiet:
        count = f"{len(quiet)} note{'' if len(quiet) == 1 else 's'}"
        parts.append(element("details", element("summary", escape(count)), _findings_table(quiet)))
    return join(parts)


def _findings_table(problems: Sequence[tuple[str, Problem]]) -> Html:
    rows = [
        row([
            ("", level(p.level)), ("id", escape(name)), ("id", escape(p.where)),
            ("", escape(p.found)), ("", escape(p.expected)), ("", escape(p.hint)),
        ])
        for name, p in problems
    ]  # fmt: skip
    return table(["Level", "Recording", "Where", "Found", "Expected", "What to do"], rows)


def figure(png: bytes, alt: str, caption: str) -> Html:
    """Return a picture inside the page, with its text alternative and caption."""
    data = base64.b64encode(png).decode()
    # The pictures have 180 pixels an inch and a page 96; an eighth larger, they read well.
    width = int.from_bytes(png[16:20], "big") * 96 // 160
    image = Html(f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}" width="{width}">')
    return element("figure", image, element("figcaption", escape(caption)))


def size(count: float) -> str:
    """Return a number of bytes as people write it.

    Examples
    --------
    >>> size(512), size(7_340_032)
    ('512 B', '7.3 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
