"""Folders of phy and Kilosort: spike times and clusters as NPY, facts in params.py and TSV tables.

``params.py`` is parsed as literals and never run. Times are counted in samples there; clusters are
the units, and each keeps what the tables say of it. The raw recording is not read.

References
----------
https://phy.readthedocs.io/en/latest/sorting_user_guide/#dataset-description
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import UnreadableError
from neurodata.readers.channels import MAX_RATE_HZ
from neurodata.readers.delimited import is_number, text_array
from neurodata.readers.personal_keys import kinds_of
from neurodata.readers.spike_rows import (
    BLOCK_SPIKES,
    UNIT_LIMIT,
    Block,
    declared_span_s,
    grouped,
    spikes,
)
from neurodata.safe import Raw
from neurodata.safe_npy import mapped

SUFFIXES = ("params.py",)
EXTRA = ""  # needs no optional package
PARAMS_BYTES = 2**16
LAST_SAMPLE, LAST_CLUSTER = 2**53, 2**31 - 1
TIMES, CLUSTERS, OF_TEMPLATES = "spike_times.npy", "spike_clusters.npy", "spike_templates.npy"
ARRAYS = (
    TIMES, CLUSTERS, OF_TEMPLATES, "templates.npy", "amplitudes.npy", "channel_map.npy",
    "channel_positions.npy", "channel_shanks.npy", "templates_ind.npy", "template_ind.npy",
    "similar_templates.npy", "whitening_mat.npy", "whitening_mat_inv.npy", "whitening_mat_dat.npy",
    "pc_features.npy", "pc_feature_ind.npy", "template_features.npy", "template_feature_ind.npy",
    "spike_positions.npy", "spike_detection_templates.npy", "kept_spikes.npy", "ops.npy",
    "templates_unw.npy", "features.npy", "_phy_spikes_subset.waveforms.npy",
    "_phy_spikes_subset.spikes.npy", "_phy_spikes_subset.channels.npy",
)  # fmt: skip
READ = (TIMES, CLUSTERS, OF_TEMPLATES, "templates.npy", "amplitudes.npy", "channel_map.npy")
# Columns of the tables that say something of a cluster and nothing of a person.
TEXTS = ("group", "KSLabel")
NUMBERS = ("Amplitude", "ContamPct", "amp", "ch", "depth", "fr", "n_spikes", "sh", "shank")
_PARAMETER = re.compile(rb"^[ \t]*(dat_path|n_channels_dat|sample_rate)[ \t]*=", re.MULTILINE)
Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Stored:
    """The arrays of a folder, one item a spike.

    Parameters
    ----------
    sample, cluster : integer array (spike,)
        Time in samples, and number of the cluster.
    columns : mapping of str to array (spike,)
        What else is known of each spike.
    """

    sample: Values
    cluster: Values
    columns: dict[str, Values]


def sniff(head: bytes, path: Path) -> bool:
    """Tell params.py by the names that phy needs in it.

    Examples
    --------
    >>> sniff(b"dat_path = 'a.dat'\\nn_channels_dat = 4\\nsample_rate = 3e4\\n", Path("params.py"))
    True
    """
    if b"\0" in head:
        return False
    return {b"dat_path", b"sample_rate"} <= set(_PARAMETER.findall(head))


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return params.py and the arrays and tables beside it; also the raw recording if there."""
    beside = [p for p in folder if p != path and p.parent == path.parent]
    raw_names = _raw_names(_literals(safe.head(path, PARAMS_BYTES)))
    found = [
        p
        for p in beside
        if p.name in ARRAYS
        or p.name in raw_names
        or re.fullmatch(r"cluster_\w+\.(tsv|csv)", p.name)
    ]
    return (path, *sorted(found))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a sorted recording as the node ``spikes``, its clusters as units.

    Columns are ``group`` and what else the tables say of a cluster, ``peak_channel`` (where the
    template of most of its spikes is largest) and, for each spike, ``template`` and ``amplitude``.

    Raises
    ------
    UnreadableError
        When arrays, tables and parameters contradict each other, or anything is damaged.
    MissingFactError
        When the rate is neither stated nor declared.
    """
    facts = _facts(raw)
    rate_hz = _rate_hz(raw, facts, declare)
    stored = _stored(raw)
    ids, counts = _clusters(stored, raw)
    dtypes = {key: values.dtype.newbyteorder("=") for key, values in stored.columns.items()}
    found = grouped(counts, _blocks(raw, stored, ids, rate_hz), dtypes)
    units = _tables(raw, ids, counts)
    if (peaks := _peaks(raw, found.columns.get("template"), found.splits)) is not None:
        units["peak_channel"] = peaks
    span_s = declared_span_s(declare) or _span_s(raw, facts, rate_hz)
    node = spikes(found, [str(one) for one in ids], raw, span_s, units)
    left = sorted(p.name for p in raw.files if p.name in ARRAYS and p.name not in READ)
    if left:
        raw.note("", f"left out: {', '.join(left)}", "", "they are not read")
    raw.note("params.py", f"removed: {kinds_of(set(facts) - {'sample_rate'})}")
    tree = xr.DataTree.from_dict({"spikes": node})
    tree.attrs = {"modality": "spikes"}
    return tree


# params.py


def _facts(raw: Raw) -> dict[str, Any]:
    facts = _literals(safe.read_bytes(raw.main, PARAMS_BYTES))
    if facts is None:
        raise UnreadableError(
            raw.name, "lines that are not NAME = LITERAL", "numbers, texts and lists alone",
            "write the values themselves; the file is not run",
        )  # fmt: skip
    return facts


def _literals(source: bytes) -> dict[str, Any] | None:
    """Return the assigned literals of a Python text, or None when there is anything else."""
    facts: dict[str, Any] = {}
    try:
        for line in ast.parse(source).body:
            target = line.targets[0] if isinstance(line, ast.Assign) else None
            if not isinstance(line, ast.Assign) or len(line.targets) != 1:
                return None
            if not isinstance(target, ast.Name) or target.id in facts:
                return None
            facts[target.id] = ast.literal_eval(line.value)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return None
    return facts


def _rate_hz(raw: Raw, facts: Mapping[str, Any], declare: Declared) -> float:
    if "sample_rate" not in facts or declare.number("rate_hz") is not None:
        return declare.need_number("rate_hz", raw.name, "no sample_rate", "<Hz>")
    value = facts["sample_rate"]
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if not plain or not (math.isfinite(value) and 0 < value <= MAX_RATE_HZ):
        raise UnreadableError(
            raw.name, f"sample_rate = {value!r}"[:80], "samples a second, up to 1e6", "correct it"
        )
    return float(value)


def _raw_names(facts: Mapping[str, Any] | None) -> set[str]:
    """Return the base names of the raw recording; a path itself is never opened."""
    stated = (facts or {}).get("dat_path")
    paths = stated if isinstance(stated, list | tuple) else [stated]
    return {PureWindowsPath(path).name for path in paths if isinstance(path, str)}


def _span_s(raw: Raw, facts: Mapping[str, Any], rate_hz: float) -> tuple[float, float] | None:
    """Return the raw recording's span by its size, if it lies beside params.py."""
    own = [p for p in raw.files[1:] if p.name in _raw_names(facts)]
    channels, offset = facts.get("n_channels_dat"), facts.get("offset", 0)
    try:
        width = np.dtype(str(facts.get("dtype"))).itemsize
    except TypeError:
        return None
    if len(own) != 1 or type(channels) is not int or channels < 1 or type(offset) is not int:
        return None
    samples, rest = divmod(own[0].stat().st_size - offset, channels * width)
    if rest or samples < 1:
        raise UnreadableError(
            f"{raw.name}: {own[0].name}", f"{own[0].stat().st_size} bytes",
            f"samples of {channels} channels of {width} bytes", "copy it again",
        )  # fmt: skip
    return 0.0, samples / rate_hz


