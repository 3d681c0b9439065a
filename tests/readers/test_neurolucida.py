"""Neurolucida's text and NeuroML 2: synthetic morphologies against SWC files of the same trees."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import UnknownFormatError, UnreadableError, UnsafeError
from neurodata.readers import neurolucida, neuroml, swc
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests, flip_bits

CANARY = "Zebulon Canary"

ASC = f"""; V3 text file written for MicroBrightField products by {CANARY}.
(Sections S1 "{CANARY}")
(Thumbnail (Cols 2) (Rows 1) 00ff00)
("CellBody"
  (Color Red) (Name "{CANARY}")
  (CellBody)
  (0 0 0 0.1) ; 1, 1
  (5.5 0 0 0.1)
  (5.5 5 0 0.1)
)
("Pia" (Color RGB (255, 0, 0)) (0 0 0 0) (9 9 9 0))
( (Color RGBA (0, 255, 0, 1))
  (Dendrite)
  (1 2 3 2.5)  ; Root
  (2 2 3 2 S1)
  <(2 3 3 0.2)>
  (FilledCircle (Color White) (Name "{CANARY}") (2 2 3 0))
  (
    (3 2 3 1.5)
    (
      (4 2 3 1)
      Normal
    |
      (4 3 3 1)
      (4.25 4 3 0.5)
      High
    )  ;  end of split
  |
    (2 1 3 1)
    Incomplete
  )  ;  end of split
)
( (Axon) (-1 -2 -3 1) (-2 -2 -3 1) Normal )
( (Apical) (0 9 0 3) (0 19 0 3) )
(Cross (Color Blue) (Name "Marker 1") (7 7 7 0))
"""

MBF = f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<mbf version="4.0" xmlns="http://www.mbfbioscience.com/2007/neurolucida">
  <description>{CANARY}</description>
  <thumbnail cols="2" rows="1">00ff00</thumbnail>
  <contour name="CellBody" color="#FF0000" closed="true" shape="Contour">
    <property name="GUID"><s>{CANARY}</s></property>
    <point x="0" y="0" z="0" d="0.1"/><point x="5.5" y="0" z="0" d="0.1"/>
    <point x="5.5" y="5" z="0" d="0.1"/>
  </contour>
  <contour name="Pia"><point x="9" y="9" z="9" d="0"/></contour>
  <tree color="#FFFF00" type="Dendrite" leaf="Normal">
    <point x="1" y="2" z="3" d="2.5"/><point x="2" y="2" z="3" d="2"/>
    <spine><point x="2" y="3" z="3" d="0.2"/></spine>
    <marker type="Dot" name="{CANARY}"><point x="2" y="2" z="3" d="0"/></marker>
    <branch leaf="Normal">
      <point x="3" y="2" z="3" d="1.5"/>
      <branch leaf="High"><point x="4" y="2" z="3" d="1"/></branch>
      <branch leaf="Low">
        <point x="4" y="3" z="3" d="1"/><point x="4.25" y="4" z="3" d="0.5"/></branch>
    </branch>
    <branch leaf="Incomplete"><point x="2" y="1" z="3" d="1"/></branch>
  </tree>
  <tree type="Axon"><point x="-1" y="-2" z="-3" d="1"/><point x="-2" y="-2" z="-3" d="1"/></tree>
  <tree type="Apical Dendrite">
    <point x="0" y="9" z="0" d="3"/><point x="0" y="19" z="0" d="3"/></tree>
  <marker type="Cross"><point x="7" y="7" z="7" d="0"/></marker>
</mbf>
"""

SWC = """1 1 0 0 0 0.05 -1
2 1 5.5 0 0 0.05 1
3 1 5.5 5 0 0.05 2
4 3 1 2 3 1.25 -1
5 3 2 2 3 1 4
6 3 3 2 3 0.75 5
7 3 4 2 3 0.5 6
8 3 4 3 3 0.5 6
9 3 4.25 4 3 0.25 8
10 3 2 1 3 0.5 5
11 2 -1 -2 -3 0.5 -1
12 2 -2 -2 -3 0.5 11
13 4 0 9 0 1.5 -1
14 4 0 19 0 1.5 13
"""

