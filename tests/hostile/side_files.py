"""Headers that name files elsewhere, and links of the file system that lead there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.hostile.case import SECRET, Case, raw_folder, secret
from tests.hostile.twins import declared, make, swap

Edit = Callable[[bytes, str], bytes]
UPWARDS, ABSOLUTE = "upwards", "absolute"
EDF = "edf.TestEdf"


def place(folder: Path, how: str, name: str) -> str:
    """Return how a header names a file outside, which is written."""
    path = secret(folder, name, SECRET * 40)
    return str(path) if how == ABSOLUTE else f"../outside/{name}"


def named(story: str, suffix: str, edit: Edit, gone: str, how: str, folder: Path) -> Path:
    """A recording whose header names a file outside; its own files of a suffix are gone."""
    main = make(story, folder)
    raw = raw_folder(folder)
    header = main if not suffix else sorted(raw.rglob(f"*{suffix}"))[0]
    end = gone or ".dat"
    told = edit(header.read_bytes(), place(folder, how, f"secret{end}"))
    for path in sorted(raw.rglob(f"*{gone}")) if gone else ():
        path.unlink()
    header.write_bytes(told)
    return raw


def swapped(old: str, new: str) -> Edit:
    """Return what puts a name in the place of another; ``@`` in ``new`` stands for it."""
    return lambda whole, name: swap(old.encode(), new.replace("@", name).encode())(whole)


def wfdb(whole: bytes, name: str) -> bytes:
    return whole.replace(b"synthetic.dat", name.encode())


def ome_companion(how: str, folder: Path) -> Path:
    """An OME-TIFF whose pixels are said to lie in another file."""
    import tifffile

    path = raw_folder(folder) / "synthetic.ome.tif"
    name = place(folder, how, "secret.ome.tif")
    tifffile.imwrite(folder / "outside" / "secret.ome.tif", np.zeros((2, 8, 8), "u2"))
    plane = (
        '<TiffData FirstZ="{0}" IFD="0" PlaneCount="1"><UUID FileName="{1}">'
        "urn:uuid:00000000-0000-0000-0000-00000000000{0}</UUID></TiffData>"
    )
    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="urn:uuid:00000000-0000-0000-0000-000000000000"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="8" SizeY="8" '
        'SizeZ="2" SizeC="1" SizeT="1" PhysicalSizeX="1" PhysicalSizeY="1" PhysicalSizeZ="1">'
        + plane.format(0, path.name) + plane.format(1, name) + "</Pixels></Image></OME>"
    )  # fmt: skip
    tifffile.imwrite(path, np.ones((8, 8), "u2"), description=text, metadata=None)
    return raw_folder(folder)


def nwb_movie(how: str, folder: Path) -> Path:
    """An NWB file with a movie in a file outside."""
    import h5py

    main = make("nwb.TestNwb", folder)
    name = place(folder, how, "secret.avi")
    with h5py.File(main, "r+") as file:
        group = file["acquisition"].create_group("movie")
        group.attrs["neurodata_type"], group.attrs["namespace"] = "ImageSeries", "core"
        group.attrs["description"], group.attrs["comments"] = "synthetic", "none"
        group["external_file"] = np.array([name], dtype=h5py.string_dtype())
        group["external_file"].attrs["starting_frame"] = np.array([0])
        group["starting_time"] = 0.0
        group["starting_time"].attrs["rate"], group["starting_time"].attrs["unit"] = 30.0, "seconds"
    return raw_folder(folder)


def eeglab(how: str, folder: Path) -> Path:
    """An EEGLAB data set whose samples lie in a file outside."""
    from tests.readers.synthetic_eeglab import eeg_struct, write_5

    name = place(folder, how, "secret.fdt")
    write_5(raw_folder(folder) / "synthetic.set", eeg_struct(np.zeros((3, 100), "f4"), data=name))
    return raw_folder(folder)


def mif(how: str, folder: Path) -> Path:
    """An MRtrix header whose voxels lie in a file outside."""
    from tests.readers.test_mif import synthetic_bytes

    text, _ = synthetic_bytes(file=f"{place(folder, how, 'secret.dat')} 0")
    (raw_folder(folder) / "synthetic.mih").write_bytes(text)
    return raw_folder(folder)


def written(name: str, text: str, how: str, folder: Path) -> Path:
    """A header of a format that names its data; `@` stands for their name."""
    path = raw_folder(folder) / name
    path.write_text(text.replace("@", place(folder, how, "secret.raw")))
    return raw_folder(folder)


KERCHUNK = {
    "version": 1,
    "refs": {".zgroup": '{"zarr_format": 2}', "a/.zarray": "{}", "a/0": ["@", 0, 64]},
}
ITK = "ObjectType = Image\nNDims = 2\nDimSize = 8 8\nElementType = MET_UCHAR\nElementDataFile = @\n"
NRRD = "NRRD0004\ntype: uint8\ndimension: 2\nsizes: 8 8\nencoding: raw\ndata file: @\n"


def edited_json(story: str, name: str, edit: Callable[[Any, str], object], how: str,
                folder: Path) -> Path:  # fmt: skip
    """A recording whose metadata name a file outside."""
    make(story, folder)
    path = sorted(raw_folder(folder).rglob(name))[0]
    found = json.loads(path.read_text())
    edit(found, place(folder, how, "secret.dat"))
    path.write_text(json.dumps(found))
    return raw_folder(folder)


def coco(found: Any, name: str) -> None:
    found["images"][0]["file_name"] = name


def precomputed(found: Any, name: str) -> None:
    found["scales"][0]["key"] = name


NAMED: tuple[tuple[str, str, str, Edit, str, tuple[str, ...]], ...] = (
    ("brainvision-data", "brainvision.TestBrainVision", "", swapped("DataFile=a.eeg", "DataFile=@"),
     ".eeg", (UPWARDS, ABSOLUTE)),
    ("brainvision-markers", "brainvision.TestBrainVision", "",
     swapped("MarkerFile=a.vmrk", "MarkerFile=@"), ".vmrk", (UPWARDS, ABSOLUTE)),
    ("wfdb-signal", "wfdb.TestWfdb", ".hea", wfdb, ".dat", (UPWARDS, ABSOLUTE)),
    ("persyst-data", "persyst.TestPersyst", "",
     swapped("File=C:\\data\\synthetic.dat", "File=@"), ".dat", (UPWARDS, ABSOLUTE)),
    ("gifti-array", "gifti.TestSurface", "",
     swapped('ExternalFileName=""', 'ExternalFileName="@"'), "", (UPWARDS, ABSOLUTE)),
)  # fmt: skip
BUILT: tuple[tuple[str, str, str, Callable[..., Path]], ...] = (
    ("ome-companion", "tiff.TestOmeBig", "an OME-TIFF with planes in a file outside",
     ome_companion),
    ("nwb-external-file", "nwb.TestNwb", "an NWB file with a movie outside", nwb_movie),
    ("eeglab-data", "eeglab.TestEeglabWithDataFile",
     "an EEGLAB data set with its samples outside", eeglab),
    ("mif-data", "mif.TestMif", "an MRtrix image with its voxels outside", mif),
    ("coco-image", "boxes.TestCoco", "a list of boxes of a picture outside",
     partial(edited_json, "boxes.TestCoco", "*.json", coco)),
    ("precomputed-scale", "precomputed.TestRaw", "a Precomputed volume with its chunks outside",
     partial(edited_json, "precomputed.TestRaw", "info", precomputed)),
    ("kerchunk-chunk", EDF, "references to chunks in a file outside",
     partial(written, "references.json", json.dumps(KERCHUNK))),
    ("itk-data", EDF, "a header of ITK with its voxels outside",
     partial(written, "synthetic.mhd", ITK)),
    ("nrrd-data", EDF, "a header of NRRD with its voxels outside",
     partial(written, "synthetic.nhdr", NRRD)),
)  # fmt: skip


# ---- links of the file system


def linked(story: str, suffix: str, how: str, folder: Path) -> Path:
    """A recording of which a file is a link to itself outside."""
    main = make(story, folder)
    raw = raw_folder(folder)
    path = main if not suffix else sorted(p for p in raw.rglob(f"*{suffix}") if p.is_file())[0]
    outside = secret(folder, "linked" + path.suffix, path.read_bytes())
    path.unlink()
    path.symlink_to(outside if how == ABSOLUTE else os.path.relpath(outside, path.parent))
    return raw


def linked_folder(story: str, name: str, folder: Path) -> Path:
    """A recording of which a folder is a link to outside."""
    make(story, folder)
    path = next(p for p in sorted(raw_folder(folder).rglob(name)) if p.is_dir())
    outside = folder / "outside" / path.name
    outside.parent.mkdir(exist_ok=True)
    shutil.move(path, outside)
    path.symlink_to(outside, target_is_directory=True)
    return raw_folder(folder)


def linked_in_steps(folder: Path) -> Path:
    """A link to a link to a file outside."""
    raw = linked("edf.TestEdf", "", ABSOLUTE, folder)
    first = sorted(raw.glob("*.edf"))[0]
    first.rename(raw / "hidden.bin")
    first.symlink_to("hidden.bin")
    return raw


def circle(folder: Path) -> Path:
    raw = raw_folder(folder)
    (raw / "a.edf").symlink_to("b.edf")
    (raw / "b.edf").symlink_to("a.edf")
    return raw


def upwards(folder: Path) -> Path:
    """A folder that is a link to the one above it: a walk that follows never ends."""
    raw = raw_folder(folder)
    (raw / "sub-01").mkdir()
    (raw / "sub-01" / "again").symlink_to("..", target_is_directory=True)
    return raw


def pipe(folder: Path) -> Path:
    os.mkfifo(raw_folder(folder) / "synthetic.edf")
    return raw_folder(folder)


def device(folder: Path) -> Path:
    (raw_folder(folder) / "synthetic.edf").symlink_to("/dev/zero")
    return raw_folder(folder)


LINKED: tuple[tuple[str, str, str], ...] = (
    ("edf", "edf.TestEdf", ""),
    ("brainvision-data", "brainvision.TestBrainVision", ".eeg"),
    ("brainvision-markers", "brainvision.TestBrainVision", ".vmrk"),
    ("eeglab-data", "eeglab.TestEeglabWithDataFile", ".fdt"),
    ("nifti", "nifti.TestNifti", ""),
    ("nifti-pair", "nifti.TestNiftiPair", ".img"),
    ("afni-voxels", "afni.TestAfni", ".BRIK"),
    ("minc", "minc.TestMinc2", ""),
    ("parrec-voxels", "parrec.TestParRec", ".REC"),
    ("egi-mff-signal", "egi_mff.TestMff", "signal1.bin"),
    ("ctf-samples", "ctf.TestCtf", ".meg4"),
    ("kit", "kit.TestKit", ""),
    ("xdf", "xdf.TestXdf", ""),
    ("mgh", "mgh.TestMgh", ""),
    ("spikeglx-samples", "spikeglx.TestSpikeGlx", ".bin"),
    ("suite2p-traces", "suite2p.TestSuite2p", "F.npy"),
    ("phy-times", "phy.TestPhy", "spike_times.npy"),
    ("zarr-metadata", "zarr_array.Test2", ".zarray"),
    ("zarr-chunk", "zarr_array.Test2", "1.0.0"),
    ("ome-zarr-chunk", "ome_zarr.Test05", "c/1/1/0/0"),
    ("precomputed-info", "precomputed.TestRaw", "info"),
    ("precomputed-chunk", "precomputed.TestRaw", "8_8_40/*"),
    ("hdf5", "matlab.TestHdf5", ""),
    ("sqlite", "sqlite_table.TestSqlite", ""),
)  # fmt: skip
CASES: tuple[Case, ...] = (
    *(Case(f"{name}-{how}", 24, f"the header of a recording names a file outside ({how})",
           partial(named, story, suffix, edit, gone, how), True, partial(declared, story))
      for name, story, suffix, edit, gone, hows in NAMED for how in hows),
    *(Case(f"{name}-{how}", 24, f"{says} ({how})", partial(build, how), True,
           partial(declared, story))
      for name, story, says, build in BUILT for how in (UPWARDS, ABSOLUTE)),
    *(Case(f"link-{name}", 25, f"a file of a recording is a link to outside: {name}",
           partial(linked, story, suffix, how), True, partial(declared, story))
      for (name, story, suffix), how in zip(LINKED, [ABSOLUTE, UPWARDS] * len(LINKED),
                                            strict=False)),
    Case("link-zarr-folder", 25, "a Zarr array is a link to a folder outside",
         partial(linked_folder, "zarr_array.Test2", "*.zarr"), True,
         partial(declared, "zarr_array.Test2")),
    Case("link-zarr-level", 25, "a level of an image is a link to a folder outside",
         partial(linked_folder, "ome_zarr.Test04", "0"), True,
         partial(declared, "ome_zarr.Test04")),
    Case("link-mff-folder", 25, "a recording's folder is a link to outside",
         partial(linked_folder, "egi_mff.TestMff", "*.mff"), True,
         partial(declared, "egi_mff.TestMff")),
    Case("link-in-steps", 25, "a link to a link to a file outside", linked_in_steps, True,
         partial(declared, "edf.TestEdf")),
    Case("link-circle", 25, "two links that lead to each other", circle),
    Case("link-upwards", 25, "a folder that holds itself", upwards),
    Case("link-device", 25, "a link to a device that never ends", device),
    Case("pipe", 25, "a named pipe, at which a reader would wait for ever", pipe),
)  # fmt: skip
