"""The recordings of a split: opened in each process when needed, small arrays kept decoded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import xarray as xr

from neurodata.errors import InvalidInputError
from neurodata.loader.plan import Array
from neurodata.units import field_unit


class Opener(Protocol):
    """What the loader asks of a store; a store pickles without open handles."""

    def raw(self, recording: str) -> xr.DataTree:
        """Return ``id@version`` in raw form, lazily."""
        ...


Assignment = Mapping[str, Any]


class Recordings:
    """Recordings by number, in the versions that a split froze.

    Parameters
    ----------
    store : Opener
    assignments : sequence of mappings
        With ``id`` and ``version``.
    memory_mb : float
        Arrays are kept decoded in memory, first come first kept, until this many MB are
        full; the others are sliced at every read.

    Raises
    ------
    InvalidInputError
        When a split has one recording in two versions.
    """

    def __init__(self, store: Opener, assignments: Sequence[Assignment], memory_mb: float) -> None:
        self.store = store
        self.memory_mb = memory_mb
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

    def _forget(self) -> None:
        self._process = os.getpid()
        self._trees: dict[int, xr.DataTree] = {}
        self._variables: dict[tuple[int, str, str], xr.Variable] = {}
        self._kept: dict[tuple[int, str, str], Array] = {}
        self._free = self.memory_mb * 2**20

    def __getstate__(self) -> dict[str, Any]:
        """Leave open trees and kept arrays behind: another process opens its own."""
        return {key: value for key, value in vars(self).items() if not key.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def _settle(self) -> None:
        if self._process != os.getpid():
            self._forget()

    def tree(self, number: int) -> xr.DataTree:
        """Return a recording in raw form, opened once in this process."""
        self._settle()
        if number not in self._trees:
            self._trees[number] = self.store.raw(f"{self.ids[number]}@{self.versions[number]}")
        return self._trees[number]

    def node(self, number: int, name: str) -> xr.Dataset:
        """Return a node of a recording as a dataset in raw form."""
        return self.tree(number)[name].to_dataset()

    def read(self, number: int, node: str, name: str, where: tuple[slice | int, ...] = ()) -> Array:
        """Return a slice of a stored array, decoded, in its own dtype; do not write into it."""
        self._settle()
        key = (number, node, name)
        if key in self._kept:
            return self._kept[key][where]
        if key not in self._variables:
            self._variables[key] = self.node(number, node).variables[name]
        variable = self._variables[key]
        if variable.nbytes > self._free:
            return _decode(variable[where])
        self._free -= variable.nbytes
        self._kept[key] = _decode(variable)
        return self._kept[key][where]

    def where(self, number: int, node: str = "") -> str:
        """Return recording and node, for messages."""
        return f"{self.ids[number]}: {node}" if node else self.ids[number]


def _decode(variable: xr.Variable) -> Array:
    return np.asarray(variable.values)


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
        for path, node in recordings.tree(number).subtree_with_keys:
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
    if "time" in data.coords:
        times = np.asarray(data["time"].values, "f8")
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
    names = tuple(map(str, data["channel"].values)) if "channel" in data.coords else ()
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


def _common_unit(data: xr.Dataset, variable: str) -> str:
    return str(data[variable].attrs.get("units") or data.attrs.get("units", ""))


def _per_channel(data: xr.Dataset, name: str, width: int, default: str) -> tuple[str, ...]:
    if name in data.variables and data[name].dims == ("channel",):
        return tuple(map(str, data[name].values))
    return (default,) * width


def _stored(data: xr.Dataset, name: str, default: float) -> Array:
    return np.asarray(data[name].values if name in data.variables else default, "f8")


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
    names = tuple(map(str, data["channel"].values)) if "channel" in data.coords else ()
    modality = str(recordings.tree(number).attrs.get("modality", ""))
    symbols = _per_channel(data, "units", width, _common_unit(data, variable))
    in_field = [field_unit(modality, symbol) for symbol in symbols]
    factor = np.array([number_ for _, number_ in in_field], "f8")
    times = None
    if "time" in data.coords:
        times = np.asarray(data["time"].values, "f8")
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
