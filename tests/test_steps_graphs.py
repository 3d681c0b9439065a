"""Signs and null models of graphs, against NetworkX and counting by hand."""

from __future__ import annotations

import math
from collections import Counter
from itertools import permutations
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import xarray as xr
import yaml

from neurodata import schema, steps
from neurodata.errors import InvalidInputError, PipelineError, Problem
from neurodata.ingestion import ingest
from neurodata.plan import plan
from neurodata.readers.graph import Edges, graph
from neurodata.store import open_store
from tests.synthetic_trees import recording

FLY = {"acetylcholine": 1, "GABA": -1}


def synthetic_graph(
    nodes: int = 60, share: float = 0.1, directed: bool = True, seed: int = 0, **columns: Any
) -> xr.DataTree:
    random = np.random.default_rng(seed)
    there = random.random((nodes, nodes)) < share
    if not directed:
        there = np.triu(there)
    source, target = np.nonzero(there)
    weight = random.integers(1, 99, len(source))
    names = [f"n{i}" for i in range(nodes)]
    edges = Edges(source, target, weight, **columns)
    made = graph(edges, names, directed=directed, weight_units="count")
    places = random.uniform(0, 100, (nodes, 3))
    made["position"] = (("node", "axis"), places, {"units": "um"})
    return recording("connectome", graph=made.assign_coords(axis=["x", "y", "z"]))


def done(tree: xr.DataTree, problems: list[Problem] | None = None, **facts: Any) -> xr.Dataset:
    found = steps.apply(tree, steps.parse([facts]), problems)
    schema.require(found)
    return found["graph"].to_dataset()


def as_networkx(node: xr.Dataset) -> Any:
    made = nx.MultiDiGraph() if int(node.attrs["directed"]) else nx.MultiGraph()
    made.add_nodes_from(range(node.sizes["node"]))
    columns = [node[name].values.tolist() for name in ("source", "target", "weight")]
    made.add_weighted_edges_from(zip(*columns, strict=True))
    return made


def degrees(node: xr.Dataset) -> tuple[Any, ...]:
    found = as_networkx(node)
    if found.is_directed():
        return dict(found.in_degree()), dict(found.out_degree())
    return (dict(found.degree()),)


def pairs(node: xr.Dataset) -> list[tuple[int, int]]:
    return list(zip(node["source"].values.tolist(), node["target"].values.tolist(), strict=True))


def lengths(node: xr.Dataset) -> np.ndarray:
    places = node["position"].values
    return np.array([math.dist(places[a], places[b]) for a, b in pairs(node)])


# --- signs ---


def with_transmitters(names: list[str]) -> xr.DataTree:
    tree = synthetic_graph(len(names), 0.4)
    tree["graph"] = tree["graph"].to_dataset().assign(transmitter=("node", names))
    return tree


def test_an_edge_has_the_sign_of_its_source_or_none() -> None:
    names = ["acetylcholine", "GABA", "dopamine", "", "Acetylcholine ", "gaba", "glutamate", "?"]
    problems: list[Problem] = []
    tree = with_transmitters(names)
    found = done(tree, problems, step="sign_from_transmitter", signs=FLY, source="synthetic table")
    expected = {0: 1, 4: 1, 1: -1, 5: -1}
    for at, sign in zip(found["source"].values.tolist(), found["sign"].values, strict=True):
        assert sign == expected[at] if at in expected else np.isnan(sign)
    assert found.attrs["sign_source"] == "synthetic table"
    assert found["weight"].identical(tree["graph"]["weight"])
    told = " ".join(map(str, problems))
    unknown = int(np.isnan(found["sign"].values).sum())
    assert f"{unknown} of {found.sizes['edge']} edges without a sign" in told
    assert "dopamine" in told
    assert "acetylcholine" not in told


