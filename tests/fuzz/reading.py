"""What a case does with its folder: as ingest, up to the validated tree with all values read."""

from __future__ import annotations

import hashlib
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata.declare import Value
from neurodata.errors import NeurodataError, ProblemsError, RefusedError
from neurodata.ingestion import normalise
from neurodata.plan import Job
from neurodata.readers import reader
from neurodata.recognise import recognise
from neurodata.safe import Raw
from neurodata.sources import Fingerprint, matching, scan

Facts = dict[str, dict[str, str]]
"""Digests by category and name."""

CLOCK = {"rate_hz", "start_s", "duration_s", "stop_s", "n", "time"}
SCALE = {"scale", "offset"}
PLACE = {"affine", "spacing", "origin", "position", "translation", "direction", "voxel_mm"}
EXHAUSTED = re.compile(r"MemoryError|[Uu]nable to allocate|out of memory|memory exhausted")


def outcome(
    root: Path, name: str, declared: Mapping[str, Value], only: str | None = None
) -> dict[str, Any]:
    """Read whatever the folder holds, and say what came of it.

    Parameters
    ----------
    name : str
        The reader that knows the undamaged recording; it is asked also when the damage hides
        the format from recognition, for no damage may make it raise a foreign exception.
    only : str, optional
        The reader that a pipeline names, where recognition would choose another.

    Returns
    -------
    dict
        ``class`` is ``accepted`` (with ``facts`` and ``warnings``), ``refused``, ``foreign`` or
        ``memory`` (with ``error`` and ``trace``).
    """
    facts: Facts = {}
    warnings: list[str] = []
    refusals: list[str] = []
    try:
        found, problems = recognise(scan(root), only)
        for item in found:
            job = Job("fuzz", item.name, root, item.files, item.reader, dict(declared))
            try:
                tree, findings = normalise(job, Raw(root, item.files, list(item.problems)))
                _add(facts, item.reader, tree)
                warnings += [str(p) for p in findings if p.level == "warning"]
            except NeurodataError as error:
                refusals.append(_refusal(error))
        refusals += [str(p) for p in problems if p.level == "error"]
        warnings += [str(p) for p in problems if p.level == "warning"]
        if name not in {item.reader for item in found}:
            _ask(root, name, dict(declared))
    except BaseException as error:
        # a refusal that leaves recognition would stop the other recordings of the folder
        kind = "memory" if isinstance(error, MemoryError) else "foreign"
        trace = "".join(traceback.format_exception(error)[-12:])
        return {"class": kind, "error": f"{type(error).__name__}: {error}"[:300], "trace": trace}
    if facts:
        return {"class": "accepted", "facts": facts, "warnings": warnings, "error": refusals[:1]}
    error = refusals[0] if refusals else "no recording"
    return {"class": "memory" if EXHAUSTED.search(error) else "refused", "error": error[:300]}


def _ask(root: Path, name: str, declared: dict[str, Value]) -> None:
    """Have a reader read files that it does not recognise: it may refuse, nothing else."""
    files = scan(root).files
    module = reader(name)
    for path in [p for p in files if p.name.lower().endswith(module.SUFFIXES)][:2]:
        try:
            members = module.members(path, files)
            job = Job("fuzz", "asked", root, members, name, declared)
            tree, _ = normalise(job, Raw(root, members))
            _add({}, name, tree)
        except NeurodataError as error:
            if EXHAUSTED.search(_refusal(error)):
                raise MemoryError(str(error)) from error


def _refusal(error: NeurodataError) -> str:
    """Return a refusal's message, with the names of the exceptions that led to it."""
    if isinstance(error, RefusedError):
        assert error.where, "a refusal says where"
        assert error.found, "a refusal says what was found"
    elif isinstance(error, ProblemsError):
        assert error.problems, "a refusal says what was found"
    names, cause = [], error.__cause__ or error.__context__
    while cause is not None and len(names) < 5:
        names.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    return f"{type(error).__name__}: {error} ({', '.join(names)})"


def known(root: Path, stated: Mapping[str, Fingerprint]) -> bool:
    """Say whether files with stated sizes and checksums are all there, as ingest compares them."""
    there = {path.relative_to(root).as_posix(): path for path in scan(root).files}
    if set(stated) - set(there):
        return False
    try:
        for name, fingerprint in stated.items():
            matching(there[name], name, fingerprint)
    except NeurodataError:
        return False
    return True


# facts of a tree


def _add(facts: Facts, name: str, tree: xr.DataTree) -> None:
    """Add the digests of everything in a tree, every value read."""
    for category, key, value in _parts(tree):
        facts.setdefault(category, {})[f"{name}/{key}"] = value


def _parts(tree: xr.DataTree) -> Iterator[tuple[str, str, str]]:
    for node in tree.subtree:
        below = node.path.strip("/")
        yield "nodes", below, str(node.attrs.get("representation"))
        for key, value in node.attrs.items():
            yield _category(str(key), None), f"{below}@{key}", _short(repr(value))
        for label, variable in node.to_dataset(inherit=False).variables.items():
            at = f"{below}/{label}"
            values = np.asarray(variable.values)
            yield "shape", at, f"{dict(variable.sizes)} {values.dtype}"
            yield _category(str(label), values.dtype), at, _digest(values)
            for key, value in variable.attrs.items():
                yield _category(str(key), None), f"{at}@{key}", _short(repr(value))


def _category(name: str, dtype: np.dtype[Any] | None) -> str:
    tests: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("clock", lambda: name in CLOCK),
        ("scale", lambda: name in SCALE),
        ("place", lambda: name in PLACE),
        ("units", lambda: name == "units" or name.endswith("_units")),
        ("attributes", lambda: dtype is None),
        ("names", lambda: dtype is not None and dtype.kind in "OUT"),
    )
    return next((category for category, test in tests if test()), "values")


def _short(text: str) -> str:
    return text if len(text) < 100 else hashlib.sha256(text.encode()).hexdigest()[:20]


def _digest(values: np.ndarray[Any, Any]) -> str:
    if values.size == 1 or values.dtype.kind in "OUT":
        return _short(repr(values.tolist()))
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:20]
