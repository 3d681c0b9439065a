"""Tables of connections and synapses as text and Feather, against pandas and pyarrow."""

from __future__ import annotations

import gzip
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas
import pyarrow
import pyarrow.feather
import pytest
import xarray as xr

from neurodata import schema
from neurodata.declare import Declared
from neurodata.errors import (
    InvalidInputError,
    MissingFactError,
    UnreadableError,
    UnsafeError,
)
from neurodata.readers import connections, reader
from neurodata.recognise import recognise
from neurodata.safe import Raw, head
from neurodata.sources import scan
from tests.readers.conformance import ReaderTests, flip_bits

COUNT: dict[str, Any] = {"weight_units": "count"}
BIG = 720575940621039145
REGIONS = [
    (BIG, BIG + 1, "EB", 3),
    (BIG, BIG + 1, "PB", 4),
    (BIG + 1, 12, "EB", 9),
    (12, 12, "", 1),
]


def table(rows: list[tuple[Any, ...]], header: str) -> str:
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


def by_region(path: Path, rows: list[tuple[Any, ...]] = REGIONS) -> Path:
    """A synthetic table of connections by region, in the hemibrain's columns."""
    path.write_text(table(rows, "bodyId_pre,bodyId_post,roi,weight"))
    return path


def synapses(path: Path) -> Path:
    """Synthetic synapses with their places, as Feather of two batches."""
    ids = np.array([[BIG, BIG + 1], [BIG, BIG + 1], [BIG + 1, 12]] * 20)
    places = np.random.default_rng(3).integers(0, 10**6, (60, 3))
    frame = pandas.DataFrame(ids, columns=["pre_pt_root_id", "post_pt_root_id"])
    frame[["x", "y", "z"]] = places
    frame["neuropil"] = pandas.Categorical(["EB", "PB", "EB"] * 20)
    pyarrow.feather.write_feather(frame, path, chunksize=40, compression="lz4")
    return path


def raw_of(path: Path) -> Raw:
    folder = sorted(p for p in path.parent.rglob("*") if p.is_file())
    return Raw(path.parent, connections.members(path, folder))


def read(path: Path, **facts: Any) -> tuple[xr.Dataset, str]:
    """Return the graph and the findings as one text."""
    raw = raw_of(path)
    facts = {**COUNT, **{key.replace("__", "."): value for key, value in facts.items()}}
    tree = connections.read(raw, Declared(facts))
    assert [p for p in schema.check(tree) if p.level == "error"] == []
    return tree["graph"].to_dataset(), "\n".join(map(str, raw.problems))


def edges_of(node: xr.Dataset, *names: str) -> list[tuple[Any, ...]]:
    ids = node["node_id"].values
    ends = ids[node["source"].values].tolist(), ids[node["target"].values].tolist()
    return list(zip(*ends, *(node[name].values.tolist() for name in names), strict=True))


class TestText(ReaderTests):
    reader = connections
    nodes: ClassVar = {"graph": "graph"}
    declare: ClassVar = COUNT
    lazy = ()
    truncation_shows = False  # after a whole line

    def make(self, folder: Path) -> Path:
        return by_region(folder / "synthetic.csv")


class TestPacked(ReaderTests):
    reader = connections
    nodes: ClassVar = {"graph": "graph"}
    declare: ClassVar = COUNT
    lazy = ()

    def make(self, folder: Path) -> Path:
        plain = by_region(folder / "synthetic.csv")
        path = folder / "synthetic.csv.gz"
        path.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
        plain.unlink()
        return path


class TestFeather(ReaderTests):
    reader = connections
    nodes: ClassVar = {"graph": "graph"}
    declare: ClassVar = {"units.position": "nm"}
    lazy = ()

    def make(self, folder: Path) -> Path:
        return synapses(folder / "synthetic.feather")

    def test_bit_flips(self, path: Path) -> None:
        flip_bits(path, 300, lambda: self.read(path).load())


# what is read


