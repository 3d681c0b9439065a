"""Change one thing at a time in the code that all else rests on, and see whether a test notices.

Run as ``python -m tests.mutants``. Comparisons and conditions are turned round, numbers raised by
one, ``raise``, calls and findings left out, results replaced by None; texts of messages stay as
they are. All tests are collected once; every change is tried in a forked process, on the tests
that run its line. What makes no difference is listed in ``equivalent_changes.txt``.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import importlib.machinery
import importlib.util
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from hypothesis import Phase, settings

from tests.changes import Change, changes, equivalent, mutated

ROOT = Path(__file__).parents[1]
PARTS = {  # what is changed: the tests that have to notice
    "neurodata/units.py": ("test_units.py",),
    "neurodata/privacy.py": ("test_privacy*.py", "test_dates*.py"),
    "neurodata/splits/*.py": ("test_splits*.py", "test_audit.py", "test_steps_fitted.py"),
    "neurodata/safe*.py": (
        "test_safe*.py", "readers/test_matlab.py", "readers/test_xdf.py", "readers/test_phy.py",
        "readers/test_snirf.py", "readers/test_sqlite_table.py", "readers/test_mapped_graph.py",
        "readers/test_connections.py", "readers/test_edgelist.py",
    ),
    "neurodata/store/*.py": (
        "test_store*.py", "test_arrays.py", "test_layout.py", "test_remote*.py", "test_format.py",
        "test_frozen_store.py", "test_forget*.py", "faults/test_verify.py",
    ),
}  # fmt: skip
COMPILED = ("kernels.py", "calls.py")  # machine code, which is neither traced nor exchanged
HEAVY = ("numpy", "xarray", "zarr", "pandas", "dask.array", "scipy.io", "h5py", "aiohttp", "yaml")
LEFT_OUT = {"torch", "flows", "slow", "acceptance"}  # markers
LONG = {"sample_ingest", "realdata"}  # fixtures
BUDGET_S = 30.0  # of tests for one change
KILLED, SURVIVED, TIMED_OUT, UNTESTED = "killed", "survived", "timed out", "not run"
AGAIN, FAULT = 9, 70  # exit status: import the module with the change; this program is wrong
DATA_BYTES, FILE_BYTES = 4 * 2**30, 2 * 2**30  # a process may take, a file may grow to

Work = Callable[[], int]


class Steady:
    """Lets property tests do the same every time, and ends a forked process at a failure."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Change the settings before any test is imported."""
        settings.register_profile(
            "mutants", settings.get_profile("busy"), database=None, derandomize=True,
            phases=(Phase.explicit, Phase.generate),
        )  # fmt: skip
        settings.load_profile("mutants")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Leave."""
        if report.failed and "MUTANT" in os.environ:
            os._exit(1)


class Server(Steady):
    """A pytest session that forks for every change after it has collected."""

    def __init__(self, wanted: Sequence[Change], jobs: int, answer: Path) -> None:
        self.wanted, self.jobs, self.answer = wanted, jobs, answer
        self.items: list[pytest.Item] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Find out which test runs which line, then try the changes."""
        self.items = [item for item in session.items if _fits(item)]
        file = self.answer.with_suffix(".lines")
        list(forked([("trace", lambda: self._trace(session, file), 3600.0)], 1))
        traced = json.loads(file.read_text())
        seconds = traced["seconds"]
        self.wanted = [replace(one, warm=_is_warm(one, traced["lines"])) for one in self.wanted]
        tests = {one: _chosen(one, traced["lines"][one.path], seconds) for one in self.wanted}
        tasks = [
            (one, partial(self._try, session, one, tests[one]), _limit_s(tests[one], seconds))
            for one in self.wanted
            if one.warm and tests[one]
        ]
        verdicts = dict(forked(tasks, self.jobs))
        verdicts |= {one: UNTESTED for one in self.wanted if not tests[one]}
        cold = {
            one: [self.items[i].nodeid for i in tests[one]]
            for one in self.wanted
            if verdicts.get(one, AGAIN) == AGAIN
        }
        answer = {
            "verdicts": [[one.path, one.number, found] for one, found in verdicts.items()],
            "cold": [[one.path, one.number, names] for one, names in cold.items()],
            "broken": traced["broken"],
        }
        self.answer.write_text(json.dumps(answer))
        return True

    def _trace(self, session: pytest.Session, file: Path) -> int:
        import coverage

        paths = sorted({one.path for one in self.wanted})
        cov = coverage.Coverage(data_file=None, include=[str(ROOT / path) for path in paths])
        seconds, broken = [], []
        cov.start()
        for number, item in enumerate(self.items):
            cov.switch_context(str(number))
            begun = time.monotonic()
            if not self._passes(session, [item], *self.items[number + 1 : number + 2]):
                broken.append(number)
            seconds.append(time.monotonic() - begun if number not in broken else BUDGET_S * 2)
        cov.stop()
        lines = {
            path: {
                line: [int(n) for n in contexts if n and int(n) not in broken]
                for line, contexts in cov.get_data().contexts_by_lineno(str(ROOT / path)).items()
            }
            for path in paths
        }
        names = [self.items[number].nodeid for number in broken]
        file.write_text(json.dumps({"seconds": seconds, "lines": lines, "broken": names}))
        return 0

    def _passes(self, session: Any, items: Sequence[pytest.Item], *following: pytest.Item) -> bool:
        before = session.testsfailed
        for item, after in zip(items, [*items[1:], *(following or [session])], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        return bool(session.testsfailed == before)

    def _try(self, session: pytest.Session, one: Change, tests: Sequence[int]) -> int:
        if not exchanged(ROOT / one.path, one.number):
            return AGAIN
        os.environ["MUTANT"] = "1"
        return 0 if self._passes(session, [self.items[i] for i in tests]) else 1


def _fits(item: pytest.Item) -> bool:
    marked = {marker.name for marker in item.iter_markers()} & LEFT_OUT
    return not marked and not LONG & {*getattr(item, "fixturenames", ())}


def _is_warm(one: Change, lines: Mapping[str, Mapping[str, list[int]]]) -> bool:
    """Say whether a test runs a line of the change, which is not so where import alone does."""
    return one.warm and any(lines[one.path].get(str(n)) for n in range(one.first, one.last + 1))


def _chosen(one: Change, lines: Mapping[str, list[int]], seconds: Sequence[float]) -> list[int]:
    """Return the tests that run a line of the change: the fastest, as many as the time allows.

    What is run on import: the tests that run any line of the module, and after them all others,
    as a test may look at a constant alone.
    """
    near = map(str, range(one.first, one.last + 1)) if one.warm else lines
    own = {i for line in near for i in lines.get(line, ())}
    tried = own if one.warm else range(len(seconds))
    total_s, kept = 0.0, list[int]()
    for i in sorted(tried, key=lambda i: (i not in own, seconds[i])):
        total_s += seconds[i]
        if total_s <= BUDGET_S or not kept:
            kept.append(i)
    return sorted(kept)


def _limit_s(tests: Sequence[int], seconds: Sequence[float]) -> float:
    return 10.0 + 10.0 * sum(seconds[i] for i in tests)


def exchanged(file: Path, number: int) -> bool:
    """Give the functions of an imported module the changed code; False where that cannot be."""
    new = defaultdict(list)
    for code in _codes(mutated(file, number)):
        new[code.co_qualname, code.co_firstlineno].append(code)
    for function in [found for found in gc.get_objects() if type(found) is FunctionType]:
        old = function.__code__
        if old.co_filename == str(file):
            try:
                (function.__code__,) = new[old.co_qualname, old.co_firstlineno]
            except ValueError:  # it closes over other names now, or two are in one line
                return False
    return True


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


class Loader(importlib.machinery.SourceFileLoader):
    """Imports one module with a change, and finds no other."""

    def __init__(self, one: Change) -> None:
        self.number = one.number
        name = one.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        super().__init__(name, str(ROOT / one.path))

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Answer for that module alone."""
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def get_code(self, fullname: str) -> CodeType:
        """Compile the changed text."""
        return mutated(Path(self.path), self.number)


class Fresh(Steady):
    """Puts the loader before pytest's own, which takes the modules of doctests."""

    def __init__(self, one: Change) -> None:
        self.loader = Loader(one)

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self) -> None:
        """Change what is imported from now on."""
        sys.meta_path.insert(0, self.loader)


