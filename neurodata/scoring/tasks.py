"""The kinds of tasks: a function each, whose keywords are the options that a pipeline may set."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from neurodata.errors import PipelineError
from neurodata.pipeline import TaskSpec
from neurodata.scoring.graphs import node_classification
from neurodata.scoring.sides import Sides
from neurodata.scoring.spatial import inpainting, segmentation
from neurodata.scoring.timed import forecast, forecast_counts, forecast_volumes, regression
from neurodata.splits import Split
from neurodata.store import Store

KINDS: Mapping[str, Callable[..., Sides]] = {
    function.__name__: function
    for function in (
        forecast,
        forecast_counts,
        forecast_volumes,
        regression,
        node_classification,
        segmentation,
        inpainting,
    )
}


def sides_of(store: Store, split: Split, task: TaskSpec, seed: int) -> Sides:
    """Return a task's sides, ready to be scored.

    Raises
    ------
    PipelineError
        When there is no such kind of task, or its options are not those of the kind.
    """
    if task.kind not in KINDS:
        raise PipelineError(f"task {task.name}", repr(task.kind), f"one of {', '.join(KINDS)}")
    options = {key: value for key, value in task.options.items() if key != "recordings"}
    try:
        inspect.signature(KINDS[task.kind]).bind(store, split, task.node, seed, **options)
    except TypeError as error:
        raise PipelineError(
            f"task {task.name}", str(error), f"the options of {task.kind}", "mend its options"
        ) from error
    return KINDS[task.kind](store, split, task.node, seed, **options)
