"""Archives come out whole or not at all, and nothing of them lands anywhere else."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from neurodata import safe_archive, safe_zip
from neurodata.errors import InvalidInputError, NeurodataError, RefusedError, UnsafeError
from neurodata.ingestion import ingest
from neurodata.plan import plan
from neurodata.safe_archive import Limits, form, unpack
from tests.hostile import CASES, VALID
from tests.hostile.judge import state
from tests.hostile.tars import zstandard

FILES = {
    "sub-01/eeg.dat": bytes(range(256)) * 40, "sub-01/éöü 日本.txt": b"text\n", "empty": b"",
    "sub-02/" + "n" * 90 + "/" + "m" * 80 + ".dat": b"long\n",
    "random.bin": np.random.default_rng(3).bytes(700_000),
}  # fmt: skip
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes, "tar.gz": gzip.compress, "tar.bz2": bz2.compress, "tar.xz": lzma.compress,
    "tar.zst": zstandard,
    "two streams.tar.gz": lambda d: gzip.compress(d[:999]) + gzip.compress(d[999:]),
    "two streams.tar.bz2": lambda d: bz2.compress(d[:999]) + bz2.compress(d[999:]),
    "two streams.tar.xz": lambda d: lzma.compress(d[:999]) + bytes(8) + lzma.compress(d[999:]),
}  # fmt: skip


def zipped(folder: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "synthetic.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        file.mkdir("sub-01")
        for name, data in FILES.items():
            file.writestr(name, data)
    return path


def tarred(folder: Path, name: str, kind: int = tarfile.PAX_FORMAT, top: str = "") -> Path:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as file:
        if top:
            info = tarfile.TarInfo(top)
            info.type = tarfile.DIRTYPE
            file.addfile(info)
        for member, data in FILES.items():
            info = tarfile.TarInfo(top + member)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    path = folder / f"synthetic.{name}"
    path.write_bytes(PACKERS[name](stream.getvalue()))
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes()
            for p in folder.rglob("*") if p.is_file()}  # fmt: skip


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_comes_out_as_it_went_in(method: int, tmp_path: Path) -> None:
    path = zipped(tmp_path, method)
    assert form(path) == "zip"
    files = unpack(path, tmp_path / "out")
    assert content(tmp_path / "out") == FILES
    assert [file.relative_to(tmp_path / "out").as_posix() for file in files] == sorted(FILES)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "synthetic.zip"]


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("name", list(PACKERS))
def test_a_tar_comes_out_as_it_went_in(name: str, kind: int, tmp_path: Path) -> None:
    path = tarred(tmp_path, name, kind)
    assert form(path) == name.rpartition(" ")[2].removeprefix("streams.")
    unpack(path, tmp_path / "out")
    assert content(tmp_path / "out") == FILES


@pytest.mark.parametrize("top", ["./", "././"])
def test_names_that_begin_with_a_point_are_those_without(top: str, tmp_path: Path) -> None:
    unpack(tarred(tmp_path, "tar", top=top), tmp_path / "out")
    assert content(tmp_path / "out") == FILES


def test_other_files_are_no_archives(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.bin"
    packed = [gzip.compress(b"x" * 999), lzma.compress(b""), bz2.compress(b"x" * 600)]
    packed += [b"\x1f\x8b\x08" + b"\xff" * 999, b"BZh9" + bytes(999), lzma.compress(b"x")[:-9]]
    for data in (b"", b"PK", b"text\n" * 200, bytes(2000), *packed, packed[0][:9]):
        path.write_bytes(data)
        assert form(path) is None
        with pytest.raises(RefusedError, match="no archive"):
            unpack(path, tmp_path / "out")


ARCHIVES = [case for case in CASES if case.name.startswith(("zip-", "tar-"))]


@pytest.mark.parametrize("case", ARCHIVES, ids=lambda case: case.name)
def test_hostile_archives_leave_nothing_anywhere(case: object, tmp_path: Path) -> None:
    assert isinstance(case, type(ARCHIVES[0]))
    path = case.build(tmp_path)
    (tmp_path / "around" / "inner").mkdir(parents=True)
    before = state(tmp_path)
    if case.name == "zip-nested":
        assert [file.name for file in unpack(path, tmp_path / "store")] == ["depth1.zip"]
        return
    with pytest.raises(NeurodataError) as refusal:
        unpack(path, tmp_path / "around" / "inner" / "target")
    assert isinstance(refusal.value, RefusedError)
    assert refusal.value.where.startswith("synthetic.")
    assert state(tmp_path) == before


def test_a_member_that_is_refused_is_named(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "tar-symlink")
    with pytest.raises(UnsafeError, match=r"linked\.edf.*symbolic link"):
        unpack(case.build(tmp_path), tmp_path / "out")
    case = next(case for case in CASES if case.name == "zip-parent")
    with pytest.raises(UnsafeError, match=r"'\.\./escaped\.edf', which leads elsewhere"):
        unpack(case.build(tmp_path), tmp_path / "out")


def test_limits_are_declared(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(2**22))
    with pytest.raises(UnsafeError, match="200 times"):
        unpack(path, tmp_path / "out")
    unpack(path, tmp_path / "out", Limits(ratio=2000))
    with pytest.raises(UnsafeError, match="at most 1000000"):
        unpack(path, tmp_path / "other", Limits(ratio=2000, total_bytes=10**6))
    packed = tarred(tmp_path, "tar.gz")
    with pytest.raises(UnsafeError, match="at most 3"):
        unpack(packed, tmp_path / "other", Limits(count=3))
    with pytest.raises(UnsafeError, match="unpacked"):
        unpack(packed, tmp_path / "other", Limits(total_bytes=100_000))
    assert not (tmp_path / "other").exists()


def test_folders_that_only_names_ask_for_count_too(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/b/c/d.txt", "text")
        file.writestr("a/b/e.txt", "text")
    with pytest.raises(UnsafeError, match="at most 4"):
        unpack(path, tmp_path / "out", Limits(count=4))
    assert [p.name for p in tmp_path.iterdir()] == ["synthetic.zip"]
    unpack(path, tmp_path / "out", Limits(count=5))
    assert len(list((tmp_path / "out").rglob("*"))) == 5


def packed_tar(path: Path, *names: str) -> Path:
    """A tar of empty members; a name that ends with a slash is a folder's."""
    with tarfile.open(path, "w") as file:
        for name in names:
            info = tarfile.TarInfo(name.removesuffix("/"))
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            file.addfile(info)
    return path


