"""Single changes of a Python module, as `tests.mutants` tries them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from types import CodeType
from typing import Any

OTHER: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div,
    ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
    ast.Pow: ast.Mult, ast.Break: ast.Continue, ast.Continue: ast.Break,
}  # fmt: skip
CLEAR = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)  # OTHER turns these round
ASIDE = {"annotation", "returns", "decorator_list", "format_spec"}
SILENT = (ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.JoinedStr)
COMPOUND = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.If, ast.For, ast.While, ast.With,
    ast.Try, ast.Match,
)  # fmt: skip
SHOWN = 60  # letters on each side of a change
EQUIVALENT = Path(__file__).with_name("equivalent_changes.txt")


@dataclass(frozen=True)
class Change:
    """One change of a module; ``warm`` when it is inside a function."""

    path: str
    number: int
    first: int
    last: int
    before: str
    after: str
    warm: bool

    def __str__(self) -> str:
        return f"{self.path}:{self.first}\n  - {self.before}\n  + {self.after}"

    @property
    def key(self) -> str:
        """Its name in the list of changes that make no difference."""
        return f"{self.path}: {self.before} => {self.after}".strip()


@dataclass
class _Site:
    """A node, what holds it, what stands in its place, and the statement or condition around."""

    holder: Any
    key: Any
    old: ast.AST
    new: ast.AST
    unit: ast.AST
    warm: bool

    def put(self, node: ast.AST) -> None:
        if isinstance(self.holder, list):
            self.holder[self.key] = node
        else:
            setattr(self.holder, self.key, node)


def changes(root: Path, path: str) -> Iterator[Change]:
    """Yield every change of a module below a folder."""
    text = _source(root / path)
    spared = {i for i, line in enumerate(text.splitlines(), 1) if "pragma: no cover" in line}
    for number, site in enumerate(_sites(ast.parse(text))):
        first, last = site.unit.lineno, site.unit.end_lineno  # type: ignore[attr-defined]
        if not spared & {*range(first, last + 1)}:
            before = _text(site.unit)
            site.put(site.new)
            after = _text(site.new if site.unit is site.old else site.unit)
            site.put(site.old)
            yield Change(path, number, first, last, *_near(before, after), site.warm)


@cache
def _source(file: Path) -> str:
    """Return a text as it was at the first look; who edits it meanwhile does no harm."""
    return file.read_text(encoding="utf-8")


def mutated(file: Path, number: int) -> CodeType:
    """Compile a module with one change."""
    tree = ast.parse(_source(file))
    for i, site in enumerate(_sites(tree)):
        if i == number:
            site.put(site.new)
            break
    return compile(ast.fix_missing_locations(tree), str(file), "exec", dont_inherit=True)


def equivalent() -> dict[str, str]:
    """Return the changes that make no difference, with the reason."""
    if not EQUIVALENT.exists():
        return {}
    lines = EQUIVALENT.read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("  # ") for line in lines if line and not line.startswith("#")]
    return {key.strip(): reason for key, _, reason in pairs}


def _text(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())


def _near(before: str, after: str) -> tuple[str, str]:
    """Return the parts of two texts around where they differ."""
    start = _same(before, after)
    low = max(0, start - SHOWN)
    end = _same(before[start:][::-1], after[start:][::-1])
    cut = max(0, end - SHOWN)
    return before[low : len(before) - cut], after[low : len(after) - cut]


def _same(one: str, other: str) -> int:
    """Return how many letters two texts begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _sites(node: ast.AST, unit: ast.AST | None = None, warm: bool = False) -> Iterator[_Site]:
    """Walk a tree; ``unit`` is the simple statement, or the condition, that a node is part of."""
    for name, value in ast.iter_fields(node):
        if name in ASIDE:
            continue
        inner = warm or (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and name == "body"
        )
        several = isinstance(value, list)
        for key, child in enumerate(value) if several else [(name, value)]:
            if not isinstance(child, ast.AST) or isinstance(child, SILENT) or _is_note(child):
                continue
            own = unit
            if own is None and isinstance(child, ast.stmt | ast.expr | ast.pattern):
                own = None if isinstance(child, COMPOUND) else child
            if own is not None:
                for new in _instead(node, child):
                    yield _Site(value if several else node, key, child, new, own, inner)
            if not isinstance(child, ast.Raise):
                yield from _sites(child, own, inner)


def _is_note(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _instead(parent: ast.AST, node: ast.AST) -> Iterator[ast.AST]:
    """Yield what could stand in the place of a node."""
    if type(node) in OTHER:
        yield _at(OTHER[type(node)](), node)
    match node:
        case ast.Raise() | ast.Expr(value=ast.Call()) | ast.Delete():
            yield _at(ast.Pass(), node)
        case ast.Expr(value=ast.Yield() | ast.YieldFrom()):
            yield _at(ast.Expr(ast.YieldFrom(ast.Tuple([], ast.Load()))), node)
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Constant(value=bool()):
            yield _at(ast.Constant(not node.value), node)
        case ast.Constant(value=int() | float() as number):
            yield _at(ast.Constant(number + 1), node)
        case ast.Return(value=ast.expr()) if not _is_false(node.value):
            yield _at(ast.Return(ast.Constant(None)), node)
    if _is_condition(parent, node) and _is_vague(node):
        yield _at(ast.UnaryOp(ast.Not(), node), node)  # type: ignore[arg-type]


def _at(new: ast.AST, old: ast.AST) -> ast.AST:
    return ast.fix_missing_locations(ast.copy_location(new, old))


def _is_false(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and not node.value


def _is_condition(parent: ast.AST, node: ast.AST) -> bool:
    if isinstance(parent, ast.If | ast.IfExp | ast.While):
        return node is parent.test
    return isinstance(parent, ast.comprehension) and node in parent.ifs


def _is_vague(test: ast.AST) -> bool:
    """Say whether no other change turns a condition round."""
    if isinstance(test, ast.Compare):
        return len(test.ops) > 1 or not isinstance(test.ops[0], CLEAR)
    return not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not))
