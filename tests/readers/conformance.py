"""What every reader promises, as a class of tests that a new format inherits.

A format supplies `make`, which writes a small valid file, and says what it holds::

    class TestEdf(ReaderTests):
        reader = edf
        nodes = {"eeg": "timeseries"}

        def make(self, folder: Path) -> Path:
            ...
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import multiprocessing
import pickle
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import dask.config
import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import NeurodataError, RefusedError
from neurodata.safe import HEAD_BYTES, Raw, head

ARRAYS = ("signal", "signal_adc", "image", "image_adc", "label")
CUTS, FLIPS, SEED = 20, 60, 20240229
_MADE: dict[type, tuple[Path, Path]] = {}


def _nifti() -> bytes:
    header = bytearray(352)
    header[:4], header[344:348] = (348).to_bytes(4, "little"), b"n+1\0"
    header[40:56] = np.array([3, 2, 2, 2, 1, 1, 1, 1], "<i2").tobytes()
    return bytes(header) + bytes(64)


def _hdf5() -> bytes:
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["numbers"] = np.arange(4)
    return stream.getvalue()


def _tiff() -> bytes:
    import tifffile

    stream = io.BytesIO()
    tifffile.imwrite(stream, np.arange(16, dtype="u2").reshape(4, 4))
    return stream.getvalue()


def _npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.arange(6.0))
    return stream.getvalue()


FOREIGN: Mapping[str, Callable[[], bytes]] = {
    "random": lambda: np.random.default_rng(SEED).bytes(HEAD_BYTES),
    "zeros": lambda: bytes(HEAD_BYTES),
    "prose": lambda: b"Dear reader,\nthis is a letter, and no recording.\n" * 20,
    "edf": lambda: b"0       " + b"X X X X".ljust(80) + b"Startdate X X X X".ljust(80) + b" " * 600,
    "brainvision": lambda: (
        b"Brain Vision Data Exchange Header File Version 1.0\r\n[Common Infos]\r\n"
    ),
    "nifti": _nifti,
    "nifti.gz": lambda: gzip.compress(_nifti()),
    "hdf5": _hdf5,
    "tiff": _tiff,
    "npy": _npy,
    "png": lambda: b"\x89PNG\r\n\x1a\n" + bytes(64),
    "zip": lambda: b"PK\x03\x04" + bytes(64),
    "adjacency": lambda: b"0 1 2\n1 0 3\n2 3 0\n",
    "edgelist": lambda: b"1 2 0.5\n1 3 2.0\n2 3 7.25\n",
    "table": lambda: b"participant_id\tage\nsub-01\t31\n",
    "dicom": lambda: b"II*\0".ljust(128, b"\0") + b"DICM" + bytes(64),
}


class ReaderTests:
    """Tests of one reader module; a subclass sets the attributes and writes `make`.

    Attributes
    ----------
    reader : module
        Has ``SUFFIXES``, ``EXTRA``, ``sniff``, ``members`` and ``read``.
    nodes : dict
        Names of the nodes that the made file gives, with their representations.
    declare : dict
        Facts that the made file needs declared; every one must be used.
    accepts : tuple of str
        Keys of `FOREIGN` that are this very format, or not told apart from it.
    lazy : tuple of str
        Variables that ``read`` must not load; a text format says ``()``.
    truncation_shows : bool
        False where a shortened file is a valid file and only a side-car could tell.
    """

    reader: ClassVar[ModuleType]
    nodes: ClassVar[Mapping[str, str]]
    declare: ClassVar[Mapping[str, Any]] = {}
    accepts: ClassVar[tuple[str, ...]] = ()
    lazy: ClassVar[tuple[str, ...]] = ARRAYS
    truncation_shows: ClassVar[bool] = True

    def make(self, folder: Path) -> Path:
        """Write a small valid recording into ``folder`` and return its main file."""
        raise NotImplementedError

    def victims(self, path: Path) -> tuple[Path, ...]:
        """Return the files that are cut short; by default the main file."""
        return (path,)

    # the call under test

    def raw(self, path: Path) -> Raw:
        """Return the recording as the scan of its folder would."""
        folder = sorted(p for p in path.parent.rglob("*") if p.is_file())
        return Raw(path.parent, self.reader.members(path, folder))

    def read(self, path: Path) -> xr.DataTree:
        """Read the recording with the declarations it needs."""
        tree = self.reader.read(self.raw(path), Declared(dict(self.declare)))
        assert isinstance(tree, xr.DataTree)
        return tree

    @pytest.fixture(autouse=True)
    def _one_thread(self) -> Iterator[None]:
        """Load without threads: the files are small and read hundreds of times."""
        with dask.config.set(scheduler="synchronous"):
            yield

    @pytest.fixture
    def path(self, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The main file of a copy of the recording, which is made once a class."""
        if type(self) not in _MADE:
            folder = tmp_path_factory.mktemp("made") / "raw"
            folder.mkdir()
            _MADE[type(self)] = folder, self.make(folder).relative_to(folder)
        made, main = _MADE[type(self)]
        return Path(shutil.copytree(made, tmp_path / "raw")) / main

    # recognising

    def test_sniff_knows_its_own(self, path: Path) -> None:
        assert self.reader.sniff(head(path), path) is True

    def test_sniff_goes_by_content(self, path: Path) -> None:
        renamed = path.with_name("renamed.bin")
        renamed.write_bytes(path.read_bytes())
        assert self.reader.sniff(head(renamed), renamed) is True

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Ask about the formats that are not this one."""
        if "foreign_kind" in metafunc.fixturenames:
            metafunc.parametrize("foreign_kind", [k for k in FOREIGN if k not in self.accepts])

    def test_sniff_leaves_others(self, foreign_kind: str, tmp_path: Path) -> None:
        foreign = tmp_path / f"foreign{self.reader.SUFFIXES[0]}"
        foreign.write_bytes(FOREIGN[foreign_kind]())
        assert self.reader.sniff(head(foreign), foreign) is False

    def test_sniff_of_nothing(self, tmp_path: Path) -> None:
        empty = tmp_path / f"empty{self.reader.SUFFIXES[0]}"
        empty.touch()
        assert self.reader.sniff(b"", empty) is False

    def test_main_file_comes_first(self, path: Path) -> None:
        files = self.raw(path).files
        assert files[0] == path
        assert len(set(files)) == len(files)

    # what it gives

    def test_nodes(self, path: Path) -> None:
        tree = self.read(path)
        found = {name: child.attrs["representation"] for name, child in tree.children.items()}
        assert found == dict(self.nodes)
        for child in tree.children.values():
            assert child.attrs["schema"].startswith(child.attrs["representation"] + "/")

    def test_follows_the_schema(self, path: Path) -> None:
        from neurodata import schema

        errors = [p for p in schema.check(self.read(path)) if p.level == "error"]
        assert errors == []

    def test_nothing_is_loaded(self, path: Path) -> None:
        for name, array in variables(self.read(path)):
            if name.rpartition("/")[2] in self.lazy and array.dtype.kind not in "OUT":
                assert is_lazy(array), f"{name} was loaded"

    def test_declarations_are_used(self, path: Path) -> None:
        declared = Declared(dict(self.declare))
        self.reader.read(self.raw(path), declared)
        assert declared.unused() == []

    def test_reads_the_same_twice(self, path: Path) -> None:
        assert content(self.read(path)) == content(self.read(path))

    def test_time_zone_of_the_machine_is_not_used(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = content(self.read(path))
        monkeypatch.setenv("TZ", "Asia/Kathmandu")
        time.tzset()
        try:
            assert content(self.read(path)) == here
        finally:
            monkeypatch.undo()
            time.tzset()

    def test_other_processes_read_it(self, path: Path, tmp_path: Path) -> None:
        tree = self.read(path)
        pickled = tmp_path / "tree.pickle"
        pickled.write_bytes(pickle.dumps(tree))
        with other_processes().Pool(1) as pool:
            assert pool.apply_async(unpickled_content, (pickled,)).get(60) == content(tree)

    def test_files_stay_as_they_were(self, path: Path) -> None:
        before = {p: p.read_bytes() for p in self.raw(path).files}
        self.read(path).load()
        assert {p: p.read_bytes() for p in before} == before

    # what it refuses

    def test_empty_is_refused(self, path: Path) -> None:
        for victim in self.victims(path):
            whole = victim.read_bytes()
            victim.write_bytes(b"")
            refused(lambda: self.read(path).load())
            victim.write_bytes(whole)

    def test_cut_short_is_refused(self, path: Path) -> None:
        whole_content = content(self.read(path))
        for victim in self.victims(path):
            whole = victim.read_bytes()
            for count in cuts(len(whole)):
                victim.write_bytes(whole[:count])
                found = attempt(lambda: content(self.read(path)))
                if self.truncation_shows and isinstance(found, str):
                    assert found == whole_content, f"{victim.name} cut at {count} read as short"
            victim.write_bytes(whole)

    def test_damage_gives_no_foreign_exception(self, path: Path) -> None:
        random = np.random.default_rng(SEED)
        for victim in self.victims(path):
            whole = victim.read_bytes()
            for _ in range(FLIPS):
                damaged = bytearray(whole)
                for where in random.integers(len(whole), size=3):
                    damaged[where] = random.integers(256)
                victim.write_bytes(damaged)
                attempt(lambda: self.read(path).load())
            victim.write_bytes(whole)


class HeaderTests(ReaderTests):
    """Further tests of a format whose header holds sizes or other checkable numbers.

    Attributes
    ----------
    lies : dict
        Story to function ``bytes -> bytes`` that makes the header of the main file lie about
        sizes or hold an impossible value; each must be refused.
    """

    lies: ClassVar[Mapping[str, Callable[[bytes], bytes]]]

    def test_lying_headers_are_refused(self, path: Path) -> None:
        whole = path.read_bytes()
        for story, lie in self.lies.items():
            changed = lie(whole)
            assert changed != whole, story
            path.write_bytes(changed)
            refused(lambda: self.read(path).load(), story)


class PersonalTests(ReaderTests):
    """Further tests of a format with personal fields.

    Attributes
    ----------
    canary : str
        Text that ``make`` put into every personal field; none of it may reach the tree.
    """

    canary: ClassVar[str]

    def test_personal_fields_stay_behind(self, path: Path) -> None:
        raw = self.raw(path)
        assert any(self.canary.encode() in p.read_bytes() for p in raw.files)
        tree = self.reader.read(raw, Declared(dict(self.declare)))
        assert self.canary not in str(texts(tree))
        assert self.canary not in str(raw.problems)
        assert any(p.level == "note" and "removed" in p.found for p in raw.problems)


@functools.cache
def other_processes() -> Any:
    """What starts processes that have imported this module and nothing that a test did."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "dask.array"])
    return context


