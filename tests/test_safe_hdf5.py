"""Hostile and damaged HDF5 files, all made here; the kernel tells whether a canary was opened."""

from __future__ import annotations

import ctypes
import os
import pickle
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s

from neurodata import safe_hdf5
from neurodata.errors import NeurodataError, UnreadableError, UnsafeError
from neurodata.safe_hdf5 import follow, lazy_array, open_hdf5
from tests.readers.conformance import cuts

IN_OPEN = 0x20


@contextmanager
def opened(path: Path) -> Iterator[list[bool]]:
    """Ask the kernel (inotify) whether anything opened a file within the block."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(watch, os.fsencode(path), IN_OPEN) >= 0
    seen: list[bool] = []
    try:
        yield seen
        try:
            seen.append(bool(os.read(watch, 4096)))
        except BlockingIOError:
            seen.append(False)
    finally:
        os.close(watch)


def canary(folder: Path) -> Path:
    path = folder / "outside" / "canary.h5"
    path.parent.mkdir()
    with h5py.File(path, "w") as file:
        file["secret"] = np.arange(8.0)
    return path


def external_link(file: h5py.File, path: Path) -> None:
    file["data"] = h5py.ExternalLink(str(path), "/secret")


def external_group(file: h5py.File, path: Path) -> None:
    """A soft link that looks inside and leads over an external link in its middle."""
    file["inner"] = h5py.ExternalLink(str(path), "/")
    file["data"] = h5py.SoftLink("/inner/secret")


def external_deep(file: h5py.File, path: Path) -> None:
    file["a/b/c/data"] = h5py.ExternalLink(str(path), "/secret")
    file["data"] = h5py.SoftLink("/a/b/c/data")


def external_relative(file: h5py.File, path: Path) -> None:
    file["data"] = h5py.ExternalLink(os.path.relpath(path, Path(file.filename).parent), "/secret")


def external_storage(file: h5py.File, path: Path) -> None:
    file.create_dataset("data", (16,), "u1", external=[(str(path), 0, 16)])


def external_storage_by_hard_link(file: h5py.File, path: Path) -> None:
    file.create_dataset("a/hidden", (16,), "u1", external=[(str(path), 0, 16)])
    file["data"] = file["a/hidden"]


def virtual(file: h5py.File, path: Path) -> None:
    layout = h5py.VirtualLayout((8,), "f8")
    layout[:] = h5py.VirtualSource(str(path), "secret", (8,))
    file.create_virtual_dataset("data", layout)


def virtual_unlimited(file: h5py.File, path: Path) -> None:
    """The kind whose sources HDF5 opens as soon as one asks for its shape."""
    layout = h5py.VirtualLayout((8,), "f8", maxshape=(None,))
    source = h5py.VirtualSource(str(path), "secret", (8,), maxshape=(None,))
    layout[: h5s.UNLIMITED] = source[: h5s.UNLIMITED]
    file.create_virtual_dataset("data", layout)


HOSTILE = [
    external_link, external_group, external_deep, external_relative, external_storage,
    external_storage_by_hard_link, virtual, virtual_unlimited,
]  # fmt: skip


def make(path: Path, *fill: Callable[[h5py.File], object]) -> Path:
    with h5py.File(path, "w") as file:
        for each in fill:
            each(file)
    return path


def refused(path: Path, kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match) as caught, open_hdf5(path):
        pass
    assert isinstance(caught.value, NeurodataError)


@pytest.mark.parametrize("fill", HOSTILE)
def test_no_file_is_opened_but_the_one_handed_in(
    fill: Callable[[h5py.File, Path], None], tmp_path: Path
) -> None:
    outside = canary(tmp_path)
    path = make(tmp_path / "hostile.h5", lambda file: fill(file, outside))
    with opened(outside) as seen:
        refused(path, UnsafeError, "external|virtual")
    assert seen == [False]
    with opened(outside) as seen, h5py.File(path) as file:  # the probe sees what h5py does
        assert file["data"][()].size
    assert seen == [True]


def test_a_link_of_user_type_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "a.h5", lambda f: external_link(f, Path("/nowhere.h5")))
    whole = path.read_bytes()
    at = whole.index(b"\x04data")  # version, flags, type, perhaps charset, length, name
    before = whole.rindex(b"\x40", at - 3, at)
    path.write_bytes(whole[:before] + b"\x41" + whole[before + 1 :])
    refused(path, UnsafeError, "user type 65")


@pytest.mark.parametrize(
    "target", ["/nothing", "nothing", "/numbers/below", "/self", "/a/../numbers"]
)
def test_a_soft_link_to_nothing_is_refused(target: str, tmp_path: Path) -> None:
    def fill(file: h5py.File) -> None:
        file["numbers"] = [1, 2]
        file["self"] = h5py.SoftLink(target)

    refused(make(tmp_path / "a.h5", fill), UnreadableError, "soft link")


def test_soft_links_inside_and_circles_of_hard_links_are_read(tmp_path: Path) -> None:
    def fill(file: h5py.File) -> None:
        file["a/b/numbers"] = [1, 2]
        file["a/b/relative"] = h5py.SoftLink("numbers")
        file["first"] = h5py.SoftLink("/a/second")
        file["a/second"] = h5py.SoftLink("./b/relative")
        file["a/b/again"] = file["/"]

    with open_hdf5(make(tmp_path / "a.h5", fill)) as file:
        assert file["first"][:].tolist() == [1, 2]


def test_too_many_objects_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_hdf5, "OBJECT_LIMIT", 20)
    path = make(tmp_path / "a.h5", *[lambda f, n=n: f.create_group(f"g{n}") for n in range(30)])
    refused(path, UnsafeError, "objects")


def test_too_deep_groups_are_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "a.h5", lambda f: f.create_group("/".join("g" * 100)))
    refused(path, UnsafeError, "deep")


def test_an_unknown_filter_is_refused(tmp_path: Path) -> None:
    def fill(file: h5py.File) -> None:
        plist = h5p.create(h5p.DATASET_CREATE)
        plist.set_chunk((4,))
        plist.set_filter(32015, 1, (3,))  # Zstandard, a plug-in
        dataset = h5d.create(
            file.id, b"data", h5py.h5t.NATIVE_INT32, h5s.create_simple((4,)), plist
        )
        dataset.write(h5s.ALL, h5s.ALL, np.arange(4, dtype="i4"))

    refused(make(tmp_path / "a.h5", fill), UnsafeError, "filter number 32015")


@pytest.mark.parametrize(
    "options",
    [{"compression": "gzip", "shuffle": True}, {"compression": "lzf"}, {"fletcher32": True}],
)
def test_known_filters_are_read(options: dict[str, object], tmp_path: Path) -> None:
    numbers = np.arange(1000)
    path = make(tmp_path / "a.h5", lambda f: f.create_dataset("n", data=numbers, **options))
    with open_hdf5(path) as file:
        np.testing.assert_array_equal(file["n"][:], numbers)


def test_plug_in_folders_are_emptied(tmp_path: Path) -> None:
    h5py.h5pl.append(os.fsencode(tmp_path))
    with open_hdf5(make(tmp_path / "a.h5")):
        assert h5py.h5pl.size() == 0


@pytest.mark.parametrize("options", [{"chunks": (10,)}, {}])
def test_data_never_written_are_refused(options: dict[str, object], tmp_path: Path) -> None:
    path = make(tmp_path / "a.h5", lambda f: f.create_dataset("n", (100,), "f8", **options))
    refused(path, UnreadableError, "stored")


def test_one_missing_chunk_is_refused(tmp_path: Path) -> None:
    def fill(file: h5py.File) -> None:
        file.create_dataset("n", (100,), "f8", chunks=(10,))[:90] = 1.0

    refused(make(tmp_path / "a.h5", fill), UnreadableError, "9 stored chunks")


def test_an_empty_dataset_is_read(tmp_path: Path) -> None:
    path = make(tmp_path / "a.h5", lambda f: f.create_dataset("n", (0, 0, 0), "f8"))
    with open_hdf5(path) as file:
        assert file["n"].shape == (0, 0, 0)


@pytest.mark.parametrize("claimed", [1001, 2**40, 2**62])
def test_a_shape_beyond_what_is_stored_is_refused(claimed: int, tmp_path: Path) -> None:
    path = make(tmp_path / "a.h5", lambda f: f.create_dataset("n", data=np.arange(1000.0)))
    whole = path.read_bytes()
    shape = struct.pack("<Q", 1000)
    assert whole.count(shape) == 2  # the shape and the largest shape
    path.write_bytes(whole.replace(shape, struct.pack("<Q", claimed)))
    refused(path, UnreadableError, "by its shape|damaged")


def test_types_and_datasets_of_nothing_are_let_through(tmp_path: Path) -> None:
    def fill(file: h5py.File) -> None:
        file["type"], file["nothing"] = np.dtype("f8"), h5py.Empty("f8")
        file["numbers"] = [1, 2]

    with open_hdf5(make(tmp_path / "a.h5", fill)) as file:
        assert sorted(file) == ["nothing", "numbers", "type"]
        assert file["nothing"].shape is None


def test_attributes_of_the_root_are_told_of_any_file(tmp_path: Path) -> None:
    def fill(file: h5py.File) -> None:
        file.attrs["version"], file["data"] = "1.0", h5py.ExternalLink("/nowhere.h5", "/")

    path = make(tmp_path / "a.h5", fill)
    assert safe_hdf5.root_attributes(path) == {"version"}
    path.write_bytes(b"text")
    with pytest.raises(UnreadableError, match="4 bytes that HDF5 cannot open"):
        safe_hdf5.root_attributes(path)


def test_huge_chunks_are_refused(tmp_path: Path) -> None:
    path = make(
        tmp_path / "a.h5",
        lambda f: f.create_dataset("n", (1,), "f8", chunks=(2**28,), maxshape=(None,)),
    )
    refused(path, UnsafeError, "chunks of")


@pytest.mark.parametrize("options", [{}, {"chunks": (50,), "compression": "gzip"}])
def test_a_cut_file_is_refused_with_its_size(options: dict[str, object], tmp_path: Path) -> None:
    path = make(tmp_path / "a.h5", lambda f: f.create_dataset("n", data=np.arange(1000), **options))
    whole = path.read_bytes()
    for count in cuts(len(whole)):
        path.write_bytes(whole[:count])
        refused(path, UnreadableError, f"{count} bytes" if count else "empty")


def test_an_error_in_the_block_is_typed(tmp_path: Path) -> None:
    path = make(tmp_path / "a.h5")
    with pytest.raises(UnreadableError), open_hdf5(path) as file:
        file["absent"]


def test_references_lead_to_linked_objects_only(tmp_path: Path) -> None:
    def fill(file: h5py.File) -> None:
        file["numbers"], file["gone"] = [1, 2], [3]
        file.attrs["kept"], file.attrs["dead"] = file["numbers"].ref, file["gone"].ref
        file.attrs["null"] = h5py.Reference()
        del file["gone"]

    path = make(tmp_path / "a.h5", fill)
    with open_hdf5(path) as file:
        assert follow(file, file.attrs["kept"]).name == "/numbers"
    for name in ("dead", "null", "absent"):
        with pytest.raises(UnreadableError), open_hdf5(path) as file:
            follow(file, file.attrs.get(name))


def test_lazy_arrays_outlive_the_file_and_pickle(tmp_path: Path) -> None:
    numbers = np.arange(30.0).reshape(10, 3)
    path = make(tmp_path / "a.h5", lambda f: f.create_dataset("n", data=numbers, chunks=(4, 3)))
    with open_hdf5(path) as file:
        array = lazy_array(file["n"])
    np.testing.assert_array_equal(array.compute(), numbers)
    again = pickle.loads(pickle.dumps(array))
    np.testing.assert_array_equal(again[3:5, 1].compute(), numbers[3:5, 1])


def test_blocks_are_bounded(tmp_path: Path) -> None:
    numbers = np.zeros((5000, 1000), "f8")
    path = make(tmp_path / "a.h5", lambda f: f.create_dataset("n", data=numbers))
    with open_hdf5(path) as file:
        blocks = lazy_array(file["n"]).chunks[0]
    assert len(blocks) > 1
    assert max(blocks) * 8000 <= safe_hdf5.BLOCK_BYTES


def test_a_file_changed_after_the_check_is_not_read(tmp_path: Path) -> None:
    path = make(tmp_path / "a.h5", lambda f: f.create_dataset("n", data=[1, 2]))
    with open_hdf5(path) as file:
        array = lazy_array(file["n"])
    make(path, lambda f: external_link(f, tmp_path / "other.h5"))
    with pytest.raises(UnreadableError, match="changed"):
        array.compute()
