"""Recordings of MNE-Python."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurodata.errors import InvalidInputError

if TYPE_CHECKING:
    import mne

MNE_TYPES = {
    "EEG": "eeg", "ECOG": "ecog", "SEEG": "seeg", "DBS": "dbs", "EOG": "eog", "ECG": "ecg",
    "EMG": "emg", "RESP": "resp", "TRIG": "stim", "MEGMAG": "mag", "MEGGRADPLANAR": "grad",
    "MEGGRADAXIAL": "mag", "GSR": "gsr", "TEMP": "temperature",
}  # fmt: skip


def from_mne(recording: mne.io.BaseRaw) -> xr.DataTree:
    """Return an MNE recording as a recording in raw form, lazily if it is not loaded.

    Channels go to nodes by type (``eeg``, ``meg``, ``ieeg``, ``physio``, ``misc``) with their
    units; annotations count from the first sample. Names, dates and descriptions stay behind.

    Raises
    ------
    MissingFactError
        When a channel's unit is none that MNE has a code for.

    Examples
    --------
    >>> import mne
    >>> info = mne.create_info(["Cz"], 100.0, "eeg")
    >>> tree = from_mne(mne.io.RawArray(np.zeros((1, 50)), info, verbose=False))
    >>> dict(tree["eeg"]["signal"].sizes), tree.attrs["modality"]
    ({'time': 50, 'channel': 1}, 'eeg')
    """
    from neurodata.readers import mne_raw
    from neurodata.readers.channels import Channel, Clock, lazily, timeseries
    from neurodata.units import to_si

    info, bads = recording.info, set(recording.info["bads"])
    channels = []
    for ch in info["chs"]:
        name, kind = str(ch["ch_name"]), mne_raw.kind_of(ch)
        stated = mne_raw.UNITS.get(int(ch["unit"]), "1" if kind == "TRIG" else "")
        status = ("bad" if name in bads else "good") if bads else ""
        symbol = to_si(stated, "from_mne", name).symbol
        channels.append(Channel(name, kind, symbol, 1.0, status=status))
    n, rate_hz = len(recording.times), float(info["sfreq"])
    nodes: dict[str, xr.Dataset] = {}
    for node in dict.fromkeys(map(mne_raw.node_of, channels)):
        places = [at for at, channel in enumerate(channels) if mne_raw.node_of(channel) == node]
        data = lazily(n, 1, len(places), np.dtype("f8"), partial(_samples, recording, places))
        clock = Clock(rate_hz, n)
        nodes[node] = timeseries(data, [channels[at] for at in places], clock)
    if len(recording.annotations):
        nodes["annotations"] = _intervals(recording)
    modality = "meg" if "meg" in nodes else "ieeg" if "ieeg" in nodes else "eeg"
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": modality}), **nodes})


def _samples(recording: mne.io.BaseRaw, places: list[int], first: int, last: int) -> Any:
    return recording.get_data(picks=places, start=first, stop=last).T


def _intervals(recording: mne.io.BaseRaw) -> xr.Dataset:
    from neurodata.readers.intervals import intervals

    found = recording.annotations
    shift_s = recording.first_time if found.orig_time is not None else 0.0
    labels = [str(text) for text in found.description]
    return intervals(np.asarray(found.onset) - shift_s, list(found.duration), labels)


def to_mne(tree: xr.DataTree, node: str = "eeg") -> mne.io.RawArray:
    """Return a node of channels on a regular clock as an MNE recording, in memory.

    The ``annotations`` and ``events`` of the recording become annotations; bad channels stay bad.

    Raises
    ------
    InvalidInputError
        When the node is none of channels, or its clock is irregular.
    """
    import mne

    if node not in tree.children or "signal" not in tree[node]:
        known = ", ".join(tree.children)
        raise InvalidInputError(f"to_mne({node!r})", "no node of channels", known)
    data = tree[node].to_dataset()
    if "rate_hz" not in data.attrs:
        raise InvalidInputError(f"to_mne({node!r})", "an irregular clock", "a regular one")
    names = [str(name) for name in data["channel"].values]
    kinds = [MNE_TYPES.get(str(kind), "misc") for kind in data["type"].values]
    info = mne.create_info(names, float(data.attrs["rate_hz"]), kinds, verbose="error")
    if "status" in data:
        bad = data["status"].values.astype(str) == "bad"
        info["bads"] = [name for name, is_bad in zip(names, bad, strict=True) if is_bad]
    values = data["signal"].transpose("channel", "time").to_numpy().astype("f8")
    made = mne.io.RawArray(values, info, verbose="error")
    start_s = float(data.attrs["start_s"])
    for name in ("annotations", "events"):
        if name in tree.children:
            found = tree[name].to_dataset()
            duration_s = np.nan_to_num(found["duration_s"].values)
            labels = found["label"].values.astype(str)
            made.annotations.append(found["start_s"].values - start_s, duration_s, labels)
    return made
