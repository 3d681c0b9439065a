from __future__ import annotations

import pickle
from collections import Counter
from itertools import pairwise
from math import comb
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.stats import chisquare

from neurodata.errors import InvalidInputError
from neurodata.loader import load
from neurodata.loader.adjacency import floyd
from neurodata.loader.feed import Feed, Request
from neurodata.loader.neighbours import neighbour_feed
from neurodata.loader.plan import Place
from neurodata.loader.samples import Neighbours
from tests.synthetic_loader import MemoryStore, recording, split_of
from tests.synthetic_recordings import HeldRecordings, held_graph

HERE = Place(seed=7, epoch=0, rank=0, position=0)


def network(
    nodes: int = 60, edges: int = 700, directed: bool = True, seed: int = 3, **columns: Any
) -> HeldRecordings:
    """A graph with parallel edges, loops, nodes of many and few edges, and 5 without any."""
    rng = np.random.default_rng(seed)
    weight_of_node = rng.pareto(1.0, nodes - 5)
    chance = weight_of_node / weight_of_node.sum()
    ends = rng.choice(nodes - 5, (2, edges), p=chance)
    columns = {"layer": rng.integers(0, 4, nodes), "x": rng.random((nodes, 3)), **columns}
    return HeldRecordings({
        "graph": held_graph(*ends, nodes, directed, rng.random(edges).astype("f4"), **columns)
    })  # fmt: skip


def feed_of(held: HeldRecordings, sample: Neighbours, **options: Any) -> Feed:
    facts: Any = dict.fromkeys(Request.__dataclass_fields__) | {"batch_size": 8, "layout": "bct"}
    sides = split_of(*((str(number), "test", {}) for number in range(len(held.ids))))
    facts |= {"splits": sides, "split": "test", "sample": sample, **options}
    return neighbour_feed(Request(**facts), sample, held)  # type: ignore[arg-type]


def drawn(feed: Feed, at: Any, place: Place = HERE) -> dict[str, Any]:
    assert feed.drawn is not None
    return feed.drawn(np.asarray(at), place)


def ways(held: HeldRecordings, direction: str, number: int = 0) -> dict[int, Counter[Any]]:
    """For each node, how often a (neighbour, edge) can be drawn; edge by edge, in plain Python."""
    graph = held.node(number, "graph")
    found: dict[int, Counter[Any]] = {n: Counter() for n in range(graph.sizes["node"])}
    for edge, (a, b) in enumerate(zip(graph["source"].values, graph["target"].values, strict=True)):
        both = direction == "both" or not graph.attrs["directed"]
        if both or direction == "in":
            found[int(b)][int(a), edge] += 1
        if (both and a != b) or (not both and direction == "out"):
            found[int(a)][int(b), edge] += 1
    return found


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("direction", ["in", "out", "both"])
@pytest.mark.parametrize("fan_out", [(4, 3), (1,), (2, 2, 2), (-1, 5), (1000, 1)])
def test_a_drawn_neighbourhood_edge_by_edge(
    directed: bool, direction: Any, fan_out: tuple[int, ...]
) -> None:
    held = network(directed=directed)
    graph = held.node(0, "graph")
    feed = feed_of(held, Neighbours(fan_out, direction=direction))
    known = ways(held, direction)
    for position, at in enumerate((np.arange(8), np.array([59, 3, 58, 20]), np.array([57]))):
        batch = drawn(feed, at, HERE._replace(position=position))
        node, edge = batch["node_id"], batch["edge_id"]
        assert node[: batch["batch_size"]].tolist() == at.tolist()
        assert len(set(node.tolist())) == len(node) == sum(batch["num_sampled_nodes"])
        assert batch["edge_index"].shape == (2, len(edge)) == (2, sum(batch["num_sampled_edges"]))
        near, far = node[batch["edge_index"][[0, 1] if direction == "out" else [1, 0]]]
        seen, first = {*at.tolist()}, 0
        frontier = at.tolist()
        for hop, many in enumerate(batch["num_sampled_edges"]):
            own = slice(first, first + many)
            rows = list(zip(near[own].tolist(), far[own].tolist(), edge[own].tolist(), strict=True))
            by_node: dict[int, list[Any]] = {n: [] for n in frontier}
            for a, b, e in rows:
                by_node[a].append((b, e))
            for n, got in by_node.items():
                limit = len(known[n]) if fan_out[hop] < 0 else fan_out[hop]
                assert len(got) == min(limit, len(known[n]))
                assert len(set(got)) == len(got)
                assert set(got) <= set(known[n])
            frontier = list(dict.fromkeys(b for _, b, _ in rows if b not in seen))
            start = sum(batch["num_sampled_nodes"][: hop + 1])
            assert node[start : start + len(frontier)].tolist() == frontier
            assert len(frontier) == batch["num_sampled_nodes"][hop + 1]
            seen |= set(frontier)
            first += many
        np.testing.assert_array_equal(batch["edge_weight"], graph["weight"].values[edge])
        np.testing.assert_array_equal(batch["x"], graph["x"].values[node])
        if directed and direction != "both":
            np.testing.assert_array_equal(
                node[batch["edge_index"][0]], graph["source"].values[edge]
            )
            np.testing.assert_array_equal(
                node[batch["edge_index"][1]], graph["target"].values[edge]
            )


