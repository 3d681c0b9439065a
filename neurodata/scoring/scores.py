"""Scores as a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurodata import safe
from neurodata.errors import InvalidInputError
from neurodata.splits.whole_file import replace

FORMAT = "neurodata-scores/1"


def write_scores(scores: Sequence[dict[str, Any]], path: Path) -> None:
    """Write scores as JSON, all of it or nothing; folders are made.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "scores" / "a.json"
    >>> write_scores([{"task": "forecast", "value": 0.5}], file)
    >>> read_scores(file)
    [{'task': 'forecast', 'value': 0.5}]
    """
    document = {"format": FORMAT, "scores": list(scores)}
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, text)


def read_scores(path: Path) -> list[dict[str, Any]]:
    """Return the scores of a file that `write_scores` wrote.

    Raises
    ------
    UnreadableError
        When it is no JSON.
    InvalidInputError
        When it is of another form.
    """
    document = safe.read_json(path)
    found = document.get("format") if isinstance(document, dict) else type(document).__name__
    if found != FORMAT:
        raise InvalidInputError(str(path), repr(found), FORMAT, "run: neurodata bench run")
    scores: list[dict[str, Any]] = document["scores"]
    return scores
