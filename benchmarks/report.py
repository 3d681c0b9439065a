"""The table and the plot of `docs/benchmarks.md`, from files of results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.arithmetic import Line, lines, ratio, read, verdict
from benchmarks.workloads import WORKLOADS

START, STOP = "<!-- results -->", "<!-- end of results -->"
PAGE, PICTURE = "benchmarks.md", "benchmarks.png"


def newest(folder: Path) -> list[Path]:
    """Return the newest file of results in a folder, as a list of one.

    Raises
    ------
    SystemExit
        When there is none.
    """
    found = sorted(folder.glob("*.jsonl"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise SystemExit(f"no results in {folder}: run `python -m benchmarks run`")
    return found[-1:]


def write(files: Sequence[Path], docs: Path) -> list[Path]:
    """Write table and plot: into the page of the docs, or beside quick results.

    Quick results are of smaller data and never go into the docs.
    """
    rows, headers = read(files)
    text = results(lines(rows), headers)
    if any(row["quick"] for row in rows):
        page, picture = files[-1].with_suffix(".md"), files[-1].with_suffix(".png")
        page.write_text(text)
    else:
        page, picture = docs / PAGE, docs / PICTURE
        page.write_text(between(page.read_text(), text))
    from benchmarks.plot import draw

    draw(lines(rows), picture)
    return [page, picture]


def between(page: str, text: str) -> str:
    """Return a page with a text between its two marks.

    Raises
    ------
    ValueError
        When the page lacks a mark.
    """
    before, found, rest = page.partition(START)
    _, closed, after = rest.partition(STOP)
    if not (found and closed):
        raise ValueError(f"the page has no {START} … {STOP}")
    return f"{before}{START}\n\n{text}\n{STOP}{after}"


def results(found: Sequence[Line], headers: Sequence[Any]) -> str:
    """Return all tables as Markdown, under the machine they were measured on."""
    parts = [machine(headers)] if headers else []
    for name in dict.fromkeys(line.workload for line in found):
        parts.append(table([line for line in found if line.workload == name]))
    return "\n\n".join(parts) + "\n"


def machine(headers: Sequence[Any]) -> str:
    """Return one sentence on machine and date of the last run."""
    facts, options = headers[-1]["machine"], headers[-1]["options"]
    size = "quick, on smaller data" if options["quick"] else "full"
    return (
        f"Measured {facts['date']} ({size}): {facts['cores']} cores of "
        f"{facts['processor']}, {facts['memory_gib']} GiB, Linux {facts['kernel']}, "
        f"Python {facts['python']}; {options['rounds']} rounds."
    )


def table(found: Sequence[Line]) -> str:
    """Return the Markdown table of one workload.

    Every column ``neurodata… is`` says how that variant of the project does against the row.
    """
    workload = WORKLOADS[found[0].workload]
    ours = [line for line in found if line.candidate.ours and line.rate]
    extra = {"waiting": "waits", "writing": "apart"}.get(workload.name)
    heads = [
        "candidate",
        "workers",
        f"{workload.unit} (min-max)",
        *(f"{line.candidate.name} is" for line in ours),
        *([extra] if extra else ["first batch, s"]),
        "peak MiB",
        "notes",
    ]
    rows = [[_name(line), *_cells(line, ours, bool(extra))] for line in found]
    text = [heads, ["---"] * len(heads), *rows]
    body = "\n".join(f"| {' | '.join(row)} |" for row in text)
    commit = f"Measured at commit {found[0].commit}."
    return f"### {workload.title} (`{workload.name}`)\n\n{commit}\n\n{body}"


def _name(line: Line) -> str:
    return f"**{line.candidate.name}**" if line.candidate.ours else line.candidate.name


def _cells(line: Line, ours: Sequence[Line], extra: bool) -> list[str]:
    if line.error:
        return ["", f"failed: {line.error.replace('|', '/')}", *[""] * len(ours), "", "", ""]
    peer = not line.candidate.ours
    return [
        str(line.workers),
        f"{_number(line.rate)} ({_number(line.lowest)}-{_number(line.highest)})",
        *(verdict(ratio(own, line)) if peer else "" for own in ours),
        _apart(line) if extra else _shown(line.first_batch_s, "{:.2f}"),
        _shown(line.peak_mib, "{:,.0f}"),
        "; ".join(_notes(line)),
    ]


def _apart(line: Line) -> str:
    """Return the share of waiting, or the seconds of a writer's other stages."""
    if line.waiting_share is not None:
        return f"{line.waiting_share:.0%}"
    parts = {k.removesuffix("_s"): v for k, v in line.parts_s.items() if k != "array_s"}
    return ", ".join(f"{name} {value:.2f} s" for name, value in parts.items())


def _notes(line: Line) -> list[str]:
    candidate = line.candidate
    noted = [candidate.note, f"easier: {candidate.easier}" if candidate.easier else ""]
    noted.append("" if line.checked else "content not checked")
    noted.append(f"noisy: others used {line.ext_cores:.1f} cores" if line.noisy else "")
    return [note for note in noted if note]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)