@pytest.mark.parametrize("direction", ["in", "out", "both"])
def test_all_neighbours_are_those_that_networkx_reaches(direction: Any) -> None:
    import networkx

    held = network(nodes=200, edges=500)
    graph = held.node(0, "graph")
    made = networkx.MultiDiGraph()
    made.add_nodes_from(range(200))
    made.add_edges_from(zip(graph["source"].values, graph["target"].values, strict=True))
    seen = {"in": made.reverse(), "out": made, "both": made.to_undirected()}[direction]
    feed = feed_of(held, Neighbours((-1, -1), direction=direction))
    for seed in (0, 5, 40, 199):
        batch = drawn(feed, [seed])
        reached = networkx.single_source_shortest_path_length(seen, seed, cutoff=2)
        assert set(batch["node_id"].tolist()) == set(reached)
        hops = [sum(n == hop for n in reached.values()) for hop in range(3)]
        assert batch["num_sampled_nodes"] == hops
        whole = {n for n, hop in reached.items() if hop < 2}
        if direction != "both":
            near = [e for n in whole for e in seen.edges(n)]
            assert len(batch["edge_id"]) == len(near)


@pytest.mark.parametrize(("size", "count"), [(12, 4), (7, 6), (5, 5), (40, 1)])
def test_every_subset_is_as_likely_as_any_other(size: int, count: int) -> None:
    generator = np.random.default_rng(11)
    chosen = np.sort(floyd(np.full(60_000, size), count, generator), axis=0)
    assert (np.diff(chosen, axis=0) > 0).all()
    assert chosen.min() >= 0
    assert chosen.max() == size - 1
    key = (chosen * size ** np.arange(count)[:, None]).sum(axis=0)
    _, found = np.unique(key, return_counts=True)
    if count < size:
        assert len(found) == comb(size, count)
        assert chisquare(found).pvalue > 1e-3


def test_each_neighbour_is_as_likely_whatever_other_rows_there_are() -> None:
    held = HeldRecordings({
        "graph": held_graph(
            [*range(1, 21), *range(1, 4), *range(1, 12)], [0] * 20 + [21] * 3 + [22] * 11, 23, True
        )
    })  # fmt: skip
    feed = feed_of(held, Neighbours((5,)))
    counts = Counter[tuple[int, int]]()
    for position in range(4000):
        batch = drawn(feed, [0, 21, 22], HERE._replace(position=position))
        source, target = batch["node_id"][batch["edge_index"]].tolist()
        counts.update(zip(target, source, strict=True))
    for node, degree, taken in ((0, 20, 5), (22, 11, 5)):
        own = [n for (target, _), n in counts.items() if target == node]
        assert len(own) == degree
        assert sum(own) == 4000 * taken
        assert chisquare(own).pvalue > 1e-3
    assert {n for (target, _), n in counts.items() if target == 21} == {4000}


