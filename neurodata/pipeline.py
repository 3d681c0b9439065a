"""Pipelines: one YAML file says which data set, from where, and what is done with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from neurodata import resources
from neurodata.declare import Value
from neurodata.errors import NotFoundError, PipelineError
from neurodata.secret import has_secret

TODO = "TODO"
ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"


class Part(BaseModel):
    """A part of a pipeline: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class File(Part):
    """A source file and what it must be: size in bytes and sha256."""

    name: str
    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Source(Part):
    """A raw folder; ``path`` is relative to the pipeline's folder or names a shipped sample."""

    path: str
    files: tuple[File, ...] = ()
    declare: dict[str, Value] = {}


class SplitSpec(Part):
    """How the data set is divided (see `neurodata.make_split`)."""

    name: str = Field(pattern=ID)
    by: str = "subject"
    fractions: dict[str, float] = {"train": 0.7, "val": 0.15, "test": 0.15}
    gap_s: float | None = None
    gap_voxels: int | None = None
    node: str | None = None
    salt: str = ""


class TaskSpec(Part):
    """A task that models are scored on (see `neurodata.scoring`)."""

    name: str = Field(pattern=ID)
    kind: str
    split: str
    title: str
    node: str | None = None
    options: dict[str, Any] = {}


class Expect(Part):
    """What must be true of the data set: number of recordings, and facts of their nodes."""

    recordings: int | None = Field(default=None, ge=1)
    nodes: dict[str, dict[str, Any]] = {}


class Card(Part):
    """Text of the data set card."""

    summary: str = ""
    homepage: str = ""
    tags: tuple[str, ...] = ()


class Label(Part):
    """A label that tasks predict: a node's column or a recording's attribute."""

    node: str | None = None
    column: str
    description: str = ""


class Pipeline(Part):
    """One data set, from its raw files to its card."""

    id: str = Field(pattern=ID)
    version: int = Field(ge=1)
    title: str
    licence: str
    citation: str
    modality: str
    sources: tuple[Source, ...] = Field(min_length=1)
    reader: str | None = None
    options: dict[str, Any] = {}
    layout: Literal["default", "small", "random"] = "default"
    declare: dict[str, Value] = {}
    steps: tuple[dict[str, Any], ...] = ()
    labels: dict[str, Label] = {}
    groups: str = "subject"
    splits: tuple[SplitSpec, ...] = ()
    tasks: tuple[TaskSpec, ...] = ()
    expect: Expect = Expect()
    card: Card = Card()

    @field_validator("title", "licence", "citation", "modality")
    @classmethod
    def _filled_in(cls, text: str) -> str:
        if text == TODO:
            raise ValueError(f"{TODO}: fill it in")
        return text


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses duplicate keys, aliases and numbers that lose their spelling."""

    def construct_yaml_int(self, node: Any) -> int:
        number: int = super().construct_yaml_int(node)
        if str(number) != node.value:
            raise yaml.YAMLError(f"{node.value}, read as {number}: put text in quotes")
        return number

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise yaml.YAMLError(f"duplicate keys {sorted(twice)}{node.start_mark}")
        return super().construct_mapping(node, deep)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping strictly: safe tags only, no duplicate keys, no aliases.

    Raises
    ------
    PipelineError
        When it is anything else.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            found = yaml.load(stream, _Loader)  # noqa: S506 - a subclass of SafeLoader
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise PipelineError(
            str(path), f"no plain YAML ({error})", "a mapping", "mend it"
        ) from error
    if not isinstance(found, dict):
        raise PipelineError(str(path), type(found).__name__, "a mapping of keys", "mend it")
    return found


def read_pipeline(name: str | Path) -> tuple[Pipeline, Path]:
    """Return a pipeline and its folder, by name (a shipped one) or by the path of a YAML file.

    Raises
    ------
    NotFoundError
        When there is none of that name.
    PipelineError
        When the file does not follow the form; every fault is listed.

    Examples
    --------
    >>> pipeline, folder = read_pipeline("mushroom_body")
    >>> pipeline.modality
    'connectome'
    """
    path = Path(name) if str(name).endswith((".yaml", ".yml")) else _shipped(str(name))
    if not path.is_file():
        known = ", ".join(names())
        raise NotFoundError(str(name), "no such pipeline", f"a YAML file or one of {known}")
    found = read_yaml(path)
    if keys := ", ".join(key for key, value in found.items() if has_secret(f"{key} {value}")):
        raise PipelineError(
            str(path), f"a secret under {keys}", "none: a pipeline is stored and published",
            "leave it out",
        )  # fmt: skip
    try:
        return Pipeline.model_validate(found), path.parent
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)
        )
        raise PipelineError(str(path), faults, "the keys of a pipeline", "mend it") from error


def names() -> list[str]:
    """Return the names of the shipped pipelines."""
    return sorted(path.stem for path in resources.folder("pipelines").glob("*.yaml"))


def _shipped(name: str) -> Path:
    return resources.folder("pipelines") / f"{name}.yaml"


def source_folder(source: Source, folder: Path) -> Path:
    """Return the raw folder of a source: beside the pipeline, or among the samples.

    Raises
    ------
    NotFoundError
        When neither is there.
    """
    candidates = [folder / source.path]
    if source.path.startswith("samples/"):
        candidates.append(resources.folder("samples") / source.path.removeprefix("samples/"))
    for candidate in candidates:
        if candidate.is_dir():
            return candidate.resolve()
    raise NotFoundError(source.path, "no such folder", f"one below {folder}", "mend sources.path")
