"""Images with boxes: COCO, Pascal VOC, YOLO and CSV beside PNG and TIFF, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tifffile
import xarray as xr
from PIL import Image

from neurodata import schema
from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, MissingFactError, UnreadableError
from neurodata.ingestion import ingest
from neurodata.plan import plan
from neurodata.readers import boxes
from neurodata.report.pictures import draw
from neurodata.safe import Raw
from neurodata.store import open_store
from tests.readers.conformance import PersonalTests, ReaderTests

CANARY = "Zdenka Canary"
HEIGHT, WIDTH = 40, 60
SIZE: dict[str, Any] = {"voxel_um": [0.5, 0.5]}
EDGES = [(10.0, 5.0, 30.0, 15.0), (0.0, 0.0, 4.5, 40.0)]  # x, y, x, y
LABELS = ["soma", "axon"]


def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH), dtype="u1")


def png(folder: Path, name: str = "synthetic.png") -> Path:
    folder.mkdir(exist_ok=True)
    Image.fromarray(pixels()).save(folder / name)
    return folder / name


def coco_facts() -> dict[str, Any]:
    marks = [
        {"id": n + 7, "image_id": 3, "category_id": n + 1, "bbox": [a, b, c - a, d - b],
         "area": 1.0, "iscrowd": 0, "segmentation": [[0, 0, 1, 1, 0, 1]]}
        for n, (a, b, c, d) in enumerate(EDGES)
    ]  # fmt: skip
    return {
        "info": {"contributor": CANARY},
        "images": [
            {"id": 3, "file_name": "images/synthetic.png", "height": HEIGHT, "width": WIDTH},
            {"id": 4, "file_name": "elsewhere.png", "height": 9, "width": 9},
        ],
        "annotations": marks,
        "categories": [{"id": n + 1, "name": label} for n, label in enumerate(LABELS)],
    }


def coco(folder: Path, change: Callable[[dict[str, Any]], object] = lambda facts: None) -> Path:
    facts = coco_facts()
    change(facts)
    (folder / "instances.json").write_text(json.dumps(facts))
    return png(folder)


def voc(folder: Path) -> Path:
    objects = "".join(
        f"<object><name>{label}</name><part><name>x</name></part><bndbox><xmin>{a + 1:g}</xmin>"
        f"<ymin>{b + 1:g}</ymin><xmax>{c:g}</xmax><ymax>{d:g}</ymax></bndbox></object>"
        for label, (a, b, c, d) in zip(LABELS, EDGES, strict=True)
    )
    (folder / "synthetic.xml").write_text(
        f"<annotation><folder>{CANARY}</folder><filename>synthetic.png</filename><owner><name>"
        f"{CANARY}</name></owner><size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>1"
        f"</depth></size>{objects}</annotation>\n"
    )
    return png(folder)


def yolo(folder: Path, names: bool = True) -> Path:
    rows = [
        f"{n} {(a + c) / 2 / WIDTH:.9f} {(b + d) / 2 / HEIGHT:.9f} {(c - a) / WIDTH:.9f} "
        f"{(d - b) / HEIGHT:.9f}\n"
        for n, (a, b, c, d) in enumerate(EDGES)
    ]
    (folder / "labels").mkdir(exist_ok=True)
    (folder / "labels/synthetic.txt").write_text("".join(rows))
    if names:
        (folder / "classes.txt").write_text("\n".join(LABELS) + "\n")
    return png(folder / "images")


def table(folder: Path, header: str = "filename,class,x,y,width,height") -> Path:
    rows = [
        f"synthetic.tif,{label},{a},{b},{c - a},{d - b}\n"
        for label, (a, b, c, d) in zip(LABELS, EDGES, strict=True)
    ]
    (folder / "boxes.csv").write_text(header + "\n" + "".join(rows) + "other.tif,soma,1,1,2,2\n")
    path = folder / "synthetic.tif"
    tifffile.imwrite(path, pixels(), metadata={"axes": "YX"})
    return path


def raw_of(path: Path, root: Path | None = None) -> Raw:
    root = root or path.parent
    folder = tuple(sorted(p for p in root.rglob("*") if p.is_file()))
    return Raw(root, boxes.members(path, folder))


def read(path: Path, root: Path | None = None, **facts: Any) -> tuple[xr.DataTree, str]:
    """Return the tree and the findings as one text."""
    raw = raw_of(path, root)
    given = {**SIZE, **{key.replace("__", "."): value for key, value in facts.items()}}
    tree = boxes.read(raw, Declared(given))
    assert [p for p in schema.validate(tree) if p.level == "error"] == []
    return tree, "\n".join(map(str, raw.problems))


class BoxTests(ReaderTests):
    reader = boxes
    nodes: ClassVar = {"image": "volume", "boxes": "boxes"}
    declare: ClassVar = SIZE
    accepts = ("png", "tiff")

    def victims(self, path: Path) -> tuple[Path, ...]:
        return self.raw(path).files


class TestCoco(BoxTests):
    def make(self, folder: Path) -> Path:
        return coco(folder)

    def test_cut_short_is_refused(self, path: Path) -> None:
        """A list that is cut does not name the image any more: it stands alone, and is refused."""
        super().test_cut_short_is_refused(path)


class TestVoc(BoxTests, PersonalTests):
    canary: ClassVar = CANARY

    def make(self, folder: Path) -> Path:
        return voc(folder)


class TestYolo(BoxTests):
    declare: ClassVar = {**SIZE, "columns.classes": "soma,axon"}
    truncation_shows = False  # in rows of numbers

    def make(self, folder: Path) -> Path:
        (folder / "synthetic.txt").write_text("0 0.3 0.25 0.3 0.25\n1 0.5 0.5 0.2 0.1\n")
        return png(folder)


class TestTable(BoxTests):
    truncation_shows = False  # in rows of numbers

    def make(self, folder: Path) -> Path:
        return table(folder)


# what is read


@pytest.mark.parametrize("make", [coco, voc, yolo, table])
def test_all_lists_give_the_same_boxes(make: Callable[[Path], Path], tmp_path: Path) -> None:
    tree, findings = read(make(tmp_path), tmp_path)
    node = tree["boxes"].to_dataset()
    found = [tuple(float(node[name][n]) for name in boxes.EDGES) for n in range(2)]
    np.testing.assert_allclose(found, EDGES, atol=1e-6)
    assert node["label"].values.tolist() == LABELS
    assert node["x_stop"].attrs == {"units": "pixel"}
    assert node.attrs["image_node"] == "image"
    np.testing.assert_array_equal(tree["image/image_adc"].values, pixels())
    assert tree["image/spacing"].values.tolist() == [0.5, 0.5]
    assert CANARY not in findings
    assert "warning" not in findings


def test_ids_of_coco_are_kept(tmp_path: Path) -> None:
    tree, findings = read(coco(tmp_path))
    assert tree["boxes/box_id"].values.tolist() == ["7", "8"]
    assert "outlines of objects" in findings


def test_images_with_boxes_are_known_for_sure(tmp_path: Path) -> None:
    yolo(tmp_path)
    png(tmp_path / "more", "lonely.png")
    coco(tmp_path / "more").rename(tmp_path / "more/elsewhere.png")
    found = {job.name: [p.name for p in job.files[1:]] for job in plan(tmp_path).jobs
             if job.reader == "boxes"}  # fmt: skip
    assert found == {
        "images/synthetic.png": ["synthetic.txt", "classes.txt"],
        "more/elsewhere.png": ["instances.json"],
    }


def test_lists_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / "labels" / part).mkdir(parents=True)
        (tmp_path / f"labels/{part}/a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
        (tmp_path / "images").mkdir(exist_ok=True)
        png(tmp_path / "images" / part, "a.png")
    for part in ("train", "test"):
        files = raw_of(tmp_path / f"images/{part}/a.png", tmp_path).files
        assert files[1] == tmp_path / f"labels/{part}/a.txt"
    (tmp_path / "labels/train/a.txt").rename(tmp_path / "labels/a.txt")
    (tmp_path / "labels/test/a.txt").rename(tmp_path / "a.txt")
    with pytest.raises(UnreadableError, match=r"lists of boxes a\.txt and a\.txt"):
        raw_of(tmp_path / "images/train/a.png", tmp_path)


def test_boxes_are_stored_validated_and_drawn(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    coco(tmp_path / "raw")
    result = ingest(tmp_path / "raw", store=tmp_path / "store", declare={
        **SIZE, "licence": "CC0-1.0",
    })  # fmt: skip
    assert result.ok
    tree = open_store(tmp_path / "store")["raw/synthetic"]
    assert tree["boxes/label"].values.tolist() == LABELS
    drawing = draw(tree, "boxes")
    assert drawing.nodes == ("boxes", "image")
    assert "2 boxes of soma, axon" in drawing.caption
    assert draw(tree, "image").nodes == ("image",)


def test_an_image_without_boxes_in_its_list(tmp_path: Path) -> None:
    tree, findings = read(coco(tmp_path, lambda facts: facts["annotations"].clear()))
    assert dict(tree["boxes"].sizes) == {"box": 0}
    assert "no boxes of synthetic.png" in findings


@pytest.mark.parametrize(("counted", "first"), [("edges", 0.0), ("pixels", 1.0)])
def test_corners_in_a_table_are_declared(counted: str, first: float, tmp_path: Path) -> None:
    path = table(tmp_path)
    (tmp_path / "boxes.csv").write_text(
        "filename,width,height,class,xmin,ymin,xmax,ymax\nsynthetic.tif,60,40,soma,3,4,9,8\n"
    )
    with pytest.raises(MissingFactError, match=r"columns\.box=edges"):
        read(path)
    with pytest.raises(InvalidInputError, match=r"columns\.box"):
        read(path, columns__box="corners")
    node = read(path, columns__box=counted)[0]["boxes"]
    assert [float(node[name][0]) for name in boxes.EDGES] == [3 - first, 4 - first, 9, 8]


def test_classes_of_yolo_are_named_or_declared(tmp_path: Path) -> None:
    path = yolo(tmp_path, names=False)
    with pytest.raises(MissingFactError, match=r"columns\.classes=NAME0,NAME1"):
        read(path, tmp_path)
    node = read(path, tmp_path, columns__classes="a, b")[0]["boxes"]
    assert node["label"].values.tolist() == ["a", "b"]
    with pytest.raises(UnreadableError, match="the class 1"):
        read(path, tmp_path, columns__classes="a")
    with pytest.raises(InvalidInputError, match="all unlike"):
        read(path, tmp_path, columns__classes="a,a")


def test_colours_and_the_edge_of_the_image(tmp_path: Path) -> None:
    path = coco(tmp_path, lambda facts: facts["annotations"][0].update(bbox=[-2, 0, 10, 10]))
    Image.fromarray(np.stack([pixels()] * 3, axis=-1)).save(path)
    tree, findings = read(path)
    assert tree["image/channel"].values.tolist() == ["red", "green", "blue"]
    assert float(tree["boxes/x_start"][0]) == -2
    assert "1 boxes that reach over the image's edge, e.g. 7" in findings


def test_copies_are_found(tmp_path: Path) -> None:
    def twice(facts: dict[str, Any]) -> None:
        facts["annotations"].append({**facts["annotations"][0], "id": 99})

    assert "1 boxes that repeat another" in read(coco(tmp_path, twice))[1]


# what is refused


def mark(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda facts: facts["annotations"][0].update(changes)


@pytest.mark.parametrize(("change", "found"), [
    (mark(bbox=[10, 5, -3, 10]), "-3 x 10 pixels"),
    (mark(bbox=[10, 5, 0, 10]), "0 x 10 pixels"),
    (mark(bbox=[60, 5, 4, 4]), "x 60 to 64"),
    (mark(bbox=[5, -9, 4, 4]), "y -9 to -5"),
    (mark(bbox=[1, 2, 3]), r"the box \[1, 2, 3\]"),
    (mark(bbox=[1, 2, 3, "4"]), "the box"),
    (mark(bbox=[1, 2, 3, True]), "the box"),
    (mark(category_id=9), "the category 9"),
    (mark(id=8), "the id 8 twice"),
    (mark(id=None), "entries without an id"),
    (mark(image_id=77), "images that are not listed, e.g. 77"),
    (lambda facts: facts["images"][0].update(height=41), r"an image of \(41, 60\)"),
    (lambda facts: facts["images"][1].update(file_name="synthetic.png"), "synthetic.png 2 times"),
    (lambda facts: facts["images"][1].update(id=3), "the id 3 twice"),
    (lambda facts: facts["categories"][1].update(id=1), "the id 1 twice"),
    (lambda facts: facts.update(annotations={"a": 1}), "no list of objects"),
])  # fmt: skip
def test_impossible_lists_are_refused(
    change: Callable[[dict[str, Any]], object], found: str, tmp_path: Path
) -> None:
    with pytest.raises(UnreadableError, match=found):
        read(coco(tmp_path, change))


@pytest.mark.parametrize(("old", "new", "found"), [
    ("<xmin>11</xmin>", "<xmin>eleven</xmin>", "'eleven'"), ("<xmin>11</xmin>", "", "''"),
    ("<name>soma</name>", "<name> </name>", "without a class"),
    ("<xmax>30</xmax>", "<xmax>9</xmax>", "-1 x 10"), ("<height>40", "<height>41", "41, 60"),
])  # fmt: skip
def test_impossible_objects_of_voc_are_refused(
    old: str, new: str, found: str, tmp_path: Path
) -> None:
    path = voc(tmp_path)
    text = (tmp_path / "synthetic.xml").read_text()
    assert old in text
    (tmp_path / "synthetic.xml").write_text(text.replace(old, new))
    with pytest.raises(UnreadableError, match=found):
        read(path)


def test_stacks_and_images_alone_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path)
    tifffile.imwrite(path, np.stack([pixels()] * 3), imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(UnreadableError, match="one plane, as boxes have"):
        read(path, voxel_um=[1.0, 0.5, 0.5])
    (tmp_path / "boxes.csv").unlink()
    with pytest.raises(UnreadableError, match="no list of its boxes"):
        read(path)


@pytest.mark.parametrize(("name", "values", "found"), [
    ("x_stop", [1.0, np.nan], "2 box"), ("x_start", [99.0, 0.0], "1 box"),
    ("box_id", ["a", "a"], "1 repeated"),
])  # fmt: skip
def test_the_schema_s_own_checks(name: str, values: list[Any], found: str, tmp_path: Path) -> None:
    tree = read(coco(tmp_path))[0]
    node = tree["boxes"].to_dataset()
    wrong = np.array(values, object if name == "box_id" else "f8")
    tree["boxes"] = xr.DataTree(node.assign({name: ("box", wrong, node[name].attrs)}))
    errors = [p for p in schema.check(tree) if p.level == "error"]
    assert any(p.found.startswith(found) for p in errors)


def listed_of(folder: Path, main: str) -> list[tuple[str, str]]:
    """What is said of the list and the images of a folder, at one of its images."""
    raw = raw_of(folder / main, folder)
    boxes.read(raw, Declared(SIZE))
    return [(p.level, p.found) for p in raw.problems if "images" in p.found]


def test_images_that_a_list_of_many_leaves_out_are_told_once(tmp_path: Path) -> None:
    def both(facts: dict[str, Any]) -> None:
        second = {"id": 9, "file_name": "second.png", "height": HEIGHT, "width": WIDTH}
        facts["images"].append(second)

    coco(tmp_path, both)
    for name in ("second.png", "unlisted.png", "zebra.png"):
        png(tmp_path, name)
    assert listed_of(tmp_path, "second.png") == [
        ("note", "boxes of 1 images that are not there, left out"),
        ("warning", "nothing of 2 images beside, e.g. unlisted.png"),
    ]
    assert listed_of(tmp_path, "synthetic.png") == []


def test_a_list_of_all_images_is_fine(tmp_path: Path) -> None:
    coco(tmp_path, lambda facts: facts["images"].pop())
    assert listed_of(tmp_path, "synthetic.png") == []


@pytest.mark.parametrize("write", [voc, yolo])
def test_images_without_a_list_of_their_own_are_told_once(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    main = write(tmp_path)
    assert listed_of(tmp_path, str(main.relative_to(tmp_path))) == []
    for name in ("unlisted.png", "zebra.png"):
        png(main.parent, name)
    (list_of,) = [p for p in tmp_path.rglob("synthetic.*") if p.suffix in (".xml", ".txt")]
    shutil.copy(list_of, list_of.with_name(f"second{list_of.suffix}"))
    second = png(main.parent, "second.png")
    assert listed_of(tmp_path, str(second.relative_to(tmp_path))) == [
        ("warning", "nothing of 2 images beside, e.g. unlisted.png")
    ]
    assert listed_of(tmp_path, str(main.relative_to(tmp_path))) == []
