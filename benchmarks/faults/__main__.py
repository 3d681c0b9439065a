"""``python -m benchmarks.faults [rot]``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.faults.case import Case
    from benchmarks.faults.run import Board

for _name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "TIFFFILE"):
    os.environ.setdefault(f"{_name}_NUM_THREADS", "1")  # a process that forks has one thread

PEER_FLIPS, QUICK_PEER_FLIPS = 1000, 100
EPILOG = """Exit code: 0 when nothing was silent or foreign, nothing died and every valid file was
read; 1 otherwise."""


def main(arguments: list[str] | None = None) -> int:
    """Obey the command line and return the exit code."""
    given = _parser().parse_args(arguments)
    return _rot(given) if given.verb == "rot" else _board(given)


def _board(given: argparse.Namespace) -> int:
    from benchmarks.faults import page, peer_rot, peers, run
    from benchmarks.faults.corpus import corpus

    cases = corpus(given.quick, frozenset(int(n) for n in given.only.split(",") if n))
    show = _show if given.verbose else lambda case, kind, reason: None
    own = run.board(cases, children=given.jobs, progress=show)
    boards, asked, rots = [own], [], {}
    if given.peers:
        sys.path.extend(given.site)
        for peer in peers.PEERS:
            missing = peer.missing()
            asked.append((peer, missing))
            chosen = [] if missing else peer.cases(cases)
            if chosen:
                boards.append(run.board(chosen, peer.reads, peer.name, given.jobs))
        rots = dict(peer_rot.run(QUICK_PEER_FLIPS if given.quick else PEER_FLIPS))
    if given.json:
        _print_json(boards)
    else:
        _say("\n".join(page.table(own)))
        for text in [*own.defects(), *own.unread()]:
            _say(text)
        for board in boards[1:]:
            _say(f"\n{board.reader}")
            _say("\n".join(page.table(board)))
        for name, (count, kinds) in rots.items():
            _say(f"{name}: {count} flips: {kinds}")
    if given.out:
        given.out.write_text(page.page(boards, asked, rots, given.out.stem))
        listed = given.out.with_stem(f"{given.out.stem}_cases")
        listed.write_text(page.listing(cases, own, given.out.name))
    return int(not page.is_clean(own))


def _print_json(boards: list[Board]) -> None:
    for board in boards:
        for fault in sorted(board.rows):
            _say(json.dumps({"reader": board.reader, **board.rows[fault].as_dict()}))


def _show(case: Case, kind: str, reason: str) -> None:
    sys.stderr.write(f"{kind}: {case.fault} {case.name}: {reason}\n")


def _rot(given: argparse.Namespace) -> int:
    from benchmarks.faults import rot
    from benchmarks.faults.page import rot_lines

    begun = time.monotonic()
    found = rot.run(given.flips, given.seed, given.jobs)
    seconds = round(time.monotonic() - begun, 1)
    if given.json:
        _say(json.dumps({"verified": found.verified, "read": found.read, "missed": found.missed,
                         "seconds": seconds}))  # fmt: skip
    else:
        _say("\n".join([*rot_lines(found), f"{seconds} s"]))
    return int(bool(found.missed))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults", description=__doc__, epilog=EPILOG
    )
    parser.add_argument("verb", nargs="?", choices=("board", "rot"), default="board")
    parser.add_argument("--quick", action="store_true", help="a part of the cases")
    parser.add_argument("--only", default="", metavar="FAULT,...", help="numbers of faults")
    parser.add_argument("--peers", action="store_true", help="ask the field's readers, too")
    parser.add_argument("--site", action="append", default=[], metavar="FOLDER",
                        help="where else to look for peers (site-packages)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON, a line a fault")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PAGE",
        help="write the page, docs/faults.md, and beside it that of the cases",
    )
    parser.add_argument("--verbose", action="store_true", help="tell the outcome of each case")
    parser.add_argument("--flips", type=int, default=2000, help="rot: random bits (2000)")
    parser.add_argument("--seed", type=int, default=1, help="rot: seed (1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1,
                        help="processes at a time (one a processor)")  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
