"""Images of nibabel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurodata.errors import InvalidInputError

if TYPE_CHECKING:
    import nibabel as nib


def from_nibabel(image: Any, repetition_time_s: float | None = None) -> xr.DataTree:
    """Return a nibabel image as a recording in raw form: ``anat``, or ``bold`` with a clock.

    Parameters
    ----------
    image : nibabel spatial image
        Three axes, or four with time last; voxels are scaled as nibabel does, in "a.u.".
    repetition_time_s : float, optional
        Needed with four axes: headers say seconds where they mean milliseconds.

    Raises
    ------
    InvalidInputError
        When there are other axes, or four and no repetition time.

    Examples
    --------
    >>> import nibabel
    >>> image = nibabel.Nifti1Image(np.zeros((4, 3, 2), "f4"), np.eye(4))
    >>> dict(from_nibabel(image)["anat"]["image"].sizes)
    {'z': 2, 'y': 3, 'x': 4}
    """
    import dask.array as da

    shape = tuple(image.shape)
    if len(shape) not in (3, 4) or (len(shape) == 4 and repetition_time_s is None):
        raise InvalidInputError(
            "from_nibabel", f"an image of shape {shape}", "three axes, or four and their clock",
            "give repetition_time_s",
        )  # fmt: skip
    dims = ("time", "z", "y", "x")[-len(shape) :]
    slab = {3: "auto"} if len(shape) == 4 else {}
    stored = da.from_array(image.dataobj, chunks=tuple(slab.get(i, -1) for i in range(len(shape))))
    voxels = stored.transpose().astype("float32")
    attrs: dict[str, Any] = {"representation": "volume", "schema": "volume/1"}
    if len(shape) == 4:
        attrs |= {"start_s": 0.0, "rate_hz": 1.0 / float(repetition_time_s or 0), "n": shape[3]}
    node = xr.Dataset({"image": (dims, voxels, {"units": "a.u."})}, attrs=attrs)
    space = {"units": "mm"}
    node["affine"] = (("row", "col"), np.asarray(image.affine, "f8"), space)
    name = "bold" if len(shape) == 4 else "anat"
    modality = "fmri" if len(shape) == 4 else "mri"
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": modality}), name: node})


def to_nibabel(tree: xr.DataTree, node: str) -> nib.Nifti1Image:
    """Return a volume node with an affine as a NIfTI image in memory, float32, mm and seconds.

    Raises
    ------
    InvalidInputError
        When the node is no volume with an affine, or has channels.
    """
    import nibabel as nib

    fits = node in tree.children and {"image", "affine"} <= set(tree[node].variables)
    if not fits or "channel" in tree[node]["image"].dims:
        expected = "a volume with an affine"
        raise InvalidInputError(f"to_nibabel({node!r})", "no such node", expected)
    data = tree[node].to_dataset()
    image = data["image"]
    image = image.transpose(*[dim for dim in ("x", "y", "z", "time") if dim in image.dims])
    made = nib.Nifti1Image(image.to_numpy().astype("f4"), data["affine"].values)
    made.header.set_xyzt_units("mm", "sec" if "time" in image.dims else None)
    if "time" in image.dims and "rate_hz" in data.attrs:
        made.header["pixdim"][4] = 1.0 / float(data.attrs["rate_hz"])
    return made
