"""Tables of names beside a volume of region numbers, and the regions that these make of it.

Read are lines of text ``index name``, colour tables as FreeSurfer's ``index name R G B A``, and
the columns ``index`` and ``name`` of BIDS ``*_dseg.tsv``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata import safe
from neurodata.errors import UnreadableError
from neurodata.readers.delimited import text_array
from neurodata.readers.tiff_instances import instances
from neurodata.safe import Raw

FREESURFER = "FreeSurferColorLUT.txt"
_FREESURFER_IMAGES = re.compile(r"aseg|aparc|wmparc")
_ROW = re.compile(r"\s*\d+\s+\S*[^\W\d]")
_WHOLE = re.compile(r"[+-]?\d{1,18}")
KEPT = ("abbreviation", "mapping")
INHERITED = ("dseg.tsv", "probseg.tsv")  # from a folder above, see `neurodata.readers.bids`
LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Names:
    """Names of regions by their numbers, from the file ``where``, and further columns."""

    where: str
    name: dict[int, str]
    columns: dict[str, dict[int, str]] = field(default_factory=dict)


def beside(path: Path, folder: Sequence[Path]) -> list[Path]:
    """Return the files among ``folder`` whose names say that they are an image's table of names.

    Examples
    --------
    >>> files = [Path("aal.nii.gz"), Path("aal.nii.txt"), Path("notes.txt")]
    >>> [str(path) for path in beside(files[0], files)]
    ['aal.nii.txt']
    """
    whole = path.name.removesuffix(".gz")
    stem = whole.rpartition(".")[0]
    names = [f"{path.name}.txt", f"{whole}.txt", f"{stem}.txt", f"{stem}.lut", f"{stem}_LUT.txt"]
    if not stem.startswith("sub-") or stem.endswith("_dseg"):
        names.append(f"{stem}.tsv")
    if _FREESURFER_IMAGES.search(stem):
        names.append(FREESURFER)
    found = {p.name: p for p in folder if p.parent == path.parent}
    return [found[name] for name in dict.fromkeys(names) if name in found]


def table(raw: Raw) -> Names | None:
    """Return the table of names among a recording's files; other texts are noted.

    One that the image inherits from a folder above is read where none lies beside it.

    Raises
    ------
    UnreadableError
        When a table has a row without number or name, or a number twice.
    """
    inherited = [path for path in raw.files[1:] if path.name.endswith(INHERITED)]
    for path in dict.fromkeys([*beside(raw.main, raw.files[1:]), *inherited]):
        start = safe.head(path).decode("utf-8-sig", "replace")
        names = None
        if path.suffix == ".tsv":
            if {"index", "name"} <= set(start.partition("\n")[0].strip().split("\t")):
                names = _of_tsv(path)
        else:
            lines = [x for x in start.splitlines() if x.strip() and not x.startswith("#")]
            names = _of_text(raw, path) if lines and _ROW.match(lines[0]) else None
        if names is not None:
            return names
        raw.note(path.name, "a text without region numbers and names, not read")
    return None


def _of_tsv(path: Path) -> Names:
    rows = safe.read_table(path).map(str.strip)
    cells = list(zip(rows["index"], rows["name"], strict=True))
    keys = [_index(path, line, text) for line, (text, _) in enumerate(cells, 2)]
    columns = {
        name: dict(zip(keys, rows[name], strict=True)) for name in KEPT if name in rows.columns
    }
    return Names(path.name, _named(path, keys, [name for _, name in cells]), columns)


def _of_text(raw: Raw, path: Path) -> Names:
    rows, comments = [], 0
    for line, text in enumerate(safe.read_text(path).splitlines(), 1):
        cells = text.split()
        if not cells or cells[0].startswith("#"):
            comments += bool(cells)
            continue
        if len(cells) < 2:
            raise UnreadableError(
                f"{path.name}: line {line}", repr(text[:60]), "index and name", "mend the line"
            )
        rows.append((_index(path, line, cells[0]), cells[1:]))
    if comments:
        raw.note(path.name, f"{comments} lines of free text, removed")
    numbers = min(_trailing(cells) for _, cells in rows)
    drop = 4 if numbers >= 4 else numbers
    short = [" ".join(cells[: len(cells) - drop]) for _, cells in rows]
    if drop < 4 and len(set(short)) < len(short):
        drop, short = 0, [" ".join(cells) for _, cells in rows]
    if drop:
        what = "colours" if drop == 4 else f"{drop} further column(s) without a name"
        raw.note(path.name, f"{what}, left out")
    return Names(path.name, _named(path, [key for key, _ in rows], short))


def _trailing(cells: Sequence[str]) -> int:
    """Return how many cells after the first, counted from the end, are whole numbers."""
    count = 0
    while count < len(cells) - 1 and _WHOLE.fullmatch(cells[-1 - count]):
        count += 1
    return count


def _index(path: Path, line: int, text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise UnreadableError(
            f"{path.name}: line {line}", repr(text[:40]), "a region's number", "mend the line"
        )
    return int(text)


def _named(path: Path, keys: list[int], names: list[str]) -> dict[int, str]:
    twice = sorted({key for key in keys if keys.count(key) > 1}) if len(keys) < 10_000 else []
    if twice or len(set(keys)) < len(keys):
        raise UnreadableError(
            path.name, f"the number(s) {twice[:5]} more than once", "each once", "mend the table"
        )
    return dict(zip(keys, names, strict=True))


def regions(raw: Raw, node: xr.Dataset, image_node: str, names: Names) -> xr.Dataset:
    """Return the regions of a volume as an ``instances`` node with a column ``name``.

    Voxels are counted block by block; 0 is background.

    Parameters
    ----------
    node : xarray.Dataset
        The volume of region numbers, ``(z, y, x)``, unscaled.
    image_node : str
        Its name.

    Raises
    ------
    UnreadableError
        When voxels are no whole numbers of 0 and more, or none of them is in the table.
    """
    voxels = _numbers(raw, node)
    sizes = {str(dim): size for dim, size in voxels.sizes.items()}
    found = instances(voxels.data, sizes, raw, raw.name).assign_attrs(image_node=image_node)
    drawn = [int(key) for key in found["instance_id"].values]
    unnamed = [key for key in drawn if key not in names.name]
    if drawn and len(unnamed) == len(drawn):
        raise UnreadableError(
            names.where,
            f"no name of any of the {len(drawn)} regions, e.g. {drawn[0]}",
            f"the names of the regions of {raw.name}",
            "take the table away if it belongs to another image",
        )
    if unnamed:
        listed = ", ".join(map(str, unnamed[:5]))
        raw.warn(names.where, f"{len(unnamed)} region(s) without a name: {listed}", "a row each")
    undrawn = sorted(names.name.keys() - {0, *drawn})
    if undrawn:
        listed = ", ".join(map(str, undrawn[:5]))
        raw.note(names.where, f"{len(undrawn)} name(s) of regions without a voxel: {listed}")
    for column, texts in {"name": names.name, **names.columns}.items():
        found[column] = ("instance", text_array([texts.get(key, "") for key in drawn]))
    return found


def _numbers(raw: Raw, node: xr.Dataset) -> xr.DataArray:
    """Return the region numbers of a volume as integers, floats only if all are whole."""
    if "image_adc" in node:
        scale = (np.ravel(node["scale"].values).tolist(), np.ravel(node["offset"].values).tolist())
        if scale != ([1.0], [0.0]):
            found = f"scaled voxels (slope {scale[0]}, intercept {scale[1]})"
            raise UnreadableError(raw.name, found, "region numbers as they are", "save it unscaled")
        return node["image_adc"]
    image = node["image"]
    for block in image.data.blocks.ravel():
        values: Any = block.compute(scheduler="synchronous")
        if values.dtype.kind == "c" or not ((values == np.rint(values)) & (values >= 0)).all():
            found = "values that are no whole numbers of 0 and more"
            raise UnreadableError(raw.name, found, "region numbers", "take the table away")
        if values.size and values.max() > LARGEST:
            found = f"the region number {values.max():g}"
            raise UnreadableError(raw.name, found, f"at most {LARGEST}", "take the table away")
    return image.astype("i4")
