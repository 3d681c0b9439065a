"""Columns of text whose names say that they hold remarks or persons; they stay behind."""

from __future__ import annotations

import re

import xarray as xr

from neurodata import schema
from neurodata.errors import Problem

_WORDS = """
address annotator annotators author authors birthdate birthday comment comments creator
description descriptions dob editor email experimenter experimenters initials investigator note
notes operator operators patient patients person persons phone physician rater raters remark
remarks reviewer scorer scorers surname technician user username
"""
WORDS = frozenset(_WORDS.split())
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def personal_word(column: str) -> str:
    """Return the first word of a column's name for remarks or for a person, or nothing.

    Examples
    --------
    >>> [personal_word(name) for name in ("trial_notes", "PatientName", "name", "noted")]
    ['notes', 'patient', '', '']
    """
    return next((w for each in _WORD.findall(column) if (w := each.lower()) in WORDS), "")


def without_personal(tree: xr.DataTree) -> tuple[xr.DataTree, list[Problem]]:
    """Return a recording without such columns of text, and a note of each by that word.

    What a schema itself names stays, and so do numbers. The given tree stays as it is.

    Examples
    --------
    >>> node = xr.Dataset({"label": ("row", ["a"]), "notes": ("row", ["Jane was late"])},
    ...                   attrs={"representation": "table"})
    >>> clean, notes = without_personal(xr.DataTree.from_dict({"traits": node}))
    >>> list(clean["traits"].variables), [note.where for note in notes]
    (['label'], ['traits: notes'])
    """
    clean, notes = tree.copy(), list[Problem]()
    for node in clean.subtree:
        representation = str(node.attrs.get("representation"))
        known = schema.names("representations")
        own = schema.load(f"representations/{representation}") if representation in known else {}
        data = node.to_dataset(inherit=False)
        left = [
            str(name)
            for name, variable in data.variables.items()
            if name not in own.get("variables", ()) and variable.dtype.kind in "OUTS"
            and personal_word(str(name))
        ]  # fmt: skip
        if left:
            node.dataset = data.drop_vars(left)
            hint = "if it names nobody: --set annotations=keep"
            notes += [
                Problem("note", f"{node.path.strip('/')}: {word}",
                        "a column of text that may name a person, removed", "", hint)
                for word in dict.fromkeys(map(personal_word, left))
            ]  # fmt: skip
    return clean, notes
