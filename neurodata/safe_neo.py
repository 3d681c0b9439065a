"""The door for what neo parses: a private folder with links to checked files or copies of headers.

Neo sees nothing but the files that it is handed, and whatever it raises on damaged bytes is
turned into a refusal.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from neurodata.safe_scratch import lent


@contextmanager
def handed(where: str, files: Mapping[str, bytes | Path]) -> Iterator[Path]:
    """Yield a private folder with some files; within the block neo may fail, and prints nothing.

    Parameters
    ----------
    where : str
        The recording, for messages.
    files : mapping
        By name: bytes are copied, a path is linked to.

    Yields
    ------
    Path
        Removed at the end of the block.

    Examples
    --------
    >>> with handed("a.ncs", {"a.ncs": b"########"}) as folder:
    ...     (folder / "a.ncs").read_bytes()
    b'########'
    """
    logger = logging.getLogger("neo")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with lent("neo", where, files) as folder:
            yield folder
    finally:
        logger.setLevel(level)
