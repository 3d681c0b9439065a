"""Images with boxes around objects, listed beside them as COCO, Pascal VOC, YOLO or CSV.

The list lies in the image's folder or in another one of the raw folder. It names the image, or
has its name (``a.xml`` and ``a.txt`` of ``a.png``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import UnreadableError, need
from neurodata.readers import box_lists, slices
from neurodata.readers.box_lists import CLASS_FILES, Box, Listing
from neurodata.readers.delimited import text_array
from neurodata.readers.tiff import sniff as is_tiff
from neurodata.safe import Raw
from neurodata.safe import head as head_of

SUFFIXES = slices.SUFFIXES
EXTRA = "microscopy"
EDGES = ("x_start", "y_start", "x_stop", "y_stop")
SLACK = 1e-3  # pixels that a rounded edge may lie outside


@dataclass(frozen=True)
class _Index:
    """Lists of one image by its name without suffix, and of many by the names that they have."""

    by_stem: dict[str, list[Path]]
    by_name: dict[str, Path]


_last: list[tuple[Sequence[Path], _Index]] = []


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is a PNG, JPEG or TIFF image.

    Examples
    --------
    >>> sniff(b"\\xff\\xd8\\xff", Path("a.jpg")), sniff(b"{", Path("a.json"))
    (True, False)
    """
    return slices.sniff(head, path)


def certain(head: bytes, path: Path, folder: Sequence[Path]) -> bool:
    """Say whether an image has boxes listed, so that no other reader of images is asked."""
    return sniff(head, path) and _list_of(path, folder) is not None


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the image, the list of its boxes, and the names of classes that belong to it."""
    listed = _list_of(path, folder)
    if listed is None:
        return (path,)
    near = [p for p in folder if p.name in CLASS_FILES and listed.is_relative_to(p.parent)]
    return (path, listed, *(near[-1:] if listed.suffix == ".txt" else ()))


def _list_of(path: Path, folder: Sequence[Path]) -> Path | None:
    """Return the list that has an image's name, of several the nearest, or that names it."""
    index = _index(folder)
    known = {".xml": box_lists.is_voc, ".txt": box_lists.is_yolo}
    found = [each for each in index.by_stem.get(path.stem.lower(), ())
             if known[each.suffix.lower()](each)]  # fmt: skip
    near = [len(set(path.parent.parts) & set(each.parent.parts)) for each in found]
    best = [each for each, shared in zip(found, near, strict=True) if shared == max(near)]
    if len(best) > 1:
        raise UnreadableError(
            path.name, f"lists of boxes {' and '.join(each.name for each in best)}", "one list",
            "put each into a folder that is called as the image's",
        )  # fmt: skip
    if best:
        return best[0]
    return index.by_name.get(path.name)


