"""Publish a data set: tables for viewers, Zarr stores, splits, card and Croissant metadata."""

from neurodata.errors import need

need("pyarrow", extra="hub")  # first, so that its absence is told with the remedy

from neurodata.publish.push import push  # noqa: E402
from neurodata.publish.verify import verify_pushed  # noqa: E402

__all__ = ["push", "verify_pushed"]
