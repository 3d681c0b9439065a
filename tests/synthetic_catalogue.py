"""A synthetic store: manifests in memory, as far as splitting reads them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from neurodata.errors import NotFoundError


def sha(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


class SyntheticStore:
    """Keeps every version of every manifest; the newest is the one added last."""

    def __init__(self) -> None:
        self.manifests: dict[str, dict[str, dict[str, Any]]] = {}

    def add(self, id: str, manifest: dict[str, Any]) -> str:
        version = sha(json.dumps([id, manifest], sort_keys=True))[:16]
        self.manifests.setdefault(id, {})[version] = manifest
        return version

    def ids(self, dataset: str | None = None) -> list[str]:
        return sorted(name for name in self.manifests if dataset in (None, name.split("/")[0]))

    def version(self, id: str) -> str:
        return list(self.manifests[id])[-1]

    def manifest(self, id: str) -> dict[str, Any]:
        name, _, version = id.partition("@")
        versions = self.manifests[name]
        if version and version not in versions:
            raise NotFoundError(name, f"no version {version}", "a known one", "pull it")
        return versions[version or self.version(name)]


def recording(
    seed: object, nodes: dict[str, dict[str, Any]] | None = None, **attrs: Any
) -> dict[str, Any]:
    """Return a manifest whose bytes, content and arrays are its own unless told otherwise."""
    nodes = nodes or {"eeg": timeseries()}
    arrays = {
        f"{name}/{variable}": node.get("digests", {}).get(variable, sha([seed, name, variable]))
        for name, node in nodes.items()
        for variable in node["variables"]
    }
    return {
        "attrs": attrs,
        "content": sha([seed, "content"]),
        "inputs": [{"size": 1000, "sha256": sha([seed, "bytes"])}],
        "arrays": arrays,
        "nodes": {
            name: {"representation": node["representation"], "schema": f"{name}/1"}
            for name, node in nodes.items()
        },
        "summary": {name: node["summary"] for name, node in nodes.items()},
    }


def timeseries(
    n: int = 1000, rate_hz: float = 10.0, start_s: float = 0.0, channels: int = 2, **digests: str
) -> dict[str, Any]:
    return {
        "representation": "timeseries",
        "variables": ["signal_adc", "scale", "channel"],
        "digests": {"channel": sha("names"), "scale": sha("ones"), **digests},
        "summary": {
            "dims": {"time": n, "channel": channels, "axis": 3},
            "start_s": start_s,
            "rate_hz": rate_hz,
            "n": n,
            "stop_s": start_s + n / rate_hz,
        },
    }


def irregular(start_s: float, stop_s: float, representation: str = "timeseries") -> dict[str, Any]:
    spikes = representation == "spikes"
    return {
        "representation": representation,
        "variables": ["time_s"] if spikes else ["signal"],
        "summary": {
            "dims": {"spike": 500} if spikes else {"time": 500, "channel": 1},
            "start_s": start_s,
            "stop_s": stop_s,
        },
    }


def volume(z: int = 1, y: int = 40, x: int = 60, **digests: str) -> dict[str, Any]:
    dims = {axis: size for axis, size in (("z", z), ("y", y), ("x", x)) if size > 1}
    return {
        "representation": "volume",
        "variables": ["image_adc"],
        "digests": digests,
        "summary": {"dims": dims},
    }


def subjects(count: int, dataset: str = "eeg", sessions: int = 1) -> SyntheticStore:
    store = SyntheticStore()
    for i in range(count):
        for j in range(sessions):
            name = f"{dataset}/sub-{i:02d}_ses-{j}"
            store.add(name, recording(name, subject=f"{i:02d}", session=str(j)))
    return store
