"""The files of one remote version: every part checked before it is kept or handed out.

A file that is read whole has the sha256 of the manifest. A part of a file is a chunk or a
shard's index, and ends with the crc32c of the bytes before it (see docs/format.md).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import google_crc32c
import numpy as np

from neurodata.errors import IntegrityError, NotFoundError
from neurodata.store.chunk_cache import ChunkCache
from neurodata.store.files_of import AGAIN, Array, Range
from neurodata.store.remote_io import Engine, Failure, Source, engine, together, tries

GAP_SHARE = 0.04
GAP_BYTES = 64 * 2**10
SPAN_BYTES = 2**20
SMALL_BYTES = 64 * 2**10


class Part(NamedTuple):
    """A part of a file that is got, checked and kept as one."""

    path: str
    start: int
    length: int
    key: str
    sha256: str

    @property
    def stop(self) -> int:
        """The byte after the last."""
        return self.start + self.length


class Span(NamedTuple):
    """Parts of one file that one request brings."""

    path: str
    start: int
    stop: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class RemoteFiles:
    """The files of one version (see `files_of.Files`); threads, forks and pickles may share it.

    Parameters
    ----------
    source : Source
    cache : ChunkCache
    folder : str
        ``dataset/recording/version``.
    manifest_sha256 : str
        The whole of it, as it names what is kept in the cache.
    entries : mapping of str to (int, str)
        Size and sha256 of every file, as the manifest says.
    """

    source: Source
    cache: ChunkCache
    folder: str
    manifest_sha256: str
    entries: Mapping[str, tuple[int, str]]
    far: ClassVar[bool] = True

    @property
    def where(self) -> str:
        """The address of the version, without secrets."""
        return f"{self.source.where}/{self.folder}"

    def size(self, path: str) -> int:
        """Return the size of a file in bytes.

        Raises
        ------
        IntegrityError
            When the manifest lists no such file.
        """
        return self._entry(path)[0]

    def read(self, path: str, start: int, length: int) -> bytes:
        """Return a part of a file, from the cache or from afar.

        Raises
        ------
        IntegrityError
            When it is missing, short or damaged, after a few tries.
        StoreError
            When the server does not answer, or not in a way that can be used.
        """
        part = self._part(path, start, length)
        if not part.length:
            return b""
        data = self._near(part)
        if data is None:
            here = engine()
            found: dict[str, bytes] = {}
            here.run(self._get(here, [part], found))
            data = found[part.key]
        return data

    def view(self, path: str, start: int, length: int) -> Array:
        """Return a part of a file as uint8."""
        return np.frombuffer(self.read(path, start, length), "u1")

    def file(self, path: str) -> None:
        """Return nothing: there is no whole file here."""

    def fill(self, path: str, start: int, parts: Sequence[Array]) -> None:
        """Read a part of a file into arrays, end to end."""
        data = self.view(path, start, sum(part.nbytes for part in parts))
        for part in parts:
            part[...], data = data[: part.nbytes], data[part.nbytes :]

    def whole(self, path: str) -> bytes:
        """Return a whole file."""
        return self.read(path, 0, self.size(path))

    def waits(self, path: str, start: int) -> bool:
        """Say yes: the way is long (see `Files`)."""
        return True

    def fetch(self, ranges: Sequence[Range]) -> None:
        """Get all parts that are not near, at once and in few requests, into the cache."""
        here = engine()
        parts = {(part := self._part(*one)).key: part for one in ranges}
        far = [part for part in parts.values() if part.length and not self._is_near(here, part)]
        if far:
            here.run(self._get(here, far))

    def close(self) -> None:
        """Do nothing: connections belong to the process, not to a version."""

    async def fetch_small(self, here: Engine, limit_bytes: int) -> None:
        """Get all metadata, and the other files up to a size, that are not near."""
        paths = [
            path
            for path, (size, _) in self.entries.items()
            if size <= limit_bytes or path.endswith("/zarr.json")
        ]
        parts = [self._part(path, 0, self.size(path)) for path in paths]
        await self._get(here, [one for one in parts if one.length and not self._is_near(here, one)])

    def _entry(self, path: str) -> tuple[int, str]:
        found = self.entries.get(path)
        if found is None:
            raise IntegrityError(
                f"{self.where}/{path}", "no such file in the manifest", "one", AGAIN
            )
        return found

    def _part(self, path: str, start: int, length: int) -> Part:
        size, sha256 = self._entry(path)
        start = start if start >= 0 else size + start
        if start < 0 or length < 0 or start + length > size:
            found, expected = f"{size} bytes", f"{length} from byte {start} on"
            raise IntegrityError(f"{self.where}/{path}", found, expected, AGAIN)
        key = ChunkCache.key(
            self.source.origin, self.folder, self.manifest_sha256, path, start, length
        )
        return Part(path, start, length, key, sha256 if length == size else "")

    def _is_near(self, here: Engine, part: Part) -> bool:
        return here.recent.get(part.key) is not None or self.cache.has(part.key)

    def _near(self, part: Part) -> bytes | None:
        """Return a part that is in memory or, intact, in the cache."""
        data = engine().recent.get(part.key)
        if data is None and (data := self.cache.get(part.key)) is not None and _wrong(part, data):
            self.cache.drop(part.key)
            data = None
        return data

    async def _get(
        self, here: Engine, parts: Sequence[Part], found: dict[str, bytes] | None = None
    ) -> None:
        """Get parts that are not near; those that someone else is getting are waited for."""
        others = [here.pending[part.key] for part in parts if part.key in here.pending]
        own = [part for part in parts if part.key not in here.pending]
        done, small = here.loop.create_future(), list[tuple[str, bytes]]()
        here.pending.update(dict.fromkeys((part.key for part in own), done))
        try:
            await together(self._bring(here, span, found, small) for span in merged(own))
            await asyncio.to_thread(self.cache.put_all, small)
        finally:
            for part in own:
                here.pending.pop(part.key, None)
            done.set_result(None)
        if others:
            await asyncio.wait(others)
            keys = {part.key for part in own}
            await self._get_left(here, [part for part in parts if part.key not in keys], found)

    async def _get_left(
        self, here: Engine, parts: Sequence[Part], found: dict[str, bytes] | None
    ) -> None:
        """Take what others were getting, and get what they failed to get."""
        far = []
        for part in parts:
            data = await asyncio.to_thread(self._near, part)
            if data is None:
                far.append(part)
            elif found is not None:
                found[part.key] = data
        if far:
            await self._get(here, far, found)

    async def _bring(
        self,
        here: Engine,
        span: Span,
        found: dict[str, bytes] | None,
        small: list[tuple[str, bytes]],
    ) -> None:
        """Get one span, check its parts, and keep each; small ones are kept all together."""
        size, _ = self._entry(span.path)
        address = f"{self.folder}/{span.path}"
        length = span.stop - span.start
        whole = length == size

        async def once() -> list[bytes]:
            ask = None if whole else (span.start, length)
            reply = await self.source.get(address, ask, length)
            if reply.total not in (None, size):
                raise Failure("damaged", f"a file of {reply.total} bytes", f"{size} bytes")
            if len(reply.data) != length:
                raise Failure("damaged", f"{len(reply.data)} of {length} bytes", "all of them")
            if length <= SMALL_BYTES:
                return _split(span, reply.data)
            return await asyncio.to_thread(_split, span, reply.data)

        try:
            pieces = await tries(once, f"{self.where}/{span.path}, bytes {span.start}-{span.stop}")
        except NotFoundError as error:
            raise IntegrityError(error.where, error.found, f"{size} bytes", AGAIN) from None
        for part, data in zip(span.parts, pieces, strict=True):
            here.recent.put(part.key, data)
            if found is not None:
                found[part.key] = data
        kept = [(part.key, data) for part, data in zip(span.parts, pieces, strict=True)]
        if length <= SMALL_BYTES:
            small.extend(kept)
        else:
            await asyncio.to_thread(self.cache.put_all, kept)


def merged(parts: Iterable[Part]) -> list[Span]:
    """Return spans that bring the parts in few requests and few bytes that nobody asked for.

    Gaps are bridged where they are short and add less than 4 % to what the span brings.

    Examples
    --------
    >>> [(s.start, s.stop) for s in merged([Part("a", 0, 900, "k", ""), Part("a", 910, 90, "l", ""),
    ...                                     Part("a", 5000, 90, "m", "")])]
    [(0, 1000), (5000, 5090)]
    """
    spans: list[list[Part]] = []
    gaps = 0
    for part in sorted(set(parts)):
        if spans and spans[-1][-1].path == part.path:
            start, stop = spans[-1][0].start, spans[-1][-1].stop
            gap = part.start - stop
            needed = part.stop - start - gaps - gap
            short = gap <= GAP_BYTES and gaps + gap <= GAP_SHARE * needed
            if gap >= 0 and short and part.stop - start <= SPAN_BYTES:
                spans[-1].append(part)
                gaps += gap
                continue
        spans.append([part])
        gaps = 0
    return [Span(s[0].path, s[0].start, s[-1].stop, tuple(s)) for s in spans]


def _split(span: Span, data: bytes) -> list[bytes]:
    """Cut an answer into its parts and check each."""
    view = memoryview(data)
    pieces = [bytes(view[p.start - span.start : p.stop - span.start]) for p in span.parts]
    for part, piece in zip(span.parts, pieces, strict=True):
        if wrong := _wrong(part, piece):
            raise Failure("damaged", wrong)
    return pieces


def _wrong(part: Part, data: bytes) -> str | None:
    """Return what is wrong with the bytes of a part."""
    if len(data) != part.length:
        return f"{len(data)} of {part.length} bytes"
    if part.sha256:
        digest = hashlib.sha256(data).hexdigest()
        return None if digest == part.sha256 else f"bytes with the sha256 {digest[:16]}…"
    if google_crc32c.value(data[:-4]) != int.from_bytes(data[-4:], "little"):
        return f"a checksum that differs (of {part.length} bytes at {part.start})"
    return None
