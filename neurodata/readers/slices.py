"""Numbered slices: PNG, JPEG or TIFF images of a folder that make one stack or movie.

TIFF files are images of their own unless the reader is named (``--set reader=slices``). One picture
alone is an image where it is named (``--set a.png:reader=slices``) and ``axes=y,x`` declared.

References
----------
PNG specification, third edition (W3C 2025); ITU-T T.81 (JPEG).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from shlex import quote

import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, Problem, UnreadableError, need
from neurodata.readers.tiff import sniff as is_tiff
from neurodata.safe import Raw

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
EXTRA = "microscopy"
PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
NUMBER = re.compile(r"\d+")
RGB = ("red", "green", "blue")
SHOWN = 5
_last: list[tuple[Sequence[Path], Mapping[tuple[Path, str], list[Path]]]] = []


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is a PNG, JPEG or TIFF image.

    Examples
    --------
    >>> sniff(JPEG, Path("a.jpg")), sniff(b"II*", Path("a.tif"))
    (True, False)
    """
    return head.startswith((PNG, JPEG)) or is_tiff(head, path)


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the images whose names differ in numbers only, in the order of the numbers.

    Examples
    --------
    >>> files = [Path("z1.png"), Path("z10.png"), Path("z2.png"), Path("other.png")]
    >>> [str(p) for p in members(files[1], files)]
    ['z1.png', 'z2.png', 'z10.png']
    """
    found = _groups(folder).get(_pattern(path)) or [path]
    return tuple(sorted(found, key=lambda each: (_numbers(each), each.name)))


def _pattern(path: Path) -> tuple[Path, str]:
    return path.parent, NUMBER.sub("#", path.name)


def _numbers(path: Path) -> tuple[int, ...]:
    return tuple(int(digits) for digits in NUMBER.findall(path.stem))


def _groups(folder: Sequence[Path]) -> Mapping[tuple[Path, str], list[Path]]:
    """Return the files by the pattern of their names; the last folder's are kept."""
    if _last and _last[0][0] is folder and isinstance(folder, tuple):
        return _last[0][1]
    groups: dict[tuple[Path, str], list[Path]] = {}
    for path in folder:
        if path.suffix.lower() in SUFFIXES:
            groups.setdefault(_pattern(path), []).append(path)
    _last[:] = [(folder, groups)]
    return groups


def aside(path: Path, folder: Sequence[Path]) -> Problem | None:
    """Return why a picture alone, as a thumbnail or a figure is, is no recording.

    Examples
    --------
    >>> print(aside(Path("thumbnail.png"), [Path("thumbnail.png")]))
    warning: thumbnail.png: found one picture; expected slices, numbered; \
remove it; if it is data, add --set '*thumbnail.png:reader=slices'
    """
    if len(members(path, folder)) > 1:
        return None
    return Problem(
        "warning", path.name, "one picture", "slices, numbered",
        f"remove it; if it is data, add --set {quote(f'*{path.name}:reader=slices')}",
    )  # fmt: skip


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read the slices as one image, lazily.

    Parameters
    ----------
    declare : Declared
        ``axes=z,y,x`` for a stack, ``axes=time,y,x`` with ``rate_hz`` for a movie, ``axes=y,x``
        for one picture; and ``voxel_um=2,0.5,0.5`` (z, y, x).

    Returns
    -------
    xarray.DataTree
        ``image`` (volume/1) in counts, ``(time, channel, z, y, x)`` as present.

    Raises
    ------
    UnreadableError
        When slices are missing in the numbering, damaged, or unlike each other.
    UnknownFormatError
        On palettes, transparency, and depths that would be converted.
    MissingFactError
        When axes, voxel size or frame rate are not declared.
    UnsafeError
        When a slice would decode to far more than it holds.
    """
    need("PIL", extra=EXTRA)
    need("tifffile", extra=EXTRA)
    from neurodata.readers.image_volume import Facts, axes_of, volume
    from neurodata.readers.slice_pixels import lazy, stored_slices

    alone = len(raw.files) == 1 and declare.text("axes") in (None, "y,x")
    if not alone:
        _check_numbers(raw)
    stored = stored_slices(raw)
    axes = axes_of([], stored.shape[1 if alone else 0 : 3], Facts(), raw, declare)
    if axes[-2:] != ["y", "x"]:
        raise InvalidInputError(f"--set axes={','.join(axes)}", "slices of (y, x)", "AXIS,y,x")
    facts = Facts()
    if len(stored.shape) > 3:
        if axes[0] == "channel":
            raise InvalidInputError("--set axes=channel,y,x", "slices in colour", "z,y,x")
        axes, facts.channels = [*axes, "channel"], list(RGB)
    pixels = lazy(stored)[0] if alone else lazy(stored)
    nodes = {"image": volume(pixels, axes, facts, raw, declare)}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": "microscopy"}), **nodes})


def _check_numbers(raw: Raw) -> None:
    """Refuse slices that are not numbered one after another."""
    numbers = [_numbers(path) for path in raw.files]
    varying = [at for at, found in enumerate(zip(*numbers, strict=True)) if len(set(found)) > 1]
    if len(raw.files) < 2:
        raise UnreadableError(
            raw.name, "one image", "two or more, numbered", "if it is a plane, --set axes=y,x"
        )
    if len(varying) != 1:
        raise UnreadableError(
            raw.name, f"names that differ in {len(varying)} numbers", "in one",
            "put each series into a folder of its own",
        )  # fmt: skip
    found = [each[varying[0]] for each in numbers]
    twice = sorted({one for one, other in pairwise(found) if one == other})
    if twice:
        raise UnreadableError(raw.name, f"the number {twice[0]} twice", "each once", "rename one")
    gaps = [one + 1 for one, other in pairwise(found) if other != one + 1]
    if gaps:
        lacking = found[-1] - found[0] + 1 - len(found)
        named = ", ".join(map(str, gaps[:SHOWN])) + (", ..." if lacking > SHOWN else "")
        raise UnreadableError(
            raw.name, f"{lacking} number(s) missing between {found[0]} and {found[-1]}: {named}",
            "every number", "fetch the slices, or number those that there are one after another",
        )  # fmt: skip
