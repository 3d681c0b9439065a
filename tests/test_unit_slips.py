"""Real recordings with a unit off by 10^3, 10^6 or 10^9 are told; as they are, they are not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import xarray as xr

from neurodata import quality, units
from neurodata.declare import parse
from neurodata.ingestion import ingest
from neurodata.store import Store, open_store
from tests.test_acceptance_counts import FOLDERS, dataset_of

POWERS = (3, 6, 9, -3, -6, -9)
LENGTH = 20_000  # samples that are looked at
MISSTATED = {"task-gripforce": 6}
"""Files whose own unit is off: microvolts that they say are volts."""
SLIP = "perhaps off by"


def judged(store: Store) -> Iterator[tuple[str, str, xr.Dataset, str]]:
    """Yield what has a plausible size: recording, node, its data (a part of it), modality."""
    for name in store.ids():
        tree = store.raw(name)
        modality = str(tree.attrs["modality"])
        for path, node in tree.children.items():
            data = node.to_dataset()
            kind = data.attrs["representation"]
            if kind == "timeseries" and any(band is not None for band in bands(data)):
                part = data.isel(time=slice(0, LENGTH)).load()
                yield name, path, part.assign_attrs(n=part.sizes["time"]), modality
            elif kind == "volume" and (size_of(data, modality) is not None):
                yield name, path, data, modality


def bands(data: xr.Dataset) -> list[units.Band | None]:
    if "type" not in data.variables:
        return []
    pairs = zip(data["type"].values, data["units"].values, strict=True)
    return [units.signal_band(str(kind), str(symbol)) for kind, symbol in pairs]


def size_of(data: xr.Dataset, modality: str) -> str | None:
    """The variable that states the size of voxels in the unit of the band, if any."""
    band = units.VOXEL_BANDS.get(modality)
    names = [key for key in ("affine", "spacing") if key in data.variables]
    return next((key for key in names if band and data[key].attrs["units"] == band.symbol), None)


def slipped(data: xr.Dataset, modality: str, power: int) -> xr.Dataset:
    if data.attrs["representation"] == "volume":
        key = size_of(data, modality)
        return data.assign({key: data[key] * 10.0**power})
    if "scale" in data.variables:
        return data.assign(scale=data["scale"] * 10.0**power, offset=data["offset"] * 10.0**power)
    return data.assign(signal=data["signal"].astype("f8") * 10.0**power)


def missed_rates(store: Store) -> tuple[list[str], int]:
    """Return the slips of sampling rates that are not told, and how many slips there are."""
    silent, count = [], 0
    for name, path, data, modality in judged(store):
        rate_hz = data.attrs.get("rate_hz")
        if modality not in units.RATE_BANDS or not rate_hz or re.search(r"_[\d.]+hz$", path):
            continue
        for power in POWERS:
            count += 1
            other = data.assign_attrs(rate_hz=rate_hz * 10.0**power)
            found = list(quality.findings(path, other, modality))
            hints = [p.hint for p in found if p.where == f"{path}: rate_hz"]
            if not any(re.search(rf"10\^{power}\b", hint) for hint in hints):
                silent.append(f"{name} {path}: {rate_hz:g} Hz, 10^{power}")
        found = list(quality.findings(path, data, modality))
        assert not [p for p in found if p.where == f"{path}: rate_hz"]
    return silent, count


def told(path: str, data: xr.Dataset, modality: str) -> list[str]:
    if data.attrs["representation"] == "volume":
        found = quality._geometry(path, data, modality)  # voxels alone, and not all values
    else:
        found = iter(quality.findings(path, data, modality))
    return [p.hint for p in found if SLIP in p.hint and "rate" not in p.where]


def missed(store: Store) -> tuple[list[str], list[str], int]:
    """Return the slips that are not told, the false alarms, and how many slips there are.

    What a file misstates is put right first.
    """
    silent, alarms, count = [], [], 0
    for name, path, stated, modality in judged(store):
        off = next((power for mark, power in MISSTATED.items() if mark in name), 0)
        data = slipped(stated, modality, -off)
        assert bool(told(path, stated, modality)) == bool(off), name
        alarms += [f"{name} {path}: {hint}" for hint in told(path, data, modality)]
        for power in POWERS:
            count += 1
            hints = told(path, slipped(data, modality, power), modality)
            if not any(re.search(rf"10\^{power}\b", hint) for hint in hints):
                silent.append(f"{name} {path}: 10^{power}")
    return silent, alarms, count


def test_every_slip_of_a_shipped_sample_is_told_and_no_sample_itself(sample_store: Store) -> None:
    silent, alarms, count = missed(sample_store)
    assert (silent, alarms) == ([], [])
    assert count >= 30
    silent, count = missed_rates(sample_store)
    assert silent == []
    assert count >= 20


@pytest.mark.acceptance
@pytest.mark.slow
def test_every_slip_of_a_real_recording_is_told_and_no_recording_itself(
    realdata: Path, tmp_path: Path
) -> None:
    for place, (declared, _) in FOLDERS.items():
        if place.split("/")[1] in ("eeg_meg_ieeg", "calcium", "mri", "fmri", "microscopy"):
            ingest(
                realdata / place, store=tmp_path / "store", dataset=dataset_of(place),
                declare=parse(declared),
            )  # fmt: skip
    store = open_store(tmp_path / "store")
    silent, alarms, count = missed(store)
    assert (silent, alarms) == ([], [])
    assert count >= 300
    silent, count = missed_rates(store)
    assert silent == []
    assert count >= 60
