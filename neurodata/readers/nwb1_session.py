"""What an NWB 1 file of a two-photon session holds: responses, masks, running and stimuli."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import h5py
import numpy as np
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import MissingFactError, UnreadableError
from neurodata.readers import intervals as interval_nodes
from neurodata.readers import nwb_session
from neurodata.readers.delimited import Numbers, text_array
from neurodata.readers.footprints import footprints
from neurodata.readers.lacking import all_of
from neurodata.readers.nwb_series import Given, timeseries
from neurodata.readers.nwb_text import attribute, names, text
from neurodata.safe import Raw
from neurodata.safe_hdf5 import open_hdf5
from neurodata.units import to_si

RESPONSES = {"DfOverF": "traces", "Fluorescence": "fluorescence"}
UNITS = {"DfOverF": "dF/F", "Fluorescence": "a.u."}  # by definition of the interface
SEGMENTATION, BEHAVIOUR = "ImageSegmentation", "BehavioralTimeSeries"
PLANE = re.compile(r"imaging_plane_?\d*_?")
SPONTANEOUS = "spontaneous"
SEX = {"male": "M", "female": "F", "M": "M", "F": "F"}
AGE = re.compile(r"(\d{1,6}(?:\.\d+)?) days?")
NODE = re.compile(r"[^a-z0-9_.-]+")
OWN = ("start_s", "duration_s", "label", "first_frame", "last_frame")
Nodes = dict[str, xr.Dataset]


def session(raw: Raw, declare: Declared) -> xr.DataTree:
    """Return the file's recording; see `neurodata.readers.nwb1.read`."""
    with open_hdf5(raw.main) as file:
        found = list(_responses(file))
        if not found:
            raise UnreadableError(
                raw.name, "no responses of regions", "DfOverF or Fluorescence in processing",
                "name another file",
            )  # fmt: skip
        cells = _cells(file, raw)
        labels = next(iter(cells.values()))["unit_id"].values.tolist() if len(cells) == 1 else None
        makes = [
            partial(_response, series, container, node, labels, raw, declare)
            for container, node, series in found
        ]
        nodes: Nodes = dict(zip((node for _, node, _ in found), all_of(makes), strict=True))
        nodes |= cells
        nodes |= _behaviour(file, raw, declare)
        nodes |= _stimuli(file, found[0][2], raw)
        attrs = {**_facts(file, raw), "modality": "calcium"}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **nodes})


def _modules(file: h5py.File) -> Iterator[h5py.Group]:
    processing = file.get("processing")
    if isinstance(processing, h5py.Group):
        yield from (item for item in processing.values() if isinstance(item, h5py.Group))


def _groups(group: Any) -> Iterator[h5py.Group]:
    """Yield the groups that hard links of a group lead to, so that none comes twice."""
    if isinstance(group, h5py.Group):
        for name in group:
            hard = isinstance(group.get(name, getlink=True), h5py.HardLink)
            if hard and isinstance(group[name], h5py.Group):
                yield group[name]


def _last(item: h5py.Group) -> str:
    return str(item.name.rpartition("/")[2])


# responses and masks


def _responses(file: h5py.File) -> Iterator[tuple[str, str, h5py.Group]]:
    """Yield interface, node name and series of every response, dF/F first."""
    taken: set[str] = set()
    for container, usual in RESPONSES.items():
        for module in _modules(file):
            for series in _groups(module.get(container)):
                if not isinstance(series.get("data"), h5py.Dataset):
                    continue
                rest = NODE.sub("_", PLANE.sub("", _last(series).lower())).strip("_.-")
                plain = rest in ("", container.lower())
                node = usual if plain else rest if container == "Fluorescence" else f"dff_{rest}"
                node = node if node not in taken else f"{node}_{len(taken)}"
                taken.add(node)
                yield container, node, series


def _response(
    series: h5py.Group,
    container: str,
    node: str,
    labels: list[str] | None,
    raw: Raw,
    declare: Declared,
) -> xr.Dataset:
    stated = attribute(series["data"], "unit")
    given = Given(labels, "ROI", UNITS[container])
    try:
        if container != "DfOverF" and stated and not to_si(stated, "").placeholder:
            given = replace(given, unit=stated)
    except MissingFactError:
        raw.note(series.name.lstrip("/"), f"the unit {stated!r}, taken as {given.unit}")
    return timeseries(series, node, raw, declare, given)


