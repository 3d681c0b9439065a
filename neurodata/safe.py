"""The one door for untrusted bytes: every raw file is opened here or after a check made here.

Nothing is followed out of its folder, nothing is unpickled, and a size that a header claims
is compared with the file before memory is allocated.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import os
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurodata.errors import Problem, UnreadableError, UnsafeError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

HEAD_BYTES = 4096
TEXT_LIMIT_BYTES = 64 * 2**20
GZIP_MAGIC = b"\x1f\x8b"
GZIP_RATIO_LIMIT = 200


@dataclass(frozen=True)
class Raw:
    """The raw files of one recording, and what was found while reading them.

    Parameters
    ----------
    root : Path
        The folder that was handed in; nothing outside is ever opened.
    files : tuple of Path
        Main file first, side-cars after, all under ``root``.
    problems : list of Problem
        Findings that readers add (warnings and notes).
    """

    root: Path
    files: tuple[Path, ...]
    problems: list[Problem] = field(default_factory=list)

    @property
    def main(self) -> Path:
        """The file that was recognised."""
        return self.files[0]

    @property
    def name(self) -> str:
        """The main file's path below the root, for messages."""
        return self.main.relative_to(self.root).as_posix()

    def sibling(self, name: str) -> Path:
        """Resolve a file that a header names, among the recording's own files only.

        Raises
        ------
        UnsafeError
            When the name leads anywhere else.
        """
        for path in self.files:
            if name == path.name and path.parent == self.main.parent:
                return path
        raise UnsafeError(
            self.name,
            f"a header that names the file {name!r}",
            "one of " + ", ".join(p.name for p in self.files),
            "put the file beside the header and correct the name in the header",
        )

    def find(self, accept: Callable[[Path], bool]) -> Path | None:
        """Return the recording's first file that ``accept`` says yes to."""
        return next((path for path in self.files if accept(path)), None)

    def warn(self, where: str, found: str, expected: str = "", hint: str = "") -> None:
        """Keep a warning; ``where`` is relative to the main file."""
        self._add(Problem("warning", self._where(where), found, expected, hint))

    def note(self, where: str, found: str, expected: str = "", hint: str = "") -> None:
        """Keep a note; ``where`` is relative to the main file."""
        self._add(Problem("note", self._where(where), found, expected, hint))

    def _add(self, problem: Problem) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def _where(self, where: str) -> str:
        return f"{self.name}: {where}" if where else self.name


def inside(path: Path, root: Path) -> Path:
    """Return the real path of ``path`` when it lies below ``root``, links resolved.

    Raises
    ------
    UnsafeError
        When a link or ``..`` leads out of the folder.
    UnreadableError
        When the link's target is not there (a data set whose content was not fetched).
    """
    real, folder = Path(os.path.realpath(path)), Path(os.path.realpath(root))
    if not real.is_relative_to(folder):
        raise UnsafeError(
            str(path), "a link out of the raw folder", f"a file below {folder}", "copy the file in"
        )
    if not real.exists():
        raise UnreadableError(
            str(path), "a link to nothing", "the file's content", "fetch it, e.g. `datalad get`"
        )
    return real


def head(path: Path, count: int = HEAD_BYTES) -> bytes:
    """Return the first bytes of a file, decompressed when it is gzip.

    Raises
    ------
    UnreadableError
        When the file is empty or its compression is damaged.
    """
    beginning = start(path, count)
    if not beginning:
        raise UnreadableError(path.name, "an empty file", "data", "copy or download it again")
    if not beginning.startswith(GZIP_MAGIC):
        return beginning
    try:
        with gzip.open(path) as unpacked:
            return unpacked.read(count)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged_gzip(path, error) from error


def start(path: Path, count: int) -> bytes:
    """Return the first bytes of a file as they are, fewer where it is shorter."""
    with path.open("rb") as stream:
        return stream.read(count)


def is_gzip(path: Path) -> bool:
    """Say whether a file's content is gzip, whatever its name."""
    return start(path, len(GZIP_MAGIC)) == GZIP_MAGIC


def read_bytes(path: Path, limit: int = TEXT_LIMIT_BYTES) -> bytes:
    """Return a whole small file.

    Raises
    ------
    UnsafeError
        When the file is larger than ``limit`` bytes.
    """
    size = path.stat().st_size
    if size > limit:
        raise UnsafeError(path.name, f"{size} bytes", f"at most {limit}", "split the file")
    return path.read_bytes()


def gunzip(path: Path, limit: int) -> bytes:
    """Decompress a gzip file to its end, its CRC and length checked.

    Raises
    ------
    UnreadableError
        When the stream is truncated or a checksum differs.
    UnsafeError
        When it unpacks to more than ``limit`` bytes, or to over 200 times its size.
    """
    bound = min(limit, GZIP_RATIO_LIMIT * path.stat().st_size)
    parts, total = [], 0
    try:
        with gzip.open(path) as stream:
            while block := stream.read(2**20):
                total += len(block)
                if total > bound:
                    raise UnsafeError(
                        path.name, f"over {bound} bytes unpacked", "less", "unpack it"
                    )
                parts.append(block)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged_gzip(path, error) from error
    return b"".join(parts)


def _damaged_gzip(path: Path, error: Exception) -> UnreadableError:
    return UnreadableError(
        path.name, f"damaged gzip data ({error})", "an intact file", "copy or download it again"
    )


