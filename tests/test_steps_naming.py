"""Names against vocabularies: certain, guessed and unlabelled stay apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neurodata import schema, steps
from neurodata.errors import InvalidInputError, PipelineError, Problem
from neurodata.steps.vocabularies import electrodes, neurons
from tests.synthetic_trees import node, recording, synthetic_connectome


def synthetic_channels(names: list[str], kinds: list[str] | None = None) -> xr.DataTree:
    n = len(names)
    made = node(
        "timeseries",
        {"signal": (("time", "channel"), np.zeros((4, n), "f4"))},
        {
            "channel": names,
            "type": ("channel", kinds or ["EEG"] * n),
            "units": ("channel", ["V"] * n),
        },
        start_s=0.0, rate_hz=10.0, n=4, units="V",
    )  # fmt: skip
    return recording("eeg", eeg=made)


def synthetic_neurons(names: list[str]) -> xr.DataTree:
    tree = synthetic_connectome()
    empty = np.array([], "i8")
    made = node(
        "graph",
        {
            "source": ("edge", empty),
            "target": ("edge", empty),
            "row_splits": ("split", np.zeros(len(names) + 1, "i8")),
        },
        {"node_id": ("node", names)},
        directed=1,
    )
    tree["graph"] = made
    return tree


def named(
    tree: xr.DataTree, problems: list[Problem] | None = None, **facts: Any
) -> dict[str, tuple[str, str]]:
    step = steps.parse([{"step": "harmonise_names", **facts}])
    found = steps.apply(tree, step, problems)
    schema.require(found)
    child = next(iter(found.children.values())).to_dataset()
    own = child["channel" if "channel" in child else "node_id"].values.tolist()
    before = next(iter(tree.children.values())).to_dataset()
    assert own == before["channel" if "channel" in child else "node_id"].values.tolist()
    pairs = zip(child["label"].values.tolist(), child["certainty"].values.tolist(), strict=True)
    return dict(zip(own, pairs, strict=True))


def test_electrodes_are_those_of_the_standard_montage() -> None:
    mne = pytest.importorskip("mne", minversion="1.10")
    montage = mne.channels.make_standard_montage("colin27_1005")
    assert set(electrodes()) - set(montage.ch_names) == {"Nz"}  # a landmark there, as LPA and RPA
    assert not set(montage.ch_names) - set(electrodes())
    place = montage.get_positions()["ch_pos"]
    for old, new in (("T3", "T7"), ("T4", "T8"), ("T5", "P7"), ("T6", "P8")):
        assert electrodes()[old] == new
        np.testing.assert_allclose(place[old], place[new], atol=1e-9)


def test_neurons_have_the_counts_of_the_literature() -> None:
    """302 neurons in 118 classes, 20 of them in the pharynx; 113 motor neurons of the cord..."""
    assert len(neurons()) == 302
    assert len(set(neurons().values())) == 118
    pharynx = {"I1", "I2", "I3", "I4", "I5", "I6", "M1", "M2", "M3", "M4", "M5", "MC", "MI", "NSM"}
    assert sum(kind in pharynx for kind in neurons().values()) == 20
    cord = {"AS": 11, "DA": 9, "DB": 7, "DD": 6, "VA": 12, "VB": 11, "VC": 6, "VD": 13}
    counts = pd.Series(neurons()).value_counts()
    assert {kind: int(counts[kind]) for kind in cord} == cord
    assert neurons()["RMED"] == "RME"
    assert neurons()["SABD"] == "SAB"
    assert neurons()["IL2DL"] == "IL2"


@pytest.mark.acceptance
def test_every_neuron_of_a_published_connectome_is_certain(realdata: Path) -> None:
    folder = realdata / "fixtures" / "connectome" / "cect_data"
    table = pd.read_csv(folder / "white_1986_jsh.csv", sep="\t")
    names = sorted({*table["pre"], *table["post"]})
    found = named(synthetic_neurons(names), vocabulary="celegans")
    body = {name for name, (_, sure) in found.items() if sure != "certain"}
    assert not body & set(neurons())
    assert len(names) - len(body) > 150
    assert all(not label for name, (label, sure) in found.items() if sure == "unlabelled")


@pytest.mark.parametrize(
    ("name", "label", "sure"),
    [
        ("Fp1", "Fp1", "certain"),
        ("EEG FP1-Ref", "Fp1", "certain"),
        ("EEG T3-LE", "T7", "certain"),
        ("t5", "P7", "certain"),
        ("Fc5.", "FC5", "certain"),
        ("POL O2", "O2", "certain"),
        ("C3-A2", "C3", "certain"),
        ("cpp5H", "CPP5h", "certain"),
        ("Cz?", "Cz", "guessed"),
        ("Fz-0", "Fz", "guessed"),
        ("03_Pz_new", "Pz", "guessed"),
        ("Fpz-Cz", "", "unlabelled"),
        ("E17", "", "unlabelled"),
        ("T9000", "", "unlabelled"),
    ],
)
def test_habits_of_electrode_names(name: str, label: str, sure: str) -> None:
    assert named(synthetic_channels([name]), vocabulary="electrodes")[name] == (label, sure)


def test_electrode_names_of_other_channels_mean_nothing() -> None:
    tree = synthetic_channels(["C3", "O2", "A1"], ["EEG", "MISC", "SEEG"])
    found = named(tree, vocabulary="electrodes")
    assert [sure for _, sure in found.values()] == ["certain", "unlabelled", "unlabelled"]


@pytest.mark.parametrize(
    ("name", "neuron", "kind"),
    [
        ("AVAL", ("AVAL", "certain"), ("AVA", "certain")),
        ("avar ", ("AVAR", "certain"), ("AVA", "certain")),
        ("VA01", ("VA1", "certain"), ("VA", "certain")),
        ("DD10", ("", "unlabelled"), ("", "unlabelled")),
        ("ASEL?", ("ASEL", "guessed"), ("ASE", "guessed")),
        ("AVAL/AVAR", ("", "unlabelled"), ("AVA", "guessed")),
        ("AVAL or RIML", ("", "unlabelled"), ("", "unlabelled")),
        ("AVA", ("", "unlabelled"), ("AVA", "certain")),
        ("BWM-DL01", ("", "unlabelled"), ("", "unlabelled")),
        ("117", ("", "unlabelled"), ("", "unlabelled")),
    ],
)
def test_habits_of_neuron_names(name: str, neuron: tuple[str, str], kind: tuple[str, str]) -> None:
    tree = synthetic_neurons([name])
    assert named(tree, vocabulary="celegans")[name] == neuron
    assert named(tree, vocabulary="celegans_classes")[name] == kind


def test_two_names_of_one_place_are_refused_and_a_guess_gives_way() -> None:
    with pytest.raises(InvalidInputError, match="T3, T7"):
        named(synthetic_channels(["T3", "Cz", "T7"]), vocabulary="electrodes")
    found = named(synthetic_channels(["Cz", "Cz?"]), vocabulary="electrodes")
    assert found == {"Cz": ("Cz", "certain"), "Cz?": ("", "unlabelled")}


def test_guesses_and_gaps_are_told() -> None:
    problems: list[Problem] = []
    named(synthetic_channels(["Cz", "Pz?", "X1"]), problems, vocabulary="electrodes")
    told = " ".join(map(str, problems))
    assert "1 of 3 names guessed: Pz? (Pz)" in told
    assert "1 of 3 names unlabelled: X1" in told
    assert {p.level for p in problems} == {"note"}


def test_columns_that_are_there_stay() -> None:
    tree = synthetic_channels(["Cz"])
    tree["eeg"] = tree["eeg"].to_dataset().assign_coords(label=("channel", ["mine"]))
    with pytest.raises(InvalidInputError, match="label already"):
        named(tree, vocabulary="electrodes")
    facts = {"vocabulary": "electrodes", "column": "site", "certainty": "site_certainty"}
    step = steps.parse([{"step": "harmonise_names", **facts}])
    found = steps.apply(tree, step)["eeg"]
    assert found["label"].values.tolist() == ["mine"]
    assert found["site"].values.tolist() == ["Cz"]


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "synthetic_names.tsv").write_text(
        "name\tlabel\tcertainty\nX1\tCz\tcertain\nX2\tPz\tguessed\nX3\t\tunlabelled\n"
    )
    given = [{"step": "harmonise_names", "table": "synthetic_names.tsv"}]
    step = steps.located(given, tmp_path)
    found = steps.apply(synthetic_channels(["X1", "X2", "X3", "X4"]), steps.parse(step))["eeg"]
    assert found["label"].values.tolist() == ["Cz", "Pz", "", ""]
    expected = ["certain", "guessed", "unlabelled", "unlabelled"]
    assert found["certainty"].values.tolist() == expected
    record = steps.parse(step)[0].record()["table"]
    assert record["name"] == "synthetic_names.tsv"
    assert len(record["sha256"]) == 64
    with pytest.raises(PipelineError, match="no file"):
        steps.parse([{"step": "harmonise_names", "table": "nowhere.tsv"}])
    with pytest.raises(PipelineError, match="not both"):
        steps.parse([{**step[0], "vocabulary": "celegans"}])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name,label,certainty\nX1,Cz,perhaps\n", "perhaps"),
        ("name,label\nX1,Cz\nX1,Pz\n", "twice"),
        ("name,place\nX1,Cz\n", "place"),
    ],
)
def test_tables_with_faults_are_refused(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "synthetic.csv").write_text(text)
    with pytest.raises(InvalidInputError, match=match):
        named(synthetic_channels(["X1"]), table=str(tmp_path / "synthetic.csv"))


def test_no_name_at_all() -> None:
    found = steps.apply(
        synthetic_neurons([]), steps.parse([{"step": "harmonise_names", "vocabulary": "celegans"}])
    )
    assert found["graph"]["label"].shape == (0,)
