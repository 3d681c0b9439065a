"""Runs every candidate at every workload, each in a fresh process, interleaved at random."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import environments, proc
from benchmarks.candidates import TABLE, Candidate
from benchmarks.workloads import WORKLOADS, Case, case_of

PREPARE_LIMIT_S = 1200
CLEARLY_WORSE = 0.85
# Left out of quick runs, to keep them under ten minutes, unless they are asked for by name.
NOT_QUICK = (
    "braindecode_lazy",
    "gunpowder",
    "hf_datasets",
    "monai_persistent",
    "tonic_disk_cache",
    "webdataset",
    "xbatcher",
    "zarr_python_default",
)
Row = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """How to measure."""

    data: Path
    quick: bool = False
    rounds: int = 5
    only: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()
    window_s: float = 1.2
    warm_s: float = 1.5
    limit_s: float = 150.0


@dataclass(frozen=True)
class Job:
    """A candidate at a workload, with so many worker processes."""

    candidate: Candidate
    workload: str
    workers: int


def jobs_of(options: Options) -> list[Job]:
    """Return the jobs asked for; quick runs have fewer peers and no worker processes."""
    return [
        Job(one, workload, workers)
        for workload in WORKLOADS
        for one in TABLE
        for workers in one.workers
        if workload in one.workloads
        and workload in (options.only or WORKLOADS)
        and one.name in (options.candidates or {one.name})
        and not (options.quick and (workers or (one.name in NOT_QUICK and not options.candidates)))
    ]


def run(options: Options, say: Callable[[str], None]) -> Path:
    """Measure, one workload after the other, and return the file of results."""
    jobs = jobs_of(options)
    stamp = time.strftime("%Y%m%dT%H%M%S")
    results = options.data / "results" / f"{stamp}{'-quick' if options.quick else ''}.jsonl"
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a") as stream:

        def keep(row: Row) -> None:
            stream.write(json.dumps(row) + "\n")
            stream.flush()

        keep({"machine": machine(), "options": {**asdict(options), "data": str(options.data)}})
        for workload in dict.fromkeys(job.workload for job in jobs):
            own = [job for job in jobs if job.workload == workload]
            for row in measure_workload(own, options, say):
                keep(row)
    return results


def measure_workload(
    jobs: Sequence[Job], options: Options, say: Callable[[str], None]
) -> Iterator[Row]:
    """Prepare and measure the jobs of one workload; a job that fails is a row, once."""
    from benchmarks.synthetic import make

    start = time.perf_counter()
    make(_case(jobs[0], options))
    going: list[Job] = []
    for job in jobs:
        if error := prepare(job, options):
            yield _row(job, options, {"error": error}, 0)
            say(f"{job.workload} {job.candidate.name}: {error}")
        else:
            going.append(job)
    say(f"{jobs[0].workload}: prepared in {time.perf_counter() - start:.0f} s")
    for number in range(options.rounds):
        random.Random(number).shuffle(going)  # noqa: S311
        rows: list[Row] = []
        for job in going:
            rows.append(_measured(job, options, number, say))
            yield rows[-1]
        going = worth_repeating(going, rows)


def _measured(job: Job, options: Options, number: int, say: Callable[[str], None]) -> Row:
    case = _case(job, options)
    if job.candidate.form:
        each_file(case.folder / job.candidate.form, drop if case.workload.cold else read_through)
    row = _row(job, options, _child("run", job, options, number), number)
    shown = row.get("error") or f"{row['rate']:,.0f} {WORKLOADS[job.workload].unit}"
    check = f" {row['check']}" if row.get("check", "equal") != "equal" else ""
    say(f"{job.workload} {job.candidate.name} {job.workers}w round {number}: {shown}{check}")
    return row


def worth_repeating(jobs: Sequence[Job], rows: Sequence[Row]) -> list[Job]:
    """Leave out what failed and numbers of workers that are clearly worse than another."""
    best: dict[str, float] = {}
    for row in rows:
        best[row["candidate"]] = max(best.get(row["candidate"], 0.0), row.get("rate", 0.0))
    return [
        job
        for job, row in zip(jobs, rows, strict=True)
        if "rate" in row and row["rate"] >= CLEARLY_WORSE * best[row["candidate"]]
    ]


def _case(job: Job, options: Options, seed: int = 0) -> Case:
    where = job.workload, job.candidate.name, options.data, options.quick
    return case_of(*where, workers=job.workers, seed=seed)


def _row(job: Job, options: Options, facts: Row, number: int) -> Row:
    return {
        "workload": job.workload,
        "candidate": job.candidate.name,
        "workers": job.workers,
        "round": number,
        "quick": options.quick,
        **facts,
    }


def prepare(job: Job, options: Options) -> str:
    """Build the candidate's form of the data unless it is there; return an error or nothing."""
    if environments.python(job.candidate.environment, options.data) is None:
        return f"no environment {job.candidate.environment!r}: run `python -m benchmarks setup`"
    form = job.candidate.form
    done = _case(job, options).folder / f"{form}.complete"
    if not form or done.exists():
        return ""
    owner = _maker(job)
    facts = _child("prepare", owner, replace(options, limit_s=PREPARE_LIMIT_S), 0)
    if "error" not in facts:
        done.touch()
    return f"not prepared: {facts['error']}" if "error" in facts else ""


