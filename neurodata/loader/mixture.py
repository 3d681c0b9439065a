"""Batches from several loaders, each in its share: other data sets, channels or modalities."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import floor, isfinite, lcm
from types import TracebackType
from typing import TYPE_CHECKING, Any

from neurodata.errors import InvalidInputError
from neurodata.loader.draw import MIXTURE, stream

if TYPE_CHECKING:
    from neurodata.loader.loader import Batch, Loader
    from neurodata.loader.torch_view import Batches

TIES_AT_ONCE = 1024


class Shares:
    """An endless order of loaders: after any n batches each had its share to within one.

    Every loader's next batch has a first and a last step that keep it within one batch of its
    share; of those that may come, the one whose last step is nearest comes. This is possible
    for any shares. The seed decides between equals.

    Parameters
    ----------
    weights : sequence of float
        Finite and over 0.

    Examples
    --------
    >>> shares = Shares([3, 1], seed=0)
    >>> [sorted("ab"[shares.next()] for _ in range(4)) for _ in range(2)]
    [['a', 'a', 'a', 'b'], ['a', 'a', 'a', 'b']]
    """

    def __init__(self, weights: Sequence[float], seed: int) -> None:
        exact = [Fraction(weight) for weight in weights]
        scale = lcm(*(weight.denominator for weight in exact))
        self.parts = [int(weight * scale) for weight in exact]
        self.whole = sum(self.parts)
        self.seed = seed
        self.restart([0] * len(weights))

    def restart(self, counts: Sequence[int]) -> None:
        """Go on after these numbers of batches."""
        self.counts, self.step = list(counts), sum(counts)
        self._ties: tuple[int, list[list[float]]] = (-1, [])

    def next(self) -> int:
        """Return the loader that the next batch comes from."""
        self.step += 1
        tie = self._tie(self.step)
        may_come = (
            at
            for at, (count, part) in enumerate(zip(self.counts, self.parts, strict=True))
            if count * self.whole < self.step * part
        )
        chosen = min(may_come, key=lambda at: (self._last_step(at), tie[at]))
        self.counts[chosen] += 1
        return chosen

    def _last_step(self, at: int) -> int:
        return -(-(self.counts[at] + 1) * self.whole // self.parts[at])

    def _tie(self, step: int) -> list[float]:
        block, row = divmod(step, TIES_AT_ONCE)
        if self._ties[0] != block:
            drawn = stream(self.seed, 0, MIXTURE, block).random((TIES_AT_ONCE, len(self.parts)))
            self._ties = (block, drawn.tolist())
        return self._ties[1][row]


class Mixture:
    """Batches of several loaders, each batch from one; one iteration is one epoch.

    ``batch["dataset"]`` indexes ``names``. After any number of batches, over all epochs, every
    loader has had its share to within one batch, and it has given its own epochs one after
    the other, whole and without a gap. The mixture leads its loaders: do not iterate over them
    while it runs.

    Parameters
    ----------
    loaders : mapping of str to Loader, or sequence of Loader
        Each one once; all of the same rank. Without names they are ``"0"``, ``"1"``, ...
    weights : mapping of str to float, or sequence of float, optional
        Relative number of batches; None gives all the same.
    seed : int
        Decides which of several loaders comes first where shares leave it open.
    batches : int, optional
        Batches in an epoch. None: until the first loader has given all of its epoch at its
        share, ``floor(min(len(loader) / share))``. A longer epoch than that begins the smaller
        loaders' epochs anew, reshuffled.

    Attributes
    ----------
    names : tuple of str
    epoch, position : int
        The next batch is number ``position`` of ``epoch``.

    Raises
    ------
    InvalidInputError
        When loaders, names and weights do not fit together, or ranks would have epochs of
        different lengths.

    Examples
    --------
    >>> import tempfile, neurodata
    >>> store = neurodata.open_store(tempfile.mkdtemp(), create=True)
    >>> _ = neurodata.ingest("eeg_fp1", store=store)
    >>> split = neurodata.make_split(store, "eeg_fp1", by="time", gap_s=10.0)
    >>> long, short = (
    ...     neurodata.load(store, splits=split, sample=neurodata.Windows(s), batch_size=8)
    ...     for s in (4.0, 2.0)
    ... )
    >>> with Mixture({"long": long, "short": short}, batches=4) as mixture:
    ...     sorted(mixture.names[batch["dataset"]] for batch in mixture)
    ['long', 'long', 'short', 'short']
    """

    def __init__(
        self,
        loaders: Mapping[str, Loader] | Sequence[Loader],
        weights: Mapping[str, float] | Sequence[float] | None = None,
        seed: int = 0,
        batches: int | None = None,
    ) -> None:
        named = loaders if isinstance(loaders, Mapping) else dict(_numbered(loaders))
        self.names, self.loaders = tuple(named), tuple(named.values())
        self.weights = _weights(self.names, weights)
        self._check(seed, batches)
        self.seed = seed
        self.batch_count = self._until_the_first_is_done() if batches is None else int(batches)
        if not self.batch_count:
            raise InvalidInputError(
                "Mixture", "an epoch without a batch", "one or more", "give batches="
            )
        self._fingerprint = self._digest()
        self._counts = [0] * len(self.loaders)
        self.go_to(0)

    def _check(self, seed: int, batches: int | None) -> None:
        """Refuse what has no defined epoch."""
        places = {(loader.rank, loader.world_size) for loader in self.loaders}
        once = len(set(map(id, self.loaders))) == len(self.loaders)
        for good, name, value, expected in (
            (bool(self.loaders), "loaders", "none", "one or more"),
            (once, "loaders", "one loader twice", "each once; `weights` gives it more"),
            (len(places) <= 1, "loaders", f"(rank, world_size) {sorted(places)}", "one for all"),
            (0 <= seed < 2**64, "seed", seed, "a whole number from 0 to 2**64 - 1"),
            (
                batches is None or (batches >= 1 and int(batches) == batches),
                "batches",
                batches,
                "a whole number of 1 or more",
            ),
        ):
            if not good:
                raise InvalidInputError(f"Mixture({name})", str(value), expected)
        in_order = [loader.split for loader in self.loaders if loader.split != "train"]
        if batches is None and in_order and self.loaders[0].world_size > 1:
            raise InvalidInputError(
                "Mixture",
                f"split {in_order[0]!r}, of which ranks have parts of different lengths",
                "epochs of one length on every rank",
                "give batches=",
            )

    def _until_the_first_is_done(self) -> int:
        shares = Shares(self.weights, self.seed)
        lengths = zip(self.loaders, shares.parts, strict=True)
        return min(floor(Fraction(len(one) * shares.whole, part)) for one, part in lengths)

    def _digest(self) -> str:
        facts = [
            (name, weight, len(loader), loader.batch_size, loader.state_dict()["fingerprint"])
            for name, weight, loader in zip(self.names, self.weights, self.loaders, strict=True)
        ]
        return hashlib.sha256(repr((facts, self.seed, self.batch_count)).encode()).hexdigest()

    def __len__(self) -> int:
        """Return the number of batches in an epoch, the same on every rank."""
        return self.batch_count

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over one epoch, or over the rest of one after `load_state_dict`."""
        return self.batches()

    def batches(self, part: int = 0, parts: int = 1) -> Iterator[Batch]:
        """Iterate over every ``parts``-th batch of one epoch, from batch ``part`` on.

        A part of a mixture takes single batches out of its loaders' order; it costs a new
        start in a loader for each, so that one part is the fastest.
        """
        if not self._fresh:
            self.go_to(self.epoch + 1)
        return self._run(self.epoch, self.position, list(self._counts), part, parts)

    def _run(
        self, epoch: int, start: int, counts: list[int], part: int, parts: int
    ) -> Iterator[Batch]:
        shares = Shares(self.weights, self.seed)
        shares.restart(counts)
        running = [_Running(loader) for loader in self.loaders]
        try:
            for number in range(start, self.batch_count):
                chosen = shares.next()
                if (number - start) % parts == part:
                    batch = dict(running[chosen].batch(shares.counts[chosen] - 1))
                    batch["dataset"] = chosen
                    self.epoch, self.position, self._fresh = epoch, number + 1, False
                    self._counts = list(shares.counts)
                    yield batch
        finally:
            for one in running:
                one.close()
        self.epoch, self.position, self._counts = epoch + 1, 0, list(shares.counts)
        self._fresh = True

    def state_dict(self) -> dict[str, Any]:
        """Return where the iteration stands: the next batch is number ``position`` of ``epoch``.

        It is the state of this object; worker processes of a torch DataLoader have their own.
        """
        epoch, position = self.epoch, self.position
        if position >= self.batch_count:
            epoch, position = epoch + 1, 0
        return {
            "epoch": epoch,
            "position": position,
            "counts": list(self._counts),
            "fingerprint": self._fingerprint,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on at the very next batch.

        Raises
        ------
        InvalidInputError
            When the state is that of another mixture.
        """
        if state.get("fingerprint") != self._fingerprint:
            raise InvalidInputError(
                "load_state_dict",
                "the state of another mixture",
                "the same loaders, batch sizes, weights, seed and length",
                "make the mixture as it was",
            )
        self.epoch, self.position = int(state["epoch"]), int(state["position"])
        self._counts, self._fresh = [int(count) for count in state["counts"]], True

    def go_to(self, epoch: int, position: int = 0) -> None:
        """Let the next iteration start at batch number ``position`` of ``epoch``."""
        shares = Shares(self.weights, self.seed)
        step = epoch * self.batch_count + position
        rounds = step // shares.whole  # after whole rounds every share is exact
        shares.restart([rounds * part for part in shares.parts])
        if shares.step <= sum(self._counts) <= step:
            shares.restart(self._counts)
        while shares.step < step:
            shares.next()
        self.epoch, self.position, self._counts, self._fresh = epoch, position, shares.counts, True

    def torch(self) -> Batches:
        """Return a `torch.utils.data.IterableDataset` of batches as tensors.

        Give it to ``DataLoader(view, batch_size=None)``.
        """
        from neurodata.loader.torch_view import Batches

        return Batches(self)

    def close(self) -> None:
        """Close all loaders."""
        for loader in self.loaders:
            _close(loader)

    def __enter__(self) -> Mixture:
        """Return this mixture; leaving the block closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all loaders."""
        self.close()


class _Running:
    """A loader's batches by their number over all of its epochs, best asked for in order."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self.batches: Iterator[Batch] | None = None
        self.number = -1

    def batch(self, number: int) -> Batch:
        epoch, at = divmod(number, len(self.loader))
        if self.batches is None or number != self.number or not at:
            self.close()
            self.loader.go_to(epoch, at * self.loader.batch_size)
            self.batches = iter(self.loader)
        self.number = number + 1
        return next(self.batches)

    def close(self) -> None:
        if self.batches is not None:
            _close(self.batches)
        self.batches = None


def _close(thing: object) -> None:
    close = getattr(thing, "close", None)
    if close is not None:
        close()


def _numbered(loaders: Sequence[Loader]) -> Iterator[tuple[str, Loader]]:
    return ((str(number), loader) for number, loader in enumerate(loaders))


def _weights(
    names: tuple[str, ...], weights: Mapping[str, float] | Sequence[float] | None
) -> tuple[float, ...]:
    """Return one weight per loader, in order."""
    if weights is None:
        return (1.0,) * len(names)
    if isinstance(weights, Mapping):
        if set(weights) != set(names):
            raise InvalidInputError(
                "Mixture(weights)",
                f"weights of {', '.join(map(str, weights)) or 'none'}",
                f"one for each of {', '.join(names)}",
            )
        weights = [weights[name] for name in names]
    values = tuple(float(weight) for weight in weights)
    if len(values) != len(names) or not all(isfinite(w) and w > 0 for w in values):
        raise InvalidInputError(
            "Mixture(weights)", repr(values), f"{len(names)} finite numbers over 0"
        )
    return values
