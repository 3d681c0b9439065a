"""The program that reads pickles, called here in this process: what it makes, what it refuses."""

from __future__ import annotations

import io
import json
import pickle
import resource
import sys
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from neurodata import safe_unpickler
from neurodata.safe_unpickler import Array, Dtype, Plain, Refusal, chosen


def raw(value: Any) -> bytes:
    """The opcodes that leave a value on the stack."""
    return pickle.dumps(value, 2)[2:-1]


def call(name: str, *arguments: Any) -> bytes:
    """The opcodes that call something."""
    home, _, own = name.rpartition(".")
    return f"c{home}\n{own}\n".encode() + raw(arguments) + b"R"


def dtype(kind: Any, state: Any = None) -> bytes:
    return call("numpy.dtype", kind) + (raw(state) + b"b" if state else b"")


def array(kind: str, shape: Any, content: Any, fortran: bool = False, state: Any = None) -> bytes:
    made = call("numpy._core.multiarray._reconstruct", None, None, None)
    parts = raw(shape) + dtype(kind, state) + raw(fortran) + raw(content)
    return made + b"(K\x01" + parts + b"tb"


@pytest.fixture
def verdict(monkeypatch: pytest.MonkeyPatch) -> Any:
    def read(content: bytes, keys: list[str] | None = None, limit: int = 10**6) -> Any:
        stream = SimpleNamespace(buffer=io.BytesIO(b"\x80\x02" + content + b"."))
        monkeypatch.setattr(sys, "stdin", stream)
        return safe_unpickler.read(keys, limit)

    return read


