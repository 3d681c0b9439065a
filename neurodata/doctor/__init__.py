"""Is this installation sound, and this store? What is not, and the command that mends it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from neurodata.doctor.check import Check

__all__ = ["Check", "examine"]

Progress = Callable[[int, int], None]


def examine(
    store: str | os.PathLike[str] | None = None,
    *,
    deep: bool = False,
    prefect: bool = False,
    progress: Progress | None = None,
) -> list[Check]:
    """Check this installation, and a store where one is given.

    Nothing is mended or removed; small probe files are written to the temporary folder and to
    the store's staging, and removed again.

    Parameters
    ----------
    store : path, optional
        A store's folder.
    deep : bool
        Compare every byte of the store with its manifests.
    prefect : bool
        Ask the Prefect server that ``PREFECT_API_URL`` names, or start a private one.
    progress : callable, optional
        Called with the number of versions that are checked and that there are.

    Returns
    -------
    list of Check
        Each with its findings; a sound installation has none.

    Raises
    ------
    NotFoundError
        When there is no store.

    Examples
    --------
    >>> checks = examine()
    >>> [check.name for check in checks][:2]
    ['python', 'packages']
    """
    return list(_checks(None if store is None else found(store), deep, prefect, progress))


def _checks(
    root: Path | None, deep: bool, prefect: bool, progress: Progress | None
) -> Iterator[Check]:
    from neurodata.doctor.machine import machine
    from neurodata.doctor.packages import packages

    yield from packages()
    yield from machine()
    if prefect:
        from neurodata.doctor.server import server

        yield server()
    if root is not None:
        from neurodata.doctor.contents import contents
        from neurodata.doctor.disk import disk

        yield from disk(root)
        yield from contents(root, deep, progress)


def found(store: str | os.PathLike[str]) -> Path:
    """Return the folder of a store.

    Raises
    ------
    InvalidInputError
        When it is an address.
    NotFoundError
        When there is none.
    """
    from neurodata.errors import InvalidInputError, NotFoundError
    from neurodata.store.catalog import FILE
    from neurodata.store.commit import STAGING, versions
    from neurodata.store.store import ADDRESS

    if "://" in os.fspath(store) or ADDRESS.match(os.fspath(store)):
        raise InvalidInputError(
            os.fspath(store), "an address", "a folder", "run it where the store lies"
        )
    root = Path(store).absolute()
    if not (root / STAGING).is_dir() and not (root / FILE).is_file() and not versions(root):
        raise NotFoundError(str(root), "no store", "one", "ingest something, or give --store")
    return root