def test_rows_by_region_stay_apart(tmp_path: Path) -> None:
    node, findings = read(by_region(tmp_path / "synthetic.csv"))
    assert node["node_id"].values.tolist() == ["12", str(BIG), str(BIG + 1)]
    assert edges_of(node, "roi", "weight") == [
        ("12", "12", "", 1), (str(BIG), str(BIG + 1), "EB", 3), (str(BIG), str(BIG + 1), "PB", 4),
        (str(BIG + 1), "12", "EB", 9),
    ]  # fmt: skip
    assert (node.attrs["directed"], node.attrs["weight_units"]) == (1, "count")
    assert "1 rows more than pairs of neurons" in findings
    assert "1 from a node to itself" in findings
    assert "repeat" not in findings


def test_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    one, _ = read(by_region(tmp_path / "synthetic.csv"))
    other, _ = read(by_region(tmp_path / "a/synthetic.csv", REGIONS[::-1]))
    xr.testing.assert_identical(one, other)


def test_a_long_table_equals_pandas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurodata.safe_columns.BLOCK_BYTES", 4096)
    random = np.random.default_rng(1)
    ids = BIG + random.integers(0, 300, (5000, 2))
    rows = [(a, b, "LOP_R", n, 0.5) for n, (a, b) in enumerate(ids)]
    path = tmp_path / "synthetic.csv.gz"
    text = table(rows, "pre_root_id,post_root_id,neuropil,syn_count,gaba")
    path.write_bytes(gzip.compress(text.encode()))
    node, findings = read(path)
    frame = pandas.read_csv(path)
    found = edges_of(node, "weight")
    expected = frame[["pre_root_id", "post_root_id", "syn_count"]].astype("O").values.tolist()
    assert sorted((int(a), int(b), w) for a, b, w in found) == sorted(map(tuple, expected))
    assert "left out: gaba" in findings


@pytest.mark.parametrize("unit", [{"units__position": "nm"}, {"voxel_um": [0.04, 0.004, 0.004]}])
def test_places_of_synapses_in_micrometres(unit: dict[str, Any], tmp_path: Path) -> None:
    path = synapses(tmp_path / "synthetic.feather")
    with pytest.raises(MissingFactError, match=re.escape("--set 'units.*=um|nm|...'")):
        read(path)
    node, findings = read(path, **unit)
    step = [1e-3] * 3 if "voxel_um" not in unit else [4e-3, 4e-3, 4e-2]
    assert node["edge_position"].attrs == {"units": "um"}
    frame = pandas.read_feather(path)
    ids = frame[["pre_pt_root_id", "post_pt_root_id"]].astype(str).values.tolist()
    places = (frame[["x", "y", "z"]].values * step).tolist()
    expected = sorted((*pair, roi, place) for pair, roi, place in
                      zip(ids, frame["neuropil"], places, strict=True))  # fmt: skip
    found = sorted(edges_of(node, "roi", "edge_position"))
    assert [row[:3] for row in found] == [row[:3] for row in expected]
    np.testing.assert_allclose([row[3] for row in found], [row[3] for row in expected])
    assert "weight" not in node
    assert "no weights" not in findings


def test_several_places_are_asked_about(tmp_path: Path) -> None:
    header = "pre_root_id,post_root_id,pre_x,pre_y,pre_z,post_x,post_y,post_z"
    path = tmp_path / "synthetic.csv"
    path.write_text(table([(1, 2, 3, 4, 5, 6, 7, 8)], header))
    with pytest.raises(MissingFactError, match=r"columns\.position=pre_x,pre_y,pre_z"):
        read(path, units__position="nm")
    node, _ = read(path, units__position="nm", columns__position="post_x,post_y,post_z")
    np.testing.assert_allclose(node["edge_position"], [[6e-3, 7e-3, 8e-3]])


