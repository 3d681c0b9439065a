"""The header of a classic netCDF file (MINC1): dimensions, variables, and where they lie.

References
----------
https://docs.unidata.ucar.edu/netcdf-c/current/file_format_specifications.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurodata import safe
from neurodata.errors import UnknownFormatError, UnreadableError
from neurodata.readers.minc_header import (
    LIMITS,
    Axis,
    Image,
    float_alone,
    image_of,
    text_of,
    wrong,
)
from neurodata.readers.nifti_voxels import StoredVoxels, lazy
from neurodata.safe import Raw

MAGIC = {b"CDF\x01": 4, b"CDF\x02": 8}
HEADER_LIMIT_BYTES = 8 * 2**20
COUNT_LIMIT = 100_000
TAGS = {"dimensions": 10, "variables": 11, "attributes": 12}
TYPES = {1: ">i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8"}
IMAGE_AXES = ("xspace", "yspace", "zspace", "time", "vector_dimension")


@dataclass(frozen=True)
class Variable:
    """A variable: names of its dimensions, sizes, type and first byte."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    begin: int
    attributes: dict[str, Any] = field(default_factory=dict)


class _Parser:
    """Reads a header from its first byte on, never beyond its end."""

    def __init__(self, block: bytes, where: str) -> None:
        self.block, self.where, self.at = block, where, 4

    def number(self, width: int = 4) -> int:
        return int.from_bytes(self.take(width), "big")

    def take(self, count: int) -> bytes:
        part = self.block[self.at : self.at + count]
        if count < 0 or len(part) < count:
            raise self.broken(f"{len(self.block)} bytes", f"more than {self.at + count}")
        self.at += count
        return part

    def padded(self, count: int) -> bytes:
        part = self.take(count)
        self.take(-count % 4)
        return part

    def name(self) -> str:
        return self.padded(self.number()).decode("latin-1")

    def count_of(self, what: str) -> int:
        tag, count = self.number(), self.number()
        if (tag, count) == (0, 0):
            return 0
        if tag != TAGS[what] or count > COUNT_LIMIT:
            raise self.broken(f"{count} entries with tag {tag}", f"{what}, tag {TAGS[what]}")
        return count

    def attributes(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(self.count_of("attributes")):
            name, dtype = self.name(), self.dtype()
            count = self.number()
            values = self.padded(count * dtype.itemsize)
            found[name] = values if dtype.kind == "S" else np.frombuffer(values, dtype)
        return found

    def dtype(self) -> np.dtype[Any]:
        code = self.number()
        if code not in TYPES:
            raise self.broken(f"type {code}", "1 to 6")
        return np.dtype(TYPES[code])

    def broken(self, found: str, expected: str) -> UnreadableError:
        return UnreadableError(f"{self.where}: header", found, expected, "copy the file again")


def variables(block: bytes, where: str) -> tuple[dict[str, Variable], tuple[str, ...]]:
    """Return a file's variables by name, and the names of its own attributes.

    Raises
    ------
    UnreadableError
        When the header is cut or contradicts itself.
    """
    if block[:4] not in MAGIC:
        raise UnreadableError(where, f"{len(block)} bytes", "a netCDF header", "copy it again")
    parser = _Parser(block, where)
    parser.number()  # records; variables over records are left out
    dims = [(parser.name(), parser.number()) for _ in range(parser.count_of("dimensions"))]
    own = tuple(parser.attributes())
    found: dict[str, Variable] = {}
    for _ in range(parser.count_of("variables")):
        name = parser.name()
        rank = parser.number()
        if rank > len(dims):
            raise parser.broken(f"{name} with {rank} dimensions", f"at most {len(dims)}")
        keys = [parser.number() for _ in range(rank)]
        if any(key >= len(dims) for key in keys):
            raise parser.broken(f"{name} over dimension {max(keys)}", f"below {len(dims)}")
        attributes, dtype = parser.attributes(), parser.dtype()
        parser.number()  # size, which the shape tells better
        begin = parser.number(MAGIC[block[:4]])
        axes = [dims[key] for key in keys]
        shape = tuple(size for _, size in axes)
        found[name] = Variable(tuple(n for n, _ in axes), shape, dtype, begin, attributes)
    return found, own


def from_netcdf(raw: Raw) -> Image:
    """Return the image of a MINC1 file.

    Raises
    ------
    UnreadableError
        When the file is cut, damaged or contradicts itself.
    UnknownFormatError
        When it is packed, or its image grows by records.
    """
    if safe.is_gzip(raw.main):
        raise UnknownFormatError(raw.name, "a packed MINC 1 file", "it unpacked", "run gunzip")
    block = safe.head(raw.main, HEADER_LIMIT_BYTES)
    found, own = variables(block, raw.name)
    image = _variable(raw, found, "image")
    if not image.shape or min(image.shape) < 1:
        raise UnknownFormatError(
            f"{raw.name}: image", f"a grid of {image.shape}", "sizes that are stated", "convert it"
        )
    sign = text_of(image.attributes.get("signtype", b""))
    dtype = image.dtype
    if dtype.kind == "i":
        if sign not in ("signed__", "unsigned"):
            raise wrong(raw, "image: signtype", repr(sign), "signed__ or unsigned")
        dtype = np.dtype(dtype.str.replace("i", "u")) if sign == "unsigned" else dtype
    elif dtype.kind != "f":
        raise UnknownFormatError(f"{raw.name}: image", "characters", "numbers", "convert it")
    axes = tuple(
        Axis(name, size, found[name].attributes if name in found else {})
        for name, size in zip(image.dims, image.shape, strict=True)
    )
    limits = {}
    for name in LIMITS if not float_alone(dtype, {*found}) else ():
        limit = _variable(raw, found, name)
        size = (int(np.prod(limit.shape, dtype=object)),) if limit.shape else (1,)
        if limit.dtype.kind == "S" or min(size) < 1 or size[0] > 2**24:
            raise wrong(raw, name, f"{size[0]} values of type {limit.dtype}", "some numbers")
        values = StoredVoxels(raw.main, size, limit.dtype, limit.begin)[:]
        limits[name] = (list(limit.dims), values.reshape(limit.shape))
    voxels = lazy(StoredVoxels(raw.main, image.shape, dtype, image.begin))
    known = {"image", "image-min", "image-max", "rootvariable", *IMAGE_AXES}
    private = (*own, *(name for name in found if name not in known))
    return image_of(raw, axes, voxels, limits, image.attributes, tuple(private))


def _variable(raw: Raw, found: dict[str, Variable], name: str) -> Variable:
    if name not in found:
        raise wrong(raw, name, "no such variable", "it, as MINC has")
    return found[name]
