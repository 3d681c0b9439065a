"""What must hold between the variables of a node, and between the nodes of a recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurodata import box_rules, surfaces, units
from neurodata.clock import RegularTime
from neurodata.errors import Problem
from neurodata.slabs import slabs

Rules = Mapping[str, Any]
Nodes = Mapping[str, tuple[str, xr.Dataset]]


def of_node(name: str, node: xr.Dataset, rules: Rules) -> list[Problem]:
    """Return the findings about one node whose variables have the right dims and dtypes.

    Parameters
    ----------
    name : str
        The node's name, for the messages.
    node : xarray.Dataset
    rules : mapping
        Its representation's schema.
    """
    problems = [*_names(name, node, rules["names"])]
    if rules.get("clock") and "time" in node.sizes:
        unless = rules.get("clock_unless", [])
        problems += _clock(name, node, any(key in node.variables for key in unless))
    if "row_splits" in rules:
        problems += _row_splits(name, node, **rules["row_splits"])
    own = _OWN.get(str(node.attrs.get("representation")))
    return problems + list(own(name, node) if own else ())


def _names(name: str, node: xr.Dataset, keys: list[str]) -> Iterator[Problem]:
    for key in keys:
        if key not in node.variables:
            continue
        values = [str(value) for value in node[key].values]
        blank = sum(not value.strip() for value in values)
        if blank:
            yield Problem("error", f"{name}/{key}", f"{blank} empty name(s)", "a name for each")
        twice = sorted(value for value, n in Counter(values).items() if n > 1 and value.strip())
        if twice:
            found = f"{', '.join(twice[:5])} more than once"
            yield Problem("error", f"{name}/{key}", found, "each name once")


# ---- clocks


def _clock(name: str, node: xr.Dataset, excused: bool) -> Iterator[Problem]:
    facts = [key for key in ("start_s", "rate_hz", "n") if key in node.attrs]
    if "time" in node.variables:
        if isinstance(node.xindexes.get("time"), RegularTime):
            return
        if facts:
            yield Problem("error", f"{name}/time", "a regular and an irregular clock", "one clock")
        yield from _irregular(f"{name}/time", node["time"])
    elif len(facts) == 3:
        if node.attrs["n"] != node.sizes["time"]:
            found = f"n={node.attrs['n']} for {node.sizes['time']} samples"
            yield Problem("error", f"{name}: n", found, "the number of samples")
    elif facts or not excused:
        found = f"only {', '.join(facts)}" if facts else "no clock"
        hint = "declare it: --set 'rate_hz=<Hz>'"
        yield Problem("error", name, found, "start_s, rate_hz and n, or a time coordinate", hint)


def _irregular(where: str, time: xr.DataArray) -> Iterator[Problem]:
    bad = disorder = 0
    last = -np.inf
    for _, slab in slabs(time):
        finite = slab[np.isfinite(slab)]
        bad += slab.size - finite.size
        if finite.size:
            disorder += int((np.diff(finite, prepend=last) <= 0).sum())
            last = finite[-1]
    if bad:
        yield Problem("error", where, f"{bad} non-finite time(s)", "finite seconds")
    if disorder:
        found = f"{disorder} time(s) not after the one before"
        yield Problem("error", where, found, "strictly increasing seconds")


def rate_hz(node: xr.Dataset) -> float | None:
    """Return the rate of a node's regular clock in Hz, or None where it has none."""
    index = node.xindexes.get("time") if "time" in node.variables else None
    if isinstance(index, RegularTime):
        return index.rate_hz
    rate = node.attrs.get("rate_hz")
    return None if rate is None or "time" in node.variables else float(rate)


def span_s(node: xr.Dataset) -> tuple[float, float, float] | None:
    """Return first second, end and mean sampling interval of a node's clock, if it has one."""
    n = node.sizes.get("time", 0)
    if n and "time" in node.variables:
        first, last = float(node["time"][0]), float(node["time"][-1])
        step = (last - first) / (n - 1) if n > 1 else 0.0
        return first, last + step, step
    if n and {"start_s", "rate_hz"} <= set(node.attrs):
        first, step = float(node.attrs["start_s"]), 1 / float(node.attrs["rate_hz"])
        return first, first + n * step, step
    if {"start_s", "stop_s"} <= set(node.attrs):
        return float(node.attrs["start_s"]), float(node.attrs["stop_s"]), 0.0
    return None


