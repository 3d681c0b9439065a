"""Traces as text: times, units and gaps as the table has them; other tables are left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, MissingFactError, UnreadableError
from neurodata.readers import TABLE, adjacency, edgelist, reader, traces
from neurodata.safe import Raw, head
from tests.readers.conformance import HeaderTests

N, CHANNELS = 60, ("a", "b", "c")


def synthetic(path: Path, separator: str = ",", **columns: Any) -> Path:
    """Write a table as pandas does, with times of 20 Hz unless told otherwise."""
    values = np.random.default_rng(1).normal(size=(N, len(CHANNELS))).round(4)
    table = pd.DataFrame(values, columns=CHANNELS)
    columns = columns or {"time_s": np.arange(N) / 20 + 0.5}
    for place, (name, column) in enumerate(columns.items()):
        table.insert(place, name, column)
    table.to_csv(path, sep=separator, index=False)
    return path


class TestTraces(HeaderTests):
    reader = traces
    nodes: ClassVar = {"traces": "timeseries"}
    declare: ClassVar = {"units.*": "dF/F", "modality": "calcium"}
    lazy: ClassVar = ()
    truncation_shows: ClassVar = False
    lies: ClassVar = {
        "a name twice": lambda whole: whole.replace(b"a,b,c", b"a,b,b"),
        "a name less": lambda whole: whole.replace(b"a,b,c", b"a,b"),
        "no name": lambda whole: whole.replace(b"a,b,c", b"a,,c"),
        "no header": lambda whole: whole.partition(b"\n")[2],
        "header alone": lambda whole: whole.partition(b"\n")[0],
        "times that fall": lambda whole: whole.replace(b"\n0.55,", b"\n0.45,"),
        "no time": lambda whole: whole.replace(b"\n0.55,", b"\nnan,"),
        "infinity": lambda whole: whole.replace(b"\n0.55,", b"\n1e999,"),
        "text": lambda whole: whole.replace(b"\n0.55,", b"\nsoon,"),
    }

    def make(self, folder: Path) -> Path:
        return synthetic(folder / "synthetic_dff.csv")


def read(path: Path, **declared: Any) -> tuple[xr.DataTree, Raw]:
    raw = Raw(path.parent, (path,))
    facts = {"units.*": "dF/F", "modality": "calcium", **declared}
    facts = {k.replace("__", "."): v for k, v in facts.items() if v is not None}
    return traces.read(raw, Declared(facts)), raw


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_values_are_those_that_pandas_reads(separator: str, tmp_path: Path) -> None:
    path = synthetic(tmp_path / "synthetic.csv", separator)
    node = read(path)[0]["traces"].to_dataset()
    table = pd.read_csv(path, sep=separator)
    np.testing.assert_array_equal(node["signal"].values, table[list(CHANNELS)].to_numpy())
    assert node["channel"].values.tolist() == list(CHANNELS)
    assert {k: node.attrs[k] for k in ("start_s", "rate_hz", "n")} == {
        "start_s": 0.5, "rate_hz": 20.0, "n": N,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("time_s", 1), ("Time (s)", 1), ("t[ms]", 1e-3), ("time_ms", 1e-3),
        ("timestamp (us)", 1e-6),
        ("seconds", 1), ("Time_sec", 1), ("t (min)", 60), ("timestamps_s", 1), ("t s", 1),
    ],
)  # fmt: skip
def test_times_are_recognised_by_name(name: str, factor: float, tmp_path: Path) -> None:
    path = synthetic(tmp_path / "synthetic.csv", **{name: np.arange(N) * 3})
    assert traces.sniff(head(path), path)
    node = read(path)[0]["traces"]
    assert node.attrs["rate_hz"] == pytest.approx(1 / (3 * factor))
    assert node.sizes["channel"] == len(CHANNELS)


def test_times_without_a_unit_are_refused_until_declared(tmp_path: Path) -> None:
    path = synthetic(tmp_path / "synthetic.csv", time=np.arange(N) * 50)
    with pytest.raises(MissingFactError, match=r"time_units=s\|ms\|us"):
        read(path)
    assert read(path, time_units="ms")[0]["traces"].attrs["rate_hz"] == 20.0
    with pytest.raises(InvalidInputError):
        read(path, time_units="mV")


def test_a_column_of_times_is_declared(tmp_path: Path) -> None:
    path = synthetic(tmp_path / "synthetic.csv", clock=np.arange(N) / 10)
    node = read(path, columns__time="clock", time_units="s")[0]["traces"]
    assert node.attrs["rate_hz"] == 10.0
    with pytest.raises(InvalidInputError, match="clock"):
        read(path, columns__time="other")
    two = synthetic(tmp_path / "two.csv", time_s=np.arange(N) / 10, time_ms=np.arange(N) * 100)
    with pytest.raises(MissingFactError, match=r"--set columns\.time=time_s"):
        read(two)


def test_irregular_times_are_kept_or_made_regular_by_declaration(tmp_path: Path) -> None:
    times = (np.arange(N) / 30).round(3)
    path = synthetic(tmp_path / "synthetic.csv", time_s=times)
    tree, raw = read(path)
    np.testing.assert_array_equal(tree["traces/time"].values, times)
    assert "rate_hz" not in tree["traces"].attrs
    assert any("no regular clock" in problem.found for problem in raw.problems)
    assert read(path, rate_hz=30)[0]["traces"].attrs["rate_hz"] == 30.0
    with pytest.raises(UnreadableError, match="declared rate"):
        read(path, rate_hz=29)


def test_all_that_is_lacking_is_told_at_once(tmp_path: Path) -> None:
    path = synthetic(tmp_path / "synthetic.csv", d=np.arange(N) / 7)
    with pytest.raises(MissingFactError) as refusal:
        read(path, **{"units.*": None, "modality": None})
    for flag in ("rate_hz=<Hz>", "modality=calcium|eeg", "units.*=<unit>"):
        assert flag in refusal.value.hint
    assert "d, a, b, c" in refusal.value.found
    assert read(path, rate_hz=12)[0]["traces"].attrs["rate_hz"] == 12.0


def test_missing_samples_stay_missing(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.csv"
    path.write_text("time_s,a,b\n0,1,\n1,NaN,4\n2,5,n/a\n")
    tree, raw = read(path)
    found = tree["traces/signal"].values
    np.testing.assert_array_equal(found, [[1, np.nan], [np.nan, 4], [5, np.nan]])
    assert any("3 of 6 samples are missing" in problem.found for problem in raw.problems)


def test_units_in_names_and_by_channel(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.csv"
    path.write_text("time_s,Cz [uV],cell (1)\n0,1,3\n1,2,4\n2,3,5\n")
    with pytest.raises(MissingFactError, match=r"units\.cell \(1\)="):
        read(path, **{"units.*": None, "modality": "eeg"})
    tree, _ = read(path, **{"units.*": None, "modality": "eeg", "units.cell (1)": "mV"})
    node = tree["traces"].to_dataset()
    assert node["channel"].values.tolist() == ["Cz", "cell (1)"]
    np.testing.assert_allclose(node["signal"].values[0], [1e-6, 3e-3])
    assert node["type"].values.tolist() == ["EEG", "MISC"]


def test_counters_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.csv"
    table = pd.DataFrame(np.linspace(0, 1, 20).reshape(10, 2), columns=["a", "b"])
    table.to_csv(path)
    assert traces.sniff(head(path), path)
    assert read(path, rate_hz=5)[0]["traces/channel"].values.tolist() == ["a", "b"]
    table.assign(frame=np.arange(10)).to_csv(path, index=False)
    assert read(path, rate_hz=5)[0]["traces/channel"].values.tolist() == ["a", "b"]


def test_wide_tables_are_recognised(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.csv"
    names = [f"neuron number {index}" for index in range(900)]
    pd.DataFrame(np.random.default_rng(1).normal(size=(12, 900)), columns=names).to_csv(
        path, index=False
    )
    assert traces.sniff(head(path), path)
    assert read(path, rate_hz=5)[0]["traces"].sizes["channel"] == 900


OTHERS = {
    "participants": "participant_id\tage\n" + "1\t31.5\n" * 20,
    "events": "onset,duration\n" + "1.5,2.5\n" * 20,
    "nodes": "id,x,y,z\n" + "1,2.5,3.5,4.5\n" * 20,
    "few rows": "score,height\n1.5,2.5\n3.5,4.5\n",
    "whole numbers": "a,b\n" + "1,2\n" * 20,
    "texts": "a,b\n" + "1.5,left\n" * 20,
    "ragged": "a,b\n1.5,2.5\n1.5\n" * 10,
    "edges": "pre,post,synapses\n" + "1,2,5.5\n" * 20,
    "matrix": "0 1.5 2\n1.5 0 3\n2 3 0\n",
}


@pytest.mark.parametrize("story", OTHERS)
def test_other_tables_are_left(story: str, tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text(OTHERS[story])
    assert not traces.sniff(head(path), path)


def test_graph_readers_leave_traces_and_come_first(tmp_path: Path) -> None:
    for count in (1, 2, 3, 4):
        path = tmp_path / f"synthetic{count}.csv"
        values = np.random.default_rng(1).normal(size=(N, count)).round(3)
        table = pd.DataFrame(values, columns=[f"roi{n}" for n in range(count)])
        table.insert(0, "time_s", np.arange(N) / 10)
        table.to_csv(path, index=False)
        assert not edgelist.sniff(head(path), path)
        assert not adjacency.sniff(head(path), path)
        assert traces.sniff(head(path), path)


def test_samples_are_recognised_as_before(samples: Path) -> None:
    for path in samples.rglob("*"):
        if path.suffix in traces.SUFFIXES and traces.sniff(head(path), path):
            names = [name for name in TABLE if name != "traces"]
            assert any(reader(name).sniff(head(path), path) for name in names), path
