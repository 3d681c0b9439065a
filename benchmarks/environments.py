"""Python environments of the peers, from requirement files with every version pinned."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

OWN = "project"  # the environment that runs this, with `neurodata` in it
LOCKED = Path(__file__).parent / "environments"
ROOT = Path(__file__).parent.parent
DONE = ".complete"
# Built from source against the torch of the environment, after the rest; may fail.
BUILT = {"graphs": ("setuptools<81", "wheel", "ninja")}
BUILD_LIMIT_S = 1200


def names() -> list[str]:
    """Return the environments that have a requirement file."""
    return sorted(file.stem for file in LOCKED.glob("*.txt") if "-" not in file.stem)


def folder(name: str, data: Path) -> Path:
    """Return where an environment lies."""
    return data / "environments" / name


def python(name: str, data: Path) -> Path | None:
    """Return the interpreter of an environment, or None while it is not made."""
    if name == OWN:
        return Path(sys.executable)
    found = folder(name, data) / "bin" / "python"
    return found if found.exists() and (folder(name, data) / DONE).exists() else None


def setup(chosen: list[str], data: Path) -> dict[str, str]:
    """Make environments that are missing or older than their file; return what became of each."""
    return {name: _make(name, data) for name in chosen or names()}


def _make(name: str, data: Path) -> str:
    locked, place = LOCKED / f"{name}.txt", folder(name, data)
    done = place / DONE
    if done.exists() and done.read_text() == locked.read_text():
        return "there"
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    pip = (str(place / "bin" / "python"), "-m", "pip", "install", "--quiet")
    try:
        _call((sys.executable, "-m", "venv", str(place)))
        _call((*pip, "--no-deps", "--requirement", str(locked)))
    except subprocess.SubprocessError as error:
        return f"failed: {error}"
    built = _build(name, (*pip, "--find-links", str(data / "wheels")))
    done.write_text("" if built else locked.read_text())  # setup tries again what did not build
    return f"made{built}"


def _build(name: str, pip: tuple[str, ...]) -> str:
    """Build what has no wheel; without it, the candidates that need it fail by themselves."""
    source = LOCKED / f"{name}-source.txt"
    if not source.exists():
        return ""
    try:
        _call((*pip, *BUILT[name]))
        build = (*pip, "--no-deps", "--no-build-isolation", "--requirement", str(source))
        _call(build, BUILD_LIMIT_S)
    except subprocess.SubprocessError as error:
        return f", without what is built from source ({error})"
    return ""


def _call(command: tuple[str, ...], limit_s: float = 3600) -> None:
    calm = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "MAX_JOBS": "2"}
    subprocess.run(command, check=True, timeout=limit_s, env=calm)  # noqa: S603