def unpickled_content(path: Path) -> str:
    """Return the digest of a pickled tree."""
    return content(pickle.loads(path.read_bytes()))


def variables(tree: xr.DataTree) -> Iterator[tuple[str, xr.Variable]]:
    """Yield ``node/variable`` and the variable, coordinates included, in a fixed order."""
    for node in sorted(tree.subtree, key=lambda n: n.path):
        for name in sorted(node.dataset.variables, key=str):
            yield f"{node.path.strip('/')}/{name}", node.dataset.variables[name]


def content(tree: xr.DataTree) -> str:
    """Return a digest of all values, dimensions and attributes of a tree."""
    digest = hashlib.sha256()
    for node in sorted(tree.subtree, key=lambda n: n.path):
        digest.update(repr((node.path, sorted(node.attrs.items()))).encode())
    for name, variable in variables(tree):
        values = np.asarray(variable.values)
        digest.update(repr((name, variable.dims, values.shape, str(values.dtype))).encode())
        digest.update(repr(sorted(variable.attrs.items())).encode())
        is_text = values.dtype.kind in "OUT"
        digest.update(repr(values.tolist()).encode() if is_text else values.tobytes())
    return digest.hexdigest()


def texts(tree: xr.DataTree) -> list[Any]:
    """Return everything in a tree that may be text: attributes and text variables."""
    found: list[Any] = [node.attrs for node in tree.subtree]
    for name, variable in variables(tree):
        found += [name, variable.attrs]
        if variable.dtype.kind in "OUT":
            found.append(variable.values.tolist())
    return found


