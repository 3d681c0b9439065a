"""Build and ingest hostile sources: `python -m tests.hostile [--fault N] [--valid]`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.fuzz.server import MIB
from tests.hostile import CASES, VALID
from tests.hostile.judge import Verdict, faults, outcome, run


def main() -> int:
    """Print a line for each fault, then what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile")
    parser.add_argument("--fault", type=int, help="only cases of this fault")
    parser.add_argument("--name", default="", help="only cases whose names hold this")
    parser.add_argument("--valid", action="store_true", help="the honest sources")
    parser.add_argument("--verbose", action="store_true", help="a line for each case")
    parser.add_argument("--json", action="store_true", help="one JSON object for each case")
    parser.add_argument("--built", type=Path, help="ingest what was built in this folder, here")
    asked = parser.parse_args()
    cases = [case for case in (VALID if asked.valid else CASES)
             if asked.name in case.name and asked.fault in (None, case.fault)]  # fmt: skip
    if asked.built:
        return _here(asked.built)
    with tempfile.TemporaryDirectory(prefix="neurodata-hostile-") as folder:
        verdicts = run(cases, Path(folder))
    for verdict in verdicts:
        if asked.json:
            print(json.dumps(_plain(verdict)))
        elif asked.verbose:
            said = verdict.said[0] if verdict.said else ""
            print(f"{verdict.kind:9} {verdict.peak_bytes // MIB:4} MiB {verdict.seconds:5.2f} s "
                  f"{verdict.case.name}: {said}")  # fmt: skip
    wrong = [text for verdict in verdicts for text in faults(verdict, asked.valid)]
    if not asked.json:
        _print_table(verdicts)
        print("\n".join(wrong))
    return int(bool(wrong))


def _plain(verdict: Verdict) -> dict[str, object]:
    return {
        "name": verdict.case.name, "fault": verdict.case.fault, "story": verdict.case.story,
        "class": verdict.kind, "said": verdict.said, "opened": verdict.opened,
        "left": verdict.left, "peak_bytes": verdict.peak_bytes, "seconds": verdict.seconds,
    }  # fmt: skip


def _print_table(verdicts: list[Verdict]) -> None:
    for fault in sorted({verdict.case.fault for verdict in verdicts}):
        own = [verdict for verdict in verdicts if verdict.case.fault == fault]
        counts = Counter(verdict.kind for verdict in own)
        opened = sum(bool(verdict.opened or verdict.left) for verdict in own)
        peak = max(verdict.peak_bytes for verdict in own) // MIB
        seconds = sum(verdict.seconds for verdict in own)
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        print(f"fault {fault}: {len(own)} cases: {kinds}; {opened} reached outside; "
              f"at most {peak} MiB; {seconds:.1f} s")  # fmt: skip


def _here(base: Path) -> int:
    """Ingest, in this process, each source that a file ``jobs.json`` lists."""
    named = {case.name: case for case in (*CASES, *VALID)}
    for job in json.loads((base / "jobs.json").read_text()):
        declare = named[job["name"]].declare
        found = outcome(Path(job["source"]), Path(job["folder"]), declare)
        print(json.dumps({"name": job["name"], **found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
