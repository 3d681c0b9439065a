from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurodata
from neurodata.errors import (
    InvalidInputError,
    LeakageError,
    MissingDependencyError,
    NotFoundError,
    PipelineError,
)
from neurodata.models import MODELS, Model, gathered
from neurodata.pipeline import Pipeline, TaskSpec, names, read_pipeline
from neurodata.scoring import read_scores, run_benchmark, run_task, runner, write_scores
from neurodata.scoring.graph_features import node_features, rewired
from neurodata.scoring.interval import decorrelation_s, interval, time_blocks
from neurodata.scoring.metrics import METRICS
from neurodata.scoring.tasks import sides_of
from neurodata.scoring.timed import _log_powers
from neurodata.splits import Split, freeze, make_split
from neurodata.store import Store, open_store
from tests.synthetic_series import synthetic_autoregression

SCORED = [name for name in names() if read_pipeline(name)[0].tasks]
KEYS = {
    "task", "title", "dataset", "model", "role", "metric", "higher_is_better", "value", "low",
    "high", "units", "n_test", "n_blocks", "split_digest", "seed", "seconds", "note",
}  # fmt: skip
Bench = Callable[[str], tuple[Store, Pipeline, dict[str, Split]]]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Ingest a shipped data set once and freeze its splits."""
    folder = tmp_path_factory.mktemp("bench")
    store = open_store(folder / "store", create=True)

    def made(name: str) -> tuple[Store, Pipeline, dict[str, Split]]:
        pipeline, _ = read_pipeline(name)
        if not store.ids(name):
            neurodata.ingest(name, store=store)
        files = freeze(store, pipeline, folder / "splits")
        return store, pipeline, {key: Split.read(path) for key, path in files.items()}

    return made


def only(monkeypatch: pytest.MonkeyPatch, kind: str, *models: Model) -> None:
    monkeypatch.setattr(runner, "MODELS", {**MODELS, kind: models})


def with_fit(monkeypatch: pytest.MonkeyPatch, fit: Any, name: str = "spy") -> Model:
    """Return a line of the table whose function is `fit`."""
    model = Model(name, "model", "none")
    inner = Model.function

    def function(self: Model) -> Any:
        return fit if self.name == name else inner(self)

    monkeypatch.setattr(Model, "function", function)
    return model


@pytest.mark.parametrize("name", SCORED)
def test_every_shipped_task_is_scored(
    name: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything of the table runs on real recordings; one epoch of the network is enough here."""
    from neurodata.models import network

    monkeypatch.setattr(network, "EPOCHS", 1)
    store, pipeline, splits = bench(name)
    scores = run_benchmark(store, pipeline, splits)
    assert {score["task"] for score in scores} == {task.name for task in pipeline.tasks}
    for score in scores:
        assert set(score) == KEYS
        assert -math.inf < score["low"] <= score["value"] <= score["high"] <= 1, score
        assert score["split_digest"] in {split.digest for split in splits.values()}
        assert score["n_test"] >= score["n_blocks"] >= 2
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    for task in pipeline.tasks:
        roles = {score["role"] for score in scores if score["task"] == task.name}
        assert roles == {"baseline", "model"}


def test_the_same_seed_gives_the_same_scores(bench: Bench) -> None:
    store, pipeline, splits = bench("mushroom_body")

    def values(seed: int) -> list[tuple[float, float, float]]:
        found = run_benchmark(store, pipeline, splits, seed=seed)
        return [(score["value"], score["low"], score["high"]) for score in found]

    assert values(3) == values(3) != values(4)


def test_what_the_models_beat_and_what_they_do_not(bench: Bench) -> None:
    """The findings that a reader takes home, on real recordings."""
    rows = {
        name: {s["model"]: s for s in run_benchmark(*bench(name))}
        for name in ("mushroom_body", "spikes_mouse", "gripforce_ieeg", "nuclei")
    }
    cells = rows["mushroom_body"]
    assert cells["most frequent class"]["value"] == 0.25
    assert 0.25 < cells["null graph"]["value"] < cells["random forest"]["value"]
    spikes = rows["spikes_mouse"]
    assert spikes["persistence"]["high"] < 0 < spikes["Poisson regression"]["value"]
    assert rows["gripforce_ieeg"]["ridge"]["low"] < 0, "one grip in six seconds proves nothing"


