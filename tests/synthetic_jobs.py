"""Synthetic stand-ins for `ingest_recording`, importable by worker processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

from neurodata.ingestion import Entry, Result
from neurodata.plan import Job, Plan

CANARY = "hf_CanaryCanaryCanary0123"


def plan_of(*names: str) -> Plan:
    """A plan of recordings whose files nobody reads."""
    jobs = tuple(
        Job("synthetic", name, Path(), (Path(f"{name}.none"),), "none", {}) for name in names
    )
    return Plan("synthetic", jobs, ())


def good(job: Job, *, store: Path) -> Entry:
    """An ingest that succeeds."""
    return Entry(job.id, "0" * 16, "new", ())


def slow(job: Job, *, store: Path) -> Entry:
    """An ingest that says that it began and takes very long."""
    (store / f"began-{job.recording}").touch()
    time.sleep(600)
    return good(job, store=store)


def dies(job: Job, *, store: Path) -> Entry:
    """An ingest that crashes its process for the recording `bad`."""
    if job.recording == "bad":
        os._exit(9)
    return good(job, store=store)


def leaks(job: Job, *, store: Path) -> Entry:
    """An ingest of which `bad` always fails with a message that holds credentials."""
    attempts = store / f"attempts-{job.recording}"
    attempts.write_text(attempts.read_text() + "x" if attempts.exists() else "x")
    if job.recording == "bad":
        raise OSError(f"403 for https://example.org/a?token=abc{CANARY} {os.environ['HF_TOKEN']}")
    if job.recording == "flaky" and len(attempts.read_text()) < 3:
        raise ConnectionResetError("reset by peer")
    return good(job, store=store)


def run_slow(store: str, jobs: int) -> Result:
    """Run the flow over slow recordings; for scripts that are killed."""
    from neurodata.orchestrate import flows

    slow_flow()
    return flows.ingest_flow("synthetic", store, jobs=jobs)


def slow_flow() -> None:
    """Put the slow stand-in in the place of the real ingest, in this process."""
    from neurodata.orchestrate import flows

    flows.plan = lambda *args, **kwargs: plan_of("a", "b", "c")  # type: ignore[assignment]
    flows.ingest_recording = slow
