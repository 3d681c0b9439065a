"""JSON and YAML that mean two things, have no bottom, run code or hold numbers that are none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.hostile.case import Case, marker, raw_folder
from tests.hostile.twins import declared, make

Spoil = Callable[[str], str]
DEPTH = 100_000


def added(text: str) -> Spoil:
    """Return what puts text before the last brace."""

    def spoil(whole: str) -> str:
        last = whole.rindex("}")
        return f'{whole[:last].rstrip()}, "synthetic": {text}{whole[last:]}'

    return spoil


def twice(whole: str) -> str:
    """The first key comes again, with another value."""
    key = re.search(r'"[^"]+"\s*:', whole)
    assert key
    last = whole.rindex("}")
    return f"{whole[:last].rstrip()}, {key[0]} 1{whole[last:]}"


def nested_twice(whole: str) -> str:
    return added('{"a": 1, "a": 2}')(whole)


TWO_MEANINGS: tuple[tuple[str, str, Spoil], ...] = (
    ("key-twice", "a key twice", twice),
    ("key-twice-within", "a key twice within a value", nested_twice),
    ("deep", "lists 100,000 deep", added("[" * DEPTH + "]" * DEPTH)),
    ("digits", "a whole number of 5,000 digits", added("9" * 5000)),
    ("after-end", "a second document after the first", lambda whole: whole + "{}"),
    ("cut", "a document that is cut", lambda whole: whole[: 2 * len(whole) // 3]),
    ("list", "a list in place of an object", lambda whole: f"[{whole}]"),
    ("utf16", "letters of two bytes", lambda whole: "\0".join(whole)),
)
NO_NUMBERS: tuple[tuple[str, str, Spoil], ...] = (
    ("nan", "a number that is none", added("NaN")),
    ("infinity", "an infinite number", added("-Infinity")),
    ("overflow", "a number beyond all numbers", added("1e999")),
)


def spoiled(story: str, name: str, spoil: Spoil, folder: Path) -> Path:
    """A valid recording with one JSON file spoiled."""
    main = make(story, folder)
    if name == SIDE_CAR:
        main.rename(main.with_name(SIDE_CAR).with_suffix(".edf"))
        (raw_folder(folder) / SIDE_CAR).write_text(json.dumps({"TaskName": "rest", "a": "Cz"}))
    paths = sorted(raw_folder(folder).rglob("*"))
    path = next(path for path in paths if path.as_posix().endswith(name))
    path.write_text(spoil(path.read_text()))
    return raw_folder(folder)


SIDE_CAR = "sub-01_task-rest_eeg.json"
EDF = "edf.TestEdf"
JSONS: tuple[tuple[str, str, str, bool], ...] = (
    ("bids", EDF, SIDE_CAR, True),
    ("coco", "boxes.TestCoco", ".json", True),
    ("zarr-2", "zarr_array.Test2", ".zarray", False),
    ("zarr-3", "zarr_array.Test3", "synthetic.zarr/raw/zarr.json", False),
    ("ome-zarr", "ome_zarr.Test04", "synthetic.zarr/.zattrs", False),
    ("precomputed", "precomputed.TestRaw", "info", False),
)
"""Whether a number that is none is refused wherever it stands; in others where it is used."""


# ---- YAML: pipelines and the facts of a folder

PIPELINE: dict[str, Any] = {
    "id": "synthetic", "version": 1, "title": "Synthetic", "licence": "CC0-1.0",
    "citation": "made up", "modality": "eeg", "sources": [{"path": "data"}],
}  # fmt: skip


def pipeline(text: str | Callable[[Path], str], folder: Path) -> Path:
    """A pipeline whose text has some lines more."""
    make(EDF, folder)
    raw = raw_folder(folder)
    (raw / "data").mkdir()
    for path in [p for p in raw.iterdir() if p.is_file()]:
        path.rename(raw / "data" / path.name)
    told = text if isinstance(text, str) else text(folder)
    facts = declared(EDF)
    whole = {**PIPELINE, **({"declare": facts} if facts else {})}
    head = "".join(f"{key}: {json.dumps(value)}\n" for key, value in whole.items())
    first = re.match(r"(\w+):", told)
    if first and first[1] in whole:
        head = re.sub(rf"^{first[1]}: .*\n", "", head, flags=re.M)
    (raw / "synthetic.yaml").write_text(head + told)
    return raw / "synthetic.yaml"


def side_file(text: str | Callable[[Path], str], folder: Path) -> Path:
    """A folder whose file of facts has this text."""
    make(EDF, folder)
    told = text if isinstance(text, str) else text(folder)
    (raw_folder(folder) / "neurodata.yaml").write_text(told)
    return raw_folder(folder)


def code(tag: str, folder: Path) -> str:
    path = marker(folder)
    calls = {
        "python/object/apply:os.system": f"['touch {path}']",
        "python/object/apply:builtins.open": f"[{path}, w]",
        "python/object/new:type": "[z, !!python/tuple [], {extend: !!python/name:exec }]",
        "python/name:os.system": "''",
    }
    return f"declare: {{subject: !!{tag} {calls[tag]}}}\n"


BOMB = "declare:\n" + "".join(
    f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'ha'}]\n" for n in range(10)
)
YAML: tuple[tuple[str, str, str | Callable[[Path], str]], ...] = (
    ("alias", "an alias", "declare: {subject: &a x, session: *a}\n"),
    ("alias-bomb", "aliases that multiply to a billion", BOMB),
    ("alias-circle", "a mapping within itself", "declare: &a {subject: *a}\n"),
    ("merge", "a merge of mappings", "declare: &a {subject: x}\nlabels: {<<: *a}\n"),
    ("key-twice", "a key twice", "declare: {subject: x, subject: y}\n"),
    ("deep", "lists 100,000 deep", "declare: {subject: " + "[" * DEPTH + "]" * DEPTH + "}\n"),
    ("nan", "a rate that is no number", "declare: {rate_hz: .nan}\n"),
    ("infinity", "a rate without end", "declare: {rate_hz: .inf}\n"),
    ("digits", "a number of 5,000 digits", f"declare: {{rate_hz: {'9' * 5000}}}\n"),
    ("octal", "a number that loses its spelling", "declare: {subject: 007}\n"),
    ("binary", "bytes", "declare: {subject: !!binary AAECAw==}\n"),
    ("set", "a set", "declare: {subject: !!set {x, y}}\n"),
    ("date", "a date", "declare: {subject: 2024-01-01}\n"),
    ("unknown-key", "a key of no meaning", "synthetic: 1\n"),
    ("second", "a second document", "declare: {}\n---\ndeclare: {}\n"),
    ("wide", "a number of 400 digits", f"declare: {{rate_hz: {'9' * 400}}}\n"),
    ("control", "a character that YAML may not have", "declare: {subject: \"\x07\"}\n"),
    *((f"code-{n}", f"the tag {tag}, which runs code", partial(code, tag))
      for n, tag in enumerate((
          "python/object/apply:os.system", "python/object/apply:builtins.open",
          "python/object/new:type", "python/name:os.system"))),
)  # fmt: skip
CASES: tuple[Case, ...] = (
    *(Case(f"{form}-json-{name}", 27, f"{says}, in {form}", partial(spoiled, story, file, spoil),
           False, partial(declared, story))
      for form, story, file, strict in JSONS
      for name, says, spoil in (*TWO_MEANINGS, *(NO_NUMBERS if strict else ()))),
    *(Case(f"pipeline-yaml-{name}", 27, f"{says}, in a pipeline", partial(pipeline, text),
           name.startswith("code"))
      for name, says, text in YAML),
    *(Case(f"facts-yaml-{name}", 27, f"{says}, in the facts of a folder", partial(side_file, text),
           name.startswith("code"))
      for name, says, text in YAML),
)  # fmt: skip
VALID: tuple[Case, ...] = (
    Case("pipeline-yaml-valid", 0, "a pipeline", partial(pipeline, "labels: {}\n")),
    Case("facts-yaml-valid", 0, "facts of a folder",
         partial(side_file, "declare: {subject: synthetic}\n"), facts=partial(declared, EDF)),
    Case("bids-json-valid", 0, "a side-car",
         partial(spoiled, EDF, SIDE_CAR, str), facts=partial(declared, EDF)),
)  # fmt: skip
