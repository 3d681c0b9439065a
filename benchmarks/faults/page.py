"""The page of the scoreboard: tables, defects and the list of cases, as Markdown."""

from __future__ import annotations

import platform
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.faults.case import CLASSES, DEFECTS, FAULTS, Case
from benchmarks.faults.peers import Peer
from benchmarks.faults.rot import Rot
from benchmarks.faults.run import Board

ROOT = Path(__file__).parents[2]
SHOWN = ("refused", "flagged", "right", "silent", "unknowable", "foreign")
HEAD = """# Scoreboard of faults

Damaged and mis-stated sources, written by code, and what becomes of them: refused, read with a
finding that names the fault, read rightly all the same, or **read as something else without a
word**. The last is what must not happen. Valid files beside them show that refusing is no trick.

```
python -m benchmarks.faults                       # the corpus through `neurodata ingest`
python -m benchmarks.faults --quick               # a part of it, in half a minute
python -m benchmarks.faults --only 15,41          # some faults
python -m benchmarks.faults --peers --out docs/faults.md   # and this page
python -m benchmarks.faults rot --flips 100000    # bits of a published store
```

Every case is written into an empty folder, ingested in a process of its own with limits, and read
back from the store. What is right comes from the code that wrote the file: signals in volts, rates,
times, names, voxels and where these lie in millimetres. Where a format's own maker wrote the file
(cuts, impossible headers, flipped bits of all formats), what is right is what the same reader makes
of the undamaged file.
"""


def page(
    boards: Sequence[Board],
    peers: Sequence[tuple[Peer, str]],
    rots: Mapping[str, tuple[int, Mapping[str, int]]],
    name: str,
) -> str:
    """Return the page of the tables; that of the cases is called after it, ``NAME_cases.md``.

    Parameters
    ----------
    boards : sequence of Board
        Ours first, then those of the peers that were asked.
    peers : sequence of (Peer, str)
        All peers, each with why it was not asked, or "".
    rots : mapping
        Bits flipped in what a writer stored: number of flips, and counts by class.
    """
    parts = [HEAD, facts(), *_ours(boards[0])]
    if peers:
        parts += _peers(boards, peers)
    if rots:
        parts += _rots(rots)
    parts.append(f"All cases with their stories and outcomes: [{name}_cases.md]({name}_cases.md).")
    return "\n".join(parts) + "\n"


