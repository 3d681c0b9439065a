"""What splitting knows of a recording, read from its manifest alone: no array is opened."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

AXES = ("z", "y", "x")
LEAST_VALUES = 16
_PRINCIPAL = {
    "timeseries": (("signal", "signal_adc"), ("time", "channel")),
    "volume": (("image", "image_adc"), ("time", "channel", *AXES)),
    "spikes": (("time_s",), ("spike",)),
    "graph": (("source", "target", "weight"), ("edge",)),
}


class Catalogued(Protocol):
    """A store, as far as splitting needs it."""

    def ids(self, dataset: str | None = None, /) -> Sequence[str]:
        """Return the ids of a data set."""

    def version(self, recording_id: str, /) -> str:
        """Return the newest version of a recording."""

    def manifest(self, recording_id: str, /) -> Mapping[str, Any]:
        """Return the manifest of ``id`` (its newest version) or ``id@version``."""


@dataclass(frozen=True)
class Clock:
    """A node's time axis, ``start_s <= time < stop_s``; irregular when ``rate_hz`` is None."""

    start_s: float
    stop_s: float
    rate_hz: float | None = None
    n: int = 0

    @property
    def length_s(self) -> float:
        """Seconds from the first sample to the end."""
        return self.stop_s - self.start_s

    def at(self, sample: int) -> float:
        """Return a sample's time in seconds, bit for bit as the regular clock states it."""
        return self.start_s + sample / self.rate_hz if self.rate_hz else math.nan


@dataclass(frozen=True)
class Held:
    """A node's principal variables, the digests of their values, and how many there are."""

    variables: str
    fingerprint: str
    values: int


@dataclass(frozen=True)
class Facts:
    """What an audit compares; ``arrays`` and ``clocks`` by node, ``inputs`` (sha256, bytes)."""

    attrs: Mapping[str, Any]
    content: str
    inputs: tuple[tuple[str, int], ...]
    arrays: Mapping[str, Held]
    clocks: Mapping[str, Clock]
    steps: tuple[Mapping[str, Any], ...] = ()

    @property
    def values(self) -> int:
        """Values in all principal arrays together."""
        return sum(held.values for held in self.arrays.values())


def facts_of(manifest: Mapping[str, Any]) -> Facts:
    """Pick the facts that an audit compares out of a manifest."""
    inputs = ((entry["sha256"], int(entry["size"])) for entry in manifest.get("inputs") or ())
    return Facts(
        attrs=manifest.get("attrs", {}),
        content=manifest.get("content", ""),
        inputs=tuple(inputs),
        arrays=dict(_arrays(manifest)),
        clocks=clocks_of(manifest),
        steps=tuple(manifest.get("steps") or ()),
    )


def group_of(attrs: Mapping[str, Any], by: str) -> str | None:
    """Return the group of a recording, or None when it does not state the key.

    A session is a session of one subject: its group is ``subject/session``.

    Examples
    --------
    >>> group_of({"subject": "s1", "session": "2"}, "session")
    's1/2'
    """
    values = [attrs.get(key) for key in group_keys(by)]
    if any(value is None or value == "" for value in values):
        return None
    return "/".join(str(value) for value in values)


def group_keys(by: str) -> tuple[str, ...]:
    """Return the root attributes that make a group.

    Examples
    --------
    >>> group_keys("session"), group_keys("species")
    (('subject', 'session'), ('species',))
    """
    return ("subject", "session") if by == "session" else (by,)


def clocks_of(manifest: Mapping[str, Any]) -> dict[str, Clock]:
    """Return the time axis of every node that has one.

    Examples
    --------
    >>> clocks_of({"summary": {"eeg": {"start_s": 0.0, "rate_hz": 2.0, "n": 10}}})
    {'eeg': Clock(start_s=0.0, stop_s=5.0, rate_hz=2.0, n=10)}
    """
    clocks = {node: _clock(summary) for node, summary in manifest.get("summary", {}).items()}
    return {node: clock for node, clock in clocks.items() if clock is not None}


def _clock(summary: Mapping[str, Any]) -> Clock | None:
    start, stop, rate = (summary.get(key) for key in ("start_s", "stop_s", "rate_hz"))
    n = summary.get("n") or summary.get("dims", {}).get("time") or 0
    if start is None or not math.isfinite(start):
        return None
    if rate is not None and math.isfinite(rate) and rate > 0 and n > 0:
        return Clock(float(start), start + n / rate, float(rate), int(n))
    if stop is None or not math.isfinite(stop) or stop < start:
        return None
    return Clock(float(start), math.nextafter(stop, math.inf))


def shapes_of(manifest: Mapping[str, Any]) -> dict[str, tuple[int, int, int]]:
    """Return (z, y, x) voxel counts of every node with space, 1 for an absent axis.

    Examples
    --------
    >>> shapes_of({"summary": {"slice": {"dims": {"y": 5, "x": 4}}}})
    {'slice': (1, 5, 4)}
    """
    dims = {node: summary.get("dims", {}) for node, summary in manifest["summary"].items()}
    return {
        node: (sizes.get("z", 1), sizes.get("y", 1), sizes.get("x", 1))
        for node, sizes in dims.items()
        if {"y", "x"} <= set(sizes)
    }


def nodes_of(manifest: Mapping[str, Any], representation: str) -> list[str]:
    """Return the nodes of one representation, sorted."""
    nodes = manifest.get("nodes", {})
    return sorted(node for node in nodes if nodes[node]["representation"] == representation)


def _arrays(manifest: Mapping[str, Any]) -> Iterator[tuple[str, Held]]:
    digests = manifest.get("arrays", {})
    for representation, (variables, dims) in _PRINCIPAL.items():
        for node in nodes_of(manifest, representation):
            present = [name for name in variables if f"{node}/{name}" in digests]
            sizes = manifest.get("summary", {}).get(node, {}).get("dims", {})
            size = math.prod(sizes.get(dim, 1) for dim in dims)
            if present and size >= LEAST_VALUES:
                fingerprint = "+".join(digests[f"{node}/{name}"] for name in present)
                yield node, Held(", ".join(present), fingerprint, size)
