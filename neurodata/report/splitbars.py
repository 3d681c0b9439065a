"""Splits on the page: which recordings, or parts of them, are on which side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from neurodata.errors import NeurodataError, Problem, RefusedError
from neurodata.report.canvas import counted
from neurodata.report.markup import Html, element, escape, findings, join
from neurodata.splits import audit

if TYPE_CHECKING:
    from neurodata.splits import Catalogued, Split

MAX_LANES = 40
SIDES = ("train", "val", "test")
Entry = Mapping[str, Any]


def split_section(split: Split, store: Catalogued) -> Html:
    """Return one split: how it was made, shares, a bar for each recording, audit findings."""
    gap = "" if split.gap is None else f", gap {split.gap:g} {_gap_units(split)}"
    title = f"{split.dataset}, by {split.by}{gap}"
    asked = ", ".join(f"{side} {share:.3g}" for side, share in split.fractions.items())
    digest = element("code", escape(split.digest[:12]), title=split.digest)
    facts = element("p", Html(f"asked for {escape(asked)}; digest {digest}"), class_="soft small")
    problems = [(split.dataset, problem) for problem in audited(split, store)]
    audit_title = element("h4", escape("Audit"))
    return join(
        [element("h3", escape(title)), facts, _key(split), _lanes(split), audit_title,
         findings(problems)]
    )  # fmt: skip


def audited(split: Split, store: Catalogued) -> list[Problem]:
    """Return the audit's findings; a refusal is a finding too."""
    try:
        return list(audit(split, store))
    except RefusedError as error:
        return [error.problem]
    except NeurodataError as error:
        return [Problem("error", split.dataset, str(error))]


def _gap_units(split: Split) -> str:
    return "voxels" if split.by == "block" else "s"


def side_class(side: str) -> str:
    """Return the colour class of a side."""
    return f"side-{side if side in SIDES else 'other'}"


def _amount(entry: Entry) -> float:
    if "box_zyx" in entry:
        (z0, z1), (y0, y1), (x0, x1) = entry["box_zyx"]
        return float((z1 - z0) * (y1 - y0) * (x1 - x0))
    return float(entry["stop_s"] - entry["start_s"]) if "start_s" in entry else 1.0


def _key(split: Split) -> Html:
    """Return the colours with the shares that the split really has."""
    amounts: dict[str, float] = defaultdict(float)
    for entry in split.assignments:
        amounts[entry["split"]] += _amount(entry)
    total = sum(amounts.values()) or 1.0
    cut = any("start_s" in e or "box_zyx" in e for e in split.assignments)
    parts = [
        Html(f'<span><i class="{side_class(side)}"></i>{escape(side)} {amount / total:.1%}</span>')
        for side, amount in sorted(amounts.items(), key=lambda pair: _rank(pair[0]))
    ]
    if cut:
        parts.append(Html('<span><i class="gap"></i>on no side</span>'))
    return element("div", *parts, class_="key")


def _rank(side: str) -> tuple[int, str]:
    return (SIDES.index(side) if side in SIDES else len(SIDES), side)


def _lanes(split: Split) -> Html:
    """Return one bar for each recording that is cut, or one for all when none is."""
    by_id: dict[str, list[Entry]] = defaultdict(list)
    for entry in split.assignments:
        by_id[entry["id"]].append(entry)
    if all(_is_whole(entry) for entries in by_id.values() for entry in entries):
        return _groups(split)
    lanes = [_lane(name, entries) for name, entries in list(by_id.items())[:MAX_LANES]]
    if len(by_id) > MAX_LANES:
        lanes.append(element("p", escape(f"and {len(by_id) - MAX_LANES} more"), class_="soft"))
    return join(lanes)


def _is_whole(entry: Entry) -> bool:
    return "start_s" not in entry and "box_zyx" not in entry


