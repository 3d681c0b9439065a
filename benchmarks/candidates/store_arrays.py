"""The arrays of the project's store, for libraries that read Zarr on their own."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from benchmarks.workloads import Case


def paths(case: Case) -> list[str]:
    """Return the folder of every recording's main array, as the store's maker noted them."""
    found: list[str] = json.loads((case.folder / "neurodata_store" / "arrays.json").read_text())
    return found


def empty_batch(case: Case) -> Any:
    """Return a batch to be filled: float32, zeros where recordings have fewer channels."""
    make = np.zeros if case.dataset.name == "calcium" else np.empty
    return make((case.workload.batch, *case.workload.sample), "f4")


def to_unit(case: Case, batch: Any) -> Any:
    """Multiply counts by their step, in place."""
    if case.dataset.step not in (0.0, 1.0):
        batch *= np.float32(case.dataset.step)
    return batch
