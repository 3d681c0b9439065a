"""NIfTI-1 and NIfTI-2 images (.nii, .nii.gz, .hdr with .img): magnetic resonance volumes.

Voxels keep their order on disk, which is only reversed to ``(z, y, x)``; nothing is flipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared, missing
from neurodata.errors import UnknownFormatError, UnreadableError
from neurodata.readers import bids
from neurodata.readers.nifti_header import EXTRA, SIZE_2, Header, is_nifti, parse
from neurodata.readers.nifti_space import TIME_MASK, clock, fourth_axis, voxel_affine
from neurodata.readers.nifti_voxels import StoredVoxels, lazy, stored_voxels
from neurodata.safe import Raw

__all__ = ["EXTRA", "SUFFIXES", "members", "read", "sniff"]

SUFFIXES = (".nii", ".nii.gz", ".hdr")
FREE_TEXT = ("descrip", "aux_file", "db_name", "intent_name", "data_type")
SPECTRAL = (32, 40, 48)
LABEL_INTENT = 1002
SINGLE = "single"
MODALITIES = {"bold": "fmri", "dwi": "dwi"}


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is NIfTI; ``head`` is its start, decompressed when it is gzip."""
    return is_nifti(head)


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the image, its voxel file if apart, its side-cars and its gradient table."""
    stem = _stem(path)
    beside = {p.name: p for p in folder if p.parent == path.parent}
    names = [stem + suffix for suffix in (".img", ".img.gz", ".bval", ".bvec")]
    if not path.name.endswith(".hdr"):
        names = names[2:]
    found = [beside[name] for name in names if name in beside]
    sidecars = bids.sidecars(path, folder) or [beside[n] for n in (f"{stem}.json",) if n in beside]
    return tuple(dict.fromkeys([path, *found, *sidecars]))


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[0]


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read one image as a lazy tree in raw form.

    A series becomes the node ``bold`` with dims ``(time, z, y, x)`` and a regular clock, a
    single volume the node ``anat`` with ``(z, y, x)``, diffusion data ``dwi`` and any other
    stack ``image`` with ``(channel, z, y, x)``. Intensities are in "a.u."; ``affine`` maps
    ``(x, y, z, 1)`` to RAS+ mm.

    Raises
    ------
    UnreadableError
        When the file is damaged, cut short or holds impossible values.
    MissingFactError
        When a unit, the orientation or the repetition time is not stated; the hint holds the flag.

    Examples
    --------
    >>> image = Path("samples/mri_anatomical/anatomical.nii").resolve()
    >>> tree = read(Raw(image.parent, (image,)), Declared())
    >>> dict(tree["anat"]["image_adc"].sizes)
    {'z': 25, 'y': 41, 'x': 33}
    """
    header = parse(safe.head(raw.main, SIZE_2), raw.name)
    kind, axes = _layout(raw, header, declare)
    voxels = xr.DataArray(lazy(_voxels(raw, header)), dims=axes[::-1])
    voxels = voxels.squeeze([axis for axis in axes if axis == SINGLE], drop=True)
    node = _node(voxels.transpose(..., "channel", "z", "y", "x", missing_dims="ignore"), header)
    affine, space = voxel_affine(raw, header, declare)
    node["affine"] = (("row", "col"), affine, {"units": "mm", "space_code": space})
    nodes = {kind: node}
    if "time" in axes:
        node.attrs.update(clock(raw, header, declare, _repetition_s(raw)))
        end_s = node.attrs["start_s"] + node.attrs["n"] / node.attrs["rate_hz"]
        if (events := bids.events(raw, end_s)) is not None:
            nodes["events"] = events
    _list_findings(raw, header)
    tree = xr.DataTree.from_dict(nodes)
    tree.attrs = {**bids.facts(raw), "modality": MODALITIES.get(kind, "mri")}
    return tree


def _layout(raw: Raw, header: Header, declare: Declared) -> tuple[str, tuple[str, ...]]:
    """Return the node's name and the meaning of the file's axes, in the file's order."""
    declared = fourth_axis(declare)
    gradients = raw.find(lambda path: path.suffix in (".bval", ".bvec"))
    diffusion = gradients is not None or declare.text("modality") == "dwi"
    fourth = "channel" if declared is None and diffusion else declared or "time"
    space, count = ("x", "y", "z"), len(header.shape)
    if count == 3:
        return "dwi" if diffusion else "anat", space
    if header.shape[3] == 1:
        return "image", (*space, SINGLE, "channel")
    if count == 5 and fourth == "channel":
        raise UnknownFormatError(
            f"{raw.name}: dim", f"two channel axes in {header.shape}", "one", "split the file"
        )
    if declared is None and int(header.fields["xyzt_units"]) & TIME_MASK in SPECTRAL:
        raise missing(
            f"{raw.name}: xyzt_units",
            "a fourth axis in Hz, ppm or rad/s",
            "what its values are",
            "axes=channel,z,y,x",
        )
    name = "bold" if fourth == "time" else "dwi" if diffusion else "image"
    return name, (*space, fourth, "channel")[:count]


def _voxels(raw: Raw, header: Header) -> StoredVoxels:
    path = raw.main if header.single else _voxel_file(raw)
    voxels = stored_voxels(path, header)
    if voxels.surplus:
        raw.warn(
            "dim",
            f"{voxels.surplus} bytes after the last voxel",
            f"no more than {header.shape} voxels of {header.dtype.itemsize} bytes",
            "compare the header with the source",
        )
    return voxels


def _voxel_file(raw: Raw) -> Path:
    stem = _stem(raw.main)
    packed = raw.find(lambda path: path.name == f"{stem}.img.gz")
    return packed or raw.sibling(f"{stem}.img")


def _node(voxels: xr.DataArray, header: Header) -> xr.Dataset:
    attrs = {"representation": "volume", "schema": "volume/1"}
    units = {"units": "a.u."}
    if header.dtype.kind in "iu":
        scaling = {"scale": ((), header.slope), "offset": ((), header.inter)}
        return xr.Dataset({"image_adc": voxels.assign_attrs(units), **scaling}, attrs=attrs)
    if (header.slope, header.inter) != (1.0, 0.0):
        wide = np.result_type(header.dtype, "f8")
        voxels = (voxels.astype(wide) * header.slope + header.inter).astype(voxels.dtype)
    return xr.Dataset({"image": voxels.assign_attrs(units)}, attrs=attrs)


def _repetition_s(raw: Raw) -> float | None:
    """Return the side-car's RepetitionTime in seconds, or None."""
    facts = bids.metadata(raw)
    if "RepetitionTime" not in facts:
        return None
    value = facts["RepetitionTime"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise UnreadableError(
            f"{raw.name}: side-car", f"RepetitionTime {value!r}", "seconds over 0", "correct it"
        )
    return float(value)


def _list_findings(raw: Raw, header: Header) -> None:
    fields = header.fields
    kept_out = [name for name in FREE_TEXT if name in fields and bytes(fields[name]).strip(b"\0 ")]
    if header.single and header.offset > int(fields["sizeof_hdr"]) + 4:
        kept_out.append("header extensions")
    if kept_out:
        raw.note("header", f"free text, removed: {', '.join(kept_out)}")
    if int(fields["intent_code"]) == LABEL_INTENT:
        raw.note("intent_code", "labels", "intensities", "voxels are region numbers")
    elif int(fields["intent_code"]):
        raw.note("intent_code", f"{int(fields['intent_code'])}", "intensities", "stored as a.u.")
    if raw.find(lambda path: path.suffix in (".bval", ".bvec")):
        raw.note("bval, bvec", "a gradient table, not read", "", "volumes are stored without it")