# arrays


def _stored(raw: Raw) -> Stored:
    sample = _array(raw, TIMES, "iu")
    template = _array(raw, OF_TEMPLATES, "iu", sample.size) if _has(raw, OF_TEMPLATES) else None
    if _has(raw, CLUSTERS):
        cluster = _array(raw, CLUSTERS, "iu", sample.size)
    elif template is not None:
        raw.note(CLUSTERS, "none; the templates are the clusters, as in phy")
        cluster = template
    else:
        raise UnreadableError(raw.name, f"no {CLUSTERS}", "a cluster of each spike", "copy it in")
    columns: dict[str, Values] = {}
    if template is not None:
        columns["template"] = template
    if _has(raw, "amplitudes.npy"):
        columns["amplitude"] = _array(raw, "amplitudes.npy", "f", sample.size)
    return Stored(sample, cluster, columns)


def _has(raw: Raw, name: str) -> bool:
    return raw.find(lambda path: path.name == name) is not None


def _array(raw: Raw, name: str, kinds: str, size: int | None = None) -> Values:
    """Return an array of one item a spike, (spike,) or (spike, 1)."""
    path = raw.find(lambda path: path.name == name)
    if path is None:
        raise UnreadableError(raw.name, f"no {name}", "it beside params.py", "copy it in")
    array = mapped(path)
    flat = array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)
    if not flat or array.dtype.kind not in kinds or size not in (None, array.shape[0]):
        wanted = "whole numbers" if kinds == "iu" else "numbers"
        raise UnreadableError(
            f"{raw.name}: {name}", f"{array.dtype} of shape {array.shape}",
            f"{'' if size is None else size} {wanted}, one a spike".strip(),
            "export the sorting again",
        )  # fmt: skip
    return array.reshape(-1)


