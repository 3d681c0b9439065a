"""Channels of formats that state types of channels themselves, with units or without."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from neurodata.declare import Declared
from neurodata.errors import UnreadableError
from neurodata.readers import bids
from neurodata.readers.channels import Channel, in_si
from neurodata.readers.lacking import all_of
from neurodata.safe import Raw


def known(
    stated: Sequence[Channel], raw: Raw, declare: Declared, side_car: bool = True
) -> list[Channel]:
    """Return channels with their units in SI, by header, side-car table and declarations.

    Parameters
    ----------
    stated : sequence of Channel
        As the header has them: ``units`` is its spelling, ``scale`` and ``offset`` are in it. A
        type that is not stated ("") is that of the table, else what the label says.
    side_car : bool
        Whether these are all channels of the recording, so that its side-car table lists them.

    Raises
    ------
    UnreadableError
        When a name comes twice or lacks, or a calibration is 0 or not finite.
    MissingFactError
        When units are missing, unknown or contradicted; all are named at once.
    """
    names = [channel.name for channel in stated]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise _refusal(raw, f"channels named twice: {', '.join(twice[:5])}", "a name for each")
    if "" in names:
        raise _refusal(raw, "a channel without a name", "names")
    if odd := [c.name for c in stated if not 0 < abs(c.scale) < float("inf")]:
        found = f"an impossible calibration of {', '.join(odd[:5])}"
        raise _refusal(raw, found, "finite numbers other than 0")
    table = bids.channel_table(raw, names) if side_car else {}
    return all_of(partial(in_si, c, table.get(c.name, {}), raw, declare) for c in stated)


def _refusal(raw: Raw, found: str, expected: str) -> UnreadableError:
    return UnreadableError(raw.name, found, expected, "export it again or mend the header")
