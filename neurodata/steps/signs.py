"""Signs of connections, by the transmitter of the presynaptic neuron."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
from pydantic import Field, model_validator

from neurodata.errors import InvalidInputError, Problem
from neurodata.steps.step import Step


class SignFromTransmitter(Step):
    """Give each edge the sign of its source's transmitter, by a table whose origin is named.

    The column ``sign`` of edges is 1, -1, or NaN where the transmitter is not stated or not in
    the table: nothing is assumed. Weights stay as they are.

    Attributes
    ----------
    column : str
        Of nodes (the source's counts) or of edges; compared without regard to case.
    signs : mapping of str to {1, -1}
        Sign by transmitter.
    source : str
        Where the table comes from, e.g. a DOI; it is stored with the signs.
    """

    name: ClassVar[str] = "sign_from_transmitter"
    works_on: ClassVar[tuple[str, ...]] = ("graph",)
    column: str = "transmitter"
    signs: dict[str, Literal[1, -1]] = Field(min_length=1)
    source: str = Field(min_length=4, max_length=1024)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len({name.strip().casefold() for name in self.signs}) < len(self.signs):
            raise ValueError("each transmitter once in signs")
        return self

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node with the column ``sign`` and the attribute ``sign_source``.

        Raises
        ------
        InvalidInputError
            When edges have no direction or a sign already, there is no such column, or no
            value of it is in the table.
        """
        if not int(node.attrs["directed"]):
            raise InvalidInputError(
                where, "an undirected graph", "edges that begin at a neuron", "put it before"
            )
        if "sign" in node.variables:
            raise InvalidInputError(where, "a column sign already", "none", "leave the step out")
        of_edges = self._of_edges(node, where)
        known = {name.strip().casefold(): float(sign) for name, sign in self.signs.items()}
        texts, number = np.unique(of_edges, return_inverse=True)
        signs = np.array([known.get(str(t).strip().casefold(), np.nan) for t in texts], "f4")
        if len(of_edges) and np.isnan(signs).all():
            raise InvalidInputError(
                where, f"{self.column}: {', '.join(map(str, texts[:8]))}",
                f"at least one of {', '.join(self.signs)}", "mend signs, or name the column",
            )  # fmt: skip
        return node.assign(sign=("edge", signs[number])).assign_attrs(sign_source=self.source)

    def _of_edges(self, node: xr.Dataset, where: str) -> npt.NDArray[Any]:
        column = node.get(self.column, node.coords.get(self.column))
        if column is None or column.dims not in (("node",), ("edge",)):
            there = [str(n) for n, v in node.variables.items() if v.dims in (("node",), ("edge",))]
            raise InvalidInputError(
                where, f"no column {self.column} of nodes or edges", ", ".join(there),
                "name it by column",
            )  # fmt: skip
        texts = column.values.astype(str)
        return texts if column.dims == ("edge",) else texts[node["source"].values]

    def findings(self, before: xr.Dataset, parts: Mapping[str, xr.Dataset]) -> Iterator[Problem]:
        """Yield how many edges have no sign, and which values of the column gave none."""
        known = {name.strip().casefold() for name in self.signs}
        for path, node in parts.items():
            unknown = np.isnan(node["sign"].values)
            if unknown.any():
                texts = np.unique(self._of_edges(node, path)[unknown])
                named = [str(t) or "''" for t in texts if str(t).strip().casefold() not in known]
                found = f"{int(unknown.sum())} of {unknown.size} edges without a sign"
                hint = f"{self.column}: {', '.join(named[:8])}"
                yield Problem("note", f"{path}/sign", found, "a transmitter of the table", hint)
