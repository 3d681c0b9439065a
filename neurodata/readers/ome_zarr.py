"""OME-Zarr images 0.4 (Zarr 2) and 0.5 (Zarr 3), in folders and zips, with their labels.

The largest level of the pyramid is read. A missing chunk is an error, not the fill value that
other readers return, unless ``missing_chunks=fill`` is declared.

References
----------
OME-Zarr 0.4 and 0.5, https://ngff.openmicroscopy.org/specifications
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from neurodata import safe_zip
from neurodata.declare import Declared
from neurodata.errors import RefusedError, UnknownFormatError, UnreadableError
from neurodata.readers.ome_zarr_axes import Multiscale, multiscale
from neurodata.readers.zarr_files import (
    ATTRS,
    Files,
    attributes,
    below,
    is_image,
    is_zip,
    members,
    open_files,
    parse,
    whole_json,
    zip_roots,
)
from neurodata.safe import Raw

__all__ = ["EXTRA", "SUFFIXES", "members", "read", "sniff"]

SUFFIXES = (".zattrs", "zarr.json", ".zip", ".ozx")
EXTRA = ""
VERSIONS = {2: "0.4", 3: "0.5"}
JSON_LIMIT_BYTES = 16 * 2**20
_NODE = re.compile(r"[^A-Za-z0-9_.-]+")
_LABEL = re.compile(r"[^\x00-\x1f\x7f]{1,64}")


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is the metadata of an OME-Zarr image, or a zip of one.

    Examples
    --------
    >>> sniff(b'{"multiscales": []}', Path("a.zarr/.zattrs"))
    True
    """
    if is_zip(head):
        return _zip_holds_image(path)
    found = whole_json(head, path)
    return found is not None and is_image(found)


def _zip_holds_image(path: Path) -> bool:
    try:
        found = safe_zip.members(path)
        for root in zip_roots(found):
            for name in ATTRS:
                member = found.get(f"{root}/{name}" if root else name)
                if member and is_image(parse(_member(path, member), path.name)):
                    return True
    except (RefusedError, OSError):
        return False
    return False


def _member(path: Path, member: safe_zip.Member) -> bytes:
    return safe_zip.read_member(path, member, JSON_LIMIT_BYTES)


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read the image at its largest level, and its labels of the same grid, lazily.

    Parameters
    ----------
    declare : Declared
        ``voxel_um=2,0.5,0.5`` (z, y, x) where the axes have no unit, ``rate_hz`` for a movie
        without one, ``missing_chunks=fill`` where absent chunks stand for the fill value.

    Returns
    -------
    xarray.DataTree
        ``image`` (volume/1) in counts, axes (time, channel, z, y, x) as present, and a node
        ``labels_NAME`` (instances/1) for each label image.

    Raises
    ------
    UnreadableError
        When metadata or chunks are damaged, cut or missing.
    UnknownFormatError
        On other versions than 0.4 and 0.5, and arrays, axes or transformations not known.
    UnsafeError
        When metadata name a path elsewhere, or sizes beyond the limits.
    MissingFactError
        When voxel size or frame rate are not stated.

    References
    ----------
    OME-Zarr 0.5, sections "multiscales", "labels" and "omero".
    """
    from neurodata.readers.chunk_grid import complete, lazy
    from neurodata.readers.image_volume import volume
    from neurodata.readers.zarr_metadata import open_array

    files = open_files(raw)
    facts = ome(files, "", raw)
    scale = multiscale(facts, raw, files.where)
    level = below(scale.paths[0], f"{files.where}: datasets")
    stored = complete(open_array(files, level), raw, declare)
    scale.check(stored.shape, raw, stored.where)
    scale.facts.channels = _channels(facts, raw)
    _list_left_out(facts, files, raw)
    nodes = {"image": volume(lazy(stored), scale.axes, scale.facts, raw, declare)}
    for name in _label_names(files, raw):
        label = _label(name, nodes["image"], scale, files, raw, declare)
        if label is not None:
            nodes[_node_name(name, nodes)] = label
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": "microscopy"}), **nodes})


def ome(files: Files, path: str, raw: Raw) -> Mapping[str, Any]:
    """Return the OME metadata of a group, its version checked.

    Raises
    ------
    UnreadableError
        When there are none.
    UnknownFormatError
        When they are of another version.
    """
    prefix = f"{path}/" if path else ""
    is_3 = f"{prefix}zarr.json" in files
    found = files.json(f"{prefix}zarr.json" if is_3 else f"{prefix}.zattrs")
    facts = attributes(found)
    facts = facts.get("ome", {}) if is_3 else facts
    where = f"{files.where}: {prefix}multiscales"
    images = facts.get("multiscales") if isinstance(facts, dict) else None
    if not isinstance(images, list) or not images or not isinstance(images[0], dict):
        raise UnreadableError(where, "no image", "the metadata of one", "copy it again")
    version = facts.get("version") if is_3 else images[0].get("version")
    wanted = VERSIONS[3 if is_3 else 2]
    if version != wanted:
        raise UnknownFormatError(
            where, f"version {str(version)[:20]!r}", f"{wanted} in Zarr {3 if is_3 else 2}",
            "convert it to OME-Zarr 0.5",
        )  # fmt: skip
    if len(images) > 1:
        raw.warn(where, f"{len(images)} images", "one", "the first one is read")
    return dict(facts)


def _channels(facts: Mapping[str, Any], raw: Raw) -> list[str]:
    """Return the channels' names, or nothing where they are not all fit to be names."""
    omero = facts.get("omero")
    stated = omero.get("channels") if isinstance(omero, dict) else None
    names = [c.get("label") if isinstance(c, dict) else None for c in stated or ()]
    fit = [name for name in names if isinstance(name, str) and _LABEL.fullmatch(name)]
    if names and (len(fit) < len(names) or len(set(fit)) < len(fit)):
        raw.warn("omero", "channels without a name of their own", "one each", "they are numbered")
        return []
    return fit