# ---- ragged rows


def _row_splits(name: str, node: xr.Dataset, of: str, by: str) -> Iterator[Problem]:
    where, splits = f"{name}/row_splits", node["row_splits"].values
    values, rows = node.sizes.get(of, 0), node.sizes.get(by, 0)
    if splits.size != rows + 1:
        yield Problem("error", where, f"{splits.size} splits", f"{rows + 1} for {rows} of {by}")
    elif splits[0] != 0 or splits[-1] != values:
        yield Problem("error", where, f"{splits[0]} to {splits[-1]}", f"0 to {values} of {of}")
    elif (np.diff(splits.astype("int64")) < 0).any():
        yield Problem("error", where, "decreasing splits", "none before the one before it")


def _rows_valid(node: xr.Dataset, of: str, by: str) -> bool:
    return not list(_row_splits("", node, of, by))


# ---- one function a representation


def _timeseries(name: str, node: xr.Dataset) -> Iterator[Problem]:
    channels, symbols = node["channel"].values, [str(value) for value in node["units"].values]
    for channel, symbol in zip(channels, symbols, strict=True):
        if symbol not in units.SYMBOLS:
            hint = f"declare it: --set units.{channel}=uV"
            found = f"the unit {symbol!r}"
            yield Problem("error", f"{name}/units: {channel}", found, "a canonical unit", hint)
    common = symbols[0] if len(set(symbols)) == 1 else "mixed"
    main = node["signal" if "signal" in node.variables else "signal_adc"]
    stated = {node.attrs.get("units"), main.attrs.get("units")} - {None}
    if symbols and stated != {common} and set(symbols) <= units.SYMBOLS:
        found = " and ".join(sorted(map(repr, stated))) or "no units of the node"
        yield Problem("error", f"{name}: units", found, f"{common!r}, as its channels have")
    yield from _scaling(name, node)


def _scaling(name: str, node: xr.Dataset) -> Iterator[Problem]:
    """Find factors whose products with stored integers are no float32, the physical form."""
    limits = np.finfo("float32")
    kinds = [node[adc].dtype for adc in ("signal_adc", "image_adc") if adc in node.variables]
    top = max((float(np.iinfo(kind).max) for kind in kinds if kind.kind in "iu"), default=1.0)
    for key in ("scale", "offset"):
        if key not in node.variables:
            continue
        sizes = np.abs(np.atleast_1d(node[key].values))
        fine = sizes <= limits.max / (top if key == "scale" else 1.0)
        if key == "scale":
            fine &= sizes >= limits.tiny
        if not fine.all():
            wanted = "finite numbers" + (" other than 0" if key == "scale" else "")
            found = f"{int((~fine).sum())} impossible value(s)"
            yield Problem("error", f"{name}/{key}", found, f"{wanted}, within float32")


def _spikes(name: str, node: xr.Dataset) -> Iterator[Problem]:
    if not _rows_valid(node, "spike", "unit"):
        return
    starts = set(node["row_splits"].values[:-1].tolist())
    first_s, last_s = float(node.attrs.get("start_s", -np.inf)), node.attrs.get("stop_s", np.inf)
    bad = outside = disorder = 0
    last = -np.inf
    for begin, slab in slabs(node["time_s"]):
        finite = np.isfinite(slab)
        bad += int((~finite).sum())
        outside += int(((slab < first_s) | (slab > last_s)).sum())
        falls = np.flatnonzero(np.diff(slab, prepend=last) < 0) + begin
        disorder += sum(int(index) not in starts for index in falls)
        last = slab[-1] if slab.size else last
    if bad:
        yield Problem("error", f"{name}/time_s", f"{bad} non-finite time(s)", "finite seconds")
    if disorder:
        found = f"{disorder} spike(s) before the one before"
        yield Problem("error", f"{name}/time_s", found, "times sorted within each unit")
    if outside:
        found = f"{outside} spike(s) outside the observed span"
        yield Problem("error", f"{name}/time_s", found, f"within {first_s:g} to {last_s:g} s")


def _intervals(name: str, node: xr.Dataset) -> Iterator[Problem]:
    starts, durations = node["start_s"].values, node["duration_s"].values
    bad = int((~np.isfinite(starts)).sum())
    if bad:
        yield Problem("error", f"{name}/start_s", f"{bad} non-finite start(s)", "finite seconds")
    bad = int(((durations < 0) | np.isinf(durations)).sum())
    if bad:
        found, wanted = f"{bad} impossible duration(s)", "0 or more, NaN where none is stated"
        yield Problem("error", f"{name}/duration_s", found, wanted)