def facts() -> str:
    """Return the versions, the commit and the date that the numbers hang on."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607
        capture_output=True, text=True, cwd=ROOT, check=False,
    ).stdout.strip()  # fmt: skip
    names = ("numpy", "xarray", "zarr", "h5py")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"Measured on {time.strftime('%Y-%m-%d')} at commit {commit or 'unknown'}, Python "
        f"{platform.python_version()}, {versions}.\n"
    )


def table(board: Board) -> Iterator[str]:
    """Yield a board as a table, a line a fault."""
    kinds = [*SHOWN, *(k for k in CLASSES if k not in SHOWN and board.total(k))]
    yield "| fault | | cases | " + " | ".join(kinds) + " | valid, not read | s |"
    yield "|---|---|" + "---:|" * (len(kinds) + 3)
    for fault in sorted(board.rows):
        row = board.rows[fault]
        counts = " | ".join(str(row.classes[kind]) for kind in kinds)
        yield (
            f"| {fault or ''} | {FAULTS[fault]} | {row.cases} | {counts} | {len(row.unread)} "
            f"| {row.seconds:.1f} |"
        )
    sums = " | ".join(f"**{board.total(kind)}**" for kind in kinds)
    whole = sum(row.cases for row in board.rows.values())
    seconds = sum(row.seconds for row in board.rows.values())
    yield f"| | all | **{whole}** | {sums} | **{len(board.unread())}** | {seconds:.1f} |"


def _ours(board: Board) -> Iterator[str]:
    yield "## neurodata\n"
    yield from table(board)
    yield ""
    for kind in SHOWN:
        yield f"- *{kind}*: {CLASSES[kind]}."
    yield (
        "\nSome cases do a thing many times (bits of a store, splits): each counts. Seconds are of"
        " processor time for ingest and reading back.\n"
    )
    known = sorted({reason for kind, reason in board.outcomes.values() if kind == "unknowable"})
    if known:
        yield "What nobody can tell from the file alone, so that only a listed sha256 helps:\n"
        yield from (f"- {reason}" for reason in known)
        yield ""
    wrong = [*board.defects(), *board.unread()]
    if wrong:
        yield "Defects of this run:\n"
        yield from (f"- {text}" for text in wrong)
        yield ""


def _peers(boards: Sequence[Board], peers: Sequence[tuple[Peer, str]]) -> Iterator[str]:
    yield "## The same files and the field's readers\n"
    yield (
        "Each peer opens the files of its formats as its documentation says, and is asked only"
        " about faults that it could notice and files whose undamaged twin it reads. Any exception"
        " of theirs counts as refused, any warning or log line as flagged, and what a peer does not"
        " say (a unit, say) is not compared. The row below each is ours on the same cases.\n"
    )
    yield "| reader | version | cases | refused | flagged | right | silent | unknowable | died |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|"
    by_name = {board.reader: board for board in boards}
    for peer, missing in peers:
        if missing:
            yield f"| {peer.name} | {missing} | | | | | | | |"
        elif peer.name in by_name and by_name[peer.name].outcomes:
            board = by_name[peer.name]
            yield f"| {peer.name} | {peer.version()} | " + _sums(board, [*board.outcomes]) + " |"
            yield "| neurodata | | " + _sums(boards[0], [*board.outcomes]) + " |"
        else:
            yield f"| {peer.name} | {peer.version()} | 0 | | | | | | |"
    yield ""
    yield from (f"- {peer.name}: {peer.note}." for peer, _ in peers if peer.note)
    yield "\nSilent by fault:\n"
    yield from _silent(boards)
    yield ""


def _sums(board: Board, names: Sequence[str]) -> str:
    kinds = [board.outcomes[name][0] for name in names if name in board.outcomes]
    died = sum(kind in ("crash", "hang", "memory") for kind in kinds)
    counts = [kinds.count(kind) for kind in ("refused", "flagged", "right", "silent", "unknowable")]
    return " | ".join(map(str, [len(kinds), *counts, died]))


def _silent(boards: Sequence[Board]) -> Iterator[str]:
    faults = sorted({fault for board in boards[1:] for fault in board.rows})
    yield "| fault | | " + " | ".join(board.reader for board in boards[1:]) + " |"
    yield "|---|---|" + "---:|" * len(boards[1:])
    for fault in faults:
        cells = [
            f"{board.rows[fault].classes['silent']}/{board.rows[fault].cases}"
            if fault in board.rows
            else ""
            for board in boards[1:]
        ]
        yield f"| {fault or ''} | {FAULTS[fault]} | " + " | ".join(cells) + " |"


def _rots(rots: Mapping[str, tuple[int, Mapping[str, int]]]) -> Iterator[str]:
    yield "## Bits of stored arrays\n"
    yield (
        "The same array of int16 noise, written by each as its documentation begins; one random"
        " bit of one of its files is flipped, and everything is read back.\n"
    )
    yield "| writer | flips | noticed | no difference | other values, no word | died |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name, (count, kinds) in rots.items():
        died = sum(kinds.get(kind, 0) for kind in ("crash", "hang", "memory"))
        noticed = kinds.get("refused", 0) + kinds.get("flagged", 0)
        right, silent = kinds.get("right", 0), kinds.get("silent", 0)
        yield f"| {name} | {count} | {noticed} | {right} | {silent} | {died} |"
    yield ""


def rot_lines(rot: Rot) -> Iterator[str]:
    """Yield what a long run of flips found, in words."""
    verified, read = rot.verified, rot.read
    yield (
        f"verify: {verified.total()} flips, removals and additions: {verified['refused']} found,"
        f" {verified['silent']} not"
    )
    yield (
        f"reading the array of a flipped chunk, {read.total()} times: {read['refused']} typed"
        f" errors, {read['foreign']} others, {read['right']} equal, {read['silent']} other values"
    )
    yield from rot.missed[:20]


def listing(cases: Sequence[Case], board: Board, main: str) -> str:
    """Return the page of the cases, ``main`` being that of the tables."""
    return "\n".join(_listing(cases, board, main)) + "\n"


def _listing(cases: Sequence[Case], board: Board, main: str) -> Iterator[str]:
    yield f"# Cases of the [scoreboard of faults]({main})\n"
    yield "Hand-written ones each with story and outcome, those of all formats by their makers.\n"
    for fault in sorted({case.fault for case in cases}):
        own = [case for case in cases if case.fault == fault]
        yield f"## {fault}: {FAULTS[fault]}\n" if fault else f"## {FAULTS[fault]}\n"
        for case in own:
            if not case.generated:
                yield f"- {case.name}: {case.story}: *{_outcome(board, case)}*"
        groups: defaultdict[str, list[Case]] = defaultdict(list)
        for case in own:
            if case.generated:
                groups[case.name.partition(":")[0]].append(case)
        for name, group in groups.items():
            yield f"- {name}: {_told(group, fault)}: *{_outcomes(board, group)}*"
        yield ""


def _told(group: Sequence[Case], fault: int) -> str:
    if fault in (0, 10, 11):
        return f"{len(group)}"
    return "; ".join(case.story.partition(": ")[2] or case.story for case in group)


def _outcome(board: Board, case: Case) -> str:
    return board.outcomes.get(case.name, ("not run", ""))[0]


def _outcomes(board: Board, group: Sequence[Case]) -> str:
    kinds = [_outcome(board, case) for case in group]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))


def is_clean(board: Board) -> bool:
    """Say whether nothing was silent or foreign, nothing died, and every valid file was read."""
    return not board.total(*DEFECTS) and not board.unread()
