"""The recordings of a split: opened in each process when needed, small arrays kept decoded."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.plan import Array
from neurodata.store.arrays import StoredArray
from neurodata.store.version import StoredNode, StoredVersion
from neurodata.units import field_unit


class Opener(Protocol):
    """What the loader asks of a store; a store pickles without open handles."""

    def arrays(self, recording: str) -> StoredVersion:
        """Return ``id@version``, nothing of it read yet."""
        ...

    def fetch(self, ids: Iterable[str]) -> None:
        """Get ready to open these, all at once."""
        ...


Assignment = Mapping[str, Any]
Key = tuple[int, str, str]
"""An array: number of the recording, node, name."""

Box = tuple[slice, ...]


class Resident(Protocol):
    """Decoded parts of arrays that are in memory already (see `neurodata.loader.pool`)."""

    def find(self, key: Key, box: Box) -> Array | None:
        """Return a box of an array, or None where it is not there."""
        ...


class Recordings:
    """Recordings by number, in the versions that a split froze.

    Parameters
    ----------
    store : Opener
    assignments : sequence of mappings
        With ``id`` and ``version``.

    Raises
    ------
    InvalidInputError
        When a split has one recording in two versions.
    """

    def __init__(self, store: Opener, assignments: Sequence[Assignment]) -> None:
        self.store = store
        versions: dict[str, str] = {}
        for item in assignments:
            if versions.setdefault(item["id"], item["version"]) != item["version"]:
                raise InvalidInputError(
                    f"split: {item['id']}",
                    f"versions {versions[item['id']]} and {item['version']}",
                    "one version of a recording",
                    "make the split again",
                )
        self.ids = tuple(versions)
        self.versions = tuple(versions.values())
        self._forget()
        store.fetch([f"{name}@{version}" for name, version in versions.items()])

    def _forget(self) -> None:
        self._process = os.getpid()
        self._opened: dict[int, StoredVersion] = {}
        self._arrays: dict[Key, StoredArray] = {}
        self._small: dict[Key, Array] = {}
        self._resident = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files and kept arrays behind: another process opens its own."""
        return {key: value for key, value in vars(self).items() if not key.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def _settle(self) -> None:
        if self._process != os.getpid():
            self._forget()

    def version(self, number: int) -> StoredVersion:
        """Return a recording as it is stored, opened once in this process."""
        self._settle()
        if number not in self._opened:
            self._opened[number] = self.store.arrays(f"{self.ids[number]}@{self.versions[number]}")
        return self._opened[number]

    def nodes(self, number: int) -> Mapping[str, StoredNode]:
        """Return the nodes of a recording by path, ``"."`` being the root."""
        return self.version(number).nodes

    def node(self, number: int, name: str) -> StoredNode:
        """Return a node of a recording."""
        return self.nodes(number)[name]

    def array(self, key: Key) -> StoredArray:
        """Return an array as it is stored."""
        self._settle()
        found = self._arrays.get(key)
        if found is None:
            number, node, name = key
            found = self._arrays[key] = self.node(number, node)[name]
        return found

    def known_finite(self, key: Key, scale: Array, offset: Array) -> bool:
        """Say whether every number of an array is sure to be finite in float32 once it is scaled.

        Floats are, where the manifest says so; integers, where the scale allows it.
        """
        number, node, name = key
        dtype, stated = self.array(key).dtype, self.version(number).manifest.get("finite") or {}
        if dtype.kind == "f" and not stated.get(f"{node}/{name}"):
            return False
        most = float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0
        reach = np.abs(scale) * most + np.abs(offset)
        return bool(reach.max(initial=0.0) < np.finfo("f4").max)

    def values(self, number: int, node: str, name: str) -> Array:
        """Return a whole array, decoded once and kept; do not write into it."""
        self._settle()
        key = (number, node, name)
        if key not in self._small:
            self._small[key] = self.array(key).values
        return self._small[key]

    def read(self, number: int, node: str, name: str, box: Box) -> Array:
        """Return a box of an array in its own dtype; do not write into it.

        Axes that the box leaves out are whole. What is in memory already, as `using` says, is
        not decoded again.
        """
        key = (number, node, name)
        shape = self.array(key).shape
        return self.cut(key, (*box, *(slice(0, n) for n in shape[len(box) :])))

    def cut(self, key: Key, box: Box) -> Array:
        """Return a box with a slice for every axis, as `read` does."""
        resident: Resident | None = getattr(self._resident, "now", None)
        if resident is not None and (found := resident.find(key, box)) is not None:
            return found
        return self.array(key).read(box)

    @contextmanager
    def using(self, resident: Resident | None) -> Iterator[None]:
        """Let this thread's reads look for their boxes in memory first."""
        before = getattr(self._resident, "now", None)
        self._resident.now = resident
        try:
            yield
        finally:
            self._resident.now = before

    def close(self) -> None:
        """Let go of open files and kept arrays."""
        for version in self._opened.values():
            version.files.close()
        self._forget()

    def where(self, number: int, node: str = "") -> str:
        """Return recording and node, for messages."""
        return f"{self.ids[number]}: {node}" if node else self.ids[number]


def choose_node(
    recordings: Recordings, representation: str, wanted: str | None, who: str = "sample"
) -> str:
    """Return the name of the one node of a representation that every recording has.

    Raises
    ------
    InvalidInputError
        When several are candidates and none is named, or a recording lacks it.
    """
    found: dict[str, list[str]] = {}
    for number, identity in enumerate(recordings.ids):
        for path, node in recordings.nodes(number).items():
            if node.attrs.get("representation") == representation:
                found.setdefault(path, []).append(identity)
    if wanted is None and len(found) != 1:
        several = f"{len(found)} nodes of representation {representation}: "
        raise InvalidInputError(
            who,
            several + ", ".join(sorted(found)) if found else f"no {representation} node",
            "one",
            f"name one, e.g. {sorted(found)[0]!r}" if found else "choose another sample or target",
        )
    name = next(iter(found)) if wanted is None else wanted.strip("/")
    if lacking := [i for i in recordings.ids if i not in found.get(name, [])]:
        raise InvalidInputError(
            who,
            f"no {representation} node {name!r} in {_some(lacking)}",
            "the node in every recording of the split",
            f"there are: {', '.join(sorted(found)) or 'none'}",
        )
    return name


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


@dataclass(frozen=True)
class Series:
    """What the loader knows of one timeseries node before it reads any signal.

    Parameters
    ----------
    variable : str
        ``signal_adc`` or ``signal``.
    start_s, rate_hz, n
        Its clock; for an irregular one ``rate_hz`` is that of the median step.
    times : array (time,), optional
        Seconds of an irregular clock, None for a regular one.
    channels, kinds, units : tuples of str
        Per channel: name, type and the unit that batches have.
    scale, offset : array (channel,)
        ``stored * scale + offset`` is in these units.
    """

    variable: str
    start_s: float
    rate_hz: float
    n: int
    times: Array | None
    channels: tuple[str, ...]
    kinds: tuple[str, ...]
    units: tuple[str, ...]
    scale: Array
    offset: Array
    observed: bool

    def same_clock(self, other: Series) -> bool:
        """Say whether every sample has the same time in both."""
        if self.times is not None and other.times is not None:
            return np.array_equal(self.times, other.times)
        both = (self.start_s, self.rate_hz, self.n) == (other.start_s, other.rate_hz, other.n)
        return both and self.times is None and other.times is None


def series_of(recordings: Recordings, number: int, node: str) -> Series:
    """Return what is known of a timeseries node.

    Raises
    ------
    InvalidInputError
        When an irregular clock has fewer than two samples or does not increase.
    """
    data = recordings.node(number, node)
    variable = "signal_adc" if "signal_adc" in data else "signal"
    n, width = (data.sizes[dim] for dim in ("time", "channel"))
    times = None
    if "time" in data:
        times = np.asarray(recordings.values(number, node, "time"), "f8")
        steps = np.diff(times)
        if n < 2 or not (steps > 0).all():
            raise InvalidInputError(
                recordings.where(number, node),
                "an irregular clock that does not increase",
                "increasing times of two samples or more",
                "leave the recording out of the split",
            )
        start_s, rate_hz = float(times[0]), 1 / float(np.median(steps))
    else:
        start_s, rate_hz = float(data.attrs["start_s"]), float(data.attrs["rate_hz"])
    names = tuple(map(str, data["channel"].values)) if "channel" in data else ()
    kinds = _per_channel(data, "type", width, "")
    symbols = _per_channel(data, "units", width, _common_unit(data, variable))
    in_field = [field_unit(kind, unit) for kind, unit in zip(kinds, symbols, strict=True)]
    factor = np.array([number_ for _, number_ in in_field], "f8")
    return Series(
        variable=variable,
        start_s=start_s,
        rate_hz=rate_hz,
        n=n,
        times=times,
        channels=names or tuple(map(str, range(width))),
        kinds=kinds,
        units=tuple(symbol for symbol, _ in in_field),
        scale=_stored(data, "scale", 1.0) * factor,
        offset=_stored(data, "offset", 0.0) * factor,
        observed="observed" in data,
    )


def _common_unit(data: StoredNode, variable: str) -> str:
    return str(data[variable].attrs.get("units") or data.attrs.get("units", ""))


def _per_channel(data: StoredNode, name: str, width: int, default: str) -> tuple[str, ...]:
    if name in data and data[name].dims == ("channel",):
        return tuple(map(str, data[name].values))
    return (default,) * width


def _stored(data: StoredNode, name: str, default: float) -> Array:
    return np.asarray(data[name].values if name in data else default, "f8")


@dataclass(frozen=True)
class Image:
    """What the loader knows of one volume node before it reads any voxel.

    Parameters
    ----------
    variable : str
        ``image_adc`` or ``image``.
    dims : tuple of str
        Dims of the stored array, some of time, channel, z, y, x.
    shape_zyx : tuple of three int
        An absent axis has length 1.
    times : array (time,), optional
        Seconds of each time point, None without a clock.
    units : tuple of str
        Per channel, the unit that batches have.
    scale, offset : array (channel,)
        ``stored * scale + offset`` is in these units.
    """

    variable: str
    dims: tuple[str, ...]
    shape_zyx: tuple[int, int, int]
    n: int
    times: Array | None
    channels: tuple[str, ...]
    kinds: tuple[str, ...]
    units: tuple[str, ...]
    scale: Array
    offset: Array


AXES = ("z", "y", "x")


def image_of(recordings: Recordings, number: int, node: str) -> Image:
    """Return what is known of a volume node."""
    data = recordings.node(number, node)
    variable = "image_adc" if "image_adc" in data else "image"
    dims = tuple(map(str, data[variable].dims))
    sizes = dict(zip(dims, data[variable].shape, strict=True))
    width, n = sizes.get("channel", 1), sizes.get("time", 1)
    names = tuple(map(str, data["channel"].values)) if "channel" in data else ()
    modality = str(recordings.node(number, ".").attrs.get("modality", ""))
    symbols = _per_channel(data, "units", width, _common_unit(data, variable))
    in_field = [field_unit(modality, symbol) for symbol in symbols]
    factor = np.array([number_ for _, number_ in in_field], "f8")
    times = None
    if "time" in data:
        times = np.asarray(recordings.values(number, node, "time"), "f8")
    elif {"start_s", "rate_hz"} <= set(data.attrs):
        times = data.attrs["start_s"] + np.arange(n) / data.attrs["rate_hz"]
    z, y, x = (sizes.get(axis, 1) for axis in AXES)
    return Image(
        variable=variable,
        dims=dims,
        shape_zyx=(z, y, x),
        n=n,
        times=times,
        channels=names or tuple(map(str, range(width))),
        kinds=("image",) * width,
        units=tuple(symbol for symbol, _ in in_field),
        scale=_stored(data, "scale", 1.0) * factor,
        offset=_stored(data, "offset", 0.0) * factor,
    )
