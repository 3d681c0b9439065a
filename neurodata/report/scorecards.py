"""Scores on the page: a table and a plot of points and intervals for each task."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from neurodata.report.markup import Html, element, escape, join, row, table

Score = Mapping[str, Any]
HEAD = ("Model", "Value", "95 % interval", "", "Test examples", "Seed", "Time")


def score_sections(scores: Iterable[Score]) -> list[Html]:
    """Return one section for each data set, task and metric, the best model first."""
    groups: dict[tuple[str, str, str], list[Score]] = {}
    for score in scores:
        key = (str(score["dataset"]), str(score["task"]), str(score["metric"]))
        groups.setdefault(key, []).append(score)
    return [_section(group) for group in groups.values()]


def _section(group: Sequence[Score]) -> Html:
    first = group[0]
    higher = bool(first.get("higher_is_better", True))
    ordered = sorted(group, key=lambda s: _rank(s, higher))
    best = next((s for s in ordered if s.get("role") == "baseline"), None)
    low, high = span([s for s in group if s.get("role") != "baseline"] + ([best] if best else []))
    reference = _number(best, "value") if best else None
    rows = [_row(score, low, high, reference) for score in ordered]
    better = "higher is better" if higher else "lower is better"
    digest = str(first.get("split_digest", ""))
    told = Html(
        f"{escape(first['dataset'])} · {escape(first['metric'])}{_units(first)}, {better} · "
        f"split {element('code', escape(digest[:12]), title=digest)}"
    )
    notes = [f"{s['model']}: {s['note']}" for s in ordered if s.get("note")]
    return join(
        [
            element("h3", escape(first.get("title") or first["task"])),
            element("p", told, class_="soft small"),
            table(HEAD, [*rows, _scale(low, high)]),
            *_notes(notes),
        ]
    )


def _notes(notes: Sequence[str]) -> list[Html]:
    if not notes:
        return []
    lines = [element("p", escape(note), class_="soft small") for note in notes]
    return [element("details", element("summary", escape("Notes")), *lines)]


def _number(score: Score, name: str) -> float | None:
    value = score.get(name)
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else None


def _rank(score: Score, higher: bool) -> float:
    value = _number(score, "value")
    return math.inf if value is None else -value if higher else value


def _units(score: Score) -> Html:
    units = str(score.get("units") or "")
    return escape(f" ({units})" if units not in ("", "1") else "")


def span(group: Sequence[Score]) -> tuple[float, float]:
    """Return the ends of the plot: these values and intervals, with a margin.

    Examples
    --------
    >>> span([{"value": 0.5, "low": 0.4, "high": 0.6}, {"value": 0.9}])
    (0.375, 0.925)
    """
    names = ("value", "low", "high")
    known = [n for score in group for name in names if (n := _number(score, name)) is not None]
    if not known:
        return 0.0, 1.0
    margin = (max(known) - min(known)) * 0.05 or abs(known[0]) * 0.1 or 1.0
    return round(min(known) - margin, 12), round(max(known) + margin, 12)


def _row(score: Score, low: float, high: float, reference: float | None) -> Html:
    value, bottom, top = (_number(score, name) for name in ("value", "low", "high"))
    interval = "" if bottom is None or top is None else f"{bottom:.3g} to {top:.3g}"
    baseline = score.get("role") == "baseline"
    name = f"{score['model']} (baseline)" if baseline else str(score["model"])
    cells = [
        ("id", escape(name)),
        ("number", escape("not computed" if value is None else f"{value:.3g}")),
        ("number", escape(interval)),
        ("plot", _dots(score, low, high, reference)),
        ("number", escape(score.get("n_test", ""))),
        ("number", escape(score.get("seed", ""))),
        ("number", escape(_seconds(score))),
    ]
    return row(cells, "baseline" if baseline else "")


def _seconds(score: Score) -> str:
    seconds = _number(score, "seconds")
    return "" if seconds is None else f"{seconds:.2g} s"


def _dots(score: Score, low: float, high: float, reference: float | None) -> Html:
    """Draw value, interval and best baseline; an arrow at the edge is a value off the plot."""

    def at(number: float) -> float:
        return min(max((number - low) / (high - low), 0.0), 1.0)

    value, bottom, top = (_number(score, name) for name in ("value", "low", "high"))
    parts = []
    if reference is not None:
        parts.append(element("i", class_="reference", style=f"left:{at(reference):.2%}"))
    if bottom is not None and top is not None:
        style = f"left:{at(bottom):.2%};width:{at(top) - at(bottom):.2%}"
        parts.append(element("i", class_="whole", style=style))
    if value is not None and not low <= value <= high:
        arrow, side = ("◂", "left") if value < low else ("▸", "right")
        parts.append(element("i", escape(arrow), class_="off", style=f"{side}:0"))
    elif value is not None:
        parts.append(element("i", class_="dot", style=f"left:{at(value):.2%}"))
    return element("div", *parts, class_="dots")


def _scale(low: float, high: float) -> Html:
    ends = [element("span", escape(f"{end:.3g}")) for end in (low, (low + high) / 2, high)]
    scale = element("div", *ends, class_="scale")
    return row([("", Html("")), ("", Html("")), ("", Html("")), ("plot", scale)])
