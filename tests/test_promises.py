"""The page of promises names tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "promises.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)?((?:::\w+)*)(?:\[[\w-]+\])?`")


def named() -> list[tuple[str, str]]:
    """Each test file of the page with a name in it, or with none; a bare ``::name`` is of the
    file named last."""
    found, last = [], ""
    for file, path in NAMED.findall(PAGE.read_text()):
        last = file or last
        names = [name for name in path.split("::") if name]
        found += [(last, name) for name in names or [""]]
    return sorted(set(found))


def test_each_promise_names_a_test_or_a_measurement() -> None:
    lines = PAGE.read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ") and "| shown by |" not in line]
    assert len(rows) > 40
    for row in rows:
        told = row.split("|")[3]
        assert NAMED.search(told) or "scoreboard" in told or "`python -m" in told, row


@pytest.mark.parametrize(("file", "name"), named())
def test_what_it_names_is_there(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text())
    kinds = ast.FunctionDef | ast.ClassDef
    defined = {node.name for node in ast.walk(tree) if isinstance(node, kinds)}
    assert not name or name in defined
