"""Steps whose numbers were fitted on recordings, seen against the sides of a split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from neurodata.errors import Problem
from neurodata.splits.facts import Facts
from neurodata.splits.form import listed
from neurodata.splits.split import Split
from neurodata.splits.twins import Key

TRAIN = "train"
PAST = "the past"


def fitted(split: Split, facts: Mapping[Key, Facts]) -> Iterator[Problem]:
    """Yield where numbers of a step were fitted on data that a model must not have seen.

    A step that names recordings (``fitted_on``) may name those for training only: an error. One
    that was fitted on each recording by itself saw all sides of a recording that is cut into
    several: a warning.
    """
    sides: dict[str, set[str]] = defaultdict(set)
    for entry in split.assignments:
        sides[entry["id"]].add(entry["split"])
    leaks: dict[str, set[str]] = defaultdict(set)
    whole: dict[str, set[str]] = defaultdict(set)
    for (name, _), known in facts.items():
        for step in known.steps:
            on, kind = step.get("fitted_on"), str(step.get("step"))
            if isinstance(on, str) and len(sides[name]) > 1 and not on.startswith(PAST):
                whole[kind].add(name)
            elif isinstance(on, (list, tuple)):
                named = {str(one).partition("@")[0] for one in on}
                leaks[kind] |= {one for one in named if sides.get(one, {TRAIN}) != {TRAIN}}
    for kind, names in leaks.items():
        if names:
            found = f"the step {kind} was fitted on {listed(names)}, which are not for training"
            hint = "fit it on recordings for training, and ingest again"
            yield Problem("error", split.dataset, found, "training data alone", hint)
    for kind, names in whole.items():
        found = f"the step {kind} was fitted on whole recordings, on all sides: {listed(names)}"
        hint = "use causal_scale, or the loader's scale, which is fitted on training data"
        yield Problem("warning", split.dataset, found, "numbers of one side", hint)
