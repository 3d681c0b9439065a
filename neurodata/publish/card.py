"""The data set card: README.md with the front matter that Hugging Face reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from neurodata.errors import InvalidInputError
from neurodata.publish.facts import Facts
from neurodata.publish.licence import hugging_face, url
from neurodata.publish.tables import RECORDINGS, Files
from neurodata.shown import shown
from neurodata.splits import Split
from neurodata.store.files import sha256, write

SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"))
LISTED = ("recording_id", "modality", "subject", "nodes", "rate_hz", "units", "size_bytes")
LISTED_ROWS = 100
MARKUP = re.compile(r"([\\`*|\[\]~$])")


def write_card(folder: Path, facts: Facts, tables: Files, splits: Sequence[Split]) -> None:
    """Write ``README.md``; the config of the recordings is the default.

    Raises
    ------
    InvalidInputError
        When two sides of a split have the same name on Hugging Face.
    """
    found = [pq.read_table(path).to_pylist() for path in tables[RECORDINGS].values()]
    rows = [row for side in found for row in side]
    front = yaml.safe_dump(
        _front(folder, facts, tables, len(rows)), sort_keys=False, allow_unicode=True
    )
    body = [
        f"# {plain(facts.title)}",
        plain(facts.summary),
        "## Recordings",
        _listing(rows),
        "## How to read it",
        _usage(tables),
        *(["## Labels", _bullets(facts.labels)] if facts.labels else []),
        *(["## Splits", "\n".join(map(_split, splits))] if splits else []),
        "## Licence and citation",
        "\n".join(_licence(name) for name in facts.licences),
        *map(plain, facts.citations),
    ]
    text = "\n\n".join(part for part in body if part)
    write(folder / "README.md", f"---\n{front}---\n\n{text}\n".encode())


def plain(text: str) -> str:
    """Return a text that Markdown and HTML show as it is, on one line.

    Examples
    --------
    >>> print(plain("a|b\\n<script>[x](y)"))
    a\\|b &lt;script&gt;\\[x\\](y)
    """
    text = " ".join(shown(text).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return MARKUP.sub(r"\\\1", text)


def side_name(side: str) -> str:
    """Return a side's name in the form that `datasets` takes.

    Examples
    --------
    >>> side_name("held-out")
    'held_out'
    """
    return re.sub(r"\W", "_", side, flags=re.ASCII)


def _front(folder: Path, facts: Facts, tables: Files, count: int) -> dict[str, Any]:
    sides = list(tables[RECORDINGS])
    if len({side_name(side) for side in sides}) < len(sides):
        raise InvalidInputError(
            "split", f"the sides {', '.join(sides)}", "names that differ in letters and digits",
            "make the split with other names",
        )  # fmt: skip
    configs = [
        {
            "config_name": name,
            **({"default": True} if name == RECORDINGS else {}),
            "description": _fingerprint(files.values()),
            "data_files": [
                {"split": side_name(side), "path": path.relative_to(folder).as_posix()}
                for side, path in files.items()
            ],
        }
        for name, files in tables.items()
    ]
    licence = hugging_face(facts.licences)
    named = {
        "license_name": re.sub(r"[^a-z0-9.-]+", "-", "-and-".join(facts.licences).lower()),
        "license_link": "LICENSES",
    }
    return {
        "license": licence,
        **(named if licence == "other" else {}),
        "pretty_name": facts.title,
        "tags": sorted({"neuroscience", "zarr", *facts.modalities, *facts.tags}),
        "size_categories": [next((name for top, name in SIZES if count < top), "n>1M")],
        "configs": configs,
    }


def _fingerprint(paths: Iterable[Path]) -> str:
    """Return a digest of a table, without which `datasets` reuses what it cached of a path."""
    together = hashlib.sha256("".join(map(sha256, paths)).encode())
    return f"sha256 of the sha256 of its files: {together.hexdigest()}"


def _listing(rows: Sequence[Mapping[str, Any]]) -> str:
    shown = [key for key in LISTED if any(row.get(key) is not None for row in rows)]
    lines = [shown, ["---"] * len(shown)]
    lines += [[_cell(row[key]) for key in shown] for row in rows[:LISTED_ROWS]]
    rest = len(rows) - LISTED_ROWS
    more = f"\n\n… and {rest} more in `tables/{RECORDINGS}`." if rest > 0 else ""
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + more


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else plain(str(value))


def _usage(tables: Files) -> str:
    names = ", ".join(f"`{name}`" for name in tables)
    side = side_name(next(iter(tables[RECORDINGS])))
    return (
        f"Tables: {names}. The recordings themselves are Zarr v3 stores below `stores/`, each with "
        "a manifest that lists the sha256 of every file.\n\n"
        "```python\n"
        "import datasets, xarray\n\n"
        'folder = "."  # where this data set lies\n'
        f'table = datasets.load_dataset(folder, "{RECORDINGS}", split="{side}")\n'
        'tree = xarray.open_datatree(f"{folder}/{table[0][\'store\']}", engine="zarr",\n'
        "                            consolidated=False)\n"
        "```\n\n"
        "Opened so, signals that were recorded as integers are `signal_adc` (or `image_adc`), to "
        "be multiplied by `scale` and shifted by `offset`; `neurodata` does both."
    )


def _bullets(labels: Mapping[str, str]) -> str:
    return "\n".join(f"- `{name}`: {plain(text)}" for name, text in labels.items())


def _licence(name: str) -> str:
    link = url(name)
    return f"- [{plain(name)}]({link})" if link else f"- {plain(name)}"


def _split(split: Split) -> str:
    counts = ", ".join(f"{side} {len(set(split.ids(side)))}" for side in split.fractions)
    return f"- by {plain(split.by)}, digest `{split.digest}`: recordings in {counts}"