VALUES: dict[str, tuple[bytes, Any, list[bytes]]] = {
    "numbers": (
        raw([1, -(2**70), 0.5, True, None, "µ", 1 + 2j]),
        ["list", [
            ["int", "0x1"], ["int", hex(-(2**70))], ["float", (0.5).hex()], ["is", True],
            ["is", None], ["is", "µ"], ["complex", (1.0).hex(), (2.0).hex()],
        ]], [],
    ),
    "a tuple and a dictionary": (
        raw(({"a": 1}, ())),
        ["tuple", [["dict", [["is", "a"], ["int", "0x1"]]], ["tuple", []]]], [],
    ),
    "bytes": (raw(b"ab\xff"), ["bytes", 0, 3], [b"ab\xff"]),
    "bytes of bytes": (call("builtins.bytes", b"ab"), ["bytes", 0, 2], [b"ab"]),
    "bytes of text": (call("builtins.bytearray", "\xff", "latin-1"), ["bytes", 0, 1], [b"\xff"]),
    "no bytes": (call("builtins.bytes"), ["bytes", 0, 0], [b""]),
    "a set": (call("__builtin__.set", [3]), ["list", [["int", "0x3"]]], []),
    "a set of a tuple": (call("builtins.frozenset", (3,)), ["list", [["int", "0x3"]]], []),
    "an ordered dictionary": (
        call("collections.OrderedDict", [("a", None)]), ["dict", [["is", "a"], ["is", None]]], [],
    ),
    "an array": (array("f4", (2,), b"12345678"), ["array", "|f4", (2,), False, 0], [b"12345678"]),
    "columns first": (
        array("i2", (1, 2), b"1234", fortran=True), ["array", "|i2", (1, 2), True, 0], [b"1234"],
    ),
    "big endian": (
        array("i2", (1,), b"12", state=(3, ">", None, None, None, -1, -1, 0)),
        ["array", ">i2", (1,), False, 0], [b"12"],
    ),
    "this machine's order": (
        array("i2", (1,), b"12", state=(3, "=", None, None, None, -1, -1, 0)),
        ["array", "<i2", (1,), False, 0], [b"12"],
    ),
    "of Python 2": (array("u1", (2,), "\xff\0"), ["array", "|u1", (2,), False, 0], [b"\xff\0"]),
    "texts": (array("U2", (1,), b"12345678"), ["array", "|U2", (1,), False, 0], [b"12345678"]),
    "objects": (
        array("O8", (2,), [None, 1], fortran=True),
        ["objects", (2,), True, [["is", None], ["int", "0x1"]]], [],
    ),
    "32 axes": (
        array("u1", (1,) * 32, b"1"), ["array", "|u1", (1,) * 32, False, 0], [b"1"],
    ),
    "items of no bytes": (
        array("S0", (2**20 - 1,), b""), ["array", "|S0", (2**20 - 1,), False, 0], [b""],
    ),
    "nothing, of as many as numpy counts": (
        array("f8", (0, 2**60 - 1), b""), ["array", "|f8", (0, 2**60 - 1), False, 0], [b""],
    ),
    "a date": (call("datetime.datetime", b"1234567890"), ["is", None], []),
    "a path": (call("pathlib.PosixPath", "/", "x") + raw({"a": 1}) + b"b", ["is", None], []),
    "a scalar": (
        b"cnumpy.core.multiarray\nscalar\n(" + dtype("i2") + raw(b"12") + b"tR",
        ["array", "|i2", (), False, 0], [b"12"],
    ),
    "a scalar as key": (
        b"}cnumpy.core.multiarray\nscalar\n(" + dtype("i2") + raw(b"12") + b"tRNs",
        ["dict", [["array", "|i2", (), False, 0], ["is", None]]], [b"12"],
    ),
    "from a buffer": (
        b"cnumpy._core.numeric\n_frombuffer\n(" + raw(b"1234") + dtype("i2") + raw((2,)) + raw("F")
        + b"tR",
        ["array", "|i2", (2,), True, 0], [b"1234"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("story", VALUES)
def test_plain_values_and_stand_ins(verdict: Any, story: str) -> None:
    content, expected, heap = VALUES[story]
    assert verdict(content) == ({"value": expected}, heap)


UNSAFE: dict[str, tuple[bytes, str]] = {
    "another name": (call("os.system", "true"), "calls os.system"),
    "an object elsewhere": (b"Phere\n", "refers to objects elsewhere"),
    "an array by hand": (call("numpy.ndarray", (3,)), "by hand"),
    "a name that is set": (b"cnumpy\ndtype\n(N}S'_make'\nNstb", "sets '_make' of a name"),
    "an odd encoding": (call("_codecs.encode", "a", "rot13"), "odd encoding"),
    "the encoding of a number": (call("_codecs.encode", 3), "odd encoding"),
    "bytes of a number": (call("builtins.bytearray", 2**40), "made of no bytes"),
    "a complex text": (call("builtins.complex", "1j"), "of other parts"),
    "a set of a number": (call("builtins.set", 3), "a set of no items"),
    "a dtype alone": (dtype("f4"), "a value of type Dtype"),
    "a tuple as key": (raw({(1, 2): 3}), "neither text nor numbers"),
    "objects as a key": (b"}" + array("O", (), [None]) + b"Ns", "neither text nor numbers"),
    "numbers as a key": (b"}" + array("u1", (1,), b"1") + b"Ns", "neither text nor numbers"),
    "an empty array as a key": (
        b"}" + call("numpy.core.multiarray._reconstruct", 1, 2, 3) + b"Ns", "neither text nor",
    ),
    "nested lists": (b"]" * 66 + b"a" * 65, "nested deeper than 64"),
    "more bytes than may be": (raw(bytes(10**6 + 1)), "over 1000000 bytes of data"),
}  # fmt: skip
DAMAGED: dict[str, tuple[bytes, str]] = {
    "a dtype of fields": (dtype([("a", "f4")]), "a dtype of"),
    "an unknown dtype": (dtype("m8"), "a dtype of 'm8'"),
    "a wide text": (dtype("U12345678"), "a dtype of"),
    "a dtype with parts": (
        dtype("f4", (3, "<", ("f4", (2,)), None, None, -1, -1, 0)), "fields or parts",
    ),
    "an unknown order": (dtype("f4", (3, "!", None, None, None, -1, -1, 0)), "fields or parts"),
    "a shape of no tuple": (array("u1", [1], b"1"), "impossible shape"),
    "a negative shape": (array("u1", (-1,), b""), "impossible shape"),
    "a shape of truth": (array("u1", (True,), b"1"), "impossible shape"),
    "33 axes": (array("u1", (1,) * 33, b"1"), "impossible shape"),
    "a dtype that is none": (
        call("numpy.core.multiarray._reconstruct", 0, 0, 0) + raw((1, (1,), None, False, b"1"))
        + b"b", "impossible shape",
    ),
    "one byte less": (array("f4", (2,), b"1234567"), "other content"),
    "one byte more": (array("f4", (2,), b"123456789"), "other content"),
    "numbers in a list": (array("f4", (1,), [1]), "other content"),
    "one object less": (array("O", (2,), [None]), "other content"),
    "objects in bytes": (array("O", (2,), b"12"), "other content"),
    "no content": (call("numpy.core.multiarray._reconstruct", 0, 0, 0), "without content"),
    "axes in an odd order": (
        b"cnumpy.core.numeric\n_frombuffer\n(" + raw(b"12") + dtype("i2") + raw((1,)) + raw("C")
        + raw((0,)) + b"tR", "odd order",
    ),
    "a million items of no bytes": (array("S0", (2**20,), b""), "impossible shape"),
    "nothing, of more than numpy counts": (array("f8", (0, 2**60), b""), "impossible shape"),
    "no objects, of more than numpy counts": (array("O", (2**60, 0), []), "impossible shape"),
    "no pickle": (b"\xfe\xff", "a damaged pickle"),
}  # fmt: skip


@pytest.mark.parametrize("story", [*UNSAFE, *DAMAGED])
def test_all_else_is_refused_as_unsafe_or_as_damaged(verdict: Any, story: str) -> None:
    content, found = {**UNSAFE, **DAMAGED}[story]
    (told, heap) = verdict(content)
    assert found in told["refused"]
    assert (told["unsafe"], heap) == (story in UNSAFE, [])


def test_limits_are_met_to_the_last_value(verdict: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "value" in verdict(b"]" * 65 + b"a" * 64)[0]
    assert "value" in verdict(raw(bytes(100)), limit=100)[0]
    assert "value" in verdict(raw([bytes(99), b"1"]), limit=100)[0]
    monkeypatch.setattr(safe_unpickler, "NODE_LIMIT", 4)
    assert "value" in verdict(raw([None] * 3))[0]
    assert verdict(raw([None] * 4))[0] == {"refused": "over 4 values", "unsafe": True}


def test_what_shares_bytes_shares_its_place() -> None:
    content, plain = b"1234", Plain(100)
    one, two = (Array().fill((4,), Dtype("u1"), False, content) for _ in range(2))
    assert plain.node([one, two, b"56"]) == ["list", [
        ["array", "|u1", (4,), False, 0], ["array", "|u1", (4,), False, 0], ["bytes", 4, 2],
    ]]  # fmt: skip
    assert plain.heap == [b"1234", b"56"]


def test_memory_and_depth_that_run_out_are_limits(
    verdict: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (MemoryError, RecursionError):

        def fails(self: Any, value: Any, depth: int = 0, error: Any = error) -> Any:
            raise error

        monkeypatch.setattr(Plain, "node", fails)
        told, heap = verdict(raw(1))
        assert told == {"refused": f"data that exceed the limits ({error.__name__})",
                        "unsafe": True}  # fmt: skip
        assert heap == []


def test_keys_are_chosen_of_outer_dictionaries_only() -> None:
    value = {"a": {"b": 1}, "b": 2}
    assert chosen(value, None) is value
    assert chosen(value, ["b", "c"]) == {"b": 2}
    assert chosen([value, (value, 3)], ["b"]) == [{"b": 2}, [{"b": 2}, 3]]
    held = Array().fill((1,), Dtype("O"), False, [value])
    assert chosen(held, ["b"]).content == [{"b": 2}]
    assert chosen("text", ["b"]) == "text"


def test_the_process_is_confined_before_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it asks of the system; that the system does it is tested with real processes."""
    asked: dict[int, tuple[int, int]] = {}
    hooks: list[Any] = []
    hard = {resource.RLIMIT_NOFILE: 12, resource.RLIMIT_CPU: 100}
    infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(
        resource, "getrlimit", lambda what: (1, hard[what]) if what in hard else infinite
    )
    monkeypatch.setattr(resource, "setrlimit", lambda what, both: asked.update({what: both}))
    monkeypatch.setattr(sys, "addaudithook", hooks.append)
    safe_unpickler.confine(2**30, 7, 2**20)
    assert asked == {
        resource.RLIMIT_AS: (2**30, 2**30), resource.RLIMIT_CPU: (7, 7),
        resource.RLIMIT_FSIZE: (2**20, 2**20), resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_NPROC: (0, 0), resource.RLIMIT_NOFILE: (12, 12),
    }  # fmt: skip
    (hook,) = hooks
    for event in ("open", "exec", "compile", "import", "os.fork", "subprocess.Popen",
                  "socket.connect", "ctypes.dlopen", "shutil.rmtree"):  # fmt: skip
        with pytest.raises(Refusal, match=f"a pickle that does {event}"):
            hook(event, ())
    hook("pickle.find_class", ())


def test_it_answers_with_a_line_of_json_and_the_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    confined: list[tuple[int, ...]] = []
    output = io.BytesIO()
    limits = {"memory_bytes": 10, "seconds": 20, "output_bytes": 300, "keys": ["a"]}
    monkeypatch.setattr(safe_unpickler, "confine", lambda *given: confined.append(given))
    monkeypatch.setattr(sys, "argv", ["safe_unpickler.py", json.dumps(limits)])
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=output))
    for size, answer in ((150, {"value": ["dict", [["is", "a"], ["bytes", 0, 150]]]}),
                         (151, {"refused": "over 150 bytes of data", "unsafe": True})):  # fmt: skip
        content = pickle.dumps({"a": bytes(size), "b": PurePosixPath("/x")})
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        output.seek(0)
        output.truncate()
        safe_unpickler.main()
        line, _, heap = output.getvalue().partition(b"\n")
        assert json.loads(line) == answer
        assert heap == (bytes(size) if "value" in answer else b"")
    assert confined == [(10, 20, 300)] * 2


def test_numpy_itself_makes_what_is_read(verdict: Any) -> None:
    values = np.arange(6, dtype=">f4").reshape(2, 3)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        body = pickle.dumps([values, np.asfortranarray(values), values.T], protocol)
        told, heap = verdict(body[2:-1] if protocol > 1 else body[:-1])
        assert [node[1:3] for node in told["value"][1]] == [
            [">f4", (2, 3)], [">f4", (2, 3)], [">f4", (3, 2)],
        ]  # fmt: skip
        assert sum(map(len, heap)) >= 2 * values.nbytes
