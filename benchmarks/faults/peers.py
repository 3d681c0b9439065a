"""The field's own readers, asked about the same files, as their documentation says.

Each returns the facts of `benchmarks.faults.answers` as far as it has them, in SI units; what it
does not say is not compared. Any exception counts as a refusal; Python warnings and log lines
from the level of a warning on count as findings. A peer is asked about the formats and faults that
it is made for, and about no file whose undamaged twin it does not read.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.answers import marked
from benchmarks.faults.case import Answer, Case

Array = np.ndarray[Any, Any]
Facts = Iterator[tuple[str, Any]]
DAMAGE = frozenset({0, 10, 11, 13})
HEADERS = DAMAGE | {14, 15, 16, 18, 19, 41, 42, 43, 44}
VOLT, NONE = 107, -1  # of FIFF, which MNE keeps units in
SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
METRES = {"meter": 1e3, "mm": 1.0, "micron": 1e-3}


@dataclass(frozen=True)
class Peer:
    """A reader of others.

    Parameters
    ----------
    name : str
        The module to import.
    package : str
        The distribution, for its version.
    opens : callable
        Yields the facts of a file.
    forms : frozenset of str
        Formats that it reads, by the names of our readers.
    faults : frozenset of int
        Faults that it is asked about.
    note : str
        What has to be known to be fair to it.
    """

    name: str
    package: str
    opens: Callable[[Path, Path], Facts]
    forms: frozenset[str]
    faults: frozenset[int]
    note: str = ""

    def missing(self) -> str:
        """Return why it cannot be asked, or ""."""
        try:
            importlib.import_module(self.name)
        except ImportError as error:
            return f"not importable ({type(error).__name__})"
        return ""

    def version(self) -> str:
        """Return its version."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return "unknown"

    def cases(self, every: list[Case]) -> list[Case]:
        """Return the cases that it is asked about."""
        return [c for c in every if c.build and c.form in self.forms and c.fault in self.faults]

    def reads(self, source: Path, folder: Path, declare: Mapping[str, Any]) -> Answer:
        """Read a file, and catch what is said and raised."""
        said: list[str] = []
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: said.append(f"log: {record.getMessage()}")  # type: ignore[method-assign]
        logging.getLogger().addHandler(handler)
        try:
            with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
                warnings.simplefilter("always")
                facts = {key: np.asarray(value) for key, value in self.opens(source, folder)}
        except Exception as error:
            return Answer("refused", error=f"{type(error).__name__}: {error}")
        finally:
            logging.getLogger().removeHandler(handler)
        kinds = (DeprecationWarning, PendingDeprecationWarning, ResourceWarning, FutureWarning)
        said += [str(w.message) for w in caught if not issubclass(w.category, kinds)]
        said = [text.replace(str(folder), "") for text in said]
        return Answer("accepted", facts, _digest(facts), said)


def _digest(facts: Mapping[str, Array]) -> str:
    digest = hashlib.sha256()
    for key in sorted(facts):
        value = np.ascontiguousarray(facts[key])
        digest.update(f"{key} {value.shape} {value.dtype}".encode())
        digest.update(repr(value.tolist()).encode() if value.dtype.kind in "OUST" else value.data)
    return digest.hexdigest()


# the readers


def _mne(path: Path, folder: Path) -> Facts:
    import mne

    raw = mne.io.read_raw(path, preload=True, verbose="warning")
    yield "signal", raw.get_data().T
    yield "rate_hz", float(raw.info["sfreq"])
    yield "channels", list(raw.ch_names)
    names = {VOLT: "V", NONE: "a.u."}
    yield "units", [names.get(int(ch["unit"]), str(ch["unit"])) for ch in raw.info["chs"]]
    yield "times_s", raw.times
    if len(raw.annotations):
        yield "event_s", raw.annotations.onset


def _nibabel(path: Path, folder: Path) -> Facts:
    import nibabel

    return _image(nibabel.load(path))


def _nilearn(path: Path, folder: Path) -> Facts:
    image: Any = importlib.import_module("nilearn.image")
    return _image(image.load_img(str(path)))


def _image(image: Any) -> Facts:
    if not hasattr(image, "header") or not hasattr(image, "affine"):
        yield from ((f"array {n}", item.data) for n, item in enumerate(image.darrays))
        return
    data = np.asarray(image.dataobj)
    yield "image", data
    units = getattr(image.header, "get_xyzt_units", lambda: ("mm", "sec"))()
    if image.affine is not None:
        affine = np.array(image.affine, "f8")
        affine[:3] *= METRES.get(units[0], 1.0)
        yield "affine_mm", affine
        yield from marked(data, affine)
    if data.ndim == 4 and hasattr(image.header, "get_zooms"):
        period_s = float(image.header.get_zooms()[3]) * SECONDS.get(units[1], 1.0)
        yield "rate_hz", 1 / period_s if period_s else np.inf


