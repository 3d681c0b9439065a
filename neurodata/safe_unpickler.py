"""The program in which pickles are read: run by `neurodata.safe_pickle` as ``python -I -S``.

It sets its own limits, builds nothing but built-in containers, text and numbers, and knows no
numpy: arrays, dtypes and scalars are stand-ins that keep what the pickle says of them. What it
read goes to its output as one line of JSON and the bytes of the arrays, never as a pickle.
"""

from __future__ import annotations

import itertools
import json
import math
import pickle
import re
import resource
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

DEPTH_LIMIT = 64
NODE_LIMIT = 1_000_000
SIZE_LIMIT_BYTES = 2**63  # numpy counts no further, even of an array that is empty
EMPTY_BYTES = 2**43  # what an item of no bytes counts for: as many as one likes cost nothing
ORDERS = {"<": "<", ">": ">", "|": "|", "=": "<" if sys.byteorder == "little" else ">"}
ITEM = re.compile(r"b1|[iu][1248]|f[248]|c8|c16|[SU]\d{1,7}|O8?")
CLOSED = re.compile(r"(open|exec|compile|import|os\.|subprocess\.|socket\.|ctypes\.|shutil\.).*")


class Refusal(Exception):  # noqa: N818 - a verdict, not a fault
    """What is refused, and whether it is unsafe or merely damaged."""

    def __init__(self, found: str, unsafe: bool = True) -> None:
        super().__init__(found)
        self.found, self.unsafe = found, unsafe


class Name:
    """A name that a pickle may use: what it is called with is kept or checked, never run."""

    __slots__ = ("_make",)
    _make: Any

    def __init__(self, make: Any) -> None:
        object.__setattr__(self, "_make", make)

    def __setattr__(self, key: str, value: object) -> NoReturn:
        raise Refusal(f"a pickle that sets {key!r} of a name")

    def __call__(self, *args: Any) -> Any:
        """Return the stand-in."""
        return self._make(*args)


class Dtype:
    """Stands for a numpy dtype of plain numbers, text or objects."""

    def __init__(self, name: Any, *_: Any) -> None:
        if not isinstance(name, str) or not ITEM.fullmatch(name):
            raise Refusal(f"a dtype of {str(name)[:40]!r}", unsafe=False)
        self.name, self.order = name, "|"

    def __setstate__(self, state: Any) -> None:
        _, order, base, names, fields = state[:5]
        if order not in ORDERS or not (base is names is fields is None):
            raise Refusal("a dtype of fields or parts", unsafe=False)
        self.order = ORDERS[order]

    @property
    def is_object(self) -> bool:
        """Whether items are Python objects."""
        return self.name.startswith("O")

    @property
    def item_bytes(self) -> int:
        """Size of an item in bytes."""
        return int(self.name[1:]) * (4 if self.name[0] == "U" else 1)


class Array:
    """Stands for a numpy array: shape, dtype and its bytes or objects."""

    def __init__(self) -> None:
        self.dtype: Dtype | None = None
        self.shape: tuple[int, ...] = ()
        self.fortran = False
        self.content: Any = b""

    def __setstate__(self, state: Any) -> None:
        shape, dtype, fortran, content = state[-4:]
        self.fill(shape, dtype, bool(fortran), content)

    def fill(self, shape: Any, dtype: Any, fortran: bool, content: Any) -> Array:
        """Keep what an array is made of after comparing the sizes."""
        whole = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
        if not whole or not isinstance(dtype, Dtype) or len(shape) > 32:
            raise Refusal("an array of impossible shape or dtype", unsafe=False)
        width = (8 if dtype.is_object else dtype.item_bytes) or EMPTY_BYTES
        if math.prod(n or 1 for n in shape) * width >= SIZE_LIMIT_BYTES:
            raise Refusal("an array of impossible shape or dtype", unsafe=False)
        if isinstance(content, str):  # Python 2
            content = content.encode("latin-1")
        count = math.prod(shape)
        if dtype.is_object:
            fits = isinstance(content, list) and len(content) == count
        else:
            fits = isinstance(content, (bytes, bytearray)) and (
                len(content) == count * dtype.item_bytes
            )
        if not fits:
            raise Refusal(f"an array of shape {shape} with other content", unsafe=False)
        self.shape, self.dtype, self.fortran, self.content = shape, dtype, fortran, content
        return self