def read_text(path: Path, limit: int = TEXT_LIMIT_BYTES) -> str:
    """Return a text file (UTF-8, with or without byte-order mark).

    Raises
    ------
    UnreadableError
        When the bytes are not UTF-8.
    """
    try:
        return read_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(
            path.name, f"bytes that are not UTF-8 ({error})", "UTF-8 text", "convert the file"
        ) from error


def read_json(path: Path) -> Any:
    """Return a JSON file's content; duplicate keys, NaN and infinite numbers are refused.

    Raises
    ------
    UnreadableError
        When the text is not strict JSON.
    """
    try:
        return json.loads(
            read_text(path),
            object_pairs_hook=_unique_keys,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise UnreadableError(path.name, f"no strict JSON ({error})", "JSON", "mend it") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"duplicate keys {_twice(key for key, _ in pairs)}")
    return found


def _twice(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _no_constant(name: str) -> Any:
    raise ValueError(f"the constant {name}")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), -float("inf")):
        raise ValueError(f"the number {text[:40]}")
    return number


def read_table(path: Path, separator: str = "\t", header: bool = True) -> pd.DataFrame:
    """Return a delimited text file as a table of strings, nothing converted or filled in.

    Blank lines and blanks after a separator are left out; a column without a name is called
    ``Unnamed: N``.

    Raises
    ------
    UnreadableError
        When rows differ in length, a column's name comes twice or the file is no text.
    """
    import pandas as pd

    lines = csv.reader(
        io.StringIO(read_text(path), newline=""),
        delimiter=separator,
        skipinitialspace=True,
        strict=True,
    )
    try:
        rows = [(lines.line_num, cells) for cells in lines if cells]
    except csv.Error as error:
        found = f"line {lines.line_num}: {error}"
        raise UnreadableError(path.name, found, "a delimited table", "mend the line") from error
    if not rows:
        raise UnreadableError(path.name, "no rows", "a table", "copy or download it again")
    width = len(rows[0][1])
    for line, cells in rows:
        if len(cells) != width:
            found = f"{len(cells)} cells in line {line}"
            raise UnreadableError(path.name, found, f"{width}, as in the first", "mend the line")
    names = [cell.strip() or f"Unnamed: {n}" for n, cell in enumerate(rows[0][1])]
    if not header:
        return pd.DataFrame([cells for _, cells in rows], dtype=object)
    if twice := _twice(names):
        found = f"the column {twice[0]!r} twice"
        raise UnreadableError(path.name, found, "each name once", "rename one of them")
    return pd.DataFrame([cells for _, cells in rows[1:]], columns=names, dtype=object)


def memmap(
    path: Path, dtype: np.dtype[Any], shape: Sequence[int], offset: int = 0
) -> np.ndarray[Any, Any]:
    """Map an array that a header describes, after comparing its size with the file's.

    Raises
    ------
    UnreadableError
        When the file is shorter than ``offset`` and the array need, or a number is below 0.
    """
    import numpy as np

    wanted = _end(path, dtype, shape, offset)
    size = path.stat().st_size
    if size < wanted:
        raise UnreadableError(
            path.name, f"{size} bytes", f"{wanted} bytes by its header", "copy it again"
        )
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=tuple(shape))


def unpacked_memmap(
    path: Path, dtype: np.dtype[Any], shape: Sequence[int], offset: int, slack: int
) -> tuple[np.ndarray[Any, Any], int]:
    """Map an array inside a gzip file, by way of an unnamed temporary file.

    The whole stream is decompressed once, its CRC and length checked, in bounded memory.

    Parameters
    ----------
    slack : int
        How many bytes may follow the array before the file is refused.

    Returns
    -------
    array, surplus
        The array and the count of bytes that follow it.

    Raises
    ------
    UnreadableError
        When the stream is damaged, or shorter than the header says.
    UnsafeError
        When it unpacks to more than the array and ``slack``.

    References
    ----------
    Deflate cannot pack tighter than 1032:1 (https://www.zlib.net/zlib_tech.html), so a header
    that claims more is refused before anything is unpacked.
    """
    import numpy as np

    wanted = _end(path, dtype, shape, offset)
    packed = path.stat().st_size
    if wanted > 1032 * packed:
        raise _too_short(path, f"{packed} bytes of gzip", wanted)
    total = 0
    with tempfile.TemporaryFile(prefix="neurodata-") as spool:
        try:
            with gzip.open(path) as stream:
                while block := stream.read(2**20):
                    total += len(block)
                    if total > wanted + slack:
                        raise UnsafeError(
                            path.name, f"over {total} bytes unpacked", f"{wanted} by its header"
                        )
                    spool.write(block)
            spool.flush()
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise _damaged_gzip(path, error) from error
        except OSError as error:
            raise UnreadableError(
                path.name, f"no room to unpack it ({error})", f"{wanted} bytes", "set TMPDIR"
            ) from error
        if total < wanted:
            raise _too_short(path, f"{total} bytes unpacked", wanted)
        array = np.memmap(spool, dtype=dtype, mode="r", offset=offset, shape=tuple(shape))
    return array, total - wanted


def _end(path: Path, dtype: np.dtype[Any], shape: Sequence[int], offset: int) -> int:
    """Return the byte at which an array ends that a header describes."""
    if min(offset, *shape, 0) < 0:
        found = f"an array of shape {tuple(shape)} at byte {offset}"
        raise UnreadableError(path.name, found, "no number below 0", "copy it again")
    return offset + dtype.itemsize * math.prod(int(n) for n in shape)


def _too_short(path: Path, found: str, wanted: int) -> UnreadableError:
    return UnreadableError(path.name, found, f"{wanted} bytes by its header", "copy it again")
