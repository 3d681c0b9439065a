"""Where the frames of a series lie: sorted into (time, channel, z), with gaps refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from neurodata.declare import Declared, missing
from neurodata.errors import InvalidInputError, UnreadableError
from neurodata.readers.dicom_facts import GAP, ORIENTATION, SLOPE, SPACING
from neurodata.readers.dicom_frames import Array, Frame, Vector
from neurodata.readers.dicom_header import label
from neurodata.readers.nifti_space import AXIS_CODES, orientation
from neurodata.safe import Raw

SAME_DIRECTION, SAME_SIZE = 1e-4, 1e-4  # headers round direction cosines to 6 digits or so
PLACE_SLACK, STEP_SLACK = 0.05, 0.02  # parts of the distance between slices
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # DICOM counts x to the left and y to the back


@dataclass(frozen=True)
class Grid:
    """The frames of a series in order.

    Parameters
    ----------
    frames : tuple of Frame
        By time, then channel, then z.
    shape : tuple of int
        How many times, channels and slices.
    channels : tuple of str
        Echoes or complex parts; one that needs no name is "".
    affine : (4, 4) float64 or None
        From voxel (x, y, z, 1) to RAS+ mm.
    spacing_mm : tuple of float
        Between slices, rows and columns.
    """

    frames: tuple[Frame, ...]
    shape: tuple[int, int, int]
    channels: tuple[str, ...]
    affine: Array | None
    spacing_mm: tuple[float, float, float]

    def at(self, time: int, channel: int = 0) -> tuple[Frame, ...]:
        """Return the slices of one volume."""
        start = (time * self.shape[1] + channel) * self.shape[2]
        return self.frames[start : start + self.shape[2]]


def arrange(
    raw: Raw, frames: Sequence[Frame], declare: Declared, scaled_apart: bool = False
) -> Grid:
    """Sort frames by place, echo and time, and derive where voxels lie.

    Parameters
    ----------
    scaled_apart : bool
        Whether frames may have slopes and intercepts of their own.

    Raises
    ------
    UnreadableError
        When frames differ in orientation, size, pixel spacing or scaling, when slices or volumes
        are missing, or two frames lie at one place and time.
    MissingFactError
        When the voxel size is not stated and not declared.
    """
    _require_alike(raw, frames, scaled_apart)
    channels = sorted({(frame.kind, frame.echo_ms or 0.0) for frame in frames})
    by_channel = [[f for f in frames if (f.kind, f.echo_ms or 0.0) == key] for key in channels]
    first = frames[0]
    if any(frame.position is None or frame.orientation is None for frame in frames):
        return _unplaced(raw, frames, declare)
    normal = np.cross(*first.directions)
    slack_mm = PLACE_SLACK * (first.gap_mm or min(first.spacing or (1.0,)))
    grids = [_by_place(raw, same, normal, slack_mm) for same in by_channel]
    counts = {(len(places), len(places[0])) for places in grids}
    if len(counts) > 1:
        found = ", ".join(f"{z} slices x {t} times" for z, t in sorted(counts))
        raise _uneven(raw, f"echoes or parts of unlike size: {found}", "as many of each")
    slices, times = counts.pop()
    names = _channel_names(channels)
    ordered = tuple(
        grids[c][z][t] for t in range(times) for c in range(len(grids)) for z in range(slices)
    )
    places = np.array([place[0].position for place in grids[0]])
    _require_same_places(raw, grids, places, slack_mm)
    sizes = _plane_sizes(raw, first, declare)
    affine = _affine(raw, first, places, normal, sizes, declare)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return Grid(ordered, (times, len(grids), slices), names, affine, tuple(lengths[::-1].tolist()))


def _require_alike(raw: Raw, frames: Sequence[Frame], scaled_apart: bool) -> None:
    """Refuse a series whose frames cannot be one array."""
    first = frames[0]
    if flat := next((frame for frame in frames if frame.slope == 0), None):
        where = f"{flat.where}: {label(SLOPE)}"
        raise UnreadableError(where, "0", "another number", "mend the header at its source")
    for frame in frames:
        pixels, own = frame.part.pixels, first.part.pixels
        pairs = {
            "rows and columns": (frame.size, first.size),
            "type of pixels": (pixels.dtype.name, own.dtype.name),
            "PhotometricInterpretation": (pixels.photometric, own.photometric),
            "rescale slope and intercept": (
                (frame.slope, frame.intercept), (first.slope, first.intercept)
            ),
        }  # fmt: skip
        if scaled_apart:
            del pairs["rescale slope and intercept"]
        for what, (found, expected) in pairs.items():
            if found != expected:
                raise _unlike(frame, what, found, expected, raw)
        if _apart(frame.orientation, first.orientation) > SAME_DIRECTION:
            found_row, first_row = frame.orientation, first.orientation
            raise _unlike(frame, label(ORIENTATION), found_row, first_row, raw)
        if _apart(frame.spacing, first.spacing) > SAME_SIZE:
            raise _unlike(frame, label(SPACING), frame.spacing, first.spacing, raw)


def _apart(one: Vector | None, other: Vector | None) -> float:
    if one is None or other is None:
        return 0.0 if one is other else np.inf
    return float(np.abs(np.subtract(one, other)).max())


def _unlike(frame: Frame, what: str, found: Any, expected: Any, raw: Raw) -> UnreadableError:
    return UnreadableError(
        f"{frame.where}: {what}", f"{found}", f"{expected}, as in {raw.name}: frame 0",
        "export what differs as series of their own, or leave it out",
    )  # fmt: skip


def _uneven(raw: Raw, found: str, expected: str) -> UnreadableError:
    return UnreadableError(f"{raw.name}: series", found, expected, "add the files that are missing")


def _by_place(
    raw: Raw, frames: Sequence[Frame], normal: Array, slack_mm: float
) -> list[list[Frame]]:
    """Return frames by slice, from the lowest along the normal, each slice's in time order."""
    depths = np.array([frame.position for frame in frames]) @ normal
    order = np.argsort(depths, kind="stable")
    places: list[list[Frame]] = []
    last = -np.inf
    for number in order:
        if depths[number] - last > slack_mm:
            places.append([])
            last = depths[number]
        places[-1].append(frames[number])
    counts = [len(place) for place in places]
    times = max(set(counts), key=counts.count)
    for place in places:
        if len(place) != times:
            depth = float(np.dot(place[0].position or (), normal))
            found = f"{len(place)} frames at {depth:g} mm along the slice normal"
            raise _uneven(raw, found, f"{times}, as at the other {len(places) - 1} places")
    volumes = [[frame.volume for frame in place] for place in places]
    stated = all(None not in row and len(set(row)) == times for row in volumes)
    by_time = [sorted(place, key=lambda f: _time_key(f, stated)) for place in places]
    for place in by_time:
        _require_distinct(place, stated)
        _require_no_jump(raw, place)
    return by_time