def _pynwb(path: Path, folder: Path) -> Facts:
    import pynwb

    with pynwb.NWBHDF5IO(path, "r", load_namespaces=True) as stream:
        file = stream.read()
        every = [o for o in file.objects.values() if isinstance(o, pynwb.TimeSeries)]
        neural = [o for o in every if o.neurodata_type in ("ElectricalSeries", "RoiResponseSeries")]
        for series in [*neural, *(o for o in every if o not in neural)]:
            first = bool(neural) and series is neural[0]
            values = np.asarray(series.data[:]) * float(series.conversion) + float(series.offset)
            yield "signal" if first else f"data of {series.name}", values
            rate = series.rate
            if rate is not None:
                yield "rate_hz" if first else f"rate of {series.name}", float(rate)
            else:
                times = np.asarray(series.timestamps[:])
                yield "times_s" if first else f"times of {series.name}", times
        if file.trials is not None:
            yield "event_s", np.asarray(file.trials["start_time"][:])


def _h5py(path: Path, folder: Path) -> Facts:
    import h5py

    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "iufbSU":
            found[name] = item[()]

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    yield from found.items()


def _tifffile(path: Path, folder: Path) -> Facts:
    import tifffile

    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        data = series.asarray()
        axes = [axis for axis in "XYZ" if axis in series.axes]
        others = [axis for axis in series.axes if axis not in axes]
        yield "image", data.transpose([series.axes.index(axis) for axis in (*axes, *others)])
        yield "axes", series.axes


def _scipy(path: Path, folder: Path) -> Facts:
    from scipy import io

    if path.read_bytes()[:3] == b"CDF":
        with io.netcdf_file(path, "r", mmap=False) as file:
            yield from ((name, item[...].copy()) for name, item in file.variables.items())
        return
    for name, value in io.loadmat(path, squeeze_me=False, struct_as_record=True).items():
        if not name.startswith("__"):
            yield name, np.array(repr(value))


def _zarr(path: Path, folder: Path) -> Facts:
    import zarr

    root = zarr.open(path.parent if path.is_file() else path, mode="r")
    if isinstance(root, zarr.Array):
        yield "array", root[...]
        return
    for name, item in root.members(max_depth=None):
        if isinstance(item, zarr.Array):
            yield name, item[...]


def _pooch(path: Path, folder: Path) -> Facts:
    """Unpack an archive as pooch's processors do; only hostile archives are asked about."""
    pooch: Any = importlib.import_module("pooch")
    found = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for archive in found:
        if zipfile.is_zipfile(archive):
            processor = pooch.Unzip(extract_dir=str(folder / "unpacked"))
        elif tarfile.is_tarfile(archive):
            processor = pooch.Untar(extract_dir=str(folder / "unpacked"))
        else:
            continue
        for name in sorted(processor(str(archive), "download", None)):
            member = Path(name)
            if member.is_file():
                yield str(member.relative_to(folder)), np.frombuffer(member.read_bytes(), "u1")


PEERS: tuple[Peer, ...] = (
    Peer("mne", "mne", _mne,
         frozenset({"edf", "brainvision", "snirf", "fif", "eeglab", "gdf", "neuroscan", "persyst",
                    "nihon", "egi", "ctf", "kit"}), HEADERS,
         "claims no judgement of whether a stated unit or rate is plausible (41, 42, half of 15);"
         " units of BrainVision that it does not know it calls none"),
    Peer("nibabel", "nibabel", _nibabel,
         frozenset({"nifti", "mgh", "minc", "gifti", "cifti", "afni", "parrec"}), HEADERS,
         "its affine is taken in the header's unit of length where one is stated; says that units"
         " are the caller's business"),
    Peer("nilearn", "nilearn", _nilearn, frozenset({"nifti"}), HEADERS),
    Peer("pynwb", "pynwb", _pynwb, frozenset({"nwb"}), HEADERS,
         "checks the schema and claims no judgement of content (15, 16, 41, 44): nwbinspector, a"
         " second program, has some"),
    Peer("h5py", "h5py", _h5py,
         frozenset({"nwb", "snirf", "hdf5", "caiman", "shd", "nwb1"}), DAMAGE,
         "knows no meaning, so it is asked about damage only"),
    Peer("tifffile", "tifffile", _tifffile, frozenset({"tiff", "scanimage"}), DAMAGE | {43},
         "knows pixels; sizes in micrometres are the caller's business"),
    Peer("scipy", "scipy", _scipy, frozenset({"matlab", "minc"}), DAMAGE),
    Peer("zarr", "zarr", _zarr, frozenset({"zarr_array", "ome_zarr"}), DAMAGE,
         "reads missing chunks as fill values by design unless told otherwise"),
    Peer("pooch", "pooch", _pooch, frozenset({"hostile"}), frozenset({20}),
         "asked about archives: whether what it unpacks stays in its folder"),
    Peer("torch_brain", "torch_brain", _h5py, frozenset(), frozenset(),
         "reads HDF5 files of its own form only; it takes part in bit rot"),
)  # fmt: skip
