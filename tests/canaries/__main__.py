"""Print how many marks each format was given, how many are kept, and what leaked."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.canaries.way import Way, went


def main() -> None:
    """Go the whole way once, and print a line a recording and the sum."""
    with tempfile.TemporaryDirectory() as folder:
        way = went(Path(folder))
    rows = [
        (name, len(marks.planted), len(marks.kept), len(leaks(way, name)))
        for name, marks in way.marks.items()
    ]
    counts = [row[1:] for row in rows]
    whole = [sum(column) for column in zip(*counts, strict=True)]
    print(f"{'recording':22} {'marks':>6} {'kept':>6} {'leaks':>6}")
    for row in [*rows, ("all", whole[0], whole[1], whole[2])]:
        print(f"{row[0]:22}", *(f"{count:6}" for count in row[1:]))


def leaks(way: Way, name: str) -> set[str]:
    """Return the marks of a case that were found and are not to be kept."""
    marks = way.marks[name]
    return {mark for mark in marks.planted if mark in way.found and mark not in marks.kept}


if __name__ == "__main__":
    main()