def _cells(file: h5py.File, raw: Raw) -> Nodes:
    """Return the footprints of each segmented plane, named as the cells are."""
    planes = [
        (module[SEGMENTATION], plane)
        for module in _modules(file)
        for plane in _groups(module.get(SEGMENTATION))
        if isinstance(plane.get("roi_list"), h5py.Dataset)
    ]
    nodes: Nodes = {}
    for segmentation, plane in planes:
        node = "rois" if len(planes) == 1 else f"rois_{NODE.sub('_', _last(plane).lower())}"
        nodes[node] = _plane(segmentation, plane, len(planes) == 1, raw)
    return nodes


def _plane(segmentation: h5py.Group, plane: h5py.Group, alone: bool, raw: Raw) -> xr.Dataset:
    where = plane.name.lstrip("/")
    rois = names(plane["roi_list"])
    if lost := [name for name in rois if not isinstance(plane.get(name), h5py.Group)]:
        raise UnreadableError(f"{raw.name}: {where}", f"no masks of {lost[:5]}", "one a region")
    parts = [_mask(plane[name], raw) for name in rois]
    if not parts:
        raise UnreadableError(f"{raw.name}: {where}", "no regions", "at least one")
    columns: dict[str, Any] = {}
    labels = rois
    for key, column in (("roi_ids", "roi_id"), ("cell_specimen_ids", "cell_specimen_id")):
        ids = [str(value) for value in names(segmentation.get(key))] if alone else []
        if len(ids) == len(rois) and len(set(ids)) == len(ids):
            labels = ids
            columns[column] = ("unit", text_array(ids))
        elif ids:
            raw.warn(f"{where}: {key}", f"{len(ids)} ids for {len(rois)} regions", "one id each")
    if len(set(labels)) < len(labels):
        raise UnreadableError(f"{raw.name}: {where}", "regions of one name", "a name each")
    y, x, weight = (
        np.concatenate(axis) for axis in zip(*(part[:3] for part in parts), strict=True)
    )
    shapes = {part[3] for part in parts} - {None}
    if len(shapes) > 1:
        raise UnreadableError(f"{raw.name}: {where}", f"images of {len(shapes)} sizes", "one size")
    counts = [len(part[0]) for part in parts]
    shape = shapes.pop() if shapes else None
    return footprints((y, x, weight), counts, labels, shape, raw, where, columns)


def _mask(roi: h5py.Group, raw: Raw) -> tuple[Numbers, Numbers, Numbers, tuple[int, int] | None]:
    """Return rows, columns, weights and image size: from pixels (x, y), else an image (y, x)."""
    where = f"{raw.name}: {roi.name.lstrip('/')}"
    image, pixels = roi.get("img_mask"), roi.get("pix_mask")
    shape = None
    if isinstance(image, h5py.Dataset) and image.ndim == 2:
        shape = (int(image.shape[0]), int(image.shape[1]))
    if isinstance(pixels, h5py.Dataset) and pixels.size:
        places = pixels[()]
        if places.ndim != 2 or places.shape[1] != 2 or places.dtype.kind not in "iu":
            raise UnreadableError(where, f"pixels of shape {places.shape}", "(pixel, x and y)")
        weight = np.ones(len(places))
        stated = roi.get("pix_mask_weight")
        if isinstance(stated, h5py.Dataset):
            weight = np.ravel(stated[()]).astype("float64")
        if len(weight) != len(places):
            raise UnreadableError(where, f"{len(weight)} weights", f"{len(places)}, one a pixel")
        x, y = places[:, 0].astype("int64"), places[:, 1].astype("int64")
        return y, x, weight, shape
    if shape is None:
        raise UnreadableError(where, "neither pix_mask nor img_mask", "a mask")
    values = image[()]
    y, x = np.nonzero(values)
    return y, x, values[y, x].astype("float64"), shape


# running and stimuli


def _behaviour(file: h5py.File, raw: Raw, declare: Declared) -> Nodes:
    nodes: Nodes = {}
    left = [
        item.name.lstrip("/")
        for module in _modules(file)
        for item in _groups(module)
        if _last(item) not in (*RESPONSES, SEGMENTATION, BEHAVIOUR)
    ]
    for module in _modules(file):
        for series in _groups(module.get(BEHAVIOUR)):
            node = NODE.sub("_", _last(series).lower())
            given = Given(kind="MISC", unit=None)
            if node == "running_speed" and not attribute(series["data"], "unit"):
                given = replace(given, unit="cm/s")  # as the Allen SDK documents it
            try:
                nodes[node] = timeseries(series, node, raw, declare, given)
            except MissingFactError as error:
                left.append(f"{series.name.lstrip('/')} ({error.found}; --set units.{node}=...)")
    if left:
        raw.note("processing", "left out: " + ", ".join(left), "", "they are of no supported kind")
    return nodes