CELL = f"""<?xml version="1.0" encoding="UTF-8"?>
<neuroml xmlns="http://www.neuroml.org/schema/neuroml2" id="synthetic">
  <notes>{CANARY}</notes>
  <cell id="cell">
    <morphology id="morphology">
      <segment id="0" name="{CANARY}">
        <proximal x="0" y="0" z="0" diameter="10"/><distal x="10" y="0" z="0" diameter="10"/>
      </segment>
      <segment id="1" name="dendrite">
        <parent segment="0"/><distal x="20" y="0" z="0" diameter="2"/>
      </segment>
      <segment id="2">
        <parent segment="1"/>
        <proximal x="20" y="0" z="0" diameter="2"/><distal x="30" y="5" z="0" diameter="1"/>
      </segment>
      <segment id="3">
        <parent segment="1" fractionAlong="0.25"/><distal x="12.5" y="9" z="0" diameter="1"/>
      </segment>
      <segment id="4">
        <parent segment="0" fractionAlong="0"/>
        <proximal x="0" y="-1" z="0" diameter="1"/><distal x="0" y="-9" z="0" diameter="0.5"/>
      </segment>
      <segmentGroup id="all"><include segmentGroup="soma_group"/></segmentGroup>
      <segmentGroup id="soma_group" neuroLexId="sao1044911821"><member segment="0"/></segmentGroup>
      <segmentGroup id="a" neuroLexId="GO:0030424"><member segment="4"/></segmentGroup>
      <segmentGroup id="dendrite_group"><include segmentGroup="inner"/></segmentGroup>
      <segmentGroup id="inner"><member segment="1"/><member segment="2"/><member segment="3"/>
      </segmentGroup>
    </morphology>
    <biophysicalProperties id="{CANARY}"/>
  </cell>
</neuroml>
"""

CELL_SWC = """1 1 0 0 0 5 -1
2 1 10 0 0 5 1
3 3 12.5 0 0 4 2
4 3 20 0 0 1 3
5 3 30 5 0 0.5 4
6 3 12.5 9 0 0.5 3
7 2 0 -1 0 0.5 1
8 2 0 -9 0 0.25 7
"""


def read(
    reader: ModuleType, folder: Path, text: str, facts: dict[str, Any] | None = None
) -> tuple[xr.Dataset, Raw]:
    path = folder / f"synthetic{reader.SUFFIXES[0]}"
    path.write_text(text)
    raw = Raw(folder, (path,))
    return reader.read(raw, Declared(facts or {}))["graph"].to_dataset(), raw


Point = tuple[float, ...]


def tree(node: xr.Dataset) -> set[tuple[Point, Point | None]]:
    """Each point (x, y, z, radius, type) with its parent: the tree, however points are numbered."""
    points = [
        (*xyz, radius, kind)
        for xyz, radius, kind in zip(
            node["position"].values.tolist(), node["radius"].values.tolist(),
            node["type"].values.tolist(), strict=True,
        )
    ]  # fmt: skip
    parent = dict(zip(node["source"].values.tolist(), node["target"].values.tolist(), strict=True))
    return {(p, points[parent[n]] if n in parent else None) for n, p in enumerate(points)}


class TestNeurolucida(PersonalTests):
    reader = neurolucida
    nodes: ClassVar = {"graph": "graph"}
    lazy = ()
    truncation_shows = False
    canary = CANARY

    def make(self, folder: Path) -> Path:
        path = folder / "synthetic.asc"
        path.write_text(ASC)
        return path


