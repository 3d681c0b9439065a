"""Archives are unpacked here and nowhere else: zip, and tar plain or packed by four programs.

Names are judged by their parts, only files and folders come out, what they unpack to is counted
while it is written, and the folder appears when everything is in it or not at all. An archive
within an archive stays packed.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from neurodata import safe, safe_tar, safe_zip
from neurodata.errors import (
    InvalidInputError,
    UnknownFormatError,
    UnreadableError,
    UnsafeError,
    need,
)
from neurodata.safe_names import Names

Form = Literal["zip", "tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst"]
SUFFIXES = (
    ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst",
)  # fmt: skip
BLOCK_BYTES = 2**18
XZ_MEMORY_BYTES = 80 * 2**20  # `xz -9` needs 65 MiB
FREE_BYTES = 2**20  # a small archive may be packed tighter: it holds little


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to.

    Parameters
    ----------
    ratio : float
        So many times its own size (but 1 MiB at least).
    total_bytes : int
    count : int
        Number of files and folders, those that no member but a name's parts ask for too.
    """

    ratio: float = 200.0
    total_bytes: int = 2**38
    count: int = 1_000_000


def form(path: Path) -> Form | None:
    """Return what kind of archive a file is by its content, None for any other file.

    Examples
    --------
    >>> import tempfile, zipfile
    >>> path = Path(tempfile.mkdtemp()) / "a.bin"
    >>> with zipfile.ZipFile(path, "w") as file:
    ...     file.writestr("a.txt", "text")
    >>> form(path)
    'zip'
    """
    start = safe.start(path, safe_tar.HEADER_BYTES)
    if start.startswith(safe_zip.MAGIC):
        return "zip"
    if safe_tar.is_header(start):
        return "tar"
    for name, (magic, unpacked) in _PACKED.items():
        if start.startswith(magic):
            try:
                first = _first(path, name, unpacked)
            except _DAMAGE:
                return None
            return name if safe_tar.is_header(first) else None
    return None


def unpack(path: Path, folder: Path, limits: Limits | None = None) -> tuple[Path, ...]:
    """Unpack an archive into a new folder and return its files, sorted.

    Everything is written to a folder beside first, which gets its name when all is well; a
    failure or an interruption leaves nothing.

    Parameters
    ----------
    path : Path
        A zip, or a tar that is plain or packed by gzip, bzip2, xz or (with pyarrow) Zstandard.
    folder : Path
        Must not be there; the folder around it must.
    limits : Limits, optional
        What it may unpack to.

    Raises
    ------
    UnsafeError
        When a member is no plain file or folder, its name leads elsewhere, is no name on some
        system or is that of another, members overlap, or a limit is exceeded.
    UnreadableError
        When the archive is damaged, cut or empty, or there is no room.
    UnknownFormatError
        When it is no such archive, or a member is encrypted.
    MissingDependencyError
        When Zstandard is needed and pyarrow is not installed.
    InvalidInputError
        When the folder is there already.

    Examples
    --------
    >>> import tempfile, zipfile
    >>> base = Path(tempfile.mkdtemp())
    >>> with zipfile.ZipFile(base / "a.zip", "w") as file:
    ...     file.writestr("sub-01/eeg.txt", "text")
    >>> [file.relative_to(base).as_posix() for file in unpack(base / "a.zip", base / "a")]
    ['a/sub-01/eeg.txt']
    """
    kind = form(path)
    if kind is None:
        raise UnknownFormatError(path.name, "no archive", "one of " + ", ".join(SUFFIXES))
    if folder.exists() or folder.is_symlink():
        raise InvalidInputError(str(folder), "something there already", "a new folder's path")
    draft = folder.with_name(f".{folder.name[:64]}.{uuid.uuid4().hex}")
    try:
        draft.mkdir()
        files = list(_written(path, kind, draft, limits or Limits()))
        if not files:
            raise UnreadableError(path.name, "an archive without a file", "files")
        draft.rename(folder)
    except OSError as error:
        raise UnreadableError(
            path.name, f"an archive that cannot be unpacked here ({error.strerror})",
            f"room for it in {folder.parent}", "free some space or choose another folder",
        ) from error  # fmt: skip
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return tuple(sorted(folder.joinpath(*parts) for parts in files))


def _written(path: Path, kind: Form, draft: Path, limits: Limits) -> Iterator[tuple[str, ...]]:
    """Write the members below a folder and yield the names of the files."""
    names, meter = Names(path.name), _Meter(path, limits)
    for name, is_folder, blocks in _zip(path, meter) if kind == "zip" else _tar(path, kind, meter):
        parts = names.add(name, is_folder)
        meter.made(len(names))
        target = draft.joinpath(*parts)
        if is_folder:
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as out:
            for block in blocks:
                out.write(block)
        yield parts


