"""Names of channels, neurons and units against a vocabulary."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import xarray as xr
from pydantic import model_validator

from neurodata import safe
from neurodata.errors import InvalidInputError, Problem
from neurodata.steps import vocabularies
from neurodata.steps.step import Step

Named = tuple[str, str]
CERTAINTY, CERTAIN, GUESSED, UNLABELLED = "certainty", "certain", "guessed", "unlabelled"
NAMES = {"timeseries": "channel", "graph": "node_id", "spikes": "unit_id"}
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Vocabulary:
    """Labels by name, case folded.

    Parameters
    ----------
    labels : mapping
        The label that a plain name means without doubt.
    plain : function
        Takes from a name as it is recorded what never changes its meaning.
    unique : bool
        Whether a label means one thing, which no two names can mean.
    types : tuple of str
        Types of channels that it is about; all when it names none.
    """

    labels: Mapping[str, str]
    plain: Callable[[str], str] = str.strip
    unique: bool = True
    types: tuple[str, ...] = ()

    def label(self, name: str) -> Named:
        """Return the label of a recorded name, and whether it is certain.

        A label is guessed where a name has one word of the vocabulary among others, or a mark
        of doubt behind it (``AVAL?``); words that mean several things mean nothing.
        """
        if found := self.labels.get(self.plain(name).casefold()):
            return found, CERTAIN
        words = _WORD.findall(name)
        known = {self.labels.get(self.plain(word).casefold()) for word in words} - {None}
        if len(known) == 1:
            return str(known.pop()), GUESSED
        return "", UNLABELLED


def _celegans(classes: bool) -> Vocabulary:
    neurons = vocabularies.neurons()
    labels = {name.casefold(): kind if classes else name for name, kind in neurons.items()}
    if classes:
        labels |= {kind.casefold(): kind for kind in neurons.values()}
    return Vocabulary(labels, vocabularies.plain_neuron, not classes)


def _electrodes() -> Vocabulary:
    labels = {name.casefold(): label for name, label in vocabularies.electrodes().items()}
    return Vocabulary(labels, vocabularies.plain_electrode, True, ("EEG",))


class HarmoniseNames(Step):
    """Give channels, neurons or units a label of a vocabulary, beside the names that they have.

    Two columns are added: the label (empty where there is none) and its certainty, which is
    ``certain``, ``guessed`` or ``unlabelled``. Names stay as they are, and a column that is
    there already is never written over.

    Attributes
    ----------
    vocabulary : {"electrodes", "celegans", "celegans_classes"}, optional
        Electrodes of the 10-05 system, for channels of type EEG; the 302 neurons of the
        hermaphrodite of C. elegans, or their 118 classes.
    table : str, optional
        A file with the columns ``name`` and ``label``, and ``certainty`` (certain or guessed)
        where a label is not sure; tabs or commas. Names must fit exactly. In place of the
        vocabulary.
    column, certainty : str
        What the two columns are called.
    """

    name: ClassVar[str] = "harmonise_names"
    works_on: ClassVar[tuple[str, ...]] = tuple(NAMES)
    files: ClassVar[tuple[str, ...]] = ("table",)
    vocabulary: Literal["electrodes", "celegans", "celegans_classes"] | None = None
    table: str | None = None
    column: str = "label"
    certainty: str = "certainty"

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.vocabulary is None) == (self.table is None):
            raise ValueError("vocabulary or table must be given, and not both")
        if self.column == self.certainty:
            raise ValueError("column and certainty must have names of their own")
        return self

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node with both columns.

        Raises
        ------
        InvalidInputError
            When a column is there already, or two names certainly mean the same neuron or
            electrode.
        """
        key = NAMES[str(node.attrs["representation"])]
        if taken := [name for name in (self.column, self.certainty) if name in node.variables]:
            raise InvalidInputError(
                where, f"a column {', '.join(taken)} already", "columns that are not there",
                "give other names: column, certainty",
            )  # fmt: skip
        names = [str(name) for name in node[key].values]
        if self.table is not None:
            known = _rows(Path(self.table), where)
            found = [known.get(name.strip(), ("", UNLABELLED)) for name in names]
        else:
            found = self._labels(node, names, where)
        dim = node[key].dims[0]
        labels, sure = ([pair[at] for pair in found] for at in (0, 1))
        return node.assign_coords(
            {
                self.column: (dim, np.array(labels, dtype=str)),
                self.certainty: (dim, np.array(sure, dtype=str)),
            }
        )

    def _labels(self, node: xr.Dataset, names: Sequence[str], where: str) -> list[Named]:
        if self.vocabulary == "electrodes":
            vocabulary = _electrodes()
        else:
            vocabulary = _celegans(self.vocabulary == "celegans_classes")
        found = [vocabulary.label(name) for name in names]
        if vocabulary.types and "type" in node.variables:
            fits = [str(kind) in vocabulary.types for kind in node["type"].values]
            pairs = zip(found, fits, strict=True)
            found = [named if fit else ("", UNLABELLED) for named, fit in pairs]
        return _apart(found, names, where) if vocabulary.unique else found

    def findings(self, before: xr.Dataset, parts: Mapping[str, xr.Dataset]) -> Iterator[Problem]:
        """Yield how many names were guessed and how many have no label, with some of them."""
        for path, node in parts.items():
            names = [str(n) for n in node[NAMES[str(node.attrs["representation"])]].values]
            sure = [str(c) for c in node[self.certainty].values]
            labels = [str(label) for label in node[self.column].values]
            told = {
                GUESSED: [f"{n} ({t})" for n, t, c in zip(names, labels, sure, strict=True)
                          if c == GUESSED],
                UNLABELLED: [n for n, c in zip(names, sure, strict=True) if c == UNLABELLED],
            }  # fmt: skip
            for kind, some in told.items():
                if some:
                    found = f"{len(some)} of {len(names)} names {kind}: {', '.join(some[:8])}"
                    yield Problem("note", f"{path}/{self.column}", found, "", "see a table")