def test_signs_can_be_of_edges() -> None:
    tree = synthetic_graph(5, 0.5)
    node = tree["graph"].to_dataset()
    kinds = ["GABA"] * node.sizes["edge"]
    tree["graph"] = node.assign(transmitter=("edge", kinds))
    found = done(tree, step="sign_from_transmitter", signs=FLY, source="synthetic table")
    assert (found["sign"].values == -1).all()


def test_signs_are_not_made_up() -> None:
    wanted = {"step": "sign_from_transmitter", "signs": FLY, "source": "synthetic table"}
    with pytest.raises(InvalidInputError, match="no column transmitter"):
        done(synthetic_graph(), **wanted)
    with pytest.raises(InvalidInputError, match="octopamine"):
        done(with_transmitters(["octopamine"] * 4), **wanted)
    twice = with_transmitters(["GABA"] * 4)
    twice["graph"] = twice["graph"].to_dataset().assign_attrs(directed=0)
    with pytest.raises(InvalidInputError, match="undirected"):
        done(twice, **wanted)
    for wrong in ({"source": ""}, {"signs": {}}, {"signs": {"GABA": -2}},
                  {"signs": {"GABA": -1, "gaba": 1}}):  # fmt: skip
        with pytest.raises(PipelineError):
            steps.parse([{**wanted, **wrong}])
    with pytest.raises(PipelineError, match="source"):
        steps.parse([{"step": "sign_from_transmitter", "signs": FLY}])


# --- null models ---


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("model", ["rewire", "rewire_near"])
def test_rewiring_keeps_every_degree_and_makes_no_second_edge(directed: bool, model: str) -> None:
    tree = synthetic_graph(directed=directed)
    before = tree["graph"].to_dataset()
    found = done(tree, step="null_model", model=model, seed=3)
    assert degrees(found) == degrees(before)
    assert len(set(pairs(found))) == found.sizes["edge"] == before.sizes["edge"]
    loops = [pair for pair in pairs(before) if pair[0] == pair[1]]
    assert [pair for pair in pairs(found) if pair[0] == pair[1]] == loops
    assert sorted(found["weight"].values) == sorted(before["weight"].values)
    assert len(set(pairs(found)) & set(pairs(before))) < 0.5 * len(pairs(before))
    assert found.attrs["null_seed"] == 3
    assert found.attrs["null_model"]
    if directed:  # what an edge carries stays with its source
        strength = [dict(as_networkx(n).out_degree(weight="weight")) for n in (found, before)]
        assert strength[0] == strength[1]


def test_rewiring_near_keeps_the_bins_of_lengths() -> None:
    tree = synthetic_graph(80, 0.08)
    before = tree["graph"].to_dataset()
    found = done(tree, step="null_model", model="rewire_near", seed=1, bins=10)
    edges = np.quantile(lengths(before), np.linspace(0, 1, 11))
    counts = [np.histogram(lengths(n), edges)[0] for n in (before, found)]
    assert sum(counts[1]) == found.sizes["edge"]
    np.testing.assert_array_equal(*counts)
    far = done(tree, step="null_model", model="rewire", seed=1)
    assert (np.histogram(lengths(far), edges)[0] != counts[0]).any()


def test_all_graphs_with_these_degrees_are_equally_likely() -> None:
    """Four nodes, one edge out of each and one into each: the nine derangements."""
    edges = Edges(np.arange(4), np.array([1, 2, 3, 0]), np.ones(4, "i8"))
    node = graph(edges, list("abcd"), directed=True, weight_units="count")
    tree = recording("connectome", graph=node)
    wanted = {p for p in permutations(range(4)) if all(a != b for a, b in enumerate(p))}
    drawn = Counter(
        tuple(done(tree, step="null_model", model="rewire", seed=seed)["target"].values.tolist())
        for seed in range(900)
    )
    assert set(drawn) == wanted
    chi2 = sum((drawn[p] - 100) ** 2 / 100 for p in wanted)
    assert chi2 < 26.1  # 0.999 of chi-square with 8 degrees of freedom


