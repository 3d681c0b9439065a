"""Imports point one way only; `test_door` watches what opens raw files."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "neurodata"
MODULES = sorted(PACKAGE.rglob("*.py"))

# From bottom to top; a module may import from its own layer and from those below.
LAYERS = (
    {"errors", "compiled", "units", "resources", "clock", "slabs", "declare",
     "scope", "secret", "secret_guard", "shown"},
    {"safe", "content", "schema", "invariants", "quality", "trace_quality", "privacy",
     "personal_columns",
     "physical", "pipeline", "surfaces", "box_rules"},
    {"sources", "readers"},
    {"steps", "store", "recognise", "plan", "formats"},
    {"ingestion", "draft", "exchange"},
    {"splits"},
    {"loader"},
    {"models", "scoring"},
    {"publish", "report", "stale"},
    {"orchestrate", "cli", "__main__", "doctor"},
)  # fmt: skip
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
TORCH = ("loader", "models", "scoring")


def home(path: Path) -> str:
    """The part of the package that a module belongs to."""
    return part(path.relative_to(PACKAGE).parts[0].removesuffix(".py"))


def part(name: str) -> str:
    """``safe`` for all leaves of the one door, else the name itself."""
    return "safe" if name.startswith("safe_") else name


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever the statement stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "neurodata":
                yield from (f"neurodata.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_import_points_upwards(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        return
    own = LEVEL[home(path)]
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "neurodata" and len(parts) > 1:
            assert LEVEL[part(parts[1])] <= own, f"{home(path)} imports {name}"


def test_prefect_and_torch_stay_in_their_rooms() -> None:
    for path in MODULES:
        names = {name.split(".")[0] for name in imports(path)}
        if home(path) != "orchestrate":
            assert "prefect" not in names, path
        if home(path) not in TORCH:
            assert "torch" not in names, path


def modules_after(code: str) -> set[str]:
    """The top-level modules loaded after some code ran in a fresh interpreter."""
    script = f"import sys\n{code}\nprint('\\n'.join({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return set(done.stdout.split())


HEAVY = {"torch", "prefect", "datasets", "mne", "pynwb", "h5py", "matplotlib", "sklearn"}


def test_importing_the_package_is_light() -> None:
    assert not modules_after("import neurodata") & (HEAVY | {"numpy", "xarray", "zarr"})


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import io, contextlib, neurodata.cli\nsys.argv = ['neurodata', '--help']\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    neurodata.cli.main()"
    )
    assert not modules_after(code) & (HEAVY | {"numpy", "xarray", "zarr", "pandas", "dask"})


def test_every_exported_name_is_there() -> None:
    import neurodata

    for name in neurodata.__all__:
        if name not in ("load", "Windows", "Trials", "Patches", "Volumes", "Graphs", "SpikeBins"):
            assert getattr(neurodata, name) is not None
    assert set(neurodata.__all__) <= set(dir(neurodata))


def test_modules_stay_readable() -> None:
    for path in MODULES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                assert length <= 60, f"{path.name}: {node.name} has {length} lines"


def public_functions(path: Path) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_public_functions_say_what_they_do_and_return(path: Path) -> None:
    for node in public_functions(path):
        assert ast.get_docstring(node), f"{path.name}: {node.name}"
        if isinstance(node, ast.FunctionDef):
            assert node.returns is not None, f"{path.name}: {node.name}"
