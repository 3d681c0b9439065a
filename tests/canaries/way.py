"""The whole way of a recording: ingest, list, check, verify, divide, draw, give away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from typer.testing import CliRunner

import neurodata.cli.more_verbs  # noqa: F401 - adds its verbs to the app
from neurodata.cli.verbs import app
from neurodata.store import Store, open_store
from tests.canaries import cells, graphs, images, potentials
from tests.canaries.marks import CASES, Case, Marks, made
from tests.canaries.search import Finder, arrays, files

MAKERS = (potentials, cells, images, graphs)
"""The modules whose makers are in `CASES` once they are imported."""
DATASET = "synthetic"
LICENCE = "licence=CC0-1.0"


@dataclass
class Way:
    """What became of the recordings of all cases, and where their marks were found again.

    Attributes
    ----------
    marks : dict of str to Marks
        By case; those that could not be made are left out.
    failed : dict of str to str
        What a case's ingest said that gave no recording.
    found : dict of str to set of str
        By mark, the files, arrays and outputs that have it; names of files that the console
        tells at ingest are left out.
    """

    store: Store
    marks: dict[str, Marks] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    found: dict[str, set[str]] = field(default_factory=dict)
    recordings: dict[str, str] = field(default_factory=dict)


def call(*argv: object) -> tuple[int, str]:
    """Run a verb in this process; return its exit code and all that it printed."""
    done = CliRunner().invoke(app, [str(word) for word in argv])
    return done.exit_code, done.output + done.stderr


def texts_of(drawn: Figure) -> bytes:
    """Return all texts of a picture, to be looked through in place of its pixels."""
    return "\n".join(text.get_text() for text in drawn.findobj(Text)).encode()


def went(folder: Path) -> Way:
    """Take the recordings of all cases the whole way, in one store below a folder."""
    store = folder / "store"
    way = Way(open_store(store, create=True))
    printed: list[tuple[str, str, str]] = []
    for one in CASES.values():
        _ingest(one, folder, way, printed)
    ids = way.store.ids()
    outputs = folder / "outputs"
    verbs = {
        "ls": ["ls", "--store", store, "--json"],
        "validate": ["validate", "--store", store, "--json"],
        "verify": ["verify", "--store", store, "--json"],
        "show": ["show", ids[0], "--store", store],
        "split": ["split", DATASET, "--by", "modality", "--fractions", "train=0.5,test=0.5",
                  "--splits", outputs / "splits", "--store", store],
        "report": ["report", "--store", store, "--splits", outputs / "splits", "--scores",
                   outputs / "scores", "--out", outputs / "report.html"],
        "push": ["push", DATASET, outputs / "pushed", "--splits", outputs / "splits", "--store",
                 store],
        "rebuild": ["rebuild", "--store", store, "--json"],
    }  # fmt: skip
    for name, words in verbs.items():
        with mock.patch("neurodata.report.pictures.png", texts_of):
            code, text = call(*words)
        printed.append(("", name, text))
        if code:
            way.failed[name] = text
    every = {mark for marks in way.marks.values() for mark in marks.planted}
    kept = {mark for marks in way.marks.values() for mark in marks.kept}
    finder = Finder(every, [each.partition("/")[2] for each in ids], kept)
    way.found = finder.where(_written(way.store, outputs))
    for case, verb, text in printed:
        names = way.marks[case].names if case in way.marks else set()
        for mark in finder.find(text.encode()) - names:
            way.found.setdefault(mark, set()).add(f"output of {verb} {case}".strip())
    return way


def _ingest(one: Case, folder: Path, way: Way, printed: list[tuple[str, str, str]]) -> None:
    try:
        top, marks = made(one, folder / "raw" / one.name)
    except pytest.skip.Exception:
        return
    before = set(way.store.ids())
    facts = [
        word for key, value in {**one.declare}.items() for word in ("--set", _fact(key, value))
    ]
    words = ["ingest", top, "--dataset", DATASET, "--store", way.store.path, "--direct", "--json"]
    _, text = call(*words, "--set", LICENCE, *facts)
    printed.append((one.name, "ingest", text))
    way.marks[one.name] = marks
    new = set(way.store.ids()) - before
    readers = {way.store.manifest(each)["reader"] for each in new}
    if len(new) != 1 or readers != {one.reader}:
        way.failed[one.name] = f"{sorted(new)} by {sorted(readers)}: {text}"
    else:
        way.recordings[one.name] = new.pop()


def _fact(key: str, value: Any) -> str:
    return f"{key}={','.join(map(str, value)) if isinstance(value, list) else value}"


def _written(store: Store, outputs: Path) -> Iterator[tuple[str, bytes]]:
    """Yield all that was written: the store, its arrays unpacked, and what verbs made of it."""
    kept = {}
    for name, data in files(store.path):
        kept[name] = data
        yield f"store: {name}", data
    for one in store.ids():
        for name, data in arrays(store.zarr(one)):
            yield f"store: {one}: {name}", data
    for name, data in files(outputs):
        _, is_store, inside = name.partition("pushed/stores/")
        if not (is_store and kept.get(inside) == data):  # else looked at already
            yield f"outputs: {name}", data


def removed(way: Way, name: str) -> list[dict[str, str]]:
    """Return what a case's manifest says was left behind."""
    found: list[dict[str, str]] = json.loads(json.dumps(
        way.store.manifest(way.recordings[name]).get("removed") or []
    ))  # fmt: skip
    return found
