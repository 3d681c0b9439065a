"""Text from data as people may be shown it: nothing in it drives what shows it."""

from __future__ import annotations

import unicodedata

from neurodata.secret import scrubbed

# Marks that turn the direction of the text around them, so that a name looks like another.
TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
DRIVES = frozenset(("Cc", "Cs", "Zl", "Zp"))


def visible(text: str) -> str:
    """Return a text whose control characters are question marks; line ends and tabs stay.

    Examples
    --------
    >>> visible("a" + chr(27) + "[31mb" + chr(0x202e))
    'a?[31mb?'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join("?" if _drives(character) else character for character in text)


def _drives(character: str) -> bool:
    if character in "\n\t":
        return False
    return character in TURNS or unicodedata.category(character) in DRIVES


def shown(text: str) -> str:
    """Return a text without secrets and control characters.

    Examples
    --------
    >>> shown("https://me:pw@host/" + chr(7))
    'https://me:***@host/?'
    """
    return visible(scrubbed(text))
