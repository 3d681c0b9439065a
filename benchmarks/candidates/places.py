"""Random places of samples, the same for all candidates that are told where to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

Place = tuple[int, tuple[slice, ...]]


def draws(
    shapes: Sequence[tuple[int, ...]], sample: tuple[int, ...], batch: int, seed: int
) -> Iterator[list[Place]]:
    """Yield batches of places, each uniform among recordings and positions."""
    rng = np.random.default_rng(seed)
    while True:
        yield [
            (int(number), _box(rng, shapes[number], sample))
            for number in rng.integers(0, len(shapes), batch)
        ]


def _box(
    rng: np.random.Generator, shape: tuple[int, ...], sample: tuple[int, ...]
) -> tuple[slice, ...]:
    sizes = [min(part, edge) for part, edge in zip(sample, shape, strict=True)]
    corner = [int(rng.integers(0, n - k + 1)) for n, k in zip(shape, sizes, strict=True)]
    return tuple(slice(a, a + k) for a, k in zip(corner, sizes, strict=True))