def _maker(job: Job) -> Job:
    """Return the job that makes a form: the project's own for its store."""
    makers = [
        one for one in TABLE if one.form == job.candidate.form and job.workload in one.workloads
    ]
    return replace(job, candidate=makers[0], workers=0)


def each_file(folder: Path, do: Callable[[int], None]) -> None:
    """Do something with every file of a prepared form, given as an open descriptor."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            with file.open("rb", buffering=0) as stream:
                do(stream.fileno())


def read_through(file: int) -> None:
    """Read a file once, so that all candidates find theirs in the page cache."""
    while os.read(file, 2**24):
        pass


def drop(file: int) -> None:
    """Let the kernel forget what it keeps of a file."""
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


def _child(task: str, job: Job, options: Options, number: int) -> Row:
    """Run a task in a process of its own and return its facts, or why there are none."""
    interpreter = environments.python(job.candidate.environment, options.data)
    order = {
        "task": task,
        "candidate": job.candidate.name,
        "workload": job.workload,
        "workers": job.workers,
        "quick": options.quick,
        "data": str(options.data),
        "window_s": options.window_s,
        "warm_s": options.warm_s,
        "seed": number,
        "check": number == 0,
    }
    command = [str(interpreter), "-m", "benchmarks.child"]
    return follow(command, order, options.limit_s, options.data / "results" / "children.log")


def follow(command: Sequence[str], order: Row, limit_s: float, log: Path) -> Row:
    """Start a child, watch its memory until it has measured, and return what it says."""
    reading, writing = os.pipe()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        child = subprocess.Popen(  # noqa: S603
            [*command, str(writing), json.dumps(order)],
            cwd=environments.ROOT,
            env={**os.environ, "PYTHONPATH": str(environments.ROOT), "PYTHONUNBUFFERED": "1"},
            stdout=stream,
            stderr=stream,
            pass_fds=(writing,),
            start_new_session=True,
        )
    os.close(writing)
    try:
        return _facts(child.pid, reading, limit_s)
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _facts(pid: int, reading: int, limit_s: float) -> Row:
    facts: Row = {}
    peak = proc.Peak(pid)
    for event in _events(reading, limit_s):
        kind = event.pop("event")
        if kind == "imported":
            peak.start()
        elif kind == "measured" and peak.is_alive():
            facts["peak_mib"] = max(0.0, peak.stop() - facts["base_mib"])
        facts |= event
        if kind == "measured":
            facts["measured"] = True
    if peak.is_alive():
        peak.stop()
    if not facts.pop("measured", False) and "error" not in facts:
        facts["error"] = facts.get("late") or "the process died"
    if "error" in facts:
        facts.pop("rate", None)
    return facts


def _events(reading: int, limit_s: float) -> Iterator[Row]:
    """Yield the child's lines until it closes the pipe or the time is up."""
    end, buffer = time.monotonic() + limit_s, b""
    while True:
        ready, _, _ = select.select([reading], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            yield {"event": "late", "late": f"not done after {limit_s:.0f} s"}
            return
        if not (found := os.read(reading, 2**16)):
            return
        *lines, buffer = (buffer + found).split(b"\n")
        yield from map(json.loads, lines)


def machine() -> Row:
    """Return what the numbers hang on: processor, memory, kernel, Python and commit."""
    model = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607
        capture_output=True,
        text=True,
        cwd=environments.ROOT,
        check=False,
    ).stdout.strip()
    return {
        "processor": model[0] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory_bytes / 2**30, 1),
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        "commit": commit,
        "date": time.strftime("%Y-%m-%d"),
    }
