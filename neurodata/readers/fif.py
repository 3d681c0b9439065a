"""Neuromag's functional image file format (FIF): raw recordings and epochs, also in several files.

Samples are read in place as they are stored; MNE-Python reads the header (see
`neurodata.readers.mne_raw`). Gaps that the file states stay gaps.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import NeurodataError, UnreadableError, UnsafeError, need
from neurodata.readers import bids, remarks
from neurodata.readers.channels import Clock
from neurodata.readers.delimited import text_array
from neurodata.readers.fif_epochs import read_epochs
from neurodata.readers.fif_tags import (
    ANNOTATIONS,
    BLOCK_START,
    CHANNEL,
    DATA_BLOCKS,
    DATA_BUFFER,
    DATA_SKIP,
    DATA_SKIP_SAMPLES,
    EPOCHS,
    FIRST_SAMPLE,
    LONG_NAME,
    LONG_NAMES,
    NEXT,
    PREVIOUS,
    SHIELDED,
    Part,
    Tag,
    is_fif,
    mapped,
    part_of,
    refusal,
)
from neurodata.readers.mne_raw import (
    Places,
    Source,
    annotations_of,
    channels_of,
    nodes_of,
    note_compensation,
    root_of,
    tree_of,
)
from neurodata.safe import Raw
from neurodata.safe_mne import handed

SUFFIXES = (".fif",)
EXTRA = "eeg"

PARTS_LIMIT = 1000
# what else a file may hold, by its blocks
OTHERS = {
    104: "averages (evoked)", 374: "an independent component analysis", 356: "an inverse solution",
    352: "a forward solution", 351: "a source space", 355: "a covariance", 310: "a boundary model",
    122: "epochs of an old form", 361: "events", 313: "projections", 107: "digitised points",
}  # fmt: skip
_DTYPES = {2: ">i2", 16: ">i2", 3: ">i4", 4: ">f4", 5: ">f8"}  # short, packed, int, float, double


@dataclass(frozen=True)
class Buffers:
    """Where the samples of one file are: each buffer (time, channel) at a byte of the file.

    Parameters
    ----------
    firsts : tuple of int
        First sample of each buffer in the whole recording, and one past the last.
    starts : tuple of int
        Byte at which each buffer begins.
    """

    path: Path
    channels: int
    dtype: str
    firsts: tuple[int, ...]
    starts: tuple[int, ...]

    def fill(self, out: npt.NDArray[Any], places: Places, first: int) -> None:
        """Put the samples from ``first`` on into ``out`` (time, channel), where they are."""
        last, data = first + len(out), mapped(self.path)
        at = max(0, bisect_right(self.firsts, first) - 1)
        for i in range(at, len(self.starts)):
            low, high = max(first, self.firsts[i]), min(last, self.firsts[i + 1])
            if low >= high:
                if self.firsts[i] >= last:
                    break
                continue
            row = self.channels * np.dtype(self.dtype).itemsize
            begin = self.starts[i] + (low - self.firsts[i]) * row
            rows = data[begin : begin + (high - low) * row].view(self.dtype)
            out[low - first : high - first] = rows.reshape(-1, self.channels)[:, list(places)]


def sniff(head: bytes, path: Path) -> bool:
    """Tell FIF by its first two tags, the file's identity and the place of its directory."""
    return is_fif(head)


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the file, the further files of a split recording, and the BIDS side-cars."""
    names = {other.name: other for other in folder if other.parent == path.parent}
    parts = [path]
    while len(parts) < PARTS_LIMIT:
        try:
            following = names.get(part_of(parts[-1]).reference(NEXT))
        except NeurodataError:  # read refuses it
            break
        if following is None or following in parts:
            break
        parts.append(following)
    return (*parts, *bids.sidecars(path, folder))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a FIF recording or its epochs as nodes by channel type, with annotations and events.

    Integers are kept as counts with scale and offset; floats are in SI units. Times count from
    the first sample. Data are as stored: no compensation or projection is applied or taken back.

    Raises
    ------
    UnreadableError
        When the file is cut, contradicts itself or its side-cars, holds neither a raw recording
        nor epochs, or a part of a split recording is missing.
    UnsafeError
        When a part is named outside of the recording's files.
    MissingFactError
        When a unit is missing or unknown and not declared.
    """
    mne = need("mne", EXTRA)
    parts = _parts(raw)
    infos = [_info(mne, raw, part) for part in parts]
    info = infos[0]
    for part, other in zip(parts[1:], infos[1:], strict=True):
        _require_same(part, info, other)
    if _epochs(parts[0]):
        return read_epochs(parts, info, raw, declare)
    source, clock, first = _samples(parts, info, raw)
    clock.require(raw.name)
    bids.require_clock(raw, declare, clock.rate_hz, clock.n)
    channels = channels_of(info, raw, declare)
    nodes = nodes_of(info, channels, clock, source, raw)
    _note_processing(parts, info, raw)
    end_s = float(clock.at(clock.n))
    found = None
    if any(tag.blocks[-1:] == (ANNOTATIONS,) for tag in parts[0].tags):
        with handed(raw.name, {"a_raw.fif": parts[0].header()}) as folder:
            stated = mne.read_annotations(folder / "a_raw.fif")
        start, first_s = info["meas_date"], first / clock.rate_hz
        found = annotations_of(stated, start, first_s, end_s, raw)
        if found is not None:
            label = remarks.passed(found["label"].values.tolist(), raw, declare)
            found["label"] = ("interval", text_array(label))
    return tree_of(root_of(info, channels, raw, declare), nodes, found, end_s, raw)


