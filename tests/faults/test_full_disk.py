"""A disk that is really full, or read-only: a small file system in memory."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurodata.errors import StoreError
from neurodata.store import open_store
from neurodata.store.commit import LOCK, STAGING
from tests.faults.scenes import publish, state
from tests.invariants import assert_store_ok

PAGE = 4096
PAGES = 256


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", f"size={PAGES * PAGE}", "tmpfs", str(folder)]
    if (
        not shutil.which("mount")
        or subprocess.run(argv, capture_output=True, check=False).returncode
    ):
        pytest.skip("this process may not mount file systems")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, free: int) -> None:
    """Leave some pages of a file system free."""
    (folder / "ballast").unlink(missing_ok=True)
    left = os.statvfs(folder)
    size = left.f_bavail * left.f_frsize - free * PAGE
    with (folder / "ballast").open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, size)


def test_a_full_disk_is_said_and_leaves_the_store_as_it_was(disk: Path) -> None:
    """With every number of free pages, until the recording fits."""
    root = disk / "store"
    publish(root, 0)
    before = state(root)
    needed = open_store(root).catalog()["size_bytes"][0]
    expected = []
    for free in range(PAGES):
        fill(disk, free)
        try:
            publish(root, 1)
            break
        except StoreError as error:
            refusal = error
        assert type(refusal) is StoreError
        assert " bytes free)" in refusal.found
        assert refusal.hint == "free some room"
        expected.append(refusal.expected)
        assert [path.name for path in (root / STAGING).iterdir()] == [LOCK]
        assert state(root) == before
        assert_store_ok(root)
    assert 8 < free < 40, "it was refused at every size that is too small, and not at others"
    assert_store_ok(root)
    assert state(root) != before
    assert len(open_store(root).versions("synthetic/r1")) == 2
    told = [int(text.split()[3]) for text in expected if text.startswith("room for about")]
    assert len(told) == len(expected) == free
    version, catalogue = {told[0]}, {told[-1]}
    assert set(told) == version | catalogue
    assert needed / 2 < told[0] < 2 * needed
    size = (root / "catalog.sqlite").stat().st_size
    assert size < told[-1] < 3 * size


def test_a_read_only_store_is_read_and_refuses_to_be_written(disk: Path) -> None:
    root = disk / "store"
    publish(root, 0)
    before = state(root)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert state(root) == before
    for act in (lambda: publish(root, 1), lambda: open_store(root).rebuild()):
        with pytest.raises(StoreError, match=r"Read-only|readonly") as caught:
            act()
        assert "permissions" in caught.value.hint
    with pytest.raises(StoreError, match="Read-only"):
        open_store(disk / "other", create=True)
