"""Replace a file: all of it or nothing, also when the process is killed."""

from __future__ import annotations

import uuid
from pathlib import Path

from neurodata.store import files


def replace(path: Path, content: str | bytes) -> None:
    """Write text or bytes in place of a file; it is on the disk when this returns.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.json"
    >>> replace(file, "{}"), file.read_text()
    (None, '{}')
    """
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        files.write(draft, content.encode() if isinstance(content, str) else content)
        files.sync(draft)
        files.replace(draft, path)
    finally:
        files.remove(draft)