def test_folders_come_out_with_files_and_not_alone(tmp_path: Path) -> None:
    path = packed_tar(tmp_path / "synthetic.tar", "a/", "a/b/", "a/b.txt", "c/")
    assert unpack(path, tmp_path / "out") == (tmp_path / "out" / "a" / "b.txt",)
    assert sorted(p.name for p in (tmp_path / "out").rglob("*")) == ["a", "b", "b.txt", "c"]
    packed_tar(path, "a/", "a/b/")
    with pytest.raises(RefusedError, match="an archive without a file"):
        unpack(path, tmp_path / "other")
    with zipfile.ZipFile(path, "w") as file:
        file.mkdir("a")
    with pytest.raises(RefusedError, match="an archive without a file"):
        unpack(path, tmp_path / "other")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "synthetic.tar"]


def test_the_archive_itself_is_no_file_of_it(tmp_path: Path) -> None:
    path = packed_tar(tmp_path / "synthetic.tar", "a.txt", ".")
    with pytest.raises(UnsafeError, match=r"the name '\.'"):
        unpack(path, tmp_path / "out")


def test_a_bomb_is_stopped_soon_after_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = next(case for case in CASES if case.name == "tar-gz-bomb")
    path = case.build(tmp_path)
    written = [0]

    def counted(blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            written[0] += len(block)
            yield block

    monkeypatch.setitem(safe_archive._PACKED, "tar.gz",
                        (b"\x1f\x8b", lambda p: counted(safe_archive._gzip(p))))  # fmt: skip
    with pytest.raises(UnsafeError):
        unpack(path, tmp_path / "out")
    limit = max(safe_archive.FREE_BYTES, 200 * path.stat().st_size)
    assert limit < written[0] <= limit + 2 * safe_archive.BLOCK_BYTES


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError(28, "No space left")])
def test_an_interruption_leaves_nothing(
    interruption: type[BaseException] | OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(tmp_path)
    whole = safe_zip.blocks

    def cut(path: Path, member: safe_zip.Member) -> Iterator[bytes]:
        yield next(whole(path, member), b"")
        if member.name == "random.bin":
            raise interruption

    monkeypatch.setattr(safe_zip, "blocks", cut)
    with pytest.raises((KeyboardInterrupt, NeurodataError)):
        unpack(path, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["synthetic.zip"]


def test_what_is_there_is_never_replaced(tmp_path: Path) -> None:
    path = zipped(tmp_path)
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    for name in ("file", "link", "folder"):
        with pytest.raises(InvalidInputError, match="already"):
            unpack(path, tmp_path / name)
    assert (tmp_path / "file").read_text() == "kept"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["zip", *[n for n in PACKERS if " " not in n]])
def test_any_cut_and_any_flip_is_refused_or_harmless(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FILES, "random.bin", b"x" * 3000)
    path = zipped(tmp_path) if name == "zip" else tarred(tmp_path, name)
    whole, random = path.read_bytes(), np.random.default_rng(8)
    for count in random.integers(0, len(whole), 20):
        path.write_bytes(whole[:count])
        if name != "tar" or whole[count:].strip(b"\0"):
            with pytest.raises(NeurodataError):
                unpack(path, tmp_path / "out")
    for number in range(60):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            unpack(path, tmp_path / f"out{number}")
        except NeurodataError:
            assert not (tmp_path / f"out{number}").exists()
            continue
        if name not in ("tar", "tar.zst"):  # whose data have no checksum
            assert content(tmp_path / f"out{number}") == FILES


# ---- ingest


def test_an_archive_is_ingested_as_its_folder(tmp_path: Path) -> None:
    case = next(case for case in VALID if case.name == "zip-valid")
    path = case.build(tmp_path)
    planned = plan(path, declare=case.declare)
    assert planned.dataset == "synthetic"
    assert [job.name for job in planned.jobs] == ["sub 01/a.vhdr"]
    assert planned.scratch is not None
    unpacked = planned.scratch.path
    assert unpacked.is_dir()
    del planned
    assert not unpacked.exists()
    first = ingest(path, store=tmp_path / "store", declare=case.declare)
    assert (first.ok, [entry.status for entry in first]) == (True, ["new"])
    again = ingest(path, store=tmp_path / "store", declare=case.declare)
    assert [entry.status for entry in again] == ["same"]
    folder = tmp_path / "folder" / "synthetic"
    folder.parent.mkdir()
    unpack(path, folder)
    whole = ingest(folder, store=tmp_path / "store", declare=case.declare)
    assert [entry.version for entry in whole] == [entry.version for entry in first]


def test_a_recording_in_a_zip_is_no_archive(tmp_path: Path) -> None:
    case = next(case for case in VALID if case.name == "ome_zarr-zip-valid")
    planned = plan(case.build(tmp_path) / "synthetic.zip")
    assert [job.reader for job in planned.jobs] == ["ome_zarr"]
    assert planned.scratch is None
