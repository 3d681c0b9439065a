"""The files of one DICOM series: which they are among many, and all of their headers."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from neurodata.errors import RefusedError, UnknownFormatError, UnreadableError
from neurodata.readers.dicom_facts import BURNED_IN
from neurodata.readers.dicom_frames import Image, class_name, open_image
from neurodata.readers.dicom_header import (
    PIXEL_TAGS,
    SERIES,
    SOP_CLASS,
    Opened,
    content,
    label,
    open_header,
    quick_header,
)
from neurodata.readers.dicom_pixels import LOSSLESS, NATIVE, stamp
from neurodata.safe import Raw

KEPT_HEADS = 200_000
IDENTIFYING_VRS = {
    "PN", "DA", "TM", "DT", "AS", "LO", "SH", "LT", "ST", "UT", "UC", "UR", "UI", "AE",
}  # fmt: skip
NAMED = 12  # how many of the removed elements a note names
OVERLAYS = 0x60  # groups 6000 to 60FF: drawings and texts laid over the image

NUMBER = 0x00200011  # of the series
IMAGELESS = re.compile(r"\bSR\b|Presentation State|Key Object Selection|Encapsulated")
INDEX = "DICOMDIR"
DIGEST_LETTERS = 8

_last_folder: tuple[Sequence[Path], dict[Path, tuple[Path, ...]]] = ((), {})


def files_of_series(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return all files of the series whose first image is ``path``; any other file stands alone.

    Heads are read once for each version of a file; of one tuple of files, all at once.
    """
    global _last_folder
    kept, groups = _last_folder
    if kept is not folder:
        groups = _groups(folder)
        if isinstance(folder, tuple):  # what cannot change
            _last_folder = (folder, groups)
    return groups.get(path, (path,))


def _groups(folder: Sequence[Path]) -> dict[Path, tuple[Path, ...]]:
    """Return the files of each series by its first image."""
    found: dict[str, list[tuple[bool, Path]]] = {}
    for path in folder:
        head = _head(path)
        if head.series:
            found.setdefault(head.series, []).append((not head.is_image, path))
    sorted_files = ([path for _, path in sorted(files)] for files in found.values())
    return {files[0]: tuple(files) for files in sorted_files}


def name_of_series(path: Path, folder: Sequence[Path]) -> str:
    """Return ``series-`` and the series' number, nothing for a file of no series.

    Where series of one folder share a number, letters of the UID's digest follow.
    """
    head, own = _head(path), files_of_series(path, folder)
    if not head.series:
        return ""
    stem = "series" if head.number is None else f"series-{head.number}"
    groups = _last_folder[1] if _last_folder[0] is folder else _groups(folder)
    rivals = [
        main
        for main, files in groups.items()
        if _home(files) == _home(own) and main != path and _head(main).rivals(head)
    ]
    digest = hashlib.sha256(head.series.encode()).hexdigest()[:DIGEST_LETTERS]
    return f"{stem}_{digest}" if rivals else stem


def _home(files: Sequence[Path]) -> str:
    return os.path.commonpath([file.parent for file in files])


def imageless(path: Path) -> str:
    """Return what an object is whose class has no image, such as a structured report."""
    if path.name.upper() == INDEX:
        return f"{INDEX}, a list of files"
    kind = _head(path).kind
    return kind if IMAGELESS.search(kind) else ""


class Head(NamedTuple):
    """What sorts a file: its series, what it is, and the series' number."""

    series: str
    kind: str
    number: int | None

    @property
    def is_image(self) -> bool:
        """Whether its class is one of images."""
        return "Image Storage" in self.kind

    def rivals(self, other: Head) -> bool:
        """Say whether another series of images has the same number."""
        return self.is_image and self.number == other.number


NOTHING = Head("", "", None)


def _head(path: Path) -> Head:
    try:
        return _kept_head(path, stamp(path))
    except OSError:
        return NOTHING


@lru_cache(KEPT_HEADS)
def _kept_head(path: Path, version: tuple[int, int]) -> Head:
    """Return what sorts a file; it has no series where it cannot be read."""
    try:
        opened = quick_header(path, [SOP_CLASS, SERIES, NUMBER])
        if opened is None:
            return NOTHING
        series, kind = (opened.elements.uid(tag) for tag in (SERIES, SOP_CLASS))
        return Head(series, class_name(kind), _number(opened))
    except RefusedError:
        return NOTHING


