"""The wheel holds what it must and works elsewhere; dependencies are stated."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "neurodata"
DATA = ("schemas", "pipelines", "samples")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SAMPLES_LIMIT_BYTES = 10 * 10**6
ENVIRONMENT = {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PIP_CONFIG_FILE"}


def run(argv: list[str], cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command with little of this environment and demand that it succeeds."""
    kept = {key: value for key, value in os.environ.items() if key in ENVIRONMENT}
    done = subprocess.run(
        argv, cwd=cwd, env={**kept, **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built here with the build backend of this environment."""
    out = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--disable-pip-version-check", "--no-deps"]
    run([*pip, "--no-build-isolation", "--wheel-dir", str(out), str(ROOT)], out)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the wheel is installed in."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps"]
    run([*pip, "--no-index", "--target", str(target), str(wheel)], target)
    return target


def shipped(folder: Path) -> set[str]:
    """The files of a folder, without what tools leave there."""
    left = {"__pycache__", ".ruff_cache", ".mypy_cache"}
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not left & set(path.relative_to(folder).parts)
    }


@pytest.mark.slow
def test_wheel_holds_every_file_once_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert len(names) == len(set(names))
    own = {name for name in names if ".dist-info/" not in name}
    code = {f"neurodata/{name}" for name in shipped(PACKAGE)}
    data = {f"neurodata/_data/{top}/{name}" for top in DATA for name in shipped(ROOT / top)}
    assert own == code | data
    assert "neurodata/py.typed" in own
    assert "neurodata/publish/licences/MIT.txt" in own
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("ATTRIBUTION.md") for name in names)


@pytest.mark.slow
def test_wheel_has_one_top_level_package(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"neurodata"}


@pytest.mark.slow
def test_installed_wheel_works_from_another_folder(installed: Path, tmp_path: Path) -> None:
    command = str(installed / "bin" / "neurodata")

    def neurodata(*args: str) -> str:
        return run([command, *args], tmp_path, PYTHONPATH=str(installed)).stdout

    where = run(
        [sys.executable, "-c", "import neurodata; print(neurodata.__file__)"],
        tmp_path,
        PYTHONPATH=str(installed),
    )
    assert Path(where.stdout.strip()).is_relative_to(installed)
    assert "ingest" in neurodata("--help")
    listed = json.loads(neurodata("datasets", "--json"))
    assert len(listed["items"]) == len(list((ROOT / "pipelines").glob("*.yaml")))
    done = json.loads(neurodata("ingest", "mri_anatomical", "--direct", "--store", "s", "--json"))
    assert done["ok"]
    assert [item["status"] for item in done["items"]] == ["new"]
    assert json.loads(neurodata("verify", "--store", "s", "--json"))["ok"]
    (manifest,) = (tmp_path / "s").glob("*/*/*/manifest.json")
    assert json.loads(manifest.read_bytes())["code"]["version"] == PROJECT["version"]


def test_samples_are_small() -> None:
    sizes = [path.stat().st_size for path in (ROOT / "samples").rglob("*") if path.is_file()]
    assert 0 < sum(sizes) <= SAMPLES_LIMIT_BYTES


# --- dependencies -----------------------------------------------------------------------------


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements() -> Iterator[tuple[str, str, str]]:
    """Every requirement: where it is stated, the distribution, and the versions."""
    groups = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    for group, stated in groups.items():
        for text in stated:
            found = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?(.*)", text)
            assert found, text
            if normal(found[1]) != normal(PROJECT["name"]):
                yield group, normal(found[1]), found[2]


def third_party(path: Path) -> Iterator[tuple[str, str | None]]:
    """Every foreign top-level module that a file imports, and the extra that `need` names."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[tuple[str, str | None]] = []
        if isinstance(node, ast.Import):
            names = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [(node.module, None)]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "need":
            values = [*node.args, *(key.value for key in node.keywords)]
            texts = [str(one.value) for one in values if isinstance(one, ast.Constant)]
            names = [(texts[0], texts[1])] if len(texts) == 2 else []
        for name, extra in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and top != "neurodata":
                yield top, extra


def test_every_dependency_has_a_floor() -> None:
    found = list(requirements())
    assert len(found) > 20
    for group, name, versions in found:
        assert ">=" in versions, f"{name} of {group or 'the core'}"


def test_every_imported_package_is_a_stated_dependency() -> None:
    stated = {name for group, name, _ in requirements() if group != "dev"}
    known = packages_distributions()
    seen = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        for module, _ in third_party(path):
            homes = {normal(name) for name in known.get(module, [module])}
            assert homes & stated, f"{path.relative_to(ROOT)} imports {module}"
            seen |= homes & stated
    assert {"numpy", "pyyaml", "google-crc32c"} <= seen


def test_the_extra_in_a_message_holds_the_package() -> None:
    extras: dict[str, set[str]] = {}
    for group, name, _ in requirements():
        extras.setdefault(group, set()).add(name)
    known = packages_distributions()
    calls = {
        (module, extra)
        for path in PACKAGE.rglob("*.py")
        for module, extra in third_party(path)
        if extra
    }
    assert calls
    for module, extra in calls:
        homes = {normal(name) for name in known.get(module, [module])}
        assert homes & extras.get(extra, set()), f"pip install neurodata-store[{extra}]: {module}"


def test_the_command_is_an_entry_point() -> None:
    assert PROJECT["scripts"] == {"neurodata": "neurodata.cli:main"}
