"""Pictures of surfaces and maps."""

from __future__ import annotations

import io

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from scipy.ndimage import binary_fill_holes
from scipy.spatial import ConvexHull

from neurodata.report import draw, recording_picture
from neurodata.report.canvas import Drawing, figure
from neurodata.report.pictures_surfaces import VIEWS, _raster, _view


def text(*words: str) -> np.ndarray:
    return np.array(words, dtype=object)


def sphere(count: int = 400) -> xr.Dataset:
    """A synthetic ball of 60 mm across."""
    points = np.random.default_rng(4).normal(size=(count, 3))
    points *= 0.03 / np.linalg.norm(points, axis=1)[:, None]
    faces = ConvexHull(points).simplices.astype("i4")
    return xr.Dataset(
        {
            "position": (("vertex", "axis"), points, {"units": "m", "space": "scanner"}),
            "face": (("triangle", "corner"), faces),
        },
        coords={"axis": text("x", "y", "z")},
        attrs={"representation": "surface", "schema": "surface/1", "structure": "CORTEX_LEFT"},
    )


def maps(names: int = 2, places: int = 500) -> xr.Dataset:
    values = np.random.default_rng(5).normal(size=(names, places)) / 1e3
    values[0, :3] = np.nan
    return xr.Dataset(
        {
            "value": (("map", "place"), values),
            "units": ("map", text(*["m"] * names)),
            "vertex": ("place", np.arange(places)),
        },
        coords={"map": text(*(f"thickness $x$ {n}" for n in range(names)))},
        attrs={"representation": "maps", "schema": "maps/1"},
    )


def labels() -> xr.Dataset:
    return xr.Dataset(
        {
            "label": (("map", "place"), np.array([[0, 3, 3, 9]], "i4")),
            "label_map": ("entry", [0, 0]),
            "label_key": ("entry", [0, 3]),
            "label_name": ("entry", text("???", "V1")),
            "vertex": ("place", np.arange(4)),
        },
        coords={"map": text("areas")},
        attrs={"representation": "maps", "schema": "maps/1"},
    )


CASES = {
    "a ball": (sphere(), "surface, CORTEX_LEFT, 400 vertices"),
    "a finer ball": (sphere(4000), "surface, CORTEX_LEFT, 4,000 vertices, 7,996 triangles"),
    "two maps": (maps(), "2 maps of values over 500 places."),
    "ten maps": (maps(10), "10 maps of values over 500 places, the first 8 drawn."),
    "a map without values": (maps(1, 3), "1 map of values over 3 places."),
    "labels": (labels(), "1 map of labels over 4 places."),
}


def shades(drawn: Drawing) -> int:
    return len(np.unique(np.asarray(Image.open(io.BytesIO(drawn.png)).convert("L"))))


@pytest.mark.parametrize("story", CASES)
def test_pictures(story: str) -> None:
    data, caption = CASES[story]
    tree = xr.DataTree.from_dict({"node": data})
    drawn = draw(tree, "node")
    assert caption in drawn.caption
    assert drawn.nodes == ("node",)
    assert shades(drawn) > 20
    assert recording_picture(tree) == drawn.png


@pytest.mark.parametrize(
    ("view", "towards", "right", "up"),
    [(0, (-1, 0, 0), (0, -1, 0), (0, 0, 1)), (1, (0, 0, 1), (1, 0, 0), (0, 1, 0)),
     (2, (0, -1, 0), (1, 0, 0), (0, 0, 1))],
)  # fmt: skip
def test_views_are_not_mirrored(
    view: int, towards: tuple[int, ...], right: tuple[int, ...], up: tuple[int, ...]
) -> None:
    """A viewer's right is the cross product of up and of what points towards the viewer."""
    np.testing.assert_array_equal(np.cross(up, towards), right)
    corner = np.array([[[1.0, 2.0, 3.0], [1.5, 2.0, 3.0], [1.0, 2.5, 3.5]]])
    ax = figure(2.0).subplots()
    _view(ax, corner, np.array([[0.0, 0.0, 1.0]]), VIEWS[view])
    drawn = ax.collections[0].get_paths()[0].vertices[:3]
    np.testing.assert_allclose(drawn, corner[0] @ np.array([right, up], "f8").T)


def test_many_triangles_become_pixels() -> None:
    data = sphere(3000)
    data["position"][:, 0] = np.abs(data["position"][:, 0])  # the right half, folded
    corners = data["position"].values[data["face"].values]
    ax = figure(2.0).subplots()
    _raster(ax, corners[:, :, [0, 2]], np.linspace(0.2, 0.9, len(corners)))
    image = ax.get_images()[0]
    left, right, bottom, top = image.get_extent()
    np.testing.assert_allclose([left, right, bottom, top], [0, 0.03, -0.03, 0.03], atol=3e-3)
    inside = np.isfinite(np.ma.filled(image.get_array().astype("f8"), np.nan))
    assert (binary_fill_holes(inside) == inside).mean() > 0.999
    half_disc = np.pi / 2 * 0.03**2 / ((right - left) * (top - bottom))
    assert inside.mean() == pytest.approx(half_disc, rel=0.1)
    assert image.origin == "lower"
