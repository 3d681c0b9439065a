"""Steps: what is done with a recording between reading and storing, as a pipeline declares it.

A pipeline's ``steps`` is a list such as ``{step: filter, low_hz: 0.5, high_hz: 40}``; each works
on the one node of its representation, or on that of ``node``. Steps are lazy: a recording of any
size needs a few blocks of memory. What was done, with all parameters, is in the manifest.

A new step is one class in a module here and one line in the table below.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr
from pydantic import ValidationError

from neurodata.errors import InvalidInputError, PipelineError
from neurodata.steps.step import Step

TABLE = {
    "filter": "neurodata.steps.filtering:Filter",
    "notch": "neurodata.steps.filtering:Notch",
    "smooth": "neurodata.steps.filtering:Smooth",
    "resample": "neurodata.steps.resampling:Resample",
    "reference": "neurodata.steps.channels:Reference",
    "pick": "neurodata.steps.channels:Pick",
    "robust_scale": "neurodata.steps.levels:RobustScale",
    "dff": "neurodata.steps.levels:Dff",
    "causal_scale": "neurodata.steps.levels:CausalScale",
    "window": "neurodata.steps.images:Window",
    "reorient": "neurodata.steps.images:Reorient",
    "regrid": "neurodata.steps.images:Regrid",
    "symmetrise": "neurodata.steps.graphs:Symmetrise",
}

__all__ = ["TABLE", "Step", "apply", "parse"]


def parse(given: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """Return the steps that a pipeline lists.

    Raises
    ------
    PipelineError
        When a step is not known or its parameters are not of the allowed form; all are listed.

    Examples
    --------
    >>> [step.record() for step in parse([{"step": "filter", "high_hz": 40.0}])]
    [{'step': 'filter', 'high_hz': 40.0}]
    """
    found, faults = [], []
    for number, facts in enumerate(given):
        rest = dict(facts)
        name = rest.pop("step", None)
        if name not in TABLE:
            faults.append(f"steps.{number}: {name!r}, not one of {', '.join(TABLE)}")
            continue
        try:
            found.append(_kind(name).model_validate(rest))
        except ValidationError as error:
            faults += [
                f"steps.{number}.{'.'.join(map(str, e['loc']))}: {e['msg']}"
                for e in error.errors(include_url=False)
            ]
    if faults:
        raise PipelineError("steps", "; ".join(faults), "steps of docs/steps.md", "mend them")
    return tuple(found)


def _kind(name: str) -> type[Step]:
    module, _, kind = TABLE[name].partition(":")
    found: type[Step] = getattr(importlib.import_module(module), kind)
    return found


def apply(tree: xr.DataTree, steps: Sequence[Step]) -> xr.DataTree:
    """Return a recording in raw form after some steps, lazily.

    Raises
    ------
    InvalidInputError
        When a step finds no node or several, or one that it cannot work on.
    """
    if not steps:
        return tree
    nodes = {path: node.to_dataset() for path, node in tree.subtree_with_keys}
    for step in steps:
        path = _node(nodes, step)
        nodes[path] = step.apply(nodes[path], f"steps: {step.name} of {path}")
    for path, node in nodes.items():
        for name in ("signal", "image"):
            if name in node and node[name].dtype == "float64":
                nodes[path] = node.assign({name: node[name].astype("float32")})
    return xr.DataTree.from_dict(nodes, name=tree.name)


def _node(nodes: Mapping[str, xr.Dataset], step: Step) -> str:
    own = [p for p, node in nodes.items() if node.attrs.get("representation") == step.works_on]
    if step.node is not None:
        own = [path for path in own if path.strip("/") == step.node.strip("/")]
    if len(own) == 1:
        return own[0]
    there = ", ".join(f"{p} ({n.attrs.get('representation', 'root')})" for p, n in nodes.items())
    raise InvalidInputError(
        f"steps: {step.name}",
        f"{len(own)} nodes that it could mean, among {there}",
        f"one {step.works_on} node",
        f"name it by node: {own[0].strip('/') if own else 'NAME'}",
    )
