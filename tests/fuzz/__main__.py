"""Command line of the fuzzer."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fuzz import run

for _name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "TIFFFILE"):
    os.environ.setdefault(f"{_name}_NUM_THREADS", "1")  # a process that forks has one thread

EXAMPLE = """example:
  python -m tests.fuzz --cases 520 --kinds truncate,flip --format edf,nifti
  python -m tests.fuzz --cases 10000 --format nifti --journal nifti.jsonl --keep defects
  python -m tests.fuzz --memory

Exit code: 0 when no case shows a defect, 1 when one does. Real files are read from
$NEURODATA_REALDATA/fixtures where that is set. Every case can be had again: the damage depends
on the recording, the seed and the case's number only. A run that was stopped goes on from its
journal when it is called again alike; memory does not grow with the number of cases.
"""


def main() -> int:
    """Run what the arguments ask for, print it, and return the exit code."""
    asked = _arguments()
    from tests.fuzz import memory, run
    from tests.fuzz.damage import ALL
    from tests.fuzz.server import MIB, Limits

    formats = tuple(asked.format.split(",")) if asked.format else None
    if asked.memory:
        return memory.main(formats, as_json=asked.json)
    kinds = tuple(asked.kinds.split(",")) if asked.kinds else ALL
    strange = {*kinds} - {*ALL} or {*(formats or ())} - {*run.TABLE}
    if strange:
        known = (*ALL, *run.TABLE)
        raise SystemExit(f"nothing called {sorted(strange)}; there are {', '.join(known)}")
    started = time.monotonic()
    tallies = run.fuzz(
        formats or tuple(run.TABLE), cases=asked.cases, kinds=kinds, seed=asked.seed,
        limits=Limits(asked.seconds, asked.memory_mib * MIB), children=asked.children,
        batch=asked.batch,
        keep=asked.keep, journal=asked.journal,
        progress=lambda tally: _progress(tally, asked.json), advance=_advance,
    )  # fmt: skip
    if not asked.json:
        print("\n".join(run.lines(tallies)))
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return int(any(tally.defects for tally in tallies))


def _progress(tally: run.Tally, as_json: bool) -> None:
    if as_json:
        print(json.dumps(tally.as_dict()), flush=True)
    else:
        print(tally.format, dict(tally.classes), file=sys.stderr, flush=True)


def _advance(tally: run.Tally, story: str) -> None:
    print(f"{tally.format} {story}: {tally.cases} cases, {len(tally.defects)} defects",
          file=sys.stderr, flush=True)  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m tests.fuzz", description=__doc__, epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--cases", type=int, default=300, help="cases a format (default 300)")
    parser.add_argument("--format", default="", help="formats, with commas between; default all")
    parser.add_argument("--kinds", default="", help="kinds of damage, with commas; default all")
    parser.add_argument("--seed", type=int, default=1, help="seed of the damage (default 1)")
    parser.add_argument("--children", type=int, default=2, help="cases at a time (default 2)")
    parser.add_argument("--batch", type=int, default=10, help="cases that a child does (10)")
    parser.add_argument("--seconds", type=float, default=10.0, help="limit of a case (default 10)")
    parser.add_argument("--memory-mib", type=int, default=1024, help="limit of a case (1024)")
    parser.add_argument("--keep", type=Path, help="leave the files of defects in this folder")
    parser.add_argument("--journal", type=Path, help="keep what is done here, and go on from it")
    parser.add_argument("--memory", action="store_true", help="measure memory on large files")
    parser.add_argument("--json", action="store_true", help="print JSON, a line a format")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
