"""The doctor finds each fault that is made, says what mends it, and finds none elsewhere."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

import neurodata.cli.more_verbs
from neurodata import doctor
from neurodata.cli.verbs import app
from neurodata.compiled import OFF
from neurodata.doctor import disk, machine, packages, server
from neurodata.doctor.contents import contents
from neurodata.errors import DISTRIBUTION, InvalidInputError, NotFoundError, Problem
from neurodata.ingestion import ingest
from neurodata.store import files, open_store
from neurodata.store.manifest import encode, read, version_of

assert neurodata.cli.more_verbs  # adds its verbs to the app
BIN = Path(sys.executable).parent
Disk = namedtuple("Disk", "total used free")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("doctor") / "store"
    for name in ("mri_anatomical", "mushroom_body"):
        assert ingest(name, store=path).ok
    return path


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation with the packages that are asked for; this one may have later ones."""
    told, later = packages.version_of, {"sqlalchemy": "2.0.40", "fastapi": "0.139.0"}
    monkeypatch.setattr(
        packages, "version_of", lambda name: later.get(name, told(name)) if told(name) else None
    )


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A store of a few recordings, to be damaged."""
    shutil.copytree(made, tmp_path / "a store")
    return tmp_path / "a store"


def problems(root: Path, deep: bool = False) -> list[Problem]:
    return [p for one in (*disk.disk(root), *contents(root, deep)) for p in one.problems]


def the(found: list[Problem]) -> Problem:
    assert len(found) == 1, found
    return found[0]


def mend(problem: Problem) -> None:
    """Do what a hint says, as a person would: copy the command into a shell."""
    command = problem.hint.partition("run: ")[2].partition(" (")[0]
    assert command, problem
    if command.startswith("neurodata ") and "&&" not in command:
        done = CliRunner().invoke(app, shlex.split(command)[1:])  # as a shell, but sooner
        assert done.exit_code == 0, done.output
        return
    path = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    ran = subprocess.run(["bash", "-ec", command], env=path, capture_output=True, text=True)
    assert ran.returncode == 0, (command, ran.stderr)


def folder_of(root: Path, name: str = "mri_anatomical/anatomical") -> Path:
    return open_store(root).folder(name)


def chunk_of(root: Path) -> Path:
    (found,) = [p for p in folder_of(root).rglob("*") if p.is_file() and p.stat().st_size > 20_000]
    return found


# ---- nothing is found where nothing is wrong


def test_a_sound_installation_and_store_have_no_findings(root: Path, sound: None) -> None:
    before = sorted((str(p), p.stat().st_mtime_ns) for p in root.rglob("*") if p.is_file())
    seen: list[tuple[int, int]] = []
    checks = doctor.examine(root, deep=True, progress=lambda *at: seen.append(at))
    assert [p for check in checks for p in check.problems] == []
    assert {check.level for check in checks} == {"ok"}
    names = [check.name for check in checks]
    assert len(set(names)) == len(names)
    assert {
        "python", "packages", "extra eeg", "other packages", "temporary files", "codecs",
        "compiled loops", "open files", "clock", "HDF5 plugins", "file system", "locks", "rename",
        "files", "staging", "versions", "catalogue", "catalogue's rows",
    } <= set(names)  # fmt: skip
    assert seen[-1] == (3, 3)
    assert sorted((str(p), p.stat().st_mtime_ns) for p in root.rglob("*") if p.is_file()) == before


def test_an_empty_store_has_no_findings(tmp_path: Path) -> None:
    open_store(tmp_path / "empty", create=True)
    assert problems(tmp_path / "empty") == []


def test_what_is_no_store_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no store"):
        doctor.examine(tmp_path)
    for address in ("https://host/store", Path("https://host/store"), "s3://bucket/store"):
        with pytest.raises(InvalidInputError, match="an address"):
            doctor.examine(address)


# ---- packages


def test_another_python_is_an_error() -> None:
    problem = the(list(packages.python("<3").problems))
    assert (problem.level, problem.where, problem.expected) == ("error", "python", "<3")
    assert packages.python(">=3.11").problems == ()


@pytest.mark.parametrize(
    ("wanted", "needed", "level"),
    [
        ("numpy>=99", True, "error"),
        ("fastapi>=99", False, "error"),  # flows die
        ("pyyaml>=99", False, "warning"),
        ("no-such-package-at-all>=1", True, "error"),
    ],
)
def test_packages_of_other_versions(wanted: str, needed: bool, level: str) -> None:
    problem = packages.fault_of(Requirement(wanted), needed=needed)
    assert problem is not None
    assert (problem.level, problem.hint) == (level, f"run: pip install '{wanted}'")
    assert packages.fault_of(Requirement("numpy>=1"), needed=True) is None
    assert packages.fault_of(Requirement("no-such-package-at-all"), needed=False) is None


@pytest.mark.parametrize(
    ("name", "version", "level", "why"),
    [
        ("fastapi", "0.165.0", "error", "flows die at start"),
        ("sqlalchemy", "2.1.0", "warning", "never fires a schedule"),
        ("zarr", "3.1.5", "error", "nested groups"),
    ],
)
def test_combinations_that_are_known_to_break(
    name: str, version: str, level: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = packages.version_of
    monkeypatch.setattr(
        packages, "version_of", lambda each: version if each == name else told(each)
    )
    found = [p for check in packages.packages() for p in check.problems if p.where == name]
    problem = the(found)
    assert problem.level == level
    assert why in problem.found
    assert problem.hint.startswith(f"run: pip install '{name}")


def test_absent_extras_are_no_findings_but_say_what_adds_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = packages.version_of
    monkeypatch.setattr(
        packages, "version_of", lambda each: None if each == "pyxdf" else told(each)
    )
    (check,) = [one for one in packages.packages() if one.name == "extra eeg"]
    assert check.problems == ()
    assert "pyxdf" in check.found
    assert check.found.endswith("pip install 'neurodata-store[eeg]'")


def test_a_package_that_pins_another_version_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "synthetic_pinned-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: synthetic-pinned\nVersion: 1.0\n"
        "Requires-Dist: zarr<=3.1.5\nRequires-Dist: numpy<1; extra == 'old'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    problem = the(list(packages.quarrels([Requirement("zarr"), Requirement("numpy")])))
    assert (problem.level, problem.where) == ("warning", "synthetic-pinned")
    assert problem.found == "a package that wants zarr<=3.1.5"
    assert problem.hint.endswith("run: pip uninstall synthetic-pinned")


def test_code_that_is_not_installed_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = packages.version_of
    monkeypatch.setattr(
        packages, "version_of", lambda each: None if each == DISTRIBUTION else told(each)
    )
    monkeypatch.setattr(packages, "stated", lambda: None)
    problem = the([p for check in packages.packages() for p in check.problems])
    assert problem.level == "warning"
    assert problem.hint.startswith("run: pip install --editable")


def test_an_installed_package_and_its_project_file_ask_for_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clone = packages.stated()
    assert clone is not None
    info = tmp_path / "neurodata_store-1.0.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {DISTRIBUTION}", "Version: 1.0"]
    lines += [f"Requires-Python: {clone.python}"]
    lines += [f"Requires-Dist: {each}" for each in clone.core]
    for name, wanted in clone.extras.items():
        lines += [f"Provides-Extra: {name}"]
        lines += [f"Requires-Dist: {each} ; extra == '{name}'" for each in wanted]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(packages, "PACKAGE", tmp_path / "neurodata")
    found = packages.stated()
    assert found is not None
    assert (found.python, found.core) == (clone.python, clone.core)
    names = {extra: [each.name for each in wanted] for extra, wanted in found.extras.items()}
    assert names == {extra: [each.name for each in w] for extra, w in clone.extras.items()}


# ---- the machine


@pytest.fixture
def fresh_temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield
    tempfile.tempdir = None


def test_a_temporary_folder_that_is_not_there(
    fresh_temporary: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    problem = the(list(machine.temporary().problems))
    assert (problem.level, problem.where) == ("warning", "TMPDIR")
    mend(problem)
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert machine.temporary().problems == ()


def test_no_temporary_folder_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError("No usable temporary directory")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert the(list(machine.temporary().problems)).level == "error"
    assert "codecs" not in [check.name for check in machine.machine()]


def test_little_room_is_a_warning(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(10**12, 0, 5 * 10**8))
    assert the(list(machine.temporary().problems)).found == "500 MB free"
    assert [p.found for p in problems(root)] == ["500 MB free"]


def test_a_codec_without_a_checksum_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("neurodata.store.layout.codecs", lambda dtype, codec: [])
    found = machine.codecs(tmp_path).problems
    assert {problem.found for problem in found} == {"a flipped bit that nothing noticed"}
    assert {problem.level for problem in found} == {"error"}
    assert list(tmp_path.iterdir()) == []


def test_a_codec_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(dtype: Any, codec: str) -> Any:
        raise RuntimeError("synthetic: no such codec")

    monkeypatch.setattr("neurodata.store.layout.codecs", broken)
    found = machine.codecs(tmp_path).problems
    assert [problem.where for problem in found] == ["codec lz4", "codec zstd", "codec none"]
    assert "synthetic: no such codec" in found[0].found


def test_loops_that_cannot_be_built_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    from neurodata.loader import kernels

    def broken(*_: object) -> None:
        raise TypeError("synthetic: numba knows no such type\nand more")

    monkeypatch.delenv(OFF, raising=False)
    monkeypatch.setattr(machine, "wait_compiled", lambda name, dtype: None)
    monkeypatch.setattr(kernels, "nothing", broken)
    found = {problem.where: problem for problem in machine.loops().problems}
    problem = found["compiled loop scale_windows"]
    assert problem.found == "TypeError: synthetic: numba knows no such type"
    assert problem.level == "warning"
    monkeypatch.setenv(OFF, "1")
    assert machine.loops().problems == ()


def test_few_open_files_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, 2048))
    assert the(list(machine.open_files().problems)).hint == "run: ulimit -n 2048"


@pytest.mark.parametrize("now_s", [0.0, 5e9])
def test_a_clock_of_another_age_is_an_error(now_s: float) -> None:
    assert the(list(machine.clock(now_s).problems)).level == "error"
    assert machine.clock(time.time()).problems == ()


def test_a_folder_of_plugins_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HDF5_PLUGIN_PATH", "/synthetic")
    assert the(list(machine.plugins().problems)).hint == "run: unset HDF5_PLUGIN_PATH"


def test_a_prefect_server_that_does_not_answer() -> None:
    problem = server.answer("http://127.0.0.1:1/api")
    assert problem is not None
    assert problem.level == "error"
    assert server.answer("ftp://host/api") is not None


@pytest.mark.flows
def test_a_private_prefect_server_is_started_and_asked() -> None:
    pytest.importorskip("prefect")
    check = server.server()
    assert check.problems == ()
    assert check.found.startswith("http://127.0.0.1:")


# ---- the file system of a store


def test_a_network_file_system_is_a_warning(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    point = str(root.parent).replace(" ", "\\040")
    mounts.write_text(
        "22 1 0:1 / / rw - ext4 /dev/a rw\n"
        f"23 1 0:2 / {point} rw,relatime shared:1 - nfs4 server:/a rw\n"
    )
    monkeypatch.setattr(disk, "MOUNTS", mounts)
    problem = the(problems(root))
    assert problem.level == "warning"
    assert "nfs4" in problem.found
    assert f"cp -a '{root}'" in problem.hint
    assert disk.file_system(Path("/elsewhere")) == "ext4"


@contextlib.contextmanager
def always(path: Path) -> Iterator[bool]:
    yield True


def no_locks(path: Path) -> Any:
    raise OSError(37, "No locks available")


@pytest.mark.parametrize(("name", "by"), [("if_free", always), ("locked", no_locks)])
def test_locks_that_do_not_hold_are_an_error(
    name: str, by: Callable[..., Any], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, name, by)
    found = [p for check in disk.disk(root) for p in check.problems]
    assert the(found).level == "error"
    assert "lock" in the(found).found
    assert [path.name for path in (root / ".staging").iterdir()] == ["commit.lock"]


def halves(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True)


def replaces(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    source.rename(target)


def fails(source: Path, target: Path) -> None:
    raise OSError("synthetic: cross-device link")


@pytest.mark.parametrize("by", [halves, replaces, fails])
def test_renames_that_are_not_whole_are_an_error(
    by: Callable[[Path, Path], None], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "rename", by)
    found = [p for check in disk.disk(root) for p in check.problems]
    assert found
    assert {problem.level for problem in found} == {"error"}


def test_files_with_times_of_another_clock_are_a_warning(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s - 600)
    found = [p for check in disk.disk(root) for p in check.problems]
    assert "+600 s off the clock" in the(found).found


def test_a_store_that_cannot_be_written_is_a_warning(root: Path) -> None:
    shutil.rmtree(root / ".staging")
    (root / ".staging").write_text("synthetic")
    found = [p for check in disk.disk(root) for p in check.problems]
    assert the(found).level == "warning"
    assert "can only be read" in the(found).expected


# ---- what is in a store


def test_a_stray_file_folder_or_link_is_found_and_moved_away(root: Path, tmp_path: Path) -> None:
    version = folder_of(root)
    (root / "notes.txt").write_text("synthetic")
    (root / ".git").mkdir()
    (version.parent / "0123").mkdir()
    (version.parent.parent / "link").symlink_to(tmp_path)
    (version.parent / ("f" * 16)).symlink_to(version)
    found = problems(root)
    assert {Path(p.where).name for p in found} == {"notes.txt", ".git", "0123", "link", "f" * 16}
    assert sorted(p.found for p in found if p.found == "a link") == ["a link", "a link"]
    assert {p.level for p in found} == {"warning"}
    for problem in found:
        mend(problem)
    assert problems(root) == []


def test_a_link_or_an_added_file_in_a_version_is_an_error(root: Path, tmp_path: Path) -> None:
    version = folder_of(root)
    (version / "added").write_text("synthetic")
    assert the(problems(root)).found == "an added file"
    (version / "added").unlink()
    chunk = chunk_of(root)
    shutil.move(chunk, tmp_path / "chunk")
    chunk.symlink_to(tmp_path / "chunk")
    assert the(problems(root)).found == "a link"


def test_what_a_dead_process_left_is_found_and_swept(root: Path) -> None:
    staging = root / ".staging"
    for name in ("dead", "living"):
        (staging / name).mkdir()
        (staging / name / "data").write_bytes(bytes(1000))
        (staging / f"{name}.lock").touch()
    (staging / "nobody").mkdir()
    with (staging / "living.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = problems(root)
        assert {Path(p.where).name for p in found} == {"dead", "nobody"}
        assert found[0].found == "1000 bytes of a process that ended"
        for problem in found:
            mend(problem)
        assert (staging / "living").is_dir()
        assert problems(root) == []


def test_a_damaged_manifest_is_found_quickly_and_mended_by_removal(root: Path) -> None:
    version = folder_of(root)
    path = version / "manifest.json"
    path.write_bytes(path.read_bytes()[:-2])
    problem = the(problems(root))
    assert (problem.level, problem.where) == ("error", str(path))
    assert "ingest the source again" in problem.hint
    command = problem.hint.partition("or run: ")[2].removesuffix(" and ingest the source again")
    mend(Problem("error", "", "", "", f"run: {command}"))
    assert problems(root) == []
    assert "mri_anatomical/anatomical" not in open_store(root)


def test_a_flipped_bit_is_found_by_looking_deep(root: Path) -> None:
    chunk = chunk_of(root)
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    assert problems(root) == []
    problem = the(problems(root, deep=True))
    assert (problem.level, problem.found) == ("error", "changed bytes")


def test_a_missing_chunk_is_found_quickly(root: Path) -> None:
    chunk = chunk_of(root)
    chunk.unlink()
    assert the(problems(root)).found == "no file"


def test_a_version_of_a_later_format_asks_for_an_update(root: Path) -> None:
    version = folder_of(root)
    data = encode({**read(version), "format": "neurodata-manifest/99"})
    (version / "manifest.json").write_bytes(data)
    version.rename(version.with_name(version_of(data)))
    found = [p for p in problems(root) if p.found == "neurodata-manifest/99"]
    assert the(found).hint == "run: pip install --upgrade neurodata-store"


def test_a_version_from_the_future_is_a_warning_and_gets_a_new_date(root: Path) -> None:
    later = time.time() + 86400 * 3
    path = folder_of(root) / "manifest.json"
    os.utime(path, (later, later))
    problem = the(problems(root))
    assert problem.found == "a version that was committed 72 h from now"
    mend(problem)
    assert problems(root) == []


def remove(root: Path) -> None:
    (root / "catalog.sqlite").unlink()


def garbage(root: Path) -> None:
    (root / "catalog.sqlite").write_bytes(np.random.default_rng(0).bytes(9000))


def emptied(root: Path) -> None:
    (root / "catalog.sqlite").write_bytes(b"")


def change(root: Path, statement: str) -> None:
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection, connection:
        connection.execute(statement)


def without_row(root: Path) -> None:
    change(root, "DELETE FROM versions WHERE recording = 'anatomical'")


def other_row(root: Path) -> None:
    change(root, "UPDATE versions SET attrs = '{}' WHERE recording = 'anatomical'")


def without_version(root: Path) -> None:
    shutil.rmtree(folder_of(root).parent)


@pytest.mark.parametrize("by", [remove, garbage, emptied, without_row, other_row, without_version])
def test_a_catalogue_that_lies_is_found_and_rebuilt(by: Callable[[Path], None], root: Path) -> None:
    by(root)
    before = (root / "catalog.sqlite").read_bytes() if by is not remove else b""
    problem = the(problems(root))
    assert problem.hint == f"run: neurodata rebuild --store '{root}'"
    assert before == ((root / "catalog.sqlite").read_bytes() if by is not remove else b"")
    mend(problem)
    assert problems(root) == []


# ---- the verb


def call(*words: object, **environment: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(
        app, ["doctor", *map(str, words), "--json"], env={"NEURODATA_STORE": None, **environment}
    )
    return done.exit_code, json.loads(done.stdout)


def test_the_exit_code_tells(
    root: Path, tmp_path: Path, sound: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, found = call("--store", root)
    assert (code, found["ok"], found["problems"]) == (0, True, [])
    assert {"check", "level", "found"} == set(found["items"][0])
    (root / "notes.txt").write_text("synthetic")
    assert call(NEURODATA_STORE=str(root))[0] == 0
    remove(root)
    code, found = call("--store", root)
    assert (code, found["ok"]) == (1, False)
    assert {problem["level"] for problem in found["problems"]} == {"warning", "error"}
    assert call("--store", tmp_path / "none")[0] == 2


def test_without_a_store_the_installation_is_checked(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    code, found = call()
    assert code == 0
    assert "locks" not in {item["check"] for item in found["items"]}
    root.rename(tmp_path / "here" / "store")
    assert "locks" in {item["check"] for item in call()[1]["items"]}


def test_people_are_told_in_words(root: Path) -> None:
    remove(root)
    done = CliRunner().invoke(app, ["doctor", "--store", str(root)])
    assert done.exit_code == 1
    assert f"run: neurodata rebuild --store '{root}'" in done.stdout
    assert "checks of installation and" in done.stdout
