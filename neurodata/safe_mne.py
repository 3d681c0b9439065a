"""The door for what MNE-Python parses: it is handed copies of header bytes, never a raw path.

A copy lies in a private folder that is gone when the block ends, so that nothing which a header
names can be opened. Data are not copied: where MNE looks at a size alone, the copy has a hole.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from neurodata.safe_scratch import Outline, lent

__all__ = ["Outline", "handed"]


def handed(where: str, files: Mapping[str, bytes | Outline]) -> AbstractContextManager[Path]:
    """Return a block with a private folder of copies of headers; within it MNE may fail.

    Parameters
    ----------
    where : str
        The recording, for messages.
    files : mapping
        Contents by their path below the folder.

    Examples
    --------
    >>> with handed("a.con", {"a.con": b"KIT"}) as folder:
    ...     (folder / "a.con").read_bytes()
    b'KIT'
    """
    return lent("MNE", where, files)
