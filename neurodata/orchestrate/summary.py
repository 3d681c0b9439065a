"""What a flow shows in Prefect: progress while it runs and a table when it is done."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import cast
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)

from neurodata.ingestion import Entry, Progress, Result
from neurodata.orchestrate.redaction import redact
from neurodata.shown import visible

MOST_ROWS = 500
FINDING_LENGTH = 300  # characters


# Not a parameter of the flow: Prefect records those, and cannot record a function.
listener: ContextVar[Progress | None] = ContextVar("listener", default=None)


@contextmanager
def listening(progress: Progress | None) -> Iterator[None]:
    """Let ``progress`` hear of each finished recording of the flows in this block."""
    token = listener.set(progress)
    try:
        yield
    finally:
        listener.reset(token)


def notify(entry: Entry) -> None:
    """Tell whoever listens that a recording is finished."""
    if progress := listener.get():
        progress(entry)


class Meter:
    """The share of recordings that are done, in per cent, as a Prefect artifact.

    Parameters
    ----------
    total : int
        Number of recordings.
    """

    def __init__(self, total: int) -> None:
        self.done, self.total = 0, total
        artifact = create_progress_artifact(0.0, description=f"{total} recordings")
        self.artifact = cast(UUID, artifact)  # a coroutine only in asynchronous flows

    def advance(self) -> None:
        """Count one more recording; the artifact changes at most a hundred times."""
        before, self.done = self.done, self.done + 1
        if 100 * self.done // self.total > 100 * before // self.total:
            update_progress_artifact(self.artifact, 100.0 * self.done / self.total)


def tally(entries: Iterable[Entry]) -> str:
    """Return the number of recordings of each status.

    Examples
    --------
    >>> tally([])
    '0 recordings'
    """
    counts = Counter(entry.status for entry in entries)
    parts = [f"{number} {status}" for status, number in sorted(counts.items())]
    return ": ".join([f"{counts.total()} recordings", *([", ".join(parts)] if parts else [])])


def publish_summary(result: Result) -> None:
    """Attach the table of recordings to the flow's run, and to the data set's history."""
    slug = re.sub(r"[^a-z0-9]+", "-", result.dataset.lower()).strip("-")
    create_markdown_artifact(
        summary(result), key=f"ingest-{slug}", description=tally(result.entries)
    )


def summary(result: Result) -> str:
    """Return a Markdown table of the recordings, the failed ones first, without credentials."""
    ordered = sorted(result.entries, key=lambda entry: entry.status != "failed")
    lines = [f"# Ingest of {result.dataset}", "", tally(ordered), ""]
    lines += ["| recording | status | version | findings |", "| --- | --- | --- | --- |"]
    lines += [row(entry) for entry in ordered[:MOST_ROWS]]
    if len(ordered) > MOST_ROWS:
        lines.append(f"| ... and {len(ordered) - MOST_ROWS} more | | | |")
    if result.problems:
        lines += ["", "Findings on the whole data set:", ""]
        lines += [f"- {cell(str(problem))}" for problem in result.problems]
    return redact("\n".join(lines))


def row(entry: Entry) -> str:
    """Return one line of the table."""
    findings = "; ".join(str(problem) for problem in entry.problems)
    cells = (entry.id, entry.status, entry.version or "", findings)
    return "| " + " | ".join(cell(text) for text in cells) + " |"


def cell(text: str) -> str:
    """Return text that stays inside one table cell."""
    flat = " ".join(visible(redact(text)).split())
    if len(flat) > FINDING_LENGTH:
        flat = flat[:FINDING_LENGTH] + "..."
    return re.sub(r"([\\|<>`\[\]])", r"\\\1", flat)
