"""The project's sampler of neighbours, through its public functions only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

import neurodata
from benchmarks.candidates.own import DATASET
from benchmarks.workloads import Case


def prepare(case: Case) -> None:
    """Publish the graph and put it into a split."""
    source, target = np.load(case.raw[0])
    nodes = case.dataset.shape[0]
    splits = np.searchsorted(source, np.arange(nodes + 1))
    variables = {
        "source": ("edge", source),
        "target": ("edge", target),
        "row_splits": ("split", splits),
    }
    facts = {"representation": "graph", "schema": "graph/1", "directed": 1}
    names = {"node_id": ("node", [f"n{index:06d}" for index in range(nodes)])}
    root = xr.Dataset(attrs={"modality": "connectome", "subject": "r000", "synthetic": 1})
    tree = xr.DataTree.from_dict({"/": root, "graph": xr.Dataset(variables, names, facts)})
    folder = case.folder / "neurodata_store"
    made = neurodata.open_store(folder, create=True).publish(
        tree, dataset=DATASET, recording="r000"
    )
    where: Any = {"id": made.id, "version": made.version, "group": "r000", "split": "train"}
    split = neurodata.Split.sealed(DATASET, "subject", "", {"train": 1.0}, None, [where])
    split.write(folder / "split.json")


def batches(case: Case) -> Iterator[Any]:
    """Yield subgraphs of seed nodes, epoch after epoch."""
    folder = case.folder / "neurodata_store"
    loader = neurodata.load(
        folder,
        splits=folder / "split.json",
        sample=neurodata.Neighbours(case.workload.sample, direction="out"),
        batch_size=case.workload.batch,
    )
    while True:
        yield from loader


def count(batch: Any) -> int:
    """Return the seeds in a batch."""
    return int(batch["batch_size"])


def values(case: Case, batch: Any) -> Any:
    """Return seeds, sources and targets of the sampled edges."""
    node, edges = batch["node_id"], batch["edge_index"]
    return node[: count(batch)], node[edges[0]], node[edges[1]]
