"""Steps: what is done with a recording between reading and storing, as a pipeline declares it.

A pipeline's ``steps`` is a list such as ``{step: filter, low_hz: 0.5, high_hz: 40}``; each works
on the one node of its representation, or on that of ``node``. Steps are lazy: a recording of any
size needs a few blocks of memory. What was done, with all parameters, is in the manifest.

A new step is one class in a module here and one line in the table below.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import xarray as xr
from pydantic import ValidationError

from neurodata.errors import InvalidInputError, PipelineError, Problem
from neurodata.safe import Raw
from neurodata.steps.step import Step

TABLE = {
    "filter": "neurodata.steps.filtering:Filter",
    "notch": "neurodata.steps.filtering:Notch",
    "smooth": "neurodata.steps.filtering:Smooth",
    "derivative": "neurodata.steps.filtering:Derivative",
    "resample": "neurodata.steps.resampling:Resample",
    "regularise": "neurodata.steps.clocks:Regularise",
    "cut": "neurodata.steps.clocks:Cut",
    "reference": "neurodata.steps.channels:Reference",
    "pick": "neurodata.steps.channels:Pick",
    "robust_scale": "neurodata.steps.levels:RobustScale",
    "fixed_scale": "neurodata.steps.levels:FixedScale",
    "dff": "neurodata.steps.levels:Dff",
    "causal_scale": "neurodata.steps.levels:CausalScale",
    "window": "neurodata.steps.images:Window",
    "reorient": "neurodata.steps.images:Reorient",
    "regrid": "neurodata.steps.images:Regrid",
    "harmonise_names": "neurodata.steps.naming:HarmoniseNames",
    "symmetrise": "neurodata.steps.graphs:Symmetrise",
    "sign_from_transmitter": "neurodata.steps.signs:SignFromTransmitter",
    "null_model": "neurodata.steps.nulls:NullModel",
    "external": "neurodata.steps.external:External",
}

__all__ = ["TABLE", "Step", "apply", "before_reading", "located", "mark", "parse"]


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
            step = _kind(name).model_validate(rest)
            found.append(step)
            if step.on_files and number:
                faults.append(f"steps.{number}: works on files, so that it must come first")
            faults += [
                f"steps.{number}.{key}: no file {path.name}"
                for key in step.files
                if (path := Path(getattr(step, key) or "")).name and not path.is_file()
            ]
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


def located(given: Sequence[Mapping[str, Any]], folder: Path) -> tuple[dict[str, Any], ...]:
    """Return steps as a pipeline lists them, the paths of their files counted from its folder."""
    return tuple(
        {
            key: str(folder / value) if key in _files(facts) and isinstance(value, str) else value
            for key, value in facts.items()
        }
        for facts in given
    )


def _files(facts: Mapping[str, Any]) -> tuple[str, ...]:
    name = facts.get("step")
    return _kind(name).files if name in TABLE else ()


def mark(steps: Sequence[Step]) -> str:
    """Return what the steps add to the name of a recording that is no longer what was recorded."""
    return "".join(step.mark for step in steps)


def before_reading(steps: Sequence[Step], raw: Raw, name: str) -> tuple[Raw, str]:
    """Return the files to be read and their reader's name, after a step that works on files."""
    from neurodata.steps.external import External

    first = steps[0] if steps else None
    if not isinstance(first, External) or not first.on_files:
        return raw, name
    return first.of_files(raw, f"steps: {first.name}"), first.reader


def apply(
    tree: xr.DataTree, steps: Sequence[Step], problems: list[Problem] | None = None
) -> xr.DataTree:
    """Return a recording in raw form after some steps, lazily.

    Parameters
    ----------
    problems : list of Problem, optional
        Where the findings of the steps are added.

    Raises
    ------
    InvalidInputError
        When a step finds no node or several, or one that it cannot work on.
    """
    if not steps:
        return tree
    nodes = {path: node.to_dataset() for path, node in tree.subtree_with_keys}
    for step in [step for step in steps if not step.on_files]:
        for path in _paths(nodes, step):
            made = step.parts(path, nodes[path], f"steps: {step.name} of {path}")
            if problems is not None:
                problems += step.findings(nodes[path], made)
            nodes = _replaced(nodes, path, made)
    for path, node in nodes.items():
        for name in ("signal", "image"):
            if name in node and node[name].dtype == "float64":
                nodes[path] = node.assign({name: node[name].astype("float32")})
    return xr.DataTree.from_dict(nodes, name=tree.name)


def _replaced(
    nodes: Mapping[str, xr.Dataset], path: str, made: Mapping[str, xr.Dataset]
) -> dict[str, xr.Dataset]:
    found: dict[str, xr.Dataset] = {}
    for name, node in nodes.items():
        found.update(made if name == path else {name: node})
    if len(found) != len(nodes) - 1 + len(made):
        twice = ", ".join(set(made) & set(nodes) - {path})
        raise InvalidInputError(f"steps: {path}", f"a node {twice} already", "another name", "")
    return found


def _paths(nodes: Mapping[str, xr.Dataset], step: Step) -> list[str]:
    own = [p for p, node in nodes.items() if node.attrs.get("representation") in step.works_on]
    if step.node is not None:
        own = [path for path in own if fnmatchcase(path.strip("/"), step.node.strip("/"))]
    if len(own) == 1 or (own and "*" in (step.node or "")):
        return own
    there = ", ".join(f"{p} ({n.attrs.get('representation', 'root')})" for p, n in nodes.items())
    raise InvalidInputError(
        f"steps: {step.name}",
        f"{len(own)} nodes that it could mean, among {there}",
        f"one {' or '.join(step.works_on)} node",
        f"name it by node: {own[0].strip('/') if own else 'NAME'}",
    )
