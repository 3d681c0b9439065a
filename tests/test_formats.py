"""The page of formats is the one that the command makes, and every reader stands in it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest

from neurodata.errors import InvalidInputError
from neurodata.formats import FACTS, PAGE, page, read_facts
from neurodata.readers import TABLE

ROOT = Path(__file__).parents[1]
ADVICE = f"run: python -m neurodata.formats > {PAGE}"


def test_every_reader_has_an_entry() -> None:
    """A new reader: add its entry to neurodata/formats.yaml, whose head says what goes in."""
    assert sorted(TABLE.keys() - read_facts().formats.keys()) == []


def test_the_page_is_what_the_command_makes() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(read_facts()), ADVICE


def test_shipped_files_that_tests_read_are_there() -> None:
    named = [path for entry in read_facts().formats.values() for path in entry.tested]
    shipped = [path for path in named if path.startswith("samples/")]
    assert len(shipped) >= 12
    assert [path for path in shipped if not (ROOT / path).exists()] == []
    others = set(named) - set(shipped)
    assert {path.split("/")[0] for path in others} == {"fixtures", "acceptance"}


@pytest.mark.acceptance
def test_real_files_that_tests_read_are_there(realdata: Path) -> None:
    named = [path for entry in read_facts().formats.values() for path in entry.tested]
    others = [path for path in named if not path.startswith("samples/")]
    assert [path for path in others if not (realdata / path).exists()] == []


def test_licences_are_those_that_the_packages_state() -> None:
    for library, licence in read_facts().libraries.items():
        try:
            stated = metadata(library)
        except PackageNotFoundError:
            continue
        said = [
            stated.get("License-Expression") or "",
            (stated.get("License") or "")[:80],
            *(c for c in stated.get_all("Classifier") or () if c.startswith("License")),
        ]
        family = licence.split("-")[0]
        assert any(family in text for text in said), (library, licence, said)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("  edf:\n", "  edf2:\n", "edf2: found no reader of that name"),
        ("    group: calcium\n", "    group: imaging\n", "'imaging', which is not listed"),
        ("    libraries: [mne]\n", "    libraries: [mne2]\n", "'mne2', which is not listed"),
        ("    name: CTF folders\n", "    name: ''\n", "at least 2 characters"),
        ("    name: CTF folders\n", "    title: CTF\n", "formats.ctf"),
    ],
)
def test_a_wrong_entry_is_refused_with_what_to_do(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    text = FACTS.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "formats.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InvalidInputError, match=told):
        read_facts(path)


def test_a_reader_without_an_entry_is_told_what_to_add() -> None:
    facts = read_facts()
    without = {name: entry for name, entry in facts.formats.items() if name != "edf"}
    told = "no entry for the reader 'edf'; expected formats.edf with group, name, reads"
    with pytest.raises(InvalidInputError, match=told):
        page(facts.model_copy(update={"formats": without}))