def fresh(one: Change, tests: Sequence[str]) -> int:
    """Import everything, one module with a change, and run tests."""
    os.environ["MUTANT"] = "1"
    options = ["-x", "-q", "-p", "no:cacheprovider"]
    return int(bool(pytest.main([*options, *tests], plugins=[Fresh(one)])))


def forked(tasks: Sequence[tuple[Any, Work, float]], jobs: int) -> Iterator[tuple[Any, Any]]:
    """Do things in processes of their own, some at a time; yield what became of each."""
    waiting, running = list(reversed(tasks)), dict[int, tuple[Any, float]]()
    while waiting or running:
        while waiting and len(running) < jobs:
            what, work, limit_s = waiting.pop()
            running[_fork(work)] = what, time.monotonic() + limit_s
            if len(waiting) % 100 == 99:
                print(f"{len(waiting)} to do", file=sys.stderr, flush=True)
        for pid, (what, until) in list(running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            late = not ended and time.monotonic() > until
            if late:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            if ended or late:
                del running[pid]
                _tidy(pid)
                code = os.waitstatus_to_exitcode(status)
                if code == FAULT:
                    raise RuntimeError(f"a process that failed at {what}")
                yield what, TIMED_OUT if late else {0: SURVIVED, AGAIN: AGAIN}.get(code, KILLED)
        time.sleep(0.002)


def _fork(work: Work) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = FAULT
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        _room(os.getpid()).mkdir()
        tempfile.tempdir = str(_room(os.getpid()))
        for name in ("TMPDIR", "HOME", "XDG_CACHE_HOME", "NEURODATA_CACHE"):
            os.environ[name] = tempfile.tempdir
        resource.setrlimit(resource.RLIMIT_DATA, (DATA_BYTES, DATA_BYTES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
        status = work()
    finally:
        os._exit(status)


def _room(pid: int) -> Path:
    return Path(os.environ["MUTANTS_ROOM"]) / str(pid)


def _tidy(pid: int) -> None:
    """Remove what a process left: others that it started, and files."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    shutil.rmtree(_room(pid), ignore_errors=True)


def collected(wanted: Sequence[Change], files: Sequence[str], jobs: int) -> dict[Change, str]:
    """Try changes on the tests of some files."""
    server = Server(wanted, jobs, Path(os.environ["MUTANTS_ROOM"]) / "answer")
    pid = os.fork()
    if not pid:
        try:
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            pytest.main(["-s", "-p", "no:cacheprovider", *files], plugins=[server])
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    answer = json.loads(server.answer.read_text())
    server.answer.unlink()
    for name in answer["broken"]:
        print(f"fails without any change, left out: {name}", file=sys.stderr)
    named = {(one.path, one.number): one for one in wanted}
    found = {named[path, n]: verdict for path, n, verdict in answer["verdicts"]}
    cold = [(named[path, n], names) for path, n, names in answer["cold"]]
    tasks = [(one, partial(fresh, one, names), 120.0) for one, names in cold]
    return {**found, **dict(forked(tasks, jobs))}


def main() -> int:
    """Try what the arguments ask for and print it; 1 when a change survives."""
    asked = _arguments()
    for name in HEAVY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    same, verdicts = equivalent(), dict[Change, str]()
    with tempfile.TemporaryDirectory(prefix="mutants-") as room:
        os.environ["MUTANTS_ROOM"] = room
        for pattern, names in PARTS.items():
            paths = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob(pattern))
                     if path.name not in COMPILED]  # fmt: skip
            paths = [path for path in paths if path.startswith(asked.only)]
            every = [one for path in paths for one in changes(ROOT, path) if one.key not in same]
            wanted = random.Random(asked.seed).sample(every, min(asked.limit, len(every)))
            wanted.sort(key=lambda one: (one.path, one.number))
            files = [str(file) for name in names for file in (ROOT / "tests").glob(name)]
            if wanted:
                verdicts |= collected(wanted, [*files, *paths], asked.jobs)
    unnoticed = [one for one, verdict in verdicts.items() if verdict in (SURVIVED, UNTESTED)]
    if asked.json:
        for one, verdict in verdicts.items():
            print(json.dumps({"path": one.path, "line": one.first, "before": one.before,
                              "after": one.after, "verdict": verdict}))  # fmt: skip
    else:
        print("\n".join([*(f"{verdicts[one]}: {one}" for one in unnoticed), *_table(verdicts)]))
    return int(bool(unnoticed))


def _table(verdicts: Mapping[Change, str]) -> Iterator[str]:
    tally = Counter((one.path, verdict) for one, verdict in verdicts.items())
    kinds = (KILLED, TIMED_OUT, SURVIVED, UNTESTED)
    yield f"{'module':40}" + "".join(f"{kind:>10}" for kind in kinds) + "  noticed"
    for path in sorted({path for path, _ in tally}):
        counts = [tally[path, kind] for kind in kinds]
        share = (counts[0] + counts[1]) / sum(counts)
        yield f"{path:40}" + "".join(f"{n:10}" for n in counts) + f"{share:9.1%}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="modules whose path begins so")
    parser.add_argument("--limit", type=int, default=10**6, help="changes of each part, at most")
    parser.add_argument("--seed", type=int, default=1, help="of the choice under a limit (1)")
    parser.add_argument("--jobs", type=int, default=2, help="changes tried at a time (2)")
    parser.add_argument("--json", action="store_true", help="print every change, a line of JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
