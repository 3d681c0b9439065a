"""The report: one HTML page that holds everything it shows and loads nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from itertools import zip_longest
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from neurodata.errors import DISTRIBUTION, NeurodataError, Problem, RefusedError
from neurodata.report import markup
from neurodata.report.inventory import Readable, header, inventory
from neurodata.report.markup import Html, element, escape, join
from neurodata.report.pictures import draw, nodes_to_draw
from neurodata.report.scorecards import score_sections
from neurodata.report.splitbars import split_section
from neurodata.schema import validate
from neurodata.splits.whole_file import replace
from neurodata.store.files import make_folders

if TYPE_CHECKING:
    from neurodata.splits import Split

PICTURES_BYTES = 5_500_000  # a third more as text, so that the page stays below 8 MB
PICTURES_EACH = 8
Findings = Mapping[str, Sequence[Problem]]


def write_report(
    store: Readable,
    out: str | os.PathLike[str],
    *,
    datasets: Iterable[str] | None = None,
    splits: Sequence[Split] = (),
    scores: Sequence[Mapping[str, Any]] = (),
    findings: Findings | None = None,
) -> Path:
    """Write one self-contained HTML page about a store.

    Parameters
    ----------
    store : Store
    out : path
        The page; its folder is made, an older page is replaced.
    datasets : iterable of str, optional
        Only these; default is all.
    splits : sequence of Split
        Drawn and audited.
    scores : sequence of dict
        ``task``, ``title``, ``dataset``, ``model``, ``role`` ("baseline" or "model"), ``metric``,
        ``higher_is_better``, ``value`` with its 95 % interval ``low`` to ``high``, ``units``,
        ``n_test``, ``split_digest``, ``seed``, ``seconds``, ``note``.
    findings : mapping of id to problems, optional
        Default is what `neurodata.validate` finds in each recording.

    Returns
    -------
    Path

    Raises
    ------
    OSError
        When the page cannot be written.

    Examples
    --------
    ``write_report(neurodata.open_store("store"), "report.html")``
    """
    ids = _ids(store, datasets)
    manifests, problems = _manifests(store, ids)
    given = findings if findings is not None else {n: _validated(store, n) for n in manifests}
    problems += [(name, problem) for name in manifests for problem in given.get(name, ())]
    worst = markup.worst(problem for _, problem in problems)
    sections = [
        ("recordings", "What is in the store", [inventory(store, manifests)]),
        ("pictures", "Pictures", _pictures(store, list(manifests))),
        ("findings", "Findings", [markup.findings(problems)]),
        ("splits", "Splits", [split_section(split, store) for split in splits]),
        ("scores", "Scores", score_sections(scores)),
    ]
    body = [header(store, manifests, ids, worst), *_sections(sections)]
    return _write(Path(out), f"{store.path.name or 'store'}: neurodata report", join(body))


def _ids(store: Readable, datasets: Iterable[str] | None) -> list[str]:
    if datasets is None:
        return store.ids()
    return [name for dataset in datasets for name in store.ids(dataset)]


def _manifests(
    store: Readable, ids: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], list[tuple[str, Problem]]]:
    """Read what can be read; a damaged recording is a finding and the page goes on."""
    manifests, problems = {}, []
    for name in ids:
        try:
            manifests[name] = store.manifest(name)
        except NeurodataError as error:
            problems.append((name, _problem(name, error)))
    return manifests, problems


def _validated(store: Readable, name: str) -> list[Problem]:
    try:
        return validate(store.raw(name))
    except NeurodataError as error:
        return [_problem(name, error)]


def _problem(name: str, error: NeurodataError) -> Problem:
    return error.problem if isinstance(error, RefusedError) else Problem("error", name, str(error))


def _sections(sections: Sequence[tuple[str, str, Sequence[Html]]]) -> list[Html]:
    """Return a line of links and the sections that have content."""
    present = [section for section in sections if section[2]]
    links = [element("a", escape(title), href=f"#{anchor}") for anchor, title, _ in present]
    made = [
        element("section", element("h2", escape(title), id=anchor), join(content))
        for anchor, title, content in present
    ]
    return [element("nav", *links), *made]


# --- pictures ---------------------------------------------------------------------------------


def _pictures(store: Readable, ids: Sequence[str]) -> list[Html]:
    """Draw recordings in turn, one of each data set at a time, until the page is full."""
    drawn: dict[str, list[Html]] = {}
    room = PICTURES_BYTES
    for name in _in_turn(ids):
        if room <= 0:
            break
        drawn[name], used = _recording(store, name)
        room -= used
    parts = [join([element("h3", escape(name)), *drawn[name]]) for name in ids if drawn.get(name)]
    if left := len(ids) - len(drawn):
        told = f"{left} more recordings are not drawn, to keep the page small; each can be: "
        command = element("code", escape("neurodata show ID --picture FILE"))
        parts.append(element("p", escape(told), command, class_="soft"))
    return parts


def _in_turn(ids: Sequence[str]) -> list[str]:
    """Order ids so that each data set comes once before any comes again.

    Examples
    --------
    >>> _in_turn(["a/1", "a/2", "b/1"])
    ['a/1', 'b/1', 'a/2']
    """
    groups: dict[str, list[str]] = {}
    for name in ids:
        groups.setdefault(name.partition("/")[0], []).append(name)
    return [name for turn in zip_longest(*groups.values()) for name in turn if name]


def _recording(store: Readable, name: str) -> tuple[list[Html], int]:
    """Draw one recording's nodes, those not already shown within another's picture."""
    figures: list[Html] = []
    shown: set[str] = set()
    used = 0
    try:
        tree = store[name]
        for node in list(nodes_to_draw(tree))[:PICTURES_EACH]:
            if node not in shown:
                made = draw(tree, node)
                shown |= set(made.nodes)
                used += len(made.png)
                figures.append(markup.figure(made.png, f"{made.alt}, {name}", made.caption))
    except NeurodataError as error:
        told = f"not drawn: {error}"
        figures.append(element("p", escape(told), class_="level error"))
    return figures, used


# --- file -------------------------------------------------------------------------------------


def _write(out: Path, title: str, body: Html) -> Path:
    """Fill the template and put the page in place in one step."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        number = version(DISTRIBUTION)
    except PackageNotFoundError:
        number = ""
    template = resources.files("neurodata.report").joinpath("page.html").read_text("utf-8")
    page = Template(template).substitute(title=escape(title), body=body, version=escape(number))
    make_folders(out.parent)
    replace(out, page)
    return out
