"""Tasks on time axes: forecasting of signals, counts and volumes, and decoding of a signal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader import NextWindow, Node, Patches, SpikeBins, Windows
from neurodata.models import Array, gathered
from neurodata.scoring.sides import Sides, blocks_of_time, loaders, require_observed
from neurodata.splits import Split
from neurodata.store import Store

Band = Sequence[float]


def _following(batch: dict[str, Any]) -> dict[str, Any]:
    """Make the window ``x (batch, channel, time)``, and the horizon's last sample ``y``."""
    require_observed(batch["mask"], batch["target_mask"])
    return {**batch, "x": batch["signal"], "y": batch["target"][:, :, -1]}


def forecast(
    store: Store,
    split: Split,
    node: str | None,
    seed: int,
    *,
    length_s: float,
    horizon_s: float,
    stride_s: float | None = None,
    resample_hz: float | None = None,
) -> Sides:
    """Forecast all channels ``horizon_s`` after a window, in training standard deviations.

    An irregular clock is interpolated to ``resample_hz``. A horizon of two samples or more then
    keeps what is forecast out of the window; a rate under the recording's own would let the
    anti-aliasing filter carry the future into the window, and is refused.

    Raises
    ------
    InvalidInputError
        When ``resample_hz`` needs a filter.
    """
    sample = Windows(length_s, stride_s, node)
    made = loaders(
        store, split, sample, _following, seed,
        target=NextWindow(horizon_s), standardise=True, resample_hz=resample_hz,
    )  # fmt: skip
    _refuse_filter(store, split, node, resample_hz, horizon_s)
    return Sides(
        made["train"],
        made.get("val"),
        made["test"],
        "skill",
        blocks_of_time(length_s + horizon_s),
        "windows",
        reference="persistence",
        mse_units="of the training variance",
        window_s=length_s,
        horizon_s=horizon_s,
    )


def _refuse_filter(
    store: Store, split: Split, node: str | None, resample_hz: float | None, horizon_s: float
) -> None:
    if resample_hz is None:
        return
    for item in split.assignments:
        summary = store.manifest(f"{item['id']}@{item['version']}")["summary"]
        known = summary[node] if node else next(s for s in summary.values() if "n" in s)
        rate_hz = known.get("rate_hz") or (known["n"] - 1) / (known["stop_s"] - known["start_s"])
        if abs(resample_hz / rate_hz - 1) > 0.05 or horizon_s * resample_hz < 1.5:
            raise InvalidInputError(
                f"forecast: {item['id']}",
                f"resample_hz={resample_hz:g}, horizon_s={horizon_s:g} at {rate_hz:.4g} Hz",
                "the recording's own rate and a horizon of two samples or more",
                "filters and interpolation see the next samples",
            )


def forecast_counts(
    store: Store,
    split: Split,
    node: str | None,
    seed: int,
    *,
    bin_s: float,
    length_s: float,
    stride_s: float | None = None,
) -> Sides:
    """Forecast the spike counts of all units in the bin after a window."""
    sample = SpikeBins(bin_s, length_s, stride_s, node)
    made = loaders(store, split, sample, _following, seed, target=NextWindow(bin_s))
    return Sides(
        made["train"],
        made.get("val"),
        made["test"],
        "skill",
        blocks_of_time(length_s + bin_s),
        "windows",
        reference="mean rate",
        mse_units="count²",
        window_s=length_s,
        horizon_s=bin_s,
    )


def forecast_volumes(
    store: Store,
    split: Split,
    node: str | None,
    seed: int,
    *,
    lags: int,
    block_zyx: tuple[int, int, int],
    dummy_volumes: int = 0,
) -> Sides:
    """Forecast the next volume from the last ``lags``, as means of blocks of voxels.

    Each block's mean is taken in units of its standard deviation in training. The first
    ``dummy_volumes`` of a recording, before the steady state, are left out.
    """
    sample = Patches(block_zyx, node=node)
    made = loaders(store, split, sample, _block_means, seed)
    training = _series(gathered(made["train"]), dummy_volumes)
    scales = {key: (values.mean(), values.std()) for key, (_, values) in training.items()}
    sides = {
        name: _lagged(_series(gathered(loader), dummy_volumes), scales, lags)
        for name, loader in made.items()
    }
    step_s = max(float(np.diff(start_s).max()) for start_s, _ in training.values())
    return Sides(
        [sides["train"]],
        [sides["val"]] if "val" in sides else None,
        [sides["test"]],
        "skill",
        blocks_of_time((lags + 1) * step_s),
        "means of blocks of voxels",
        reference="persistence",
        mse_units="of the training variance",
        window_s=lags * step_s,
        horizon_s=step_s,
    )


