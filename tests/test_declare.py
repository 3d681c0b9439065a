"""Declared facts: what is meant as text stays text, and what is odd is refused."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from neurodata.declare import Declared, missing, parse
from neurodata.errors import InvalidInputError, MissingFactError, PipelineError
from neurodata.pipeline import read_yaml
from neurodata.units import to_si


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("rate_hz=10", "rate_hz", 10),
        ("rate_hz=2.9970e1", "rate_hz", 29.97),
        ("start_s=-0.5", "start_s", -0.5),
        ("voxel_um=0.5,0.5,2", "voxel_um", [0.5, 0.5, 2]),
        ("axes=time,roi", "axes", "time,roi"),
        ("subject=01", "subject", "01"),
        ("session=1_000", "session", "1_000"),
        ("run=1.10", "run", "1.10"),
        ("task=1e3", "task", "1e3"),
        ("subject=nan", "subject", "nan"),
        ("citation=Doe, J. (2020) a=b", "citation", "Doe, J. (2020) a=b"),
        ("units.Cz=uV", "units.Cz", "uV"),
        ("units.EEG Fp1-A.2=µV", "units.EEG Fp1-A.2", "µV"),
        ("units.A=B=uV", "units.A=B", "uV"),
        ("units.ratio=1", "units.ratio", "1"),
        ("columns.source=0", "columns.source", "0"),
    ],
)
def test_a_setting_means_what_it_says(setting: str, key: str, value: Any) -> None:
    found = parse([setting])
    assert found == {key: value}
    assert type(found[key]) is type(value)
    Declared(found)


@pytest.mark.parametrize(
    "settings", [["rate_hz"], ["=3"], ["rate_hz="], ["rate_hz=1", "rate_hz=2"], ["units.Cz="]]
)
def test_settings_of_another_form_are_refused(settings: list[str]) -> None:
    with pytest.raises(InvalidInputError):
        parse(settings)


@pytest.mark.parametrize(
    "facts",
    [{"colour": "red"}, {"rate_hz": float("nan")}, {"rate_hz": None}, {"voxel_um": [1.0, None]},
     {"task": True}, {"run": 1.1}, {"axes": ["z", "y"]}, {"subject": None}],
)  # fmt: skip
def test_facts_of_another_form_are_refused(facts: Any) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(facts))):
        Declared(facts)


@pytest.mark.parametrize(
    "setting",
    ["rate_hz=<Hz>", "directed=0|1", "voxel_um=<y>,<x>", "units.a|b=<unit>", "axes=x,y|y,x"],
)
def test_a_value_that_is_still_open_is_refused(setting: str) -> None:
    with pytest.raises(InvalidInputError, match="still to be chosen"):
        Declared(parse([setting]))


def test_names_may_hold_what_marks_an_open_value() -> None:
    Declared(parse(["columns.weight=a|b", "variables.signal=<x>", "units.a|b=uV", "table=a|b"]))


@pytest.mark.parametrize("text", ["ten", True, "inf", "1,2", [1, 2], []])
def test_a_number_is_one_finite_number(text: Any) -> None:
    with pytest.raises(InvalidInputError, match="rate_hz"):
        Declared({"rate_hz": text}).number("rate_hz")
    assert Declared({"rate_hz": "10"}).number("rate_hz") == 10.0
    assert Declared().number("rate_hz") is None


def test_a_truth_value_does_not_hide_among_numbers() -> None:
    with pytest.raises(InvalidInputError):
        Declared({"voxel_um": [True, 1.0, 2.0]}).numbers("voxel_um", 2)


def test_what_is_needed_is_positive_and_its_want_prints_the_flag() -> None:
    with pytest.raises(MissingFactError, match="--set rate_hz=10"):
        Declared().need_number("rate_hz", "F.npy", "no rate", "10")
    with pytest.raises(InvalidInputError):
        Declared({"rate_hz": 0}).need_number("rate_hz", "F.npy", "no rate", "10")


def test_a_channels_unit_comes_before_that_of_all_and_use_is_remembered() -> None:
    declared = Declared({"units.Cz": "uV", "units.*": "mV", "rate_hz": 3})
    assert (declared.units("Cz"), declared.units("Pz")) == ("uV", "mV")
    assert declared.unused() == ["rate_hz"]


@pytest.mark.parametrize("channel", ["Cz", "EEG (F3)", "F3(A1)", "it's", "$HOME", "a;b", "*", "µ"])
def test_a_shell_reads_a_printed_flag_as_it_is_meant(channel: str) -> None:
    with pytest.raises(MissingFactError) as caught:
        to_si("furlong", "a.edf", channel)
    words = shlex.split(caught.value.hint.removeprefix("declare it: "))
    assert parse(words[1:]) == {f"units.{channel}": "<unit>"}
    fact = f"columns.{channel}=x"
    assert shlex.split(missing("a", "b", "c", fact).hint)[-1] == fact


@pytest.mark.parametrize("text", ["01", "0x1F", "1_000", "1:30", "+5"])
def test_yaml_numbers_that_lose_their_spelling_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"subject: {text}\n")
    with pytest.raises(PipelineError, match="quotes"):
        read_yaml(path)
    path.write_text(f"subject: '{text}'\nn: -5\n")
    assert read_yaml(path) == {"subject": text, "n": -5}