def test_shuffled_weights_keep_the_wiring() -> None:
    tree = synthetic_graph()
    before = tree["graph"].to_dataset()
    found = done(tree, step="null_model", model="shuffle_weights", seed=5)
    assert pairs(found) == pairs(before)
    assert Counter(found["weight"].values.tolist()) == Counter(before["weight"].values.tolist())
    assert (found["weight"].values != before["weight"].values).mean() > 0.8


@pytest.mark.parametrize("model", ["rewire", "shuffle_weights"])
def test_kinds_can_be_kept_apart(model: str) -> None:
    random = np.random.default_rng(0)
    one = np.nonzero(random.random((20, 20)) < 0.2)
    two = np.nonzero(random.random((20, 20)) < 0.2)
    source, target = np.concatenate([one, two], axis=1)
    kind = np.array(["chemical"] * len(one[0]) + ["electrical"] * len(two[0]))
    weight = np.arange(len(source))
    node = graph(Edges(source, target, weight, kind), [f"n{i}" for i in range(20)],
                 directed=True, weight_units="count")  # fmt: skip
    tree = recording("connectome", graph=node)
    if model == "rewire":
        with pytest.raises(InvalidInputError, match="repeat a pair"):
            done(tree, step="null_model", model=model, seed=0)
    found = done(tree, step="null_model", model=model, seed=0, within="kind")
    for name in ("chemical", "electrical"):
        mine, theirs = (n.isel(edge=n["kind"].values == name) for n in (found, node))
        assert degrees(mine) == degrees(theirs)
        assert sorted(mine["weight"].values) == sorted(theirs["weight"].values)
    assert not found.drop_attrs().equals(node.drop_attrs())


def test_a_seed_gives_one_graph() -> None:
    tree = synthetic_graph()
    drawn = [done(tree, step="null_model", model="rewire", seed=seed) for seed in (1, 1, 2)]
    assert drawn[0].identical(drawn[1])
    assert not drawn[0].equals(drawn[2])


def test_what_no_null_model_is_made_of() -> None:
    tree = synthetic_graph()
    null = steps.apply(tree, steps.parse([{"step": "null_model", "model": "rewire", "seed": 0}]))
    with pytest.raises(InvalidInputError, match="null model already"):
        done(null, step="null_model", model="rewire", seed=1)
    for missing, model in (("position", "rewire_near"), ("weight", "shuffle_weights")):
        bare = synthetic_graph()
        bare["graph"] = bare["graph"].to_dataset().drop_vars(missing)
        with pytest.raises(InvalidInputError, match=missing):
            done(bare, step="null_model", model=model, seed=0)
    with pytest.raises(InvalidInputError, match="no column kind"):
        done(tree, step="null_model", model="rewire", seed=0, within="kind")


def test_a_null_model_never_stands_where_the_data_were(tmp_path: Path, samples: Path) -> None:
    pipeline = yaml.safe_load((samples.parent / "pipelines" / "mushroom_body.yaml").read_text())
    pipeline |= {"splits": [], "tasks": []}
    recorded = ingest("mushroom_body", store=tmp_path / "store")
    pipeline["steps"] = [{"step": "null_model", "model": "rewire", "seed": 7}]
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(pipeline))
    names = {job.recording for job in plan(file).jobs}
    result = ingest(file, store=tmp_path / "store")
    assert result.ok, result.findings()
    assert all(name.endswith("_null-rewire-7") for name in names)
    store = open_store(tmp_path / "store")
    for entry in recorded:
        assert "null_model" not in store[entry.id]["graph"].attrs
        null = store[f"{entry.id}_null-rewire-7"]["graph"]
        assert null.attrs["null_seed"] == 7
        manifest = store.manifest(f"{entry.id}_null-rewire-7")
        assert manifest["steps"][0]["seed"] == 7
        before = store.raw(entry.id)["graph"].to_dataset()
        assert degrees(store.raw(f"{entry.id}_null-rewire-7")["graph"].to_dataset()) == degrees(
            before
        )
    assert any("a null model" in str(problem) for problem in result.findings())
