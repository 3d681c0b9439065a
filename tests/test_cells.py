"""Small cells of participants and real dates are told before a data set is given away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from neurodata.publish import push
from neurodata.publish.cells import LEAST, dates, small_cells
from neurodata.store import Store, open_store
from tests.synthetic_people import person
from tests.synthetic_trees import node


def cohort(root: Path, *people: dict[str, Any], table: str = "") -> Store:
    """A synthetic store with a recording for each, S0, S1, ... unless told."""
    store = open_store(root, create=True)
    for number, attrs in enumerate(people):
        facts = {"subject": f"S{number}", **attrs}
        diagnosis = facts.pop(table, None)
        tree = person(facts.pop("subject"), number, **facts)
        if diagnosis:
            traits = node("table", {table: ("row", [diagnosis])})
            tree["traits"] = xr.DataTree(traits)
        store.publish(tree, dataset="lab", recording=f"r{number}")
    return store


def test_k_is_that_of_the_smallest_cell(tmp_path: Path) -> None:
    many = [{"age_years": 30, "sex": "F"}] * 5
    few = [{"age_years": 30, "sex": "M"}] * 2
    (found,) = small_cells(store := cohort(tmp_path, *many, *few), store.ids())
    assert found.level == "warning"
    assert found.where == "participants: age_years, sex"
    assert found.found.startswith("2 of 7 ")
    assert "(k = 2)" in found.found
    assert small_cells(store, store.ids(), least=2) == []


@pytest.mark.parametrize(("count", "warned"), [(LEAST, False), (LEAST - 1, True), (1, True)])
def test_five_alike_are_enough(tmp_path: Path, count: int, warned: bool) -> None:
    store = cohort(tmp_path, *[{"age_years": 61.5, "sex": "F"}] * count)
    assert bool(small_cells(store, store.ids())) is warned


def test_a_participant_counts_once_and_ages_of_two_visits_are_one_fact(tmp_path: Path) -> None:
    visits = [{"subject": "S9", "age_years": age, "sex": "F"} for age in (20, 21)]
    store = cohort(tmp_path, *visits, *[{"age_years": 20, "sex": "F"}] * 5)
    (found,) = small_cells(store, store.ids())
    assert found.found.startswith("1 of 4 ") is False
    assert found.found.startswith("1 of 6 ")
    assert "(k = 1)" in found.found


def test_a_diagnosis_in_a_table_of_one_row_is_a_fact(tmp_path: Path) -> None:
    people = [{"sex": "F", "diagnosis": d} for d in ("control",) * 5 + ("ataxia",)]
    (found,) = small_cells(store := cohort(tmp_path, *people, table="diagnosis"), store.ids())
    assert found.where == "participants: sex, traits/diagnosis"
    assert found.found.startswith("1 of 6 ")
    assert "ataxia" not in str(found)


def test_sex_alone_tells_nobody_but_with_an_age_it_may(tmp_path: Path) -> None:
    store = cohort(tmp_path, {"sex": "F"}, {"sex": "M"})
    assert small_cells(store, store.ids()) == []
    store.publish(person("S7", 9, age_years=40), dataset="lab", recording="r9")
    (found,) = small_cells(store, store.ids())
    assert found.found.startswith("3 of 3 ")


def test_animals_and_people_of_whom_nothing_is_told_are_no_cells(tmp_path: Path) -> None:
    store = cohort(tmp_path / "people", {}, {})
    assert small_cells(store, store.ids()) == []
    mice = open_store(tmp_path / "mice", create=True)
    tree = person("M1", sex="F", age_years=1, start_time="2021-01-27T10:00:00Z")
    tree.attrs["species"] = "Mus musculus"
    mice.publish(tree, dataset="mice", recording="M1-20210127")
    assert small_cells(mice, mice.ids()) == dates(mice, mice.ids()) == []


def test_real_dates_of_people_are_told_and_shifted_ones_are_not(tmp_path: Path) -> None:
    when = "1788-03-01T09:00:00+01:00"
    store = cohort(
        tmp_path, {"start_time": "2021-03-01T09:00:00+01:00"},
        {"start_time": when, "date_shifted": "yes"}, {}, {"start_time": when},
    )  # fmt: skip
    (found,) = dates(store, store.ids())
    assert found.where == "lab/r0, lab/r3"
    assert "2 in all" in found.found


@pytest.mark.parametrize(
    ("text", "told"),
    [("20210301", True), ("2021-03-01", True), ("x_1999_12_31", True), ("20211301", False),
     ("20210332", False), ("202103011", False), ("rest", False), ("18500101", False)],
)  # fmt: skip
def test_a_date_spelt_by_id_or_session_is_told(tmp_path: Path, text: str, told: bool) -> None:
    store = cohort(tmp_path, {"session": text})
    store.publish(person("S1", 5), dataset="lab", recording=f"a-{text}")
    assert [p.where for p in dates(store, store.ids())] == ["lab/a-" + text + ", lab/r0"] * told


def test_push_tells_of_both(tmp_path: Path) -> None:
    facts = {"age_years": 30, "sex": "F", "start_time": "2021-03-01T09:00:00Z"}
    store = cohort(tmp_path / "store", facts)
    _, problems = push(store, "lab", tmp_path / "pushed")
    told = [p.found for p in problems if p.level == "warning"]
    assert any("k = 1" in text for text in told)
    assert any("real dates" in text for text in told)
