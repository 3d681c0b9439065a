"""Run the tasks of a pipeline: audit, fit on train, predict test, score with an interval."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from neurodata.errors import InvalidInputError, LeakageError, MissingDependencyError, NotFoundError
from neurodata.models import MODELS, Array, Batches, Model, gathered
from neurodata.pipeline import Pipeline, TaskSpec
from neurodata.scoring.interval import interval
from neurodata.scoring.metrics import METRICS, squared_error
from neurodata.scoring.sides import Sides
from neurodata.scoring.tasks import sides_of
from neurodata.splits import Split, audit
from neurodata.splits.facts import facts_of
from neurodata.store import Store

FEW_BLOCKS = 10
Score = dict[str, Any]


def run_benchmark(
    store: Store, pipeline: Pipeline, splits: Mapping[str, Split], *, seed: int = 0
) -> list[Score]:
    """Score every model of the table on every task of a pipeline.

    Parameters
    ----------
    store : Store
    pipeline : Pipeline
    splits : mapping of str to Split
        By the names that the tasks use.
    seed : int
        Of models, bootstrap and rewired graphs.

    Returns
    -------
    list of dict
        ``task``, ``title``, ``dataset``, ``model``, ``role`` ("baseline" or "model"),
        ``metric``, ``higher_is_better``, ``value`` with its 95 % interval ``low`` to ``high``,
        ``units`` of these, ``n_test`` examples in ``n_blocks`` independent blocks,
        ``split_digest``, ``seed``, ``seconds``, ``note``; ready for JSON.

    Raises
    ------
    NotFoundError
        When a split is missing.
    PipelineError
        When a task is not of the form.
    LeakageError
        When the audit of a split finds an error.
    MissingDependencyError
        When a package is missing that is not optional.
    """
    return [score for task in pipeline.tasks for score in run_task(store, task, splits, seed=seed)]


def run_task(
    store: Store, task: TaskSpec, splits: Mapping[str, Split], *, seed: int = 0
) -> list[Score]:
    """Score every model of the table on one task (see `run_benchmark`)."""
    if task.split not in splits:
        known = ", ".join(splits) or "none"
        raise NotFoundError(f"task {task.name}", f"no split {task.split!r}", f"one of {known}")
    split = splits[task.split]
    _require_no_leak(split, store, task)
    chosen, note = _chosen(split, store, task)
    sides = sides_of(store, chosen, task, seed)
    _require_no_leak(split, store, task, window_s=sides.window_s, horizon_s=sides.horizon_s)
    predicted: dict[str, tuple[Array, float]] = {}
    notes = [note] if note else []
    models = MODELS[task.kind]
    for model in models:
        try:
            predicted[model.name] = _predicted(model, sides, seed)
        except MissingDependencyError as error:
            if not model.optional:
                raise
            notes.append(f"{model.name} left out: {error.found}")
    shared: Score = {
        "task": task.name,
        "title": task.title,
        "dataset": split.dataset,
        "split_digest": split.digest,
        "seed": seed,
    }
    found = _scored(sides, predicted, notes, seed)
    return [
        {**shared, "model": m.name, "role": m.role, **found[m.name]}
        for m in models
        if m.name in found
    ]


def _require_no_leak(split: Split, store: Store, task: TaskSpec, **reach: float | None) -> None:
    for problem in audit(split, store, **reach):
        if problem.level == "error":
            where = f"task {task.name}, split {task.split}: {problem.where}"
            raise LeakageError(where, problem.found, problem.expected, problem.hint)


def _chosen(split: Split, store: Store, task: TaskSpec) -> tuple[Split, str]:
    """Return the split with the task's recordings, each signal once, and a note on the others."""
    every = {item["id"]: item["version"] for item in split.assignments}
    wanted = task.options.get("recordings") or [name.partition("/")[2] for name in every]
    names = [f"{split.dataset}/{name}" for name in wanted]
    if lacking := [name for name in names if name not in every]:
        raise NotFoundError(f"task {task.name}", f"no {', '.join(lacking)}", ", ".join(every))
    seen: dict[str, str] = {}
    twins = []
    for name in names:
        arrays = facts_of(store.manifest(f"{name}@{every[name]}")).arrays
        held = [one for node, one in arrays.items() if task.node in (None, node)]
        key = "+".join(one.fingerprint for one in held) or name
        if seen.setdefault(key, name) != name:
            twins.append(name)
    kept = split.without(set(every) - set(seen.values()))
    return kept, f"same signal, left out: {', '.join(twins)}" if twins else ""


def _predicted(model: Model, sides: Sides, seed: int) -> tuple[Array, float]:
    """Fit on train and val, predict test; return predictions and seconds."""
    began = time.perf_counter()
    val = None if sides.val is None else _seen(sides.val, model.inputs)
    predict = model.function()(_seen(sides.train, model.inputs), val, seed)
    test = gathered(_seen(sides.test, model.inputs))
    found = np.asarray(predict(test["x"]))
    if found.shape != test["y"].shape:
        expected = f"{test['y'].shape}, as y has"
        raise InvalidInputError(f"model {model.name}", f"predictions {found.shape}", expected)
    return found, time.perf_counter() - began


def _seen(side: Batches, inputs: str) -> Batches:
    """Return the batches with the entry that a model sees as ``x``."""
    return side if inputs == "x" else [{**batch, "x": batch[inputs]} for batch in side]


def _scored(
    sides: Sides, predicted: Mapping[str, tuple[Array, float]], notes: list[str], seed: int
) -> dict[str, Score]:
    test, metric = gathered(sides.test), METRICS[sides.metric]
    y = test["y"]
    reference = predicted[sides.reference][0] if sides.reference else y
    scores = {}
    for name, (found, seconds) in predicted.items():
        terms = metric.terms(y, found, reference)
        blocks, block = sides.blocks(test, terms)
        low, high = interval(terms, blocks, metric.value, seed)
        count = len(np.unique(blocks))
        about = [f"{len(y)} {sides.examples} in {count} {block}"]
        if y.dtype.kind == "f":
            about.insert(0, _mse(y, found, sides.mse_units))
        if count < FEW_BLOCKS:
            about.append("few blocks: a rough interval")
        scores[name] = {
            "metric": f"{metric.name} over {sides.reference}" if sides.reference else metric.name,
            "higher_is_better": True,
            "value": float(metric.value(terms.sum(axis=0)[None])[0]),
            "low": low,
            "high": high,
            "units": "1",
            "n_test": len(y),
            "n_blocks": count,
            "seconds": round(seconds, 3),
            "note": "; ".join([*about, *notes]),
        }
    return scores


def _mse(y: Array, predicted: Array, units: str) -> str:
    return f"MSE {squared_error(y, predicted).mean():.4g} {units}".rstrip()
