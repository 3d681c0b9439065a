"""What may name a person stays behind: a mark in every text of every format, the whole way."""

from __future__ import annotations

import pytest

from neurodata.readers import TABLE
from tests.canaries.marks import CASES, Marks
from tests.canaries.search import Finder, told
from tests.canaries.way import Way, removed, went

pytestmark = pytest.mark.slow
FEWEST_FIELDS = 2  # a file and a folder have names at least


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Way:
    """All recordings, taken the whole way once."""
    return went(tmp_path_factory.mktemp("canaries"))


def test_every_format_has_a_case() -> None:
    assert {case.reader for case in CASES.values()} == set(TABLE)


def test_every_step_of_the_way_is_taken(way: Way) -> None:
    assert way.failed == {}


@pytest.mark.parametrize("name", CASES)
def test_nothing_leaks(way: Way, name: str) -> None:
    if name not in way.marks:
        pytest.skip("not made here")
    marks = way.marks[name]
    assert len(marks.planted) >= FEWEST_FIELDS
    leaks = {mark: way.found[mark] for mark in marks.planted if mark in way.found}
    unwanted = {mark: places for mark, places in leaks.items() if mark not in marks.kept}
    assert told(unwanted, marks.planted) == []
    assert [marks.planted[mark] for mark in marks.kept if mark not in leaks] == []


def test_no_part_of_a_mark_leaks(way: Way) -> None:
    planted = {mark for marks in way.marks.values() for mark in marks.planted}
    assert told({k: v for k, v in way.found.items() if k not in planted}, {}) == []


@pytest.mark.parametrize("name", CASES)
def test_the_manifest_lists_what_was_left_behind(way: Way, name: str) -> None:
    if name not in way.recordings:
        pytest.skip("not made here")
    marks = way.marks[name]
    texts = set(marks.planted) - marks.names - set(marks.kept)
    assert removed(way, name) or not texts


def test_the_finder_finds() -> None:
    marks = Marks("a_case")
    long, short, kept = marks("field"), marks("other", 6), marks("third", 12)
    finder = Finder(marks.planted, [f"folder_{kept}"])
    for text in (long, long.upper(), long.lower()):
        for codec in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le"):
            assert finder.find(b"\x80\1" + text.encode(codec) + b"\xff\0") == {long}
    assert finder.find(f"x{short}y".encode()) == {short}
    assert finder.find(f"folder_{kept}".encode()) == set()
    assert finder.find(f"folder_{kept}, {kept}".encode()) == {kept}
    assert finder.find(long[:12].encode()) == {long[:12].lower()}
