"""Replace a text file: all of it or nothing, also when the process is killed."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def replace(path: Path, text: str) -> None:
    """Write ``text`` in place of a file; it is on the disk when this returns.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.json"
    >>> replace(file, "{}"), file.read_text()
    (None, '{}')
    """
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with draft.open("xb") as stream:
            stream.write(text.encode())
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
