"""One candidate at one workload, in a process of its own; facts go to an open file descriptor.

``python -m benchmarks.child FD JSON``, started by `benchmarks.runs` in the environment that the
candidate needs: besides the candidate's packages only NumPy may be imported here.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import proc
from benchmarks.candidates import candidate as candidate_of
from benchmarks.workloads import Case, case_of

FEWEST_BATCHES = 2
Emit = Callable[..., None]


def main(arguments: list[str]) -> None:
    """Run what the parent asks for and report every stage."""
    descriptor, order = int(arguments[0]), json.loads(arguments[1])

    def emit(**facts: Any) -> None:
        os.write(descriptor, (json.dumps(facts) + "\n").encode())

    try:
        _obey(order, emit)
    except BaseException as error:
        shown = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        emit(event="failed", error=shown, trace=traceback.format_exc()[-3000:])
    sys.stdout.flush()
    os._exit(0)  # worker processes and threads of peers do not keep it


def _obey(order: dict[str, Any], emit: Emit) -> None:
    candidate = candidate_of(order["candidate"], order["workload"])
    data = Path(order["data"])
    where = order["workload"], candidate.name, data, order["quick"]
    case = case_of(*where, workers=order["workers"], seed=order["seed"])
    module = importlib.import_module(f"benchmarks.candidates.{candidate.module}")
    emit(event="imported", base_mib=proc.own_mib())
    if order["task"] == "prepare":
        module.prepare(case)
        emit(event="measured")
    elif case.workload.writes:
        _write(module, case, order, emit)
    else:
        _read(module, case, order, emit)


def _read(module: Any, case: Case, order: dict[str, Any], emit: Emit) -> None:
    start = time.perf_counter()
    batches = iter(module.batches(case))
    batch = next(batches)
    emit(event="first", first_batch_s=time.perf_counter() - start)
    if case.workload.cold:
        batch, facts = _steady(module, case, batches, order["window_s"], start, batch)
        emit(event="measured", **facts)
        return
    del batch
    start = time.perf_counter()
    getattr(module, "settle", int)()
    emit(event="settled", settle_s=time.perf_counter() - start)
    _warm_up(module, case, batches, order["warm_s"])
    batch, facts = _steady(module, case, batches, order["window_s"])
    emit(event="measured", **facts)
    if order["check"]:
        emit(event="checked", check=_check(module, case, batch))


def _check(module: Any, case: Case, batch: Any) -> str:
    from benchmarks.checks import compare

    try:
        return compare(case, module.values(case, batch))
    except Exception as error:
        return f"DIFFERS: not to be compared ({type(error).__name__}: {error})"


def _count(module: Any, batch: Any) -> int:
    """Return the samples in a batch."""
    count = getattr(module, "count", None)
    return int(count(batch)) if count else len(batch)


def _warm_up(module: Any, case: Case, batches: Iterator[Any], warm_s: float) -> None:
    """Draw batches for ``warm_s`` or one epoch, whichever is shorter, but at least a few."""
    fewest = FEWEST_BATCHES + 2 * case.workers
    epoch = samples_in_epoch(case)
    seen, number, start = 0, 0, time.perf_counter()
    while number < fewest or (time.perf_counter() - start < warm_s and seen < epoch):
        batch = next(batches)
        seen, number = seen + _count(module, batch), number + 1
        if time.perf_counter() - start > 4 * warm_s + 8:
            break


def samples_in_epoch(case: Case) -> int:
    """Return how many samples, side by side, the data set holds."""
    dataset, sample = case.dataset, case.workload.sample
    if dataset.kind == "graph":
        return dataset.shape[0]
    if dataset.kind == "spikes":
        return dataset.recordings * dataset.shape[0]
    total = dataset.recordings
    for edge, part in zip(dataset.shape, sample, strict=True):
        total *= max(1, edge // part)
    return total


def _steady(
    module: Any,
    case: Case,
    batches: Iterator[Any],
    window_s: float,
    start: float | None = None,
    first: Any = None,
) -> tuple[Any, dict[str, Any]]:
    """Draw batches for a while, from now on or from an earlier start with a first batch."""
    load = proc.Load(os.getpid())
    samples, number = (0, 0) if first is None else (_count(module, first), 1)
    waited_s, now = 0.0, time.perf_counter()
    start, batch = now if start is None else start, first
    while now - start < window_s or (number < FEWEST_BATCHES and now - start < 5 * window_s):
        asked = time.perf_counter()
        batch = next(batches)
        waited_s += time.perf_counter() - asked
        samples, number = samples + _count(module, batch), number + 1
        if case.workload.step_s:
            time.sleep(case.workload.step_s)
        now = time.perf_counter()
    elapsed_s = now - start
    own, others = load.cores()
    facts = {"rate": samples / elapsed_s, "batches": number, "window_s": elapsed_s}
    facts |= {"own_cores": own, "ext_cores": others}
    if case.workload.step_s:
        facts["waiting_share"] = waited_s / elapsed_s
    return batch, facts


def _write(module: Any, case: Case, order: dict[str, Any], emit: Emit) -> None:
    import numpy as np

    source = np.load(case.raw[0], mmap_mode="r")
    source[::997].sum()  # into the page cache, whole
    target = case.folder / f"written_{case.candidate}"
    load = proc.Load(os.getpid())
    parts = module.write(case, source, target)
    own, others = load.cores()
    rate = source.nbytes / parts["array_s"] / 1e6
    facts = {"rate": rate, "parts_s": parts, "own_cores": own, "ext_cores": others}
    emit(event="measured", **facts, mb=source.nbytes / 1e6)
    if order["check"]:
        reader, n = module.reader(case, target), len(source)
        starts = (0, n // 3, n - 5000)
        same = all(np.array_equal(reader(s, s + 5000), source[s : s + 5000]) for s in starts)
        emit(event="checked", check="equal" if same else "DIFFERS from the source")


if __name__ == "__main__":
    main(sys.argv[1:])