def test_columns_of_other_names_are_declared(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.feather"
    frame = pandas.DataFrame({"a": [1, 2], "b": [2, 3], "n": [5, 6], "t": ["x", "y"]})
    pyarrow.feather.write_feather(frame, path, compression="zstd")
    with pytest.raises(MissingFactError, match=r"columns\.source=a.*columns\.target=b"):
        read(path)
    names = {"source": "a", "target": "b", "weight": "n", "kind": "t"}
    node, _ = read(path, **{f"columns__{role}": name for role, name in names.items()})
    assert edges_of(node, "weight", "kind") == [("1", "2", 5, "x"), ("2", "3", 6, "y")]
    with pytest.raises(InvalidInputError, match="'m'"):
        read(path, columns__source="a", columns__target="b", columns__weight="m")


# neurons and totals


def hemibrain(folder: Path, total: int = 7) -> Path:
    """Synthetic tables under the names of the hemibrain's."""
    neurons = [(12, "PFNd", "PFNd_R"), (BIG + 1, "Delta7", "D7, left"), (BIG, "EPG", "EPG(PB08)")]
    rows = [(a, b, f'"{c}"') for a, b, c in neurons]
    (folder / "traced-neurons.csv").write_text(table(rows, "bodyId,type,instance"))
    totals = [(BIG, BIG + 1, total), (BIG + 1, 12, 9), (12, 12, 1)]
    (folder / "traced-total-connections.csv").write_text(
        table(totals, "bodyId_pre,bodyId_post,weight")
    )
    return by_region(folder / "traced-roi-connections.csv")


def test_neurons_are_joined_by_id(tmp_path: Path) -> None:
    node, findings = read(hemibrain(tmp_path))
    assert node["node_id"].values.tolist() == ["12", str(BIG + 1), str(BIG)]
    assert node["type"].values.tolist() == ["PFNd", "Delta7", "EPG"]
    assert node["instance"].values.tolist() == ["PFNd_R", "D7, left", "EPG(PB08)"]
    assert (str(BIG), str(BIG + 1), "PB", 4) in edges_of(node, "roi", "weight")
    assert "3 totals, each the sum over its regions" in findings


def test_all_tables_make_one_recording(tmp_path: Path) -> None:
    path = hemibrain(tmp_path)
    found, problems = recognise(scan(tmp_path))
    assert [(item.reader, item.files[0], len(item.files)) for item in found] == [
        ("connections", path, 3)
    ]
    assert problems == []
    alone = tmp_path / "traced-total-connections.csv"
    assert connections.members(alone, sorted(tmp_path.iterdir())) == (
        alone, tmp_path / "traced-neurons.csv",
    )  # fmt: skip


def test_totals_unlike_the_sums_are_found(tmp_path: Path) -> None:
    _, findings = read(hemibrain(tmp_path, total=8))
    wanted = f"1 of 3 totals unlike the sums over regions, e.g. {BIG} to {BIG + 1}: 8 in total, 7"
    assert wanted in findings


@pytest.mark.parametrize("form", ["csv.gz", "feather"])
def test_neurons_in_other_containers(form: str, tmp_path: Path) -> None:
    path = by_region(tmp_path / "synthetic.csv")
    frame = pandas.DataFrame(
        {"bodyId": [BIG + 1, BIG, 12], "size": [1.5, 2, 3], "type": list("abc")}
    )
    other = tmp_path / f"neurons.{form}"
    if form == "feather":
        pyarrow.feather.write_feather(frame, other)
    else:
        frame.to_csv(other, index=False)
    node, _ = read(path)
    assert node["node_id"].values.tolist() == [str(BIG + 1), str(BIG), "12"]
    assert node["size"].values.tolist() == [1.5, 2, 3]
    assert node["type"].values.tolist() == ["a", "b", "c"]


def test_ids_that_are_no_neurons_are_listed(tmp_path: Path) -> None:
    path = hemibrain(tmp_path)
    (tmp_path / "traced-neurons.csv").write_text("bodyId,type\n12,a\n")
    with pytest.raises(UnreadableError, match=f"2 ids that traced-neurons.csv lacks: {BIG}, "):
        read(path)
    (tmp_path / "traced-neurons.csv").write_text("bodyId,type\n12,a\n12,b\n")
    with pytest.raises(UnreadableError, match="ids that repeat"):
        read(path)


def test_several_tables_of_neurons_are_asked_about(tmp_path: Path) -> None:
    path = hemibrain(tmp_path)
    (tmp_path / "cells.csv").write_text(f"bodyId,size\n12,1\n{BIG},2\n{BIG + 1},3\n")
    with pytest.raises(MissingFactError, match=re.escape("columns.node=cells.csv#bodyId")):
        read(path)
    node, _ = read(path, columns__node="cells.csv#bodyId")
    assert node["size"].values.tolist() == [1, 2, 3]
    with pytest.raises(InvalidInputError, match="tables that fit: none"):
        read(path, columns__node="cells.csv#id")


# what is refused


@pytest.mark.parametrize(("rows", "found"), [
    ([("7.2e17", 1, "EB", 3)], "'7.2e17'"),
    ([("12.0", 1, "EB", 3)], "'12.0'"),
    ([(-1, 1, "EB", 3)], "'-1'"),
    ([("", 1, "EB", 3)], "''"),
    ([(1, 2, "EB", "")], "''"),
    ([(1, 2, "EB", "nan")], "'nan'"),
    ([(1, 2, "EB", "1e999")], "inf"),
    ([(1, 2, "EB")], "no whole table"),
    ([(1, 2, "EB", 3, 4)], "no whole table"),
    ([(10**21, 2, "EB", 3)], "'1000000000000000000000'"),
    ([], "a header alone"),
])  # fmt: skip
def test_damaged_rows_are_refused(rows: list[Any], found: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=re.escape(found)):
        read(by_region(tmp_path / "synthetic.csv", rows))


def test_ids_over_64_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="ids below"):
        read(by_region(tmp_path / "synthetic.csv", [(2**64, 2, "EB", 3)]))
    node, _ = read(by_region(tmp_path / "synthetic.csv", [(2**64 - 1, 2, "EB", 3)]))
    assert node["node_id"].values.tolist() == ["2", str(2**64 - 1)]


