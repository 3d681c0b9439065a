"""``python -m benchmarks setup | run | report``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks import environments, report, runs
from benchmarks.candidates import TABLE
from benchmarks.workloads import WORKLOADS

DATA = "NEURODATA_BENCH"


def main(arguments: list[str] | None = None) -> int:
    """Obey the command line."""
    given = _parser().parse_args(arguments)
    data = Path(given.data).absolute()
    if given.verb == "setup":
        made = environments.setup(given.environments, data)
        for name, outcome in made.items():
            _say(f"{name}: {outcome}")
        return int(any(outcome.startswith("failed") for outcome in made.values()))
    if given.verb == "run":
        results = runs.run(_options(given, data), _say)
        _say(f"results: {results}")
    else:
        found = [Path(file) for file in given.results] or report.newest(data / "results")
        for file in report.write(found, environments.ROOT / "docs"):
            _say(f"written: {file}")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _options(given: argparse.Namespace, data: Path) -> runs.Options:
    quick = given.quick
    return runs.Options(
        data=data,
        quick=quick,
        rounds=given.rounds or (2 if quick else 5),
        only=_chosen(given.only, set(WORKLOADS)),
        candidates=_chosen(given.candidates, {one.name for one in TABLE}),
        window_s=0.5 if quick else 1.2,
        warm_s=0.5 if quick else 1.5,
        limit_s=60.0 if quick else 150.0,
    )


def _chosen(text: str, known: set[str]) -> tuple[str, ...]:
    names = tuple(name for name in text.split(",") if name)
    if unknown := set(names) - known:
        raise SystemExit(
            f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}"
        )
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    setup = verbs.add_parser("setup", help="make the peers' environments")
    setup.add_argument("environments", nargs="*", help=", ".join(environments.names()))
    run = verbs.add_parser("run", help="make the data and measure")
    run.add_argument("--quick", action="store_true", help="smaller data, no worker processes")
    run.add_argument("--only", default="", metavar="WORKLOAD,...", help=", ".join(WORKLOADS))
    run.add_argument("--candidates", default="", metavar="NAME,...")
    run.add_argument("--rounds", type=int, default=0, help="5, quick 2")
    write = verbs.add_parser("report", help="write the table and the plot")
    write.add_argument("results", nargs="*", help="files of results; the newest one by default")
    for verb in (setup, run, write):
        verb.add_argument(
            "--data",
            default=os.environ.get(DATA, str(environments.ROOT / ".bench")),
            help=f"folder of data, environments and results; ${DATA}, else .bench",
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
