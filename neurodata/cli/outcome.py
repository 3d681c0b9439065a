"""What a verb gives back, and how it is shown: a table for people, one object for machines."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, NoReturn, cast

import typer

from neurodata.errors import (
    InvalidInputError,
    Level,
    MissingDependencyError,
    NeurodataError,
    NotFoundError,
    Problem,
    ProblemsError,
    RefusedError,
)
from neurodata.secret import scrubbed

PIPED_WIDTH = 132
DONE, FAILED, MISUSE, FAULT = 0, 1, 2, 3
PLACES = 2  # that are named of those that a finding is about
STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


@dataclass(frozen=True)
class Outcome:
    """Items (rows of one form), findings, and a sentence for people.

    ``table`` holds the rows that people see where these are not the items.
    """

    items: Sequence[Mapping[str, Any]] = ()
    problems: Sequence[Problem] = ()
    says: str = ""
    failed: bool = False
    columns: Sequence[str] = ()
    table: Sequence[Mapping[str, Any]] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing failed and no finding is an error."""
        return not self.failed and not any(p.level == "error" for p in self.problems)


def run(verb: Callable[[], Outcome], as_json: bool) -> NoReturn:
    """Do what a verb does, show it, and end with the exit code that says how it went."""
    try:
        outcome = verb()
    except (InvalidInputError, NotFoundError, MissingDependencyError) as error:
        outcome, code = Outcome(problems=[error.problem]), MISUSE
    except ProblemsError as error:
        outcome, code = Outcome(problems=error.problems), FAILED
    except RefusedError as error:
        outcome, code = Outcome(problems=[error.problem]), FAILED
    except NeurodataError as error:
        outcome, code = Outcome(problems=[Problem("error", "neurodata", str(error))]), FAILED
    except Exception as error:  # the last resort: a fault is shown as one, with its traceback
        sys.stderr.write(clean(traceback.format_exc()))
        found = f"{type(error).__name__}: {error}"
        outcome, code = Outcome(problems=[Problem("error", "neurodata", found)]), FAULT
    else:
        code = DONE if outcome.ok else FAILED
    show_json(outcome) if as_json else show_text(outcome)
    raise typer.Exit(code)


def show_json(outcome: Outcome) -> None:
    """Print one JSON object: ok, items, problems."""
    problems = [problem.as_dict() for problem in outcome.problems]
    whole = {"ok": outcome.ok, "items": _plain(outcome.items), "problems": problems}
    text = json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("".join(map(_escaped, text)) + "\n")


def _plain(value: Any) -> Any:
    """Return a value for JSON: no secrets, and None for NaN and infinities."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {scrubbed(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int) else scrubbed(str(value))


def _escaped(character: str) -> str:
    """Return a character as JSON may show it: those that drive a terminal as ``\\u`` escapes."""
    if character.isprintable() or character == "\n":
        return character
    code = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{code[i : i + 4]}" for i in range(0, len(code), 4))


def show_text(outcome: Outcome) -> None:
    """Print a table of items, then the findings, errors last, then the sentence.

    Findings that differ in their places only are one line with the first places.
    """
    from rich.console import Console
    from rich.markup import escape

    console = Console(emoji=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    if outcome.items or outcome.table:
        console.print(_table(outcome))
    for problem in gathered(outcome.problems):
        style = STYLES[problem.level]
        text = str(problem).removeprefix(f"{problem.level}: ")
        text = clean(text).replace("\n", "\n    ")  # a name with a line end makes no finding
        console.print(f"[{style}]{problem.level}[/{style}] {escape(text)}", soft_wrap=True)
    if outcome.says:
        console.print(escape(clean(outcome.says)), soft_wrap=True)


def gathered(problems: Sequence[Problem]) -> list[Problem]:
    """Return findings by level, errors last, those that say the same of many places as one.

    Examples
    --------
    >>> found = [Problem("note", name, "a document") for name in ("a", "b", "c", "d")]
    >>> print(gathered([Problem("error", "e", "zeros"), *found])[0])
    note: a, b and 2 more: found a document
    """
    places: dict[tuple[str, str, str, str], list[str]] = {}
    for problem in sorted(problems, key=lambda each: list(STYLES)[::-1].index(each.level)):
        what = (problem.level, problem.found, problem.expected, problem.hint)
        places.setdefault(what, []).append(problem.where)
    found = []
    for (level, *says), where in places.items():
        more = len(where) - PLACES
        listed = ", ".join(where[:PLACES]) + (f" and {more} more" if more > 0 else "")
        found.append(Problem(cast(Level, level), listed, *says))
    return found


def counted(problems: Sequence[Problem]) -> str:
    """Return how many findings there are of each level, as in ``"1 error, 2 notes"``."""
    counts = {level: sum(p.level == level for p in problems) for level in STYLES}
    parts = [f"{n} {level}{'s' * (n > 1)}" for level, n in counts.items() if n]
    return ", ".join(parts) or "no findings"


def _table(outcome: Outcome) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    rows = outcome.table or outcome.items
    columns = outcome.columns or list(rows[0])
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for item in rows:
        table.add_row(*(_cell(item.get(column)) for column in columns))
    return table


def _cell(value: Any) -> str:
    from rich.markup import escape

    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return escape(clean(", ".join(map(str, value))))
    return escape(clean(str(value)))


def clean(text: str) -> str:
    """Return text without secrets and control characters, so that data cannot drive a terminal.

    Examples
    --------
    >>> clean("a" + chr(27) + "[31mb")
    'a?[31mb'
    """
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in scrubbed(text))


def size(count: float) -> str:
    """Return a size in bytes for people.

    Examples
    --------
    >>> size(1500)
    '1.5 kB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


SCORE_COLUMNS = ("task", "model", "metric", "score", "blocks")


def scored(scores: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return scores with two columns for people: the interval beside the value, and the task."""
    return [
        {
            **score,
            "task": f"{score['dataset']} {score['task']}",
            "score": f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]",
            "blocks": score["n_blocks"],
        }
        for score in scores
    ]
