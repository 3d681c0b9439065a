"""Recordings that hold the same bytes, the same content or the same signal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from neurodata.errors import Level, Problem
from neurodata.splits.facts import Facts
from neurodata.splits.form import listed
from neurodata.splits.parts import Need, Part, part_of, too_close
from neurodata.splits.split import Split

HALF = 0.5
Key = tuple[str, str]  # id, version


@dataclass(frozen=True)
class Shared:
    """Something that several recordings hold; ``weight`` is its share of the smallest of them.

    ``keys`` are id and version, ``nodes`` the node that holds it, if it is an array.
    """

    what: str
    keys: frozenset[Key]
    weight: float
    nodes: Mapping[Key, str]

    @property
    def ids(self) -> frozenset[str]:
        """The recordings, whatever their versions."""
        return frozenset(name for name, _ in self.keys)


def twins(split: Split, facts: Mapping[Key, Facts], need: Need) -> Iterator[Problem]:
    """Yield one finding for each set of recordings that share bytes, content or arrays.

    Across sides it is an error, unless the parts of them are as far apart as the parts of one
    recording have to be; on one side it is a warning. Shared files beside the main one
    (participants, electrode positions), and arrays that make up less than half of every
    recording (a stimulus trace), are no more than a note and a warning.
    """
    by_ids: dict[frozenset[str], list[Shared]] = defaultdict(list)
    for shared in _shared(facts):
        if len(shared.ids) > 1:
            by_ids[shared.ids].append(shared)
    parts = defaultdict(list)
    for entry in split.assignments:
        parts[entry["id"]].append(part_of(entry))
    for ids, every in by_ids.items():
        own = [part for name in sorted(ids) for part in parts[name]]
        leaks = any(True for shared in every for _ in too_close(_aligned(own, shared, facts), need))
        level = _level(leaks, sum(shared.weight for shared in every))
        if level is not None:
            yield _finding(level, leaks, own, every)


def _level(leaks: bool, weight: float) -> Level | None:
    if weight >= HALF:
        return "error" if leaks else "warning"
    if not leaks:
        return None
    return "warning" if weight > 0 else "note"


def _finding(level: Level, leaks: bool, parts: Iterable[Part], every: Iterable[Shared]) -> Problem:
    sides: dict[str, set[str]] = defaultdict(set)
    for part in parts:
        sides[part.side].add(part.id)
    places = "; ".join(f"{side}: {listed(names)}" for side, names in sorted(sides.items()))
    return Problem(
        level,
        places,
        " and ".join(sorted({shared.what for shared in every})),
        "different recordings on different sides" if leaks else "different recordings",
        "keep one of them, or give them one subject and make the split again"
        if level == "error"
        else "see that they are not one recording under two names",
    )


def _shared(facts: Mapping[Key, Facts]) -> Iterator[Shared]:
    inputs: dict[str, dict[Key, bool]] = defaultdict(dict)
    contents: dict[str, set[Key]] = defaultdict(set)
    for key, known in facts.items():
        contents[known.content].add(key)
        for i, (digest, size) in enumerate(known.inputs):
            if size > 0:
                inputs[digest].setdefault(key, i == 0)
    for content, keys in contents.items():
        if content:
            yield Shared("the same content", frozenset(keys), 1.0, {})
    for holders in inputs.values():
        if any(holders.values()):
            yield Shared("a byte-identical input", frozenset(holders), 1.0, {})
        else:
            yield Shared("a byte-identical file beside the main one", frozenset(holders), 0.0, {})
    yield from _shared_arrays(facts)


def _shared_arrays(facts: Mapping[Key, Facts]) -> Iterator[Shared]:
    arrays: dict[str, dict[Key, str]] = defaultdict(dict)
    for key, known in facts.items():
        for node, held in known.arrays.items():
            arrays[held.fingerprint].setdefault(key, node)
    for nodes in arrays.values():
        key = min(nodes, key=lambda one: facts[one].values)
        held = facts[key].arrays[nodes[key]]
        what = f"the same values of {nodes[key]}/{held.variables}"
        yield Shared(what, frozenset(nodes), held.values / facts[key].values, nodes)


def _aligned(parts: list[Part], shared: Shared, facts: Mapping[Key, Facts]) -> list[Part]:
    """Put parts of a shared regular signal on one clock, when starts or rates differ."""
    clocks = {key[0]: facts[key].clocks.get(node) for key, node in sorted(shared.nodes.items())}
    regular = {name: clock for name, clock in clocks.items() if clock and clock.rate_hz}
    if len(regular) < len(clocks) or len(set(regular.values())) < 2:
        return parts
    base_hz = next(iter(regular.values())).rate_hz or 1.0
    return [
        part.moved(-regular[part.id].start_s, (regular[part.id].rate_hz or 1.0) / base_hz)
        for part in parts
    ]