# ---- parts


def _parts(raw: Raw) -> list[Part]:
    parts = [part_of(raw.main)]
    if before := re.split(r"[\\/]", parts[0].reference(PREVIOUS))[-1]:  # MNE writes a whole path
        raise UnreadableError(
            raw.name, f"a later part of a split recording; {before!r} is missing",
            "all parts in one folder", f"put {before!r} beside it",
        )  # fmt: skip
    while name := parts[-1].reference(NEXT):
        path = _part(raw, name)
        if path in [part.path for part in parts] or len(parts) > PARTS_LIMIT:
            raise refusal(path, 0, f"a chain of parts that comes back to {name!r}", "an end")
        parts.append(part_of(path))
    return parts


def _part(raw: Raw, name: str) -> Path:
    try:
        return raw.sibling(name)
    except UnsafeError as error:
        if Path(name).name != name or name in ("", ".", ".."):
            raise
        raise UnreadableError(
            raw.name, f"a split recording whose part {name!r} is missing",
            "all parts in one folder, under the names they were saved with",
            f"put {name!r} beside it; after renaming, save the recording again",
        ) from error  # fmt: skip


def _info(mne: Any, raw: Raw, part: Part) -> Any:
    name = part.path.name
    blocks = {tag.blocks[-1]: tag for tag in part.tags if tag.kind == BLOCK_START}
    count = sum(t.kind == BLOCK_START and t.blocks[-1] in (*DATA_BLOCKS, EPOCHS) for t in part.tags)
    if count != 1:
        other = next((text for block, text in OTHERS.items() if block in blocks), "no data")
        found = f"{count} blocks of data" if count else f"{other} and no block of data"
        expected = "one, a raw recording's or of epochs"
        raise UnreadableError(name, found, expected, "ingest the recording that it was made from")
    names = [label for tag in part.tags if (label := _name(part, tag))]
    if twice := sorted({label for label in names if names.count(label) > 1}):
        raise refusal(part.path, 0, f"channels named twice: {twice}", "a name for each")
    with handed(name, {"a_raw.fif": part.header()}) as folder:
        return mne.io.read_info(folder / "a_raw.fif", verbose="error")


def _epochs(part: Part) -> bool:
    return any(tag.blocks[-1:] == (EPOCHS,) for tag in part.tags)


def _name(part: Part, tag: Tag) -> str:
    """Return the name in a tag about a channel; MNE would number those that come twice."""
    long = any(LONG_NAMES in other.blocks for other in part.tags)
    if long and tag.kind == LONG_NAME and tag.blocks[-1:] == (LONG_NAMES,):
        return part.bytes_of(tag).decode("latin-1")
    if long or tag.kind != CHANNEL:
        return ""
    return part.bytes_of(tag)[80:96].partition(b"\0")[0].decode("latin-1")


def _require_same(part: Part, info: Any, other: Any) -> None:
    def facts(one: Any) -> list[Any]:
        return [one["sfreq"], *((c["ch_name"], c["range"], c["cal"]) for c in one["chs"])]

    if facts(info) != facts(other):
        raise refusal(part.path, 0, "another rate or other channels", "those of the first part")


# ---- samples