def _time_key(frame: Frame, stated: bool) -> tuple[float, ...]:
    return (frame.volume or 0, *frame.order) if stated else frame.order


def _require_distinct(place: Sequence[Frame], stated: bool) -> None:
    for one, other in pairwise(place):
        same_file = one.part.pixels is other.part.pixels
        if not stated and not same_file and one.order == other.order:
            raise UnreadableError(
                other.where, f"the place and InstanceNumber of {one.where}",
                "one frame at each place and time", "remove the copy",
            )  # fmt: skip


def _require_no_jump(raw: Raw, place: Sequence[Frame]) -> None:
    """Refuse a series that lacks volumes: numbers of instances advance evenly in time."""
    numbers = np.array([frame.order[0] for frame in place])
    steps = np.diff(numbers)
    if len(steps) < 2 or (steps == steps[0]).all() or (numbers < 0).any():
        return
    usual = float(np.sort(steps)[(len(steps) - 1) // 2])
    at = int(np.flatnonzero(steps != usual)[0])
    raise _uneven(
        raw,
        f"InstanceNumber {numbers[at]:g} and then {numbers[at + 1]:g} at one place",
        f"steps of {usual:g}, as between the other volumes",
    )


def _require_same_places(
    raw: Raw, grids: Sequence[Sequence[Sequence[Frame]]], places: Array, slack_mm: float
) -> None:
    for grid in grids:
        for slice_frames, place in zip(grid, places, strict=True):
            for frame in slice_frames:
                moved = float(np.abs(np.subtract(frame.position or (), place)).max())
                if moved > slack_mm:
                    raise _unlike(
                        frame, "place of the slice", frame.position, tuple(place.tolist()), raw
                    )


def _channel_names(channels: Sequence[tuple[str, float]]) -> tuple[str, ...]:
    kinds, echoes = {kind for kind, _ in channels}, {echo for _, echo in channels}
    names = []
    for kind, echo in channels:
        parts = [kind or "other"] if len(kinds) > 1 else []
        parts += [f"echo {echo:g} ms"] if len(echoes) > 1 else []
        names.append(", ".join(parts))
    return tuple(names)


def _plane_sizes(raw: Raw, first: Frame, declare: Declared) -> tuple[float, float, float | None]:
    """Return mm between rows, between columns and between slices, as stated or declared."""
    declared = declare.numbers("voxel_mm", 3)
    if declared is not None and min(declared) <= 0:
        raise InvalidInputError("--set voxel_mm", str(declared), "numbers over 0")
    if first.spacing is not None:
        if min(first.spacing) <= 0:
            where = f"{first.where}: {label(SPACING)}"
            raise UnreadableError(where, f"{first.spacing}", "numbers over 0", "mend the header")
        if declared and not np.allclose(declared[1:], first.spacing, rtol=1e-3, atol=0):
            raise InvalidInputError(
                "--set voxel_mm", f"{declared} (z, y, x)", f"y and x of {first.spacing}",
                f"{raw.name} states them",
            )  # fmt: skip
        return (
            first.spacing[0],
            first.spacing[1],
            first.gap_mm or (declared[0] if declared else None),
        )
    if declared is None:
        raise missing(
            f"{raw.name}: {label(SPACING)}", "no pixel spacing",
            "mm between rows and columns, or the voxel size declared in mm as z,y,x",
            "voxel_mm=<z>,<y>,<x>",
        )  # fmt: skip
    return declared[1], declared[2], declared[0]


def _affine(
    raw: Raw,
    first: Frame,
    places: Array,
    normal: Array,
    sizes: tuple[float, float, float | None],
    declare: Declared,
) -> Array:
    along_row, along_column = first.directions
    _require_rotation(first, along_row, along_column)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1] = along_row * sizes[1], along_column * sizes[0]
    matrix[:3, 2] = _step(raw, places, normal, sizes[2])
    matrix[:3, 3] = places[0]
    depth = float(np.linalg.norm(matrix[:3, 2]))
    declared = declare.numbers("voxel_mm", 3)
    if declared and abs(declared[0] / depth - 1) > 1e-3:
        raise InvalidInputError(
            "--set voxel_mm", f"{declared} (z, y, x)", f"z of {depth:g}, as the slices' positions"
        )
    if len(places) > 1 and first.gap_mm and abs(first.gap_mm / depth - 1) > 0.01:
        raw.note("series", f"slices {depth:g} mm apart", f"{first.gap_mm:g} mm by the header",
                 "the positions were followed")  # fmt: skip
    result: Array = TO_RAS @ matrix + 0.0  # no negative zeros
    return result


def _require_rotation(first: Frame, along_row: Array, along_column: Array) -> None:
    lengths = np.linalg.norm([along_row, along_column], axis=1)
    if abs(lengths - 1).max() > 0.01 or abs(np.dot(along_row, along_column)) > 0.01:
        raise UnreadableError(
            f"{first.where}: {label(ORIENTATION)}", f"{first.orientation}",
            "two directions of length 1 at a right angle", "mend the header at its source",
        )  # fmt: skip


def _step(raw: Raw, places: Array, normal: Array, stated_mm: float | None) -> Array:
    """Return the vector from a slice to the next, after a check that all are as far apart."""
    if len(places) == 1:
        if not stated_mm or stated_mm <= 0:
            raise missing(
                f"{raw.name}: {label(GAP)}", "no distance between slices nor thickness",
                "mm, or the voxel size declared in mm as z,y,x", "voxel_mm=<z>,<y>,<x>",
            )  # fmt: skip
        return np.asarray(normal * stated_mm)
    step = (places[-1] - places[0]) / (len(places) - 1)
    off = np.abs(places - places[0] - np.arange(len(places))[:, None] * step).max()
    if off > STEP_SLACK * np.linalg.norm(step):
        depths = np.diff(places @ normal)
        at, usual = int(np.argmax(np.abs(depths - np.median(depths)))), float(np.median(depths))
        raise _uneven(
            raw,
            f"{depths[at]:g} mm between slices {at} and {at + 1} of {len(places)}",
            f"{usual:g} mm, as between the others",
        )
    return np.asarray(step)


def _unplaced(raw: Raw, frames: Sequence[Frame], declare: Declared) -> Grid:
    """Stack the frames of one file that states no positions, in their order along z."""
    first = frames[0]
    if len({id(frame.part.pixels) for frame in frames}) > 1:
        raise UnreadableError(
            f"{first.where}: position and orientation", "none in several files",
            "one for each, to sort the slices by", "export the series with its geometry",
        )  # fmt: skip
    row_mm, column_mm, slice_mm = _plane_sizes(raw, first, declare)
    if not slice_mm:
        raise missing(
            f"{raw.name}: {label(GAP)}", "no distance between slices",
            "mm, or the voxel size declared in mm as z,y,x",
            f"voxel_mm=<z>,{row_mm:g},{column_mm:g}",
        )  # fmt: skip
    ordered = tuple(sorted(frames, key=lambda frame: frame.order))
    sizes = (slice_mm, row_mm, column_mm)
    affine, codes = None, orientation(declare)
    if codes is None:
        raw.warn("ImagePositionPatient", "no position and orientation",
                 "both; left and right are not stated",
                 "frames were stacked along z; declare directions: --set axes=LPS")  # fmt: skip
    else:
        affine = _declared_affine(codes, sizes)
    return Grid(ordered, (1, 1, len(ordered)), ("",), affine, sizes)


def _declared_affine(codes: str, sizes: tuple[float, float, float]) -> Array:
    affine = np.zeros((4, 4))
    affine[3, 3] = 1.0
    for column, code in enumerate(codes):
        row = next(n for n, pair in enumerate(("RL", "AP", "SI")) if code in pair)
        affine[row, column] = AXIS_CODES[code] * sizes[2 - column]
    if not affine[:3, :3].any(axis=1).all():
        raise InvalidInputError("--set axes", repr(codes), "three different axes, as in LPS")
    return affine
