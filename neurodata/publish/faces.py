"""Faces in anatomical images of the head: whether they were removed before these are given away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from neurodata.errors import Problem
from neurodata.store import Store

PERSON = "Homo sapiens"
TOLD = {
    "": ("an image of a head; whether its face was removed is not stated",
         "look at it, then ingest it again with --set defaced=yes or no"),
    "no": ("an image of a head whose face was not removed", "deface it first"),
}  # fmt: skip


def faces(store: Store, ids: Iterable[str]) -> list[Problem]:
    """Return a warning for the recordings that may show the face of a person.

    These are anatomical images (modality ``mri``) of a person, or of no stated species, that
    do not say ``defaced=yes``.
    """
    found: dict[str, list[str]] = {}
    for one in ids:
        manifest = store.manifest(one)
        if may_show_a_face(manifest):
            found.setdefault(str(manifest["attrs"].get("defaced", "")), []).append(one)
    return [
        Problem("warning", ", ".join(sorted(some)[:5]), f"{TOLD[state][0]} ({len(some)} in all)",
                "defaced=yes", TOLD[state][1])
        for state, some in sorted(found.items())
    ]  # fmt: skip


def may_show_a_face(manifest: Mapping[str, Any]) -> bool:
    """Say whether a recording is an anatomical image that may show a face.

    Examples
    --------
    >>> volume = {"anat": {"representation": "volume"}}
    >>> may_show_a_face({"attrs": {"modality": "mri"}, "nodes": volume})
    True
    >>> may_show_a_face({"attrs": {"modality": "mri", "defaced": "yes"}, "nodes": volume})
    False
    """
    attrs, nodes = manifest["attrs"], manifest["nodes"].values()
    volumes = any(node["representation"] == "volume" for node in nodes)
    return bool(
        attrs.get("modality") == "mri"
        and volumes
        and attrs.get("species", PERSON) == PERSON
        and attrs.get("defaced") != "yes"
    )