def test_twins_are_scored_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    store, pipeline, splits = bench("eeg_fp1")
    task = pipeline.tasks[0]
    only(monkeypatch, "forecast", MODELS["forecast"][0])
    (score,) = run_task(store, task, splits)
    assert "same signal, left out: eeg_fp1/test_utf8" in score["note"]
    named = task.model_copy(update={"options": {**task.options, "recordings": ["test_utf8"]}})
    (alone,) = run_task(store, named, splits)
    assert (alone["value"], alone["n_test"]) == (score["value"], score["n_test"])
    assert alone["split_digest"] == score["split_digest"] == splits["time"].digest


def test_fit_sees_nothing_of_the_test_side(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    store, pipeline, splits = bench("miniscope_mouse")
    seen: list[tuple[float, float]] = []

    def fit(train: Any, val: Any, seed: int) -> Any:
        for side in (train, val):
            start_s = gathered(side)["start_s"]
            seen.append((float(start_s.min()), float(start_s.max())))
        return lambda x: x[..., -1]

    only(monkeypatch, "forecast", MODELS["forecast"][0], with_fit(monkeypatch, fit))
    run_task(store, pipeline.tasks[0], splits)
    for (first, last), side in zip(seen, ("train", "val"), strict=True):
        (own,) = splits["time"].assignments_of(side)
        assert own["start_s"] <= first
        assert last + (15 + 3 - 1) / 30 < own["stop_s"], "15 samples and 3 ahead, at 30 Hz"


def test_scaling_is_fitted_on_the_training_side(bench: Bench) -> None:
    store, pipeline, splits = bench("miniscope_mouse")
    sides = sides_of(store, splits["time"], pipeline.tasks[0], 0)
    (own,) = splits["time"].assignments_of("train")
    signal = store[own["id"]]["traces"]["signal"]
    training = signal.values[signal["time"].values < own["stop_s"]]
    test = gathered(sides.test)
    time_s = signal["time"].values
    at = np.searchsorted(time_s, test["start_s"][7] - 1e-9)
    expected = (signal.values[at] - training.mean(axis=0)) / training.std(axis=0)
    np.testing.assert_allclose(test["x"][7, :, 0], expected, atol=0.02)


def test_shuffled_labels_give_chance(bench: Bench) -> None:
    """Over shuffles, 1 in 4 classes is right: nothing but the label tells the class."""
    store, pipeline, splits = bench("mushroom_body")
    sides = sides_of(store, splits["hemisphere"], pipeline.tasks[0], 0)
    fit, (train,), test = MODELS["segmentation"][1].function(), sides.train, gathered(sides.test)
    found = []
    for seed in range(16):
        shuffled = np.random.default_rng(seed).permutation(train["y"])
        predicted = fit([{**train, "y": shuffled}], None, seed)(test["x"])
        found.append(total("balanced accuracy", test["y"], predicted))
    assert np.mean(found) == pytest.approx(0.25, abs=3 * np.std(found) / 4)


def test_a_gap_shorter_than_window_and_horizon_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, pipeline, _ = bench("eeg_fp1")
    split = make_split(store, "eeg_fp1", by="time", gap_s=0.25)

    def fit(train: Any, val: Any, seed: int) -> Any:
        raise AssertionError("nothing is fitted on a leaking split")

    only(monkeypatch, "forecast", with_fit(monkeypatch, fit))
    with pytest.raises(LeakageError, match="forecast"):
        run_task(store, pipeline.tasks[0], {"time": split})


def test_a_changed_split_is_refused(bench: Bench) -> None:
    store, pipeline, splits = bench("mushroom_body")
    forged = replace(splits["hemisphere"], digest="0" * 64)
    with pytest.raises(LeakageError, match="digest"):
        run_benchmark(store, pipeline, {"hemisphere": forged})


def test_predictions_of_another_shape_are_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(n,) against (n, 1) would broadcast to n × n errors and give a plausible number."""
    store, pipeline, splits = bench("eeg_fp1")
    flat = with_fit(monkeypatch, lambda train, val, seed: lambda x: x[:, 0, -1])
    only(monkeypatch, "forecast", flat)
    with pytest.raises(InvalidInputError, match="as y has"):
        run_task(store, pipeline.tasks[0], splits)


def test_without_torch_the_network_is_left_out_with_a_note(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neurodata.models import network

    def absent(module: str, extra: str) -> Any:
        raise MissingDependencyError("import", f"no package {module!r}", extra, "pip install")

    monkeypatch.setattr(network, "need", absent)
    only(monkeypatch, "forecast", MODELS["forecast"][0], MODELS["forecast"][3])
    (score,) = run_benchmark(*bench("eeg_fp1"))
    assert "convolutional net left out: no package 'torch'" in score["note"]


def test_without_scikit_learn_it_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(MissingDependencyError, match=r"\[models\]"):
        run_benchmark(*bench("mushroom_body"))


def test_importing_scoring_imports_no_model_package() -> None:
    code = "import sys, neurodata.scoring; print({'torch', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "divination"}, "one of forecast"),
        ({"options": {"label": "cell_class", "lable": "x"}}, "lable"),
        ({"options": {}}, "label"),
    ],
)
def test_a_task_of_another_form_is_refused(
    change: dict[str, Any], message: str, bench: Bench
) -> None:
    store, pipeline, splits = bench("mushroom_body")
    task = pipeline.tasks[0].model_copy(update=change)
    with pytest.raises(PipelineError, match=message):
        run_task(store, task, splits)


def test_missing_splits_and_recordings_are_named(bench: Bench) -> None:
    store, pipeline, splits = bench("mushroom_body")
    with pytest.raises(NotFoundError, match="hemisphere"):
        run_task(store, pipeline.tasks[0], {})
    task = pipeline.tasks[0].model_copy(update={"options": {"recordings": ["middle"]}})
    with pytest.raises(NotFoundError, match="mushroom_body/middle"):
        run_task(store, task, splits)


def test_resampling_that_shows_the_future_is_refused(bench: Bench) -> None:
    store, pipeline, splits = bench("miniscope_mouse")
    for change in ({"resample_hz": 10.0}, {"horizon_s": 1 / 30}):
        options = {**pipeline.tasks[0].options, **change}
        task = TaskSpec(name="f", kind="forecast", split="time", title="f", options=options)
        with pytest.raises(InvalidInputError, match="own rate and a horizon of two samples"):
            run_task(store, task, splits)


# Metrics and intervals


def total(name: str, y: Any, predicted: Any, reference: Any = None) -> float:
    metric = METRICS[name]
    return float(metric.value(metric.terms(y, predicted, reference).sum(axis=0)[None])[0])


def test_metrics_agree_with_scikit_learn() -> None:
    from sklearn import metrics

    rng = np.random.default_rng(0)
    y, predicted = rng.choice(list("IKOP"), (2, 300), p=[0.1, 0.5, 0.15, 0.25])
    expected = metrics.balanced_accuracy_score(y, predicted)
    assert total("balanced accuracy", y, predicted) == pytest.approx(expected)
    inside, found = rng.random((2, 300)) > 0.6
    assert total("Dice", inside, found) == pytest.approx(metrics.f1_score(inside, found))
    values, guess = rng.normal(size=(2, 300, 2))
    mean = np.broadcast_to(values.mean(axis=0), values.shape)
    expected = metrics.r2_score(values, guess, multioutput="variance_weighted")
    assert total("skill", values, guess, mean) == pytest.approx(expected)


def mean_of(sums: Any) -> Any:
    return sums[:, 0] / sums[:, 1]


def test_the_interval_of_a_mean_is_the_textbook_one() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    terms = np.column_stack([values, np.ones(400)])
    low, high = interval(terms, np.arange(400), mean_of, seed=0)
    half = 1.96 * values.std() / np.sqrt(400)
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_blocks_of_time_cover_the_truth_of_an_autocorrelated_series() -> None:
    """Nominal 95 %: blocks come near it, single samples do not (synthetic AR(1), mean 0)."""
    n, hits = 600, {"blocks": 0, "samples": 0}
    for seed in range(100):
        series = synthetic_autoregression(n, 0.9, seed)
        terms = np.column_stack([series, np.ones(n)])
        blocks, _ = time_blocks(np.zeros(n, int), np.arange(n) * 0.1, terms, 0.1)
        for name, numbers in (("blocks", blocks), ("samples", np.arange(n))):
            low, high = interval(terms, numbers, mean_of, seed)
            hits[name] += low <= 0 <= high
    assert hits["blocks"] >= 86
    assert hits["samples"] <= 60


def test_two_blocks_widen_the_interval_to_all_that_was_drawn() -> None:
    """Student's t with 1 degree of freedom is 12.7: no share of the draws is left out."""
    terms = np.array([[0.0, 1.0], [1.0, 1.0]])
    assert interval(terms, np.arange(2), mean_of, seed=0) == (0.0, 1.0)


@pytest.mark.parametrize("phi", [0.5, 0.9, 0.97])
def test_decorrelation_time_of_a_synthetic_autoregression(phi: float) -> None:
    series = synthetic_autoregression(50_000, phi, seed=7)
    found = decorrelation_s(np.arange(50_000) * 0.5, np.column_stack([series, series * 0 + 1]))
    assert found == pytest.approx(0.5 * -1 / np.log(phi), abs=0.5 + 0.1 * found)


def test_blocks_never_cross_recordings_and_one_block_is_refused() -> None:
    recording, start_s = np.repeat([0, 1], 6), np.tile(np.arange(6.0), 2)
    terms = np.tile([1.0, -1.0], 6)[:, None]
    blocks, length_s = time_blocks(recording, start_s, terms, 4.0)
    assert length_s == 4.0
    assert blocks.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3]
    with pytest.raises(InvalidInputError, match="two or more"):
        interval(np.ones((3, 2)), np.zeros(3, int), mean_of, seed=0)