def is_lazy(variable: xr.Variable) -> bool:
    """Say whether a variable is a dask array or a memory map."""
    array: Any = variable._data
    if variable.chunks is not None:
        return True
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


def cuts(size: int) -> list[int]:
    """Return the byte counts at which a file of ``size`` is cut."""
    drawn = np.random.default_rng(SEED).integers(1, max(size, 2), CUTS)
    edges = {0, 1, 3, 8, 127, 255, 256, 347, 512, size // 2, size - 2, size - 1}
    return sorted(n for n in edges | {int(n) for n in drawn} if 0 <= n < size)


def read_alone(reader: ModuleType, path: Path, **facts: Any) -> tuple[xr.DataTree, Raw]:
    """Read a file without others; ``__`` in a fact's name stands for its point."""
    raw = Raw(path.parent, (path,))
    return reader.read(raw, Declared({k.replace("__", "."): v for k, v in facts.items()})), raw


def flip_bits(path: Path, count: int, action: Callable[[], Any]) -> None:
    """Flip one bit of a file at a time; ``action`` gives a value or a refusal each time."""
    whole, random = path.read_bytes(), np.random.default_rng(SEED)
    for bit in random.choice(8 * len(whole), count, replace=False):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        attempt(action)
    path.write_bytes(whole)


def attempt(action: Callable[[], Any]) -> Any:
    """Run ``action`` and return its value or its refusal; any other exception passes through."""
    try:
        return action()
    except NeurodataError as error:
        return error


def refused(action: Callable[[], Any], story: str = "") -> RefusedError:
    """Assert that ``action`` is refused by an error that says where and what; return it."""
    found = attempt(action)
    assert isinstance(found, RefusedError), f"not refused: {story}"
    assert found.where, story
    assert found.found, story
    return found


def refused_in_full(action: Callable[[], Any], where: str = "synthetic") -> None:
    """Assert that ``action`` is refused at a file, and that it says what was expected."""
    found = refused(action)
    assert found.where.startswith(where)
    assert found.expected
