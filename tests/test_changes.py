"""The changes that `tests.mutants` tries, on a synthetic module."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.changes import changes, mutated
from tests.mutants import exchanged

MODULE = '''"""A docstring of 3 words stays."""
import os
LIMIT = 5

def over(value: int, most: int = 7) -> bool:
    """This too."""
    if value > most and not value == LIMIT:
        raise ValueError(f"{value + 1} is too much")
    total = 0
    for number in range(value):
        if number % 2:
            continue
        total += number
    print(total)
    return total >= 2

def spared() -> int:
    return 1  # pragma: no cover - not here
'''
EXPECTED = {
    "LIMIT = 5 -> LIMIT = 6",
    "7 -> 8",
    "value > most and (not value == LIMIT) -> not (value > most and (not value == LIMIT))",
    "value > most and (not value == LIMIT) -> value > most or not value == LIMIT",
    "value > most and (not value == LIMIT) -> value >= most and (not value == LIMIT)",
    "value > most and (not value == LIMIT) -> value > most and value == LIMIT",
    "value > most and (not value == LIMIT) -> value > most and (not value != LIMIT)",
    "raise ValueError(f'{value + 1} is too much') -> pass",
    "total = 0 -> total = 1",
    "number % 2 -> not number % 2",
    "number % 2 -> number // 2",
    "number % 2 -> number % 3",
    "continue -> break",
    "total += number -> total -= number",
    "print(total) -> pass",
    "return total >= 2 -> return None",
    "return total >= 2 -> return total > 2",
    "return total >= 2 -> return total >= 3",
}


def test_every_change_is_made_once_and_changes_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "synthetic_module.py").write_text(MODULE)
    found = list(changes(tmp_path, "synthetic_module.py"))
    assert {f"{one.before} -> {one.after}" for one in found} == EXPECTED
    assert len(found) == len(EXPECTED)
    cold = {one.before for one in found if not one.warm}
    assert cold == {"LIMIT = 5", "7"}
    codes = {mutated(tmp_path / "synthetic_module.py", one.number).co_consts for one in found}
    assert len(codes) == len(found)


def test_an_imported_function_takes_a_change(tmp_path: Path) -> None:
    file = tmp_path / "synthetic_imported.py"
    file.write_text(MODULE)
    spec = importlib.util.spec_from_file_location("synthetic_imported", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "synthetic_imported", module)
        spec.loader.exec_module(module)
        over = module.over
        assert (over(3), over(2)) == (True, False)
        (one,) = [c for c in changes(tmp_path, file.name) if c.after == "return total >= 3"]
        assert exchanged(file, one.number)
        assert not over(3)
        with pytest.raises(ValueError, match="too much"):
            over(8)
