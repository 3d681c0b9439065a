"""What is written on behalf of a store goes through one door: `neurodata.store.files`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "neurodata"
PARTS = ("store", "splits", "publish", "cli", "report")
DOOR = "store/files.py"
METHODS = {
    "write_text", "write_bytes", "mkdir", "rmdir", "unlink", "touch", "symlink_to", "hardlink_to",
    "chmod", "tofile", "to_parquet", "to_csv", "to_zarr", "to_netcdf", "to_json", "to_hdf",
    "to_feather", "to_pickle", "ParquetWriter", "write_table", "write_parquet", "savefig",
    "NamedTemporaryFile", "TemporaryFile", "TemporaryDirectory", "mkdtemp", "mkstemp",
}  # fmt: skip
OS = {
    "write", "pwrite", "pwritev", "writev", "sendfile", "truncate", "ftruncate", "fsync",
    "fdatasync", "mkdir", "makedirs", "rmdir", "removedirs", "rename", "renames", "replace",
    "link", "symlink", "unlink", "remove", "utime", "chmod", "mkfifo", "mknod",
}  # fmt: skip
OTHERS = {
    "sqlite3.connect", "np.save", "np.savez", "np.savez_compressed", "np.savetxt", "np.memmap",
    "json.dump", "pickle.dump", "yaml.dump_all", "zarr.save", "pq.write_table", "LocalStore",
}  # fmt: skip
SHUTIL = {"rmtree", "move", "copy", "copy2", "copyfile", "copytree", "copyfileobj", "copymode"}
WRITING = ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND")

ALLOWED = {
    "store/catalog.py": {"sqlite3.connect"},  # SQLite writes by itself
    "store/removal.py": {"sqlite3.connect"},
    # a cache of what servers gave, which no store needs; and a copy in it, opened read-only
    "store/chunk_cache.py": {
        "folder.mkdir", "self.folder.mkdir", "os.utime", "os.open", "os.pwrite", "os.makedirs",
        "open", "os.replace", "os.unlink",
    },
    "store/remote_catalog.py": {"sqlite3.connect", "TemporaryDirectory"},
    "publish/tables.py": {"pq.ParquetWriter", "writer.write_table", "self._writer.write_table"},
    "report/canvas.py": {"drawn.savefig"},  # into memory
    "cli/verbs.py": {"picture.write_bytes"},  # a file of the user's own, may be a pipe
}  # fmt: skip


def writers(path: Path) -> Iterator[str]:
    """Every call of a module that could write, rename or remove a file."""
    flags: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(flag in ast.unparse(node) for flag in WRITING):
            flags |= {ast.unparse(target) for target in node.targets}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and writes(node, flags):
            yield ast.unparse(node.func)


def writes(call: ast.Call, flags: set[str]) -> bool:
    """Say whether a call could change something on the disk."""
    name = ast.unparse(call.func)
    home, _, last = name.rpartition(".")
    arguments = [ast.unparse(argument) for argument in call.args]
    if home == "os" and last == "open":
        said = arguments[1] if len(arguments) > 1 else ""
        return said in flags or any(flag in said for flag in WRITING)
    if last == "open":
        place = arguments[:1] if home else arguments[1:2]
        modes = [*place, *(ast.unparse(k.value) for k in call.keywords if k.arg == "mode")]
        return any(mode[:1] in "'\"" and set(mode) & set("wax+") for mode in modes)
    if last in ("rename", "replace") and home not in ("os", "files"):
        return len(arguments) == 1 and not call.keywords  # of a Path; a text's takes two
    return last in METHODS or name in OTHERS or (home == "os" and last in OS) or (
        home == "shutil" and last in SHUTIL
    )  # fmt: skip


def test_only_the_door_and_what_is_named_here_write() -> None:
    found = {}
    for part in PARTS:
        for path in sorted((PACKAGE / part).rglob("*.py")):
            name = path.relative_to(PACKAGE).as_posix()
            if calls := set(writers(path)):
                found[name] = calls
    assert found.pop(DOOR) >= {"os.open", "os.write", "os.fsync", "os.rename", "shutil.rmtree"}
    assert found == ALLOWED


def test_the_search_for_writers_finds_them(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "import os, shutil\nfrom pathlib import Path\nflags = os.O_RDWR | os.O_CREAT\n"
        "os.open('a', flags)\nos.open('a', os.O_RDONLY)\nopen('a')\nopen('a', 'w')\n"
        "Path('a').open('xb')\nPath('a').open('rb')\nPath('a').replace(Path('b'))\n"
        "'a'.replace('b', 'c')\nPath('a').rename('b')\nshutil.rmtree('a')\nos.rename('a', 'b')\n"
        "Path('a').open(mode='r+')\n"
    )
    assert sorted(writers(tmp_path / "a.py")) == sorted(
        ["os.open", "open", "Path('a').open", "Path('a').replace", "Path('a').rename",
         "shutil.rmtree", "os.rename", "Path('a').open"]
    )  # fmt: skip