def _samples(parts: Sequence[Part], info: Any, raw: Raw) -> tuple[Source, Clock, int]:
    """Return where the samples are, their clock, and the number of the first since the start."""
    count, rate_hz = len(info["chs"]), float(info["sfreq"])
    files: list[Buffers] = []
    stretches: list[tuple[int, int]] = []
    zero = expected = 0
    for number, part in enumerate(parts):
        buffers, gaps, first = _buffers(part, count, files[-1].firsts[-1] if files else 0)
        if number == 0:
            zero = gaps[0][1]
        elif first != expected:
            found = f"sample {first} as the first"
            raise refusal(part.path, 0, found, f"{expected}, where the part before ends")
        if files and buffers.dtype != files[0].dtype:
            raise refusal(part.path, 0, f"samples as {buffers.dtype}", files[0].dtype)
        stretches += gaps
        files.append(buffers)
        n, at = gaps[-1]
        expected = at + buffers.firsts[-1] - n
    starts = [(0, 0.0)]
    for (n, at), (before, before_at) in zip(stretches[1:], stretches, strict=False):
        if at - before_at != n - before:
            starts.append((n, (at - zero) / rate_hz))
    if len(starts) > 1:
        raw.note("data", f"{len(starts) - 1} gaps, kept as found in the coordinate time")
    total = files[-1].firsts[-1]
    dtype = np.dtype(files[0].dtype)
    return Source(total, dtype, partial(_block, tuple(files))), Clock(rate_hz, total, starts), zero


def _buffers(part: Part, channels: int, begin: int) -> tuple[Buffers, list[tuple[int, int]], int]:
    """Return the buffers of a part, where stretches begin, and the first sample it states.

    A stretch is a sample of the recording and its number since the measurement's start.
    """
    tags = [tag for tag in part.tags if tag.blocks[-1:] and tag.blocks[-1] in DATA_BLOCKS]
    data = [tag for tag in tags if tag.kind == DATA_BUFFER]
    types = {tag.type for tag in data}
    if len(types) != 1 or not types <= set(_DTYPES):
        found = f"buffers of the types {sorted(types)}" if types else "no data"
        raise refusal(part.path, 0, found, "buffers of one type: 16 or 32 bits, float, double")
    dtype = _DTYPES[types.pop()]
    row = channels * np.dtype(dtype).itemsize
    stated = at = next((part.integer(tag) for tag in tags if tag.kind == FIRST_SAMPLE), 0)
    n = begin
    firsts, gaps = [begin], list[tuple[int, int]]()
    skips: list[Tag] = []
    for tag in tags:
        if tag.kind in (DATA_SKIP, DATA_SKIP_SAMPLES):
            skips.append(tag)
        if tag.kind != DATA_BUFFER:
            continue
        if tag.size % row or not tag.size:
            found = f"a buffer of {tag.size} bytes"
            raise refusal(part.path, tag.start, found, f"a multiple of {row} for {channels} rows")
        length = tag.size // row
        skipped = sum(_skip(part, skip, length) for skip in skips)
        at += skipped
        if skipped or not gaps:
            gaps.append((n, at))
        skips, n, at = [], n + length, at + length
        firsts.append(n)
    buffers = Buffers(part.path, channels, dtype, tuple(firsts), tuple(tag.start for tag in data))
    return buffers, gaps, stated


def _skip(part: Part, tag: Tag, length: int) -> int:
    """Return how many samples a tag skips; most count buffers as long as the one that follows."""
    count = part.integer(tag)
    if count < 0:
        raise refusal(part.path, tag.start, f"a gap of {count}", "0 or more")
    return count if tag.kind == DATA_SKIP_SAMPLES else count * length


def _block(files: tuple[Buffers, ...], places: Places, first: int, last: int) -> npt.NDArray[Any]:
    """Return samples as stored, (time, channel)."""
    out = np.empty((last - first, len(places)), np.dtype(files[0].dtype).newbyteorder("="))
    for buffers in files:
        low, high = max(first, buffers.firsts[0]), min(last, buffers.firsts[-1])
        if low < high:
            buffers.fill(out[low - first : high - first], places, low)
    return out


def _note_processing(parts: Sequence[Part], info: Any, raw: Raw) -> None:
    if any(SHIELDED in tag.blocks for tag in parts[0].tags):
        raw.warn(
            "data", "recorded with active shielding, whose own signals are in the data",
            "data after signal-space separation", "run MaxFilter or mne.preprocessing",
        )  # fmt: skip
    note_compensation(info, raw)
