"""Synthetic DICOM series in every layout the reader knows, with canaries in all their texts."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

CANARY, CODE_CANARY, DATE_CANARY, UID_CANARY = (
    "Jane Q Canary", "JANE_CANARY", "19470803", "1.2.826.0.47110815",
)  # fmt: skip
MR, ENHANCED = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
REPORT = "1.2.840.10008.5.1.4.1.1.88.11"
SERIES_UID = f"{UID_CANARY}.7"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SIZE = (3, 4)  # rows, columns
STEP_MM, REPETITION_MS = 3.0, 2500.0


def values(number: int, size: tuple[int, int] = SIZE, dtype: str = "u2") -> np.ndarray:
    """Pixels of which no two of a series are equal."""
    return (number * size[0] * size[1] + np.arange(size[0] * size[1])).reshape(size).astype(dtype)


def image(
    instance: int = 1,
    position: Sequence[float] = (-10.0, -20.0, 5.0),
    pixels: np.ndarray | None = None,
    orientation: Sequence[float] = AXIAL,
    syntax: str = ExplicitVRLittleEndian,
    **changes: Any,
) -> Dataset:
    """One synthetic image; ``changes`` set elements by keyword, None removes them."""
    pixels = values(instance) if pixels is None else pixels
    data = blank(instance, syntax)
    data.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", CODE_CANARY]
    data.ImagePositionPatient = [round(float(x), 6) for x in position]
    data.ImageOrientationPatient = [round(float(x), 10) for x in orientation]
    data.PixelSpacing, data.SliceThickness = [2.0, 1.5], STEP_MM
    data.SpacingBetweenSlices, data.RepetitionTime, data.EchoTime = STEP_MM, REPETITION_MS, 30.0
    data.FlipAngle, data.MagneticFieldStrength, data.Modality = 60.0, 3.0, "MR"
    data.InstanceNumber = instance
    for keyword, value in changes.items():
        if value is None:
            delattr(data, keyword)
        else:
            setattr(data, keyword, value)
    with_pixels(data, pixels)
    return data


def blank(instance: int, syntax: str = ExplicitVRLittleEndian, kind: str = MR) -> Dataset:
    """A data set with nothing but its identity and canaries."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = kind
    data.SOPInstanceUID = f"{UID_CANARY}.1.{instance}"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.SourceApplicationEntityTitle = CANARY
    data.file_meta.PrivateInformationCreatorUID = UID_CANARY
    data.file_meta.PrivateInformation = CANARY.encode() + b"\0"
    data.preamble = CANARY.encode().ljust(128, b"\0")
    data.SeriesInstanceUID, data.StudyInstanceUID = SERIES_UID, UID_CANARY
    with_canaries(data)
    return data


def with_canaries(data: Dataset) -> None:
    """Put a canary into an element of every text VR, into a sequence and private elements."""
    data.PatientName, data.PatientID, data.InstitutionName = CANARY, CANARY, CANARY  # PN, LO
    data.StationName, data.InstitutionAddress, data.PatientComments = CANARY, CANARY, CANARY
    data.RetrieveAETitle, data.PatientBirthDate, data.StudyDate = CANARY, DATE_CANARY, DATE_CANARY
    data.StudyTime, data.AcquisitionDateTime = DATE_CANARY[:6], DATE_CANARY
    data.BodyPartExamined, data.Manufacturer = CODE_CANARY, CANARY  # CS, LO
    data.PatientSex, data.PatientAge = CODE_CANARY, "047Y"
    data.TextValue, data.LongCodeValue, data.RetrieveURL = CANARY, CANARY, CANARY  # UT, UC, UR
    data.DeviceSerialNumber, data.ProtocolName, data.SeriesDescription = (CANARY,) * 3
    data.AdditionalPatientHistory = CANARY  # LT
    item = Dataset()
    item.PatientID, item.CodeMeaning = CANARY, CANARY
    data.OtherPatientIDsSequence = [item]
    block = data.private_block(0x0009, CANARY, create=True)
    for number, vr in enumerate(("LO", "SH", "LT", "ST", "UT", "PN", "UC", "CS", "AE")):
        block.add_new(number, vr, CODE_CANARY if vr == "CS" else CANARY)
    block.add_new(0x20, "UN", CANARY.encode() + b"\0")
    block.add_new(0x21, "OB", CANARY.encode() + b"\0")


