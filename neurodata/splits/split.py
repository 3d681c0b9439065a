"""A split as a frozen file: which recordings, or which parts of them, are on which side."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, Self, TypedDict

from neurodata import safe
from neurodata.errors import IntegrityError, NotFoundError, Problem, SplitError, UnreadableError
from neurodata.splits.form import FORMAT, KEYS, REMAKE, malformed, wrong
from neurodata.splits.whole_file import replace


class Assignment(TypedDict):
    """A recording's place: the whole of it, ``[start_s, stop_s)`` of its clock, or a voxel box."""

    id: str
    version: str
    group: str
    split: str
    start_s: NotRequired[float]
    stop_s: NotRequired[float]
    box_zyx: NotRequired[list[list[int]]]


@dataclass(frozen=True)
class Split:
    """Recordings of one data set, each placed on a side, and the hash of all that.

    Intervals are half open, ``start_s <= time < stop_s``, on the recording's clock in seconds;
    boxes are half open too, ``[[z0, z1], [y0, y1], [x0, x1]]`` in voxels, ``[0, 1]`` for an
    absent axis. An assignment with neither is the whole recording.

    Parameters
    ----------
    format : str
        ``"neurodata-split/1"``.
    dataset : str
        The data set that every id starts with.
    by : str
        ``"subject"``, ``"session"``, another root attribute, ``"time"`` or ``"block"``.
    salt : str
        What the hash that orders the groups is seeded with.
    fractions : mapping of str to float
        The sides and their shares, which sum to 1.
    gap : float, int or None
        Seconds (by time) or voxels (by block) left out at each boundary; None without cuts.
    assignments : tuple of Assignment
        Sorted by id, then by position.
    digest : str
        sha256 of the canonical JSON without itself.

    Examples
    --------
    >>> one = {"id": "eeg/a", "version": "0" * 16, "group": "s1", "split": "test"}
    >>> split = Split.sealed("eeg", "subject", "", {"test": 1.0}, None, [one])
    >>> split.ids("test"), split.digest[:8]
    (('eeg/a',), 'dbb888c0')
    """

    format: str
    dataset: str
    by: str
    salt: str
    fractions: Mapping[str, float]
    gap: float | None
    assignments: tuple[Assignment, ...]
    digest: str

    @classmethod
    def sealed(
        cls,
        dataset: str,
        by: str,
        salt: str,
        fractions: Mapping[str, float],
        gap: float | None,
        assignments: Iterable[Assignment],
    ) -> Self:
        """Sort the assignments, compute the digest and check the form.

        Raises
        ------
        SplitError
            When a part is not of the form.
        """
        entries = list(assignments)
        parts = (FORMAT, dataset, by, salt, dict(fractions), gap, entries, "")
        document: dict[str, Any] = dict(zip(KEYS, parts, strict=True))
        _refuse(malformed(document), str(dataset))
        entries.sort(key=_position)
        return cls._checked({**document, "digest": digest_of(document, dataset)}, dataset)

    @classmethod
    def read(cls, file: str | os.PathLike[str]) -> Self:
        """Read a split file and verify its form and its digest.

        Raises
        ------
        SplitError
            When the file is missing or not of the form, or a side is empty.
        IntegrityError
            When the digest is not that of the content.

        Examples
        --------
        >>> import tempfile
        >>> entry = {"id": "lab/a", "version": "0" * 16, "group": "s1", "split": "train"}
        >>> made = Split.sealed(
        ...     dataset="lab", by="subject", salt="", fractions={"train": 1.0}, gap=None,
        ...     assignments=[entry])
        >>> Split.read(made.write(f"{tempfile.mkdtemp()}/lab.json")).ids("train")
        ('lab/a',)
        """
        path = Path(file)
        if not path.is_file():
            make = "make one with `neurodata split`"
            raise SplitError(str(path), "no such file", "a split file", make)
        try:
            document = safe.read_json(path)
        except UnreadableError as error:
            raise SplitError(str(path), error.found, error.expected, REMAKE) from error
        return cls._checked(document, str(path))

    @classmethod
    def _checked(cls, document: Any, where: str) -> Self:
        _refuse(malformed(document), where)
        split = cls(**{**document, "assignments": tuple(document["assignments"])})
        split._intact(where)
        return split

    def _intact(self, where: str) -> None:
        _refuse(empty_sides(self), where)
        if (computed := digest_of(self.as_dict(), where)) != self.digest:
            raise IntegrityError(
                where,
                f"content with digest {computed[:16]}…",
                f"{self.digest[:16]}…, as the file states",
                f"the file was changed: take it from where it was published, or {REMAKE}",
            )

    def write(self, file: str | os.PathLike[str]) -> Path:
        """Write the split: all of it or nothing, and the same bytes every time.

        Raises
        ------
        SplitError
            When the split is not of the form or the file cannot be written.
        IntegrityError
            When the split was changed after it was made.
        """
        path = Path(file)
        _refuse(malformed(self.as_dict()), str(path))
        self._intact(str(path))
        text = json.dumps(self.as_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        try:
            replace(path, text)
        except OSError as error:
            raise SplitError(
                str(path), f"that it cannot be written ({error})", "a writable folder", "mend it"
            ) from error
        return path

    def as_dict(self) -> dict[str, Any]:
        """Return the content as the JSON file has it, keys in its order."""
        content = {key: getattr(self, key) for key in KEYS}
        return {
            **content,
            "fractions": dict(self.fractions),
            "assignments": [dict(entry) for entry in self.assignments],
        }

    def assignments_of(self, name: str) -> tuple[Assignment, ...]:
        """Return the assignments to one side.

        Raises
        ------
        NotFoundError
            When the split has no side of that name.
        """
        if name not in self.fractions:
            raise NotFoundError(
                f"split of {self.dataset}", f"no side {name!r}", ", ".join(self.fractions), REMAKE
            )
        return tuple(entry for entry in self.assignments if entry["split"] == name)

    def ids(self, name: str) -> tuple[str, ...]:
        """Return the ids that one side names, each once, sorted.

        Raises
        ------
        NotFoundError
            When the split has no side of that name.
        """
        return tuple(sorted({entry["id"] for entry in self.assignments_of(name)}))

    def splits_of(self, recording_id: str) -> tuple[str, ...]:
        """Return the sides that name a recording, in the order of ``fractions``."""
        sides = {entry["split"] for entry in self.assignments if entry["id"] == recording_id}
        return tuple(name for name in self.fractions if name in sides)

    def without(self, ids: Iterable[str]) -> Self:
        """Return the split without some recordings, as after ``neurodata forget``.

        Raises
        ------
        SplitError
            When a side would be empty.
        """
        gone = set(ids)
        rest = [entry for entry in self.assignments if entry["id"] not in gone]
        return self.sealed(self.dataset, self.by, self.salt, self.fractions, self.gap, rest)


def digest_of(document: Mapping[str, Any], where: str) -> str:
    """Return the sha256 of the canonical JSON: sorted keys, no whitespace, UTF-8, no NaN.

    Raises
    ------
    SplitError
        When the content cannot be written so.

    Examples
    --------
    >>> digest_of({"b": 1, "a": 2, "digest": "?"}, "here") == digest_of({"a": 2, "b": 1}, "here")
    True
    """
    content = {key: value for key, value in document.items() if key != "digest"}
    try:
        text = json.dumps(
            content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        return hashlib.sha256(text.encode()).hexdigest()
    except (TypeError, ValueError) as error:
        raise SplitError(
            where, f"content that is no strict JSON ({error})", "finite numbers and text", REMAKE
        ) from error


def empty_sides(split: Split) -> Iterator[Problem]:
    """Yield every side that no recording is assigned to."""
    filled = {entry["split"] for entry in split.assignments}
    for name in split.fractions:
        if name not in filled:
            yield wrong(f"split {name}", "no recording", "at least one")


def _refuse(problems: Iterator[Problem], where: str) -> None:
    for first in problems:
        raise SplitError(f"{where}: {first.where}", first.found, first.expected, first.hint)


def _position(entry: Assignment) -> tuple[str, str, float, str, str]:
    start_s = entry.get("start_s", -math.inf)
    return entry["id"], entry["version"], start_s, str(entry.get("box_zyx")), entry["split"]