def _lane(name: str, entries: list[Entry]) -> Html:
    label = name.partition("/")[2]
    if "box_zyx" in entries[0]:
        picture, told = _boxes(entries)
    elif "start_s" in entries[0]:
        picture, told = _times(entries)
    else:
        side = str(entries[0]["split"])
        whole = [element("i", class_=side_class(side), style="left:0;width:100%")]
        picture, told = element("div", *whole, class_="track"), f"whole, {side}"
    text = Html(f'{escape(label)} <span class="soft">{escape(told)}</span>')
    return element("div", element("span", text), picture, class_="lane")


def _piece(side: str, title: str, **place: float) -> Html:
    style = ";".join(f"{name}:{share:.3%}" for name, share in place.items())
    return element("i", class_=side_class(side), title=title, style=style)


def _times(entries: list[Entry]) -> tuple[Html, str]:
    first = min(float(e["start_s"]) for e in entries)
    last = max(float(e["stop_s"]) for e in entries)
    length = (last - first) or 1.0
    pieces = [
        _piece(
            e["split"], f"{e['split']} {e['start_s']:.6g}–{e['stop_s']:.6g} s",
            left=(e["start_s"] - first) / length, width=(e["stop_s"] - e["start_s"]) / length,
        )
        for e in entries
    ]  # fmt: skip
    return element("div", *pieces, class_="track"), f"{first:.4g}–{last:.4g} s"


def _boxes(entries: list[Entry]) -> tuple[Html, str]:
    """Draw boxes on the two axes along which they differ most often."""
    spans = [
        (min(e["box_zyx"][a][0] for e in entries), max(e["box_zyx"][a][1] for e in entries))
        for a in range(3)
    ]
    cuts = [len({tuple(e["box_zyx"][a]) for e in entries}) for a in range(3)]
    vertical, horizontal = sorted(sorted(range(3), key=lambda a: (-cuts[a], -a))[:2])
    pieces = [
        _piece(e["split"], f"{e['split']} {e['box_zyx']}", **_place(e, spans, vertical, horizontal))
        for e in entries
    ]
    high, wide = (spans[a][1] - spans[a][0] for a in (vertical, horizontal))
    style = f"aspect-ratio:{max(wide, 1)}/{max(high, 1)};max-height:320px"
    told = f"{'zyx'[vertical]} down {high}, {'zyx'[horizontal]} across {wide} voxels"
    return element("div", *pieces, class_="boxes", style=style), told


def _place(
    entry: Entry, spans: list[tuple[int, int]], vertical: int, horizontal: int
) -> dict[str, float]:
    found = {}
    for axis, names in ((vertical, ("top", "height")), (horizontal, ("left", "width"))):
        low, high = entry["box_zyx"][axis]
        first, last = spans[axis]
        found[names[0]] = (low - first) / max(last - first, 1)
        found[names[1]] = (high - low) / max(last - first, 1)
    return found


def _groups(split: Split) -> Html:
    """Draw a bar of all recordings by side, and list the groups of each side."""
    order = sorted(split.assignments, key=lambda e: (_rank(e["split"]), e["group"], e["id"]))
    share = 1 / max(len(order), 1)
    pieces = [
        _piece(e["split"], f"{e['id']}, group {e['group']}: {e['split']}", width=share)
        for e in order
    ]
    return join([element("div", *pieces, class_="bar"), *_side_lines(order)])


def _side_lines(order: Iterable[Entry]) -> Iterable[Html]:
    groups: dict[str, dict[str, int]] = defaultdict(dict)
    for entry in order:
        counts = groups[entry["split"]]
        counts[entry["group"]] = counts.get(entry["group"], 0) + 1
    for side, counts in groups.items():
        names = ", ".join(list(counts)[:30]) + (" …" if len(counts) > 30 else "")
        recordings = counted(sum(counts.values()), "recording")
        told = f"{side}: {recordings} of {counted(len(counts), 'group')} ({names})"
        yield element("p", escape(told), class_="small")
