"""Ids that are paths, and files whose names are odd but honest."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

from tests.hostile.case import Case, raw_folder
from tests.hostile.notation import EDF, pipeline
from tests.hostile.twins import declared, make

IDS: tuple[tuple[str, str, str], ...] = (
    ("upwards", "an id that leads upwards", "../escaped"),
    ("upwards-within", "an id that leads upwards later", "a/../../escaped"),
    ("absolute", "an absolute path", "/tmp/escaped"),
    ("part", "two parts", "a/b"),
    ("backslash", "two parts on Windows", "a\\b"),
    ("point", "a point", "."),
    ("points", "two points", ".."),
    ("hidden", "a hidden name", ".staging"),
    ("option", "what a program takes for an option", "-rf"),
    ("empty", "nothing", ""),
    ("blank", "a blank", "a b"),
    ("nul", "a zero byte", "a\0b"),
    ("newline", "a line's end", "a\n"),
    ("long", "300 letters", "a" * 300),
    ("right-to-left", "a mark that turns it round", "a\u202eb"),
    ("letters", "letters of another language", "caf\u00e9"),
    ("version", "what looks like a version", "a@0123456789abcdef"),
    ("html", "a tag", "<b>a</b>"),
    ("formula", "a formula of a spreadsheet", "=1+1"),
    ("terminal", "what paints a terminal", "a\x1b[2J"),
)


def dataset(name: str, folder: Path) -> Path:
    return pipeline(f"id: {json.dumps(name)}\n", folder)


def split(name: str, folder: Path) -> Path:
    return pipeline(f"splits: [{{name: {json.dumps(name)}}}]\n", folder)


def task(name: str, folder: Path) -> Path:
    told = {"name": name, "kind": "interval", "split": "a", "title": "Synthetic"}
    return pipeline(f"tasks: [{json.dumps(told)}]\n", folder)


def listed(name: str, folder: Path) -> Path:
    """A pipeline that lists a file of a name."""
    file = {"name": name, "size": 3, "sha256": "0" * 64}
    return pipeline(f"sources: [{json.dumps({'path': 'data', 'files': [file]})}]\n", folder)


def called(name: bytes, folder: Path) -> Path:
    """A valid recording in a file of a name."""
    main = make(EDF, folder)
    os.rename(main, os.fsencode(raw_folder(folder)) + b"/" + name)
    return raw_folder(folder)


FILES: tuple[tuple[str, str, bytes], ...] = (
    ("device", "the name of a device of Windows", b"con.edf"),
    ("long", "250 letters", b"a" * 246 + b".edf"),
    ("newline", "two lines", b"a\nb.edf"),
    ("option", "what a program takes for an option", b"-rf.edf"),
    ("quotes", "quotes and a dollar", b"a'b\"$(c)`d`.edf"),
    ("terminal", "what paints a terminal", b"a\x1b[2Jb.edf"),
    ("html", "a tag", b"<b>a<.edf"),
    ("right-to-left", "a mark that turns it round", "a\u202efde.edf".encode()),
    ("letters", "letters of another language", "données 日本.edf".encode()),
    ("bytes", "bytes that are no text", b"a\xff\xfe.edf"),
    ("entities", "entities of BIDS without an end", b"sub-_ses-01_eeg.edf"),
)
CASES: tuple[Case, ...] = (
    *(Case(f"id-dataset-{name}", 29, f"{says} as the id of a data set", partial(dataset, told))
      for name, says, told in IDS),
    *(Case(f"id-split-{name}", 29, f"{says} as the name of a split", partial(split, told))
      for name, says, told in IDS),
    *(Case(f"id-task-{name}", 29, f"{says} as the name of a task", partial(task, told))
      for name, says, told in IDS),
    *(Case(f"id-file-{name}", 29, f"{says} as a file of a pipeline", partial(listed, told))
      for name, says, told in IDS),
)  # fmt: skip
VALID: tuple[Case, ...] = tuple(
    Case(f"name-{name}-valid", 0, f"a recording in a file named {says}", partial(called, told),
         facts=partial(declared, EDF))
    for name, says, told in FILES
)  # fmt: skip
