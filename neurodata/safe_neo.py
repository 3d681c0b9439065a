"""The door for what neo parses: a private folder with links to checked files or copies of headers.

Neo sees nothing but the files that it is handed, under plain names, and whatever it raises on
damaged bytes is turned into a refusal.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from neurodata.errors import NeurodataError, UnreadableError, UnsafeError


@contextmanager
def handed(where: str, files: Mapping[str, bytes | Path]) -> Iterator[Path]:
    """Yield a private folder with some files; within the block neo may fail in any way.

    Parameters
    ----------
    where : str
        The recording, for messages.
    files : mapping
        By plain name: bytes are copied, a path is linked to.

    Yields
    ------
    Path
        Removed at the end of the block.

    Raises
    ------
    UnsafeError
        When a name is a path.
    UnreadableError
        When anything within the block fails.

    Examples
    --------
    >>> with handed("a.ncs", {"a.ncs": b"########"}) as folder:
    ...     (folder / "a.ncs").read_bytes()
    b'########'
    """
    with tempfile.TemporaryDirectory(prefix="neurodata-") as name:
        folder = Path(name)
        for below, content in files.items():
            if Path(below).name != below or below in ("", ".", ".."):
                raise UnsafeError(where, f"the name {below!r}", "a plain name", "rename the file")
            if isinstance(content, Path):
                (folder / below).symlink_to(content.resolve())
            else:
                (folder / below).write_bytes(content)
        with failing(where):
            yield folder


@contextmanager
def failing(where: str) -> Iterator[None]:
    """Turn every failure of neo within the block into a refusal, and silence what it prints.

    Raises
    ------
    UnreadableError
        In place of any exception that is not our own.
    """
    logger = logging.getLogger("neo")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (NeurodataError, ImportError):
        raise
    except Exception as error:
        kind = type(error).__name__
        raise UnreadableError(
            where, f"a header that neo cannot read ({kind})", "an intact header", "copy it again"
        ) from error
    finally:
        logger.setLevel(level)