def _rois(name: str, node: xr.Dataset) -> Iterator[Problem]:
    height, width = node.attrs.get("image_shape_yx", (np.inf, np.inf))
    for key, size in (("pixel_y", height), ("pixel_x", width)):
        outside = sum(int(((slab < 0) | (slab >= size)).sum()) for _, slab in slabs(node[key]))
        if outside:
            found = f"{outside} pixel(s) outside the image"
            yield Problem("error", f"{name}/{key}", found, f"0 to {size - 1}")
    bad = sum(int((~np.isfinite(slab)).sum()) for _, slab in slabs(node["pixel_weight"]))
    if bad:
        yield Problem("error", f"{name}/pixel_weight", f"{bad} non-finite weight(s)", "numbers")


def _volume(name: str, node: xr.Dataset) -> Iterator[Problem]:
    main = node["image" if "image" in node.variables else "image_adc"]
    if not {"units"} & (set(main.attrs) | set(node.attrs)):
        yield Problem("error", f"{name}/{main.name}: units", "nothing", "the unit of its values")
    yield from (
        Problem("error", f"{name}/{main.name}", f"no voxel along {dim}", "at least one")
        for dim, size in main.sizes.items()
        if not size
    )
    yield from _scaling(name, node)
    if "affine" in node.variables:
        yield from _affine(f"{name}/affine", node["affine"].values)
    if "spacing" in node.variables:
        yield from _spacing(
            f"{name}/spacing", node, [str(dim) for dim in main.dims if str(dim) in "zyx"]
        )


def _affine(where: str, affine: np.ndarray[Any, Any]) -> Iterator[Problem]:
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        yield Problem("error", where, "non-finite or missing numbers", "4 x 4 finite numbers")
    elif affine[3].tolist() != [0, 0, 0, 1]:
        yield Problem("error", where, f"last row {affine[3].tolist()}", "0, 0, 0, 1")
    else:
        sizes = np.linalg.norm(affine[:3, :3], axis=0)
        # Columns scaled to unit length, so that small voxels do not count as singular.
        if not sizes.all() or abs(np.linalg.det(affine[:3, :3] / sizes)) < 1e-6:
            yield Problem("error", where, "a singular matrix", "one that can be inverted")


def _spacing(where: str, node: xr.Dataset, dims: list[str]) -> Iterator[Problem]:
    spacing = node["spacing"]
    bad = ~(np.isfinite(spacing.values) & (spacing.values > 0))
    if bad.any():
        yield Problem("error", where, f"{spacing.values.tolist()}", "finite sizes over 0")
    there = [str(value) for value in node["spatial"].values] if "spatial" in node.coords else None
    if there != dims:
        yield Problem("error", where, f"sizes along {there}", f"a coordinate spatial = {dims}")


def _instances(name: str, node: xr.Dataset) -> Iterator[Problem]:
    ids, layers = node["instance_id"].values, node["instance_layer"].values
    if (ids <= 0).any():
        found = f"{int((ids <= 0).sum())} id(s) below 1"
        yield Problem("error", f"{name}/instance_id", found, "ids from 1; 0 is background")
    twice = ids.size - np.unique(ids).size
    if twice:
        yield Problem("error", f"{name}/instance_id", f"{twice} repeated id(s)", "each id once")
    outside = int(((layers < 0) | (layers >= node.sizes["layer"])).sum())
    if outside:
        found, wanted = f"{outside} unknown layer(s)", f"0 to {node.sizes['layer'] - 1}"
        yield Problem("error", f"{name}/instance_layer", found, wanted)


def _graph(name: str, node: xr.Dataset) -> Iterator[Problem]:
    nodes = node.sizes["node"]
    for key in ("source", "target"):
        outside = sum(int(((slab < 0) | (slab >= nodes)).sum()) for _, slab in slabs(node[key]))
        if outside:
            found = f"{outside} edge(s) to no node"
            yield Problem("error", f"{name}/{key}", found, f"indices 0 to {nodes - 1}")
    source, target = node["source"].values, node["target"].values
    rises = np.diff(source)
    if ((rises < 0) | ((rises == 0) & (np.diff(target) < 0))).any():
        yield Problem("error", f"{name}/source", "unsorted edges", "order by source, then target")
    elif _rows_valid(node, "edge", "node"):
        wanted = np.searchsorted(source, np.arange(nodes + 1))
        if not np.array_equal(wanted, node["row_splits"].values):
            found = "splits that are not where the source changes"
            yield Problem("error", f"{name}/row_splits", found, "the CSR index of source")


