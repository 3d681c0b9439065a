"""Which channels there are, and against what they are measured."""

from __future__ import annotations

from typing import ClassVar

import xarray as xr
from pydantic import Field

from neurodata.errors import InvalidInputError
from neurodata.steps.step import Step, signal_of, with_signal


class Pick(Step):
    """Keep some channels, in the order given.

    Attributes
    ----------
    channels, types : tuple of str
        Names, or types of channels; one of the two.
    good : bool
        Leave out channels with the status "bad".
    """

    name: ClassVar[str] = "pick"
    channels: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    good: bool = False

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node with these channels."""
        names = [str(name) for name in node["channel"].values]
        require_channels(self.channels, names, where)
        kept = [names.index(name) for name in self.channels] or list(range(len(names)))
        if self.types:
            kept = [at for at in kept if str(node["type"].values[at]) in self.types]
        if self.good and "status" in node:
            kept = [at for at in kept if str(node["status"].values[at]) != "bad"]
        if not kept:
            raise InvalidInputError(where, "no such channel", "one or more", ", ".join(names))
        return node.isel(channel=kept)


class Reference(Step):
    """Subtract the mean of some channels from all channels of a type.

    Attributes
    ----------
    channels : tuple of str
        Whose mean is subtracted; all good ones of the type when none is named.
    type : str
        Type of the channels that are referenced anew.
    """

    name: ClassVar[str] = "reference"
    channels: tuple[str, ...] = ()
    type: str = Field(default="EEG")

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node with these channels referenced anew."""
        names = [str(name) for name in node["channel"].values]
        require_channels(self.channels, names, where)
        own = [str(kind) == self.type for kind in node["type"].values]
        if not any(own):
            there = ", ".join(sorted({str(kind) for kind in node["type"].values}))
            raise InvalidInputError(where, f"no channel of type {self.type}", f"one of {there}")
        good = [True] * len(names)
        if "status" in node:
            good = [str(status) != "bad" for status in node["status"].values]
        units = {str(unit) for unit, mine in zip(node["units"].values, own, strict=True) if mine}
        if len(units) > 1:
            raise InvalidInputError(where, f"units {sorted(units)}", "one unit", "pick channels")
        chosen = [names.index(name) for name in self.channels] or [
            at for at in range(len(names)) if own[at] and good[at]
        ]
        signal = signal_of(node)
        mean = signal.isel(channel=chosen).mean("channel")
        mask = xr.DataArray(own, dims="channel").astype("float64")
        new = (signal - mean * mask).transpose("time", "channel").assign_attrs(signal.attrs)
        told = ", ".join(self.channels) or "average"
        named = [str(r) for r in node["reference"].values] if "reference" in node else None
        found = with_signal(node, new)
        if named is None and all(own):
            return found.assign_attrs(reference=told)
        named = named or [str(node.attrs.get("reference", "n/a"))] * len(names)
        values = [told if mine else old for mine, old in zip(own, named, strict=True)]
        return found.assign_coords(reference=("channel", values))


def require_channels(wanted: tuple[str, ...], names: list[str], where: str) -> None:
    """Refuse names of channels that are not there.

    Raises
    ------
    InvalidInputError
    """
    if absent := [name for name in wanted if name not in names]:
        raise InvalidInputError(where, f"no channel {', '.join(absent)}", ", ".join(names))
