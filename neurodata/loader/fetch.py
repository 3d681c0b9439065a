"""From picks to the arrays of a batch: one function per representation.

Every function takes an array of picks (see `neurodata.loader.plan`) last and returns a mapping
of arrays; it knows nothing of epochs, splits or targets, so that a faster one can take its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from neurodata.loader.plan import Array, Ratio, Span
from neurodata.loader.recordings import AXES, Image, Recordings, Series
from neurodata.loader.spans import before

Scaling = Mapping[int, tuple[Array, Array]]
"""Mean and standard deviation per channel, by recording."""


Columns = Sequence[slice | Array]
"""For each recording, the columns of a batch that its channels are in."""


def columns_of(every: Sequence[Sequence[str]]) -> Columns:
    """Return the columns of each recording's channels, of which these are the names.

    Channels keep their order; but where one name would be in two columns, or two recordings
    have their channels in another order, every name has a column of its own.

    Examples
    --------
    >>> [columns.tolist() for columns in columns_of([["Cz", "Pz"], ["Pz", "Oz", "Cz"]])]
    [[0, 1], [1, 2, 0]]
    >>> columns_of([["Cz"], ["Pz", "Oz"]])
    [slice(0, 1, None), slice(0, 2, None)]
    """
    own = {name: at for at, name in enumerate(dict.fromkeys(chain.from_iterable(every)))}
    places = {place for names in every for place in enumerate(names)}
    if len(places) == len(own):
        return [slice(0, len(names)) for names in every]
    return [np.array([own[name] for name in names], int) for names in every]


def width_of(columns: Columns) -> int:
    """Return the number of columns, the same in every batch."""
    return max(at.stop if isinstance(at, slice) else int(at.max()) + 1 for at in columns)


def in_columns(columns: Columns, every: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Return what each recording's channels are called by column, "" where it has none."""
    rows = np.full((len(every), width_of(columns)), "", object)
    for row, at, values in zip(rows, columns, every, strict=True):
        row[at] = values
    return tuple(map(tuple, rows))


def fetch_windows(
    recordings: Recordings,
    node: str,
    series: Sequence[Series],
    columns: Columns,
    spans: Sequence[Span],
    scaling: Scaling | None,
    count: int,
    layout: str,
    picks: Array,
) -> dict[str, Array]:
    """Return ``signal`` float32 and ``mask (batch, channel)`` of windows of ``count`` samples.

    ``layout="bct"`` gives ``signal (batch, channel, time)``, a view on time-major memory;
    ``"btc"`` gives that memory. A channel that a recording lacks, or that was not observed
    throughout the window, is 0 and its mask False.
    """
    width = width_of(columns)
    memory = np.zeros((len(picks), count, width), "f4")
    mask = np.zeros((len(picks), width), bool)
    for at, pick in enumerate(picks):
        number = int(pick["recording"])
        values, valid = window(
            recordings, node, series[number], spans[pick["span"]], int(pick["first"]), count
        )
        if scaling is not None:
            mean, std = scaling[number]
            values = (values - mean) / std
        memory[at][:, columns[number]] = np.where(valid, values, 0.0)
        mask[at, columns[number]] = valid
    return {"signal": in_layout(memory, layout), "mask": mask}


def in_layout(memory: Array, layout: str) -> Array:
    """Return time-major memory ``(batch, time, channel)`` as the layout's view."""
    return memory.transpose(0, 2, 1) if layout == "bct" else memory


def window(
    recordings: Recordings, node: str, series: Series, span: Span, first: int, count: int
) -> tuple[Array, Array]:
    """Return one window ``(time, channel)`` float64 in the field's units, and its valid channels.

    A resampled window equals the same piece of the whole span, resampled at once: all samples
    that the filter needs are read, and `plan` took care that they lie in the span.
    """
    lo, hi = span.ratio.source(first, count)
    if span.ratio.half == 0:
        return _source(recordings, node, series, span, lo, hi)
    lo -= lo % span.ratio.down
    values, valid = _source(recordings, node, series, span, lo, hi)
    skip = first - lo * span.ratio.up // span.ratio.down
    return resample(values, span.ratio)[skip : skip + count], valid


def resample(values: Array, ratio: Ratio) -> Array:
    """Resample ``(time, channel)`` by a ratio behind an anti-aliasing filter.

    A Kaiser window (beta 5), as in `scipy.signal.resample_poly`.
    """
    from scipy.signal import firwin, resample_poly

    taps = firwin(2 * ratio.half + 1, 1 / max(ratio.up, ratio.down), window=("kaiser", 5.0))
    return np.asarray(resample_poly(values, ratio.up, ratio.down, axis=0, window=taps))


