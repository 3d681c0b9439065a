"""Findings are data (`Problem`); refusals are typed exceptions.

Every message says where, what was found, what was expected and what to do.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any, Literal

from neurodata.secret import scrubbed

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Problem:
    """One finding about a file, a recording or a split.

    Parameters
    ----------
    level : {"error", "warning", "note"}
        An error stops the item it concerns; warnings and notes are kept with it.
    where : str
        File, node, variable or channel, e.g. ``"sub-01.edf: channel Cz"``.
    found, expected, hint : str
        What is there, what should be, and what to do about it.

    Secrets in these texts are shown as ``***`` (see `neurodata.secret.scrubbed`).

    Examples
    --------
    >>> print(Problem("warning", "a.edf: Cz", "flat", "a varying signal", "mark it bad"))
    warning: a.edf: Cz: found flat; expected a varying signal; mark it bad
    """

    level: Level
    where: str
    found: str
    expected: str = ""
    hint: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the finding as a plain dictionary, for JSON."""
        return {name: _told(text) for name, text in asdict(self).items()}

    def __str__(self) -> str:
        told = describe(self.where, self.found, self.expected, self.hint)
        return scrubbed(f"{self.level}: {told}")

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={text!r}" for name, text in self.as_dict().items())
        return f"Problem({told})"


def describe(where: str, found: str, expected: str = "", hint: str = "") -> str:
    """Join the four parts of a message into one sentence.

    Examples
    --------
    >>> describe("a.tif", "no spacing", "micrometres a voxel", "add --set voxel_um=1,0.5,0.5")
    'a.tif: found no spacing; expected micrometres a voxel; add --set voxel_um=1,0.5,0.5'
    """
    parts = [f"{where}: found {found}"]
    if expected:
        parts.append(f"expected {expected}")
    if hint:
        parts.append(hint)
    return "; ".join(parts)


def _told(text: Any) -> Any:
    return scrubbed(text) if isinstance(text, str) else text


class NeurodataError(Exception):
    """Root of every exception that neurodata raises on purpose; its text holds no secret."""

    def __init__(self, *args: object) -> None:
        super().__init__(*map(_told, args))


class RefusedError(NeurodataError):
    """Something was refused; carries where, found, expected and hint."""

    def __init__(self, where: str, found: str, expected: str = "", hint: str = "") -> None:
        where, found, expected, hint = map(_told, (where, found, expected, hint))
        super().__init__(describe(where, found, expected, hint))
        self.where, self.found, self.expected, self.hint = where, found, expected, hint

    def __reduce__(self) -> tuple[type[RefusedError], tuple[str, str, str, str]]:
        return type(self), (self.where, self.found, self.expected, self.hint)

    @property
    def problem(self) -> Problem:
        """The refusal as a finding of level error."""
        return Problem("error", self.where, self.found, self.expected, self.hint)


class UnreadableError(RefusedError):
    """A file is empty, truncated, damaged or contradicts itself."""


class UnknownFormatError(RefusedError):
    """The content of a file is of no known format."""


class MissingFactError(RefusedError):
    """The source does not state a fact; the hint holds the flag that settles it."""


class UnsafeError(RefusedError):
    """A file tries to reach outside its folder or to exceed a limit."""


class InvalidInputError(RefusedError, ValueError):
    """An argument, a declaration or an option is not of the allowed form."""


class PipelineError(InvalidInputError):
    """A pipeline file is not of the allowed form."""


class SplitError(RefusedError):
    """A split cannot be made or read as asked."""


class LeakageError(SplitError):
    """A split lets test data leak into training."""


class StoreError(RefusedError):
    """The store could not be written or opened."""


class IntegrityError(StoreError):
    """Stored bytes are missing or are not those that were written."""


class NotFoundError(RefusedError, KeyError):
    """No recording, version, node or data set of that name."""

    def __str__(self) -> str:
        return describe(self.where, self.found, self.expected, self.hint)


class MissingDependencyError(RefusedError, ImportError):
    """An optional package is not installed; the hint holds the pip line."""


class ProblemsError(NeurodataError):
    """Several errors were found; all of them are in ``problems``."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))

    def __reduce__(self) -> tuple[type[ProblemsError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class SchemaError(ProblemsError):
    """A recording does not follow its schema."""


DISTRIBUTION = "neurodata-store"


def need(module: str, extra: str) -> ModuleType:
    """Import an optional package or say how to install it.

    Raises
    ------
    MissingDependencyError
        When the package is not installed.

    Examples
    --------
    >>> need("json", extra="eeg").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            "import",
            f"no package {module!r} ({error})",
            f"the extra {extra!r}",
            f"run: pip install '{DISTRIBUTION}[{extra}]'",
        ) from error
