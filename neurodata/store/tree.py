"""A recording's tree into one Zarr v3 group tree, and compared with what was given."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import xarray as xr
import zarr

from neurodata.errors import IntegrityError, StoreError
from neurodata.store.arrays import StoredArray
from neurodata.store.digest import ArrayDigest, canonical, content, is_text, plain
from neurodata.store.layout import Codec, Layout, Preset, choose, codecs, pick_codec, steps
from neurodata.store.ngff import OME, multiscales
from neurodata.store.shards import Array, Box, Rooms, Target, ahead, sample
from neurodata.store.shards import Written as Part
from neurodata.store.spool import Scratch, Source
from neurodata.store.version import StoredVersion
from neurodata.store.zarr_folder import ZarrFolder

COORDINATES = "coordinates"
KINDS = "biufcUOT"
TEXT_BYTES = 16
RESERVED = {"coordinates", "dtype", "_FillValue"}  # xarray takes them for its own
LAZY = ("signal", "signal_adc", "image", "image_adc")


def refuse_unfit(tree: xr.DataTree) -> None:
    """Refuse what would not come back as it is: odd attributes, data types or texts.

    Raises
    ------
    StoreError
        Naming the variable.
    """
    for path, node in tree.subtree_with_keys:
        canonical(node.attrs)
        for name, variable in node.variables.items():
            canonical(variable.attrs)
            if taken := RESERVED & set(variable.attrs):
                raise _unfit(path, name, f"the attribute {min(taken)!r}", "other names")
            if variable.dtype.kind not in KINDS or variable.dtype == np.longdouble:
                raise _unfit(path, name, f"dtype {variable.dtype}", "numbers or text")
            if variable.dtype.kind in "OU" and not all(map(_is_text, np.ravel(variable.values))):
                raise _unfit(path, name, "items that are no text", "Unicode text in every item")


def _is_text(item: object) -> bool:
    """Say whether an item is a string without lone surrogates, which have no UTF-8 form."""
    return isinstance(item, str) and item.encode("utf-8", "ignore").decode() == item


def _unfit(path: str, name: Hashable, found: str, expected: str) -> StoreError:
    return StoreError(_key(path, name), found, expected, "convert it before it is stored")


@dataclass
class Written:
    """What writing a tree found out, by ``node/name``, and the size of its files by path."""

    checksums: dict[str, list[int]] = field(default_factory=dict)
    """crc32c of the blocks of every array as they were given, in the order of the digest."""
    layout: dict[str, dict[str, Any]] = field(default_factory=dict)
    finite: dict[str, bool] = field(default_factory=dict)
    files: dict[Path, int] = field(default_factory=dict)


def write_tree(tree: xr.DataTree, folder: Path, preset: Preset = "default") -> Written:
    """Write a recording in raw form and return what was found out about it.

    Threads encode and write while the next block is read. Memory stays below
    ``shards.MEMORY_BYTES`` and the chunks of the source that are decoded at a time.
    """
    with Scratch(folder.parent) as scratch:
        writer = _Writer(folder, preset, scratch)
        with closing(ahead(writer.tasks(tree))) as results:
            for result in results:
                writer.enter(*result)
    return writer.done


Result = tuple[str, Part, int, Array | None]


class _Writer:
    """Goes through a tree; what it yields is done by threads."""

    def __init__(self, folder: Path, preset: Preset, scratch: Scratch) -> None:
        self._folder, self._preset, self._scratch = folder, preset, scratch
        self._rooms = Rooms()
        self.done = Written()

    def tasks(self, tree: xr.DataTree) -> Iterator[tuple[int, Callable[[], Result]]]:
        """Yield the writing of every block of numbers, and its bytes; text is written meanwhile."""
        for path, node in tree.subtree_with_keys:
            where = "" if path == "." else path
            group = zarr.open_group(ZarrFolder(self._folder), path=where, mode="w-")
            dataset = node.to_dataset(False)
            group.attrs.update(_group_attrs(dataset))
            for name, variable in dataset.variables.items():
                key = _key(path, name)
                if is_text(variable.dtype):
                    self._text(group, key, str(name), variable)
                else:
                    yield from self._numbers(group, key, str(name), variable)

    def enter(self, key: str, part: Part, checksum: int, room: Array | None) -> None:
        """Take note of a block that was written."""
        self._rooms.give(room)
        self.done.checksums[key].append(checksum)
        self.done.files.update(part.files)
        if key in self.done.finite:
            self.done.finite[key] = self.done.finite[key] and part.finite

    def _numbers(
        self, group: zarr.Group, key: str, name: str, variable: xr.Variable
    ) -> Iterator[tuple[int, Callable[[], Result]]]:
        dtype = variable.dtype.newbyteorder("<")
        layout = choose(_dims(variable), variable.shape, dtype.itemsize, self._preset)
        self.done.checksums[key] = []
        plan = list(steps(variable.shape, layout, dtype.itemsize))
        if dtype.kind in "fc":
            self.done.finite[key] = True
        source = Source(variable, [block for block, _ in plan], self._rooms, self._scratch)
        target = None
        for (_, parts), (block, values, room) in zip(plan, source, strict=True):
            if target is None:
                codec = pick_codec(sample(values, layout), self._preset)
                target = self._create(group, key, name, variable, layout, codec)
            target.prepare(block)
            yield values.nbytes, partial(_write, key, target, block, values, parts, room)
        if target is None:
            self._create(group, key, name, variable, layout, "none")

    def _text(self, group: zarr.Group, key: str, name: str, variable: xr.Variable) -> None:
        layout = choose(_dims(variable), variable.shape, TEXT_BYTES, self._preset)
        codec: Codec = "zstd" if self._preset == "small" else "lz4"
        self._create(group, key, name, variable, layout, codec)
        array: Any = group[name]
        self.done.checksums[key] = []
        for block, parts in steps(variable.shape, layout, TEXT_BYTES):
            values = np.asarray(variable[block].values)
            array[block] = values.astype(object)
            self.done.checksums[key].append(_checksum(values, parts))

    def _create(
        self,
        group: zarr.Group,
        key: str,
        name: str,
        variable: xr.Variable,
        layout: Layout,
        codec: Codec,
    ) -> Target:
        """Write the metadata of an array and return where its numbers go."""
        dtype = variable.dtype.newbyteorder("<")
        array = group.create_array(
            name,
            shape=variable.shape,
            dtype=str if is_text(dtype) else dtype,
            chunks=layout.chunks,
            shards=layout.shards,
            compressors=codecs(dtype, codec),
            dimension_names=_dims(variable),
            attributes=plain(variable.attrs),
            config={"write_empty_chunks": True},
        )
        shards = list(layout.shards) if layout.shards else None
        self.done.layout[key] = {"chunks": list(layout.chunks), "shards": shards, "codec": codec}
        return Target(self._folder / array.path, dtype, layout, codec)


def _dims(variable: xr.Variable) -> tuple[str, ...]:
    return tuple(str(dim) for dim in variable.dims)


def _write(
    key: str, target: Target, block: Box, values: Array, parts: list[Box], room: Array | None
) -> Result:
    return key, target.write(block, values), _checksum(values, parts), room


def _in_order(values: Array, parts: list[Box]) -> Iterator[bytes | Array]:
    """Yield a block's content part by part; of one not in one piece, no more than a plane a time.

    To digest it so is to digest the whole array in the order of `layout.tile`.
    """
    for part in parts:
        place: Any = (*part, ...)  # an array also where there is no axis
        found: Array = values[place]
        pieces = [found] if found.ndim < 3 or found.flags.c_contiguous else found
        yield from map(content, pieces)


def _checksum(values: Array, parts: list[Box]) -> int:
    """Return the crc32c of a block's content."""
    found = 0
    for piece in _in_order(values, parts):
        found = google_crc32c.extend(found, piece)
    return found


