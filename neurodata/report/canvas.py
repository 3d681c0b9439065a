"""What all pictures share: size, fonts, colours, units as a field writes them, scale bars."""

from __future__ import annotations

import io
import warnings
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from neurodata.errors import InvalidInputError, NotFoundError

INK, MUTED, FAINT = "#1b1f24", "#5f6b7a", "#d5dae0"
# Okabe & Ito, Color Universal Design (2008), without the yellow that is lost on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
WIDTH_IN = 9.0
DPI = 180
STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.formatter.useoffset": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "image.interpolation": "nearest",
    "lines.linewidth": 0.8,
}
# Factor from the unit in store to the one that the field writes, smallest values first.
_DISPLAY: dict[str, tuple[tuple[float, str], ...]] = {
    "V": ((1e6, "µV"), (1e3, "mV"), (1.0, "V")),
    "T": ((1e15, "fT"), (1e12, "pT"), (1.0, "T")),
    "T/m": ((1e13, "fT/cm"),),
    "A": ((1e12, "pA"), (1e9, "nA"), (1.0, "A")),
    "dF/F": ((1.0, "ΔF/F"),),
    "1": ((1.0, "dimensionless"),),
    "um": ((1.0, "µm"),),
}


class Sketch(NamedTuple):
    """A figure not yet rendered; ``nodes`` are all the nodes that it shows."""

    figure: Figure
    what: str
    caption: str
    nodes: tuple[str, ...]


class Drawing(NamedTuple):
    """A PNG, its text alternative, its caption and the nodes that it shows."""

    png: bytes
    alt: str
    caption: str
    nodes: tuple[str, ...]


def figure(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """Return an empty white figure that lays itself out without overlaps."""
    return Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained", facecolor="white")


def png(drawn: Figure) -> bytes:
    """Render a figure as PNG; characters that the font lacks are drawn as boxes."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        drawn.savefig(
            stream, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.08,
            pil_kwargs={"optimize": True},
        )  # fmt: skip
    return stream.getvalue()


def node_dataset(tree: xr.DataTree, node: str) -> xr.Dataset:
    """Return one node of a recording.

    Raises
    ------
    NotFoundError
        When the recording has no such node.
    """
    if node not in tree.children:
        raise NotFoundError("recording", f"no node {node!r}", f"one of {sorted(tree.children)}")
    return tree.children[node].to_dataset(inherit=False)


def variable(data: xr.Dataset, name: str, node: str) -> xr.DataArray:
    """Return a variable in physical units.

    Raises
    ------
    InvalidInputError
        When the node is in raw form.
    """
    if name not in data:
        raise InvalidInputError(
            f"node {node}", f"no variable {name!r}", "physical form", "draw store[id], not raw(id)"
        )
    return data[name]


def nodes_of(tree: xr.DataTree, representation: str) -> list[str]:
    """Return the names of the nodes of one representation, in order."""
    return [n for n, c in tree.children.items() if c.attrs.get("representation") == representation]


def title_of(tree: xr.DataTree, node: str) -> str:
    """Return ``id · node`` for captions."""
    return f"{tree.attrs['id']} · {node}" if "id" in tree.attrs else node


def shorten(text: object, length: int = 18) -> str:
    """Return text on one line, without control characters, cut to ``length``.

    Examples
    --------
    >>> shorten("a\\nlong label that goes on", 10)
    'a long la…'
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def display_units(units: str, typical: float) -> tuple[float, str]:
    """Return the factor and the name in which a field writes values of that size.

    Examples
    --------
    >>> display_units("V", 5e-5)
    (1000000.0, 'µV')
    >>> display_units("a.u.", 3.0)
    (1.0, 'a.u.')
    """
    choices = _DISPLAY.get(units, ((1.0, units or "no unit stated"),))
    return next((c for c in choices if typical * c[0] < 1000), choices[-1])


def round_value(target: float) -> float:
    """Return the 1, 2 or 5 times a power of ten that is nearest below ``target``.

    Examples
    --------
    >>> round_value(37.0), round_value(0.7)
    (20.0, 0.5)
    """
    if not (np.isfinite(target) and target > 0):
        return 1.0
    power = 10.0 ** np.floor(np.log10(target))
    return float(f"{max(m for m in (1, 2, 5) if m * power <= target * (1 + 1e-9)) * power:.3g}")


def spread(values: np.ndarray[Any, Any], low: float = 1, high: float = 99) -> tuple[float, float]:
    """Return two percentiles of the finite values, apart from each other."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    bottom, top = (float(v) for v in np.percentile(finite, [low, high]))
    if top <= bottom:
        bottom, top = float(finite.min()), float(finite.max())
    return (bottom, top) if top > bottom else (bottom - 0.5, bottom + 0.5)


def length_bar(ax: Axes, extent: tuple[float, float], length: float, units: str) -> None:
    """Draw a horizontal bar of ``length`` at the lower left of an image as large as ``extent``."""
    wide, high = extent
    foot, top = ax.get_ylim()
    up = float(np.sign(top - foot)) * high
    left = min(ax.get_xlim()) + 0.04 * wide
    edge = [patheffects.withStroke(linewidth=4, foreground="black")]
    ax.plot(
        [left, left + length], [foot + 0.04 * up] * 2, color="white", linewidth=2.2,
        solid_capstyle="butt", path_effects=edge,
    )  # fmt: skip
    edge = [patheffects.withStroke(linewidth=2.2, foreground="black")]
    text = f"{length:g} {display_units(units, 1)[1]}"
    ax.text(left, foot + 0.06 * up, text, color="white", va="bottom", path_effects=edge)


def bar_length(wide: list[float]) -> float:
    """Return the round length of a scale bar that fits all panels of one scale."""
    return round_value(min(wide) / 3)


def decades() -> FuncFormatter:
    """Return the tick labels of a logarithmic axis: 0.01, 1, 100, 1e+06."""
    return FuncFormatter(lambda value, _: f"{value:g}")


def counted(count: int, noun: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "interval"), counted(2000, "interval")
    ('1 interval', '2,000 intervals')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def image_axes(ax: Axes) -> None:
    """Take ticks and frame from an axes that shows an image with a scale bar."""
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
