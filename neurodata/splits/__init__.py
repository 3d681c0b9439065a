"""Frozen, leak-proof splits: make one, read one, audit one."""

from neurodata.splits.audit import audit
from neurodata.splits.facts import Catalogued
from neurodata.splits.form import FORMAT
from neurodata.splits.frozen import freeze, split_file
from neurodata.splits.make import make_split
from neurodata.splits.split import Assignment, Split

__all__ = [
    "FORMAT",
    "Assignment",
    "Catalogued",
    "Split",
    "audit",
    "freeze",
    "make_split",
    "split_file",
]
