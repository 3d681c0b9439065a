"""What is in a store: the header's numbers and the table of recordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import xarray as xr

from neurodata.report.markup import Html, element, escape, join, level, row, size, table

DIMS = {
    "timeseries": ("time", "channel"),
    "spikes": ("unit", "spike"),
    "intervals": ("interval",),
    "rois": ("unit", "pixel"),
    "volume": ("time", "channel", "z", "y", "x"),
    "instances": ("instance", "layer", "z", "y", "x"),
    "boxes": ("box",),
    "graph": ("node", "edge"),
    "surface": ("vertex", "triangle"),
    "maps": ("map", "place"),
    "table": ("row",),
}
HEAD = ("Recording", "Modality", "Subject", "Nodes", "Version", "Size", "Licence")


class Readable(Protocol):
    """What the page asks of a store."""

    @property
    def path(self) -> Any:
        """The store's folder."""

    def ids(self, dataset: str | None = None) -> list[str]:
        """Return the ids of all recordings."""

    def versions(self, id: str) -> list[str]:
        """Return all versions of a recording, the newest first."""

    def manifest(self, id: str) -> dict[str, Any]:
        """Return the manifest of a recording."""

    def raw(self, id: str) -> xr.DataTree:
        """Return a recording as it is stored."""

    def __getitem__(self, id: str) -> xr.DataTree:
        """Return a recording in physical units."""

    def version(self, id: str) -> str:
        """Return the version that an id means."""


Manifests = Mapping[str, Mapping[str, Any]]


def bytes_of(manifest: Mapping[str, Any]) -> int:
    """Return the size of one version."""
    return sum(int(entry["size"]) for entry in manifest["files"])


def header(store: Readable, manifests: Manifests, ids: Sequence[str], worst: str) -> Html:
    """Return the store's name and what it holds in numbers."""
    total = sum(bytes_of(manifest) for manifest in manifests.values())
    versions = sum(len(store.versions(name)) for name in ids)
    datasets = len({name.partition("/")[0] for name in ids})
    numbers = [
        ("data sets", escape(datasets)), ("recordings", escape(len(ids))),
        ("versions", escape(versions)), ("newest versions", escape(size(total))),
        ("worst finding", level(worst)),
    ]  # fmt: skip
    cards = [
        element("div", element("b", number), escape(word), class_="card")
        for word, number in numbers
    ]
    counts = Counter(str(m["attrs"].get("modality", "not stated")) for m in manifests.values())
    chips = [element("span", escape(f"{m} {n}"), class_="chip") for m, n in counts.most_common()]
    return join(
        [
            element("h1", escape(store.path.name or "store")),
            element("p", escape("neurodata store"), class_="soft"),
            element("div", *cards, class_="cards"),
            element("div", *chips, class_="chips"),
        ]
    )


def inventory(store: Readable, manifests: Manifests) -> Html:
    """Return the table of recordings: nodes with shape, rate and units, version, size, licence."""
    rows = [_recording(store, name, manifest) for name, manifest in manifests.items()]
    return table(HEAD, rows)


def _recording(store: Readable, name: str, manifest: Mapping[str, Any]) -> Html:
    attrs = manifest["attrs"]
    versions = store.versions(name)
    version = versions[0] if versions else ""
    older = f" and {len(versions) - 1} older" if len(versions) > 1 else ""
    nodes = join((_node(node, manifest) for node in manifest["nodes"]), "<br>")
    code = element("code", escape(version[:8]), title=version)
    return row(
        [
            ("id", Html(escape(name).replace("_", "_<wbr>").replace("/", "/<wbr>"))),
            ("", escape(attrs.get("modality", ""))),
            ("", escape(attrs.get("subject", ""))),
            ("nodes", nodes),
            ("", Html(f"{code}{escape(older)}")),
            ("number", escape(size(bytes_of(manifest)))),
            ("", escape(attrs.get("licence", ""))),
        ]
    )


def _node(node: str, manifest: Mapping[str, Any]) -> Html:
    facts = manifest["summary"][node]
    representation = str(manifest["nodes"][node].get("representation"))
    dims = {d: n for d in DIMS.get(representation, ()) if (n := facts["dims"].get(d)) is not None}
    said = [representation, " × ".join(f"{n:,} {d}" for d, n in dims.items())]
    if "rate_hz" in facts:
        said.append(f"{facts['rate_hz']:.6g} Hz")
    if facts.get("units"):
        said.append(str(facts["units"]))
    told = escape(", ".join(part for part in said if part))
    return Html(f'<b>{escape(node)}</b> <span class="soft">{told}</span>')