def test_draws_are_a_function_of_the_place_alone() -> None:
    feed = feed_of(network(), Neighbours((3, 3)))
    again = pickle.loads(pickle.dumps(feed.drawn))
    places = [HERE, *(HERE._replace(**{name: 5}) for name in Place._fields)]
    found = [drawn(feed, np.arange(20), place)["edge_id"].tolist() for place in places]
    for place, edges in zip(reversed(places), reversed(found), strict=True):
        assert again(np.arange(20), place)["edge_id"].tolist() == edges
    assert all(a != b for at, a in enumerate(found) for b in found[:at])


def test_every_seed_comes_once_an_epoch() -> None:
    feed = feed_of(network(), Neighbours((2,), seeds="layer"))
    layers = network().node(0, "graph")["layer"].values
    sequence = np.random.default_rng(1).permutation(len(feed.picks))
    seeds: list[int] = []
    for position in range(0, len(sequence), 8):
        batch = drawn(feed, sequence[position : position + 8], Place(7, 1, 0, position))
        seeds += batch["node_id"][: batch["batch_size"]].tolist()
    assert sorted(seeds) == np.flatnonzero(layers).tolist()
    assert np.isnan(feed.picks["start_s"]).all()


def test_seeds_as_numbers_and_masks() -> None:
    mask = np.zeros(60, bool)
    mask[[3, 50]] = True
    held = network(mask=mask, depth=np.linspace(0, 1, 60))
    assert feed_of(held, Neighbours(seeds="mask")).picks["node"].tolist() == [3, 50]
    assert feed_of(held, Neighbours(seeds=[50, 3])).picks["node"].tolist() == [50, 3]
    assert Neighbours(seeds=np.array([50, 3])) == Neighbours(seeds=(50, 3))  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="true/false or whole numbers: layer, mask"):
        feed_of(held, Neighbours(seeds="depth"))
    with pytest.raises(InvalidInputError, match="0 to 59"):
        feed_of(held, Neighbours(seeds=[60]))
    for bad in (mask, [], [1.5], [2, 2]):
        with pytest.raises(InvalidInputError, match="Neighbours"):
            Neighbours(seeds=bad)  # type: ignore[arg-type]


def test_graphs_of_several_recordings_are_drawn_from_by_their_own_numbers() -> None:
    held = HeldRecordings(
        *(
            network(nodes, 300, directed, seed).every[0]
            for nodes, directed, seed in ((30, True, 1), (50, False, 2), (20, True, 3))
        )
    )
    feed = feed_of(held, Neighbours((3, 3)))
    assert len(feed.picks) == 100
    at = np.random.default_rng(0).permutation(100)[:40]
    batch = drawn(feed, at)
    recording = batch["node_recording"]
    np.testing.assert_array_equal(recording[:40], feed.picks["recording"][at])
    np.testing.assert_array_equal(batch["node_id"][:40], feed.picks["node"][at])
    ends = recording[batch["edge_index"]]
    assert (ends[0] == ends[1]).all()
    source, target = batch["node_id"][batch["edge_index"]]
    for number, graph in enumerate(held.node(n, "graph") for n in range(3)):
        own = ends[0] == number
        assert own.any()
        edge = batch["edge_id"][own]
        known = ways(held, "in", number)
        for a, b, e in zip(source[own], target[own], edge, strict=True):
            assert (int(a), int(e)) in known[int(b)]
        np.testing.assert_array_equal(batch["edge_weight"][own], graph["weight"].values[edge])
        mine = recording == number
        wanted = graph["x"].values[batch["node_id"][mine]]
        np.testing.assert_array_equal(batch["x"][mine], wanted)
    with pytest.raises(InvalidInputError, match="3 recordings"):
        feed_of(held, Neighbours(seeds=[0]))