def _block_means(batch: dict[str, Any]) -> dict[str, Any]:
    require_observed(batch["mask"])
    means = batch["image"].mean(axis=(1, 2, 3, 4), dtype="f8")
    return {**batch, "x": batch["corner_zyx"], "y": means}


Series = Mapping[tuple[int, ...], tuple[Array, Array]]


def _series(found: Mapping[str, Array], dummy_volumes: int) -> Series:
    """Return times and means of each block of voxels, by recording and corner."""
    keys = np.column_stack([found["recording"], found["corner_zyx"]])
    series = {}
    for key in np.unique(keys, axis=0):
        own = (keys == key).all(axis=1)
        order = np.argsort(found["start_s"][own])
        start_s, values = found["start_s"][own][order], found["y"][own][order]
        first = dummy_volumes if start_s[0] == 0 else 0
        series[tuple(map(int, key))] = (start_s[first:], values[first:])
    return series


def _lagged(
    series: Series, scales: Mapping[tuple[int, ...], tuple[float, float]], lags: int
) -> dict[str, Array]:
    """Return ``x (example, 1, lag)`` and ``y (example, 1)``, standardised; flat blocks left out."""
    parts = []
    for key, (start_s, values) in series.items():
        mean, std = scales[key]
        if std > 0:
            windows = np.lib.stride_tricks.sliding_window_view((values - mean) / std, lags + 1)
            parts.append((windows, start_s[: len(windows)], np.full(len(windows), key[0])))
    windows, start_s, recording = (np.concatenate(part) for part in zip(*parts, strict=True))
    return {
        "x": windows[:, None, :-1],
        "y": windows[:, -1:],
        "start_s": start_s,
        "recording": recording,
    }


def regression(
    store: Store,
    split: Split,
    node: str | None,
    seed: int,
    *,
    target_node: str,
    length_s: float,
    bands_hz: Sequence[Band],
    stride_s: float | None = None,
) -> Sides:
    """Decode the value of another signal at the end of a window from band powers.

    ``x (batch, channel × band)`` is the logarithm of the power of each channel in each band
    ``[low, high)``, by the Fourier transform of the window under a Hann taper.
    """

    def features(batch: dict[str, Any]) -> dict[str, Any]:
        require_observed(batch["mask"], batch["target_mask"])
        powers = _log_powers(batch["signal"], batch["rate_hz"], bands_hz)
        return {**batch, "x": powers, "y": batch["target"][:, 0, -1]}

    sample = Windows(length_s, stride_s, node)
    made = loaders(store, split, sample, features, seed, target=Node(target_node))
    return Sides(
        made["train"],
        made.get("val"),
        made["test"],
        "skill",
        blocks_of_time(length_s),
        "windows",
        reference="training mean",
        window_s=length_s,
    )


def _log_powers(signal: Array, rate_hz: float, bands_hz: Sequence[Band]) -> Array:
    count = signal.shape[-1]
    tapered = (signal - signal.mean(axis=-1, keepdims=True)) * np.hanning(count)
    power = np.abs(np.fft.rfft(tapered)) ** 2
    hz = np.fft.rfftfreq(count, 1 / rate_hz)
    parts = []
    for low, high in bands_hz:
        inside = (hz >= low) & (hz < high)
        if not inside.any() or high > rate_hz / 2:
            raise InvalidInputError(
                "bands_hz",
                f"{low:g} to {high:g} Hz",
                f"a band under {rate_hz / 2:g} Hz of at least {rate_hz / count:g} Hz",
            )
        parts.append(np.log(power[..., inside].mean(axis=-1) + np.finfo("f8").tiny))
    return np.concatenate(parts, axis=1)
