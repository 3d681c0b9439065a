"""Lists of boxes around objects in images: COCO JSON, Pascal VOC XML, YOLO text and CSV.

Boxes come out by their edges in pixels from the image's upper left corner, 0 being the left edge
of the first pixel. COCO and YOLO state edges; VOC counts pixels from 1, the last one included;
of the corners in a CSV nobody knows, so that ``columns.box=edges`` or ``pixels`` is declared.

References
----------
https://cocodataset.org/#format-data; Pascal VOC development kit 2012, section 4;
https://docs.ultralytics.com/datasets/detect/
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any

from neurodata import safe, safe_xml
from neurodata.declare import Declared, missing
from neurodata.errors import InvalidInputError, RefusedError, UnreadableError
from neurodata.readers.delimited import NUMBER
from neurodata.readers.personal_keys import kinds_of
from neurodata.safe import Raw

FILE = ("filename", "file_name", "image", "image_name", "image_path", "path")
LABEL = ("class", "label", "category", "name")
CORNERS = (("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max"),
           ("x1", "y1", "x2", "y2"))  # fmt: skip
EXTENTS = (("x", "y", "width", "height"), ("x", "y", "w", "h"))
CONVENTIONS = ("edges", "pixels")
CLASS_FILES = ("classes.txt", "obj.names")
VOC_BOX = ("bndbox/xmin", "bndbox/ymin", "bndbox/xmax", "bndbox/ymax")
COCO_MARKS = (b'"images"', b'"annotations"', b'"categories"', b'"file_name"')


@dataclass(frozen=True)
class Box:
    """One object: its id in the list, its class, and its edges in pixels."""

    id: str
    label: str
    x_start: float
    y_start: float
    x_stop: float
    y_stop: float


@dataclass(frozen=True)
class Listing:
    """The boxes of one image, and its height and width where the list states them."""

    boxes: tuple[Box, ...]
    size_yx: tuple[int, int] | None = None


# ---- COCO


def coco_files(path: Path) -> frozenset[str]:
    """Return the names of the images that a COCO list knows; none of any other file."""
    stat = path.stat()
    try:
        if not all(mark in safe.read_bytes(path) for mark in COCO_MARKS):
            return frozenset()
        images = _coco(path, (stat.st_size, stat.st_mtime_ns)).get("images")
    except RefusedError:
        return frozenset()
    return frozenset(_base(image) for image in images or () if isinstance(image, dict))


@lru_cache(4)
def _coco(path: Path, stamp: tuple[int, int]) -> Mapping[str, Any]:
    found = safe.read_json(path)
    return found if isinstance(found, dict) else {}


def _base(image: Mapping[str, Any]) -> str:
    name = image.get("file_name")
    return name.replace("\\", "/").rpartition("/")[2] if isinstance(name, str) else ""


def coco(path: Path, image: str, raw: Raw) -> Listing:
    """Return the boxes of one image in a COCO list.

    Raises
    ------
    UnreadableError
        When ids repeat or lead nowhere, or a box is no four numbers.
    """
    stat = path.stat()
    facts = _coco(path, (stat.st_size, stat.st_mtime_ns))
    images, marks, kinds = (_dicts(facts, key, path) for key in
                            ("images", "annotations", "categories"))  # fmt: skip
    for what, items in (("images", images), ("annotations", marks), ("categories", kinds)):
        _require_unique([item.get("id") for item in items], f"{path.name}: {what}")
    own = [each for each in images if _base(each) == image]
    if len(own) != 1:
        raise UnreadableError(path.name, f"{image} {len(own)} times", "each image once", "mend it")
    strangers = {str(mark.get("image_id")) for mark in marks} - {str(i["id"]) for i in images}
    if strangers:
        found = f"boxes of images that are not listed, e.g. {min(strangers)[:20]}"
        raise UnreadableError(path.name, found, "ids of images", "export the list again")
    names = {kind["id"]: str(kind.get("name", kind["id"])) for kind in kinds}
    mine = [mark for mark in marks if mark.get("image_id") == own[0]["id"]]
    if bare := [mark for mark in mine if "bbox" not in mark]:
        raw.note(path.name, f"{len(bare)} annotations without a box", "", "left out")
    found = "removed: all but names, sizes, boxes and classes"
    raw.note(path.name, found, "", "it may name a person")
    if any("segmentation" in mark for mark in mine):
        raw.note(path.name, "outlines of objects", "", "left out: boxes alone are read")
    boxes = [_coco_box(mark, names, path) for mark in mine if "bbox" in mark]
    size = own[0].get("height"), own[0].get("width")
    whole = all(type(n) is int for n in size)
    return Listing(tuple(boxes), (int(size[0] or 0), int(size[1] or 0)) if whole else None)


def _coco_box(mark: Mapping[str, Any], names: Mapping[Any, str], path: Path) -> Box:
    where, numbers = f"{path.name}: annotation {str(mark['id'])[:20]}", mark["bbox"]
    fits = isinstance(numbers, list) and len(numbers) == 4
    if not fits or not all(type(n) in (int, float) and isfinite(n) for n in numbers):
        raise UnreadableError(where, f"the box {str(numbers)[:60]}", "x, y, width, height")
    if mark.get("category_id") not in names:
        found = f"the category {str(mark.get('category_id'))[:20]}"
        raise UnreadableError(where, found, "one of the list", "export it again")
    x, y, width, height = map(float, numbers)
    return Box(str(mark["id"]), names[mark["category_id"]], x, y, x + width, y + height)


def _dicts(facts: Mapping[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    items = facts.get(key, [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise UnreadableError(f"{path.name}: {key}", "no list of objects", "one", "mend it")
    return items


def _require_unique(ids: Sequence[Any], where: str) -> None:
    wrong = [each for each in ids if type(each) not in (int, str)]
    if wrong or len({str(each) for each in ids}) < len(ids):
        twice = next((each for n, each in enumerate(ids) if each in ids[:n]), None)
        found = "entries without an id" if wrong else f"the id {str(twice)[:20]} twice"
        raise UnreadableError(where, found, "an id for each", "export the list again")


# ---- Pascal VOC


def voc(path: Path, raw: Raw) -> Listing:
    """Return the boxes of a Pascal VOC file.

    Raises
    ------
    UnreadableError
        When it is damaged, or a box is no four numbers.
    """
    facts, objects = _voc(path)
    left = {name.partition("/")[0] for name in facts} - {"filename", "size", "segmented", "object"}
    if left:
        raw.note(path.name, f"removed: {kinds_of(left)}", "", "they may name a person")
    boxes: list[Box] = []
    for number, each in enumerate(objects):
        where = f"{path.name}: object {number + 1}"
        xmin, ymin, xmax, ymax = (_number(each.get(key, ""), f"{where}: {key}") for key in VOC_BOX)
        label = _label(each.get("name", ""), where)
        boxes.append(Box(str(number), label, xmin - 1, ymin - 1, xmax, ymax))
    size = facts.get("size/height", ""), facts.get("size/width", "")
    whole = all(re.fullmatch(r"[1-9]\d{0,8}", text) for text in size)
    return Listing(tuple(boxes), (int(size[0]), int(size[1])) if whole else None)


def is_voc(path: Path) -> bool:
    """Say whether a file is a Pascal VOC annotation."""
    try:
        return b"<annotation" in safe.head(path) and bool(_voc(path)[0])
    except RefusedError:
        return False


def _voc(path: Path) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Return an annotation's texts by their places, and those of each object."""
    facts: dict[str, str] = {}
    objects: list[dict[str, str]] = []
    place: list[str] = []
    pieces: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        place.append(name)
        pieces.clear()
        if place == ["annotation", "object"]:
            objects.append({})

    def end(name: str) -> None:
        text = "".join(pieces).strip()
        if place[:2] == ["annotation", "object"]:
            objects[-1].setdefault("/".join(place[2:]), text)
        elif place[:1] == ["annotation"] and len(place) > 1:
            facts["/".join(place[1:])] = text
        place.pop()
        pieces.clear()

    data = safe.read_bytes(path)
    safe_xml.check(safe_xml.in_blocks(data), path.name, start, end, pieces.append)
    return facts, objects


