"""The benchmarks' own arithmetic, children and checks, on tiny synthetic data."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import arithmetic, checks, environments, report, runs, synthetic
from benchmarks.candidates import TABLE, candidate, floors_events, places
from benchmarks.workloads import FULL, QUICK, WORKLOADS, Case, Dataset, Workload

ROOT = Path(__file__).parents[1]
HEADER = {
    "machine": {"date": "2026-01-01", "commit": "abc", "cores": 2, "processor": "some CPU",
                "memory_gib": 23.0, "kernel": "6.1", "python": "3.11.7"},
    "options": {"quick": False, "rounds": 3},
}  # fmt: skip


def row(name: str, rate: float | None, workers: int = 0, **facts: Any) -> dict[str, Any]:
    given = {"workload": "eeg64", "candidate": name, "workers": workers, "round": 0}
    given |= {"quick": False, "commit": "abc", **facts}
    return given if rate is None else {**given, "rate": rate, "ext_cores": 0.0, "peak_mib": 10.0}


def one(*rows: dict[str, Any]) -> arithmetic.Line:
    (line,) = arithmetic.lines(rows)
    return line


def test_a_line_has_median_and_spread_of_the_better_number_of_workers() -> None:
    rates = (100.0, 300.0, 200.0)
    rows = [*(row("torch_brain", rate, 0) for rate in rates), row("torch_brain", 150.0, 2)]
    line = one(*rows)
    assert (line.rate, line.lowest, line.highest) == (200.0, 100.0, 300.0)
    assert (line.workers, line.runs, line.error) == (0, 3, "")


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (1.29, "tie (1.29)"),
        (0.77, "tie (0.77)"),
        (1.31, "1.3 x faster"),
        (0.5, "loses: 2.0 x slower"),
        (1234.0, "1,234 x faster"),
        (None, ""),
    ],
)
def test_ratios_under_a_third_are_ties_and_losses_are_said(times: float | None, said: str) -> None:
    assert arithmetic.verdict(times) == said


def test_wrong_content_counts_as_failed_however_fast() -> None:
    line = one(row("litdata", 1e9, check="DIFFERS: one sample, repeated"), row("litdata", 1e9))
    assert line.rate == 0
    assert "DIFFERS" in line.error


def test_the_table_shows_ratios_failures_and_noise() -> None:
    rows = [
        row("neurodata", 1000.0, check="equal"),
        row("torch_brain", 100.0, check="equal"),
        row("litdata", 900.0, ext_cores=0.9) | {"ext_cores": 0.9},
        row("braindecode_lazy", None, error="OSError: a | b"),
    ]
    text = report.results(arithmetic.lines(rows), [HEADER])
    assert "| **neurodata** | 0 | 1,000 (1,000-1,000) |" in text
    assert "10 x faster" in text
    assert "tie (1.11)" in text
    assert "pre-cut samples" in text
    assert "noisy: others used 0.9 cores" in text
    assert "failed: OSError: a / b" in text
    assert "some CPU" in text
    assert "Measured at commit abc." in text
    body = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in body}) == 1


def test_a_workload_is_compared_within_the_last_file_that_has_it(tmp_path: Path) -> None:
    old = [row("litdata", 1.0), row("tonic", 2.0, workload="spike_bins"),
           row("was_removed", 9.0, workload="spike_bins")]  # fmt: skip
    new = [row("neurodata", 3.0)]
    for name, commit, rows in (("a", "old", old), ("b", "new", new)):
        header = {**HEADER, "machine": {**HEADER["machine"], "commit": commit}}
        (tmp_path / name).write_text("\n".join(map(json.dumps, [header, *rows])))
    rows, headers = arithmetic.read([tmp_path / "a", tmp_path / "b"])
    found = {(line.candidate.name, line.commit) for line in arithmetic.lines(rows)}
    assert found == {("neurodata", "new"), ("tonic", "old")}
    assert len(headers) == 2


def test_the_page_keeps_all_but_the_results(tmp_path: Path) -> None:
    page = f"before\n{report.START}\nold\n{report.STOP}\nafter\n"
    assert report.between(page, "new") == f"before\n{report.START}\n\nnew\n{report.STOP}\nafter\n"
    with pytest.raises(ValueError, match="the page has no"):
        report.between("nothing", "new")
    docs = Path(__file__).parents[1] / "docs" / report.PAGE
    assert report.between(docs.read_text("utf-8"), "new")


SAY = """
import json, os, subprocess, sys, time
def say(**facts):
    os.write(int(sys.argv[1]), (json.dumps(facts) + chr(10)).encode())