# Features


def synthetic_graph(seed: int) -> tuple[Any, Any, int]:
    rng = np.random.default_rng(seed)
    links = np.argwhere(rng.random((30, 30)) < 0.2).T
    return links, rng.integers(1, 9, links.shape[1]), 30


def test_node_features_agree_with_networkx() -> None:
    import networkx

    edges, weight, nodes = synthetic_graph(0)
    graph = networkx.DiGraph()
    graph.add_nodes_from(range(nodes))
    graph.add_weighted_edges_from(zip(*edges.tolist(), weight.tolist(), strict=True))
    found = node_features(edges, weight, nodes)
    expected = [
        [d / nodes for _, d in graph.in_degree()],
        [d / nodes for _, d in graph.out_degree()],
        [math.log1p(d) for _, d in graph.in_degree(weight="weight")],
        [math.log1p(d) for _, d in graph.out_degree(weight="weight")],
    ]
    np.testing.assert_allclose(found[:, :4].T, expected)
    returned = [
        sum(graph.has_edge(b, a) for _, b in graph.out_edges(a)) / max(1, graph.out_degree(a))
        for a in graph
    ]
    np.testing.assert_allclose(found[:, 6], returned)
    hubs, authorities = networkx.hits(graph, max_iter=1000)
    for column, scores in ((8, hubs), (9, authorities)):
        np.testing.assert_allclose(
            found[:, column] / found[:, column].sum(), [scores[n] for n in range(nodes)], atol=1e-6
        )
    after = np.array([np.mean([found[b, :10] for b in graph[a]], axis=0) for a in graph])
    np.testing.assert_allclose(found[:, 10:20], after)