def _list_left_out(facts: Mapping[str, Any], files: Files, raw: Raw) -> None:
    image, omero = facts["multiscales"][0], facts.get("omero")
    dropped = [key for key in ("name", "metadata", "type") if key in image]
    if isinstance(omero, dict):
        dropped += [f"omero {key}" for key in ("name", "id", "rdefs") if key in omero]
    others = set(facts) - {"multiscales", "omero", "version", "labels", "_creator"}
    if dropped or others or "_creator" in facts:
        count = f" and {len(others)} more" if others else ""
        names = ", ".join([*dropped, *["_creator"] * ("_creator" in facts)])
        raw.note("", f"removed: {names}{count}", "", "they may identify a person")
    if any(name.startswith("tables/") for name in files.entries):
        raw.note("tables", "tables", "", "not read")


# ---- labels


def _label_names(files: Files, raw: Raw) -> list[str]:
    for name in ("labels/zarr.json", "labels/.zattrs"):
        if name in files:
            facts = attributes(files.json(name))
            inner = facts.get("ome", {}) if name.endswith("zarr.json") else facts
            stated = inner.get("labels", []) if isinstance(inner, dict) else None
            if not isinstance(stated, list):
                raise UnreadableError(f"{files.where}: {name}", "labels that are no list", "one")
            return [below(path, f"{files.where}: {name}") for path in stated]
    if any(name.startswith("labels/") for name in files.entries):
        raw.warn("labels", "labels without a list of them", "one in their group", "left out")
    return []


def _label(
    name: str, image: xr.Dataset, scale: Multiscale, files: Files, raw: Raw, declare: Declared
) -> xr.Dataset | None:
    """Return the level of a label image that has the image's grid, or None where none has."""
    from neurodata.readers.chunk_grid import complete, lazy
    from neurodata.readers.tiff_instances import instances
    from neurodata.readers.zarr_metadata import open_array

    where = f"labels/{name}"
    facts = ome(files, where, raw)
    mine = multiscale(facts, raw, f"{files.where}: {where}")
    spatial = {axis: image.sizes[axis] for axis in ("z", "y", "x") if axis in image.sizes}
    for number, level in enumerate(mine.paths):
        path = f"{where}/{below(level, f'{files.where}: {where}')}"
        stored = open_array(files, path)
        mine.check(stored.shape, raw, stored.where)
        lengths = dict(zip(mine.axes, stored.shape, strict=True))
        others = [axis for axis in mine.axes if axis not in spatial]
        if any(lengths[axis] > 1 for axis in others) or set(spatial) - set(lengths):
            break
        if all(lengths[axis] == length for axis, length in spatial.items()):
            if not mine.same_place(number, scale):
                raw.warn(where, "labels placed or scaled unlike the image", "the same", "kept")
            stored = complete(stored, raw, declare)
            pixels = lazy(stored)[tuple(0 if axis in others else slice(None) for axis in mine.axes)]
            kept = [axis for axis in mine.axes if axis in spatial]
            pixels = pixels.transpose([kept.index(axis) for axis in spatial])
            return instances(pixels, spatial, raw, where)
    found = f"labels of another grid than the image's {tuple(spatial.values())}"
    raw.warn(where, found, "a level of the same", "left out")
    return None


def _node_name(name: str, nodes: Mapping[str, Any]) -> str:
    slug = "labels_" + _NODE.sub("-", name)[:100]
    taken = {node.casefold() for node in nodes}
    free = (slug if not n else f"{slug}_{n}" for n in range(len(taken) + 1))
    return next(node for node in free if node.casefold() not in taken)