"""


def follow(tmp_path: Path, code: str, limit_s: float = 20.0) -> dict[str, Any]:
    command = [sys.executable, "-c", SAY + code]
    return runs.follow(command, {}, limit_s, tmp_path / "log")


MEASURED = "say(event='imported', base_mib=0.0); held = b'1' * 30_000_000; time.sleep(0.2)\n"


def test_a_child_that_measures_gives_its_facts_and_its_peak_of_memory(tmp_path: Path) -> None:
    facts = follow(tmp_path, f"{MEASURED}say(event='measured', rate=5.0)")
    assert facts["rate"] == 5.0
    assert facts["peak_mib"] > 28


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (f"{MEASURED}os.kill(os.getpid(), 9)", "the process died"),
        ("say(event='failed', error='KeyError: x')", "KeyError: x"),
        ("raise SystemExit(3)", "the process died"),
    ],
)
def test_a_child_that_dies_or_fails_is_a_row(tmp_path: Path, code: str, error: str) -> None:
    facts = follow(tmp_path, code)
    assert facts["error"] == error
    assert "rate" not in facts


def test_a_child_that_hangs_is_stopped_with_all_its_processes(tmp_path: Path) -> None:
    code = "p = subprocess.Popen(['sleep', '60']); say(event='x', pid=p.pid); time.sleep(60)"
    facts = follow(tmp_path, code, limit_s=1.5)
    assert facts["error"] == "not done after 2 s"
    end = time.monotonic() + 5
    while (running := _runs(facts["pid"])) and time.monotonic() < end:
        time.sleep(0.01)
    assert not running


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_what_fails_or_is_clearly_worse_is_not_repeated() -> None:
    jobs = [
        runs.Job(candidate("torch_brain", "eeg64"), "eeg64", 0),
        runs.Job(candidate("torch_brain", "eeg64"), "eeg64", 2),
        runs.Job(candidate("litdata", "eeg64"), "eeg64", 0),
        runs.Job(candidate("neurodata", "eeg64"), "eeg64", 0),
    ]
    rows = [
        row("torch_brain", 100.0),
        row("torch_brain", 60.0, 2),
        row("litdata", None, error="x"),
        row("neurodata", 10.0),
    ]
    kept = [(job.candidate.name, job.workers) for job in runs.worth_repeating(jobs, rows)]
    assert kept == [("torch_brain", 0), ("neurodata", 0)]


def test_a_missing_environment_is_a_row_and_not_the_end(tmp_path: Path) -> None:
    options = runs.Options(data=tmp_path, quick=True, only=("eeg64",), candidates=("litdata",))
    (job,) = runs.jobs_of(options)
    assert "python -m benchmarks setup" in runs.prepare(job, options)


def test_jobs_are_those_asked_for_and_quick_ones_have_no_workers(tmp_path: Path) -> None:
    every = runs.jobs_of(runs.Options(data=tmp_path))
    assert {job.workers for job in every} == {0, 2}
    assert {job.workers for job in runs.jobs_of(runs.Options(data=tmp_path, quick=True))} == {0}


def test_every_candidate_has_a_module_an_environment_and_workloads() -> None:
    folder = Path(runs.__file__).parent
    for entry in TABLE:
        assert (folder / "candidates" / f"{entry.module}.py").is_file(), entry.name
        assert entry.environment in {environments.OWN, *environments.names()}
        assert set(entry.workloads) <= set(WORKLOADS)
    keys = [(entry.name, workload) for entry in TABLE for workload in entry.workloads]
    assert len(keys) == len(set(keys))
    assert set(FULL) == set(QUICK) >= {workload.dataset for workload in WORKLOADS.values()}


def test_requirements_are_pinned_and_torch_is_the_one_on_disk() -> None:
    for file in environments.LOCKED.glob("*.txt"):
        lines = file.read_text().splitlines()
        assert all("==" in line for line in lines), file.name
        assert {line for line in lines if line.startswith("torch==")} <= {"torch==2.13.0"}


def tiny(tmp_path: Path, dataset: Dataset, workload: Workload) -> Case:
    case = Case(workload, dataset, tmp_path / "synthetic", "floor")
    synthetic.make(case)
    return case


def test_the_check_finds_windows_in_the_source_and_nothing_else(tmp_path: Path) -> None:
    dataset = Dataset("eeg64", "series", 2, (500, 4), rate_hz=256.0, step=0.1)
    case = tiny(tmp_path, dataset, Workload("eeg64", "eeg64", (50, 4), 4, ""))
    sources = [np.load(file) * np.float32(0.1) for file in case.raw]
    drawn = next(places.draws([s.shape for s in sources], (50, 4), 4, seed=0))
    batch = np.stack([sources[number][place] for number, place in drawn])
    assert checks.compare(case, batch) == "equal"
    assert "not in the source" in checks.compare(case, batch[:, ::-1])
    assert "repeated" in checks.compare(case, batch[[0, 0]])
    assert "samples of" in checks.compare(case, batch[:, :40])
    batch[:, 30, 2] += 0.1
    assert "not in the source" in checks.compare(case, batch)


def test_the_check_finds_patches_in_the_source(tmp_path: Path) -> None:
    dataset = Dataset("mri", "volumes", 2, (20, 20, 20))
    case = tiny(tmp_path, dataset, Workload("mri_patches", "mri", (8, 8, 8), 4, ""))
    sources = [np.load(file) for file in case.raw]
    batch = np.stack([sources[0][4:12, 5:13, 6:14], sources[1][8:16, 2:10, 7:15]]).astype("f4")
    assert checks.compare(case, batch) == "equal"
    assert "not in the source" in checks.compare(case, batch + 1)


def test_the_floors_of_spikes_and_graphs_pass_their_checks(tmp_path: Path) -> None:
    spikes = Dataset("spikes", "spikes", 1, (3, 700), "f8")
    binned = tiny(tmp_path / "s", spikes, Workload("spike_bins", "spikes", (100, 700), 3, ""))
    batch = next(floors_events.batches(binned))
    assert checks.compare(binned, batch) == "equal"
    assert batch.sum(axis=(1, 2)).min() > 7000
    graph = Dataset("graph", "graph", 1, (300, 5000), "i8")
    sampled = tiny(tmp_path / "g", graph, Workload("graph_neighbours", "graph", (5, 5), 16, ""))
    seeds, sources, targets = next(floors_events.batches(sampled))
    assert checks.compare(sampled, (seeds, sources, targets)) == "equal"
    assert "not in the graph" in checks.compare(sampled, (seeds, sources, (targets + 1) % 300))
    assert "without min" in checks.compare(sampled, (seeds, sources[5:], targets[5:]))


def test_processor_time_and_memory_are_those_of_this_process() -> None:
    """In a process of its own, that has no freed memory to use again."""
    code = """if True:
        import os, numpy
        from benchmarks import proc
        load = proc.Load(os.getpid())
        sum(range(3_000_000))
        own, others = load.cores()
        assert 0 < own < 4 and others >= 0, (own, others)
        before = proc.own_mib()
        held = numpy.ones(2**23)
        assert 55 < proc.own_mib() - before < 75, (before, proc.own_mib())
    """
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
