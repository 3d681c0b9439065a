"""The compiled decoder of blosc chunks against numcodecs, and with bytes damaged."""

from __future__ import annotations

import numpy as np
import pytest
from numcodecs import blosc

pytest.importorskip("numba")

from neurodata.compiled import address
from neurodata.store import decode, kernels


def numbers(nbytes: int, itemsize: int) -> np.ndarray:
    """Numbers of which only the low bits are noise, as in recordings."""
    random = np.random.default_rng(nbytes)
    values = random.integers(-300, 300, nbytes // itemsize)
    return values.astype(f"i{itemsize}").view("u1")


def inflate(packed: bytes, nbytes: int) -> tuple[bool, np.ndarray]:
    """What the loop makes of a chunk, with guards on both sides of its target."""
    room = np.full(nbytes + 128, 0xA5, "u1")
    source, shuffled = np.frombuffer(packed, "u1").copy(), np.empty(nbytes, "u1")
    tile, target = np.empty(4 * kernels.TILE, "u8"), np.uint64(address(room) + 64)
    functions = decode._functions()
    done = kernels._inflate(functions, source, len(packed), target, nbytes, shuffled, tile)
    assert (room[:64] == 0xA5).all()
    assert (room[-64:] == 0xA5).all()
    return bool(done), room[64:-64]


@pytest.mark.parametrize("codec", [b"lz4", b"lz4hc", b"zstd", b"zlib", b"blosclz"])
@pytest.mark.parametrize("shuffle", [blosc.NOSHUFFLE, blosc.SHUFFLE, blosc.BITSHUFFLE])
@pytest.mark.parametrize("itemsize", [1, 2, 4, 8])
def test_every_kind_of_chunk_is_what_numcodecs_decodes(
    codec: bytes, shuffle: int, itemsize: int
) -> None:
    for nbytes in (8, 256, 1000, 4096, 99_328, 196_608, 1_000_000):
        values = numbers(nbytes, itemsize)
        for block in (0, 512, 16_384):
            for level in (0, 1, 5, 9):
                packed = blosc.compress(values.view(f"i{itemsize}"), codec, level, shuffle, block)
                done, found = inflate(packed, nbytes)
                assert done
                np.testing.assert_array_equal(found, values, err_msg=f"{nbytes} {block} {level}")


@pytest.mark.parametrize("itemsize", [1, 2, 4])
def test_damaged_chunks_write_nowhere_else(itemsize: int) -> None:
    """Without a checksum to keep them out: refused or wrong, but never beyond the target."""
    values = numbers(8192, itemsize)
    packed = blosc.compress(values.view(f"i{itemsize}"), b"lz4", 5, blosc.BITSHUFFLE, 2048)
    random, refused = np.random.default_rng(0), 0
    for at in range(3000):
        data = bytearray(packed)
        data[at % 48 if at % 2 else random.integers(len(data))] ^= 1 << random.integers(8)
        done, _ = inflate(bytes(data), 8192)
        refused += not done
    assert refused > 300
    for length in range(0, len(packed), 7):
        assert not inflate(packed[:length], 8192)[0]
    assert not inflate(packed, 4096)[0]


def test_eight_rows_of_bits_become_bytes() -> None:
    """Against NumPy: bit k of item i is bit i of row k (Masui et al. 2015)."""
    for itemsize in (1, 2, 4):
        values = numbers(itemsize * 8 * 300, itemsize)
        bits = np.unpackbits(values.reshape(-1, itemsize), axis=1, bitorder="little")
        rows = np.packbits(bits.T, axis=1, bitorder="little").reshape(itemsize, -1)
        found = np.zeros_like(values)
        planes = np.array([address(row) for row in rows] + [0] * (4 - itemsize), "u8")
        tile = np.empty(4 * kernels.TILE, "u8")
        kernels._unshuffle(planes, np.uint64(address(found)), 2400, itemsize, tile)
        np.testing.assert_array_equal(found, values)
