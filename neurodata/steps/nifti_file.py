"""Write a volume node as a NIfTI-1 file, slab by slab."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from neurodata.errors import InvalidInputError, need
from neurodata.slabs import slabs
from neurodata.steps.images import affine_of, image_of

OFFSET_BYTES = 352
MOST = 32767  # voxels along an axis


def write_nifti(node: xr.Dataset, path: Path, where: str) -> None:
    """Write a volume ``(time?, z, y, x)`` with an affine: float32, mm and seconds.

    Raises
    ------
    InvalidInputError
        When it has channels or complex values, no affine, or too many voxels along an axis.
    """
    need("nibabel", extra="mri")
    from nibabel.nifti1 import Nifti1Header

    affine, image = affine_of(node, where), image_of(node)
    dims = tuple(str(dim) for dim in image.dims)
    if "channel" in dims or image.dtype.kind == "c" or max(image.shape) > MOST:
        found = f"{image.dtype} ({', '.join(dims)}) of {image.shape}"
        raise InvalidInputError(where, found, "real numbers (time, z, y, x)", "")
    header = Nifti1Header(endianness="<")
    header.set_data_dtype(np.float32)
    header.set_data_shape(image.shape[::-1])
    zooms = list(np.linalg.norm(affine[:3, :3], axis=0))
    if "time" in dims:
        zooms.append(1.0 / float(node.attrs.get("rate_hz", 1.0)))
    header.set_zooms(zooms)
    header.set_xyzt_units("mm", "sec" if "rate_hz" in node.attrs and "time" in dims else None)
    header.set_qform(affine, 1, strip_shears=True)
    if not np.allclose(header.get_qform(), affine, atol=1e-3):
        header["qform_code"] = 0
    header.set_sform(affine, 1)
    header["magic"], header["vox_offset"] = b"n+1", OFFSET_BYTES
    with path.open("xb") as stream:
        stream.write(header.binaryblock + bytes(OFFSET_BYTES - len(header.binaryblock)))
        for _, slab in slabs(image):
            stream.write(np.ascontiguousarray(slab, "<f4").tobytes())
