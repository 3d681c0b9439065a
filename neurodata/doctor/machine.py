"""The machine: codecs and compiled loops work; room, limits and the clock are as they should be."""

from __future__ import annotations

import datetime
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from neurodata.compiled import HOMES, OFF, wait_compiled
from neurodata.doctor.check import Check, run
from neurodata.errors import DISTRIBUTION, Problem

LEAST_FREE_BYTES = 10**9
LEAST_FILES = 1024
ENOUGH_FILES = 4096
EARLIEST = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
LATEST = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
PLUGINS = "HDF5_PLUGIN_PATH"
CODECS = ("lz4", "zstd", "none")


def machine() -> Iterator[Check]:
    """Check what does not depend on a store."""
    folder = temporary()
    yield folder
    if not folder.problems:
        yield codecs(Path(tempfile.gettempdir()))
    yield loops()
    yield open_files()
    yield clock(time.time())
    yield plugins()


def temporary() -> Check:
    """Check that the folder of temporary files is there, can be written and has room."""
    stated = os.environ.get("TMPDIR", "")
    try:
        folder = tempfile.gettempdir()
        with tempfile.TemporaryFile() as stream:
            stream.write(b"synthetic")
    except OSError as error:
        hint = 'run: mkdir -p "$HOME/tmp" && export TMPDIR="$HOME/tmp"'
        problem = Problem("error", "TMPDIR", str(error), "a folder to write to", hint)
        return Check("temporary files", "none can be written", (problem,))
    problems = list(room(Path(folder), "export TMPDIR=/a/larger/disk"))
    if stated and Path(stated).resolve() != Path(folder).resolve():
        found = f"{stated}, which cannot be used; {folder} is used instead"
        problems.append(
            Problem("warning", "TMPDIR", found, "a folder to write to", run("mkdir", "-p", stated))
        )
    return Check("temporary files", folder, tuple(problems))


def room(folder: Path, hint: str) -> Iterator[Problem]:
    """Yield a finding when little room is left on the disk of a folder."""
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        wanted = f"{LEAST_FREE_BYTES / 1e9:g} GB or more"
        yield Problem("warning", str(folder), f"{free / 1e6:.0f} MB free", wanted, hint)


def codecs(folder: Path) -> Check:
    """Check that chunks come back through every codec, and that a flipped bit is noticed."""
    problems = []
    for name in CODECS:
        with tempfile.TemporaryDirectory(prefix="neurodata-", dir=folder) as place:
            try:
                found = round_trip(name, Path(place))
            except Exception as error:  # of whichever library: it is what is looked for
                found = f"{type(error).__name__}: {error}"
        if found:
            hint = "run: pip install --force-reinstall 'zarr>=3.1.6' numcodecs google-crc32c"
            problems.append(Problem("error", f"codec {name}", found, "the same values", hint))
    return Check("codecs", f"round trip through {', '.join(CODECS)} with crc32c", tuple(problems))


def round_trip(codec: str, folder: Path) -> str:
    """Write and read an array, flip a bit, read again; return what was wrong, or ""."""
    import zarr

    from neurodata.store.layout import codecs as compressors

    given = (np.arange(4096, dtype="i2") // 7).reshape(64, 64)
    array = zarr.create_array(
        folder / "array.zarr", shape=given.shape, chunks=given.shape, dtype=given.dtype,
        filters=None, compressors=compressors(given.dtype, codec),  # type: ignore[arg-type]
    )  # fmt: skip
    array[:] = given
    if not np.array_equal(np.asarray(array[:]), given):
        return "other values than were written"
    chunk = folder / "array.zarr" / "c" / "0" / "0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    try:
        array[:]
    except Exception:  # each library has its own
        return ""
    return "a flipped bit that nothing noticed"


def loops() -> Check:
    """Check that compiled loops can be built where numba is there."""
    name = "compiled loops"
    if find_spec("numba") is None:
        return Check(name, f"no numba; to add: pip install '{DISTRIBUTION}[fast]'")
    if os.environ.get(OFF):
        return Check(name, f"switched off by {OFF}")
    wrong = [each for each in HOMES if wait_compiled(each, np.dtype("i2")) is None]
    problems = [
        Problem(
            "warning", f"compiled loop {each}", _reason(each), "one that can be built",
            f"run: pip install --upgrade '{DISTRIBUTION}[fast]' (or, slower: export {OFF}=1)",
        )
        for each in wrong
    ]  # fmt: skip
    return Check(name, f"{len(HOMES) - len(wrong)} of {len(HOMES)}", tuple(problems))


def _reason(name: str) -> str:
    try:
        home = import_module(HOMES[name])
        getattr(home, name)(*home.nothing(name, "i2"))
    except Exception as error:  # numba has many
        first = str(error).strip().splitlines() or [""]
        return f"{type(error).__name__}: {first[0][:200]}"
    return "no loop"


def open_files() -> Check:
    """Check how many files a process may hold open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= LEAST_FILES:
        return Check("open files", f"at most {soft}")
    most = ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, ENOUGH_FILES)
    problem = Problem(
        "warning",
        "open files",
        f"at most {soft}",
        f"{LEAST_FILES} or more",
        f"run: ulimit -n {most}",
    )
    return Check("open files", f"at most {soft}", (problem,))


def clock(now_s: float) -> Check:
    """Check that the clock tells a year in which this can run."""
    told = datetime.datetime.fromtimestamp(now_s, datetime.UTC)
    text = f"{told:%Y-%m-%dT%H:%M:%SZ}"
    if EARLIEST <= told < LATEST:
        return Check("clock", text)
    expected = f"a year from {EARLIEST.year} to {LATEST.year - 1}"
    hint = "run: sudo timedatectl set-ntp true"
    return Check("clock", text, (Problem("error", "clock", text, expected, hint),))


def plugins() -> Check:
    """Check that HDF5 loads no code from a folder of plugins."""
    folder = os.environ.get(PLUGINS, "")
    if not folder:
        return Check("HDF5 plugins", "none")
    problem = Problem(
        "warning", PLUGINS, f"{folder}, from which HDF5 loads code that a file asks for",
        "nothing", f"run: unset {PLUGINS}",
    )  # fmt: skip
    return Check("HDF5 plugins", folder, (problem,))