class TestNeurolucidaXml(HeaderTests, PersonalTests):
    reader = neurolucida
    nodes: ClassVar = {"graph": "graph"}
    lazy = ()
    canary = CANARY
    lies: ClassVar = {
        story: lambda whole, old=old, new=new: whole.replace(old, new, 1)
        for story, old, new in (
            ("no number", b'x="4.25"', b'x="four"'),
            ("no diameter", b' d="2.5"', b""),
            ("nowhere", b'x="4.25"', b'x="4e99"'),
            ("a diameter below 0", b'd="2.5"', b'd="-25"'),
            ("a branch of nothing", b"<tree type", b'<branch/><tree type'),
            ("a tree that begins with a branch", b'type="Axon">', b'type="Axon"><branch/>'),
            ("a point after branches", b"</branch>\n  </tree>",
             b'</branch><point x="1" y="1" z="1" d="1"/></tree>'),
            ("another root", b"<mbf ", b"<abc><mbf "),
            ("an entity", b"<mbf", b'<!DOCTYPE a [<!ENTITY b "c">]><mbf'),
        )
    }  # fmt: skip

    def make(self, folder: Path) -> Path:
        path = folder / "synthetic.xml"
        path.write_text(MBF)
        return path


class TestNeuroMl(HeaderTests, PersonalTests):
    reader = neuroml
    nodes: ClassVar = {"graph": "graph"}
    lazy = ()
    canary = CANARY
    lies: ClassVar = {
        story: lambda whole, old=old, new=new: whole.replace(old, new, 1)
        for story, old, new in (
            ("a missing parent", b'parent segment="1"/>', b'parent segment="9"/>'),
            ("its own parent", b'parent segment="1"/>', b'parent segment="2"/>'),
            ("no root", b"<segment id=\"0\"", b'<segment id="0x"'),
            ("an id twice", b'segment id="2"', b'segment id="1"'),
            ("no number", b'x="30"', b'x="abc"'),
            ("no finite number", b'x="30"', b'x="1e999"'),
            ("a diameter below 0", b'diameter="0.5"', b'diameter="-1"'),
            ("beyond the parent", b'Along="0.25"', b'Along="1.5"'),
            ("no distal end", b'<distal x="20" y="0" z="0" diameter="2"/>', b""),
            ("two distal ends", b'<proximal x="20"', b'<distal x="20"'),
            ("a member that is none", b'member segment="4"', b'member segment="44"'),
            ("a group that is none", b'include segmentGroup="inner"', b'include segmentGroup="x"'),
            ("two cells", b"<morphology id", b'<morphology id="b"/><morphology id'),
            ("version 1", b"http://www.neuroml.org/schema/neuroml2", b"http://morphml.org/neuroml"),
            ("an entity", b"<neuroml", b'<!DOCTYPE a [<!ENTITY b "c">]><neuroml'),
        )
    }  # fmt: skip

    def make(self, folder: Path) -> Path:
        path = folder / "synthetic.nml"
        path.write_text(CELL)
        return path


@pytest.mark.parametrize("text", [ASC, MBF], ids=["text", "xml"])
def test_a_tree_of_neurolucida_is_that_of_its_swc(text: str, tmp_path: Path) -> None:
    node, raw = read(neurolucida, tmp_path, text)
    twin, _ = read(swc, tmp_path, SWC, {"units.*": "um"})
    outline = node["contour"].values > 0
    assert outline.tolist() == [True] * 3 + [False] * 11
    assert np.isnan(node["radius"].values[outline]).all()
    plain = node.assign(radius=("node", np.where(outline, 0.05, node["radius"].values)))
    assert tree(plain) == tree(twin)
    assert node["node_id"].values.tolist() == twin["node_id"].values.tolist()
    np.testing.assert_array_equal(node["position"].values, twin["position"].values)
    assert (node["position"].attrs, node["radius"].attrs) == ({"units": "um"}, {"units": "um"})
    found = str([p.found for p in raw.problems])
    assert "1 spines, 2 markers, 1 other outlines" in found
    assert "4 trees and outlines" in found


def test_a_cell_of_neuroml_is_that_of_its_swc(tmp_path: Path) -> None:
    node, _ = read(neuroml, tmp_path, CELL)
    twin, _ = read(swc, tmp_path, CELL_SWC, {"units.*": "um"})
    assert tree(node) == tree(twin)
    assert node["node_id"].values.tolist() == ["0@0", "0", "1@0.25", "1", "2", "3", "4@0", "4"]