def test_node_features_do_not_know_who_a_neuron_is() -> None:
    edges, weight, nodes = synthetic_graph(1)
    names = np.random.default_rng(2).permutation(nodes)
    moved = node_features(names[edges], weight, nodes)
    np.testing.assert_allclose(moved[names], node_features(edges, weight, nodes), atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_a_rewired_graph_keeps_degrees_and_nothing_else(seed: int) -> None:
    edges, _, nodes = synthetic_graph(seed)
    found = rewired(edges, seed)
    for before, after in zip(edges, found, strict=True):
        np.testing.assert_array_equal(np.bincount(before, minlength=nodes),
                                      np.bincount(after, minlength=nodes))  # fmt: skip
    pairs, old = (set(map(tuple, e.T.tolist())) for e in (found, edges))
    assert len(pairs) == edges.shape[1], "no edge twice"
    assert sum(a == b for a, b in pairs) <= sum(a == b for a, b in old), "no new loop"
    assert len(pairs & old) < 0.5 * len(pairs)


def test_band_powers_of_a_synthetic_sine() -> None:
    time_s = np.arange(500) / 1000
    sine = np.sin(2 * np.pi * 10 * time_s)
    bands = [(8, 12), (13, 20), (65, 115)]
    once, twice = _log_powers(np.stack([sine, 2 * sine])[:, None], 1000.0, bands)
    assert once.argmax() == 0
    assert once[0] - once[2] > 10
    np.testing.assert_allclose(twice - once, math.log(4), atol=1e-3)
    with pytest.raises(InvalidInputError, match="a band under 50 Hz"):
        _log_powers(sine[None, None], 100.0, [(65, 115)])


# Score files


def test_score_files_are_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    write_scores([{"task": "a", "value": 0.5}], path)
    with pytest.raises(ValueError, match="JSON"):
        write_scores([{"task": "a", "value": math.nan}], path)
    assert read_scores(path) == [{"task": "a", "value": 0.5}]
    assert json.loads(path.read_text())["format"] == "neurodata-scores/1"
    assert [found.name for found in path.parent.iterdir()] == ["a.json"]


@pytest.mark.parametrize("text", ["[]", '{"format": "neurodata-split/1", "scores": []}'])
def test_other_files_are_no_scores(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match="neurodata-scores/1"):
        read_scores(path)
