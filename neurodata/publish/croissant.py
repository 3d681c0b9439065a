"""Croissant metadata (MLCommons Croissant 1.1): every file, every column, every side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from neurodata.publish.citation import creators
from neurodata.publish.facts import Facts
from neurodata.publish.licence import url
from neurodata.publish.tables import RECORDINGS, Files
from neurodata.store.files import listing, sha256, write
from neurodata.store.manifest import NAME, TREE, read

FILE = "croissant.json"
STORES = "stores"
PREFIXED = (
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract",
    "field", "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray",
    "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references",
    "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{key: f"cr:{key}" for key in PREFIXED},
}
PARQUET = "application/x-parquet"
ZARR = "https://zarr-specs.readthedocs.io/en/latest/v3/core/"
FORMATS = {
    ".parquet": PARQUET, ".json": "application/json", ".md": "text/markdown",
    ".cff": "application/yaml", ".txt": "text/plain",
}  # fmt: skip
KINDS = {
    "train": "cr:TrainingSplit", "val": "cr:ValidationSplit", "validation": "cr:ValidationSplit",
    "test": "cr:TestSplit",
}  # fmt: skip
CHAIN = (
    "The recordings, one Zarr v3 group each. The sha256 of every manifest.json is listed here; "
    "the manifest lists the path, size and sha256 of every file of its group."
)


def write_croissant(folder: Path, facts: Facts, tables: Files) -> None:
    """Write ``croissant.json``, last, over the files that are there.

    Every file is a FileObject with its sha256, but those of the Zarr stores, whose manifests
    list theirs. A table is one RecordSet over its files, with the side as field ``split``.
    """
    own = [path for path in sorted(listing(folder)) if not _in_store(path)]
    licences = [url(name) or name for name in facts.licences]
    document = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": facts.id,
        "description": facts.summary or facts.title,
        "version": facts.version,
        "license": licences,
        **({"url": facts.homepage} if facts.homepage else {}),
        "creator": [{"@type": "sc:Organization", "name": name} for name in creators(facts)],
        "citeAs": "; ".join(facts.citations) or facts.title,
        "keywords": ["neuroscience", *facts.modalities],
        "isLiveDataset": False,
        "distribution": [
            *(_file(folder, path) for path in own),
            *(_file_set(name, f"tables/{name}/*.parquet", PARQUET, "") for name in tables),
            _file_set(STORES, f"{STORES}/*/*/*/{TREE}/**", ZARR, CHAIN),
        ],
        "recordSet": [_sides(tables), *(_records(*item) for item in tables.items())],
    }
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    write(folder / FILE, text.encode() + b"\n")


def _in_store(path: str) -> bool:
    return path.startswith(f"{STORES}/") and f"/{TREE}/" in path


def _file(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    return {
        "@type": "cr:FileObject",
        "@id": quote(name),
        "name": name,
        "contentUrl": name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": FORMATS[path.suffix],
        "sha256": sha256(path),
        **(_lineage(read(path.parent)) if path.name == NAME else {}),
    }


def _lineage(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a recording comes from and what made it, in W3C PROV-O terms."""
    code = manifest["code"]
    made = f"{code['name']} {code['version']}, reader {manifest['reader']}"
    inputs = manifest["inputs"] or ()
    return {
        "prov:wasDerivedFrom": [{"@id": f"urn:sha256:{one['sha256']}"} for one in inputs],
        "prov:wasGeneratedBy": {"@type": "prov:Activity", "prov:label": made},
    }


def _file_set(name: str, pattern: str, kind: str, text: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{name}-files",
        "name": f"{name}-files",
        **({"description": text} if text else {}),
        "encodingFormat": kind,
        "includes": pattern,
    }


def _sides(tables: Files) -> dict[str, Any]:
    sides = list(tables[RECORDINGS])
    known = all(side in KINDS for side in sides)
    keys = ["name", "url"] if known else ["name"]
    values = [dict(zip(keys, (side, KINDS.get(side)), strict=False)) for side in sides]
    kinds = {"name": "sc:Text", "url": ["sc:URL", "cr:Split"]}
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "The sides that the tables are divided into.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": f"splits/{key}", "name": key, "dataType": kinds[key]}
            for key in keys
        ],
        "data": [{f"splits/{key}": value for key, value in row.items()} for row in values],
    }


def _records(name: str, files: Mapping[str, Path]) -> dict[str, Any]:
    sides = "|".join(side.replace(".", r"\.") for side in files)
    columns: Sequence[pa.Field] = list(pq.read_schema(next(iter(files.values()))))
    split = {
        **_field(name, "split", "sc:Text"),
        "source": {
            "fileSet": {"@id": f"{name}-files"},
            "extract": {"fileProperty": "fullpath"},
            "transform": {"regex": rf"^(?:tables/{name}/)?({sides})(?:\.parquet)?$"},
        },
        "references": {"field": {"@id": "splits/name"}},
    }
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"Table {name}; sides: {', '.join(files)}.",
        "field": [split, *(_column(name, column) for column in columns)],
    }


def _column(table: str, column: pa.Field) -> dict[str, Any]:
    listed = pa.types.is_list(column.type)
    kind = column.type.value_type if listed else column.type
    return {
        **_field(table, column.name, _data_type(kind)),
        **({"isArray": True, "arrayShape": "-1"} if listed else {}),
        "source": {
            "fileSet": {"@id": f"{table}-files"},
            "extract": {"column": column.name},
        },
    }


def _field(table: str, name: str, kind: str) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": f"{table}/{quote(name)}", "name": name, "dataType": kind}


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
