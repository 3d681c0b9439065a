"""C functions and memory by their addresses, for compiled loops; needs numba."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _call(builder: Any, address: Any, arguments: Any, bits: tuple[int, ...]) -> Any:
    """Call the C function at an address with whole numbers; 0 bits is a pointer."""
    kinds = [cgutils.voidptr_t if n == 0 else ir.IntType(n) for n in bits]
    function = builder.inttoptr(address, ir.FunctionType(kinds[0], kinds[1:]).as_pointer())
    given = [
        builder.inttoptr(value, kind) if n == 0 else builder.trunc(value, kind) if n < 64 else value
        for value, kind, n in zip(arguments, kinds[1:], bits[1:], strict=True)
    ]
    return builder.call(function, given)


@intrinsic
def pread(context: Any, function: Any, file: Any, place: Any, count: Any, start: Any) -> Any:
    """``ssize_t pread(int, void *, size_t, off_t)``."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return _call(builder, given[0], given[1:], (64, 32, 0, 64, 64))

    return types.int64(types.uint64, types.int64, types.uint64, types.int64, types.int64), generate


@intrinsic
def crc32c(context: Any, function: Any, place: Any, count: Any) -> Any:
    """``uint32_t crc32c_value(const uint8_t *, size_t)``."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return _call(builder, given[0], given[1:], (32, 0, 64))

    return types.uint32(types.uint64, types.uint64, types.int64), generate


@intrinsic
def blosc(context: Any, function: Any, source: Any, target: Any, count: Any, threads: Any) -> Any:
    """``int blosc_decompress_ctx(const void *, void *, size_t, int)``."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return _call(builder, given[0], given[1:], (32, 0, 0, 64, 32))

    return types.int32(types.uint64, types.uint64, types.uint64, types.int64, types.int64), generate


@intrinsic
def lz4(context: Any, function: Any, source: Any, target: Any, count: Any, room: Any) -> Any:
    """``int LZ4_decompress_safe(const char *, char *, int, int)``."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return _call(builder, given[0], given[1:], (32, 0, 0, 32, 32))

    return types.int32(types.uint64, types.uint64, types.uint64, types.int64, types.int64), generate


@intrinsic
def pointer(context: Any, address: Any) -> Any:
    """Take a number for an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.uint64), generate
