"""Pickles that touch a marker, wherever a format could hold one."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.hostile.case import Case, marker, raw_folder
from tests.hostile.twins import declared, make


class Touch:
    """What opens a file for writing as soon as it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.path), "w")


def gadget(folder: Path, protocol: int = 2) -> bytes:
    return pickle.dumps(Touch(marker(folder)), protocol)


def npy(content: bytes, shape: tuple[int, ...] = (1,)) -> bytes:
    """An NPY file of objects."""
    stream = io.BytesIO()
    facts = {"descr": "|O", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, facts)
    return stream.getvalue() + content


def lone(name: str, folder: Path, protocol: int = 2) -> Path:
    path = raw_folder(folder) / name
    path.write_bytes(gadget(folder, protocol))
    return raw_folder(folder)


def objects(name: str, folder: Path) -> Path:
    path = raw_folder(folder) / name
    path.write_bytes(npy(pickle.dumps(np.array([Touch(marker(folder))], dtype=object))))
    return raw_folder(folder)


SUITE2P = "suite2p.TestSuite2p"


def suite2p(folder: Path) -> Path:
    """A valid folder of suite2p, its honest pickles too."""
    from tests.readers.test_suite2p import synthetic

    synthetic(raw_folder(folder))
    return raw_folder(folder)


def replaced(story: str, name: str, folder: Path) -> Path:
    """A valid recording of which one array holds objects."""
    suite2p(folder) if story == SUITE2P else make(story, folder)
    path = sorted(raw_folder(folder).rglob(name))[0]
    path.write_bytes(npy(pickle.dumps(np.array([Touch(marker(folder))], dtype=object)), ()))
    return raw_folder(folder)


def ops_within(folder: Path) -> Path:
    """Settings that are honest but for one value."""
    suite2p(folder)
    path = sorted(raw_folder(folder).rglob("ops.npy"))[0]
    value = np.array({"fs": 30.0, "Ly": Touch(marker(folder))}, dtype=object)
    path.write_bytes(npy(pickle.dumps(value), ()))
    return raw_folder(folder)


def in_zip(name: str, members: Callable[[Path], dict[str, bytes]], folder: Path) -> Path:
    path = raw_folder(folder) / name
    with zipfile.ZipFile(path, "w") as file:
        for member, data in members(folder).items():
            file.writestr(member, data)
    return path


def checkpoint(folder: Path) -> dict[str, bytes]:
    """What torch.save writes."""
    return {"model/data.pkl": gadget(folder), "model/version": b"3\n", "model/byteorder": b"little"}


def arrays(folder: Path) -> dict[str, bytes]:
    value = np.array([Touch(marker(folder))], dtype=object)
    return {"traces.npy": npy(pickle.dumps(value)), "rate_hz.npy": npy(pickle.dumps(value))}


def opaque(folder: Path) -> Path:
    """A MAT file of version 7.3 with an object of a class, its bytes a pickle."""
    import h5py

    main = make("matlab.TestMat73", folder)
    with h5py.File(main, "r+") as file:
        data = np.frombuffer(gadget(folder), "u1")
        for name in list(file):
            if isinstance(file[name], h5py.Dataset):
                del file[name]
        file["object"] = data
        file["object"].attrs["MATLAB_class"] = np.bytes_("FileWrapper__")
        file["object"].attrs["MATLAB_object_decode"] = np.int32(3)
    return raw_folder(folder)


def in_hdf5(folder: Path) -> Path:
    """A pickle as an opaque attribute and dataset, as PyTables keeps objects."""
    import h5py

    path = raw_folder(folder) / "synthetic.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.void(gadget(folder))
        file.attrs["CLASS"], file.attrs["object"] = "VLARRAY", np.void(gadget(folder))
    return raw_folder(folder)


def phy_parameters(folder: Path) -> Path:
    """Parameters of phy are a Python file."""
    main = make("phy.TestPhy", folder)
    code = f"open({str(marker(folder))!r}, 'w').close()\n"
    main.write_bytes(code.encode() + main.read_bytes())
    return raw_folder(folder)


NPY = ("F.npy", "spks.npy", "iscell.npy", "stat.npy", "ops.npy")
CASES: tuple[Case, ...] = (
    Case("pickle", 22, "a pickle that opens a file", partial(lone, "synthetic.pkl"), True),
    Case("pickle-text", 22, "a pickle of protocol 0, which is text",
         partial(lone, "synthetic.pickle", protocol=0), True),
    Case("pickle-as-edf", 22, "a pickle with the suffix of EDF", partial(lone, "a.edf"), True),
    Case("joblib", 22, "a pickle as joblib writes it",
         partial(lone, "synthetic.joblib", protocol=4), True),
    Case("npy-objects", 22, "a NumPy array of objects", partial(objects, "synthetic.npy"), True),
    Case("movie-objects", 22, "a movie of objects", partial(replaced, "movie.TestMovie", "*.npy"),
         True, partial(declared, "movie.TestMovie")),
    *(Case(f"suite2p-{name.removesuffix('.npy').lower()}", 22, f"objects in suite2p's {name}",
           partial(replaced, SUITE2P, name), True, partial(declared, SUITE2P)) for name in NPY),
    Case("suite2p-ops-within", 22, "one hostile value within suite2p's settings", ops_within, True,
         partial(declared, SUITE2P)),
    *(Case(f"phy-{name.removesuffix('.npy').replace('_', '-')}", 22, f"objects in phy's {name}",
           partial(replaced, "phy.TestPhy", name), True)
      for name in ("spike_times.npy", "spike_clusters.npy")),
    Case("phy-parameters", 22, "code in phy's parameters", phy_parameters, True),
    Case("npz", 22, "NumPy arrays of objects in a zip", partial(in_zip, "synthetic.npz", arrays),
         True),
    Case("pt", 22, "a checkpoint of torch", partial(in_zip, "synthetic.pt", checkpoint), True),
    Case("mat-opaque", 22, "an object of a class in MATLAB 7.3", opaque, True),
    Case("hdf5-opaque", 22, "a pickle as opaque bytes in HDF5", in_hdf5, True),
)  # fmt: skip
VALID: tuple[Case, ...] = (
    Case("suite2p-pickles-valid", 0, "honest pickles of suite2p", suite2p,
         facts=partial(declared, SUITE2P)),
)  # fmt: skip
