"""Traces of a movie: the weighted mean of each region of interest in every frame, lazily."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
import xarray as xr

from neurodata.declare import Declared, missing
from neurodata.errors import InvalidInputError, MissingFactError, UnreadableError
from neurodata.readers.channels import Channel, Clock
from neurodata.readers.clocked import clocked
from neurodata.readers.delimited import Numbers
from neurodata.readers.lacking import together
from neurodata.readers.mapped import Listed, chosen, describe_all
from neurodata.readers.masks import Regions, declared_masks, regions_in, regions_of
from neurodata.safe import Raw
from neurodata.units import Unit, to_si

if TYPE_CHECKING:
    from neurodata.readers.hdf5_arrays import Hdf5Arrays

AXES = ("time", "y", "x")


def means(movie: Any, regions: Regions) -> Any:
    """Return the weighted mean of each region in every frame, as a dask array (time, region).

    One block of frames is in memory at a time; a pixel that is no number makes its regions none.

    Parameters
    ----------
    movie : dask array (time, y, x)
        In blocks of whole frames.

    Examples
    --------
    >>> import dask.array as da
    >>> movie = da.from_array(np.arange(8.0).reshape(2, 2, 2), chunks=(1, 2, 2))
    >>> means(movie, regions_of(np.array([[1, 1], [0, 2]]), "masks.npy")).compute().tolist()
    [[0.5, 3.0], [4.5, 7.0]]
    """
    import dask.array as da

    count = len(regions.names)
    used, column = np.unique(regions.y * regions.shape_yx[1] + regions.x, return_inverse=True)
    total = np.add.reduceat(regions.weight, np.cumsum(regions.counts) - regions.counts)
    weight = regions.weight / np.repeat(total, regions.counts)
    row = np.repeat(np.arange(count), regions.counts)
    matrix = scipy.sparse.csr_array((weight, (row, column)), shape=(count, len(used)))
    dtype = np.dtype("float64" if movie.dtype.itemsize == 8 else "float32")
    apply: Any = da.map_blocks
    return apply(
        partial(_means, used, matrix, dtype), movie, dtype=dtype,
        drop_axis=(1, 2), new_axis=1, chunks=(movie.chunks[0], (count,)),
        meta=np.empty((0, 0), dtype),
    )  # fmt: skip


def _means(
    used: Numbers, matrix: Any, dtype: npt.DTypeLike, frames: Numbers
) -> npt.NDArray[np.floating[Any]]:
    pixels = frames.reshape(len(frames), -1)[:, used].astype("float64")
    result: npt.NDArray[np.floating[Any]] = (matrix @ pixels.T).T.astype(dtype)
    return result


def traced(
    movie: Any, regions: Regions, unit: Unit, clock: Clock, raw: Raw, declare: Declared, where: str
) -> xr.DataTree:
    """Return the recording of a movie (time, y, x) under masks: ``traces`` and ``rois``.

    Raises
    ------
    UnreadableError
        When movie and masks are not of one size.
    """
    if movie.shape[1:] != regions.shape_yx:
        raise UnreadableError(
            where, f"masks of {regions.shape_yx} (y, x)", f"{movie.shape[1:]}, as the movie",
            "export masks of the movie's frames",
        )  # fmt: skip
    channels = [Channel(name, "ROI", unit.symbol, unit.factor) for name in regions.names]
    nodes = {
        "traces": clocked(means(movie, regions), channels, clock, raw),
        "rois": regions.node(raw, where),
    }
    raw.note("", "the movie itself is left out", "", "traces and footprints are kept")
    modality = declare.text("modality") or "calcium"
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": modality}), **nodes})


def masked_hdf5(source: Hdf5Arrays, raw: Raw, declare: Declared) -> xr.DataTree:
    """Read the traces of the movie in an HDF5 file; see `neurodata.readers.hdf5.read`."""
    found = {item.name: item for item in source.listed()}
    movie = chosen("movie", found, raw, declare)
    inside = chosen("masks", found, raw, declare)
    listing = describe_all(list(found.values()))
    orders = "axes=time,y,x|y,x,time|..."
    facts = [("the order of its axes", orders)] * ("axes" not in declare.facts)
    facts += [("frames a second", "rate_hz=<Hz>")] * ("rate_hz" not in declare.facts)
    facts += [("the unit of its pixels", "units.*=<unit>")] * ("units.*" not in declare.facts)
    lacking = [missing(raw.name, listing, expected, fact) for expected, fact in facts]
    path = None
    try:
        path = declared_masks(raw, declare) if inside is None else None
    except MissingFactError as error:
        lacking.append(error)
    if lacking or movie is None:
        raise together(lacking)
    order = _order(movie, declare)
    frames = source.array(movie.name, order[0]).transpose(order)
    if inside is not None:
        regions, where = regions_of(source.array(inside.name, 0), inside.name), inside.name
    else:
        path = path or declared_masks(raw, declare)
        regions, where = regions_in(path, raw), path.name
    rate_hz = declare.need_number("rate_hz", raw.name, "no frame rate", "<Hz>")
    clock = Clock(rate_hz, frames.shape[0], ((0, declare.number("start_s") or 0.0),))
    unit = to_si(declare.text("units.*"), raw.name)
    return traced(frames, regions, unit, clock, raw, declare, where)


def _order(movie: Listed, declare: Declared) -> list[int]:
    """Return where time, y and x are among a movie's axes, as declared."""
    declared = declare.text("axes") or ""
    axes = [axis.strip() for axis in declared.split(",")]
    if sorted(axes) != sorted(AXES) or len(movie.shape) != 3:
        raise InvalidInputError(
            f"--set axes={declared}", f"for {movie}", "each of time, y, x once, of three axes"
        )
    return [axes.index(axis) for axis in AXES]
