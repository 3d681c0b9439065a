"""Python and packages against what this distribution asks for, and what is known to break it."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from neurodata.doctor.check import Check, run
from neurodata.errors import DISTRIBUTION, Level, Problem
from neurodata.resources import PACKAGE

WHY = {
    "fastapi": "newer ones break prefect 3.8: flows die at start",
    "sqlalchemy": "with 2.1, prefect 3.8 never fires a schedule",
    "zarr": "older ones leave arrays of nested groups out of listings",
    "numpy": "older ones have no text of variable length",
    "xarray": "older ones have no indexes made of a coordinate transform",
}
FATAL = ("fastapi",)
DEVELOPMENT, EVERYTHING = "dev", "all"


@dataclass(frozen=True)
class Stated:
    """What this distribution asks for: a Python, packages, and packages by extra."""

    python: str
    core: tuple[Requirement, ...]
    extras: Mapping[str, tuple[Requirement, ...]]


def packages() -> Iterator[Check]:
    """Check Python, the packages that are needed, and those of the extras that are there."""
    version = version_of(DISTRIBUTION)
    wanted = stated()
    faults = [] if version else [_uninstalled()]
    if wanted is None:
        yield Check("packages", "not installed as a package", tuple(faults))
        return
    yield python(wanted.python)
    faults += [fault for each in wanted.core if (fault := fault_of(each, needed=True))]
    told = f"{DISTRIBUTION} {version or '(not installed)'}, {len(wanted.core)} needed"
    yield Check("packages", told, tuple(faults))
    seen: set[str] = set()
    for name, named in wanted.extras.items():
        if name not in (DEVELOPMENT, EVERYTHING):
            yield extra(name, named, seen)
    yield Check("other packages", "what they ask for", tuple(quarrels(wanted.core)))


def _uninstalled() -> Problem:
    return Problem(
        "warning", DISTRIBUTION, "code that is not installed as a package", "a package",
        f"run: pip install --editable '{PACKAGE.parent}[all]'",
    )  # fmt: skip


def stated() -> Stated | None:
    """Return what ``pyproject.toml`` asks for in a clone, else what the installed package does."""
    path = PACKAGE.parent / "pyproject.toml"
    if path.is_file():
        project = tomllib.loads(path.read_text("utf-8")).get("project", {})
        if project.get("name") == DISTRIBUTION:
            extras = project["optional-dependencies"]
            return Stated(
                project["requires-python"],
                tuple(map(Requirement, project["dependencies"])),
                {name: tuple(map(Requirement, texts)) for name, texts in extras.items()},
            )
    try:
        own = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return None
    every = [Requirement(text) for text in own.requires or ()]
    core = tuple(each for each in every if _applies(each, ""))
    names = own.metadata.get_all("Provides-Extra") or ()
    extras = {
        name: tuple(each for each in every if _applies(each, name) and each not in core)
        for name in names
    }
    return Stated(own.metadata["Requires-Python"] or "", core, extras)


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def python(wanted: str) -> Check:
    """Check the version of Python."""
    version = platform.python_version()
    good = SpecifierSet(wanted).contains(version, prereleases=True)
    problem = Problem(
        "error", "python", f"version {version}", wanted,
        "run: python3.12 -m venv .venv && .venv/bin/pip install "
        f"'{DISTRIBUTION}[{EVERYTHING}]'",
    )  # fmt: skip
    return Check("python", version, () if good else (problem,))


def fault_of(requirement: Requirement, *, needed: bool) -> Problem | None:
    """Return what is wrong with a package: absent though needed, or of another version."""
    name, found = requirement.name, version_of(requirement.name)
    bare = f"{name}{requirement.specifier}"
    if found is None:
        hint = run("pip", "install", bare)
        return Problem("error", name, "no such package", bare, hint) if needed else None
    if requirement.specifier.contains(found, prereleases=True):
        return None
    why = f" ({WHY[name]})" if name in WHY else ""
    level: Level = "error" if needed or name in FATAL else "warning"
    expected = str(requirement.specifier)
    return Problem(level, name, f"version {found}{why}", expected, run("pip", "install", bare))


def version_of(name: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def extra(name: str, wanted: Iterable[Requirement], told: set[str]) -> Check:
    """Check the packages of one extra; one that is absent is no finding."""
    wanted = list(wanted)
    absent = [each.name for each in wanted if version_of(each.name) is None]
    faults = [
        fault
        for each in wanted
        if each.name not in told and (fault := fault_of(each, needed=False))
    ]
    told.update(each.name for each in wanted)
    install = f"pip install '{DISTRIBUTION}[{name}]'"
    found = f"no {', '.join(absent)}; to add: {install}" if absent else "there"
    return Check(f"extra {name}", found, tuple(faults))


def quarrels(core: Iterable[Requirement]) -> Iterator[Problem]:
    """Yield which installed packages want another version of what is needed here."""
    found = {canonicalize_name(each.name): version_of(each.name) for each in core}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        for wanted in _requirements(distribution):
            version = found.get(canonicalize_name(wanted.name))
            if version and not wanted.specifier.contains(version, prereleases=True):
                yield Problem(
                    "warning", name, f"a package that wants {wanted.name}{wanted.specifier}",
                    f"one that works with {wanted.name} {version}",
                    f"keep it in an environment of its own; {run('pip', 'uninstall', name)}",
                )  # fmt: skip


def _requirements(distribution: metadata.Distribution) -> Iterator[Requirement]:
    environment: Mapping[str, str] = {"extra": ""}
    for text in distribution.requires or ():
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue
        if wanted.marker is None or wanted.marker.evaluate(dict(environment)):
            yield wanted