def test_nodes_without_edges_and_parallel_edges() -> None:
    held = HeldRecordings({"graph": held_graph([1, 1, 1, 2], [0, 0, 0, 2], 4, False, [1, 2, 3, 4])})
    feed = feed_of(held, Neighbours((2, 2)))
    batch = drawn(feed, [3])
    assert batch["node_id"].tolist() == [3]
    assert batch["edge_index"].shape == (2, 0)
    assert (batch["num_sampled_nodes"], batch["num_sampled_edges"]) == ([1, 0, 0], [0, 0])
    assert batch["edge_index"].dtype == batch["edge_id"].dtype == np.int64
    batch = drawn(feed_of(held, Neighbours((3,))), [0, 2])
    assert sorted(batch["edge_id"].tolist()) == [0, 1, 2, 3]  # three between 0 and 1, a loop
    assert batch["node_id"].tolist() == [0, 2, 1]


def test_columns_and_targets() -> None:
    kinds = np.array(["a", "b", "c"] * 20, object)
    held = network(kind_of_cell=kinds)
    feed = feed_of(held, Neighbours((2,), columns=["x"]), target="kind_of_cell")
    batch = drawn(feed, [4, 9])
    assert "layer" not in batch
    assert feed.others(np.array([4, 9]))["target"].tolist() == ["b", "a"]
    whole = drawn(feed_of(held, Neighbours((2,))), [4, 9])
    assert whole["kind_of_cell"].tolist() == kinds[whole["node_id"]].tolist()
    with pytest.raises(InvalidInputError, match="one of layer, x, kind_of_cell"):
        feed_of(held, Neighbours(columns=["depth"]))
    with pytest.raises(InvalidInputError, match="a name of its own"):
        feed_of(network(units=np.arange(60)), Neighbours())


def test_a_failed_draw_leaves_no_trace() -> None:
    feed = feed_of(network(), Neighbours((3, 3)))
    wanted = drawn(feed, np.arange(10))["node_id"].tolist()
    with pytest.raises(AttributeError):
        feed.drawn.args[0].batch(np.arange(10), None)  # type: ignore[union-attr]
    assert drawn(feed, np.arange(10))["node_id"].tolist() == wanted


def test_refusals() -> None:
    for bad in ((), (0,), (-2, 3), (2.5,)):
        with pytest.raises(InvalidInputError, match="fan_out"):
            Neighbours(bad)
    with pytest.raises(InvalidInputError, match="'in' or 'out' or 'both'"):
        Neighbours(direction="up")  # type: ignore[arg-type]


def test_many_hops_come_to_an_end() -> None:
    held = HeldRecordings({"graph": held_graph(range(9), range(1, 10), 10, True)})
    batch = drawn(feed_of(held, Neighbours((3,) * 12)), [9])
    assert batch["node_id"].tolist() == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert batch["num_sampled_nodes"] == [1] * 10 + [0] * 3
    assert all(a - b == 1 for a, b in pairwise(batch["node_id"]))


def test_batches_of_a_loader_cover_all_seeds_and_are_the_same_after_a_restart() -> None:
    held = network().node(0, "graph")
    graph = xr.Dataset(
        {name: (array.dims, array.values) for name, array in held.arrays.items()}, attrs=held.attrs
    )
    store = MemoryStore(a=recording({"graph": graph}))

    def loader(seed: int = 1) -> Any:
        return load(
            store,
            splits=split_of(("a", "train", {})),
            sample=Neighbours((3, 2), seeds="layer"),
            target="layer",
            batch_size=7,
            seed=seed,
        )

    first = loader()
    epochs = [[batch["edge_id"].tolist() for batch in first] for _ in range(2)]
    assert epochs[0] != epochs[1]
    again = loader()
    seeds: list[int] = []
    for batch, edges in zip(again, epochs[0], strict=True):
        assert batch["edge_id"].tolist() == edges
        own = batch["node_id"][: batch["batch_size"]]
        np.testing.assert_array_equal(batch["target"], held["layer"].values[own])
        assert batch["units"] == "count"
        seeds += own.tolist()
    assert sorted(seeds) == np.flatnonzero(held["layer"].values).tolist()
    resumed = loader()
    resumed.go_to(1, 14)
    assert [batch["edge_id"].tolist() for batch in resumed] == epochs[1][2:]
    assert [batch["edge_id"].tolist() for batch in loader(seed=2)] != epochs[0]