def _stimuli(file: h5py.File, response: h5py.Group, raw: Raw) -> Nodes:
    """Return a node of intervals a stimulus; their frames count samples of the response."""
    presented = file.get("stimulus/presentation")
    stored = response.get("timestamps")
    if not isinstance(stored, h5py.Dataset):
        return {}
    seconds = stored[()].astype("float64")
    nodes: Nodes = {}
    for series in _groups(presented):
        frames, data = series.get("frame_duration"), series.get("data")
        if not isinstance(frames, h5py.Dataset) or not isinstance(data, h5py.Dataset):
            raw.note(series.name.lstrip("/"), "left out: no frame_duration")
            continue
        node = NODE.sub("_", _last(series).lower().removesuffix("_stimulus")).strip("_.-")
        nodes[node or "stimulus"] = _stimulus(series, node, frames[()], data[()], seconds, raw)
    return nodes


def _stimulus(
    series: h5py.Group, node: str, frames: Numbers, data: Numbers, seconds: Numbers, raw: Raw
) -> xr.Dataset:
    where = f"{raw.name}: {series.name.lstrip('/')}"
    odd = frames.ndim != 2 or frames.shape[1:] != (2,) or len(frames) != len(data)
    if odd or not np.isfinite(frames).all():
        raise UnreadableError(where, f"frames of shape {frames.shape}", f"({len(data)}, 2)")
    if node == SPONTANEOUS:
        onset = np.ravel(data) == 1
        if onset.sum() * 2 != len(onset):
            raise UnreadableError(where, "starts without stops", "as many of both")
        frames, data = np.column_stack([frames[onset, 0], frames[~onset, 0]]), np.zeros((0, 0))
    first, last = frames[:, 0].astype("int64"), frames[:, 1].astype("int64")
    if (first < 0).any() or (last < first).any() or (last >= len(seconds)).any():
        raise UnreadableError(
            where, f"frames from {first.min(initial=0)} to {last.max(initial=0)}",
            f"rising, within the {len(seconds)} of the traces", "see whether the file is cut",
        )  # fmt: skip
    columns = {} if node == SPONTANEOUS else _columns(series, data)
    columns |= {"first_frame": first, "last_frame": last}
    start_s = seconds[first]
    return interval_nodes.intervals(
        start_s, list(seconds[last] - start_s), [node] * len(first), columns
    )


def _columns(series: h5py.Group, data: Numbers) -> dict[str, Numbers]:
    """Return what was shown: a column a feature, or the number of the image."""
    if data.dtype.kind not in "iuf":
        return {}
    if data.ndim == 1:
        return {"frame": data}
    features = [NODE.sub("_", name.lower()) for name in names(series.get("features"))]
    if (
        data.ndim != 2
        or len(features) != data.shape[1]
        or len({*features, *OWN}) < len(features) + len(OWN)
    ):
        return {}
    return {name: data[:, index] for index, name in enumerate(features)}


# facts


def _facts(file: h5py.File, raw: Raw) -> dict[str, Any]:
    general = file.get("general", {})
    subject = general.get("subject", {})
    sex, age = text(subject, "sex"), AGE.fullmatch(text(subject, "age") or "")
    species = text(subject, "species")
    facts: dict[str, Any] = {
        "subject": text(subject, "subject_id"),
        "session": text(general, "session_id"),
        "species": nwb_session._species(species, raw),
        "sex": SEX.get(sex or ""),
        "age_years": float(age[1]) / 365.25 if age else None,
        **_start(file, raw),
    }
    dropped = [name for name in nwb_session.PERSONAL if text(general, name)]
    dropped += [f"subject/{name}" for name in nwb_session.SUBJECT_PERSONAL if text(subject, name)]
    dropped += [name for name in ("identifier", "session_description") if text(file, name)]
    if dropped:
        raw.note("general", "removed: " + ", ".join(dropped), "", "they may identify a person")
    return {name: value for name, value in facts.items() if value is not None}


def _start(file: h5py.File, raw: Raw) -> dict[str, str]:
    """Return the start where it is stated with a zone, which NWB 1 does not ask for."""
    stated = text(file, "session_start_time") or ""
    zoned = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", stated)
    return {"start_time": stated} if zoned else {"start_zone": "unknown"}
