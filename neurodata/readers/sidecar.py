"""Numbers of a BIDS side-car that several readers ask for, each checked."""

from __future__ import annotations

from neurodata.errors import UnreadableError
from neurodata.readers import bids
from neurodata.safe import Raw


def repetition_s(raw: Raw) -> float | None:
    """Return the side-car's RepetitionTime in seconds, or None where it states none.

    Raises
    ------
    UnreadableError
        When it is no number over 0.
    """
    facts = bids.metadata(raw)
    if "RepetitionTime" not in facts:
        return None
    number = bids.finite(facts["RepetitionTime"])
    if number is None or not number > 0:
        found = f"RepetitionTime {facts['RepetitionTime']!r}"[:80]
        raise UnreadableError(f"{raw.name}: side-car", found, "seconds over 0", "correct it")
    return number
