"""Synthetic recordings in memory, and splits of them, for the loader's tests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import xarray as xr

from neurodata.splits import Split
from neurodata.store.version import StoredNode

VERSION = "0123456789abcdef"


class MemoryStore:
    """Recordings in raw form, synthetic; stands for a store."""

    def __init__(self, **trees: xr.DataTree) -> None:
        self.trees = {f"lab/{name}@{VERSION}": tree for name, tree in trees.items()}
        self.asked: list[str] = []

    def fetch(self, ids: Any) -> None:
        pass

    def arrays(self, id: str) -> Any:
        self.asked.append(id)
        nodes = {
            path: StoredNode(
                dict(tree.attrs), {str(k): MemoryArray(v) for k, v in tree.variables.items()}
            )
            for path, tree in self.trees[id].subtree_with_keys
        }
        nothing = SimpleNamespace(close=lambda: None, fetch=lambda ranges: None)
        return SimpleNamespace(nodes=nodes, manifest={}, files=nothing)


class MemoryArray:
    """Stands for a stored array, in chunks of 37 rows."""

    sharded = False

    def __init__(self, variable: xr.Variable) -> None:
        self.held = np.asarray(variable.values)
        self.dims, self.attrs = tuple(map(str, variable.dims)), dict(variable.attrs)
        self.shape, self.dtype = self.held.shape, self.held.dtype
        self.chunks = (37, *self.shape[1:]) if self.shape else ()
        self.nbytes = self.held.nbytes
        self.files = SimpleNamespace()

    @property
    def values(self) -> np.ndarray:
        return self.held.copy()

    def waits(self, box: tuple[slice, ...]) -> bool:
        return False

    def read(self, box: tuple[slice, ...], out: np.ndarray | None = None) -> np.ndarray:
        assert len(box) == len(self.shape)
        assert all(0 <= b.start <= b.stop <= n for b, n in zip(box, self.shape, strict=True))
        if out is None:
            return self.held[box].copy()
        out[...] = self.held[box]
        return out


def node(representation: str, variables: Any, coords: Any = None, **attrs: Any) -> xr.Dataset:
    return xr.Dataset(variables, coords, {"representation": representation, **attrs})


def recording(nodes: dict[str, xr.Dataset], **attrs: Any) -> xr.DataTree:
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **nodes})


def eeg(
    n: int = 1000, width: int = 3, rate_hz: float = 100.0, start_s: float = 0.0, seed: int = 0
) -> xr.Dataset:
    counts = np.random.default_rng(seed).integers(-3000, 3000, (n, width)).astype("i2")
    return node(
        "timeseries",
        {
            "signal_adc": (("time", "channel"), counts, {"units": "V"}),
            "scale": ("channel", np.linspace(1e-7, 3e-7, width)),
            "offset": ("channel", np.linspace(0, 1e-5, width)),
        },
        {
            "channel": [f"C{i}" for i in range(width)],
            "type": ("channel", ["EEG"] * width),
            "units": ("channel", ["V"] * width),
        },
        start_s=start_s,
        rate_hz=rate_hz,
        n=n,
    )


def microvolts(data: xr.Dataset) -> np.ndarray:
    values = data["signal_adc"].values * data["scale"].values + data["offset"].values
    return values * 1e6


def irregular(times: np.ndarray) -> xr.Dataset:
    """A series on an irregular clock whose values are the time and twice the time."""
    return node(
        "timeseries",
        {"signal": (("time", "channel"), np.stack([times, 2 * times], 1), {"units": "dF/F"})},
        {"time": times, "channel": ["0", "1"]},
    )


def behaviour(n: int, rate_hz: float, start_s: float = 0.0) -> xr.Dataset:
    """A float series whose value is its own time."""
    signal = (start_s + np.arange(n) / rate_hz)[:, None].astype("f4")
    return node(
        "timeseries",
        {"signal": (("time", "channel"), signal, {"units": "1"})},
        {"channel": ["force"]},
        start_s=start_s,
        rate_hz=rate_hz,
        n=n,
    )


def intervals(*rows: tuple[float, float, str], **columns: Any) -> xr.Dataset:
    start, duration, label = zip(*rows, strict=True)
    variables = {
        "start_s": ("interval", np.array(start, "f8")),
        "duration_s": ("interval", np.array(duration, "f8")),
        "label": ("interval", np.array(label, object)),
        **{name: ("interval", np.array(values)) for name, values in columns.items()},
    }
    return node("intervals", variables)


def split_of(*parts: tuple[str, str, dict[str, Any]], by: str = "subject") -> Split:
    sides = sorted({side for _, side, _ in parts})
    gap = {"time": 0.1, "block": 1}.get(by)
    entries: Any = [
        {"id": f"lab/{name}", "version": VERSION, "group": name, "split": side, **place}
        for name, side, place in parts
    ]
    return Split.sealed("lab", by, "", {side: 1 / len(sides) for side in sides}, gap, entries)


def one_eeg(side: str = "test", **kwargs: Any) -> tuple[MemoryStore, Split, xr.Dataset]:
    data = eeg(**kwargs)
    return MemoryStore(a=recording({"eeg": data})), split_of(("a", side, {})), data


def starts(loader: Any) -> list[tuple[int, float]]:
    return [
        (int(r), float(s))
        for batch in loader
        for r, s in zip(batch["recording"], batch["start_s"], strict=True)
    ]
