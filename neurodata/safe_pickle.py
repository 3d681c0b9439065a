"""The pickle leaf of the one door: pickles are read in a confined process by a short list of names.

The child (`neurodata.safe_unpickler`) runs isolated and without site packages, under limits of
memory and time, and hands back plain data: JSON and the bytes of arrays.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurodata import safe_npy
from neurodata.errors import UnreadableError, UnsafeError

CHILD = Path(__file__).with_name("safe_unpickler.py")
HINT = "save it as plain numbers (NPY without objects, HDF5, JSON)"


@dataclass(frozen=True)
class Limits:
    """What reading one pickle may use: bytes of the file, of memory and of output, and seconds."""

    file_bytes: int = 512 * 2**20
    memory_bytes: int = 4 * 2**30
    output_bytes: int = 2 * 2**30
    seconds: int = 60


LIMITS = Limits()


def load(
    path: Path, offset: int = 0, keys: Sequence[str] | None = None, limits: Limits = LIMITS
) -> Any:
    """Return the content of a pickle as plain data: containers, text, numbers and numpy arrays.

    Sets come back as lists; dates and paths as None.

    Parameters
    ----------
    offset : int
        The byte at which the pickle begins.
    keys : sequence of str, optional
        The keys that are wanted of the outermost dictionaries; all by default.

    Raises
    ------
    UnsafeError
        When the pickle names anything but arrays, built-in containers, text and numbers, or
        exceeds a limit.
    UnreadableError
        When it is damaged.

    Examples
    --------
    >>> path = Path(tempfile.mkdtemp()) / "a.pickle"
    >>> _ = path.write_bytes(b"}X\\x02\\x00\\x00\\x00fsK\\ns.")
    >>> load(path)
    {'fs': 10}
    """
    size = path.stat().st_size
    if size > limits.file_bytes:
        raise UnsafeError(path.name, f"{size} bytes", f"at most {limits.file_bytes}", HINT)
    asked = {
        "keys": None if keys is None else list(keys),
        "memory_bytes": limits.memory_bytes,
        "output_bytes": limits.output_bytes,
        "seconds": limits.seconds,
    }
    command = [sys.executable, "-I", "-S", "-X", "utf8", str(CHILD), json.dumps(asked)]
    with path.open("rb", buffering=0) as pickled, tempfile.TemporaryFile() as output:
        pickled.seek(offset)
        try:
            done = subprocess.run(  # noqa: S603 - this very interpreter and a file of ours
                command, stdin=pickled, stdout=output, stderr=subprocess.DEVNULL,
                env=_environment(), cwd="/", timeout=2 * limits.seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise UnsafeError(path.name, "a pickle without end", "less to do", HINT) from error
        if done.returncode:
            found = f"a pickle that exceeds the limits (exit status {done.returncode})"
            raise UnsafeError(path.name, found, f"at most {limits.memory_bytes} bytes", HINT)
        output.seek(0)
        verdict, heap = json.loads(output.readline()), output.read()
    if "refused" in verdict:
        refusal = UnsafeError if verdict["unsafe"] else UnreadableError
        expected = "numbers, text, numpy arrays and built-in containers of them"
        raise refusal(path.name, verdict["refused"], expected, HINT)
    return _value(verdict["value"], heap)


def load_npy(path: Path, keys: Sequence[str] | None = None, limits: Limits = LIMITS) -> Any:
    """Return the object array of an NPY file as plain data; see `load`.

    Raises
    ------
    UnsafeError
        As `load` does.
    UnreadableError
        When the file is damaged, or holds no objects.
    """
    header = safe_npy.header(path)
    if not header.dtype.hasobject:
        raise UnreadableError(path.name, f"an array of {header.dtype}", "pickled objects")
    value = load(path, header.offset, keys, limits)
    if not isinstance(value, np.ndarray) or value.shape != header.shape:
        raise UnreadableError(path.name, "other content than its header says", str(header.shape))
    return value[()] if value.ndim == 0 else value


def _environment() -> dict[str, str]:
    """Return nothing but where the interpreter finds its own libraries."""
    kept = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _value(node: list[Any], heap: bytes) -> Any:
    kind, *rest = node
    if kind == "is":
        return rest[0]
    if kind == "int":
        return int(rest[0], 16)
    if kind in ("float", "complex"):
        parts = [float.fromhex(part) for part in rest]
        return parts[0] if kind == "float" else complex(*parts)
    if kind == "bytes":
        return heap[rest[0] : rest[0] + rest[1]]
    if kind == "array":
        return _array(heap, *rest)
    values = [_value(item, heap) for item in rest[-1]]
    if kind == "objects":
        array = np.empty(len(values), dtype=object)
        for place, item in enumerate(values):  # equal lengths would become an axis
            array[place] = item
        return array.reshape(rest[0], order="F" if rest[1] else "C")
    if kind == "dict":
        return dict(zip(map(_key, values[::2]), values[1::2], strict=True))
    return tuple(values) if kind == "tuple" else values


def _key(value: Any) -> Any:
    """Return a dictionary's key: a number in place of an array of one number."""
    return value.item() if isinstance(value, np.generic) else value


def _array(heap: bytes, descr: str, shape: list[int], fortran: bool, place: int) -> Any:
    dtype = np.dtype(descr)
    if not dtype.itemsize:
        return np.zeros(shape, dtype)[()]
    array = np.frombuffer(heap, dtype, math.prod(shape), place)
    return array.reshape(shape, order="F" if fortran else "C")[()]
