"""What may name a person in a data set that is given away: texts in images, names of files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from neurodata.errors import Problem
from neurodata.readers.bids import entities
from neurodata.store import Store

SHOWN = 5


def texts(store: Store, ids: Iterable[str]) -> list[Problem]:
    """Return a warning for images with text in their pixels, and for ids that were files' names."""
    manifests = {one: store.manifest(one) for one in sorted(ids)}
    kinds = (
        (burned_in, "images with text burned into their pixels", "burned_in=no",
         "look at them; if it names nobody, ingest them again with --set burned_in=no"),
        (named_by_its_file, "recordings named after their files", "names that name nobody",
         "look at the ids; rename the files and ingest them again where one names a person"),
    )  # fmt: skip
    problems = []
    for is_one, found, expected, hint in kinds:
        some = [one for one, manifest in manifests.items() if is_one(manifest)]
        if some:
            where = ", ".join(some[:SHOWN])
            problems.append(Problem("warning", where, f"{found} ({len(some)} in all)",
                                    expected, hint))  # fmt: skip
    return problems


def burned_in(manifest: Mapping[str, Any]) -> bool:
    """Say whether a recording is one of images whose header states burned-in text.

    Examples
    --------
    >>> burned_in({"attrs": {"burned_in": "yes"}}), burned_in({"attrs": {}})
    (True, False)
    """
    return bool(manifest["attrs"].get("burned_in") == "yes")


def named_by_its_file(manifest: Mapping[str, Any]) -> bool:
    """Say whether a recording's id was made of file names that no pipeline lists, nor BIDS.

    Examples
    --------
    >>> raw = [{"size": 1, "sha256": "..."}]
    >>> [named_by_its_file({"recording": name, "inputs": raw}) for name in ("jane", "sub-01_eeg")]
    [True, False]
    """
    inputs = manifest.get("inputs") or ()
    listed = any("name" in item for item in inputs)
    return bool(inputs) and not listed and not entities(Path(str(manifest["recording"])))