class LeftOut:
    """Stands for a date or a path, of which nothing is kept."""

    def __setstate__(self, state: Any) -> None:
        pass


def _left_out(*_: Any) -> LeftOut:
    return LeftOut()


def _uncalled(*_: Any) -> NoReturn:
    raise Refusal("a pickle that makes an array by hand")


def _reconstruct(_kind: Any, _shape: Any, _typecode: Any) -> Array:
    return Array()


def _scalar(dtype: Any, content: Any = b"") -> Array:
    return Array().fill((), dtype, False, content)


def _frombuffer(content: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> Array:
    if axes is not None:
        raise Refusal("an array whose axes lie in an odd order", unsafe=False)
    return Array().fill(shape, dtype, order == "F", content)


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refusal("bytes in an odd encoding")
    return text.encode("latin-1")


def _buffer(content: Any = b"", *encoding: Any) -> bytes:
    if encoding:
        return _encode(content, *encoding)
    if not isinstance(content, (bytes, bytearray)):
        raise Refusal("bytes made of no bytes")
    return bytes(content)


def _complex(*parts: Any) -> complex:
    if not all(type(part) in (int, float) for part in parts):
        raise Refusal("a complex number of other parts")
    return complex(*parts)


def _items(content: Any = ()) -> Any:
    if not isinstance(content, (list, tuple, set, frozenset)):
        raise Refusal("a set of no items")
    return set(content)


def _mapping(*content: Any) -> dict[Any, Any]:
    return dict(*content)


_NUMPY = {
    "multiarray._reconstruct": _reconstruct,
    "multiarray.scalar": _scalar,
    "numeric._frombuffer": _frombuffer,
}
NAMES = {
    **{f"numpy.core.{name}": Name(make) for name, make in _NUMPY.items()},
    **{f"numpy._core.{name}": Name(make) for name, make in _NUMPY.items()},
    "numpy.ndarray": Name(_uncalled),
    "numpy.dtype": Name(Dtype),
    "_codecs.encode": Name(_encode),
    "collections.OrderedDict": Name(_mapping),
    **{f"{home}.{name}": Name(make)
       for home in ("builtins", "__builtin__")
       for name, make in (("set", _items), ("frozenset", _items), ("complex", _complex),
                          ("bytes", _buffer), ("bytearray", _buffer))},
    **{name: Name(_left_out) for name in (
        "datetime.datetime", "datetime.date", "datetime.timedelta", "datetime.timezone",
        "pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath",
        "pathlib.PurePosixPath", "pathlib.PureWindowsPath",
    )},
}  # fmt: skip
"""All that a pickle may name; dates and paths are known in order to be dropped."""


class Restricted(pickle.Unpickler):
    """An unpickler that knows the names of the table and no others."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a name.

        Raises
        ------
        Refusal
            When the name is not in the table.
        """
        if f"{module}.{name}" not in NAMES:
            raise Refusal(f"a pickle that calls {module}.{name}"[:200])
        return NAMES[f"{module}.{name}"]

    def persistent_load(self, pid: Any) -> NoReturn:
        """Refuse objects that lie elsewhere."""
        raise Refusal("a pickle that refers to objects elsewhere")


class Plain:
    """Turns what was read into JSON and a heap of bytes; shared arrays are written once."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes, self.end, self.nodes = limit_bytes, 0, 0
        self.heap: list[bytes] = []
        self.places: dict[int, int] = {}

    def node(self, value: Any, depth: int = 0) -> list[Any]:
        """Return a value as a tagged list."""
        self.nodes += 1
        if depth > DEPTH_LIMIT:
            raise Refusal(f"data nested deeper than {DEPTH_LIMIT}")
        if self.nodes > NODE_LIMIT:
            raise Refusal(f"over {NODE_LIMIT} values")
        for kind, form in FORMS.items():
            if isinstance(value, kind):
                return form(self, value, depth)
        raise Refusal(f"a value of type {type(value).__name__}")

    def mapping(self, value: dict[Any, Any], depth: int) -> list[Any]:
        """Return a dictionary as keys and values in turn."""
        if not all(map(_is_key, value)):
            raise Refusal("a dictionary with keys that are neither text nor numbers")
        return ["dict", self.each(itertools.chain.from_iterable(value.items()), depth)]

    def each(self, values: Iterable[Any], depth: int) -> list[list[Any]]:
        """Return the values of a container."""
        return [self.node(value, depth + 1) for value in values]

    def array(self, value: Array, depth: int) -> list[Any]:
        """Return an array as dtype, shape and where its bytes are."""
        dtype = value.dtype
        if dtype is None:
            raise Refusal("an array without content", unsafe=False)
        if dtype.is_object:
            return ["objects", value.shape, value.fortran, self.each(value.content, depth)]
        place = self.place(value.content)
        return ["array", dtype.order + dtype.name, value.shape, value.fortran, place]

    def place(self, content: bytes | bytearray) -> int:
        """Put bytes on the heap once and return where they begin."""
        if id(content) not in self.places:
            self.places[id(content)] = self.end
            self.heap.append(bytes(content))
            self.end += len(content)
            if self.end > self.limit_bytes:
                raise Refusal(f"over {self.limit_bytes} bytes of data")
        return self.places[id(content)]


FORMS: dict[Any, Callable[[Plain, Any, int], list[Any]]] = {
    Array: Plain.array,
    dict: Plain.mapping,
    tuple: lambda plain, value, depth: ["tuple", plain.each(value, depth)],
    (list, set): lambda plain, value, depth: ["list", plain.each(value, depth)],
    (type(None), bool, str): lambda plain, value, depth: ["is", value],
    int: lambda plain, value, depth: ["int", hex(value)],
    float: lambda plain, value, depth: ["float", value.hex()],
    complex: lambda plain, value, depth: ["complex", value.real.hex(), value.imag.hex()],
    (bytes, bytearray): lambda plain, value, depth: ["bytes", plain.place(value), len(value)],
    LeftOut: lambda plain, value, depth: ["is", None],
}
"""How a value of each type is written; a bool is asked about before the int that it is."""


def _is_key(value: Any) -> bool:
    if isinstance(value, Array):
        return value.dtype is not None and not value.dtype.is_object and value.shape == ()
    return value is None or isinstance(value, (str, int, float))


def confine(memory_bytes: int, seconds: int, output_bytes: int) -> None:
    """Limit this process: memory, processor time, size of output, processes, files."""
    for what, limit in (
        (resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, output_bytes), (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0), (resource.RLIMIT_NOFILE, 16),
    ):  # fmt: skip
        hard = resource.getrlimit(what)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (limit, limit))
    sys.addaudithook(_closed)


def _closed(event: str, _args: Any) -> None:
    if CLOSED.fullmatch(event):
        raise Refusal(f"a pickle that does {event}")


def read(keys: list[str] | None, output_bytes: int) -> tuple[dict[str, Any], list[bytes]]:
    """Return the verdict on the pickle in standard input, and the heap of bytes."""
    plain = Plain(output_bytes)
    try:
        value = Restricted(sys.stdin.buffer, encoding="latin-1").load()
        return {"value": plain.node(chosen(value, keys))}, plain.heap
    except Refusal as refusal:
        return {"refused": refusal.found, "unsafe": refusal.unsafe}, []
    except (MemoryError, RecursionError) as error:
        return {"refused": f"data that exceed the limits ({type(error).__name__})",
                "unsafe": True}, []  # fmt: skip
    except Exception as error:  # whatever damaged bytes make the unpickler raise
        found = f"a damaged pickle ({type(error).__name__}: {error})"
        return {"refused": found[:300], "unsafe": False}, []


def chosen(value: Any, keys: list[str] | None) -> Any:
    """Return what was read with only some keys of its outermost dictionaries."""
    if keys is None:
        return value
    if isinstance(value, Array) and isinstance(value.content, list):
        value.content[:] = [chosen(item, keys) for item in value.content]
    elif isinstance(value, (list, tuple)):
        return [chosen(item, keys) for item in value]
    elif isinstance(value, dict):
        return {key: value[key] for key in keys if key in value}
    return value


def main() -> None:
    """Read limits from the command line and a pickle from standard input."""
    asked = json.loads(sys.argv[1])
    output = sys.stdout.buffer
    confine(asked["memory_bytes"], asked["seconds"], asked["output_bytes"])
    verdict, heap = read(asked["keys"], asked["output_bytes"] // 2)
    output.write(json.dumps(verdict).encode("ascii") + b"\n")
    for content in heap:
        output.write(content)
    output.flush()


if __name__ == "__main__":
    main()