def _require(raw: Raw, name: str, values: Values, most: int) -> None:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > most:
        raise UnreadableError(
            f"{raw.name}: {name}",
            f"numbers from {low} to {high}",
            f"0 to {most}",
            "export it again",
        )


def _clusters(stored: Stored, raw: Raw) -> tuple[Values, npt.NDArray[np.int64]]:
    """Return the numbers of the clusters in order, and how many spikes each has."""
    counts: dict[int, int] = {}
    for first in range(0, stored.cluster.size, BLOCK_SPIKES):
        part = np.asarray(stored.cluster[first : first + BLOCK_SPIKES])
        _require(raw, CLUSTERS, part, LAST_CLUSTER)
        for one, count in zip(*(v.tolist() for v in np.unique_counts(part)), strict=True):
            counts[one] = counts.get(one, 0) + count
        if len(counts) > UNIT_LIMIT:
            raise UnreadableError(raw.name, f"over {UNIT_LIMIT} clusters", "fewer", "check it")
    ids = sorted(counts)
    return np.array(ids), np.array([counts[one] for one in ids], "int64")


def _blocks(raw: Raw, stored: Stored, ids: Values, rate_hz: float) -> Iterator[Block]:
    for first in range(0, stored.sample.size, BLOCK_SPIKES):
        part = slice(first, first + BLOCK_SPIKES)
        _require(raw, TIMES, stored.sample[part], LAST_SAMPLE)
        times = stored.sample[part].astype("f8") / rate_hz
        columns = {key: np.asarray(values[part]) for key, values in stored.columns.items()}
        yield np.searchsorted(ids, stored.cluster[part]), {"time_s": times, **columns}


