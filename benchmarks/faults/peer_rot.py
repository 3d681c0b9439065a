"""Bits flipped in arrays that others wrote, as their documentation begins, and read back."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults import rot
from benchmarks.faults.run import LIMITS
from neurodata import open_store
from tests.fuzz.server import Server

Array = np.ndarray[Any, Any]
BATCH = 50


def noise() -> Array:
    """Return what is stored: a signal ``(time, channel)`` of int16."""
    return np.random.default_rng(0).normal(0, 200, (20_000, 4)).round().astype("i2")


@dataclass(frozen=True)
class Writer:
    """How an array is written below a folder, and read again."""

    name: str
    write: Callable[[Path], object]
    read: Callable[[Path], Array]
    needs: str


def _write_own(folder: Path) -> None:
    import xarray as xr

    data = noise()
    names = [f"C{number}" for number in range(data.shape[1])]
    node = xr.Dataset(
        {"signal_adc": (("time", "channel"), data, {"units": "V"}),
         "scale": ("channel", np.full(4, 1e-7)), "offset": ("channel", np.zeros(4))},
        {"channel": names, "type": ("channel", ["EEG"] * 4), "units": ("channel", ["V"] * 4)},
        {"representation": "timeseries", "schema": "timeseries/1", "start_s": 0.0,
         "rate_hz": 250.0, "n": len(data)},
    )  # fmt: skip
    root = xr.Dataset(attrs={"modality": "eeg"})
    tree = xr.DataTree.from_dict({"/": root, "eeg": node})
    open_store(folder / "store", create=True).publish(tree, dataset="lab", recording="a")


def _read_own(folder: Path) -> Array:
    tree = open_store(folder / "store").raw("lab/a")
    return np.asarray(tree["eeg/signal_adc"].values)


def _write_zarr(folder: Path) -> None:
    import zarr

    zarr.create_array(folder / "a.zarr", data=noise(), chunks=(2000, 4))


def _read_zarr(folder: Path) -> Array:
    import zarr

    return np.asarray(zarr.open_array(folder / "a.zarr", mode="r")[...])


def _write_h5py(folder: Path, **options: Any) -> None:
    import h5py

    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("signal", data=noise(), chunks=(2000, 4), **options)


def _read_h5py(folder: Path) -> Array:
    import h5py

    with h5py.File(folder / "a.h5", "r") as file:
        return np.asarray(file["signal"][()])


def _write_nibabel(folder: Path) -> None:
    nibabel: Any = importlib.import_module("nibabel")
    image = nibabel.Nifti1Image(noise().reshape(100, 200, 4), np.eye(4))
    image.to_filename(folder / "a.nii.gz")


def _read_nibabel(folder: Path) -> Array:
    nibabel: Any = importlib.import_module("nibabel")
    return np.asarray(nibabel.load(folder / "a.nii.gz").dataobj).reshape(20_000, 4)


def _write_temporaldata(folder: Path) -> None:
    import h5py

    temporaldata: Any = importlib.import_module("temporaldata")
    data = noise()
    series = temporaldata.RegularTimeSeries(sampling_rate=250.0, signal=data)
    with h5py.File(folder / "a.h5", "w") as file:
        temporaldata.Data(eeg=series, domain=series.domain).to_hdf5(file)


def _read_temporaldata(folder: Path) -> Array:
    import h5py

    temporaldata: Any = importlib.import_module("temporaldata")
    with h5py.File(folder / "a.h5", "r") as file:
        return np.asarray(temporaldata.Data.from_hdf5(file, lazy=False).eeg.signal)


WRITERS: tuple[Writer, ...] = (
    Writer("neurodata", _write_own, _read_own, "neurodata"),
    Writer("zarr, defaults", _write_zarr, _read_zarr, "zarr"),
    Writer("h5py, defaults", _write_h5py, _read_h5py, "h5py"),
    Writer("h5py, gzip", partial(_write_h5py, compression="gzip"), _read_h5py, "h5py"),
    Writer("h5py, Fletcher-32", partial(_write_h5py, fletcher32=True), _read_h5py, "h5py"),
    Writer("nibabel, .nii.gz", _write_nibabel, _read_nibabel, "nibabel"),
    Writer("temporaldata (torch_brain)", _write_temporaldata, _read_temporaldata, "temporaldata"),
)


def run(count: int, seed: int = 1) -> Iterator[tuple[str, tuple[int, Mapping[str, int]]]]:
    """Yield each writer that is installed, with its flips and what came of them."""
    for writer in WRITERS:
        if importlib.util.find_spec(writer.needs) is None:
            continue
        with tempfile.TemporaryDirectory(prefix="neurodata-rot-", dir=rot.memory_folder()) as name:
            whole = Path(name, "whole")
            whole.mkdir()
            writer.write(whole)
            writer.read(whole)  # so that all is imported before the forks
            server = Server(partial(_one, writer, whole), Path(name, "slots"), LIMITS, 2, BATCH)
            kinds = Counter(done.result["class"] for done in server.run(range(count)))
        yield writer.name, (count, {{"timeout": "hang"}.get(k, k): n for k, n in kinds.items()})


def _one(writer: Writer, whole: Path, number: int, folder: Path) -> dict[str, Any]:
    """Flip one bit of what was written, and read it back."""
    copy = folder / "copy"
    shutil.copytree(whole, copy, symlinks=True)
    files = sorted(path for path in copy.rglob("*") if path.is_file() and path.stat().st_size)
    files = [path for path in files if path.name != "catalog.sqlite"]  # an index, made again
    ends = np.cumsum([path.stat().st_size for path in files])
    place = int(np.random.default_rng((1, number)).integers(8 * int(ends[-1])))
    file = int(np.searchsorted(ends, place // 8, side="right"))
    path = files[file]
    rot.flip(path, place - 8 * int(ends[file] - path.stat().st_size))
    try:
        found = writer.read(copy)
    except MemoryError:
        raise
    except Exception:
        return {"class": "refused"}
    same = found.dtype == np.int16 and np.array_equal(found, noise())
    return {"class": "right" if same else "silent"}
