"""Morphologies: real neurons against a parse of their own, trees, units and damage."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, MissingFactError, UnreadableError
from neurodata.readers import swc
from neurodata.safe import Raw, head
from tests.readers.conformance import PersonalTests

UM = {"units.*": "um"}
CELL = "1 1 10 20 30 5 -1\n2 3 11 20 30 1.5 1\n3 3 12 20 30 1 2\n4 0 11 21.25 30 0.5 2\n"


def open_raw(path: Path) -> Raw:
    return Raw(path.parent, (path,))


def read(path: Path, facts: dict[str, Any] | None = None) -> xr.DataTree:
    return swc.read(open_raw(path), Declared(UM if facts is None else facts))


def write(folder: Path, text: str, name: str = "synthetic.swc") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def points(path: Path) -> dict[int, tuple[int, list[float], float, int]]:
    """Type, coordinates, radius and parent of each point, read here and not by the project."""
    found = {}
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            cells = line.split()
            found[int(cells[0])] = (
                int(cells[1]), [float(c) for c in cells[2:5]], float(cells[5]), int(cells[6])
            )  # fmt: skip
    return found


class TestSwc(PersonalTests):
    reader = swc
    nodes: ClassVar = {"graph": "graph"}
    declare = UM
    lazy = ()
    truncation_shows = False
    canary = "Zebulon Canary"

    def make(self, folder: Path) -> Path:
        return write(
            folder, f"# traced by {self.canary}\n# ORIGINAL_SOURCE C:/{self.canary}\n{CELL}"
        )


HEMIBRAIN = "connectome/navis_hemibrain/swc"
ALLEN = "acceptance/microscopy/allensdk_swc"


@pytest.mark.acceptance
@pytest.mark.parametrize(("path", "count", "roots", "undefined", "last_um"), [
    (f"fixtures/{HEMIBRAIN}/1734350788.swc", 4465, 1, 3248, (122.112, 294.96, 226.256)),
    (f"acceptance/{HEMIBRAIN}/1734350908.swc", 4847, 1, 3351, (127.76, 290.896, 184.352)),
    (f"acceptance/{HEMIBRAIN}/722817260.swc", 4332, 1, 3043, (41.248, 185.632, 121.184)),
    (f"acceptance/{HEMIBRAIN}/754534424.swc", 4696, 1, 3274, (122.0, 284.528, 183.264)),
    (f"acceptance/{HEMIBRAIN}/754538881.swc", 4881, 2, 3613, (137.04, 284.688, 204.848)),
])  # fmt: skip
def test_hemibrain_neurons(
    realdata: Path, path: str, count: int, roots: int, undefined: int, last_um: tuple[float, ...]
) -> None:
    raw = open_raw(realdata / path)
    node = swc.read(raw, Declared({"voxel_um": [0.008, 0.008, 0.008]}))["graph"]
    expected = points(realdata / path)
    assert dict(node.sizes) == {"node": count, "edge": count - roots, "split": count + 1, "axis": 3}
    assert node["node_id"].values.tolist() == [str(point) for point in expected]
    position = np.array([xyz for _, xyz, _, _ in expected.values()])
    np.testing.assert_allclose(node["position"].values, position * 0.008, rtol=1e-15)
    np.testing.assert_allclose(node["position"].values[-1], last_um, rtol=1e-12)
    assert node["type"].values.tolist() == [kind for kind, _, _, _ in expected.values()]
    np.testing.assert_allclose(
        node["radius"].values, [r * 0.008 for _, _, r, _ in expected.values()], rtol=1e-15
    )
    names = node["node_id"].values
    edges = zip(names[node["source"].values], names[node["target"].values], strict=True)
    parents = {str(point): str(parent) for point, (_, _, _, parent) in expected.items()}
    assert dict(edges) == {point: parent for point, parent in parents.items() if parent != "-1"}
    assert any(
        p.found == f"{undefined} of {count} points of type 0, undefined" for p in raw.problems
    )
    assert any(p.found == f"{roots} trees" for p in raw.problems) == (roots > 1)


@pytest.mark.acceptance
@pytest.mark.parametrize(("name", "count", "types"), [
    ("Pvalb-IRES-Cre_Ai14_IVSCC_-172096.04.02.01_471781218_m.swc", 3422, {1: 1, 2: 8, 3: 3413}),
    ("Scnn1a-Tg3-Cre_Ai14-177297.06.01.01_491120155_m.swc", 2592, {1: 1, 2: 21, 3: 1579, 4: 991}),
    ("Scnn1a-Tg3-Cre_Ai14_IVSCC_-170426.03.01.01_328933585_m.swc", 3429,
     {1: 1, 2: 11, 3: 1765, 4: 1652}),
])  # fmt: skip
def test_mouse_cells(realdata: Path, name: str, count: int, types: dict[int, int]) -> None:
    path = realdata / ALLEN / name
    raw = open_raw(path)
    node = swc.read(raw, Declared(UM))["graph"]
    expected = points(path)
    assert node.sizes["node"] == count == node.sizes["edge"] + 1
    np.testing.assert_array_equal(
        node["position"].values, [xyz for _, xyz, _, _ in expected.values()]
    )
    found = dict(zip(*np.unique(node["type"].values, return_counts=True), strict=True))
    assert found == types
    assert not re.search("alexh|Aibsdata|Desktop", str([node.attrs, raw.problems]))
    assert any("removed" in p.found for p in raw.problems)
    with pytest.raises(MissingFactError, match=re.escape("--set 'units.*=um|nm|...'")):
        read(path, {})


# units


def test_units_and_voxels(tmp_path: Path) -> None:
    path = write(tmp_path, CELL)
    here = read(path)["graph"]
    assert (here["position"].attrs, here["radius"].attrs) == ({"units": "um"}, {"units": "um"})
    np.testing.assert_allclose(here["position"].values[3], [11, 21.25, 30])
    nano = read(path, {"units.*": "nm"})["graph"]
    np.testing.assert_allclose(nano["position"].values, here["position"].values / 1000)
    np.testing.assert_allclose(nano["radius"].values, here["radius"].values / 1000)
    raw = open_raw(path)
    voxels = swc.read(raw, Declared({"voxel_um": [2, 0.5, 0.25]}))["graph"]
    np.testing.assert_allclose(voxels["position"].values[3], [11 * 0.25, 21.25 * 0.5, 60])
    assert "radius" not in voxels
    assert any(p.level == "warning" and "unequal" in p.found for p in raw.problems)


@pytest.mark.parametrize("facts", [
    {"units.*": "um", "voxel_um": [1, 1, 1]}, {"units.*": "mV"}, {"voxel_um": [1, 0, 1]},
    {"voxel_um": [1, 1]},
])  # fmt: skip
def test_units_that_are_none(facts: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        read(write(tmp_path, CELL), facts)


def test_a_scale_in_a_comment_is_told(tmp_path: Path) -> None:
    raw = open_raw(write(tmp_path, "# SCALE 0.5 0.5 2.0\n" + CELL))
    swc.read(raw, Declared(UM))
    assert [p.found for p in raw.problems if p.level == "warning"] == ["SCALE 0.5 0.5 2.0"]


# trees


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_any_forest_comes_back(
    tmp_path_factory: pytest.TempPathFactory, draws: list[int], random: Any
) -> None:
    ids = random.sample(range(1, 1000), len(draws))
    parents = [ids[draw % n] if n and draw % 5 else -1 for n, draw in enumerate(draws)]
    lines = [f"{i} 0 {i}.5 0 0 1 {parent}" for i, parent in zip(ids, parents, strict=True)]
    random.shuffle(lines)
    path = tmp_path_factory.mktemp("synthetic") / "synthetic.swc"
    path.write_text("\n".join(lines) + "\n")
    node = read(path)["graph"]
    names = node["node_id"].values
    found = zip(names[node["source"].values], names[node["target"].values], strict=True)
    expected = {(str(i), str(p)) for i, p in zip(ids, parents, strict=True) if p != -1}
    assert set(found) == expected
    assert node["position"].values[:, 0].tolist() == [int(name) + 0.5 for name in names]


@pytest.mark.parametrize(("text", "where", "found"), [
    ("1 1 0 0 0 1 -1\n1 0 0 0 0 1 1\n", "", "the id 1 twice"),
    ("1 1 0 0 0 1 -1\n2 0 0 0 0 1 7\n", "", "1 points whose parent is missing, e.g. 7"),
    ("1 1 0 0 0 1 0\n", "", "whose parent is missing, e.g. 0"),
    ("1 1 0 0 0 1 -1\n2 0 0 0 0 1 3\n3 0 0 0 0 1 2\n", "", "2 points that lead to no root"),
    ("1 1 0 0 0 1 1\n", "", "1 points that lead to no root, e.g. 1"),
    ("1 1 0 0 0 1 -1\n2 0 0 0 0 1\n", "line 2", "6 values"),
    ("1 1 0 0 0 1 -1 9\n", "line 1", "8 values"),
    ("1 1 0 nan 0 1 -1\n", "column 4", "'nan'"),
    ("1 1 0 0 1e999 1 -1\n", "column 5", "out of range"),
    ("1 1 0 0 0 -2 -1\n", "", "a radius of -2"),
    ("1.5 1 0 0 0 1 -1\n", "", "the id 1.5"),
    ("1 axon 0 0 0 1 -1\n", "", "the type axon"),
    ("1 -3 0 0 0 1 -1\n", "", "the type -3"),
    ("# nothing\n", "", "no points"),
])  # fmt: skip
def test_damaged_morphologies_are_refused(
    text: str, where: str, found: str, tmp_path: Path
) -> None:
    with pytest.raises(UnreadableError) as caught:
        read(write(tmp_path, text))
    assert where in caught.value.where
    assert found in caught.value.found.replace("'", "") or found in caught.value.found


def test_long_chains_are_followed_to_the_root(tmp_path: Path) -> None:
    count = 5000
    lines = [f"{n} 0 0 0 {n} 1 {n - 1 or -1}" for n in range(count, 0, -1)]
    node = read(write(tmp_path, "\n".join(lines) + "\n"))["graph"]
    assert node.sizes["edge"] == count - 1


def test_ids_written_as_floats_and_tabs(tmp_path: Path) -> None:
    path = write(tmp_path, "1.0\t1.0\t1\t2\t3\t1\t-1.0\r\n2.0\t0.0\t1\t2\t4\t1\t1.0\r\n")
    assert swc.sniff(head(path), path)
    node = read(path)["graph"]
    assert node["node_id"].values.tolist() == ["1", "2"]


@pytest.mark.parametrize("text", [
    "0 1 2 3 4 5 6\n1 0 1 1 1 1 1\n", "1 1 1 1 1 1 1\n1 1 1 1 1 1 1\n", "a b c d e f g\n",
])  # fmt: skip
def test_other_tables_of_seven_columns(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, text, "numbers.txt")
    assert not swc.sniff(head(path), path)
