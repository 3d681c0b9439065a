"""Pickles are read by a short list of names: hostile ones do nothing, honest ones come whole."""

from __future__ import annotations

import collections
import contextlib
import datetime
import io
import pickle
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodata import safe_npy, safe_pickle
from neurodata.errors import RefusedError, UnreadableError, UnsafeError
from neurodata.safe_pickle import Limits

SMALL = Limits(memory_bytes=512 * 2**20, seconds=5)
SEED = 20240229


def load(tmp_path: Path, content: bytes, limits: Limits = SMALL, **options: Any) -> Any:
    path = tmp_path / "synthetic.pickle"
    path.write_bytes(content)
    return safe_pickle.load(path, limits=limits, **options)


def same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return set(found) == set(wanted) and all(same(found[k], wanted[k]) for k in wanted)
    if isinstance(wanted, np.ndarray) and wanted.dtype == object:
        flat = zip(found.ravel(), wanted.ravel(), strict=True)
        return found.shape == wanted.shape and all(same(a, b) for a, b in flat)
    if isinstance(wanted, np.ndarray):
        return found.dtype == wanted.dtype and np.array_equal(found, wanted)
    if isinstance(wanted, (list, tuple)):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return bool(found == wanted and isinstance(found, type(wanted)))


HONEST: dict[str, Any] = {
    "numbers": [1, -(2**80), 2.5, float("inf"), True, None, 1 + 2j],
    "text": ["", "µ", "a\nb", b"bytes"],
    "containers": {"a": (1, [2, {"b": ()}]), 3: "three"},
    "numpy scalars": [np.float32(0.1), np.int64(-3), np.bool_(True), np.str_("fs")],
    "arrays": [np.arange(6, dtype=kind).reshape(2, 3) for kind in ("u1", "i8", "f4", "f8", "c16")],
    "byte orders": [np.arange(4, dtype=">i2"), np.arange(4, dtype="<f8")],
    "fortran order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "empty": np.zeros((0, 3), "f4"),
    "texts": np.array(["a", "bcd"]),
    "objects": np.array([{"ypix": np.arange(3)}, {"ypix": np.arange(3)}], dtype=object),
    "truth": np.array([True, False]),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_come_whole(protocol: int, tmp_path: Path) -> None:
    found = load(tmp_path, pickle.dumps(HONEST, protocol))
    for story, wanted in HONEST.items():
        assert same(found[story], wanted), story


def test_ordered_dictionaries_sets_and_shared_arrays(tmp_path: Path) -> None:
    array = np.zeros(100_000)
    value = {"o": collections.OrderedDict(a=1, b=2), "s": {1, 2}, "many": [array] * 50}
    found = load(tmp_path, pickle.dumps(value), Limits(output_bytes=4_000_000))
    assert found["o"] == {"a": 1, "b": 2}
    assert sorted(found["s"]) == [1, 2]
    assert len(found["many"]) == 50


def test_dates_and_paths_are_dropped(tmp_path: Path) -> None:
    value = {"fs": 10.0, "date_proc": datetime.datetime.now().astimezone(), "save_path": Path("/x")}
    assert load(tmp_path, pickle.dumps(value)) == {"fs": 10.0, "date_proc": None, "save_path": None}


def test_keys_are_chosen(tmp_path: Path) -> None:
    value = {"fs": 10.0, "secret": "Zdenka"}
    assert load(tmp_path, pickle.dumps(value), keys=["fs", "other"]) == {"fs": 10.0}
    array = np.array([value, value], dtype=object)
    assert list(load(tmp_path, pickle.dumps(array), keys=["fs"])) == [{"fs": 10.0}] * 2


def test_object_files_of_numpy(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.npy"
    np.save(path, np.array({"fs": 30.0, "meanImg": np.ones((4, 4), "f4")}), allow_pickle=True)
    found = safe_pickle.load_npy(path)
    assert found["fs"] == 30.0
    assert found["meanImg"].tolist() == np.ones((4, 4)).tolist()
    with pytest.raises(UnsafeError, match="pickled"):
        safe_npy.mapped(path)
    np.save(path, np.arange(3))
    with pytest.raises(UnreadableError, match="objects"):
        safe_pickle.load_npy(path)
    np.save(path, np.array([None, None]), allow_pickle=True)
    path.write_bytes(path.read_bytes().replace(b"'shape': (2,)", b"'shape': (3,)"))
    with pytest.raises(UnreadableError, match="other content than its header says"):
        safe_pickle.load_npy(path)


class Calls:
    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


def hostile(marker: Path) -> dict[str, bytes]:
    import os

    touch = f"open({str(marker)!r}, 'w').close()"
    dump = pickle.dumps
    return {
        "os.system": dump(Calls(os.system, f"touch {marker}")),
        "os.system in text": f"cos\nsystem\n(S'touch {marker}'\ntR.".encode(),
        "posix.system": f"cposix\nsystem\n(S'touch {marker}'\ntR.".encode(),
        "eval": dump(Calls(eval, touch)),
        "exec": dump(Calls(exec, touch)),
        "subprocess": dump(Calls(subprocess.getoutput, f"touch {marker}")),
        "numpy.load": dump(Calls(np.load, str(marker), None, True)),
        "numpy.f2py": f"cnumpy.f2py.diagnose\nrun_command\n(S'touch {marker}'\ntR.".encode(),
        "numpy.testing": f"cnumpy.testing\nrundocs\n(S'{marker}'\ntR.".encode(),
        "getattr": b"cbuiltins\ngetattr\n(cnumpy\nndarray\nS'tofile'\ntR.",
        "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x13ndarray.__subclasses\x93.",
        "inst": f"(S'touch {marker}'\nios\nsystem\n.".encode(),
        "copyreg": b"ccopyreg\n_reconstructor\n(cbuiltins\nobject\ncbuiltins\nobject\nNtR.",
        "functools": dump(Calls(__import__("functools").partial, print)),
        "a class": dump(io.StringIO),
        "persistent": b"Phere\n.",
        "extension": b"\x82\x01.",
        "setting a name": b"cnumpy\ndtype\n(N}S'_make'\ncnumpy\nndarray\nstb.",
        "setting a dict": b"cnumpy\ndtype\n}S'__call__'\nNsb.",
        "new object": b"\x80\x02cnumpy\ndtype\n)\x81.",
    }


def test_hostile_names_do_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for story, content in hostile(marker).items():
        with pytest.raises(RefusedError) as refusal:
            load(tmp_path, content)
        assert refusal.value.where == "synthetic.pickle", story
        assert not marker.exists(), story
        if story in ("os.system", "eval", "exec", "numpy.load", "subprocess", "getattr"):
            assert isinstance(refusal.value, UnsafeError), story
    pickle.loads(hostile(marker)["os.system"])  # the gadget works where nothing stops it
    assert marker.exists()


def _int(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


EXCESSES = {
    "bytes of 1 TB": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b".",
    "text of 1 TB": b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b".",
    "frame of 1 TB": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.",
    "memo of 2e9": b"\x80\x02Nr" + struct.pack("<I", 2**31) + b".",
    "bytearray of 1 TB": b"\x80\x02cbuiltins\nbytearray\n" + _int(2**40) + b"\x85R.",
    "shape of 1 TB": pickle.dumps(np.zeros(3), 2).replace(
        b"K\x03\x85", b"\x8a\x06" + b"\0" * 5 + b"\x01\x85"
    ),
    "nested lists": b"]" * 100_000 + b"a" * 99_999 + b".",
    "nested tuples": b"N" + b"\x85" * 100_000 + b".",
    "list in itself": b"]q\x00h\x00a.",
    "a billion laughs": b"(lq\x00" + b"".join(
        b"(" + (b"h" + bytes([n])) * 10 + b"lq" + bytes([n + 1])
        for n in range(20)
    ) + b".",
    "endless text": b"I" + b"1" * 5_000_000 + b"\n.",
}  # fmt: skip


@pytest.mark.parametrize("story", EXCESSES)
def test_excess_is_refused(story: str, tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(RefusedError):
        load(tmp_path, EXCESSES[story])
    assert time.monotonic() - begun < 12


def test_large_files_and_outputs_are_refused(tmp_path: Path) -> None:
    content = pickle.dumps(np.zeros(2**18))
    with pytest.raises(UnsafeError, match="at most"):
        load(tmp_path, content, Limits(file_bytes=1000))
    with pytest.raises(UnsafeError, match="bytes of data"):
        load(tmp_path, content, Limits(output_bytes=1000))


def test_time_and_output_have_ends(tmp_path: Path) -> None:
    with pytest.raises(UnsafeError, match="a pickle without end"):
        load(tmp_path, pickle.dumps(1), Limits(seconds=0))
    with pytest.raises(UnsafeError, match=r"exceeds the limits \(exit status"):
        load(tmp_path, pickle.dumps("text" * 1000), Limits(output_bytes=2000))


def test_arrays_without_bytes_come_whole(tmp_path: Path) -> None:
    value = [np.str_(""), np.bytes_(b""), np.zeros((0, 2)), np.zeros((2, 0), "U3")]
    found = load(tmp_path, pickle.dumps(value))
    assert found[:2] == ["", b""]
    assert [(one.shape, one.dtype.str) for one in found[2:]] == [((0, 2), "<f8"), ((2, 0), "<U3")]


def test_damage_gives_no_foreign_exception(tmp_path: Path) -> None:
    whole = pickle.dumps(HONEST, 2)
    random = np.random.default_rng(SEED)
    for cut in random.integers(len(whole), size=12):
        with pytest.raises(RefusedError):
            load(tmp_path, whole[:cut])
    for _ in range(40):
        damaged = bytearray(whole)
        for where in random.integers(len(whole), size=3):
            damaged[where] = random.integers(256)
        with contextlib.suppress(RefusedError):
            load(tmp_path, bytes(damaged))


def test_the_child_knows_no_packages_and_no_environment() -> None:
    code = "import sys; print([p for p in sys.path if 'packages' in p], 'numpy' in sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"
    imported = safe_pickle.CHILD.read_text().split("import ")[1:]
    assert not any(part.startswith(("numpy", "neurodata")) for part in imported)


HEADERS: dict[str, bytes] = {
    "no magic": b"NUMPY",
    "version 9": b"\x93NUMPY\x09\x00\x10\x00",
    "long": b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{",
    "code": b"\x93NUMPY\x01\x00\x10\x00__import__('os')",
    "nested": b"\x93NUMPY\x01\x00\x00\x20" + b"(" * 8192,
}


@pytest.mark.parametrize("story", HEADERS)
def test_npy_headers_are_checked(story: str) -> None:
    with pytest.raises(UnreadableError):
        safe_npy.parse(HEADERS[story], "synthetic.npy")


@pytest.mark.parametrize(
    "lie",
    [
        ("(2, 3)", "(2, 4)"),
        ("(2, 3)", "(2, 2)"),
        ("(2, 3)", "(-1,3"),
        ("<f8", "<f9"),
        ("<f8", "<M8"),
    ],
)
def test_npy_sizes_are_checked(lie: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "synthetic.npy"
    np.save(path, np.zeros((2, 3)))
    path.write_bytes(path.read_bytes().replace(*(text.encode() for text in lie)))
    with pytest.raises(UnreadableError):
        safe_npy.mapped(path)


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_arrays_are_mapped(order: Any, tmp_path: Path) -> None:
    path = tmp_path / "synthetic.npy"
    values = np.asarray(np.arange(12.0).reshape(3, 4), order=order)
    np.save(path, values)
    np.testing.assert_array_equal(safe_npy.mapped(path), values)