def _source(
    recordings: Recordings, node: str, series: Series, span: Span, lo: int, hi: int
) -> tuple[Array, Array]:
    """Return source samples ``[lo, hi)`` of a span; an irregular clock is interpolated."""
    number, base = span.recording, span.offset
    weight: Array | None = None
    if span.times is None:
        rows = slice(base + lo, base + hi)
    else:
        wanted = np.minimum(span.start_s + np.arange(lo, hi) / span.rate_hz, span.times[-1])
        left = before(span.times, wanted)
        rows = slice(base + int(left[0]), base + int(left[-1]) + 2)
        step = span.times[left + 1] - span.times[left]
        weight = ((wanted - span.times[left]) / step)[:, None]
    values = recordings.read(number, node, series.variable, (rows,)) * series.scale + series.offset
    valid = np.ones(values.shape[1], bool)
    if series.observed:
        valid = np.asarray(recordings.read(number, node, "observed", (rows,)).all(axis=0))
    if weight is not None:
        left = left - left[0]
        values = values[left] * (1 - weight) + values[left + 1] * weight
    return values, valid


def fetch_spikes(
    recordings: Recordings,
    node: str,
    units: Sequence[int],
    spans: Sequence[Span],
    count: int,
    layout: str,
    picks: Array,
) -> dict[str, Array]:
    """Return ``signal`` float32: spikes per unit and bin, and ``mask (batch, unit)``.

    ``units`` has the number of units of each recording; bins are half-open.
    """
    width = max(units)
    memory = np.zeros((len(picks), count, width), "f4")
    mask = np.zeros((len(picks), width), bool)
    for at, pick in enumerate(picks):
        number, span = int(pick["recording"]), spans[pick["span"]]
        edges = span.start_s + np.arange(pick["first"], pick["first"] + count + 1) / span.rate_hz
        times = recordings.read(number, node, "time_s")
        splits = recordings.read(number, node, "row_splits")
        for unit in range(units[number]):
            own = times[splits[unit] : splits[unit + 1]]
            memory[at, :, unit] = np.diff(np.searchsorted(own, edges))
        mask[at, : units[number]] = True
    return {"signal": in_layout(memory, layout), "mask": mask}


def fetch_patches(
    recordings: Recordings,
    node: str,
    images: Sequence[Image],
    columns: Columns,
    scaling: Scaling | None,
    picks: Array,
) -> dict[str, Array]:
    """Return ``image (batch, channel, z, y, x)`` float32, ``mask`` and ``corner_zyx``.

    All picks of a batch have one shape.
    """
    width = width_of(columns)
    image = np.zeros((len(picks), width, *picks["shape_zyx"][0]), "f4")
    mask = np.zeros((len(picks), width), bool)
    for at, pick in enumerate(picks):
        number = int(pick["recording"])
        values = patch(recordings, node, images[number], pick)
        if scaling is not None:
            mean, std = scaling[number]
            values = (values - mean[:, None, None, None]) / std[:, None, None, None]
        image[at, columns[number]] = values
        mask[at, columns[number]] = True
    return {"image": image, "mask": mask, "corner_zyx": picks["corner_zyx"].astype("i8")}


def patch(recordings: Recordings, node: str, image: Image, pick: Any) -> Array:
    """Return one patch ``(channel, z, y, x)`` float64 in the field's units."""
    values = voxels(recordings, node, image.variable, image.dims, "channel", pick)
    scale, offset = (np.reshape(x, (-1, 1, 1, 1)) for x in (image.scale, image.offset))
    return np.asarray(values * scale + offset)


def voxels(
    recordings: Recordings, node: str, name: str, dims: Sequence[str], lead: str, pick: Any
) -> Array:
    """Return the stored voxels of a patch as ``(lead, z, y, x)``; absent axes have length 1."""
    where: list[slice | int] = []
    for dim in dims:
        if dim in AXES:
            at = AXES.index(dim)
            corner = int(pick["corner_zyx"][at])
            where.append(slice(corner, corner + int(pick["shape_zyx"][at])))
        else:
            where.append(int(pick["time"]) if dim == "time" else slice(None))
    values = recordings.read(int(pick["recording"]), node, name, tuple(where))
    present = [dim for dim in dims if dim != "time"]
    order = [present.index(dim) for dim in (lead, *AXES) if dim in present]
    absent = [at for at, dim in enumerate((lead, *AXES)) if dim not in present]
    return np.expand_dims(np.transpose(values, order), absent)


EDGES = ("source", "target", "weight", "kind")


def fetch_graphs(recordings: Recordings, node: str, picks: Array) -> dict[str, Any]:
    """Return ``graph``: for each pick a mapping with the names that PyTorch Geometric uses.

    ``edge_index (2, edge)`` int64, ``edge_weight (edge)`` where edges have one, ``edge_kind``
    where kinds differ, ``num_nodes``, and the node columns by their own names.
    """
    return {"graph": [_graph(recordings, node, int(pick["recording"])) for pick in picks]}


def _graph(recordings: Recordings, node: str, number: int) -> dict[str, Any]:
    data = recordings.node(number, node)
    ends = [recordings.read(number, node, name) for name in EDGES[:2]]
    graph: dict[str, Any] = {"edge_index": np.stack(ends).astype("i8")}
    for name in EDGES[2:]:
        if name in data:
            graph[f"edge_{name}"] = recordings.read(number, node, name).copy()
    graph["num_nodes"] = data.sizes["node"]
    for key, variable in data.variables.items():
        if variable.dims == ("node",):
            graph[str(key)] = recordings.read(number, node, str(key)).copy()
    return graph
