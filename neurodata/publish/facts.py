"""What a pushed folder says about its data set: gathered once, from manifests and pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neurodata.errors import StoreError
from neurodata.pipeline import Pipeline, names, read_pipeline
from neurodata.publish.licence import identifiers
from neurodata.store import Store


@dataclass(frozen=True)
class Facts:
    """The texts of a card; all but ``id`` come from sources and are escaped where written.

    ``stated`` are the licences as recordings state them, ``licences`` the SPDX ids in them.
    """

    id: str
    title: str
    summary: str
    homepage: str
    version: str
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    modalities: tuple[str, ...]
    stated: tuple[str, ...]
    licences: tuple[str, ...]
    citations: tuple[str, ...]


def gather(store: Store, dataset: str, ids: Sequence[str]) -> Facts:
    """Return the facts of some versions of a data set's recordings.

    Raises
    ------
    StoreError
        When one states no licence.
    """
    manifests = [store.manifest(one) for one in ids]
    bare = [i for i, m in zip(ids, manifests, strict=True) if not m["attrs"].get("licence")]
    if bare:
        raise StoreError(
            ", ".join(bare[:5]), "no licence", "one for every recording",
            "ingest with --set licence=CC-BY-4.0 (what its owner grants), then remove split files"
            " that hold these versions and split again",
        )  # fmt: skip
    stated = _attrs(manifests, "licence")
    pipeline = _pipeline(dataset, manifests)
    return Facts(
        id=dataset,
        title=_line(pipeline.title) if pipeline else dataset,
        summary=_line(pipeline.card.summary) if pipeline else "",
        homepage=_line(pipeline.card.homepage) if pipeline else "",
        version=f"{pipeline.version if pipeline else 1}.0.0",
        tags=tuple(map(_line, pipeline.card.tags)) if pipeline else (),
        labels={name: _line(label.description or label.column)
                for name, label in (pipeline.labels if pipeline else {}).items()},
        modalities=_attrs(manifests, "modality"),
        stated=stated,
        licences=tuple(identifiers(stated)),
        citations=_attrs(manifests, "citation"),
    )  # fmt: skip


def _pipeline(dataset: str, manifests: Sequence[Mapping[str, Any]]) -> Pipeline | None:
    """Return the shipped pipeline of that name, if every input is one of its files."""
    if dataset not in names():
        return None
    pipeline = read_pipeline(dataset)[0]
    known = {file.sha256 for source in pipeline.sources for file in source.files}
    inputs = {one["sha256"] for manifest in manifests for one in manifest["inputs"] or ()}
    return pipeline if inputs <= known else None


def _attrs(manifests: Sequence[Mapping[str, Any]], key: str) -> tuple[str, ...]:
    found = {_line(str(value)) for m in manifests if (value := m["attrs"].get(key))}
    return tuple(sorted(found))


def _line(text: str) -> str:
    """Return a text as one line without control characters.

    Examples
    --------
    >>> _line("one\\n---\\x00 two")
    'one --- two'
    """
    return "".join(char for char in " ".join(text.split()) if char.isprintable())
