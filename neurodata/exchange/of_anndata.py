"""Pairwise values between observations, as AnnData holds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurodata.errors import InvalidInputError, need

if TYPE_CHECKING:
    import anndata


def from_anndata(
    data: anndata.AnnData,
    *,
    directed: bool,
    weight_units: str,
    key: str | None = None,
    columns: Sequence[str] = (),
) -> xr.DataTree:
    """Return pairwise values between the observations of an AnnData object as a connectome.

    A table of cells by genes (``X``) is no recording here; what is taken is a matrix of
    ``obsp``, its rows the sources. A stored 0 is no edge.

    Parameters
    ----------
    directed : bool
        Whether ``[a, b]`` means another connection than ``[b, a]``.
    weight_units : str
        Unit of the weights, e.g. ``count``.
    key : str, optional
        Name in ``obsp``; needed where there are several.
    columns : sequence of str
        Of ``obs``, taken as columns of the nodes; the others stay behind.

    Raises
    ------
    InvalidInputError
        When there is no such matrix, a weight is not finite, or an undirected one is not
        symmetric.
    """
    from scipy.sparse import coo_array

    from neurodata.readers.graph import Edges, column_name, graph
    from neurodata.units import to_si

    known = list(data.obsp)
    key = key if key is not None or len(known) != 1 else known[0]
    if key not in known:
        found = f"obsp with {', '.join(known) or 'nothing'}, and a table of cells by genes"
        raise InvalidInputError("from_anndata", found, "a matrix between observations", "give key")
    names = [str(name) for name in data.obs_names]
    matrix = coo_array(data.obsp[key])
    matrix.eliminate_zeros()
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidInputError("from_anndata", f"{twice[0]!r} twice in obs", "each name once")
    if not np.isfinite(matrix.data).all():
        raise InvalidInputError(f"from_anndata: {key}", "weights that are not finite", "numbers")
    if not directed and abs(matrix - matrix.T).max() > 0:
        found = "another value for [a, b] than for [b, a]"
        raise InvalidInputError(
            f"from_anndata: {key}", found, "a symmetric matrix", "directed=True"
        )
    kept = slice(None) if directed else matrix.row <= matrix.col
    unit = to_si(weight_units, "from_anndata")
    weight = matrix.data[kept] if unit.factor == 1 else matrix.data[kept] * unit.factor
    made: dict[str, Any] = {}
    for name in columns:
        values = data.obs[name]
        if not isinstance(values.dtype, np.dtype) or values.dtype.kind not in "biuf":
            values = values.astype(object).where(values.notna(), "").astype(str)
        made[column_name(name, "node", made)] = np.asarray(values)
    edges = Edges(matrix.row[kept].astype("i8"), matrix.col[kept].astype("i8"), weight)
    node = graph(edges, names, directed=directed, weight_units=unit.symbol, columns=made)
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": "connectome"}), "graph": node})


def to_anndata(tree: xr.DataTree, node: str = "graph") -> anndata.AnnData:
    """Return a graph as an AnnData object: nodes as ``obs``, weights as ``obsp["weight"]``.

    Undirected edges stand there both ways; edges without weights weigh 1.

    Raises
    ------
    InvalidInputError
        When the node is no graph, or a pair has several edges.
    MissingDependencyError
        When anndata is not installed.
    """
    import pandas as pd
    from scipy.sparse import csr_array

    anndata = need("anndata", extra="anndata")
    if node not in tree.children or tree[node].attrs.get("representation") != "graph":
        raise InvalidInputError(f"to_anndata({node!r})", "no graph", ", ".join(tree.children))
    data = tree[node].to_dataset()
    source, target = data["source"].values, data["target"].values
    weight = data["weight"].values if "weight" in data else np.ones(len(source))
    if len(set(zip(source.tolist(), target.tolist(), strict=True))) < len(source):
        found = "several edges of one pair"
        raise InvalidInputError(f"to_anndata({node!r})", found, "one edge a pair")
    if not int(data.attrs["directed"]):
        other = source != target
        source, target = np.r_[source, target[other]], np.r_[target, source[other]]
        weight = np.r_[weight, weight[other]]
    count = data.sizes["node"]
    columns = {str(name): values.values for name, values in data.variables.items()
               if values.dims == ("node",) and name != "node_id"}  # fmt: skip
    index = pd.Index([str(name) for name in data["node_id"].values], name="node_id")
    made = anndata.AnnData(obs=pd.DataFrame(columns, index=index))
    made.obsp["weight"] = csr_array((weight, (source, target)), shape=(count, count))
    made.uns["directed"] = bool(int(data.attrs["directed"]))
    if "weight_units" in data.attrs:
        made.uns["weight_units"] = str(data.attrs["weight_units"])
    return made