def _number(opened: Opened) -> int | None:
    try:
        return opened.elements.whole(NUMBER)
    except RefusedError:
        return None


def open_series(raw: Raw) -> list[Image]:
    """Read the header of every file; those without pixels are listed and left out.

    Raises
    ------
    UnreadableError
        When a file is damaged, is of another series, or comes twice.
    UnknownFormatError
        When none of them has pixels.
    """
    images: list[Image] = []
    others: list[Image] = []
    seen: dict[str, str] = {}
    for path in raw.files:
        if path.suffix.lower() in (".json", ".tsv"):  # side-cars
            continue
        image = open_image(path, path.relative_to(raw.root).as_posix())
        _require_one_series(image, images or others)
        if image.instance_uid and image.instance_uid in seen:
            raise UnreadableError(
                image.where, f"the same object as {seen[image.instance_uid]}", "each object once",
                "remove the copy",
            )  # fmt: skip
        seen[image.instance_uid] = image.where
        (images if image.frames else others).append(image)
    if not images:
        kinds = ", ".join(sorted({image.kind for image in others}))
        raise UnknownFormatError(
            raw.name, f"no pixels in {kinds}", "images", "leave this file out: it is no recording"
        )
    for image in others:
        raw.note(image.where, f"{image.kind}, which has no pixels", "", "left out")
    return images


def _require_one_series(image: Image, earlier: Sequence[Image]) -> None:
    if earlier and image.series_uid != earlier[0].series_uid:
        raise UnreadableError(
            f"{image.where}: {label(SERIES)}", "another series", f"that of {earlier[0].where}",
            "put the files of each series into a folder of their own",
        )  # fmt: skip


def list_findings(raw: Raw, images: Sequence[Image]) -> None:
    """Add notes and warnings on surplus bytes, lossy compression and what was kept out."""
    if padded := [image for image in images if image.surplus]:
        raw.warn(
            label(PIXEL_TAGS[-1]),
            f"{padded[0].surplus} bytes after the last pixel in {len(padded)} file(s)",
            "no more than rows x columns x frames",
            "compare the header with the source",
        )
    pixels = [image.frames[0].part.pixels for image in images]
    if lossy := {p.syntax for p in pixels} - set(LOSSLESS) - set(NATIVE):
        raw.warn("TransferSyntaxUID", f"lossy compression ({', '.join(sorted(lossy))})",
                 "lossless", "values differ from those that were measured")  # fmt: skip
    if any(p.photometric == "MONOCHROME1" for p in pixels):
        raw.note("PhotometricInterpretation", "MONOCHROME1, white for low values", "", "kept so")
    if marked := sum(image.words.get("burned_in") == "YES" for image in images):
        raw.warn(
            label(BURNED_IN), f"YES in {marked} file(s): text in the image, perhaps a name", "NO",
            "look at the pixels; if it names nobody: --set burned_in=no",
        )  # fmt: skip
    _list_removed(raw)


def _list_removed(raw: Raw) -> None:
    """Note by name which elements of the first file stay behind."""
    found = open_header(content(raw.main), raw.name, [], names_only=True).elements.data
    names, private, overlays = list[str](), 0, 0
    people_first = sorted(map(int, found.keys()), key=lambda tag: (tag >> 16 != 0x0010, tag))
    for tag in people_first:
        if tag >> 16 & 1:
            private += 1
        elif tag >> 24 == OVERLAYS:
            overlays += 1
        elif getattr(found.get_item(tag, keep_deferred=True), "VR", None) in (
            None, *IDENTIFYING_VRS
        ):  # fmt: skip
            names.append(_keyword(tag))
    listed = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    raw.note(
        "header",
        f"names, dates, texts and identifiers, removed: {len(names)} elements ({listed}) "
        f"and {private} private ones" + (f", {overlays} of overlays" if overlays else ""),
    )


def _keyword(tag: int) -> str:
    from pydicom.datadict import keyword_for_tag

    return str(keyword_for_tag(tag)) or label(tag)
