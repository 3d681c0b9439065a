"""Text files of spike times: nitime's grasshopper recordings, and files that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, MissingFactError, UnreadableError
from neurodata.readers import spike_text
from neurodata.safe import Raw, head
from tests.readers.conformance import PersonalTests

CANARY = "Zdenka Canary"


def read(path: Path, **facts: Any) -> xr.DataTree:
    return spike_text.read(Raw(path.parent, (path,)), Declared(facts))


class TestSpikeText(PersonalTests):
    reader = spike_text
    nodes: ClassVar = {"spikes": "spikes"}
    declare: ClassVar = {"time_units": "us", "stop_s": 10}
    lazy = ()
    truncation_shows = False  # nothing says how many spikes there were
    canary = CANARY

    def make(self, folder: Path) -> Path:
        times = np.cumsum(np.random.default_rng(2).integers(900, 9000, 900))
        path = folder / "synthetic.txt"
        path.write_text(f"# {CANARY}\n" + "".join(f"{time}\n" for time in times))
        return path


@pytest.mark.parametrize(("number", "count", "last"), [(1, 929, 9999300), (2, 868, 9977600)])
def test_grasshopper_equals_plain_numbers(
    realdata: Path, number: int, count: int, last: int
) -> None:
    folder = realdata / "fixtures" / "spikes" / "nitime_grasshopper"
    path = folder / f"grasshopper_spike_times{number}.txt"
    wanted = np.loadtxt(path) * 1e-6
    assert spike_text.sniff(head(path), path)
    with pytest.raises(MissingFactError, match=r"time_units=s\|ms\|us"):
        read(path)
    node = read(path, time_units="us", start_s=0, stop_s=10)["spikes"]
    np.testing.assert_allclose(node["time_s"].values, wanted, rtol=1e-15)
    assert node.sizes["spike"] == count
    assert node["time_s"].values[-1] == pytest.approx(last * 1e-6)
    assert node["unit_id"].values.tolist() == ["1"]  # names of files may be those of persons
    assert (node.attrs["start_s"], node.attrs["stop_s"]) == (0.0, 10.0)


@pytest.mark.parametrize(("unit", "factor"), [("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("min", 60)])
def test_declared_units(tmp_path: Path, unit: str, factor: float) -> None:
    path = tmp_path / "synthetic.txt"
    path.write_text("1.5\n2\n2\n1e1\n")
    wanted = np.array([1.5, 2, 2, 10]) * factor
    np.testing.assert_allclose(read(path, time_units=unit)["spikes"]["time_s"].values, wanted)


def test_a_unit_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.txt"
    path.write_text("1\n2\n")
    with pytest.raises(InvalidInputError, match="unit of time"):
        read(path, time_units="mV")


@pytest.mark.parametrize(
    "text", ["", "# only comments\n", "1\n0.5\n", "-1\n2\n", "1\nnan\n", "1\ninf\n", "1\n2 3\n",
             "1\n1e999\n", "one\n", "1\n\n# x\n0\n"],
)  # fmt: skip
def test_what_is_no_train_of_spikes_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "synthetic.txt"
    path.write_text(text)
    with pytest.raises(UnreadableError):
        read(path, time_units="ms")


def test_spikes_beyond_the_declared_span_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.txt"
    path.write_text("1\n2\n")
    with pytest.raises(UnreadableError, match="span"):
        read(path, time_units="s", stop_s=1.5)


@pytest.mark.parametrize(
    "text", ["1\n" * 20, "".join(f"{n}\n" for n in range(50)), "3\n2\n1\n" * 9, "0.5 1\n" * 20],
)  # fmt: skip
def test_other_columns_of_numbers_are_left(tmp_path: Path, text: str) -> None:
    path = tmp_path / "column.txt"
    path.write_text(text)
    assert not spike_text.sniff(head(path), path)
