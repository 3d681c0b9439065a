"""Patches and whole volumes in the memory of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from neurodata.compiled import address, compiled
from neurodata.loader.fetch import Columns, Scaling, Stream, gains_of, masks_of, width_of
from neurodata.loader.gain import Gain, scale_into, tables
from neurodata.loader.plan import Array
from neurodata.loader.recordings import AXES, Image, Recordings
from neurodata.loader.ring import Blank


@dataclass(frozen=True)
class PatchFetcher:
    """Patches: ``image (batch, channel, z, y, x)`` float32, ``mask`` and ``corner_zyx``.

    All picks of a batch have one shape.
    """

    recordings: Recordings
    node: str
    images: Sequence[Image]
    columns: Columns
    scaling: Scaling | None
    stride_zyx: tuple[int, int, int] = (1, 1, 1)

    @cached_property
    def gains(self) -> list[Gain]:
        """From stored numbers to those of a batch, per recording."""
        return gains_of(
            self.recordings, self.node, self.images, self.scaling, range(len(self.images))
        )

    @property
    def streams(self) -> list[Stream]:
        """The image."""
        return [
            voxel_stream(
                self.node, [(i.variable, i.dims) for i in self.images], self._sizes, self.stride_zyx
            )
        ]

    def _sizes(self, number: int) -> tuple[int, ...]:
        return self.recordings.array((number, self.node, self.images[number].variable)).shape

    def blank(self, picks: Array) -> Blank:
        """Return shapes and dtypes of a batch."""
        n, width = len(picks), width_of(self.columns)
        shape = tuple(picks["shape_zyx"][0].tolist())
        return {"image": ((n, width, *shape), "f4"), "mask": ((n, width), "?")}

    def fill(self, picks: Array, memory: Mapping[str, Array]) -> None:
        """Fill rows of a batch."""
        image, mask = memory["image"], memory["mask"]
        if self._alike is not None and (loop := compiled("scale_patches", self._alike)):
            mask[...] = self.masks[picks["recording"]]
            self._fill_compiled(loop, picks, image)
            return
        mask[...] = False
        for row, pick in enumerate(picks):
            number = int(pick["recording"])
            item, columns = self.images[number], self.columns[number]
            source = voxels(self.recordings, self.node, item.variable, item.dims, "channel", pick)
            mask[row, columns] = True
            if len(source) < image.shape[1]:
                image[row, ~mask[row]] = 0
            gain = self.gains[number]
            at = range(image.shape[1])[columns] if isinstance(columns, slice) else columns.tolist()
            for channel, column in enumerate(at):
                scale_into(image[row, column], source[channel], gain.of(channel))

    def _fill_compiled(self, loop: Any, picks: Array, image: Array) -> None:
        """Fill patches in one go that holds up no other thread."""
        sources = []
        for pick in picks:
            item = self.images[int(pick["recording"])]
            variable, dims = item.variable, item.dims
            sources.append(voxels(self.recordings, self.node, variable, dims, "channel", pick))
        addresses = np.array([address(source) for source in sources], "u8")
        strides = np.array([source.strides[:3] for source in sources], "u8")
        numbers = picks["recording"]
        like = np.zeros(0, self._alike)
        loop(addresses, strides, self._widths[numbers], numbers, *self._tables, like, image)

    @cached_property
    def _alike(self) -> np.dtype[Any] | None:
        """The stored dtype where all recordings have one, with x last, scaled in float32."""
        keys = [(n, self.node, image.variable) for n, image in enumerate(self.images)]
        dtypes = {self.recordings.array(key).dtype for key in keys}
        straight = all(isinstance(columns, slice) for columns in self.columns)
        last = all(image.dims[-1] == "x" for image in self.images)
        if len(dtypes) == 1 and straight and last and self._tables is not None:
            return dtypes.pop()
        return None

    @cached_property
    def _tables(self) -> Any:
        return tables(self.gains, width_of(self.columns))

    @cached_property
    def _widths(self) -> Array:
        return np.array([len(image.channels) for image in self.images], "i8")

    @cached_property
    def masks(self) -> Array:
        """Which columns each recording has, ``(recording, column)``."""
        return masks_of(self.columns)

    def finish(self, memory: Mapping[str, Array], picks: Array) -> dict[str, Any]:
        """Return ``image``, ``mask`` and ``corner_zyx``."""
        return {**memory, "corner_zyx": picks["corner_zyx"].astype("i8")}


def voxel_stream(
    node: str,
    arrays: Sequence[tuple[str, Sequence[str]]],
    sizes: Callable[[int], tuple[int, ...]],
    stride_zyx: tuple[int, int, int],
) -> Stream:
    """Return the stream of an array of voxels per recording, given its name and dims."""
    bounds = partial(_voxel_bounds, arrays, sizes)
    step = dict(zip(AXES, stride_zyx, strict=True))
    steps = [tuple(step.get(dim, 1) for dim in dims) for _, dims in arrays]
    return Stream([(n, node, name) for n, (name, _) in enumerate(arrays)], bounds, steps)


def patch(recordings: Recordings, node: str, image: Image, pick: Any) -> Array:
    """Return one patch ``(channel, z, y, x)`` float64 in the field's units."""
    values = voxels(recordings, node, image.variable, image.dims, "channel", pick)
    scale, offset = (np.reshape(x, (-1, 1, 1, 1)) for x in (image.scale, image.offset))
    return np.asarray(values * scale + offset)


def voxels(
    recordings: Recordings, node: str, name: str, dims: Sequence[str], lead: str, pick: Any
) -> Array:
    """Return the stored voxels of a patch as ``(lead, z, y, x)``; absent axes have length 1."""
    where: list[slice] = []
    shape = recordings.array((int(pick["recording"]), node, name)).shape
    for dim, size in zip(dims, shape, strict=True):
        if dim in AXES:
            at = AXES.index(dim)
            corner = int(pick["corner_zyx"][at])
            where.append(slice(corner, corner + int(pick["shape_zyx"][at])))
        else:
            time = min(int(pick["time"]), size - 1)
            where.append(slice(time, time + 1) if dim == "time" else slice(0, size))
    values = recordings.read(int(pick["recording"]), node, name, tuple(where))
    present = [dim for dim in dims if dim != "time"]
    if "time" in dims:
        values = values.reshape(
            [n for n, dim in zip(values.shape, dims, strict=True) if dim != "time"]
        )
    order = [present.index(dim) for dim in (lead, *AXES) if dim in present]
    absent = tuple(at for at, dim in enumerate((lead, *AXES)) if dim not in present)
    return np.expand_dims(np.transpose(values, order), absent)


def _voxel_bounds(
    arrays: Sequence[tuple[str, Sequence[str]]],
    sizes: Callable[[int], tuple[int, ...]],
    number: int,
    picks: Array,
) -> tuple[Array, Array]:
    low, high = [], []
    for dim, size in zip(arrays[number][1], sizes(number), strict=True):
        if dim in AXES:
            corner = picks["corner_zyx"][:, AXES.index(dim)].astype("i8")
            low.append(corner)
            high.append(corner + picks["shape_zyx"][:, AXES.index(dim)])
        elif dim == "time":
            first = np.minimum(picks["time"].astype("i8"), size - 1)
            low.append(first)
            high.append(first + 1)
        else:
            low.append(np.zeros(len(picks), "i8"))
            high.append(np.full(len(picks), size, "i8"))
    return np.stack(low, 1), np.stack(high, 1)
