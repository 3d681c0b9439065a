"""The folder of a recording's tree while zarr-python writes its metadata and text there."""

from __future__ import annotations

import asyncio

from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

from neurodata.store import files


class ZarrFolder(LocalStore):
    """A folder that Zarr writes to through the store's own file operations.

    Nobody reads it before it is whole, so that files are written in place.
    """

    async def set(self, key: str, value: Buffer) -> None:
        """Write the value of a key."""
        await asyncio.to_thread(self.set_sync, key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write the value of a key that has none."""
        if not await self.exists(key):
            await self.set(key, value)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Write the value of a key."""
        path = self.root / key
        files.make_folders(path.parent)
        files.overwrite(path, value.to_bytes())
