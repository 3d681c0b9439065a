"""Find the data that come with neurodata: in an installed wheel or in the repository."""

from __future__ import annotations

from pathlib import Path

from neurodata.errors import NotFoundError

NAMES = ("schemas", "pipelines", "samples")
PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """Return the folder of the shipped ``schemas``, ``pipelines`` or ``samples``.

    A wheel holds them in ``neurodata/_data``; an editable install uses the repository's own
    top-level folders.

    Raises
    ------
    NotFoundError
        When neurodata ships no folder of that name.

    Examples
    --------
    >>> folder("schemas").name
    'schemas'
    """
    if name in NAMES:
        for place in (PACKAGE / "_data" / name, PACKAGE.parent / name):
            if place.is_dir():
                return place
    raise NotFoundError(
        "neurodata's own data", f"no folder {name!r}", ", ".join(NAMES), "reinstall neurodata"
    )