@pytest.mark.parametrize(("values", "found"), [
    ([float(BIG), 1.0], "a float rounds them"), ([None, 1.0], "nothing"), ([-1, 1], "-1"),
    (["a", "b"], "'a'"), ([b"a", b"b"], "binary"),
])  # fmt: skip
def test_feather_ids_that_are_none(values: list[Any], found: str, tmp_path: Path) -> None:
    path = tmp_path / "synthetic.feather"
    columns = {"bodyId_pre": values, "bodyId_post": [1, 2], "weight": [1, 2]}
    pyarrow.feather.write_feather(pyarrow.table(columns), path)
    with pytest.raises(UnreadableError, match=found):
        read(path)


def test_a_last_line_without_its_end_is_refused(tmp_path: Path) -> None:
    path = by_region(tmp_path / "synthetic.csv")
    path.write_text(path.read_text()[:-1])
    with pytest.raises(UnreadableError, match="a last line without its end"):
        read(path)


def test_copies_of_rows_and_ids_of_nothing_are_found(tmp_path: Path) -> None:
    _, findings = read(by_region(tmp_path / "synthetic.csv", [*REGIONS, REGIONS[0], (0, 1, "", 2)]))
    assert "1 rows that repeat another's neurons and roi" in findings
    assert "1 with the id 0" in findings


def patched(change: Callable[[bytearray], None], path: Path) -> Path:
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)
    return path


def test_a_buffer_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    path = synapses(tmp_path / "synthetic.feather")
    whole = path.read_bytes()
    stated = struct.pack("<q", 40 * 8)  # what the first column of the first batch unpacks to
    assert stated in whole

    def change(data: bytearray) -> None:
        at = bytes(data).index(stated, bytes(data).index(b"\x04\x22\x4d\x18") - 8)
        data[at : at + 8] = struct.pack("<q", 2**40)

    with pytest.raises(UnsafeError, match="unpacked"):
        read(patched(change, path), units__position="nm")


def test_a_packed_text_of_zeros_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.csv.gz"
    start = b"bodyId_pre,bodyId_post,weight\n"
    path.write_bytes(gzip.compress(start + b"1,2,3\n" * 5 * 10**6))
    with pytest.raises(UnsafeError, match="far more text"):
        read(path)


@pytest.mark.parametrize("text", [
    "pre,post,weight\n1,2,3\n", "bodyId,type\n1,a\n", "bodyId_pre bodyId_post\n1 2\n",
    "bodyId_pre,bodyId_post\n",
])  # fmt: skip
def test_other_tables_are_left_alone(text: str, tmp_path: Path) -> None:
    path = tmp_path / "synthetic.csv"
    path.write_text(text)
    assert not connections.sniff(head(path), path)


def test_it_is_asked_before_other_readers_of_text() -> None:
    assert reader("connections") is connections


@pytest.mark.acceptance
def test_places_of_hemibrain_synapses_are_no_connections(realdata: Path) -> None:
    path = realdata / "fixtures/connectome/navis_hemibrain/synapses/1734350788.csv"
    assert not connections.sniff(head(path), path)