def with_pixels(data: Dataset, pixels: np.ndarray, stored: int | None = None) -> None:
    """Give a data set its pixels (frame, row, column) or (row, column)."""
    allocated = 8 * pixels.dtype.itemsize
    data.Rows, data.Columns = pixels.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored = allocated, stored or allocated
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
    if pixels.ndim == 3:
        data.NumberOfFrames = len(pixels)
    order = ">" if data.file_meta.TransferSyntaxUID.endswith(".1.2.2") else "<"
    stream = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    data.add_new(0x7FE00010, "OW" if allocated > 8 else "OB", stream + b"\0" * (len(stream) % 2))


def to_bytes(data: Dataset) -> bytes:
    """The data set as a file."""
    stream = BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def write(folder: Path, images: Iterable[Dataset]) -> list[Path]:
    """Write one file for each data set, named in the order given."""
    paths = []
    for number, data in enumerate(images):
        paths.append(folder / f"synthetic{number:05d}")
        paths[-1].write_bytes(to_bytes(data))
    return paths


def series(times: int = 2, slices: int = 3, **changes: Any) -> list[Dataset]:
    """Images of a time series, slices from below within each volume."""
    return [
        image(1 + t * slices + z, (-10.0, -20.0, 5.0 + STEP_MM * z), **changes)
        for t in range(times)
        for z in range(slices)
    ]


def enhanced(times: int = 2, slices: int = 3, **changes: Any) -> Dataset:
    """One multi-frame image with functional groups, times fastest."""
    data = blank(1, kind=ENHANCED)
    data.ImageType = ["ORIGINAL", "PRIMARY", "FMRI", "NONE"]
    data.Modality, data.InstanceNumber = "MR", 1
    shared, measures, plane, timing = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [2.0, 1.5], STEP_MM
    plane.ImageOrientationPatient = list(AXIAL)
    timing.RepetitionTime, timing.FlipAngle = REPETITION_MS, 60.0
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    shared.MRTimingAndRelatedParametersSequence = [timing]
    data.SharedFunctionalGroupsSequence = [shared]
    each = []
    for z in range(slices):
        for t in range(times):
            own, place, about = Dataset(), Dataset(), Dataset()
            place.ImagePositionPatient = [-10.0, -20.0, 5.0 + STEP_MM * z]
            about.TemporalPositionIndex, about.DimensionIndexValues = t + 1, [1, z + 1, t + 1]
            own.PlanePositionSequence, own.FrameContentSequence = [place], [about]
            each.append(own)
    data.PerFrameFunctionalGroupsSequence = each
    for keyword, value in changes.items():
        setattr(data, keyword, value)
    with_pixels(data, np.stack([values(n) for n in range(times * slices)]))
    return data


def csa(fields: dict[str, Sequence[str]], version: int = 2) -> bytes:
    """A Siemens CSA header of texts."""
    body = struct.pack("<2I", len(fields), 77)
    for name, texts in fields.items():
        numbers = all(text[-1:].isdigit() for text in texts)
        kind = b"IS" if all(map(str.isdigit, texts)) else b"DS" if numbers else b"SH"
        body += struct.pack("<64si4s3i", name.encode(), len(texts), kind, 3, 6, 77)
        for number in range(6):
            text = texts[number].encode() + b"\0" if number < len(texts) else b""
            size = len(text)
            sizes = (size + 6, 0, 0, 0) if version == 1 else (size, size, 77, size)
            body += struct.pack("<4i", *sizes) + text + b"\0" * (-size % 4)
    return (b"SV10\4\3\2\1" if version == 2 else b"") + body


def mosaic(
    instance: int = 1, slices: int = 5, normal: float = 1.0, times_ms: Sequence[float] = ()
) -> Dataset:
    """A synthetic Siemens mosaic of 3 x 3 tiles."""
    side = 3
    tiles = np.zeros((side * SIZE[0], side * SIZE[1]), "u2")
    for n in range(slices):
        row, column = n // side * SIZE[0], n % side * SIZE[1]
        tiles[row : row + SIZE[0], column : column + SIZE[1]] = values(instance * 100 + n)
    data = image(instance, (-10.0, -20.0, 5.0), tiles)
    data.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    fields = {
        "EchoLinePosition": ["3"],
        "AcquisitionMatrixText": ["3p*4s"],
        "NumberOfImagesInMosaic": [f"{slices}"],
        "SliceNormalVector": ["0.0", "0.0", f"{normal}"],
        "PatientNameInCsa": [CANARY],
    }
    if times_ms:
        fields["MosaicRefAcqTimes"] = [f"{time}" for time in times_ms]
    block = data.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", csa(fields))
    return data
