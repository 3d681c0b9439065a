"""A synthetic store of a few people, one of whom will be forgotten."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata.store import Store, open_store
from tests.synthetic_trees import synthetic_eeg

SUBJECT = "zq17wvx"
RECORDING = f"sub-{SUBJECT}_task-rest_eeg"
OTHERS = ("kp22", "kp23", "kp24")


def person(subject: str, seed: int = 0, **attrs: Any) -> xr.DataTree:
    """Ten seconds of synthetic EEG that differ with the seed."""
    tree = synthetic_eeg()
    data = tree.children["eeg"].to_dataset(inherit=False)
    moved = np.roll(data["signal_adc"].values, seed, axis=0)
    tree["eeg"] = xr.DataTree(data.assign(signal_adc=(("time", "channel"), moved)))
    tree.attrs.update(subject=subject, species="Homo sapiens", licence="CC0-1.0", **attrs)
    return tree


def signal_of(tree: xr.DataTree) -> np.ndarray[Any, Any]:
    """The signal of an opened recording."""
    values: np.ndarray[Any, Any] = tree.children["eeg"].to_dataset(inherit=False)["signal"].values
    return values


def people(root: Path) -> Store:
    """Two data sets; of the one to forget two versions, another name, and a second data set."""
    store = open_store(root, create=True)
    mine = (("lab", RECORDING, 1), ("lab", RECORDING, 2), ("lab", f"copy_of_{SUBJECT}", 2),
            ("clinic", f"{SUBJECT}_night", 3))  # fmt: skip
    for number, (dataset, recording, seed) in enumerate(mine):
        recipe = {"inputs": [{"size": number, "sha256": f"{number:064x}"}]}
        tree = person(SUBJECT, seed)
        store.publish(tree, dataset=dataset, recording=recording, provenance=recipe)
    for number, other in enumerate(OTHERS):
        store.publish(person(other, 10 + number), dataset="lab", recording=f"sub-{other}_eeg")
    return store


def leave_behind(root: Path, version: Path) -> None:
    """What killed processes leave: a dead ingest, a dead rebuild, a scrap, a log of writes."""
    staging = root / ".staging"
    shutil.copytree(version, staging / "dead")
    (staging / "dead.lock").touch()
    shutil.copytree(version, staging / "stray")
    shutil.copyfile(root / "catalog.sqlite", staging / "catalog.sqlite")
    shutil.copyfile(version / "manifest.json", staging / "scrap.part")
    connection = sqlite3.connect(root / "catalog.sqlite")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


def marks(store: Store) -> set[bytes]:
    """All that tells of the person: subject, names, versions, digests of content and arrays."""
    found = {SUBJECT, RECORDING}
    for path in sorted(store.path.glob("*/*/*/manifest.json")):
        manifest = json.loads(path.read_bytes())
        if manifest["attrs"]["subject"] == SUBJECT:
            found |= {manifest["recording"], path.parent.name, manifest["content"]}
            found.add(manifest["arrays"]["eeg/signal_adc"])
    return {text.encode() for text in found}


def seen(root: Path, words: set[bytes]) -> dict[bytes, list[str]]:
    """Where words stand: in any byte of any file below a folder, or in any name."""
    where: dict[bytes, list[str]] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        data = name.encode() + b"\0" + (path.read_bytes() if path.is_file() else b"")
        for word in words:
            if word in data:
                where.setdefault(word, []).append(name)
    return where
