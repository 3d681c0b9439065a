"""Folders of phy: synthetic ones in the native layout, against plain NumPy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import MissingFactError, UnreadableError, UnsafeError
from neurodata.readers import phy
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests, attempt

CANARY = "Zdenka Canary"
PARAMS = f"""dat_path = '/data/{CANARY}/synthetic.dat'
n_channels_dat = 4
dtype = 'int16'
offset = 0
sample_rate = 30000.
hp_filtered = False
"""


def raw_of(path: Path) -> Raw:
    return Raw(path.parent, phy.members(path, sorted(path.parent.iterdir())))


def read(path: Path, **facts: Any) -> xr.DataTree:
    return phy.read(raw_of(path), Declared(facts))


def write(folder: Path, count: int = 300) -> Path:
    """Write a synthetic folder of three clusters, 2, 5 and 9."""
    random = np.random.default_rng(6)
    cluster = random.choice([2, 5, 9], count).astype("i4")
    template = np.where(cluster == 9, 1, cluster % 2 * 2).astype("u4")  # 2: 0, 5: 2, 9: 1
    np.save(folder / "spike_times.npy", np.sort(random.integers(0, 90_000, count))[:, None])
    np.save(folder / "spike_clusters.npy", cluster)
    np.save(folder / "spike_templates.npy", template[:, None])
    np.save(folder / "amplitudes.npy", random.uniform(1, 9, count))
    templates = np.zeros((3, 20, 4), "f4")
    templates[0, 5, 1], templates[1, 5, 3], templates[2, 5, 0] = -2, 7, -1
    np.save(folder / "templates.npy", templates)
    np.save(folder / "channel_map.npy", np.array([10, 11, 12, 13]))
    np.save(folder / "pc_features.npy", np.zeros((count, 2), "f4"))
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n2\tgood\n5\tmua\n7\tnoise\n")
    rows = [f"{one}\t{(cluster == one).sum()}\t{one * 10}.5\t{CANARY}" for one in (2, 5, 9)]
    head = "cluster_id\tn_spikes\tdepth\tnotes\n"
    (folder / "cluster_info.tsv").write_text(head + "\n".join(rows) + "\n")
    path = folder / "params.py"
    path.write_text(PARAMS)
    return path


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda whole: whole.replace(old, new)


LIES = {
    "rate of 0": swap(b"30000.", b"0"),
    "negative rate": swap(b"30000.", b"-30000."),
    "rate of nothing": swap(b"30000.", b"None"),
    "infinite rate": swap(b"30000.", b"1e999"),
    "rate over 1 MHz": swap(b"30000.", b"1e9"),
    "a rate that is true": swap(b"30000.", b"True"),
    "a rate that is text": swap(b"30000.", b"'30000'"),
    "a call": swap(b"30000.", b"float('30000')"),
    "an import": lambda whole: b"import os\n" + whole,
    "a sum": swap(b"30000.", b"[1][0]"),
    "a second rate": lambda whole: whole + b"sample_rate = 25000.\n",
    "no Python": lambda whole: whole + b"= =\n",
    "a zero byte": lambda whole: whole + b"\0",
    "deep brackets": lambda whole: whole + b"a = " + b"[" * 30_000 + b"\n",
    "deep signs": lambda whole: whole + b"a = " + b"-" * 30_000 + b"1\n",
}


class TestPhy(HeaderTests, PersonalTests):
    reader = phy
    nodes: ClassVar = {"spikes": "spikes"}
    lazy = ()
    lies = LIES
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return write(folder)

    def victims(self, path: Path) -> tuple[Path, ...]:
        return tuple(path.parent / name for name in phy.READ)


def test_units_equal_numpy(tmp_path: Path) -> None:
    path = write(tmp_path)
    node = read(path)["spikes"]
    sample, cluster, amplitude = (
        np.load(tmp_path / f"{name}.npy").ravel()
        for name in ("spike_times", "spike_clusters", "amplitudes")
    )
    assert node["unit_id"].values.tolist() == ["2", "5", "9"]
    splits = node["row_splits"].values
    for row, one in enumerate((2, 5, 9)):
        own = slice(splits[row], splits[row + 1])
        assert node["time_s"].values[own].tolist() == (sample[cluster == one] / 30000).tolist()
        assert node["amplitude"].values[own].tolist() == amplitude[cluster == one].tolist()
        assert set(node["template"].values[own].tolist()) == {{2: 0, 5: 2, 9: 1}[one]}
    assert node["group"].values.tolist() == ["good", "mua", ""]
    assert node["depth"].values.tolist() == [20.5, 50.5, 90.5]
    assert node["peak_channel"].values.tolist() == [11, 10, 13]
    assert "notes" not in node
    assert "start_s" not in node.attrs


def test_params_are_never_run(tmp_path: Path) -> None:
    path = write(tmp_path)
    marker = tmp_path / "marker"
    path.write_text(PARAMS + f"open({str(marker)!r}, 'w').write('ran')\n")
    with pytest.raises(UnreadableError, match="not run"):
        read(path)
    path.write_text(PARAMS.replace("30000.", f"__import__('os').mkdir({str(marker)!r})"))
    with pytest.raises(UnreadableError, match="not run"):
        read(path)
    assert not marker.exists()


def test_a_rate_can_be_declared(tmp_path: Path) -> None:
    path = write(tmp_path)
    before = read(path)["spikes"]["time_s"].values
    path.write_text(PARAMS.replace("sample_rate", "other"))
    with pytest.raises(MissingFactError, match="rate_hz=<Hz>"):
        read(path)
    np.testing.assert_allclose(read(path, rate_hz=15000)["spikes"]["time_s"].values, 2 * before)


def test_the_raw_recording_tells_the_span(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "synthetic.dat").write_bytes(bytes(90_000 * 8))
    node = read(path)["spikes"]
    assert (node.attrs["start_s"], node.attrs["stop_s"]) == (0.0, 3.0)
    (tmp_path / "synthetic.dat").write_bytes(bytes(80_000 * 8))
    with pytest.raises(UnreadableError, match="span"):
        read(path)
    (tmp_path / "synthetic.dat").write_bytes(bytes(90_000 * 8 - 1))
    with pytest.raises(UnreadableError, match="719999 bytes"):
        read(path)


def test_a_span_can_be_declared(tmp_path: Path) -> None:
    node = read(write(tmp_path), stop_s=60)["spikes"]
    assert (node.attrs["start_s"], node.attrs["stop_s"]) == (0.0, 60.0)


def test_paths_in_params_are_never_opened(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    path = write(folder)
    (tmp_path / "outside.dat").write_bytes(bytes(8))
    path.write_text(PARAMS.replace(f"/data/{CANARY}/synthetic.dat", "../outside.dat"))
    assert "start_s" not in read(path)["spikes"].attrs
    assert all(p.parent == folder for p in raw_of(path).files)


def test_templates_stand_for_missing_clusters(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "spike_clusters.npy").unlink()
    (tmp_path / "cluster_info.tsv").unlink()
    assert read(path)["spikes"]["unit_id"].values.tolist() == ["0", "1", "2"]
    (tmp_path / "spike_templates.npy").unlink()
    with pytest.raises(UnreadableError, match=r"no spike_clusters\.npy"):
        read(path)


def test_sparse_templates_name_their_channels(tmp_path: Path) -> None:
    path = write(tmp_path)
    np.save(tmp_path / "templates_ind.npy", np.array([[3, 2, 1, 0]] * 3))
    assert read(path)["spikes"]["peak_channel"].values.tolist() == [12, 13, 10]


@pytest.mark.parametrize(
    ("name", "array"),
    [("spike_times", np.zeros(300)), ("spike_times", np.zeros((300, 2), "i8")),
     ("spike_clusters", np.zeros(299, "i4")), ("spike_clusters", np.full(300, -1)),
     ("spike_templates", np.full(300, 3)), ("amplitudes", np.zeros(3)),
     ("templates", np.zeros((3, 4), "f4")), ("channel_map", np.array([1, 2]))],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, name: str, array: Any) -> None:
    path = write(tmp_path)
    np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(UnreadableError):
        read(path)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    np.save(tmp_path / "spike_clusters.npy", np.array([{}] * 300, object), allow_pickle=True)
    with pytest.raises(UnsafeError, match="pickled"):
        read(path)


@pytest.mark.parametrize(
    "table",
    ["group\ngood\n", "cluster_id\tgroup\n2\tgood\n2\tmua\n", "cluster_id\tgroup\nx\tgood\n"],
)
def test_tables_that_list_no_clusters_are_refused(tmp_path: Path, table: str) -> None:
    path = write(tmp_path)
    (tmp_path / "cluster_group.tsv").write_text(table)
    with pytest.raises(UnreadableError, match=r"cluster_group\.tsv"):
        read(path)


def test_counts_that_differ_are_told(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "cluster_info.tsv").write_text("cluster_id\tn_spikes\n2\t1\n")
    raw = raw_of(path)
    phy.read(raw, Declared())
    assert any(p.level == "warning" and "n_spikes" in p.found for p in raw.problems)


def test_blocks_and_disorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phy, "BLOCK_SPIKES", 7)
    path = write(tmp_path)
    wanted = read(path)["spikes"]["time_s"].values
    times, random = np.load(tmp_path / "spike_times.npy"), np.random.default_rng(1)
    order = random.permutation(len(times))
    for name in ("spike_times", "spike_clusters", "spike_templates", "amplitudes"):
        np.save(tmp_path / f"{name}.npy", np.load(tmp_path / f"{name}.npy")[order])
    raw = raw_of(path)
    np.testing.assert_array_equal(phy.read(raw, Declared())["spikes"]["time_s"].values, wanted)
    assert any("out of order" in problem.found for problem in raw.problems)


@pytest.mark.parametrize("name", ["params.py", *phy.READ])
def test_damaged_files_give_no_foreign_exception(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, 40)
    whole = (tmp_path / name).read_bytes()
    random = np.random.default_rng(7)
    for _ in range(50):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] ^= 1 << random.integers(8)
        (tmp_path / name).write_bytes(damaged)
        attempt(lambda: read(path).load())
