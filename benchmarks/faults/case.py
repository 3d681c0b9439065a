"""One damaged or mis-stated source, what is right about it, and what an outcome is worth."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

RAW = "raw"
TOLERANCE = 1e-6
"""Of the largest value: stored numbers are scaled in float64 and kept as float32."""

CLASSES = {
    "refused": "a typed error that says where and what",
    "flagged": "read, with a finding that names the fault",
    "right": "read, and every value, unit, rate, name and place is right",
    "silent": "read as something else than it is, without a word",
    "unknowable": "read as something else, and nothing in the file tells of it",
    "foreign": "an exception that is not the reader's own",
    "crash": "the process died",
    "hang": "more processor time than allowed",
    "memory": "more memory than allowed",
}
DEFECTS = ("silent", "foreign", "crash", "hang", "memory")

FAULTS = {
    0: "valid files",
    10: "truncated files",
    11: "flipped bits",
    13: "sizes and counts that cannot be",
    14: "affines and voxels that cannot be",
    15: "rates and times that cannot be; gaps",
    16: "calibration that cannot be",
    17: "samples that are no numbers, flat or clipped",
    18: "turned and mirrored axes",
    19: "channels, regions and nodes that do not match",
    20: "archives that lead outside",
    21: "archives that swell",
    22: "pickles",
    23: "links inside HDF5",
    24: "headers that name other files",
    25: "links of the file system",
    26: "XML",
    27: "JSON and YAML",
    28: "metadata of Zarr",
    29: "names",
    41: "units of measurement",
    42: "units of length and time",
    43: "overflow, byte order and precision",
    44: "events and clocks that do not fit the signal",
    46: "time splits that overlap",
    49: "splits that drift",
    52: "bit rot of a published store",
    54: "old stores",
    56: "a lost catalogue",
}


@dataclass(frozen=True)
class Case:
    """One source, or one thing that is done, and how to tell whether the outcome is right.

    Parameters
    ----------
    name : str
        Unique.
    fault : int
        Its kind, a key of `FAULTS`.
    story : str
        One line: what is wrong with it.
    build : callable
        Writes it below an empty folder and returns what is to be ingested.
    form : str
        The format, by the name of its reader; peers that know it are asked.
    main : str
        Path of the main file below what ``build`` returns, where that is a folder.
    truth : mapping, optional
        Facts that a right reading has (see `benchmarks.faults.answers`), from the code that made
        the file, not from a reader.
    twin : str
        Name of the undamaged case, whose reading is right in place of ``truth``.
    named : str
        Regular expression of a finding that names the fault; by default any warning that the
        twin does not have.
    told : bool
        Whether right values need such a finding too.
    limit : str
        Why nobody can tell from the file alone, where that is so.
    valid : bool
        Whether it must be read, and rightly.
    declare : mapping
        What is declared.
    act : callable, optional
        Does the case in a folder, in place of ``build`` and an ingest, and returns how many
        outcomes there were of each class.
    """

    name: str
    fault: int
    story: str
    build: Callable[[Path], Path] | None = None
    form: str = ""
    main: str = ""
    truth: Mapping[str, Any] | None = None
    twin: str = ""
    named: str = ""
    told: bool = False
    limit: str = ""
    valid: bool = False
    declare: Mapping[str, Any] = field(default_factory=dict)
    act: Callable[[Path], Mapping[str, int]] | None = None
    generated: bool = False


@dataclass
class Answer:
    """What a reader made of a source.

    Parameters
    ----------
    kind : str
        ``accepted``, ``refused`` or ``foreign``.
    facts : dict of str to array
        What was read, in SI units, by the names of `benchmarks.faults.answers`.
    content : str
        A digest of everything that was read.
    words : list of str
        Findings, warnings and log lines.
    error : str
        What was refused, and why.
    """

    kind: str
    facts: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    content: str = ""
    words: list[str] = field(default_factory=list)
    error: str = ""

    def outcome(self, case: Case, lenient: bool = False) -> dict[str, Any]:
        """Return plain data for the judge, the facts compared with the truth.

        Parameters
        ----------
        lenient : bool
            Leave out facts that the reader does not give at all.
        """
        differs = list(differences(case.truth or {}, self.facts, lenient))
        words = [word[:400] for word in self.words[:100]]
        return {"class": self.kind, "differs": differs[:10], "content": self.content,
                "words": words, "error": self.error[:400]}  # fmt: skip


def differences(
    truth: Mapping[str, Any], facts: Mapping[str, Any], lenient: bool = False
) -> list[str]:
    """Return how facts depart from the truth, a line for each that does.

    Examples
    --------
    >>> differences({"rate_hz": 10.0, "channels": ["a"]}, {"rate_hz": 1e4, "channels": ["a"]})
    ['rate_hz: 10000.0, not 10.0']
    """
    found = []
    for key, right in truth.items():
        if key in facts:
            wanted, there = np.asarray(right), np.asarray(facts[key])
            if not _same(wanted, there):
                found.append(f"{key}: {_short(there)}, not {_short(wanted)}")
        elif not lenient:
            found.append(f"{key}: absent")
    return found


def _same(wanted: np.ndarray[Any, Any], there: np.ndarray[Any, Any]) -> bool:
    if wanted.shape != there.shape:
        return False
    if wanted.dtype.kind in "OUS" or there.dtype.kind in "OUS":
        return [str(item) for item in wanted.ravel()] == [str(item) for item in there.ravel()]
    finite = np.abs(wanted[np.isfinite(wanted)])
    slack = TOLERANCE * float(finite.max()) if finite.size else 0.0
    return bool(np.allclose(there, wanted, rtol=0, atol=slack, equal_nan=True))


def _short(values: np.ndarray[Any, Any]) -> str:
    if values.size == 1:
        return str(values.ravel()[0])
    flat = ", ".join(str(value) for value in values.ravel()[:3])
    return f"{values.shape} {flat}, …"


def judge(case: Case, found: Mapping[str, Any], twin: Mapping[str, Any] | None) -> tuple[str, str]:
    """Return the class of an outcome and, where there is one, the reason.

    Parameters
    ----------
    found, twin : mapping
        `Answer.outcome` of the case, and that of its undamaged twin by the same reader.
    """
    kind = found["class"]
    if kind != "accepted":
        return {"timeout": "hang"}.get(kind, kind), str(found.get("error", ""))
    known = set(twin["words"]) if twin else set()
    words = [word for word in found["words"] if word not in known]
    if case.named:
        named = [word for word in words if re.search(case.named, word)]
    else:
        named = [word for word in words if not word.startswith("note:")]
    if case.truth is not None:
        right, differs = not found["differs"], "; ".join(found["differs"])
    else:
        right = twin is not None and found["content"] == twin["content"]
        differs = "another content" if twin else found.get("error") or "accepted"
    if right and not case.told:
        return "right", ""
    if named:
        return "flagged", named[0]
    if case.limit:
        return "unknowable", case.limit
    return "silent", differs or "right, but nothing tells of the fault"


def tally(found: Mapping[str, int]) -> Counter[str]:
    """Return counts by class; an unknown class is an error of the case.

    Raises
    ------
    KeyError
        When a class is unknown.
    """
    return Counter({kind: found[kind] for kind in found if CLASSES[kind]})
