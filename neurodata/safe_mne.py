"""The door for what MNE-Python parses: it is handed copies of header bytes, never a raw path.

A copy lies in a private folder that is gone when the block ends, so that nothing which a header
names can be opened. Data are not copied: where MNE looks at a size alone, the copy has a hole.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from neurodata.errors import NeurodataError, UnreadableError, UnsafeError


@dataclass(frozen=True)
class Outline:
    """A file without its data.

    Parameters
    ----------
    size : int
        Its size in bytes.
    pieces : sequence of (int, bytes)
        Where pieces of it begin and what they are; between them is a hole, read as zeros.
    """

    size: int
    pieces: Sequence[tuple[int, bytes]]


@contextmanager
def handed(where: str, files: Mapping[str, bytes | Outline]) -> Iterator[Path]:
    """Yield a private folder with copies of headers; within the block MNE may fail in any way.

    Parameters
    ----------
    where : str
        The recording, for messages.
    files : mapping
        Contents by their path below the folder.

    Yields
    ------
    Path
        Removed at the end of the block.

    Raises
    ------
    UnsafeError
        When a path leads out of the folder.
    UnreadableError
        When anything within the block fails: damaged headers make MNE raise whatever its
        arithmetic raises, bare `Exception` included.

    Examples
    --------
    >>> with handed("a.con", {"a.con": Outline(8, [(0, b"KIT")])}) as folder:
    ...     (folder / "a.con").read_bytes()
    b'KIT\\x00\\x00\\x00\\x00\\x00'
    """
    with tempfile.TemporaryDirectory(prefix="neurodata-") as name:
        folder = Path(name)
        for below, content in files.items():
            _write(folder, below, content)
        with failing(where), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield folder


@contextmanager
def failing(where: str) -> Iterator[None]:
    """Turn every failure of MNE within the block into a refusal.

    Raises
    ------
    UnreadableError
        In place of any exception that is not our own.
    """
    try:
        yield
    except (NeurodataError, ImportError):
        raise
    except Exception as error:
        kind = type(error).__name__
        raise UnreadableError(
            where, f"a header that MNE cannot read ({kind})", "an intact header", "copy it again"
        ) from error


def _write(folder: Path, below: str, content: bytes | Outline) -> None:
    parts = PurePosixPath(below).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise UnsafeError(below, "a path out of the folder", "a name below it", "")
    path = folder / below
    path.parent.mkdir(parents=True, exist_ok=True)
    outline = content if isinstance(content, Outline) else Outline(len(content), [(0, content)])
    with path.open("xb") as stream:
        for start, piece in outline.pieces:
            stream.seek(start)
            stream.write(piece)
        stream.truncate(outline.size)