def test_a_chain_deeper_than_recursion(tmp_path: Path) -> None:
    segments = "".join(
        f'<segment id="{n}">' + (f'<parent segment="{n - 1}"/>' if n else
        '<proximal x="0" y="0" z="0" diameter="1"/>')
        + f'<distal x="{n + 1}" y="0" z="0" diameter="1"/></segment>'
        for n in range(3000)
    )  # fmt: skip
    head, tail = CELL[: CELL.index("<segment id")], "</morphology></cell></neuroml>"
    node, _ = read(neuroml, tmp_path, f"{head}{segments}{tail}")
    assert node.sizes["node"] == 3001
    text = "((Axon) (0 0 0 1)" + "( (1 1 1 1)" * 1500 + ")" * 1501
    node, _ = read(neurolucida, tmp_path, text)
    assert node.sizes == {"node": 1501, "edge": 1500, "split": 1502, "axis": 3}


BROKEN = {
    "a nest without its end": "((Axon) (0 0 0 1) (1 1 1 1)",
    "an end without its nest": "((Axon) (0 0 0 1)))",
    "a spine without its end": "((Axon) (0 0 0 1) <(1 1 1 1))",
    "a text without its end": '("CellBody (CellBody) (0 0 0 1))',
    "a point of three": "((Axon) (0 0 0 1) (1 1 1))",
    "a point of letters": "((Axon) (0 0 0 1) (1 1 one 1))",
    "points of three": "((Axon) (0 0 0) (1 1 1))",
    "a point after branches": "((Axon) (0 0 0 1) ((1 1 1 1) | (2 2 2 1)) (3 3 3 1))",
    "branches without a root": "((Axon) ((1 1 1 1) | (2 2 2 1)))",
    "no points": "((Axon) (Color Red))",
    "nowhere": "((Axon) (0 0 1e300 1) (1 1 1 1))",
    "a diameter below 0": "((Axon) (0 0 0 -1) (1 1 1 1))",
}


@pytest.mark.parametrize("story", BROKEN)
def test_trees_that_do_not_hold_are_refused(story: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError):
        read(neurolucida, tmp_path, BROKEN[story])


def test_bombs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeError):
        read(neurolucida, tmp_path, "(" * 10**5)
    with pytest.raises(UnsafeError):
        read(neuroml, tmp_path, CELL.replace("<cell", "<a>" * 200 + "<cell", 1))


def test_other_versions_are_refused(tmp_path: Path) -> None:
    old = '<neuroml xmlns="http://morphml.org/neuroml/schema" lengthUnits="micron"></neuroml>'
    assert neuroml.sniff(old.encode(), tmp_path)
    with pytest.raises(UnknownFormatError):
        read(neuroml, tmp_path, old)


@pytest.mark.parametrize(
    ("reader", "text"), [(neurolucida, ASC), (neurolucida, MBF), (neuroml, CELL)]
)
def test_flips_give_no_foreign_exception(reader: ModuleType, text: str, tmp_path: Path) -> None:
    path = tmp_path / f"synthetic{reader.SUFFIXES[0]}"
    path.write_text(text)
    flip_bits(path, 500, lambda: reader.read(Raw(tmp_path, (path,)), Declared({})))


def test_cuts_within_a_nest_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.asc"
    depth, inside = 0, list[int]()
    plain = "\n".join(line.partition(";")[0] for line in ASC.splitlines())
    for at, letter in enumerate(plain):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        inside += [at + 1] * (depth > 0)
    for cut in inside[::7]:
        path.write_text(plain[:cut])
        with pytest.raises(UnreadableError):
            neurolucida.read(Raw(tmp_path, (path,)), Declared({}))
    path.write_text(ASC[: ASC.index("( (Axon)")].rstrip())
    raw = Raw(tmp_path, (path,))
    neurolucida.read(raw, Declared({}))
    assert any("no line end" in p.found for p in raw.problems)
