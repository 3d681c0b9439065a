"""Neuroglancer precomputed volumes: an image, and the segmentations in folders beside it.

The first scale is read. A missing chunk is an error, not the zeros that other readers return,
unless ``missing_chunks=fill`` is declared.

References
----------
https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/volume.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import RefusedError, UnreadableError
from neurodata.readers.zarr_files import JSON_LIMIT_BYTES, below_folder, parse, whole_json
from neurodata.safe import Raw

SUFFIXES = ("info",)
EXTRA = ""
INFO = "info"
IMAGE, SEGMENTATION, DAMAGED = "image", "segmentation", "damaged"


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is the ``info`` of a precomputed volume.

    Examples
    --------
    >>> sniff(b'{"type": "image", "num_channels": 1, "scales": []}', Path("info"))
    True
    """
    found = whole_json(head, path)
    return found is not None and _is_volume(found)


def _is_volume(found: Mapping[str, Any]) -> bool:
    kinds = (IMAGE, SEGMENTATION)
    return "scales" in found and "num_channels" in found and found.get("type") in kinds


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return an image's files and those of the segmentations in folders beside it, image first.

    A segmentation gives the files of the one image beside it; without one it stands alone and
    is refused by `read`.

    Examples
    --------
    >>> members(Path("em/info"), [Path("em/info"), Path("em/8_8_40/0-64_0-64_0-64")])
    (PosixPath('em/info'), PosixPath('em/8_8_40/0-64_0-64_0-64'))
    """
    layers = {p: _kind(p) for p in _beside(path, folder)}
    images = [p for p, kind in layers.items() if kind == IMAGE]
    main = path
    if layers.get(path) in (SEGMENTATION, DAMAGED) and len(images) == 1:
        main = images[0]
    others = [p for p, kind in layers.items() if kind in (SEGMENTATION, DAMAGED)]
    chosen = [main, *(others if main in images and len(images) == 1 else [])]
    files = [p for info in chosen for p in below_folder(info.parent, folder)]
    return tuple(dict.fromkeys([main, *files]))


def _beside(path: Path, folder: Sequence[Path]) -> list[Path]:
    """Return the files called ``info`` in this folder and in those beside it."""
    around = below_folder(path.parent.parent, folder)
    depth = len(path.parts)
    return [p for p in around if p.name == INFO and len(p.parts) == depth]


def _kind(path: Path) -> str:
    """Return the type of a volume; `DAMAGED` for what begins as one but cannot be read."""
    try:
        data = safe.read_bytes(path, JSON_LIMIT_BYTES)
    except (RefusedError, OSError):
        return DAMAGED
    try:
        found = parse(data, path.name)
    except RefusedError:
        return DAMAGED if data[:1] in (b"", b"{") else ""
    return str(found["type"]) if _is_volume(found) else ""


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read an image and its segmentations at their first scale, lazily.

    Parameters
    ----------
    declare : Declared
        ``missing_chunks=fill`` where absent chunks stand for zeros.

    Returns
    -------
    xarray.DataTree
        ``image`` (volume/1) in counts, ``(channel, z, y, x)``, with the stated resolution, and a
        node ``labels_FOLDER`` (instances/1) for each segmentation, its ids exact.

    Raises
    ------
    UnreadableError
        When the metadata or a chunk is damaged, cut or missing, or a segmentation is alone.
    UnknownFormatError
        On shards and encodings other than raw, jpeg and compressed_segmentation.
    UnsafeError
        When metadata name a path elsewhere, or sizes beyond the limits.
    """
    from neurodata.readers.chunk_grid import complete, lazy
    from neurodata.readers.image_volume import Facts, volume
    from neurodata.readers.precomputed_chunks import open_layer
    from neurodata.readers.tiff_instances import instances

    image = open_layer(raw.main, raw)
    if image.kind != IMAGE:
        raise UnreadableError(
            raw.name, "a segmentation without its image", "both",
            "put the folder of the image beside that of the segmentation",
        )  # fmt: skip
    stored = complete(image.stored, raw, declare)
    axes = ["channel", "z", "y", "x"]
    node = volume(lazy(stored), axes, Facts(image.size_um), raw, declare)
    nodes = {"image": node}
    spatial = {axis: node.sizes[axis] for axis in axes[1:]}
    for path in raw.files[1:]:
        if path.name != INFO or _kind(path) not in (SEGMENTATION, DAMAGED):
            continue
        layer = open_layer(path, raw)
        where = f"{path.parent.name}/{INFO}"
        if not layer.same_place(image) or layer.stored.shape[1:] != tuple(spatial.values()):
            raw.warn(where, "a segmentation of another grid than the image's", "the same",
                     "left out")  # fmt: skip
            continue
        if layer.stored.shape[0] != 1:
            raise UnreadableError(where, f"{layer.stored.shape[0]} channels of ids", "one")
        labels = lazy(complete(layer.stored, raw, declare))
        nodes[layer.node_name(nodes)] = instances(labels[0], spatial, raw, where)
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": "microscopy"}), **nodes})
