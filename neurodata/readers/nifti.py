"""NIfTI-1 and NIfTI-2 images (.nii, .nii.gz, .hdr with .img): magnetic resonance volumes.

Voxels keep their order on disk, which is only reversed to ``(z, y, x)``; nothing is flipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from neurodata import safe
from neurodata.declare import Declared, missing
from neurodata.errors import UnknownFormatError
from neurodata.readers import bids, diffusion, label_tables, sidecar, tomography
from neurodata.readers.nifti_header import EXTRA, SIZE_2, Header, is_nifti, parse
from neurodata.readers.nifti_space import TIME_MASK, clock, fourth_axis, voxel_affine
from neurodata.readers.nifti_voxels import (
    StoredVoxels,
    lazy,
    stored_voxels,
    volume_node,
    warn_of_surplus,
)
from neurodata.safe import Raw

__all__ = ["EXTRA", "SUFFIXES", "members", "read", "sniff"]

SUFFIXES = (".nii", ".nii.gz", ".hdr")
FREE_TEXT = ("descrip", "aux_file", "db_name", "intent_name", "data_type")
SPECTRAL = (32, 40, 48)
LABEL_INTENT = 1002
SINGLE = "single"
MODALITIES = {"bold": "fmri", "dwi": "dwi", "ct": "ct", "pet": "pet"}


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is NIfTI; ``head`` is its start, decompressed when it is gzip."""
    return is_nifti(head)


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the image, its voxel file if apart, its side-cars and its tables."""
    stem = _stem(path)
    beside = {p.name: p for p in folder if p.parent == path.parent}
    names = [f"{stem}.img", f"{stem}.img.gz"] if path.name.endswith(".hdr") else []
    found = [beside[name] for name in names if name in beside]
    tables = [*diffusion.beside(path, folder), *label_tables.beside(path, folder)]
    sidecars = bids.sidecars(path, folder) or [beside[n] for n in (f"{stem}.json",) if n in beside]
    return tuple(dict.fromkeys([path, *found, *tables, *sidecars]))


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[0]


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read one image as a lazy tree in raw form.

    A series becomes the node ``bold`` with dims ``(time, z, y, x)`` and a regular clock, a
    single volume the node ``anat`` with ``(z, y, x)``, diffusion data ``dwi``, with
    ``b_value (time)`` where there is a gradient table, and any other stack ``image`` with
    ``(channel, z, y, x)``. A volume with a table of names becomes the nodes ``atlas`` and
    ``regions``. Intensities are in "a.u.", those of ``ct`` and ``pet`` in the unit that a
    side-car states or that is declared; ``affine`` maps ``(x, y, z, 1)`` to RAS+ mm.

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
    voxels = voxels.transpose(..., "channel", "z", "y", "x", missing_dims="ignore")
    node = volume_node(voxels, header.slope, header.inter)
    if tomograph := tomography.modality(raw, declare):
        kind = tomograph
        node = tomography.in_units(node, tomography.of_sidecar(raw, declare, kind))
    affine, space = voxel_affine(raw, header, declare)
    node["affine"] = (("row", "col"), affine, {"units": "mm", "space_code": space})
    gradients = kind == "dwi" and "channel" not in axes and bool(diffusion.files(raw))
    if gradients:
        node = diffusion.with_gradients(raw, node)
    nodes = {kind: node}
    if kind == "anat" and (table := label_tables.table(raw)) is not None:
        kind = "atlas"
        nodes = {kind: node, "regions": label_tables.regions(raw, node, kind, table)}
    if tomograph and "time" in node.dims:
        nodes[kind] = tomography.with_frames(raw, node, declare)
    elif "time" in axes and not (gradients and fourth_axis(declare) is None):
        node.attrs.update(clock(raw, header, declare, sidecar.repetition_s(raw)))
        end_s = node.attrs["start_s"] + node.attrs["n"] / node.attrs["rate_hz"]
        if (events := bids.events(raw, end_s)) is not None:
            nodes["events"] = events
    elif gradients and (repetition_s := sidecar.repetition_s(raw)) is not None:
        node.attrs["repetition_time_s"] = repetition_s
    _list_findings(raw, header, gradients)
    tree = xr.DataTree.from_dict(nodes)
    tree.attrs = {**bids.facts(raw), "modality": MODALITIES.get(kind, "mri")}
    return tree


def _layout(raw: Raw, header: Header, declare: Declared) -> tuple[str, tuple[str, ...]]:
    """Return the node's name and the meaning of the file's axes, in the file's order."""
    declared = fourth_axis(declare)
    table = bool(diffusion.files(raw))
    weighted = table or declare.text("modality") == "dwi"
    fourth = declared or ("channel" if weighted and not table else "time")
    space, count = ("x", "y", "z"), len(header.shape)
    if count == 3:
        return "dwi" if weighted else "anat", space
    if header.shape[3] == 1:
        return "image", (*space, SINGLE, "channel")
    if count == 5 and fourth == "channel":
        raise UnknownFormatError(
            f"{raw.name}: dim", f"two channel axes in {header.shape}", "one", "split the file"
        )
    if declared is None and not table and int(header.fields["xyzt_units"]) & TIME_MASK in SPECTRAL:
        raise missing(
            f"{raw.name}: xyzt_units",
            "a fourth axis in Hz, ppm or rad/s",
            "what its values are",
            "axes=channel,z,y,x",
        )
    if weighted and (table or fourth == "channel"):
        return "dwi", (*space, fourth, "channel")[:count]
    return "bold" if fourth == "time" else "image", (*space, fourth, "channel")[:count]


def _voxels(raw: Raw, header: Header) -> StoredVoxels:
    path = raw.main if header.single else _voxel_file(raw)
    voxels = stored_voxels(path, header)
    warn_of_surplus(raw, voxels, "dim")
    return voxels


def _voxel_file(raw: Raw) -> Path:
    stem = _stem(raw.main)
    packed = raw.find(lambda path: path.name == f"{stem}.img.gz")
    return packed or raw.sibling(f"{stem}.img")


def _list_findings(raw: Raw, header: Header, gradients: bool) -> None:
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
    if diffusion.files(raw) and not gradients:
        raw.note("bval, bvec", "a gradient table, not read", "", "the fourth axis is no time")
