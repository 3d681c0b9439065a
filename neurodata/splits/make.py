"""Make a split: groups by salted hash, or cuts of every recording with a gap at each boundary."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise
from typing import Any

from neurodata.declare import KEYS as DECLARABLE
from neurodata.errors import InvalidInputError, LeakageError, SplitError
from neurodata.splits.facts import (
    AXES,
    Catalogued,
    Clock,
    clocks_of,
    group_keys,
    group_of,
    nodes_of,
    shapes_of,
)
from neurodata.splits.form import listed, wrong_fractions
from neurodata.splits.split import Assignment, Split

FRACTIONS = {"train": 0.7, "val": 0.15, "test": 0.15}
CUTS = ("time", "block")


def make_split(
    store: Catalogued,
    dataset: str,
    *,
    by: str | None = None,
    fractions: Mapping[str, float] | None = None,
    gap_s: float | None = None,
    gap_voxels: int | None = None,
    salt: str | None = None,
    existing: Split | None = None,
    node: str | None = None,
) -> Split:
    """Split a data set by groups of recordings, by time or by blocks of voxels.

    By a root attribute, whole groups go to one side each: ordered by the sha256 of salt + group,
    each goes where most groups are lacking, and no side stays empty. By time, every recording is
    cut into the sides in the order of ``fractions``; by block, every volume is cut along its
    longest axis (the first of z, y, x when equal). With ``existing`` nobody moves, not even to a
    newer version; what is not given is taken from there, and what is given has to agree.

    Parameters
    ----------
    store : Store
        Only manifests are read; no array is opened.
    by : str
        ``"subject"`` (default), ``"session"`` (of one subject), another root attribute,
        ``"time"`` or ``"block"``.
    fractions : mapping of str to float
        Sides and shares of groups, seconds or voxels; train 0.7, val 0.15, test 0.15.
    gap_s, gap_voxels : float, int
        Left out at each boundary, by time and by block; needed there, over 0.
    salt : str
        Another salt, another order of the groups.
    node : str
        The node that is cut; by default the longest time series (else spikes, else volume with a
        clock), or the volume.

    Raises
    ------
    InvalidInputError
        When an argument is not of the form.
    SplitError
        When the recordings do not state the key, are too few or too short.
    LeakageError
        When a group is on two sides of ``existing``.

    Examples
    --------
    >>> import tempfile, neurodata
    >>> store = neurodata.open_store(tempfile.mkdtemp(), create=True)
    >>> _ = neurodata.ingest("eeg_fp1", store=store)
    >>> split = make_split(store, "eeg_fp1", by="time", gap_s=10.0)
    >>> [round(part["stop_s"], 1) for part in split.assignments_of("train")]
    [474.6, 474.6]
    """
    rule = _rule(existing, by=by, fractions=fractions, salt=salt, dataset=dataset)
    gap = _gap(rule["by"], gap_s, gap_voxels, existing)
    kept = existing.assignments if existing else ()
    placed = {entry["id"] for entry in kept}
    new = [name for name in sorted(store.ids(dataset)) if name not in placed]
    if not new and not kept:
        raise SplitError(dataset, "no recording in the store", "some", "ingest the data set first")
    if rule["by"] in CUTS:
        added = _cut(store, new, rule, gap, node)
    elif node is not None:
        raise InvalidInputError("node", repr(node), "none", f"by {rule['by']} cuts no node")
    else:
        added = _grouped(store, new, rule, kept)
    return Split.sealed(**rule, gap=gap, assignments=[*kept, *added])


def _rule(existing: Split | None, **given: Any) -> dict[str, Any]:
    default = {"by": "subject", "fractions": FRACTIONS, "salt": ""}
    for key, value in given.items():
        before = getattr(existing, key) if existing else default.get(key)
        if existing and value not in (None, before):
            raise SplitError(
                key, repr(value), f"{before!r}, as in the existing split", "or make a new split"
            )
        if existing or value is None:
            given[key] = before
    if found := wrong_fractions(given["fractions"]):
        raise InvalidInputError("fractions", found, "names with shares over 0 that sum to 1")
    return given


def _gap(
    by: str, gap_s: float | None, gap_voxels: int | None, existing: Split | None
) -> float | None:
    used = {"time": "gap_s", "block": "gap_voxels"}.get(by)
    given = {"gap_s": gap_s, "gap_voxels": gap_voxels}
    for name, value in given.items():
        if value is not None and name != used:
            raise InvalidInputError(name, repr(value), "none", f"a split by {by} has no such gap")
    if used is None:
        return None
    gap = given[used] if given[used] is not None else existing.gap if existing else None
    flag = f"give --{used.replace('_', '-')}, at least as much as one sample sees"
    if gap is None or isinstance(gap, bool) or not (math.isfinite(gap) and gap > 0):
        found = "no gap" if gap is None else repr(gap)
        raise InvalidInputError(used, found, "a finite number over 0", flag)
    if existing and gap != existing.gap:
        raise SplitError(used, f"{gap:g}", f"{existing.gap}, as in the existing split", flag)
    if by == "time":
        return float(gap)
    if gap != int(gap):
        raise InvalidInputError(used, repr(gap), "a whole number of voxels", flag)
    return int(gap)


def _grouped(
    store: Catalogued, new: list[str], rule: Mapping[str, Any], kept: Iterable[Assignment]
) -> list[Assignment]:
    attrs = {name: store.manifest(name)["attrs"] for name in new}
    groups = {name: group_of(attrs[name], rule["by"]) for name in new}
    if missing := [name for name in new if groups[name] is None]:
        raise _unstated(rule, missing, attrs)
    known = {name: group for name, group in groups.items() if group is not None}
    side = _sides(set(known.values()), rule, kept)
    return [
        Assignment(id=name, version=store.version(name), group=group, split=side[group])
        for name, group in known.items()
    ]


def _unstated(
    rule: Mapping[str, Any], missing: list[str], attrs: Mapping[str, Mapping[str, Any]]
) -> SplitError:
    keys = group_keys(rule["by"])
    lacking = [key for key in keys if any(attrs[name].get(key) in (None, "") for name in missing)]
    flags = " ".join(f"--set {key}=NAME" for key in lacking if key in DECLARABLE)
    again = f"ingest them again with {flags}, or " if flags else ""
    return SplitError(
        rule["dataset"],
        f"no {' and no '.join(lacking)} in {len(missing)} recordings: {listed(missing)}",
        f"every recording with its {' and '.join(keys)}",
        f"{again}choose another --by; stated are: {listed({k for a in attrs.values() for k in a})}",
    )


def _sides(
    groups: set[str], rule: Mapping[str, Any], kept: Iterable[Assignment]
) -> Mapping[str, str]:
    side: dict[str, str] = {}
    for entry in kept:
        if side.setdefault(entry["group"], entry["split"]) != entry["split"]:
            raise LeakageError(
                f"group {entry['group']} of the existing split",
                f"both {side[entry['group']]} and {entry['split']}",
                "one side",
                "audit the file and make a new split",
            )
    fractions = rule["fractions"]
    new = sorted(groups - set(side), key=lambda group: (_order(rule["salt"], group), group))
    counts, total = Counter(side.values()), len(side) + len(new)
    if total < len(fractions):
        raise SplitError(
            rule["dataset"],
            f"{total} groups by {rule['by']}: {listed(groups)}",
            f"at least {len(fractions)}, one for each of {', '.join(fractions)}",
            "ask for fewer sides, or cut within recordings with --by time --gap-s SECONDS",
        )
    for i, group in enumerate(new):
        empty = [name for name in fractions if not counts[name]]
        open_sides = empty if len(new) - i <= len(empty) else list(fractions)
        lack = {name: fractions[name] * total - counts[name] for name in open_sides}
        side[group] = max(lack, key=lambda name: lack[name])
        counts[side[group]] += 1
    return side


def _order(salt: str, group: str) -> bytes:
    return hashlib.sha256((salt + group).encode("utf-8", "surrogatepass")).digest()


def _cut(
    store: Catalogued, new: list[str], rule: Mapping[str, Any], gap: Any, node: str | None
) -> list[Assignment]:
    added: list[Assignment] = []
    short: list[str] = []
    parts_of = _timed if rule["by"] == "time" else _boxed
    for name in new:
        place: Assignment = {"id": name, "version": store.version(name), "group": name, "split": ""}
        length, cuts = parts_of(place, store.manifest(name), rule["fractions"], gap, node)
        if not cuts:
            short.append(f"{name} ({length})")
        added += cuts
    if short:
        raise _too_short(rule, short, gap)
    return added


def _timed(
    place: Assignment,
    manifest: Mapping[str, Any],
    fractions: Mapping[str, float],
    gap_s: float,
    node: str | None,
) -> tuple[str, list[Assignment]]:
    clock = _clock(place["id"], manifest, node)
    parts = zip(fractions, time_parts(clock, fractions, gap_s), strict=False)
    cuts: list[Assignment] = [
        {**place, "split": side, "start_s": start, "stop_s": stop} for side, (start, stop) in parts
    ]
    return f"{clock.length_s:g} s", cuts


def _boxed(
    place: Assignment,
    manifest: Mapping[str, Any],
    fractions: Mapping[str, float],
    gap_voxels: int,
    node: str | None,
) -> tuple[str, list[Assignment]]:
    shape = _shape(place["id"], manifest, node)
    parts = zip(fractions, block_parts(shape, fractions, gap_voxels), strict=False)
    cuts: list[Assignment] = [{**place, "split": side, "box_zyx": box} for side, box in parts]
    return f"{max(shape)} voxels", cuts


def _too_short(rule: Mapping[str, Any], short: list[str], gap: float) -> SplitError:
    sides = rule["fractions"]
    unit, part = ("s", "sample") if rule["by"] == "time" else ("voxels", "voxel")
    return SplitError(
        rule["dataset"],
        f"recordings too short to be cut: {listed(short)}",
        f"more than the gaps ({(len(sides) - 1) * gap:g} {unit}) and a {part} for every side",
        "choose a smaller gap or fewer sides, or leave them out of the data set",
    )


def _clock(name: str, manifest: Mapping[str, Any], node: str | None) -> Clock:
    clocks = clocks_of(manifest)
    if node is None:
        for representation in ("timeseries", "spikes", "volume"):
            if timed := [key for key in nodes_of(manifest, representation) if key in clocks]:
                return clocks[max(timed, key=lambda key: clocks[key].length_s)]
    elif node in clocks:
        return clocks[node]
    raise SplitError(
        name,
        f"no time axis in {f'node {node!r}' if node else 'any node'}",
        "start, rate and count, or the times of the first and last sample",
        f"nodes with a clock: {listed(clocks) or 'none'}",
    )


def _shape(name: str, manifest: Mapping[str, Any], node: str | None) -> tuple[int, int, int]:
    shapes = shapes_of(manifest)
    wanted = [node] if node is not None else nodes_of(manifest, "volume")
    found = {shapes[key] for key in wanted if key in shapes}
    if len(found) == 1:
        return found.pop()
    raise SplitError(
        name,
        f"{len(found)} shapes of volumes" if found else f"no volume in {node or 'any node'}",
        "one volume to cut",
        f"name its node; nodes with voxels: {listed(shapes) or 'none'}",
    )


def time_parts(
    clock: Clock, fractions: Mapping[str, float], gap_s: float
) -> list[tuple[float, float]]:
    """Cut a clock into ``[start_s, stop_s)`` per side, in seconds; empty when it is too short.

    On a regular clock every boundary is the time of a sample, bit for bit, so that no sample is
    in two parts; the gap is never less than ``gap_s``.

    Examples
    --------
    >>> time_parts(Clock(0.0, 10.0, 1.0, 10), {"train": 0.75, "test": 0.25}, 2.0)
    [(0.0, 6.0), (8.0, 10.0)]
    """
    if gap_s * (len(fractions) - 1) >= clock.length_s:
        return []
    if clock.rate_hz is None:
        return _irregular_parts(clock, fractions, gap_s)
    gap = math.ceil(gap_s * clock.rate_hz)
    while parts := count_parts(clock.n, fractions, gap):
        times = [(clock.at(first), clock.at(after)) for first, after in parts]
        if all(later[0] - sooner[1] >= gap_s for sooner, later in pairwise(times)):
            return times if all(start < stop for start, stop in times) else []
        gap += 1
    return []


def _irregular_parts(
    clock: Clock, fractions: Mapping[str, float], gap_s: float
) -> list[tuple[float, float]]:
    used_s = clock.length_s - gap_s * (len(fractions) - 1)
    parts, start = [], clock.start_s
    for i, share in enumerate(_cumulated(fractions)):
        last = i == len(fractions) - 1
        stop = clock.stop_s if last else clock.start_s + i * gap_s + share * used_s
        parts.append((start, stop))
        start = stop + gap_s
        while start - stop < gap_s:
            start = math.nextafter(start, math.inf)
    return parts if all(start < stop for start, stop in parts) else []


def block_parts(
    shape: tuple[int, int, int], fractions: Mapping[str, float], gap_voxels: int
) -> list[list[list[int]]]:
    """Cut a (z, y, x) shape along its longest axis into one box per side; empty when too short.

    Examples
    --------
    >>> block_parts((1, 4, 10), {"train": 0.5, "test": 0.5}, 2)
    [[[0, 1], [0, 4], [0, 4]], [[0, 1], [0, 4], [6, 10]]]
    """
    axis = shape.index(max(shape))
    whole = [[0, size] for size in shape]
    return [
        [list(part) if i == axis else list(whole[i]) for i in range(len(AXES))]
        for part in count_parts(shape[axis], fractions, gap_voxels)
    ]


def count_parts(n: int, fractions: Mapping[str, float], gap: int) -> list[tuple[int, int]]:
    """Cut ``range(n)`` into half-open parts with ``gap`` left out between; empty when too short.

    Examples
    --------
    >>> count_parts(10, {"train": 0.75, "test": 0.25}, 2)
    [(0, 6), (8, 10)]
    """
    used = n - gap * (len(fractions) - 1)
    edges = [0, *(round(used * share) for share in _cumulated(fractions))]
    parts = [(low + i * gap, high + i * gap) for i, (low, high) in enumerate(pairwise(edges))]
    return parts if all(low < high for low, high in parts) else []


def _cumulated(fractions: Mapping[str, float]) -> list[float]:
    sums = list(accumulate(fractions.values()))
    return [part / sums[-1] for part in sums]