def _index(folder: Sequence[Path]) -> _Index:
    """Return what the lists of a folder are about; those of the last file list are kept."""
    if _last and _last[0][0] is folder and isinstance(folder, tuple):
        return _last[0][1]
    index = _Index({}, {})
    for path in folder:
        kind = path.suffix.lower()
        if kind in (".xml", ".txt") and path.name not in CLASS_FILES:
            index.by_stem.setdefault(path.stem.lower(), []).append(path)
        elif kind in (".json", ".csv"):
            names = (box_lists.coco_files if kind == ".json" else box_lists.csv_files)(path)
            for name in names:
                index.by_name.setdefault(name, path)
    _last[:] = [(folder, index)]
    return index


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read an image of one plane, lazily, and the boxes in it.

    Parameters
    ----------
    declare : Declared
        ``voxel_um=0.5,0.5`` (y, x); ``columns.classes=NAME0,NAME1`` for classes by number;
        ``columns.box=edges`` or ``pixels`` for corners in a CSV.

    Returns
    -------
    xarray.DataTree
        ``image`` (volume/1) and ``boxes`` (boxes/1): edges in pixels, label, id of each box.

    Raises
    ------
    UnreadableError
        When image or list are damaged, the list is of an image of another size, ids repeat, or a
        box has no area or lies outside the image.
    MissingFactError
        When voxel size, names of classes or the way of counting are not known.
    """
    if len(raw.files) < 2:
        raise UnreadableError(
            raw.name, "no list of its boxes", "one that names the image, or has its name",
            "put it beside, or leave the reader out",
        )  # fmt: skip
    image = _image(raw, declare)
    size_yx = image.sizes["y"], image.sizes["x"]
    path = raw.files[1]
    listing = _listing(path, size_yx, raw, declare)
    if listing.size_yx not in (None, size_yx):
        raise UnreadableError(
            path.name, f"an image of {listing.size_yx} (y, x)", f"{size_yx}, as {raw.name}",
            "pair the right files",
        )  # fmt: skip
    for box in listing.boxes:
        _require_inside(box, size_yx, path)
    _list_findings(listing, size_yx, path, raw)
    nodes = {"image": image, "boxes": _node(listing)}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": "microscopy"}), **nodes})


def _listing(path: Path, size_yx: tuple[int, int], raw: Raw, declare: Declared) -> Listing:
    kind = path.suffix.lower()
    if kind == ".xml":
        return box_lists.voc(path, raw)
    if kind == ".txt":
        return box_lists.yolo(path, size_yx, raw, declare)
    if kind == ".csv":
        return box_lists.csv_boxes(path, raw.main.name, raw, declare)
    return box_lists.coco(path, raw.main.name, raw)


def _image(raw: Raw, declare: Declared) -> xr.Dataset:
    need("PIL", extra=EXTRA)
    need("tifffile", extra=EXTRA)
    from neurodata.readers.image_volume import Facts, volume
    from neurodata.readers.slice_pixels import lazy, stored_slices
    from neurodata.readers.tiff_image import image

    alone = Raw(raw.root, (raw.main,), raw.problems)
    if is_tiff(head_of(raw.main), raw.main):
        found = image(alone, declare).children["image"].to_dataset(inherit=False)
    else:
        stored = stored_slices(alone)
        axes, facts = ["y", "x"], Facts()
        if len(stored.shape) > 3:
            axes, facts.channels = [*axes, "channel"], list(slices.RGB)
        found = volume(lazy(stored)[0], axes, facts, raw, declare)
    if deep := {axis for axis in ("time", "z") if found.sizes.get(axis, 1) > 1}:
        raise UnreadableError(
            raw.name, f"an image with {', '.join(sorted(deep))}", "one plane, as boxes have",
            "store its planes apart",
        )  # fmt: skip
    return found


def _require_inside(box: Box, size_yx: tuple[int, int], path: Path) -> None:
    where = f"{path.name}: box {box.id}"
    wide, high = box.x_stop - box.x_start, box.y_stop - box.y_start
    if wide <= 0 or high <= 0:
        raise UnreadableError(where, f"{wide:g} x {high:g} pixels", "sizes over 0", "mend the list")
    height, width = size_yx
    if box.x_stop <= 0 or box.y_stop <= 0 or box.x_start >= width or box.y_start >= height:
        found = f"x {box.x_start:g} to {box.x_stop:g}, y {box.y_start:g} to {box.y_stop:g}"
        raise UnreadableError(where, found, f"within {width} x {height} pixels", "mend the list")


def _list_findings(listing: Listing, size_yx: tuple[int, int], path: Path, raw: Raw) -> None:
    height, width = size_yx
    beyond = [b for b in listing.boxes if min(b.x_start, b.y_start) < -SLACK
              or b.x_stop > width + SLACK or b.y_stop > height + SLACK]  # fmt: skip
    if beyond:
        raw.warn(path.name, f"{len(beyond)} boxes that reach over the image's edge, e.g. "
                 f"{beyond[0].id}", "boxes within", "kept as they are")  # fmt: skip
    places = [(b.label, b.x_start, b.y_start, b.x_stop, b.y_stop) for b in listing.boxes]
    if twice := len(places) - len(set(places)):
        raw.warn(path.name, f"{twice} boxes that repeat another", "each once", "kept")
    if not listing.boxes:
        raw.note(path.name, f"no boxes of {raw.name}")
    _compare(path, raw)


def _compare(path: Path, raw: Raw) -> None:
    """Tell of images that the lists leave out, and of those that are not there; once."""
    if path.suffix.lower() in (".xml", ".txt"):
        near = raw.main.parent, path.parent
        stamps = tuple(folder.stat().st_mtime_ns for folder in near)
        listed, there = _alike(*near, path.suffix.lower(), stamps)
    else:
        stat = path.stat()
        listed, there = _names(path, raw.root, (stat.st_size, stat.st_mtime_ns))
    if raw.main.name != min(listed & there, default=""):
        return
    if absent := listed - there:
        raw.note(path.name, f"boxes of {len(absent)} images that are not there, left out")
    if others := there - listed:
        raw.warn(
            path.name, f"nothing of {len(others)} images beside, e.g. {min(others)}",
            "every image, if only without boxes", "they are read, if at all, without boxes",
        )  # fmt: skip


@lru_cache(4)
def _alike(
    images: Path, lists: Path, kind: str, stamps: tuple[int, ...]
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the images of a folder that a list of their own name has, and all of them."""
    stems = {path.stem.lower() for path in lists.iterdir() if path.suffix.lower() == kind}
    there = {path for path in images.iterdir() if path.suffix.lower() in SUFFIXES}
    listed = (path.name for path in there if path.stem.lower() in stems)
    return frozenset(listed), frozenset(path.name for path in there)


@lru_cache(1)
def _names(path: Path, root: Path, stamp: tuple[int, int]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of images that a list of many knows, and of those below a folder."""
    kind = path.suffix.lower()
    if kind not in (".json", ".csv"):
        return frozenset(), frozenset()
    listed = (box_lists.coco_files if kind == ".json" else box_lists.csv_files)(path)
    images = (each.name for each in root.rglob("*") if each.suffix.lower() in SUFFIXES)
    return listed, frozenset(images)


def _node(listing: Listing) -> xr.Dataset:
    edges = {
        name: ("box", np.array([getattr(box, name) for box in listing.boxes], "f8"),
               {"units": "pixel"})
        for name in EDGES
    }  # fmt: skip
    texts = {
        "box_id": ("box", text_array([box.id for box in listing.boxes])),
        "label": ("box", text_array([box.label for box in listing.boxes])),
    }
    attrs = {"representation": "boxes", "schema": "boxes/1", "image_node": "image"}
    return xr.Dataset({**texts, **edges}, attrs=attrs)
