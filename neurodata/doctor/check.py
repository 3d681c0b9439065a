"""What a check gives: what was looked at, what was found, and findings."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from neurodata.errors import Problem


@dataclass(frozen=True)
class Check:
    """One check: its name, what was found in a few words, and what is wrong."""

    name: str
    found: str
    problems: tuple[Problem, ...] = ()

    @property
    def level(self) -> str:
        """The worst level of the findings, or ``ok``."""
        levels = {problem.level for problem in self.problems}
        return next((name for name in ("error", "warning", "note") if name in levels), "ok")


def run(*words: object) -> str:
    """Return a hint with a command as a shell takes it.

    Examples
    --------
    >>> run("pip", "install", "numpy>=2.1")
    "run: pip install 'numpy>=2.1'"
    """
    return f"run: {shlex.join(map(str, words))}"
