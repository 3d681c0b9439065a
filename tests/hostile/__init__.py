"""Hostile sources, each written by code: what a stranger could hand in to be ingested.

`CASES` must all be refused with a typed error, or be dropped with a finding; nothing outside of
the source may be opened or written. `VALID` are honest sources of the same formats, which must
be accepted with what they declare. Each is written into an empty folder of its own::

    source = case.build(folder)  # below folder / "raw"; what to hand to `neurodata ingest`

What a case tries to reach, where ``case.canary`` is true, lies in ``folder / "outside"`` (see
`Case.outside`): files there must not be opened, and no file may appear there.
"""

from __future__ import annotations

from tests.hostile import (
    archives,
    documents,
    hdf5_links,
    names,
    notation,
    pickles,
    side_files,
    sizes,
    twins,
    zarr_metadata,
)
from tests.hostile.case import Case

__all__ = ["CASES", "VALID", "Case"]

CASES: tuple[Case, ...] = (
    *sizes.CASES,
    *archives.CASES,
    *pickles.CASES,
    *hdf5_links.CASES,
    *side_files.CASES,
    *documents.CASES,
    *notation.CASES,
    *zarr_metadata.CASES,
    *names.CASES,
)
VALID: tuple[Case, ...] = (
    *twins.VALID, *archives.VALID, *pickles.VALID, *names.VALID, *notation.VALID,
)  # fmt: skip
