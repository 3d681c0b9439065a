"""What ScanImage states in the tags of its TIFF files: channels, slices, rate and field of view.

Pages follow each other by channel first, then by slice where the focus moves within a volume, or
by frame where it waits at each slice. The rate is that of volumes or of frames, over the number
that were averaged. A size of pixels is taken only where field of view and objective agree.

References
----------
https://docs.scanimage.org: the non-varying header, lines of ``SI.name = value`` as MATLAB shows
them, is the tag Software; the varying one, of each frame, is the tag ImageDescription.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from neurodata.errors import UnknownFormatError, UnreadableError
from neurodata.readers.tiff_meta import Meta
from neurodata.safe import Raw

LINE = re.compile(r"SI\.([A-Za-z0-9_.]{1,100}) = (.*)")
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
TEXT = re.compile(r"'((?:[^']|'')*)'")
SAVED = "hChannels.channelSave"
PAGE_LIMIT = 2**20
CLOSE = 0.01


class Settings:
    """The lines of the non-varying header."""

    def __init__(self, text: str, where: str) -> None:
        self.where, self.lines = where, dict[str, str]()
        for line in text.replace("\r", "\n").split("\n"):
            match = LINE.fullmatch(line.strip(" \0"))
            if match is None:
                continue
            if self.lines.setdefault(match[1], match[2].strip()) != match[2].strip():
                raise self.refusal(match[1], "two values")

    def refusal(self, key: str, found: str) -> UnreadableError:
        """Make a refusal of a line."""
        where = f"{self.where}: SI.{key}"
        return UnreadableError(where, found, "a value of ScanImage", "copy the file again")

    def numbers(self, key: str) -> list[float]:
        """Return the numbers of a line, none where it is absent or empty."""
        text = self.lines.get(key, "").strip("[]{}").strip()
        cells = [cell for cell in re.split(r"[\s;,]+", text) if cell]
        if not all(map(NUMBER.fullmatch, cells)):
            raise self.refusal(key, self.lines[key][:60])
        return [float(cell) for cell in cells]

    def number(self, key: str, least: float = 0.0) -> float | None:
        """Return the number of a line over some number, or None where it is absent."""
        if self.lines.get(key, "[]") in ("[]", "", "Inf", "inf"):
            return None
        found = self.numbers(key)
        if len(found) != 1 or not (math.isfinite(found[0]) and found[0] > least):
            raise self.refusal(key, self.lines[key][:60])
        return found[0]

    def whole(self, *keys: str) -> int | None:
        """Return the whole number over 0 of the first of some lines that is there."""
        for key in keys:
            value = self.number(key)
            if value is not None:
                if value != int(value) or value > PAGE_LIMIT:
                    raise self.refusal(key, self.lines[key][:60])
                return int(value)
        return None

    def flag(self, key: str) -> bool | None:
        """Return whether a line says true, or None where it is absent."""
        text = self.lines.get(key, "").lower()
        return {"true": True, "1": True, "false": False, "0": False}.get(text)

    def texts(self, key: str) -> list[str]:
        """Return the texts between quotes of a line."""
        return [text.replace("''", "'").strip() for text in TEXT.findall(self.lines.get(key, ""))]


@dataclass(frozen=True)
class Layout:
    """How the pages of a file follow each other.

    Parameters
    ----------
    letters : str
        Axes before those of a page: ``"TC"``, ``"TZC"`` or ``"ZTC"``.
    shape : tuple of int
    cycle : int
        Pages of a volume, or of a frame, those of flying back included.
    rate_hz : float or None
        Of time.
    """

    letters: str
    shape: tuple[int, ...]
    cycle: int
    rate_hz: float | None


def is_known(file: tifffile.TiffFile) -> bool:
    """Say whether a file has a header of ScanImage 2016 or later, which writes BigTIFF."""
    stated = f"SI.{SAVED} = " in str(file.pages.first.software)
    return bool(file.is_scanimage and file.is_bigtiff) and stated


def series(file: tifffile.TiffFile, raw: Raw) -> tuple[tifffile.TiffPageSeries, Meta]:
    """Return the pages of a file along the axes that its header states, and further facts.

    Raises
    ------
    UnreadableError
        When the header contradicts itself or there are fewer pages than one volume has.
    UnknownFormatError
        When the pages may follow each other in more than one way.
    """
    settings = Settings(str(file.pages.first.software), raw.name)
    pages: list[Any] = list(file.pages)
    first = pages[0]
    if any(page.shape != first.shape or page.dtype != first.dtype for page in pages):
        raise UnreadableError(raw.name, "pages of unlike sizes", "pages of one size", "export it")
    saved = settings.numbers(SAVED)
    if not saved or len(set(saved)) < len(saved) or any(n != int(n) or n < 1 for n in saved):
        raise settings.refusal(SAVED, settings.lines[SAVED][:60])
    layout = _layout(settings, pages, len(saved), raw)
    used = _used(layout)
    left = len(pages) - int(used[-1]) - 1
    spare = layout.cycle - math.prod(layout.shape[1:]) if layout.letters == "TZC" else 0
    if left > spare:
        raw.warn("", f"{left} pages after the last whole volume or frame, left out", "none")
    names = settings.texts("hChannels.channelName")
    chosen = [names[int(n) - 1] if n <= len(names) else "" for n in saved]
    meta = Meta(rate_hz=layout.rate_hz)
    meta.channels = chosen if all(chosen) and len(set(chosen)) == len(chosen) else []
    _sizes(settings, first, layout, meta, raw)
    _compare_times(pages, used, layout, raw)
    raw.note("", "removed: settings of ScanImage", "", "they may identify a person")
    axes = [pair for pair in zip(layout.letters, layout.shape, strict=True) if pair[1] > 1]
    found = tifffile.TiffPageSeries(
        [pages[n] for n in used.tolist()], (*(n for _, n in axes), *first.shape), first.dtype,
        "".join(letter for letter, _ in axes) + first.axes, kind="scanimage",
    )  # fmt: skip
    return found, meta


def _used(layout: Layout) -> npt.NDArray[np.int64]:
    """Return the pages that are read, in their order; those of flying back are not."""
    outer = layout.shape[0]
    inner = math.prod(layout.shape[1:])
    step = layout.cycle if layout.letters[0] == "T" else inner
    return (np.arange(outer)[:, None] * step + np.arange(inner)).ravel()


def _layout(settings: Settings, pages: list[Any], channels: int, raw: Raw) -> Layout:
    average = settings.whole("hScan2D.logAverageFactor") or 1
    frame_hz = settings.number("hRoiManager.scanFrameRate")
    slices = settings.whole("hStackManager.actualNumSlices", "hStackManager.numSlices") or 1
    fast = bool(settings.flag("hFastZ.enable"))
    enabled = settings.flag("hStackManager.enable")
    if enabled and settings.texts("hStackManager.stackMode") == ["fast"]:
        fast = True
    if enabled is False and not fast:
        slices = 1
    if fast and slices > 1:
        return _fast(settings, pages, channels, slices, average, raw)
    rate_hz = None if frame_hz is None else frame_hz / average
    if slices == 1:
        count = _count(pages, channels, "a frame", raw)
        return Layout("TC", (count, channels), channels, rate_hz)
    frames = (settings.whole("hStackManager.framesPerSlice") or 1) / average
    if frames < 1 or frames != int(frames):
        raise settings.refusal("hStackManager.framesPerSlice", f"{frames:g} frames a slice")
    size = int(frames) * channels
    count = _count(pages, size, "a slice", raw)
    if count > slices:
        raise UnknownFormatError(
            raw.name, f"{count} slices of a stack of {slices}", "one stack", "save one a file"
        )
    if count < slices:
        raw.warn("", f"{count} slices of a stack of {slices}", "the whole stack")
    if frames > 1:
        raw.warn("", "slices one after the other, frames of each", "", "time counts in each slice")
    return Layout("ZTC", (count, int(frames), channels), size, rate_hz)


def _count(pages: list[Any], size: int, what: str, raw: Raw) -> int:
    if len(pages) < size:
        raise UnreadableError(raw.name, f"{len(pages)} pages", f"{size}, {what}", "copy it again")
    return len(pages) // size


def _fast(
    settings: Settings, pages: list[Any], channels: int, slices: int, average: int, raw: Raw
) -> Layout:
    """Return the layout of volumes through which the focus moves."""
    if average > 1:
        raise UnknownFormatError(
            raw.name, f"volumes of which {average} frames were averaged", "no average",
            "save it without",
        )  # fmt: skip
    flying = int((settings.numbers("hFastZ.numDiscardFlybackFrames") or [0])[0])
    if not 0 <= flying <= PAGE_LIMIT:
        raise settings.refusal("hFastZ.numDiscardFlybackFrames", f"{flying}")
    stored = flying and _flying_back_is_stored(pages, slices, channels, flying, raw)
    cycle = (slices + (flying if stored else 0)) * channels
    whole = slices * channels
    if len(pages) < whole:
        raise UnreadableError(raw.name, f"{len(pages)} pages", f"{whole}, a volume", "copy again")
    count = (len(pages) - whole) // cycle + 1
    if stored:
        raw.note("", f"{flying} frames of flying back in each volume, left out")
    volume_hz = settings.number("hRoiManager.scanVolumeRate")
    frame_hz = settings.number("hRoiManager.scanFrameRate")
    if volume_hz is not None and frame_hz is not None:
        expected = frame_hz / (slices + flying)
        if abs(volume_hz / expected - 1) > CLOSE:
            raw.warn("", f"{volume_hz:g} volumes a second", f"{expected:g} by its frames")
    return Layout("TZC", (count, slices, channels), cycle, volume_hz)


def _flying_back_is_stored(
    pages: list[Any], slices: int, channels: int, flying: int, raw: Raw
) -> bool:
    """Say whether frames of flying back are in the file, from the numbers of the frames in it."""
    last, after = (slices - 1) * channels, slices * channels
    if len(pages) <= after:
        return False
    numbers = [_varying(pages[place], "frameNumbers") for place in (last, after)]
    if None not in numbers:
        step = (numbers[1] or 0) - (numbers[0] or 0)
        if step in (1, 1 + flying):
            return step == 1
    raise UnknownFormatError(
        raw.name, f"{flying} frames of flying back, which may be in the file or not",
        "frameNumbers that tell", "export the volumes as OME-TIFF",
    )  # fmt: skip


def _varying(page: Any, key: str) -> float | None:
    """Return a number that a page states of its frame."""
    match = re.search(rf"^{key} = ({NUMBER.pattern})\s*$", str(page.description), re.MULTILINE)
    return None if match is None else float(match[1])


def _compare_times(pages: list[Any], used: npt.NDArray[np.int64], layout: Layout, raw: Raw) -> None:
    """Warn where time stamps of frames contradict the rate."""
    count = layout.shape[0]
    if layout.letters[0] != "T" or count < 2 or layout.rate_hz is None:
        return
    ends = (pages[0], pages[int(used[-1]) // layout.cycle * layout.cycle])
    first_s, last_s = (_varying(page, "frameTimestamps_sec") for page in ends)
    if first_s is None or last_s is None:
        return
    found_hz = (count - 1) / (last_s - first_s) if last_s > first_s else math.inf
    if abs(found_hz / layout.rate_hz - 1) > CLOSE:
        raw.warn(
            "", f"{layout.rate_hz:g} Hz, but {found_hz:g} Hz by time stamps", "one rate",
            "frames may be missing; declare it: --set rate_hz=...",
        )  # fmt: skip


# field of view


def _sizes(settings: Settings, page: Any, layout: Layout, meta: Meta, raw: Raw) -> None:
    """Add micrometres a pixel and a slice where they are stated beyond doubt."""
    if "Z" in layout.letters:
        _step(settings, layout.shape[layout.letters.index("Z")], meta, raw)
    um_a_degree = settings.number("objectiveResolution")
    corners = [settings.numbers(f"hRoiManager.imagingFov{unit}") for unit in ("Um", "Deg")]
    if settings.flag("hRoiManager.mroiEnable"):
        raw.warn("", "several regions in one page", "one region", "declare voxel_um")
    elif um_a_degree is not None and all(len(numbers) == 8 for numbers in corners):
        um, deg = (np.reshape(numbers, (4, 2)) for numbers in corners)
        width, height = (float(np.linalg.norm(um[place] - um[0])) for place in (1, 3))
        square = abs((um[1] - um[0]) @ (um[3] - um[0])) <= 1e-6 * width * height
        pixels = settings.numbers("hRoiManager.pixelsPerLine")
        pixels += settings.numbers("hRoiManager.linesPerFrame")
        fits = pixels == [page.imagewidth, page.imagelength] and min(width, height) > 0
        if not (fits and square and np.allclose(um, deg * um_a_degree, rtol=1e-3)):
            found = "a field of view that objective and pixels contradict"
            raw.warn("", found, "agreement", "declare voxel_um")
            return
        meta.size_um["x"] = width / page.imagewidth
        meta.size_um["y"] = height / page.imagelength
        raw.note("", f"pixels by an objective of {um_a_degree:g} um a degree, as configured")


def _step(settings: Settings, slices: int, meta: Meta, raw: Raw) -> None:
    """Add micrometres between slices, if the heights that are stated keep that step."""
    stated = settings.numbers("hStackManager.actualStackZStepSize")
    stated = stated or settings.numbers("hStackManager.stackZStepSize")
    if len(stated) != 1 or not stated[0]:
        return
    heights = settings.numbers("hStackManager.zs")
    if len(heights) == slices > 1 and not np.allclose(
        np.abs(np.diff(heights)), abs(stated[0]), rtol=CLOSE
    ):
        raw.warn("", "slices at unequal distances", "one step", "declare voxel_um")
    else:
        meta.size_um["z"] = abs(stated[0])
