"""Images with marks: MRI, CT, microscopy, surfaces, boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image, PngImagePlugin

from tests.canaries.marks import Marks, case
from tests.readers import (
    synthetic_dicom,
    test_afni,
    test_boxes,
    test_cifti,
    test_gifti,
    test_mgh,
    test_mif,
    test_minc,
    test_nifti,
    test_ome_zarr,
    test_parrec,
    test_precomputed,
    test_scanimage,
    test_slices,
    test_zarr_array,
)

CHANNEL = "names of channels are data"
REGION = "names of regions are data"
CLASS = "classes of boxes are data"
SIZES: dict[str, Any] = {"axes": "z,y,x", "voxel_um": [2.0, 0.5, 0.5]}


@case("nifti")
def nifti(folder: Path, mark: Marks) -> None:
    image = test_nifti.synthetic_image()
    comment = nibabel.nifti1.Nifti1Extension("comment", mark("extension").encode())
    image.header.extensions.append(comment)
    path = folder / "synthetic.nii"
    image.to_filename(path)
    for what, at, size in (("type", 4, 10), ("base", 14, 18), ("description", 148, 80),
                           ("file", 228, 24), ("intent", 328, 16)):  # fmt: skip
        mark.put(path, at, f"header-{what}", size)
    mark.rename(folder)


@case("nifti", "bids")
def nifti_with_side_car(folder: Path, mark: Marks) -> None:
    why = "an entity of BIDS, which names the recording on purpose"
    subject = mark.keep("subject", why, 8)
    test_nifti.synthetic_image((4, 3, 2)).to_filename(folder / f"sub-{subject}_T1w.nii")
    known = ("PatientName", "InstitutionName", "StationName", "DeviceSerialNumber", "OperatorsName",
             "ProtocolName", "SeriesDescription", "ImageComments", "StudyInstanceUID",
             "AcquisitionDateTime", "AccessionNumber")  # fmt: skip
    facts: dict[str, Any] = {key: mark(f"json-{key}") for key in known}
    facts[mark("json-free-key")] = mark("json-free-value")
    facts[f"{mark('json-personal-key')}-patient"] = [mark("json-list"), {"a": mark("json-deep")}]
    (folder / f"sub-{subject}_T1w.json").write_text(json.dumps(facts))


@case("nifti", "regions")
def nifti_with_regions(folder: Path, mark: Marks) -> None:
    image = test_nifti.synthetic_image((4, 3, 2))
    values = (np.arange(24) % 4).reshape(4, 3, 2).astype("<i2")
    path = folder / "synthetic.nii"
    made: Any = nibabel.Nifti1Image
    made(values, image.affine, image.header).to_filename(path)
    name = mark.keep("region", REGION)
    path.with_suffix(".txt").write_text(f"# {mark('comment')}\n1 Left\n2 {name}\n3 Both\n")
    mark.rename(folder)


@case("cifti")
def cifti(folder: Path, mark: Marks) -> None:
    path = test_cifti.write(folder)
    mark.swap(path, test_cifti.CANARY, "metadata")
    for what, at, size in (("description", 240, 80), ("file", 320, 24), ("intent", 508, 16)):
        mark.put(path, at, f"header-{what}", size)
    mark.rename(folder)


@case("gifti")
def gifti(folder: Path, mark: Marks) -> None:
    path = test_gifti.write(folder, test_gifti.surface())
    mark.swap(path, test_gifti.CANARY, "entry")
    mark.rename(folder)


@case("gifti", "labels")
def gifti_labels(folder: Path, mark: Marks) -> None:
    table = test_gifti.TABLE.replace("V1", mark.keep("region", REGION))
    path = test_gifti.write(folder, test_gifti.labels(table=table))
    mark.swap(path, test_gifti.CANARY, "entry")
    data = path.read_text().replace("areas", mark.keep("map", "names of maps are data"))
    path.write_text(data)
    mark.rename(folder)


@case("dicom")
def dicom(folder: Path, mark: Marks) -> None:
    images = synthetic_dicom.series(1, 2)
    for number, data in enumerate(images):
        data.BurnedInAnnotation = "YES"
        data.add_new(0x60000022, "LO", mark(f"overlay-{number}"))
        data.add_new(0x60001500, "LO", mark(f"overlay-label-{number}"))
        data.add_new(0x60003000, "OW", mark(f"overlay-data-{number}", 26).encode())
    for number, path in enumerate(synthetic_dicom.write(folder, images)):
        mark.swap(path, synthetic_dicom.CANARY, f"text-{number}")
        mark.swap(path, synthetic_dicom.CODE_CANARY, f"code-{number}")
    for literal in (synthetic_dicom.DATE_CANARY, synthetic_dicom.UID_CANARY):
        mark.planted[literal] = "a date" if "." not in literal else "a UID"
    mark.rename(folder)


@case("mgh")
def mgh(folder: Path, mark: Marks) -> None:
    path = test_mgh.write(folder, tags=test_mgh.TAG)
    mark.swap(path, test_mgh.CANARY, "tag")
    mark.rename(folder)


@case("afni")
def afni(folder: Path, mark: Marks) -> None:
    path = test_afni.write(folder)
    mark.swap(path, test_afni.CANARY, "attribute")
    more = [(mark("name", 14), mark("value")), (f"NOTE_{mark('note-name', 10)}", mark("note"))]
    with path.open("a") as stream:
        stream.writelines(test_afni.attribute("string", name, text) for name, text in more)
    mark.rename(folder)


@case("parrec")
def parrec(folder: Path, mark: Marks) -> None:
    if not test_parrec.PHANTOM.exists():
        pytest.skip("this nibabel has no test data")
    path = test_parrec.write(folder)
    mark.swap(path, test_parrec.CANARY, "general")
    lines = path.read_text().split("\n")
    path.write_text("\n".join([lines[0], f"# {mark('comment')}", *lines[1:]]))
    mark.rename(folder)


@case("minc")
def minc(folder: Path, mark: Marks) -> None:
    path = test_minc.synthetic(folder / "synthetic.mnc")
    mark.swap(path, test_minc.CANARY, "attribute")
    with h5py.File(path, "r+") as file:
        root = file["minc-2.0"]
        root.attrs["title"] = np.bytes_(mark("title"))
        root["info"].create_group(mark("group", 12)).attrs["a"] = np.bytes_(mark("value"))
        root["image/0/image"].attrs["comments"] = np.bytes_(mark("image"))
    mark.rename(folder)


@case("mif")
def mif(folder: Path, mark: Marks) -> None:
    more = [f"patient: {mark('patient')}", f"{mark('key', 12)}: {mark('value')}"]
    path = test_mif.write(folder, more=more)
    mark.swap(path, test_mif.CANARY, "history")
    mark.rename(folder)


TEXT_TAGS = {
    269: "document", 271: "make", 272: "model", 285: "page", 305: "software", 315: "artist",
    316: "host", 33432: "copyright",
}  # fmt: skip


@case("tiff", **SIZES)
def tiff(folder: Path, mark: Marks) -> None:
    image = np.random.default_rng(5).integers(0, 4000, (5, 24, 20), dtype="u2")
    tags: list[Any] = [(code, "s", 0, mark(name), True) for code, name in TEXT_TAGS.items()]
    xmp = mark("xmp").encode()
    tags.append((700, "B", len(xmp), xmp, True))
    wide = mark("xp-author").encode("utf-16-le") + b"\0\0"
    tags.append((40093, "B", len(wide), wide, True))
    tifffile.imwrite(folder / "synthetic.tif", image, photometric="minisblack", extratags=tags,
                     description=mark("description"), metadata=None, software=False)  # fmt: skip
    mask = np.zeros_like(image)
    mask[1:3, 2:6, 2:6], mask[2:4, 10:15, 10:15] = 3, 9
    tifffile.imwrite(folder / "synthetic_mask.tif", mask, photometric="minisblack",
                     description=mark("mask"), metadata=None)  # fmt: skip
    mark.rename(folder)


OME = (
    '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/'
    '2016-06" Creator="{creator}"><Experimenter ID="Experimenter:0" LastName="{person}"/>'
    '<Image ID="Image:0" Name="{image}"><Description>{description}</Description>'
    '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="16" SizeY="12" SizeZ="1" '
    'SizeC="2" SizeT="1" PhysicalSizeX="0.5" PhysicalSizeXUnit="µm" PhysicalSizeY="0.5" '
    'PhysicalSizeYUnit="µm"><Channel ID="Channel:0:0" Name="{channel}" SamplesPerPixel="1"/>'
    '<Channel ID="Channel:0:1" Name="GFP" SamplesPerPixel="1"/><TiffData/></Pixels></Image>'
    '<StructuredAnnotations><CommentAnnotation ID="Annotation:0"><Value>{annotation}</Value>'
    "</CommentAnnotation></StructuredAnnotations></OME>"
)


@case("tiff", "ome")
def ome_tiff(folder: Path, mark: Marks) -> None:
    texts = {key: mark(key) for key in ("creator", "person", "image", "description", "annotation")}
    text = OME.format(channel=mark.keep("channel", CHANNEL), **texts)
    stack = np.random.default_rng(5).integers(0, 4000, (2, 12, 16), dtype="u2")
    tifffile.imwrite(folder / "synthetic.ome.tif", stack, description=text.encode(), metadata=None,
                     photometric="minisblack")  # fmt: skip
    mark.rename(folder)


@case("tiff", "scanimage")
def scanimage(folder: Path, mark: Marks) -> None:
    names = f"{{'{mark.keep('channel', CHANNEL)}' 'Red' 'Channel 3' 'Channel 4'}}"
    changes = {"hChannels.channelName": names, f"h{mark('key', 12)}": f"'{mark('value')}'",
               "hScan2D.logFilePath": f"'C:\\{mark('path')}'"}  # fmt: skip
    path = test_scanimage.write(folder, test_scanimage.pages(20), changes)
    mark.swap(path, test_scanimage.CANARY, "setting")
    mark.rename(folder)


@case("ome_zarr")
def ome_zarr(folder: Path, mark: Marks) -> None:
    facts: dict[str, Any] = {
        "multiscales": [test_ome_zarr.image(None, name=mark("name"), type=mark("type"),
                                            metadata={mark("key"): mark("value")})],
        "omero": {"name": mark("omero"), "id": 1, "channels": [
            {"label": mark.keep("channel", CHANNEL), "color": "00FFFF"}, {"label": "Lamin B1"},
        ]},
        "_creator": {"name": mark("creator")}, mark("other-key"): {"a": mark("other")},
    }  # fmt: skip
    base = folder / "synthetic.zarr"
    test_ome_zarr.write_05(base, facts)
    group = zarr.open_group(base, mode="r+")
    group.attrs["author"] = mark("attribute")
    group["0"].attrs["note"] = mark("array")
    mark.rename(folder)


@case("zarr_array", **SIZES)
def zarr_array(folder: Path, mark: Marks) -> None:
    group = zarr.open_group(folder / "synthetic.zarr", mode="w", zarr_format=3)
    full: Any = {"write_empty_chunks": True}
    group.create_array("raw", data=test_zarr_array.pixels(), chunks=(7, 24, 20), config=full)
    group.create_array("gt", data=test_zarr_array.layers(), chunks=(1, 7, 24, 20), config=full)
    group.attrs.update({"author": mark("attribute"), mark("key"): {"deep": mark("deep")}})
    group["raw"].attrs["note"] = mark("array")
    mark.rename(folder)


@case("precomputed")
def precomputed(folder: Path, mark: Marks) -> None:
    path = test_precomputed.write(folder / "em", test_precomputed.pixels(), "image")
    facts = json.loads(path.read_text())
    facts |= {mark("key"): mark("value"), "mesh": mark("mesh"), "skeletons": mark("skeletons")}
    path.write_text(json.dumps(facts))
    path.with_name("provenance").write_text(json.dumps({"owners": [mark("owner")]}))


@case("slices", **SIZES)
def slices(folder: Path, mark: Marks) -> None:
    for number, plane in enumerate(test_slices.planes()[:3], 1):
        info = PngImagePlugin.PngInfo()
        info.add_text("Author", mark(f"author-{number}"))
        info.add_itxt("Comment", mark(f"comment-{number}"))
        info.add_text(mark(f"key-{number}"), "x")
        exif = Image.Exif()
        exif[315] = mark(f"exif-{number}")
        path = folder / f"synthetic_z{number}.png"
        Image.fromarray(plane).save(path, pnginfo=info, exif=exif)
    mark.rename(folder)


@case("boxes", voxel_um=[0.5, 0.5])
def boxes(folder: Path, mark: Marks) -> None:
    test_boxes.voc(folder)
    path = folder / "synthetic.xml"
    mark.swap(path, test_boxes.CANARY, "field")
    text = path.read_text().replace("<name>soma<", f"<name>{mark.keep('class', CLASS)}<")
    text = text.replace("<name>x<", f"<name>{mark('part')}<")
    more = f"<source><annotation>{mark('source')}</annotation></source><{mark('tag', 12)}>1</"
    text = text.replace("</annotation>\n", f"{more}{mark('tag', 12)}></annotation>\n")
    path.write_text(text)
    mark.rename(folder, ".xml")


@case("boxes", "coco", voxel_um=[0.5, 0.5])
def boxes_of_coco(folder: Path, mark: Marks) -> None:
    facts = test_boxes.coco_facts()
    facts["info"] = {key: mark(f"info-{key}") for key in ("contributor", "description", "url")}
    facts["images"] = [
        {**facts["images"][0], "flickr_url": mark("url"), "file_name": "synthetic.png",
         "coco_url": mark("other-url")},
        {"id": 4, "file_name": f"{mark.name('elsewhere')}.png", "height": 9, "width": 9},
    ]  # fmt: skip
    facts["annotations"][0]["attributes"] = {mark("key"): mark("value")}
    facts["categories"][0] |= {"name": mark.keep("class", CLASS), "supercategory": mark("above")}
    (folder / "instances.json").write_text(json.dumps(facts))
    test_boxes.png(folder)
    mark.rename(folder, ".json")
