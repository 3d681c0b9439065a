"""The file system of a store: locks hold, a rename is whole, there is room."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from neurodata.doctor.check import Check, run
from neurodata.doctor.machine import room
from neurodata.errors import Problem
from neurodata.store import files
from neurodata.store.commit import STAGING

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = {
    "9p", "afs", "ceph", "cifs", "fuse.gcsfuse", "fuse.rclone", "fuse.s3fs", "fuse.sshfs",
    "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs",
}  # fmt: skip
MOST_SKEW_S = 60.0


def disk(root: Path) -> Iterator[Check]:
    """Check the file system on which a store lies."""
    kind = file_system(root)
    problems = [*room(root, f"{run('du', '-sh', root)} and free some room")]
    if kind in NETWORK:
        problems.append(
            Problem(
                "warning", str(root), f"a network file system ({kind})",
                "a local one, where a rename is whole and locks hold", _move(root),
            )
        )  # fmt: skip
    yield Check("file system", kind or "of unknown kind", tuple(problems))
    yield from probes(root)


def probes(root: Path) -> Iterator[Check]:
    """Try locks, renames and times in a folder of their own in staging, which is then removed."""
    staging = root / STAGING
    folder = staging / uuid.uuid4().hex
    lock = folder.with_suffix(".lock")
    try:
        staging.mkdir(exist_ok=True)
        lock.touch()
    except OSError as error:
        problem = Problem(
            "warning", str(staging), f"that it cannot be written ({error.strerror})",
            "a folder to write to; this store can only be read",
            run("sudo", "chown", "-R", os.getuid(), root),
        )  # fmt: skip
        yield Check("writing", "not possible", (problem,))
        return
    try:
        wrong = tuple(locks(lock, root))
        yield Check("locks", "none" if wrong else "hold", wrong)
        if not wrong:
            with files.locked(lock):
                folder.mkdir()
                yield Check("rename", "moves folders whole", tuple(renames(folder, root)))
                yield Check("times of files", "those of the clock", tuple(skew(folder)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.unlink(missing_ok=True)


def _move(root: Path) -> str:
    return run("cp", "-a", root, f"/a/local/disk/{root.name}")


def file_system(path: Path) -> str:
    """Return the kind of file system that a path lies on, or "" where nothing tells."""
    try:
        lines = MOUNTS.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    found = ("", "")
    for line in lines:
        before, _, after = line.partition(" - ")
        point = before.split()[4].replace("\\040", " ")
        if path.resolve().is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, after.split()[0])
    return found[1]


def locks(path: Path, root: Path) -> Iterator[Problem]:
    """Yield a finding when a lock does not keep others out."""
    expected = "locks that keep others out"
    try:
        with files.locked(path), files.if_free(path) as free:
            if free:
                yield Problem("error", str(root), "one lock held twice", expected, _move(root))
    except OSError as error:
        yield Problem("error", str(root), f"no locks ({error.strerror})", expected, _move(root))


def renames(folder: Path, root: Path) -> Iterator[Problem]:
    """Yield a finding when a renamed folder is not whole, or takes the place of another."""
    expected = "a rename that moves a folder whole and replaces none"
    first, second, target = folder / "a", folder / "b", folder / "c"
    try:
        for each in (first, second):
            each.mkdir()
            files.write(each / "probe", each.name.encode())
            files.sync(each / "probe")
        files.rename(first, target)
        if first.exists() or (target / "probe").read_bytes() != b"a":
            yield Problem("error", str(root), "a folder in two parts", expected, _move(root))
    except OSError as error:
        yield Problem("error", str(root), f"no rename ({error})", expected, _move(root))
        return
    try:
        files.rename(second, target)
    except OSError:
        return
    yield Problem("error", str(root), "a folder that was replaced", expected, _move(root))


def skew(folder: Path) -> Iterator[Problem]:
    """Yield a finding when the file system has another time than the clock."""
    path = folder / "time"
    path.touch()
    found = path.stat().st_mtime - time.time()
    if abs(found) > MOST_SKEW_S:
        yield Problem(
            "warning", str(folder.parent.parent), f"files {found:+.0f} s off the clock",
            f"{MOST_SKEW_S:g} s at most", "run: sudo timedatectl set-ntp true (there and here)",
        )  # fmt: skip
