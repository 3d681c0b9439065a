"""Medians, spreads and ratios of result rows."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.candidates import TABLE, Candidate, candidate
from benchmarks.workloads import WORKLOADS

TIE = 1.3
NOISY_CORES = 0.25
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """A candidate's results at one workload, of its better number of workers.

    Attributes
    ----------
    rate, lowest, highest : float
        Median and spread of samples (or seeds, or MB) per second; 0 when it failed.
    error : str
        Why it failed; empty when it did not.
    """

    workload: str
    candidate: Candidate
    workers: int
    runs: int
    rate: float
    lowest: float
    highest: float
    first_batch_s: float | None
    peak_mib: float | None
    ext_cores: float | None
    waiting_share: float | None
    parts_s: Mapping[str, float]
    checked: bool
    error: str
    commit: str

    @property
    def noisy(self) -> bool:
        """Whether other processes used much of the machine in most runs."""
        return (self.ext_cores or 0.0) > NOISY_CORES


def read(files: Iterable[Path]) -> tuple[list[Row], list[Row]]:
    """Return the result rows of some files with their commits, and the files' headers.

    A workload is compared within one file only: that of the last one which has it.
    """
    latest: dict[str, list[Row]] = {}
    headers: list[Row] = []
    for file in files:
        header, *rows = map(json.loads, file.read_text().splitlines())
        headers.append(header)
        found: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            found[row["workload"]].append({**row, "commit": header["machine"]["commit"]})
        latest |= found
    return [row for rows in latest.values() for row in rows], headers


def lines(rows: Iterable[Row]) -> list[Line]:
    """Return a line for every workload and candidate, the fastest first, the failed last.

    Candidates that are not measured any more are left out.
    """
    grouped: dict[tuple[str, str], dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    known = {(workload, one.name) for one in TABLE for workload in one.workloads}
    for row in rows:
        if (key := (row["workload"], row["candidate"])) in known:
            grouped[key][row["workers"]].append(row)
    found = [
        max((_line(*key, workers, own) for workers, own in tried.items()), key=lambda one: one.rate)
        for key, tried in grouped.items()
    ]
    order = list(WORKLOADS)
    return sorted(found, key=lambda line: (order.index(line.workload), -line.rate))


def _line(workload: str, name: str, workers: int, rows: Sequence[Row]) -> Line:
    checks = [row["check"] for row in rows if "check" in row]
    wrong = [check for check in checks if check != "equal"]
    errors = [row["error"] for row in rows if "error" in row]
    good = [row for row in rows if "rate" in row and not wrong]
    rates = [row["rate"] for row in good] or [0.0]
    parts = {key: 0.0 for row in good for key in row.get("parts_s", {})}
    return Line(
        workload=workload,
        candidate=candidate(name, workload),
        workers=workers,
        runs=len(good),
        rate=median(rates),
        lowest=min(rates),
        highest=max(rates),
        first_batch_s=_median(good, "first_batch_s"),
        peak_mib=_median(good, "peak_mib"),
        ext_cores=_median(good, "ext_cores"),
        waiting_share=_median(good, "waiting_share"),
        parts_s={key: median(row["parts_s"].get(key, 0.0) for row in good) for key in parts},
        checked="equal" in checks and not wrong,
        error="" if good else next(iter([*wrong, *errors]), "no result"),
        commit=rows[0]["commit"],
    )


def _median(rows: Sequence[Row], key: str) -> float | None:
    found = [row[key] for row in rows if row.get(key) is not None]
    return median(found) if found else None


def ratio(ours: Line, peer: Line) -> float | None:
    """Return how many times faster the project is; under 1 it is slower."""
    return ours.rate / peer.rate if ours.rate and peer.rate else None


def verdict(times: float | None) -> str:
    """Return a ratio in words: a tie within 1.3 either way, else who is faster.

    Examples
    --------
    >>> verdict(6.04), verdict(1.2), verdict(0.5), verdict(None)
    ('6.0 x faster', 'tie (1.20)', 'loses: 2.0 x slower', '')
    """
    if times is None:
        return ""
    if 1 / TIE < times < TIE:
        return f"tie ({times:.2f})"
    if times > 1:
        return f"{_digits(times)} x faster"
    return f"loses: {_digits(1 / times)} x slower"


def _digits(times: float) -> str:
    return f"{times:.1f}" if times < 10 else f"{times:,.0f}"