def _peaks(
    raw: Raw, template: Values | None, splits: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64] | None:
    """Return the channel where each unit's most frequent template is largest, peak to peak."""
    path = raw.find(lambda path: path.name == "templates.npy")
    sparse = raw.find(lambda path: path.name in ("templates_ind.npy", "template_ind.npy"))
    if path is None or template is None:
        return None
    shapes = mapped(path)
    _require(raw, OF_TEMPLATES, template, LAST_CLUSTER)
    if shapes.ndim != 3 or shapes.dtype.kind != "f" or int(template.max()) >= shapes.shape[0]:
        raise UnreadableError(
            f"{raw.name}: {path.name}", f"{shapes.dtype} of shape {shapes.shape}",
            f"a (sample, channel) template for each of 0 to {template.max()}", "export it again",
        )  # fmt: skip
    raw.note(path.name, "templates: only their largest channels are kept")
    largest = np.array([int(np.ptp(shape, axis=0).argmax()) for shape in shapes])
    if sparse is not None:
        columns = mapped(sparse)
        if columns.shape != (shapes.shape[0], shapes.shape[2]) or columns.dtype.kind not in "iuf":
            found = f"shape {columns.shape}"
            raise UnreadableError(f"{raw.name}: {sparse.name}", found, "as templates.npy", "")
        largest = np.asarray(columns[np.arange(len(largest)), largest]).astype("int64")
    main = [int(np.bincount(template[a:b]).argmax()) for a, b in pairwise(splits)]
    return _mapped_channels(raw, largest[main])


def _mapped_channels(raw: Raw, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the channels of the raw recording that rows of templates stand for."""
    path = raw.find(lambda path: path.name == "channel_map.npy")
    if path is None:
        return rows
    channels = mapped(path).reshape(-1)
    if channels.dtype.kind not in "iuf" or not 0 <= rows.min() <= rows.max() < channels.size:
        found = f"{channels.size} channels of {channels.dtype}"
        expected = f"one for each of rows 0 to {rows.max()}"
        raise UnreadableError(f"{raw.name}: {path.name}", found, expected, "export it again")
    return np.asarray(channels[rows]).astype("int64")


# tables


def _tables(raw: Raw, ids: Values, counts: npt.NDArray[np.int64]) -> dict[str, Values]:
    """Return the tables' columns on units; a cluster that none lists has "" and NaN."""
    found: dict[str, Values] = {}
    left: set[str] = set()
    tables = [p for p in raw.files[1:] if p.suffix in (".tsv", ".csv")]
    for path in sorted(tables, key=lambda p: p.name != "cluster_info.tsv"):
        table = safe.read_table(path, "\t" if path.suffix == ".tsv" else ",")
        key = next((name for name in ("cluster_id", "id") if name in table), None)
        if key is None or not all(re.fullmatch(r"\d{1,18}", cell) for cell in table[key]):
            raise UnreadableError(
                f"{raw.name}: {path.name}", f"columns {list(table.columns)}"[:200],
                "a column cluster_id of whole numbers", "export the sorting again",
            )  # fmt: skip
        rows = [int(cell) for cell in table[key]]
        if len(set(rows)) < len(rows):
            raise UnreadableError(f"{raw.name}: {path.name}", "a cluster twice", "each once", "")
        for name in [str(column) for column in table if column != key]:
            cells = dict(zip(rows, table[name], strict=True))
            if name in TEXTS:
                found[name] = text_array([cells.get(int(one), "") for one in ids])
            elif name in NUMBERS:
                found[name] = np.array([_number(cells.get(int(one), "")) for one in ids])
            else:
                left.add(name)
    if left:
        raw.note("tables", f"columns removed: {kinds_of(left)}", ", ".join(TEXTS + NUMBERS))
    stated = found.pop("n_spikes", None)
    if stated is not None and (np.isfinite(stated) & (stated != counts)).any():
        wrong = int((np.isfinite(stated) & (stated != counts)).sum())
        raw.warn("cluster_info.tsv", f"{wrong} clusters with another n_spikes", "the arrays' own")
    return found


def _number(cell: str) -> float:
    return float(cell) if is_number(cell) else math.nan