# ---- YOLO


def is_yolo(path: Path) -> bool:
    """Say whether each row of a text is a class's number and four parts of an image."""
    try:
        rows = [line.split() for line in safe.read_text(path).splitlines() if line.strip()]
    except RefusedError:
        return False
    return bool(rows) and all(
        len(row) == 5 and row[0].isascii() and row[0].isdigit()
        and all(NUMBER.fullmatch(cell) and abs(float(cell)) <= 2 for cell in row[1:])
        for row in rows
    )  # fmt: skip


def yolo(path: Path, size_yx: tuple[int, int], raw: Raw, declare: Declared) -> Listing:
    """Return the boxes of a YOLO file.

    Raises
    ------
    UnreadableError
        When a row is no class and four numbers, or the class is none of the list.
    MissingFactError
        When the classes have no names: neither a file of them nor ``columns.classes``.
    """
    names, (height, width) = _classes(path, raw, declare), size_yx
    boxes: list[Box] = []
    for number, line in enumerate(safe.read_text(path).splitlines()):
        cells, where = line.split(), f"{path.name}: line {number + 1}"
        if not cells:
            continue
        if len(cells) != 5 or not re.fullmatch(r"\d{1,6}", cells[0]):
            raise UnreadableError(where, f"{line[:40]!r}", "a class and four numbers", "mend it")
        if int(cells[0]) >= len(names):
            found = f"the class {cells[0]}"
            raise UnreadableError(where, found, f"0 to {len(names) - 1}", "correct the classes")
        x, y, wide, high = (_number(cell, where) for cell in cells[1:])
        boxes.append(Box(
            str(len(boxes)), names[int(cells[0])], (x - wide / 2) * width, (y - high / 2) * height,
            (x + wide / 2) * width, (y + high / 2) * height,
        ))  # fmt: skip
    return Listing(tuple(boxes))


