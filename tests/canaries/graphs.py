"""Graphs and morphologies with marks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx
import openpyxl  # type: ignore[import-untyped]

from tests.canaries.marks import Marks, case
from tests.readers import (
    test_adjacency,
    test_connections,
    test_graphml,
    test_neurolucida,
    test_sqlite_table,
    test_swc,
    test_vessel,
)

NODE = "names of nodes are data"
FACT = "further columns of nodes and edges are data"
COUNT: dict[str, Any] = {"weight_units": "count"}
EDGES: dict[str, Any] = {"directed": 1, **COUNT}


@case("xlsx", "", **EDGES)
def xlsx(folder: Path, mark: Marks) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = mark.name("sheet", 20)
    neuron = mark.keep("node", NODE)
    for row in (["source", "target", "weight"], [neuron, "B", 1], ["B", neuron, 2]):
        sheet.append(row)
    sheet["A2"].comment = openpyxl.comments.Comment(mark("comment"), mark("comment-author"))
    sheet.oddHeader.center.text = mark("header")
    sheet.oddFooter.center.text = mark("footer")
    for key in ("creator", "lastModifiedBy", "title", "subject", "description", "keywords",
                "category", "identifier"):  # fmt: skip
        setattr(book.properties, key, mark(key))
    book.save(folder / "synthetic.xlsx")
    mark.rename(folder)


@case("sqlite", "", **test_sqlite_table.EDGE_FACTS)
def sqlite(folder: Path, mark: Marks) -> None:
    column, index, view = (mark.name(name, 12) for name in ("column", "index", "view"))
    schema = (
        "CREATE TABLE synapses (pre_pt_root_id INTEGER, post_pt_root_id INTEGER, weight INTEGER,"
        f" note TEXT, {column} TEXT) -- {mark('schema')}",
        f"CREATE TABLE people (name TEXT DEFAULT '{mark('default')}')",
        f"CREATE INDEX {index} ON synapses (note)",
        f"CREATE VIEW {view} AS SELECT name FROM people",
    )
    rows = [(*edge, mark(f"note-{n}"), mark(f"cell-{n}"))
            for n, edge in enumerate(test_sqlite_table.EDGES[:6])]  # fmt: skip
    content: dict[str, Any] = {"synapses": rows, "people": [(mark("person"),)]}
    test_sqlite_table.database(folder / "synthetic.sqlite", schema, content)
    mark.rename(folder)


def _circuit(mark: Marks) -> networkx.DiGraph:
    graph = test_graphml.circuit()
    neuron = mark.keep("node", NODE)
    graph = networkx.relabel_nodes(graph, {"isolated": neuron})
    for node, data in graph.nodes(data=True):
        data["transmitter"] = "ACh"
        data["tracing_notes"] = mark(f"note-{node}")
        data["annotator"] = mark(f"annotator-{node}")
    graph.nodes[neuron]["transmitter"] = mark.keep("transmitter", FACT)
    for number, (_, _, data) in enumerate(graph.edges(data=True)):
        data["comment"] = mark(f"edge-{number}")
    graph.graph["author"], graph.graph[mark("key", 12)] = mark("author"), mark("value")
    return graph


@case("graphml", "", **COUNT)
def graphml(folder: Path, mark: Marks) -> None:
    path = folder / "synthetic.graphml"
    networkx.write_graphml(_circuit(mark), path)
    text = path.read_text().replace("<graph ", f"<!-- {mark('comment')} -->\n<graph ", 1)
    path.write_text(text.replace("<graph ", f"<desc>{mark('desc')}</desc>\n<graph ", 1))
    mark.rename(folder)


@case("gml", "", **COUNT)
def gml(folder: Path, mark: Marks) -> None:
    text = "\n".join(networkx.generate_gml(_circuit(mark)))
    head = f'Creator "{mark("creator")}"\n# by {mark("comment")}\nVersion 1\n'
    (folder / "synthetic.gml").write_text(f"{head}{text}\n")
    mark.rename(folder)


@case("swc", units___all="um")
def swc(folder: Path, mark: Marks) -> None:
    head = f"# traced by {mark('tracer')}\n# ORIGINAL_SOURCE C:/{mark('path')}\n"
    test_swc.write(folder, head + test_swc.CELL)
    mark.rename(folder)


@case("neurolucida")
def neurolucida(folder: Path, mark: Marks) -> None:
    path = folder / "synthetic.asc"
    path.write_text(test_neurolucida.ASC)
    mark.swap(path, test_neurolucida.CANARY, "text")
    text = path.read_text().replace("Marker 1", mark("marker")).replace('"Pia"', f'"{mark("pia")}"')
    path.write_text(text)
    mark.rename(folder)


@case("neurolucida", "xml")
def neurolucida_xml(folder: Path, mark: Marks) -> None:
    path = folder / "synthetic.xml"
    path.write_text(test_neurolucida.MBF.replace("4.25", "4.5"))
    mark.swap(path, test_neurolucida.CANARY, "text")
    mark.rename(folder)


@case("neuroml")
def neuroml(folder: Path, mark: Marks) -> None:
    path = folder / "synthetic.cell.nml"
    path.write_text(test_neurolucida.CELL)
    mark.swap(path, test_neurolucida.CANARY, "text")
    text = path.read_text().replace('id="cell"', f'id="{mark("cell", 12)}"')
    path.write_text(text.replace('name="dendrite"', f'name="{mark("segment")}"'))
    mark.rename(folder)


@case("vessel", voxel_um=[3, 3, 3])
def vessel(folder: Path, mark: Marks) -> None:
    region = mark.keep("region", FACT, 12)
    atlas = f"Isocortex;{region}\n1;0\n0;1\n1;0\n0;0\n"
    test_vessel.make(folder, atlas=atlas)
    mark.rename(folder)


@case("connections", "", **COUNT)
def connections(folder: Path, mark: Marks) -> None:
    big, region = test_connections.BIG, mark.keep("region", "names of regions are data")
    rows = [(big, big + 1, region, 3, mark("row-1")), (big + 1, 12, "EB", 9, mark("row-2"))]
    header = f"bodyId_pre,bodyId_post,roi,weight,{mark.name('column')}"
    (folder / "synthetic.csv").write_text(test_connections.table(rows, header))
    kind = mark.keep("type", FACT)
    neurons = "".join(f"{one},{kind},{mark(f'notes-{one}')}\n" for one in (12, big, big + 1))
    (folder / "neurons.csv").write_text(f"bodyId,type,notes\n{neurons}")
    mark.rename(folder)


@case("adjacency", axes="source,target", **COUNT)
def adjacency(folder: Path, mark: Marks) -> None:
    label = mark.keep("label", FACT)
    test_adjacency.write(folder, f"K\n{label}\nO\nP\n", "synthetic_cell_labels.csv")
    test_adjacency.write(folder, f"# {mark('comment')}\n{test_adjacency.SYNTHETIC}")
    mark.rename(folder)


@case("edgelist", "", **EDGES)
def edgelist(folder: Path, mark: Marks) -> None:
    node = mark.keep("node", NODE)
    rows = f"source target weight\n{node} B 2\nB C 1\n"
    (folder / "synthetic.edgelist").write_text(f"# {mark('comment')}\n{rows}")
    mark.rename(folder)


@case("edgelist", "participants", **EDGES)
def edgelist_with_participants(folder: Path, mark: Marks) -> None:
    subject = mark.keep("subject", "an entity of BIDS, which names the recording on purpose", 8)
    (folder / f"sub-{subject}_ses-1_dti.edgelist").write_text("0 1 3735.0\n0 2 1060.0\n1 2 4\n")
    column = mark("column")
    (folder / "participants.csv").write_text(
        f"participant_id,sex,genotype,name,{column}\n"
        f"sub-{subject},M,{mark('genotype')},{mark('name')},{mark('cell')}\n"
    )
