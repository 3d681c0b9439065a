"""The manifest: what one version of a recording holds, where it came from, how it was made."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import DISTRIBUTION, IntegrityError, InvalidInputError
from neurodata.store.digest import canonical, plain, sha256
from neurodata.store.files import read as bytes_of

FORMAT = "neurodata-manifest/1"
NAME = "manifest.json"
TREE = "data.zarr"
VERSION_LENGTH = 16
PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
PROVENANCE = ("inputs", "reader", "options", "declarations", "steps")


def check_part(part: str, what: str) -> str:
    """Return one part of an id when it is of the allowed form.

    Raises
    ------
    InvalidInputError
        When it is not.

    Examples
    --------
    >>> check_part("sub-01_task-rest_eeg", "recording")
    'sub-01_task-rest_eeg'
    """
    if not PART.fullmatch(part):
        raise InvalidInputError(
            what, repr(part), "up to 128 letters, digits, '_', '.', '-'; first a letter or digit"
        )
    return part


def code() -> dict[str, str]:
    """Return name and version of this distribution."""
    try:
        return {"name": DISTRIBUTION, "version": version(DISTRIBUTION)}
    except PackageNotFoundError:
        return {"name": DISTRIBUTION, "version": "unknown"}


def recipe(provenance: Mapping[str, Any]) -> str:
    """Return the digest of inputs and instructions: equal recipes make equal recordings."""
    inputs = [{k: i[k] for k in ("size", "sha256")} for i in provenance.get("inputs") or ()]
    rest = {key: provenance.get(key) for key in PROVENANCE[1:]}
    made = provenance.get("code") or code()
    return sha256(canonical({"inputs": inputs, "code": made, **rest}))


def build(
    tree: xr.DataTree,
    files: Mapping[str, tuple[int, str]],
    identity: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the manifest of a staged version.

    Parameters
    ----------
    files : mapping
        Size and sha256 of every file, by its path below the version's folder.
    identity : mapping
        ``dataset``, ``recording``, ``content``, ``arrays``, ``layout``, ``finite``.
    """
    nodes = {path: node for path, node in tree.subtree_with_keys if path != "."}
    kinds = ("representation", "schema")
    return {
        "format": FORMAT,
        **identity,
        "files": [entry(path, *facts) for path, facts in sorted(files.items())],
        **{key: plain(provenance.get(key)) for key in PROVENANCE},
        **{key: plain(provenance[key]) for key in ("removed",) if key in provenance},
        "code": code(),
        "nodes": {path: {k: node.attrs.get(k) for k in kinds} for path, node in nodes.items()},
        "attrs": plain(tree.attrs),
        "summary": {path: summary(node.to_dataset()) for path, node in nodes.items()},
    }


def entry(path: str, size: int, sha256: str) -> dict[str, Any]:
    """Return what a manifest says of a file."""
    return {"path": path, "size": size, "sha256": sha256}


def summary(node: xr.Dataset) -> dict[str, Any]:
    """Return what a catalogue wants to know of a node: sizes, clock, units.

    Examples
    --------
    >>> summary(xr.Dataset({"signal": ("time", [0.0, 1.0], {"units": "V"})},
    ...                    attrs={"start_s": 0.0, "rate_hz": 2.0, "n": 2}))
    {'dims': {'time': 2}, 'units': 'V', 'start_s': 0.0, 'rate_hz': 2.0, 'n': 2, 'stop_s': 1.0}
    """
    facts: dict[str, Any] = {"dims": {str(dim): int(n) for dim, n in node.sizes.items()}}
    for name in ("signal", "signal_adc", "image", "image_adc", "weight"):
        if name in node:
            own = node[name].attrs.get("units") or node.attrs.get("units")
            facts["units"] = own or node.attrs.get("weight_units")
    facts.update(
        {k: v for k, v in node.attrs.items() if k in ("start_s", "rate_hz", "n", "stop_s")}
    )
    if "rate_hz" in facts and "n" in facts:
        facts["stop_s"] = facts["start_s"] + facts["n"] / facts["rate_hz"]
    elif "time" in node.coords and node.sizes["time"]:
        time = np.asarray(node["time"].values, "float64")
        facts.update(start_s=float(time[0]), stop_s=float(time[-1]), n=int(time.size))
    return plain(facts)  # type: ignore[no-any-return]


def encode(manifest: Mapping[str, Any]) -> bytes:
    """Return the manifest's bytes; their sha256 names the version."""
    text = json.dumps(manifest, sort_keys=True, ensure_ascii=False, indent=1, allow_nan=False)
    return text.encode() + b"\n"


def version_of(data: bytes) -> str:
    """Return the version that a manifest's bytes give."""
    return sha256(data)[:VERSION_LENGTH]


def read(folder: Path) -> dict[str, Any]:
    """Return the manifest of a version's folder, after comparing its digest with the name.

    Raises
    ------
    IntegrityError
        When it is missing or changed.
    """
    path = folder / NAME
    try:
        data = bytes_of(path)
    except OSError as error:
        raise IntegrityError(str(path), "no manifest", "one", "ingest it again") from error
    if version_of(data) != folder.name:
        raise IntegrityError(
            str(path),
            f"a manifest whose digest begins with {version_of(data)}",
            f"{folder.name}, as the folder is called",
            "ingest it again",
        )
    manifest: dict[str, Any] = json.loads(data)
    if manifest.get("format") != FORMAT:
        raise IntegrityError(str(path), str(manifest.get("format")), FORMAT, "update neurodata")
    return manifest
