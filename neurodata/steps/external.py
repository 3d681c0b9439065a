"""A step that an external program does: a converter, a defacer, a source extraction."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from neurodata.declare import Declared, Value
from neurodata.errors import Problem, UnreadableError
from neurodata.readers import TABLE, reader
from neurodata.safe import Raw
from neurodata.slabs import slabs
from neurodata.sources import scan
from neurodata.steps import tool
from neurodata.steps.images import image_of
from neurodata.steps.nifti_file import write_nifti
from neurodata.steps.scratch import new_folder
from neurodata.steps.step import Step

PLACES = ("input", "inputs", "output")
FACTS = ("repetition_time_s", "echo_time_s", "flip_angle_deg", "field_strength_t")


class External(Step):
    """Give a recording's files or a volume to an external program, and read what it writes.

    The program must be allowed in ``$NEURODATA_TOOLS``. It runs without a shell in a folder of
    its own, on copies. Its version and sha256 are in the manifest, and the exit code, the number
    of files and their content are checked: a program that fails, hangs, writes nothing or
    changes nothing refuses the recording.

    Attributes
    ----------
    executable : str
        Name of the program, without a path.
    arguments : tuple of str
        ``{input}`` stands for the main file (or the volume as NIfTI), ``{inputs}`` for the
        folder of all input files and ``{output}`` for the folder to write to.
    output : str
        Which file there is read, e.g. ``*.nii.gz``; exactly one must fit, side-cars aside.
    reader : str
        Reads it, by its name in the table of readers.
    on : {"node", "files"}
        ``node`` replaces a volume; ``files`` comes first of all steps and works on the raw
        files before they are read.
    declare : dict
        Facts for the reader of a volume; what is read on from files has the recording's.
    version_args, version_exit
        How the program is asked for its version, and the exit code that it then has.
    may_be_same : bool
        Whether a volume may come back unchanged.
    environment : tuple of str
        Names of variables that the program may see.
    timeout_s, most_bytes
        Longest time, and most bytes in its folder.
    """

    name: ClassVar[str] = "external"
    works_on: ClassVar[tuple[str, ...]] = ("volume",)
    executable: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")
    arguments: tuple[str, ...]
    output: str = Field(min_length=1)
    reader: str
    on: Literal["node", "files"] = "node"
    declare: Mapping[str, Value] = Field(default_factory=dict)
    version_args: tuple[str, ...] = ("--version",)
    version_exit: int = 0
    may_be_same: bool = False
    environment: tuple[str, ...] = ()
    timeout_s: float = Field(default=3600.0, gt=0)
    most_bytes: int = Field(default=20 * 10**9, gt=0)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.reader not in TABLE:
            raise ValueError(f"reader {self.reader!r}, not one of {', '.join(TABLE)}")
        odd = {name for text in self.arguments for name in re.findall(r"\{(\w*)\}", text)}
        if odd - set(PLACES):
            raise ValueError(f"{{{odd.pop()}}}, not one of {{input}}, {{inputs}}, {{output}}")
        if self.on == "files" and (self.node is not None or self.declare):
            raise ValueError("node or declare, which a step on files does not have")
        Declared(self.declare)
        return self

    @property
    def on_files(self) -> bool:
        """Whether it works on raw files, before they are read."""
        return self.on == "files"

    def record(self) -> dict[str, Any]:
        """Return the step with the program's version and sha256."""
        where = f"steps: {self.name}"
        known = tool.identity(self.executable, self.version_args, self.version_exit, where)
        return {**super().record(), "tool": known}

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the volume that the program wrote, in place of the node's.

        Raises
        ------
        UnsafeError
            When the program is not allowed, or exceeds a limit.
        UnreadableError
            When it fails, or does not write what is expected.
        """
        folder = self._folder()
        write_nifti(node, folder / "inputs" / "input.nii", where)
        raw = self._outputs(folder, folder / "inputs" / "input.nii", where)
        tree = reader(self.reader).read(raw, Declared(self.declare))
        made = [child.to_dataset() for child in tree.children.values()]
        volumes = [n for n in made if n.attrs.get("representation") == "volume"]
        if len(volumes) != 1:
            raise self._wrong(where, f"{len(volumes)} volumes in its output", "one")
        found = volumes[0]
        if not self.may_be_same and _equal(image_of(node), image_of(found)):
            raise self._wrong(where, "an output that is the input", "a change, or may_be_same")
        kept = {key: node.attrs[key] for key in FACTS if key in node.attrs}
        return found.assign_attrs({**kept, **found.attrs})

    def of_files(self, raw: Raw, where: str) -> Raw:
        """Return the files that the program made of a recording's raw files.

        Raises
        ------
        UnsafeError, UnreadableError
            As `apply`.
        """
        folder = self._folder()
        for path in raw.files:
            copy = folder / "inputs" / path.relative_to(raw.root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        made = self._outputs(folder, folder / "inputs" / raw.main.relative_to(raw.root), where)
        return Raw(made.root, made.files, raw.problems)

    def _folder(self) -> Path:
        folder = new_folder()
        for name in ("inputs", "output", "work"):
            (folder / name).mkdir()
        return folder

    def _outputs(self, folder: Path, main: Path, where: str) -> Raw:
        program = tool.allowed(self.executable, where)
        places = {"input": main, "inputs": folder / "inputs", "output": folder / "output"}
        command = [str(program)]
        for text in self.arguments:
            command.append(re.sub(r"\{(\w+)\}", lambda m: str(places[m[1]]), text))
        visible = {name: os.environ[name] for name in self.environment if name in os.environ}
        limits = tool.Limits(self.timeout_s, self.most_bytes + tool.written(folder / "inputs"))
        visible |= {"HOME": str(folder / "work"), "TMPDIR": str(folder / "work")}
        code, _ = tool.run(command, folder, visible, limits, where)
        if code != 0:
            raise self._wrong(where, f"exit code {code}", "0")
        found = scan(folder / "output")
        fits = [path for path in found.files
                if fnmatchcase(path.relative_to(found.root).as_posix(), self.output)]  # fmt: skip
        if len(fits) != 1 or not fits[0].stat().st_size:
            told = f"{len(fits)} files {self.output}" if len(fits) != 1 else "an empty file"
            raise self._wrong(where, told, "one with data")
        files = reader(self.reader).members(fits[0], list(found.files))
        return Raw(found.root, tuple(files))

    def _wrong(self, where: str, found: str, expected: str) -> UnreadableError:
        hint = "run the program by hand to see what it says"
        return UnreadableError(where, f"{self.executable}: {found}", expected, hint)

    def findings(self, before: xr.Dataset, parts: Mapping[str, xr.Dataset]) -> Iterator[Problem]:
        """Yield that a program outside of this library made the data."""
        for path in parts:
            known = self.record()["tool"]
            yield Problem("note", path, f"made by {self.executable}, {known['version']}")


def _equal(a: xr.DataArray, b: xr.DataArray) -> bool:
    """Say whether two images have the same values."""
    if a.dims != b.dims or a.shape != b.shape:
        return False
    for first, slab in slabs(a):
        part = b.isel({a.dims[0]: slice(first, first + len(slab))}).to_numpy()
        if not np.array_equal(slab.astype("f4"), part.astype("f4"), equal_nan=True):
            return False
    return True
