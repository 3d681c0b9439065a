"""Parts of recordings on two sides: do they overlap, touch or come too close?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from neurodata.splits.split import Assignment

SLACK_S = 1e-9  # rounding allowed in a gap: far below one sample at any recorded rate

Box = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Need:
    """What has to lie between two sides of one recording."""

    seconds: float
    voxels: int

    def __str__(self) -> str:
        stated = [(self.seconds, "s"), (self.voxels, "voxels")]
        asked = [f"{size:g} {unit}" for size, unit in stated if size > 0]
        return f"at least {' or '.join(asked) or 'something'} between the sides"


@dataclass(frozen=True)
class Part:
    """A piece of a recording; the whole time axis or all voxels where nothing is cut."""

    id: str
    side: str
    start_s: float
    stop_s: float
    box: Box | None

    def __str__(self) -> str:
        time = f"{self.start_s:.9g}-{self.stop_s:.9g} s" if self.start_s > -math.inf else ""
        box = f"box {[list(pair) for pair in self.box]}" if self.box else ""
        return f"{self.side} ({time or box or 'whole'})"

    def moved(self, shift_s: float, scale: float = 1.0) -> Part:
        """Return the part on another clock: ``(time + shift_s) * scale``."""
        start_s, stop_s = ((t + shift_s) * scale for t in (self.start_s, self.stop_s))
        return replace(self, start_s=start_s, stop_s=stop_s)


def part_of(entry: Assignment) -> Part:
    """Return the part of a recording that an assignment names.

    Examples
    --------
    >>> entry = {"id": "d/r", "version": "0" * 16, "group": "d/r", "split": "val"}
    >>> print(part_of({**entry, "start_s": 1.5, "stop_s": 2.0}))
    val (1.5-2 s)
    """
    box = tuple((low, high) for low, high in entry["box_zyx"]) if "box_zyx" in entry else None
    start_s, stop_s = entry.get("start_s", -math.inf), entry.get("stop_s", math.inf)
    return Part(entry["id"], entry["split"], start_s, stop_s, box)


def too_close(parts: Sequence[Part], need: Need) -> Iterator[tuple[Part, Part]]:
    """Yield pairs on two sides that overlap, touch or are closer than needed.

    Parts of several recordings are compared between recordings only. Without boxes every part
    that is too close to an earlier one is yielded once for each side and recording it is too
    close to; with boxes, every pair is.

    Examples
    --------
    >>> parts = [Part("r", "train", 0.0, 6.0, None), Part("r", "test", 7.0, 10.0, None)]
    >>> list(too_close(parts, Need(1.0, 0))), len(list(too_close(parts, Need(1.5, 0))))
    ([], 1)
    """
    several = len({part.id for part in parts}) > 1
    pairs = combinations(parts, 2) if any(part.box for part in parts) else _neighbours(parts)
    for one, other in pairs:
        compared = one.side != other.side and not (several and one.id == other.id)
        if compared and not _apart(one, other, need):
            yield one, other


def _neighbours(parts: Iterable[Part]) -> Iterator[tuple[Part, Part]]:
    latest: dict[tuple[str, str], Part] = {}
    for part in sorted(parts, key=lambda part: (part.start_s, part.stop_s)):
        for before in latest.values():
            yield before, part
        key = part.side, part.id
        if key not in latest or part.stop_s > latest[key].stop_s:
            latest[key] = part


def _apart(one: Part, other: Part, need: Need) -> bool:
    between_s = max(other.start_s - one.stop_s, one.start_s - other.stop_s)
    if between_s > 0 and between_s >= need.seconds - SLACK_S:
        return True
    if one.box is None or other.box is None:
        return False
    between = max(
        max(low_b - high_a, low_a - high_b)
        for (low_a, high_a), (low_b, high_b) in zip(one.box, other.box, strict=True)
    )
    return between > 0 and between >= need.voxels