def _classes(path: Path, raw: Raw, declare: Declared) -> list[str]:
    stated = declare.text("columns.classes")
    file = raw.find(lambda each: each.name in CLASS_FILES)
    if stated is not None:
        names = [name.strip() for name in stated.split(",")]
    elif file is not None:
        names = [line.strip() for line in safe.read_text(file).splitlines() if line.strip()]
    else:
        raise missing(path.name, "classes by number", "their names, from 0",
                      "columns.classes=NAME0,NAME1")  # fmt: skip
    if not all(names) or len(set(names)) < len(names):
        found = f"the classes {', '.join(names)[:60]}"
        raise InvalidInputError("columns.classes", found, "a name for each, all unlike")
    return names


# ---- CSV


def csv_columns(path: Path) -> dict[str, str]:
    """Return which column of a table has file, class and box; nothing where not all are there."""
    line = safe.head(path).split(b"\n")[0].decode("utf-8-sig", "replace").strip()
    names = {name.strip().strip('"').lower(): name.strip().strip('"') for name in line.split(",")}
    file, label = (next((names[k] for k in known if k in names), "") for known in (FILE, LABEL))
    box = next((key for key in (*CORNERS, *EXTENTS) if set(key) <= set(names)), ())
    if not file or not label or not box:
        return {}
    kind = "corners" if box in CORNERS else "extents"
    parts = {f"{number}": names[name] for number, name in enumerate(box)}
    return {"file": file, "label": label, "kind": kind, **parts}


def csv_files(path: Path) -> frozenset[str]:
    """Return the names of the images that a table of boxes knows; none of any other table."""
    try:
        columns = csv_columns(path)
        cells = safe.read_table(path, ",")[columns["file"]] if columns else ()
    except RefusedError:
        return frozenset()
    return frozenset(str(cell).replace("\\", "/").rpartition("/")[2] for cell in cells)


def csv_boxes(path: Path, image: str, raw: Raw, declare: Declared) -> Listing:
    """Return the boxes of one image in a table.

    Raises
    ------
    UnreadableError
        When a cell is no number.
    MissingFactError
        When it is not declared how corners are counted.
    """
    columns, table = csv_columns(path), safe.read_table(path, ",")
    counted = declare.text("columns.box")
    if counted is not None and counted not in CONVENTIONS:
        raise InvalidInputError("--set columns.box", repr(counted), " or ".join(CONVENTIONS))
    if columns["kind"] == "corners" and counted is None:
        raise missing(path.name, "corners of boxes", "edges from 0, or pixels from 1, the last "
                      "one included", "columns.box=edges")  # fmt: skip
    boxes: list[Box] = []
    bases = [str(cell).replace("\\", "/").rpartition("/")[2] for cell in table[columns["file"]]]
    for row in (n for n, base in enumerate(bases) if base == image):
        where, cells = f"{path.name}: row {row + 2}", table.iloc[row]
        a, b, c, d = (_number(str(cells[columns[k]]), where) for k in "0123")
        first = 1.0 if counted == "pixels" else 0.0
        if columns["kind"] == "extents":
            a, b, c, d, first = a, b, a + c, b + d, 0.0
        label = _label(str(cells[columns["label"]]), where)
        boxes.append(Box(str(len(boxes)), label, a - first, b - first, c, d))
    return Listing(tuple(boxes))


def _number(text: str, where: str) -> float:
    text = text.strip()
    if not NUMBER.fullmatch(text) or not isfinite(float(text)):
        raise UnreadableError(where, repr(text[:40]), "a finite number", "mend it at its source")
    return float(text)


def _label(text: str, where: str) -> str:
    if not text.strip():
        raise UnreadableError(where, "a box without a class", "its name", "mend the list")
    return text.strip()
