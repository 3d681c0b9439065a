"""The table of formats in docs/formats.md: ``python -m neurodata.formats > docs/formats.md``.

What a reader reads, what it refuses, by which library and on which real files it was tested stands
in `formats.yaml`, one entry a reader; suffixes come from the readers themselves.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from neurodata.errors import InvalidInputError
from neurodata.pipeline import Part, read_yaml
from neurodata.readers import TABLE, reader

FACTS = Path(__file__).with_name("formats.yaml")
PAGE = "docs/formats.md"
HEAD = """# Formats

Made by `python -m neurodata.formats > docs/formats.md` from `neurodata/formats.yaml`.

A file is known by its content; its suffix only makes a warning when it is another. Damage, cut
files, sizes that contradict the header and paths that lead elsewhere are refused in every format,
and so is a fact that a file does not state until it is declared: the refusal prints the flag.
"own parser" means that neurodata reads the bytes itself, with numpy alone.
"""


class Format(Part):
    """What is known of a reader's format.

    Parameters
    ----------
    group, name : str
        A key of `Facts.groups`, and what a person calls the format.
    reads, refuses : str
    libraries : tuple of str
        Keys of `Facts.libraries`, none where neurodata parses the format itself.
    tested : tuple of str
        Real files or folders, none where the tests make synthetic ones only.
    """

    group: str = Field(min_length=1)
    name: str = Field(min_length=2)
    reads: str = Field(min_length=8)
    refuses: str = Field(min_length=8)
    libraries: tuple[str, ...]
    tested: tuple[str, ...]


class Facts(Part):
    """The content of `formats.yaml`: titles of groups, licences of libraries, formats by reader."""

    groups: dict[str, str]
    libraries: dict[str, str]
    formats: dict[str, Format]


def read_facts(path: Path = FACTS) -> Facts:
    """Return the facts of a file.

    Raises
    ------
    InvalidInputError
        When an entry is not of the form, is of no reader, or names a group or library that is
        not listed.
    """
    try:
        facts = Facts.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInputError(f"{path.name}: {where}", first["msg"], "see its head") from error
    for name in sorted(facts.formats.keys() - TABLE.keys()):
        raise InvalidInputError(f"{path.name}: {name}", "no reader of that name", "one of TABLE")
    for name, entry in facts.formats.items():
        for key, known in (({entry.group}, facts.groups), (set(entry.libraries), facts.libraries)):
            for odd in sorted(key - known.keys()):
                raise InvalidInputError(
                    f"{path.name}: {name}", f"{odd!r}, which is not listed above", ", ".join(known)
                )
    return facts


def page(facts: Facts) -> str:
    """Return the page, in Markdown.

    Raises
    ------
    InvalidInputError
        When a reader of the table has no entry.
    """
    for name in sorted(TABLE.keys() - facts.formats.keys()):
        raise InvalidInputError(
            FACTS.name, f"no entry for the reader {name!r}",
            f"formats.{name} with group, name, reads, refuses, libraries, tested",
            f"add it, then run python -m neurodata.formats > {PAGE}",
        )  # fmt: skip
    return "\n".join([HEAD, *_counts(facts), "", *_groups(facts)])


def _counts(facts: Facts) -> Iterator[str]:
    real = sum(bool(entry.tested) for entry in facts.formats.values())
    yield (
        f"{len(facts.formats)} readers; {real} of them are tested on real recordings, "
        f"{len(facts.formats) - real} on synthetic ones only."
    )


def _groups(facts: Facts) -> Iterator[str]:
    for group, title in facts.groups.items():
        yield f"## {title}\n"
        yield "| format | suffixes | read | refused, or to be declared | parsed by | tested on |"
        yield "|---|---|---|---|---|---|"
        for name in TABLE:
            if facts.formats[name].group == group:
                yield _row(name, facts.formats[name], facts.libraries)
        yield ""


def _row(name: str, entry: Format, licences: Mapping[str, str]) -> str:
    suffixes = ", ".join(f"`{suffix}`" for suffix in reader(name).SUFFIXES if suffix)
    parsed = ", ".join(f"{library} ({licences[library]})" for library in entry.libraries)
    files = ", ".join(f"`{Path(path).name}`" for path in entry.tested)
    cells = (
        f"{entry.name} (`{name}`)", suffixes, entry.reads, entry.refuses,
        parsed or "own parser", files or "synthetic only",
    )  # fmt: skip
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    sys.stdout.write(page(read_facts()))