def _key(path: str, name: Hashable) -> str:
    return str(name) if path == "." else f"{path}/{name}"


def _group_attrs(dataset: xr.Dataset) -> dict[str, Any]:
    attrs: dict[str, Any] = plain(dataset.attrs)
    if extra := sorted(str(name) for name in dataset.coords if name not in dataset.dims):
        attrs[COORDINATES] = " ".join(extra)
    if ome := multiscales(dataset):
        attrs[OME] = ome
    return attrs


def compare_tree(version: StoredVersion, checksums: Mapping[str, list[int]]) -> dict[str, str]:
    """Decode all arrays of a stored tree, compare them, and return their digests by ``node/name``.

    Parameters
    ----------
    checksums : mapping
        Those of `write_tree`.

    Raises
    ------
    IntegrityError
        When a chunk is missing, does not decode, its checksum or the block's content differs.
    """
    arrays = {a.key: a for node in version.nodes.values() for a in node.arrays.values()}
    if arrays.keys() != checksums.keys():
        raise _changed(version, sorted(arrays.keys() ^ checksums.keys()))
    rooms, given = Rooms(), {key: iter(blocks) for key, blocks in checksums.items()}
    digests = {key: ArrayDigest(a.dims, a.shape, a.dtype) for key, a in arrays.items()}
    with closing(ahead(_reads(arrays, rooms))) as results:
        for key, values, parts, checksum, room in results:
            if next(given[key], None) != checksum:
                raise _changed(version, [key])
            for piece in _in_order(values, parts):
                digests[key].update(piece)
            rooms.give(room)
    if missing := [key for key, rest in given.items() if next(rest, None) is not None]:
        raise _changed(version, missing)
    return {key: digest.hexdigest() for key, digest in digests.items()}


def _changed(version: StoredVersion, keys: list[str]) -> IntegrityError:
    return IntegrityError(
        version.id, f"other bytes than written in {keys}", "the same",
        "check the disk, then ingest it again",
    )  # fmt: skip


Read = tuple[str, Array, list[Box], int, Array | None]


def _reads(
    arrays: Mapping[str, StoredArray], rooms: Rooms
) -> Iterator[tuple[int, Callable[[], Read]]]:
    for key, array in arrays.items():
        text = is_text(array.dtype)
        layout = Layout(array.chunks, array.shards)
        for block, parts in steps(
            array.shape, layout, TEXT_BYTES if text else array.dtype.itemsize
        ):
            shape = tuple(part.stop - part.start for part in block)
            room = None if text else rooms.take(shape, array.dtype)
            yield (
                array.nbytes if room is None else room.nbytes,
                partial(_read, key, array, block, parts, room),
            )


def _read(key: str, array: StoredArray, block: Box, parts: list[Box], room: Array | None) -> Read:
    values = array.read(block, room)
    return key, values, parts, _checksum(values, parts), room
