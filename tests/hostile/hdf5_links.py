"""HDF5 files that read other files of the machine, or have code loaded, in every reader of HDF5."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5f, h5p, h5s, h5t

from tests.hostile.case import Case, marker, raw_folder, secret
from tests.hostile.twins import declared, make

COUNT = 512
Fill = Callable[[h5py.File, Path], None]


def target(folder: Path) -> Path:
    """Write an HDF5 file outside and return its path."""
    path = secret(folder, "secret.h5", b"")
    with h5py.File(path, "w") as file:
        file["secret"] = np.arange(float(COUNT)).reshape(-1, 8)
        file["group/secret"] = file["secret"]
    return path


def written(fill: Fill, folder: Path) -> Path:
    """Write a file with honest numbers and a hostile part."""
    outside = target(folder)
    path = raw_folder(folder) / "synthetic.h5"
    with h5py.File(path, "w") as file:
        file["honest"] = np.arange(12.0).reshape(4, 3)
        fill(file, outside)
    return raw_folder(folder)


# ---- links


def external(file: h5py.File, path: Path) -> None:
    file["data"] = h5py.ExternalLink(str(path), "/secret")


def external_relative(file: h5py.File, path: Path) -> None:
    file["data"] = h5py.ExternalLink("../outside/secret.h5", "/secret")


def external_middle(file: h5py.File, path: Path) -> None:
    file["away"] = h5py.ExternalLink(str(path), "/group")
    file["data"] = h5py.SoftLink("/away/secret")


def external_deep(file: h5py.File, path: Path) -> None:
    file["a/b/c/data"] = h5py.ExternalLink(str(path), "/secret")


def soft_chain(file: h5py.File, path: Path) -> None:
    file["hidden/last"] = h5py.ExternalLink(str(path), "/secret")
    file["second"] = h5py.SoftLink("/hidden/last")
    file["first"] = h5py.SoftLink("second")
    file["data"] = h5py.SoftLink("/first")


def soft_upwards(file: h5py.File, path: Path) -> None:
    file["group/data"] = h5py.SoftLink("../../outside/secret.h5")


def soft_circle(file: h5py.File, path: Path) -> None:
    file["data"], file["other"] = h5py.SoftLink("/other"), h5py.SoftLink("/data")


def user_link(folder: Path) -> Path:
    """An external link whose type is changed to one that a plug-in would follow."""
    base = written(external, folder)
    path = base / "synthetic.h5"
    whole = path.read_bytes()
    at = whole.index(b"\x04data")
    kind = whole.rindex(b"\x40", at - 3, at)
    path.write_bytes(whole[:kind] + b"\x41" + whole[kind + 1 :])
    return base


# ---- storage


def raw_storage(file: h5py.File, path: Path) -> None:
    file.create_dataset("data", (64, 8), "u1", external=[(str(path), 0, COUNT)])


def raw_relative(file: h5py.File, path: Path) -> None:
    file.create_dataset("data", (64, 8), "u1", external=[("../outside/secret.h5", 0, COUNT)])


def raw_pieces(file: h5py.File, path: Path) -> None:
    pieces = [("honest.bin", 0, 8), (str(path), 0, COUNT - 8)]
    file.create_dataset("data", (64, 8), "u1", external=pieces)


def raw_by_hard_link(file: h5py.File, path: Path) -> None:
    file.create_dataset("a/b/hidden", (64, 8), "u1", external=[(str(path), 0, COUNT)])
    file["data"] = file["a/b/hidden"]


def raw_by_reference(file: h5py.File, path: Path) -> None:
    file.create_dataset("#refs#/a", (64, 8), "u1", external=[(str(path), 0, COUNT)])
    file["data"] = np.array([file["#refs#/a"].ref] * 3, dtype=h5py.ref_dtype)


def raw_by_region(file: h5py.File, path: Path) -> None:
    hidden = file.create_dataset("#refs#/a", (64, 8), "u1", external=[(str(path), 0, COUNT)])
    file["data"] = np.array([hidden.regionref[:4]], dtype=h5py.regionref_dtype)


def raw_of_named_type(file: h5py.File, path: Path) -> None:
    file["kind"] = np.dtype([("a", "u1"), ("b", "u1", (7,))])
    kind = file["kind"]
    file.create_dataset("data", (64,), kind, external=[(str(path), 0, COUNT)])


def virtual(file: h5py.File, path: Path) -> None:
    layout = h5py.VirtualLayout((64, 8), "f8")
    layout[:] = h5py.VirtualSource(str(path), "secret", (64, 8))
    file.create_virtual_dataset("data", layout)


def virtual_unlimited(file: h5py.File, path: Path) -> None:
    layout = h5py.VirtualLayout((COUNT,), "f8", maxshape=(None,))
    source = h5py.VirtualSource(str(path), "secret", (COUNT,), maxshape=(None,))
    layout[: h5s.UNLIMITED] = source[: h5s.UNLIMITED]
    file.create_virtual_dataset("data", layout)


# ---- filters


def with_filter(code: int, file: h5py.File, path: Path) -> None:
    plist = h5p.create(h5p.DATASET_CREATE)
    plist.set_chunk((8, 8))
    plist.set_filter(code, 1, (3,))
    space = h5s.create_simple((64, 8))
    dataset = h5d.create(file.id, b"data", h5t.NATIVE_INT32, space, plist)
    for row in range(0, 64, 8):
        dataset.write_direct_chunk((row, 0), bytes(256))


def plug_in(folder: Path) -> Path:
    """A filter that nobody has, and a plug-in of it beside the file and outside."""
    base = written(partial(with_filter, 305), folder)
    code = b"\x7fELF" + bytes(60)
    (base / "libsynthetic305.so").write_bytes(code)
    (marker(folder).parent / "libsynthetic305.so").write_bytes(code)
    return base


# ---- what readers of HDF5 look for, replaced by what lies outside

FORMATS = (
    "nwb.TestNwb", "nwb1.TestNwb1", "snirf.TestSnirf", "shd.TestShd", "caiman.TestCaiman",
    "eeglab.TestEeglab73", "matlab.TestMat73", "matlab.TestHdf5", "minc.TestMinc2",
    "movie.TestHdf5Movie",
)  # fmt: skip


def replaced(story: str, how: str, folder: Path) -> Path:
    """A valid recording whose largest numbers lie in a file outside."""
    main = make(story, folder)
    with h5py.File(main, "r+") as file:
        sizes: dict[str, int] = {}

        def note(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset) and item.dtype.kind in "iuf" and item.shape:
                sizes[name] = item.nbytes

        file.visititems(note)
        name = max(sizes, key=lambda key: sizes[key])
        shape, dtype, attrs = file[name].shape, file[name].dtype, dict(file[name].attrs)
        outside = secret(folder, "secret.h5", b"")
        with h5py.File(outside, "w") as other:
            file.copy(file[name], other, "secret", expand_refs=False)
        del file[name]
        if how == "link":
            file[name] = h5py.ExternalLink(str(outside), "/secret")
            return raw_folder(folder)
        if how == "virtual":
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource(str(outside), "secret", shape)
            made = file.create_virtual_dataset(name, layout)
        else:
            storage = [(str(outside), 0, h5f.UNLIMITED)]
            made = file.create_dataset(name, shape, dtype, external=storage)
        for key, value in attrs.items():
            if not isinstance(value, (h5py.Reference, np.ndarray)):
                made.attrs[key] = value
    return raw_folder(folder)


FILLS: tuple[tuple[str, str, Fill, bool], ...] = (
    ("external", "an external link", external, True),
    ("external-relative", "an external link upwards", external_relative, True),
    ("external-middle", "a soft link over an external one in its middle", external_middle, True),
    ("external-deep", "an external link deep in groups", external_deep, True),
    ("soft-chain", "soft links one after the other, an external one at the end", soft_chain, True),
    ("soft-upwards", "a soft link that goes upwards as in a file system", soft_upwards, True),
    ("soft-circle", "two soft links that lead to each other", soft_circle, False),
    ("raw", "data in a file outside", raw_storage, True),
    ("raw-relative", "data in a file upwards", raw_relative, True),
    ("raw-pieces", "data in two files, the second one outside", raw_pieces, True),
    ("raw-hard-link", "data outside, by a second name", raw_by_hard_link, True),
    ("raw-reference", "data outside, by a reference", raw_by_reference, True),
    ("raw-region", "data outside, by a reference to a part", raw_by_region, True),
    ("raw-named-type", "data outside, of a type that the file names", raw_of_named_type, True),
    ("virtual", "a virtual dataset of a file outside", virtual, True),
    ("virtual-unlimited", "a virtual dataset that is opened when its shape is asked for",
     virtual_unlimited, True),
    ("filter", "a filter that only a plug-in has", partial(with_filter, 32015), False),
    ("filter-private", "a filter of a number that is nobody's", partial(with_filter, 65000), False),
)  # fmt: skip
CASES: tuple[Case, ...] = (
    *(Case(f"hdf5-{name}", 23, story, partial(written, fill), canary)
      for name, story, fill, canary in FILLS),
    Case("hdf5-user-link", 23, "a link of a type that a plug-in would follow", user_link, True),
    Case("hdf5-plug-in", 23, "a filter whose plug-in lies beside the file", plug_in, True),
    *(Case(f"{story.replace('.Test', '-').lower()}-{how}", 23,
           f"the main data of a recording are an external {how}", partial(replaced, story, how),
           True, partial(declared, story))
      for story in FORMATS for how in ("link", "raw", "virtual")),
)  # fmt: skip
