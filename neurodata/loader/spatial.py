"""The feed of patches and volumes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.draw import Random, random_patches
from neurodata.loader.feed import (
    Feed,
    Function,
    Request,
    plain_target,
    reads_of,
    scaling_of,
    statistics_of,
)
from neurodata.loader.fetch import Fetcher, Stream, columns_of, fetched, in_columns
from neurodata.loader.patches import PatchFetcher, patch, voxel_stream, voxels
from neurodata.loader.plan import Array, plan_patches
from neurodata.loader.recordings import AXES, Image, Recordings, choose_node, image_of
from neurodata.loader.samples import Patches, Volumes
from neurodata.loader.spans import NOT_FINITE, boxes_of
from neurodata.loader.statistics import By, image_parts
from neurodata.loader.target import Node, Target, resolve
from neurodata.splits import Assignment


def patch_feed(request: Request, sample: Patches | Volumes, recordings: Recordings) -> Feed:
    """Return the feed of patches or whole volumes.

    Raises
    ------
    InvalidInputError
        When whole volumes of several shapes cannot share a batch.
    """
    node = choose_node(recordings, "volume", sample.node)
    images = _images(recordings, node)
    aim = resolve(request.target, recordings)
    pair = _paired_volume(recordings, images, aim)
    picks = plan_patches(boxes_of(recordings, images, request.assignments), sample)
    shapes = {tuple(map(int, shape)) for shape in np.unique(picks["shape_zyx"], axis=0)}
    if len(shapes) > 1 and request.batch_size > 1:
        raise InvalidInputError(
            "Volumes",
            f"shapes {', '.join(map(str, sorted(shapes)))}",
            "one shape",
            "give batch_size=1, or Patches(shape_zyx)",
        )
    if isinstance(request.draw, Random) and isinstance(sample, Patches):
        accept = partial(_accepts, recordings, (node, images), pair)
        place = (request.draw.samples or len(picks), request.seed, request.epoch)
        boxes = boxes_of(recordings, images, request.assignments)
        picks = random_patches(boxes, sample.shape_zyx, *place, accept=accept)
    picks, left_out = _kept(recordings, (node, images), pair, picks)
    statistics = statistics_of(request, partial(_parts, node), node)
    scaling = scaling_of(statistics, recordings, images)
    names = [image.channels for image in images]
    columns = columns_of(names)
    stride = sample.stride_zyx or sample.shape_zyx if isinstance(sample, Patches) else (1, 1, 1)
    fetcher = PatchFetcher(recordings, node, images, columns, scaling, stride)
    target = _target(request, recordings, images, pair, picks, aim, stride)
    return Feed(
        picks=picks,
        fetcher=fetcher,
        extra=() if target is None else (target[0],),
        target=None if target is None else target[0],
        reads=reads_of(fetcher, picks) + (() if target is None else target[1]),
        left_out=left_out,
        channels=in_columns(columns, names),
        channel_units=in_columns(columns, [image.units for image in images]),
        statistics=statistics,
    )


def _images(recordings: Recordings, node: str) -> list[Image]:
    """Return the images of all recordings.

    Raises
    ------
    InvalidInputError
        When voxels are complex: a batch holds real numbers.
    """
    for number in range(len(recordings.ids)):
        data = recordings.node(number, node)
        if "image" in data and data["image"].dtype.kind == "c":
            where = recordings.where(number, node)
            raise InvalidInputError(where, "complex voxels", "real ones", "store their magnitude")
    return [image_of(recordings, number, node) for number in range(len(recordings.ids))]


Volume = tuple[str, Sequence[Image]]


def _paired_volume(
    recordings: Recordings, images: Sequence[Image], target: Target
) -> Volume | None:
    """Return the volume node that is the target of these images, if one is.

    Raises
    ------
    InvalidInputError
        When it has other voxels or time points.
    """
    if not isinstance(target, Node) or _kinds(recordings, target.name) == {"instances"}:
        return None
    name = choose_node(recordings, "volume", target.name, "target")
    pairs = _images(recordings, name)
    for number, (one, other) in enumerate(zip(images, pairs, strict=True)):
        where = recordings.where(number, name)
        _require_shape(where, other.shape_zyx, one.shape_zyx)
        if one.n != other.n and other.n != 1:
            raise InvalidInputError(where, f"{other.n} time points", f"{one.n}, as the image, or 1")
    return name, pairs


def _kinds(recordings: Recordings, node: str) -> set[Any]:
    return {
        recordings.node(number, node).attrs.get("representation")
        for number in range(len(recordings.ids))
        if node in recordings.nodes(number)
    }


def _kept(
    recordings: Recordings, image: Volume, pair: Volume | None, picks: Array
) -> tuple[Array, Counter[str]]:
    """Return the patches that are finite in the image and its target, and count the others."""
    finite = _finite(recordings, *image, picks)
    left_out = Counter({NOT_FINITE: int((~finite).sum())})
    picks = picks[finite]
    if pair is not None:
        finite = _finite(recordings, *pair, picks)
        left_out[f"target: {NOT_FINITE}"] = int((~finite).sum())
        picks = picks[finite]
    return picks, +left_out


def _accepts(recordings: Recordings, image: Volume, pair: Volume | None, picks: Array) -> Array:
    finite = _finite(recordings, *image, picks)
    return finite if pair is None else finite & _finite(recordings, *pair, picks)


def _finite(recordings: Recordings, node: str, images: Sequence[Image], picks: Array) -> Array:
    """Say which patches are finite throughout."""
    finite = np.ones(len(picks), bool)
    for number, image in enumerate(images):
        key = (number, node, image.variable)
        if not recordings.known_finite(key, image.scale, image.offset):
            for at in np.flatnonzero(picks["recording"] == number):
                with np.errstate(over="ignore"):
                    values = patch(recordings, node, image, picks[at]).astype("f4")
                finite[at] = np.isfinite(values).all()
    return finite


def _parts(node: str, recordings: Recordings, assignments: Sequence[Assignment], by: By) -> Any:
    images = _images(recordings, node)
    return image_parts(recordings, node, images, boxes_of(recordings, images, assignments), by)


def _target(
    request: Request,
    recordings: Recordings,
    images: Sequence[Image],
    pair: Volume | None,
    picks: Array,
    target: Target,
    stride_zyx: tuple[int, int, int],
) -> tuple[Function, tuple[tuple[Stream, Array], ...]] | None:
    """Return the target function of indices into the picks, and what it reads."""
    if target is None:
        return None
    if not isinstance(target, Node):
        return plain_target(request, recordings, target, picks), ()
    if pair is None:
        choose_node(recordings, "instances", target.name, "target")
        dims = _label_dims(recordings, target.name, images)
        sizes = partial(_label_shape, recordings, target.name)
        stream = voxel_stream(target.name, [("label", d) for d in dims], sizes, stride_zyx)
        return partial(_labels, recordings, target.name, dims, picks), ((stream, picks),)
    name, pairs = pair
    columns = columns_of([other.channels for other in pairs])
    fetcher = PatchFetcher(recordings, name, pairs, columns, None, stride_zyx)
    return partial(_paired, fetcher, picks), reads_of(fetcher, picks)


def _label_shape(recordings: Recordings, node: str, number: int) -> tuple[int, ...]:
    return recordings.array((number, node, "label")).shape


def _label_dims(
    recordings: Recordings, node: str, images: Sequence[Image]
) -> list[tuple[str, ...]]:
    """Return the dims of each recording's label array, once its shape is the image's."""
    every = []
    for number, image in enumerate(images):
        label = recordings.node(number, node)["label"]
        sizes = dict(zip(label.dims, label.shape, strict=True))
        z, y, x = (sizes.get(axis, 1) for axis in AXES)
        _require_shape(recordings.where(number, node), (z, y, x), image.shape_zyx)
        every.append(label.dims)
    return every


def _require_shape(where: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if found != expected:
        raise InvalidInputError(where, f"voxels {found}", f"{expected}, as the image has")


def _labels(
    recordings: Recordings, node: str, dims: Sequence[tuple[str, ...]], picks: Array, at: Array
) -> dict[str, Any]:
    """Return ``target (batch, layer, z, y, x)`` integer labels; layers padded with 0."""
    found = [
        voxels(recordings, node, "label", dims[pick["recording"]], "layer", pick)
        for pick in picks[at]
    ]
    wide = any(values.dtype.itemsize > 2 for values in found)
    layers = max(len(values) for values in found)
    target = np.zeros((len(found), layers, *found[0].shape[1:]), "i8" if wide else "i4")
    for row, values in enumerate(found):
        target[row, : len(values)] = values
    return {"target": target}


def _paired(fetcher: Fetcher, picks: Array, at: Array) -> dict[str, Any]:
    """Return ``target (batch, channel, z, y, x)`` and ``target_mask`` of another volume."""
    found = fetched(fetcher, picks[at])
    return {"target": found["image"], "target_mask": found["mask"]}
