"""Check a recording against the schemas: structure first, then the quality of its data."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from numbers import Integral, Real
from typing import Any

import numpy as np
import xarray as xr

from neurodata import invariants, quality, resources, units
from neurodata.errors import InvalidInputError, NotFoundError, Problem, SchemaError

Rules = Mapping[Any, Any]

_UNITS = units.SYMBOLS | {"mixed", "mm", "um", "nm", "s/mm2"}
"""Units of attributes; lengths in images and graphs keep the scale of their field."""
_OFF_LIST = "an attribute off the allow-list"


@cache
def load(path: str) -> dict[str, Any]:
    """Return a schema by its path below ``schemas``, e.g. ``"representations/volume"``.

    Raises
    ------
    NotFoundError
        When there is none; the message lists those there are.

    Examples
    --------
    >>> load("representations/volume")["schema"]
    'volume/1'
    """
    file = resources.folder("schemas") / f"{path}.json"
    if not re.fullmatch(r"((representations|modalities)/)?[a-z_0-9]+", path) or not file.is_file():
        known = names(path.rpartition("/")[0]) if "/" in path else ["recording"]
        raise NotFoundError("schemas", f"no {path!r}", ", ".join(known))
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def names(family: str) -> list[str]:
    """Return the names of all ``modalities`` or ``representations``.

    Examples
    --------
    >>> "volume" in names("representations")
    True
    """
    return sorted(file.stem for file in (resources.folder("schemas") / family).glob("*.json"))


def check(tree: xr.DataTree) -> list[Problem]:
    """Return every departure of a recording, in raw or physical form, from its schemas.

    Reads coordinates, clocks and indices, never the signals or images.

    Examples
    --------
    >>> print(check(xr.DataTree())[0])
    error: recording: modality: found nothing; expected it among the attributes
    """
    problems = list(_root(tree))
    sound: dict[str, tuple[str, xr.Dataset]] = {}
    folded: dict[str, str] = {}
    for name, child in tree.children.items():
        if name.casefold() in folded:
            twin = folded[name.casefold()]
            problems.append(Problem("error", name, f"a node also called {twin}", "unlike names"))
        folded[name.casefold()] = name
        node = child.to_dataset(inherit=False)
        found = [*_node_name(name, child), *_node(name, node)]
        if not found:
            sound[name] = (node.attrs["representation"], node)
        problems += found
    problems += _modality(tree)
    problems += invariants.relations(sound, set(tree.children) - set(sound))
    return problems


def require(tree: xr.DataTree) -> None:
    """Raise all errors that `check` finds, at once.

    Raises
    ------
    SchemaError
        With every error in its ``problems``.
    """
    errors = [problem for problem in check(tree) if problem.level == "error"]
    if errors:
        raise SchemaError(errors)


def validate(tree: xr.DataTree, expect: Mapping[str, Any] | None = None) -> list[Problem]:
    """Return all findings about a recording: its schemas, its data, and what was expected.

    Walks through signals and images once, in slabs of some 16 MB.

    Parameters
    ----------
    tree : xarray.DataTree
        A recording in raw or physical form.
    expect : mapping, optional
        ``{"nodes": {NODE: {"shape": [...], "rate_hz": ..., "units": ..., "channels": ...}}}``
        with any of these keys; a length of None in ``shape`` matches any.

    Raises
    ------
    InvalidInputError
        When ``expect`` has another form.
    """
    problems = check(tree)
    errors = [problem.where for problem in problems if problem.level == "error"]
    broken = {re.split("[/:]", where)[0] for where in errors}
    modality = str(tree.attrs.get("modality", ""))
    for name, child in tree.children.items():
        if name not in broken:
            problems += quality.findings(name, child.to_dataset(inherit=False), modality)
    return problems + list(expected(tree, expect or {}))


# ---- root and modality


def _root(tree: xr.DataTree) -> Iterator[Problem]:
    schema = load("recording")
    yield from _attrs("recording", tree.attrs, schema["attrs"], schema["required"])
    for group in schema["exclusive"]:
        if all(key in tree.attrs for key in group):
            yield Problem("error", "recording", " and ".join(group), "at most one of them")
    for key, value in tree.attrs.items():
        absent = isinstance(value, str) and value.strip().casefold() in schema["absent_words"]
        if key in schema["attrs"] and absent and key not in schema["absent_words_allowed"]:
            hint = "leave out what is not known"
            yield Problem("error", f"recording: {key}", repr(value), "a fact", hint)
    if tree.to_dataset(inherit=False).variables:
        yield Problem("error", "recording", "variables at the root", "variables in nodes only")
    if not tree.children:
        yield Problem("error", "recording", "no node", "at least one node with data")


def _modality(tree: xr.DataTree) -> Iterator[Problem]:
    modality = tree.attrs.get("modality")
    if not isinstance(modality, str):
        return
    if modality not in names("modalities"):
        known = ", ".join(names("modalities"))
        yield Problem("error", "recording: modality", repr(modality), f"one of {known}")
        return
    rules = load(f"modalities/{modality}")
    there = {name: str(node.attrs.get("representation")) for name, node in tree.children.items()}
    for group in rules["must"]:
        if not set(group) & set(there.values()):
            wanted = " or ".join(group)
            yield Problem("error", "recording", f"no {wanted} node", f"one, as it is {modality}")
    for name, representation in there.items():
        if representation in names("representations") and representation not in rules["may"]:
            may = ", ".join(rules["may"])
            yield Problem("error", name, f"a {representation} node in {modality}", f"one of {may}")


# ---- one node


def _node_name(name: str, child: xr.DataTree) -> Iterator[Problem]:
    if not re.fullmatch(load("recording")["node"]["name"], name):
        yield Problem("error", name, "a node of that name", "letters, digits and _ . - in a name")
    if child.children:
        yield Problem("error", name, "nodes inside a node", "all nodes directly below the root")


def _node(name: str, node: xr.Dataset) -> list[Problem]:
    representation = node.attrs.get("representation")
    known = names("representations")
    if representation not in known:
        found = f"representation {representation!r}"
        return [Problem("error", name, found, f"one of {', '.join(known)}")]
    rules = _rules(str(representation))
    problems = list(_attrs(name, node.attrs, rules["attrs"], rules["required_attrs"]))
    if node.attrs.get("schema", rules["schema"]) != rules["schema"]:
        found = f"schema {node.attrs['schema']!r}"
        problems.append(Problem("error", name, found, repr(rules["schema"])))
    problems += [*_presence(name, node, rules), *_variables(name, node, rules)]
    if all(problem.found == _OFF_LIST for problem in problems):
        problems += invariants.of_node(name, node, rules)
    return problems


@cache
def _rules(representation: str) -> dict[str, Any]:
    """Join what a representation says with what all nodes share."""
    base, own = load("recording"), load(f"representations/{representation}")
    clock = base["clock"] if own.get("clock") else {"attrs": {}, "variables": {}}
    return {
        "required": [], "one_of": [], "any_of": [], "columns": [], "names": [], **own,
        "attrs": {**base["node"]["attrs"], **clock["attrs"], **own["attrs"]},
        "required_attrs": [*base["node"]["required"], *own.get("required_attrs", [])],
        "variables": {**clock["variables"], **own["variables"]},
        "variable_attrs": base["variable"]["attrs"],
    }  # fmt: skip


def allowed_attrs(representation: str, variable: str | None = None) -> frozenset[str]:
    """Return the attributes that a node, or one of its variables, may have.

    Examples
    --------
    >>> sorted(allowed_attrs("intervals"))
    ['representation', 'schema']
    """
    if representation not in names("representations"):
        return frozenset(load("recording")["node"]["attrs"])
    rules = _rules(representation)
    if variable is None:
        return frozenset(rules["attrs"])
    own = rules["variables"].get(variable, {}).get("attrs", {})
    return frozenset({**rules["variable_attrs"], **own})


def _presence(name: str, node: xr.Dataset, rules: Rules) -> Iterator[Problem]:
    for wanted in rules["required"]:
        if wanted not in node.variables:
            yield Problem("error", f"{name}/{wanted}", "nothing", "this variable")
    for key, limit in (("one_of", 1), ("any_of", 9)):
        groups = rules[key]
        whole = [group for group in groups if all(item in node.variables for item in group)]
        if groups and not 0 < len(whole) <= limit:
            choices = " or ".join(" with ".join(group) for group in groups)
            found = "both" if whole else "neither"
            yield Problem("error", name, f"{found} of its forms", choices)


def _variables(name: str, node: xr.Dataset, rules: Rules) -> Iterator[Problem]:
    for key, variable in node.variables.items():
        where, rule = f"{name}/{key}", rules["variables"].get(str(key))
        if rule is None:
            if list(variable.dims) not in [[dim] for dim in rules["columns"]]:
                columns = " or ".join(rules["columns"]) or "none"
                found = f"an unknown variable over ({', '.join(map(str, variable.dims))})"
                yield Problem("error", where, found, f"further columns over {columns} only")
            rule = {"dtype": ["integer", "float", "boolean", "string"]}
        yield from _shape(where, variable, rule)
        allowed = {**rules["variable_attrs"], **rule.get("attrs", {})}
        yield from _attrs(where, variable.attrs, allowed, rule.get("required_attrs", []))
        if rule.get("needs_attr", "schema") not in node.attrs and "schema" in node.attrs:
            fact = rule["needs_attr"]
            hint = f"declare it: --set {fact}=count"
            yield Problem("error", where, f"no {fact}", f"the attribute {fact} of the node", hint)


def _shape(where: str, variable: xr.Variable, rule: Rules) -> Iterator[Problem]:
    if "dims" in rule and not _dims_match(variable.dims, rule["dims"]):
        found = f"dimensions ({', '.join(map(str, variable.dims))})"
        yield Problem("error", where, found, f"({', '.join(rule['dims'])})")
    if not any(_is_dtype(variable, word) for word in rule["dtype"]):
        yield Problem("error", where, f"dtype {variable.dtype}", " or ".join(rule["dtype"]))
    elif "enum" in rule:
        odd = sorted({str(value) for value in variable.values} - set(rule["enum"]))
        if odd:
            yield Problem("error", where, ", ".join(odd[:5]), f"one of {', '.join(rule['enum'])}")


def _dims_match(found: tuple[Any, ...], wanted: list[str]) -> bool:
    rest = list(found)
    for dim in wanted:
        if rest and rest[0] == dim.rstrip("?"):
            rest.pop(0)
        elif not dim.endswith("?"):
            return False
    return not rest


_KINDS = {
    "integer": "iu", "unsigned": "u", "float": "f", "complex": "c", "boolean": "b",
}  # fmt: skip


def _is_dtype(variable: xr.Variable, word: str) -> bool:
    dtype = variable.dtype
    if word == "string":
        if dtype.kind == "O":
            return all(isinstance(value, str) for value in np.ravel(variable.values))
        return dtype.kind in "UT"
    return dtype.kind in _KINDS[word] if word in _KINDS else dtype.name == word


# ---- attributes


def _attrs(where: str, found: Rules, rules: Rules, required: list[str]) -> Iterator[Problem]:
    for key in required:
        if key not in found:
            yield Problem("error", f"{where}: {key}", "nothing", "it among the attributes")
    for key, value in found.items():
        place = f"{where}: {key}"
        if key not in rules:
            known = ", ".join(rules) or "none"
            hint = "neurodata.privacy.scrub drops it"
            yield Problem("error", place, _OFF_LIST, known, hint)
            continue
        wanted = _mismatch(value, rules[key])
        if wanted:
            yield Problem("error", place, repr(value)[:80], wanted)
        elif key in ("units", "weight_units") and value not in _UNITS:
            hint = "convert it with neurodata.units.to_si"
            yield Problem("error", place, repr(value)[:80], "a canonical unit", hint)


def _mismatch(value: object, rule: Rules) -> str:
    """Return what was expected of an attribute, or nothing when its value is right."""
    kinds = [rule["type"]] if isinstance(rule["type"], str) else rule["type"]
    if not any(_TYPES[kind](value) for kind in kinds):
        return "a " + " or ".join(kinds)
    if "enum" in rule and value not in rule["enum"]:
        return f"one of {', '.join(map(str, rule['enum']))}"
    if "pattern" in rule and not re.fullmatch(rule["pattern"], str(value)):
        return f"text like {rule['pattern']}"
    texts = isinstance(value, str)
    numbers = [] if texts else [float(item) for item in np.ravel(np.asarray(value))]
    if "count" in rule and len(numbers) != rule["count"]:
        return f"{rule['count']} numbers"
    if any(number < rule.get("min", -math.inf) for number in numbers):
        return f"at least {rule['min']}"
    if any(number > rule.get("max", math.inf) for number in numbers):
        return f"at most {rule['max']}"
    if any(number <= rule.get("over", -math.inf) for number in numbers):
        return f"over {rule['over']}"
    return ""


def _is_integer(value: object) -> bool:
    return type(value) is not bool and isinstance(value, Integral)


def _is_number(value: Any) -> bool:
    return type(value) is not bool and isinstance(value, Real) and math.isfinite(value)


def _is_integers(value: object) -> bool:
    return isinstance(value, (list, tuple, np.ndarray)) and all(map(_is_integer, value))


_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": _is_integer,
    "integers": _is_integers,
    "flag": lambda value: isinstance(value, (Integral, np.bool_)) and value in (0, 1),
}


# ---- declared expectations


def expected(tree: xr.DataTree, expect: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield where a recording departs from what was declared of it (see `validate`)."""
    for name, facts in expect.get("nodes", {}).items():
        if unknown := set(facts) - {"shape", "rate_hz", "units", "channels"}:
            raise InvalidInputError(
                f"expect: {name}", ", ".join(sorted(unknown)), "shape, rate_hz, units, channels"
            )
        if name not in tree.children:
            yield Problem("error", name, "no such node", "it, as declared in expect")
            continue
        node = tree.children[name].to_dataset(inherit=False)
        for fact, wanted in facts.items():
            there = _fact(node, fact)
            if not _agrees(there, wanted):
                yield Problem("error", f"{name}: {fact}", str(there), f"{wanted}, as declared")


def _fact(node: xr.Dataset, fact: str) -> Any:
    representation = str(node.attrs.get("representation"))
    known = representation in names("representations")
    wanted = load(f"representations/{representation}")["main"] if known else []
    main = next((node[key] for key in wanted if key in node.variables), None)
    if fact == "shape":
        return None if main is None else list(main.shape)
    if fact == "channels":
        return node.sizes.get("channel")
    if fact == "units":
        return node.attrs.get("units", None if main is None else main.attrs.get("units"))
    return invariants.rate_hz(node)


def _agrees(there: Any, wanted: Any) -> bool:
    if isinstance(there, list) and isinstance(wanted, (list, tuple)):
        return len(there) == len(wanted) and all(
            b is None or a == b for a, b in zip(there, wanted, strict=True)
        )
    if isinstance(there, float) and isinstance(wanted, Real):
        return math.isclose(there, float(wanted), rel_tol=1e-6)
    return bool(there == wanted)
