"""The picture that a person of the field would draw, for each representation."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import matplotlib
import xarray as xr

from neurodata.errors import InvalidInputError, NotFoundError
from neurodata.report.canvas import STYLE, Drawing, Sketch, node_dataset, png
from neurodata.report.pictures_boxes import boxes
from neurodata.report.pictures_graphs import graph, table
from neurodata.report.pictures_series import footprints, series
from neurodata.report.pictures_spikes import intervals, spikes
from neurodata.report.pictures_surfaces import maps, surface
from neurodata.report.pictures_volumes import instances, volume

# Order matters: a picture of traces shows the footprints too, one of an image its masks,
# one of boxes the image.
DRAWERS: dict[str, Callable[[xr.DataTree, str], Sketch]] = {
    "timeseries": series,
    "spikes": spikes,
    "boxes": boxes,
    "volume": volume,
    "surface": surface,
    "maps": maps,
    "graph": graph,
    "rois": footprints,
    "instances": instances,
    "intervals": intervals,
    "table": table,
}


def draw(tree: xr.DataTree, node: str) -> Drawing:
    """Draw one node of a recording in physical form; only what is drawn is read.

    Returns
    -------
    Drawing
        PNG (1620 pixels wide), text alternative, caption, and the nodes that it shows.

    Raises
    ------
    NotFoundError
        When the recording has no such node.
    InvalidInputError
        When the node's representation has no picture, or the node is in raw form.

    Examples
    --------
    >>> rows = xr.Dataset({"age": ("row", [3.0, 4.0])}, attrs={"representation": "table"})
    >>> draw(xr.DataTree(children={"mice": xr.DataTree(rows)}), "mice").nodes
    ('mice',)
    """
    representation = str(node_dataset(tree, node).attrs.get("representation"))
    if representation not in DRAWERS:
        raise InvalidInputError(
            f"node {node}", f"representation {representation!r}", "one of " + ", ".join(DRAWERS)
        )
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        sketch = DRAWERS[representation](tree, node)
        return Drawing(png(sketch.figure), sketch.what, sketch.caption, sketch.nodes)


def picture(tree: xr.DataTree, node: str) -> bytes:
    """Return the picture of one node as PNG, e.g. for ``IPython.display.Image``.

    Raises
    ------
    NotFoundError, InvalidInputError
        As ``draw``.

    Examples
    --------
    >>> rows = xr.Dataset({"age": ("row", [3.0, 4.0])}, attrs={"representation": "table"})
    >>> picture(xr.DataTree(children={"mice": xr.DataTree(rows)}), "mice")[1:4]
    b'PNG'
    """
    return draw(tree, node).png


def recording_picture(tree: xr.DataTree) -> bytes:
    """Return the picture of a recording's foremost node as PNG.

    Raises
    ------
    NotFoundError
        When no node has a picture.
    """
    found = next(nodes_to_draw(tree), None)
    if found is None:
        raise NotFoundError("recording", "no node to draw", "one of " + ", ".join(DRAWERS))
    return picture(tree, found)


def nodes_to_draw(tree: xr.DataTree) -> Iterator[str]:
    """Yield the nodes that have a picture, those that show other nodes first."""
    for representation in DRAWERS:
        for name, child in tree.children.items():
            if child.attrs.get("representation") == representation:
                yield name