_OWN = {
    "timeseries": _timeseries,
    "spikes": _spikes,
    "intervals": _intervals,
    "rois": _rois,
    "volume": _volume,
    "instances": _instances,
    "boxes": box_rules.boxes,
    "graph": _graph,
    "surface": surfaces.mesh,
    "maps": surfaces.maps,
}


# ---- between nodes


def relations(nodes: Nodes, unsound: Collection[str] = ()) -> Iterator[Problem]:
    """Yield the findings about nodes that refer to each other.

    Parameters
    ----------
    nodes : mapping of name to (representation, xarray.Dataset)
        The nodes that are sound by themselves.
    unsound : collection of str
        The names of the others, to which nothing is compared.
    """
    for name, (representation, node) in nodes.items():
        if representation == "intervals":
            yield from _inside(name, node, nodes)
        elif representation == "rois":
            yield from _units_of_traces(name, node, nodes)
        elif representation == "instances" and node.attrs["image_node"] not in unsound:
            yield from _same_grid(name, node, nodes)
        elif representation == "boxes" and node.attrs["image_node"] not in unsound:
            yield from box_rules.placed(name, node, nodes)


def _inside(name: str, node: xr.Dataset, nodes: Nodes) -> Iterator[Problem]:
    clocked = [data for kind, data in nodes.values() if kind in ("timeseries", "volume", "spikes")]
    spans = [span for span in map(span_s, clocked) if span]
    unbounded = any(kind == "spikes" and not span_s(data) for kind, data in nodes.values())
    if not spans or unbounded or not node.sizes["interval"]:
        return
    first, last = min(span[0] for span in spans), max(span[1] for span in spans)
    slack = max(span[2] for span in spans) + 1e-6
    starts, durations = node["start_s"].values, np.nan_to_num(node["duration_s"].values)
    late, early = starts > last + slack, starts + durations < min(first, 0.0) - slack
    over = ~late & (starts + durations > last + slack)
    wanted = f"within the signal, {first:g} to {last:g} s"
    where = f"{name}/start_s"
    if late.any():
        found = f"{int(late.sum())} event(s) outside the signal, at {starts[late][0]:g} s"
        hint = "see whether the signal is truncated, or the unit or clock of the events another"
        yield Problem("error", where, found, wanted, hint)
    if early.any():
        found = f"{int(early.sum())} event(s) that end before the signal starts"
        yield Problem("warning", where, found, wanted)
    if over.any():
        found = f"{int(over.sum())} interval(s) that last beyond the end of the signal"
        yield Problem("warning", f"{name}/duration_s", found, wanted)


def _units_of_traces(name: str, node: xr.Dataset, nodes: Nodes) -> Iterator[Problem]:
    wanted = [str(value) for value in node["unit_id"].values]
    traces = {
        other: [str(value) for value in data["channel"].values]
        for other, (kind, data) in nodes.items()
        if kind == "timeseries"
    }
    neural = {other: found for other, found in traces.items() if set(found) & set(wanted)}
    for other, found in neural.items() if neural else traces.items():
        if set(found) != set(wanted):
            missing = sorted(set(wanted) ^ set(found))
            text = f"units unlike the channels of {other}: {', '.join(missing[:5])}"
            yield Problem("error", f"{name}/unit_id", text, "the same names")


def _same_grid(name: str, node: xr.Dataset, nodes: Nodes) -> Iterator[Problem]:
    image_node = node.attrs["image_node"]
    if image_node not in nodes:
        yield Problem("error", f"{name}: image_node", repr(image_node), "the name of a volume node")
        return
    sizes = nodes[image_node][1].sizes
    mine = {dim: size for dim, size in node["label"].sizes.items() if dim != "layer"}
    theirs = {dim: sizes[dim] for dim in ("z", "y", "x") if dim in sizes}
    if mine != theirs:
        yield Problem("error", f"{name}/label", f"size {mine}", f"that of {image_node}, {theirs}")
