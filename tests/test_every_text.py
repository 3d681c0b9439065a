"""Each text of each format is replaced, one at a time: what is stored has it in names alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import dask
import pytest
import xarray as xr

from neurodata import privacy
from neurodata.errors import NeurodataError
from neurodata.ingestion import normalise
from neurodata.plan import Job
from neurodata.readers import TABLE
from neurodata.safe import Raw
from tests.hostile import twins

pytestmark = pytest.mark.slow
TEXT = re.compile(rb"[A-Za-z][A-Za-z0-9 _.,:;/'@-]{4,}[A-Za-z0-9]")
MOST_TEXTS, MOST_BYTES = 80, 200_000  # of a file
MARK = "QZCNRYKX"
READERS = {module: name for name, module in TABLE.items()}
NAMES = {
    "timeseries/channel", "volume/channel", "intervals/label", "graph/node_id",
    "graph: a column", "the attribute indicator",
}  # fmt: skip
"""Where a text of a file may be found again: names that users need, and the indicator."""


def marked(whole: bytes) -> Iterator[bytes]:
    """Yield a file with one of its texts replaced by a mark of the same length."""
    for hit in list(TEXT.finditer(whole[:MOST_BYTES]))[:MOST_TEXTS]:
        size = len(hit[0])
        yield whole[: hit.start()] + (MARK * size)[:size].encode() + whole[hit.end() :]


def places(tree: xr.DataTree) -> Iterator[str]:
    """Yield where in a tree there is a part of a mark."""
    part = MARK[:6]
    for node in tree.subtree:
        kind = str(node.attrs.get("representation", "recording"))
        if part in node.path:
            yield "the name of a node"
        for key, value in node.attrs.items():
            if part in f"{key} {value}":
                yield f"the attribute {key}"
        for name, variable in node.to_dataset(inherit=False).variables.items():
            if part in str(name):
                yield f"{kind}: a column"
            if part in str(variable.attrs):
                yield f"{kind}/{name}: an attribute"
            if variable.dtype.kind in "OUT" and part in str(variable.values.tolist()):
                yield f"{kind}/{name}"


def found(story: str, folder: Path) -> Iterator[set[str]]:
    """Yield for each text that may be replaced where it is stored."""
    tests = twins.tests_of(story)
    main = twins.make(story, folder)
    files = sorted(path for path in main.parent.rglob("*") if path.is_file())
    for path in files:
        whole = path.read_bytes()
        for changed in marked(whole):
            path.write_bytes(changed)
            try:
                members = tests.reader.members(main, files)
                raw = Raw(main.parent, members)
                reader = READERS[tests.reader.__name__]
                job = Job("synthetic", "a", main.parent, members, reader, dict(tests.declare))
                tree, problems = normalise(job, raw)
            except NeurodataError:
                yield set()
                continue
            listed = str(privacy.removed(problems, members, main.parent))
            yield {*places(tree), *(["what is listed as removed"] if MARK[:6] in listed else [])}
        path.write_bytes(whole)


def test_texts_of_every_format_are_stored_as_names_alone(tmp_path: Path) -> None:
    leaks, texts, formats = [], 0, set()
    with dask.config.set(scheduler="synchronous"):
        for number, story in enumerate(twins.STORIES):
            for where in found(story, tmp_path / str(number)):
                texts += 1
                leaks += [f"{story}: {place}" for place in where - NAMES]
            formats.add(READERS[twins.tests_of(story).reader.__name__])
    assert leaks == []
    assert formats == set(TABLE)
    assert texts > 2000


def test_a_text_that_is_kept_is_found(tmp_path: Path) -> None:
    """The net has no hole: names of channels, which are kept, are caught in it."""
    assert {"timeseries/channel"} in list(found("ctf.TestCtf", tmp_path))