Member = tuple[str, bool, Iterator[bytes]]


def _zip(path: Path, meter: _Meter) -> Iterator[Member]:
    found = safe_zip.members(path)
    meter.stated(len(found), sum(member.size for member in found.values()))
    for name, member in found.items():
        yield name, False, meter.counted(safe_zip.blocks(path, member))


def _tar(path: Path, kind: Form, meter: _Meter) -> Iterator[Member]:
    blocks = _PACKED[kind][1](path) if kind in _PACKED else _plain(path)
    source = meter.counted(_intact(path, blocks))
    for member in safe_tar.members(source, path.name):
        if member.name not in ("", "."):
            yield member.name, member.is_folder, member.blocks
        elif not member.is_folder:
            raise UnsafeError(path.name, f"the name {member.name!r}", "names of files")


class _Meter:
    """Counts what comes out of an archive and stops it at its limits."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.where, self.limits = path.name, limits
        self.packed = path.stat().st_size
        tight = max(FREE_BYTES, int(limits.ratio * self.packed))
        self.most = min(tight, limits.total_bytes)
        self.count = self.total = 0

    def made(self, count: int) -> None:
        """Keep how many files and folders there are."""
        self.count = count
        self.stated(self.count, self.total)

    def stated(self, count: int, total: int) -> None:
        """Refuse so many members of so many bytes when they are too many."""
        if count > self.limits.count:
            found, most = f"over {self.limits.count} members", f"{self.limits.count}"
            raise UnsafeError(self.where, found, f"at most {most}", "unpack it by hand")
        if total > self.most:
            raise UnsafeError(
                self.where, f"{total} bytes and more unpacked from {self.packed}",
                f"at most {self.most}, {self.limits.ratio:g} times as much",
                "unpack it by hand if you trust it",
            )  # fmt: skip

    def counted(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield blocks, as many as the limits allow."""
        for block in blocks:
            self.total += len(block)
            self.stated(self.count, self.total)
            yield block


# what packs a tar

_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, MemoryError)


def _intact(path: Path, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield blocks; whatever damage makes their unpacker raise is an `UnreadableError`."""
    try:
        yield from blocks
    except _DAMAGE as error:
        raise UnreadableError(
            path.name, f"damaged compression ({error})", "an intact archive",
            "copy or download it again",
        ) from error  # fmt: skip


def _first(path: Path, name: Form, unpacked: Callable[[Path], Iterator[bytes]]) -> bytes:
    """Return what may be the first header, wherever a packed tar is damaged further on."""
    if name == "tar.gz":
        return zlib.decompressobj(31).decompress(safe.start(path, 4096), safe_tar.HEADER_BYTES)
    found, blocks = b"", unpacked(path)
    while len(found) < safe_tar.HEADER_BYTES and (block := next(blocks, b"")):
        found += block
    return found


def _plain(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        yield from iter(lambda: stream.read(BLOCK_BYTES), b"")


def _gzip(path: Path) -> Iterator[bytes]:
    with gzip.open(path) as stream:
        yield from iter(lambda: stream.read(BLOCK_BYTES), b"")


def _bzip2(path: Path) -> Iterator[bytes]:
    return _streams(path, bz2.BZ2Decompressor)


def _xz(path: Path) -> Iterator[bytes]:
    return _streams(path, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY_BYTES))


def _streams(
    path: Path, new: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]
) -> Iterator[bytes]:
    """Yield what the streams of a file, one after the other, unpack to; zeros may part them."""
    engine, packed = new(), b""
    for piece in chain(_plain(path), [b""]):
        packed += piece
        while packed or not engine.needs_input:
            if engine.eof:
                packed = (engine.unused_data + packed).lstrip(b"\0")
                if not packed:
                    break
                engine = new()
            if block := engine.decompress(packed, BLOCK_BYTES):
                yield block
            packed = b""
    if not engine.eof:
        raise EOFError("it ends too early")


def _zstandard(path: Path) -> Iterator[bytes]:
    arrow = need("pyarrow", "connectome")
    with arrow.input_stream(str(path), compression="zstd") as stream:
        yield from iter(lambda: stream.read(BLOCK_BYTES), b"")


_PACKED: dict[Form, tuple[bytes, Callable[[Path], Iterator[bytes]]]] = {
    "tar.gz": (b"\x1f\x8b", _gzip),
    "tar.bz2": (b"BZh", _bzip2),
    "tar.xz": (b"\xfd7zXZ\0", _xz),
    "tar.zst": (b"\x28\xb5\x2f\xfd", _zstandard),
}