def _apart(found: Sequence[Named], names: Sequence[str], where: str) -> list[Named]:
    """Take back guesses that a certain name has already.

    Raises
    ------
    InvalidInputError
        When two names are certain of one label.
    """
    certain = Counter(label for label, sure in found if sure == CERTAIN)
    if twice := [label for label, count in certain.items() if count > 1]:
        same = [n for n, (label, sure) in zip(names, found, strict=True)
                if label in twice and sure == CERTAIN]  # fmt: skip
        raise InvalidInputError(
            where, f"{', '.join(same[:8])}, which mean {', '.join(twice[:4])}",
            "one name for each", "leave one out by the step pick, or give a table",
        )  # fmt: skip
    return [
        ("", UNLABELLED) if sure == GUESSED and label in certain else (label, sure)
        for label, sure in found
    ]


def _rows(path: Path, where: str) -> dict[str, Named]:
    """Return the label and certainty of each name in a table.

    Raises
    ------
    InvalidInputError
        When the table has other columns, a name twice or another word for certainty.
    """
    separator = "\t" if "\t" in safe.read_text(path).partition("\n")[0] else ","
    table = safe.read_table(path, separator)
    if not {"name", "label"} <= set(table.columns) <= {"name", "label", CERTAINTY}:
        columns = ", ".join(map(str, table.columns))
        raise InvalidInputError(where, f"{path.name} with {columns}", "name, label, certainty")
    sure = [CERTAIN] * len(table)
    if CERTAINTY in table:
        sure = [str(word).strip() or UNLABELLED for word in table[CERTAINTY]]
    if odd := sorted(set(sure) - {CERTAIN, GUESSED, UNLABELLED}):
        words = f"{CERTAIN}, {GUESSED} or {UNLABELLED}"
        raise InvalidInputError(where, f"{path.name}: certainty {odd[0]!r}", words)
    found: dict[str, Named] = {}
    for name, label, word in zip(table["name"], table["label"], sure, strict=True):
        if (key := str(name).strip()) in found:
            raise InvalidInputError(where, f"{path.name}: {key!r} twice", "each name once")
        text = str(label).strip()
        found[key] = (text, word) if text and word != UNLABELLED else ("", UNLABELLED)
    return found
