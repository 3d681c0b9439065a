"""Marks: texts that are planted one a field, so that each tells where it came from."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LONG, SHORT = "CNRY", "Q7"
"""What marks begin with: those of 10 letters or more, and shorter ones, of 6 or more."""
MOST = 20  # letters of a mark of a given length
NAME = "synthetic"  # that makers of recordings give to files


@dataclass
class Marks:
    """The marks of one case.

    Attributes
    ----------
    planted : dict of str to str
        What each mark stands for.
    kept : dict of str to str
        Why a mark may be found again; all others may not.
    names : set of str
        Marks in names of files, folders and columns: the user's own console may tell these.
    """

    case: str
    planted: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def __call__(self, what: str, size: int = 0) -> str:
        """Return the mark of a field, of any length or of exactly ``size`` letters."""
        text = self._long(what)
        if size:
            digest = hashlib.sha256(text.encode()).digest()
            letters = base64.b32encode(digest).decode().rstrip("=")
            head = LONG if size >= 10 else SHORT
            assert 6 <= size <= len(head) + len(letters)
            text = (head + letters)[:size]
        assert self.planted.get(text, what) == what, f"two fields {what} of {self.case}"
        self.planted[text] = what
        return text

    def _long(self, what: str) -> str:
        return f"{LONG}-{self.case}-{what}-7Q".replace("_", "-")

    def keep(self, what: str, why: str, size: int = 0) -> str:
        """Return a mark that users need and the schema allows, with the reason."""
        text = self(what, size)
        self.kept[text] = why
        return text

    def name(self, what: str, size: int = 0) -> str:
        """Return a mark for the name of a file, folder or column, which the console may tell."""
        text = self(what, size)
        self.names.add(text)
        return text

    def swap(self, path: Path, old: str, what: str, codec: str = "utf-8") -> None:
        """Put a mark of its length in place of each occurrence of a text in a file."""
        data, key = path.read_bytes(), old.encode(codec)
        first, *rest = data.split(key)
        assert rest, f"no {old!r} in {path.name}"
        for number, part in enumerate(rest, 1):
            first += self(f"{what}-{number}", len(old)).encode(codec) + part
        path.write_bytes(first)

    def over(self, path: Path, old: bytes, what: str, size: int) -> None:
        """Write a mark over a text, and over the blanks or zeros after it."""
        data = path.read_bytes()
        at = data.index(old)
        mark = self(what).encode()[:size]
        assert not data[at + len(old) : at + size].strip(b" \0")
        path.write_bytes(data[:at] + mark.ljust(size, data[at + size - 1 : at + size])
                         + data[at + size :])  # fmt: skip

    def put(self, path: Path, at: int, what: str, size: int) -> None:
        """Write a mark into a field of a header, at a byte."""
        text = self(what, min(size, MOST) if len(self._long(what)) > size else 0)
        data = path.read_bytes()
        path.write_bytes(data[:at] + text.encode().ljust(size) + data[at + size :])

    def rename(self, folder: Path, *inside: str) -> None:
        """Give files and folders called synthetic a mark, and texts that name them as well.

        Parameters
        ----------
        inside : str
            Suffixes of the files that name others.
        """
        mark = self.name("file", len(NAME))
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_file() and path.name.endswith(inside):
                path.write_bytes(path.read_bytes().replace(NAME.encode(), mark.encode()))
            if NAME in path.name:
                path.rename(path.with_name(path.name.replace(NAME, mark)))


Make = Callable[[Path, Marks], None]


@dataclass(frozen=True)
class Case:
    """One recording: its reader, the facts it needs declared, and its maker."""

    name: str
    reader: str
    declare: Mapping[str, Any]
    make: Make


CASES: dict[str, Case] = {}


def case(reader: str, story: str = "", **declare: Any) -> Callable[[Make], Make]:
    """Register a maker; ``__`` in a fact's name stands for its point, ``_all`` for ``*``."""

    def register(make: Make) -> Make:
        name = f"{reader}-{story}" if story else reader
        facts = {key.replace("__", ".").replace("_all", "*"): v for key, v in declare.items()}
        assert name not in CASES
        CASES[name] = Case(name, reader, facts, make)
        return make

    return register


def made(one: Case, root: Path) -> tuple[Path, Marks]:
    """Write a case's recording, in a folder within a folder that both have marks for names."""
    marks = Marks(one.name)
    top = root / marks.name("root")
    folder = top / marks.name("folder")
    folder.mkdir(parents=True)
    one.make(folder, marks)
    return top, marks
