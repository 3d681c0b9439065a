"""CITATION.cff, in Citation File Format 1.2.0: whom to cite, as the recordings state it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from neurodata.errors import Problem
from neurodata.publish.facts import Facts
from neurodata.publish.licence import HUGGING_FACE
from neurodata.store.files import write

FILE = "CITATION.cff"
DOI = re.compile(r"10\.\d{4,9}/[^\s;,\"<>]*[^\s;,.\"<>)]")


def write_citation(folder: Path, facts: Facts) -> list[Problem]:
    """Write ``CITATION.cff`` with one reference per citation; report when there is none."""
    cff: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "Please cite the references, from which these data come.",
        "type": "dataset",
        "title": facts.title,
        "version": facts.version,
        "authors": [{"name": name} for name in creators(facts)],
    }
    if set(facts.licences) <= HUGGING_FACE.keys():
        cff["license"] = list(facts.licences)
    if facts.citations:
        cff["references"] = [_reference(text) for text in facts.citations]
    text = yaml.safe_dump(cff, sort_keys=False, allow_unicode=True)
    write(folder / FILE, text.encode())
    if facts.citations:
        return []
    return [Problem("warning", FILE, "no citation", "whom to cite", "ingest with --set citation=…")]


def creators(facts: Facts) -> list[str]:
    """Return the authors that the citations begin with, or the contributors of the data set."""
    return [author(text) for text in facts.citations] or [f"Contributors of {facts.id}"]


def author(citation: str) -> str:
    """Return what stands before the first comma of a citation.

    Examples
    --------
    >>> author("Eichler et al., The complete connectome, Nature 548 (2017)")
    'Eichler et al.'
    """
    return citation.partition(",")[0].strip() or citation


def _reference(citation: str) -> dict[str, Any]:
    doi = DOI.search(citation)
    return {
        "type": "generic",
        "title": citation,
        "authors": [{"name": author(citation)}],
        **({"doi": doi[0]} if doi else {}),
    }
