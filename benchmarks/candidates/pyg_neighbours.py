"""PyTorch Geometric: NeighborLoader, which needs pyg-lib or torch-sparse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data
from torch_geometric.loader import NeighborLoader

from benchmarks.candidates.torch_loading import endless, workers
from benchmarks.workloads import Case


def count(batch: Any) -> int:
    """Return the seeds in a batch."""
    return int(batch.batch_size)


def batches(case: Case) -> Iterator[Any]:
    """Yield sampled subgraphs; edges are turned round, as PyG follows them against direction."""
    edges = torch.from_numpy(np.load(case.raw[0])[::-1].copy())
    graph = Data(edge_index=edges, num_nodes=case.dataset.shape[0])
    loader = NeighborLoader(
        graph,
        num_neighbors=list(case.workload.sample),
        batch_size=case.workload.batch,
        shuffle=True,
        **workers(case),
    )
    return endless(loader)


def values(case: Case, batch: Any) -> Any:
    """Return seeds, sources and targets in the graph's numbers."""
    node = batch.n_id.numpy()
    near, far = batch.edge_index[1].numpy(), batch.edge_index[0].numpy()
    return node[: count(batch)], node[near], node[far]
