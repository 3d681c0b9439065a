"""Any sequence of ingests, deaths, sweeps, rebuilds, damage and removals, against a plain model.

Short in the suite; ``pytest tests/faults/test_model.py --hypothesis-profile long`` for more.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from neurodata.errors import IntegrityError, NotFoundError, StoreError
from neurodata.ingestion import Result
from neurodata.store import Store, open_store
from neurodata.store.commit import versions
from tests.faults.disk import Disk
from tests.faults.scenes import ingested, synthetic_traces
from tests.invariants import assert_store_ok

NAMES = ("anna", "ben")
SEEDS = (0, 1, 2)
names, seeds = st.sampled_from(NAMES), st.sampled_from(SEEDS)


def expected_values(name: str, seed: int) -> np.ndarray:
    """What a synthetic table of traces holds, as `synthetic_traces` writes it."""
    first = 100 * NAMES.index(name) + 10 * seed
    return np.array([[first + n, first + n % 3] for n in range(8)], "f4")


def flip(path: Path, bit: int) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(bytes(data))


class StoreMachine(RuleBasedStateMachine):
    """The model: the seeds that each recording was ingested from, and which is the newest.

    What a dead process leaves may or may not have come to be: ``newest`` has all seeds that a
    recording may mean, ``maybe`` the versions that may be there.
    """

    @initialize()
    def begin(self) -> None:
        """Make an empty store."""
        self.folder = Path(tempfile.mkdtemp(prefix="neurodata-model-"))
        self.root = self.folder / "store"
        assert open_store(self.root, create=True).rebuild() == []
        self.newest: dict[str, set[int | None]] = {name: {None} for name in NAMES}
        self.there: dict[str, set[int]] = defaultdict(set)
        self.maybe: dict[str, set[int]] = defaultdict(set)
        self.version: dict[tuple[str, int], str] = {}

    def teardown(self) -> None:
        """Whatever was done, the store holds at the end."""
        if hasattr(self, "root"):
            assert_store_ok(self.root)
            shutil.rmtree(self.folder)

    def _ingest(self, name: str, seed: int) -> Result:
        raw = self.folder / "raw"
        shutil.rmtree(raw, ignore_errors=True)
        synthetic_traces(raw, 100 * NAMES.index(name) + 10 * seed, name)
        return ingested(raw, self.root, subject=name)

    @rule(name=names, seed=seeds)
    def ingest(self, name: str, seed: int) -> None:
        """A source that is new, has changed, or is the one of before."""
        (entry,) = self._ingest(name, seed)
        may = {"same"} if seed in self.there[name] else {"new"}
        assert entry.status in may | ({"same"} if seed in self.maybe[name] else set())
        self._ended(name, seed, entry.version)

    def _ended(self, name: str, seed: int, version: str) -> None:
        assert version == self.version.setdefault((name, seed), version)
        self.there[name].add(seed)
        self.maybe[name].discard(seed)
        self.newest[name] = {seed}

    @rule(name=names, seed=seeds, number=st.integers(1, 150))
    def die(self, name: str, seed: int, number: int) -> None:
        """The process dies: from some operation on, nothing reaches the disk any more."""
        with Disk(self.root, number, "dead") as disk:
            try:
                result = self._ingest(name, seed)
            except StoreError:
                result = None
        if result is not None and result.ok and not disk.happened:
            self._ended(name, seed, result[0].version)
            return
        if seed not in self.there[name]:
            self.maybe[name].add(seed)
        self.newest[name].add(seed)

    @rule()
    def sweep(self) -> None:
        """Nothing that was there goes away."""
        open_store(self.root).sweep()

    @rule(name=names)
    def forget(self, name: str) -> None:
        """All of a person goes, what dead processes left of it too."""
        try:
            open_store(self.root).forget(name, yes=True)
        except NotFoundError:
            assert not self.there[name]
        self._gone(name)

    @precondition(lambda self: any(self.there.values()))
    @rule(name=names, number=st.integers(1, 60))
    def forget_and_die(self, name: str, number: int) -> None:
        """A removal that dies is not begun, or finished by the next sweep."""
        with Disk(self.root, number, "dead"), contextlib.suppress(NotFoundError, StoreError):
            open_store(self.root).forget(name, yes=True)
        open_store(self.root).sweep()
        if f"synthetic/{name}" not in open_store(self.root):
            assert not list(self.root.glob(f"synthetic/{name}/*"))
            self._gone(name)

    def _gone(self, name: str) -> None:
        self.there[name], self.maybe[name], self.newest[name] = set(), set(), {None}

    @rule(state=st.sampled_from(["as it is", "lost", "damaged"]))
    def rebuild(self, state: str) -> None:
        """The catalogue comes back from the manifests."""
        catalogue = self.root / "catalog.sqlite"
        if state == "lost":
            catalogue.unlink(missing_ok=True)
        elif state == "damaged" and catalogue.exists():
            catalogue.write_bytes(b"synthetic" * 99)
        if state != "as it is" and versions(self.root):
            with pytest.raises(StoreError, match="neurodata rebuild"):
                open_store(self.root).ids()
        assert Store(self.root).rebuild() == []

    @precondition(lambda self: any(self.there.values()))
    @rule(data=st.data())
    def damage_and_repair(self, data: st.DataObject) -> None:
        """A flipped bit is found, never data; deleted and ingested again, the version is whole."""
        name = data.draw(st.sampled_from([n for n in NAMES if self.there[n]]))
        seed = data.draw(st.sampled_from(sorted(self.there[name])))
        folder = self.root / "synthetic" / name / self.version[name, seed]
        path = data.draw(st.sampled_from(sorted(p for p in folder.rglob("*") if p.is_file())))
        flip(path, data.draw(st.integers(0, 10**6)))
        store = open_store(self.root)
        problems = [p for p in store.verify() if p.level == "error"]
        assert problems
        assert all(str(folder) in problem.where for problem in problems)
        assert any("delete it and ingest the source again" in p.hint for p in problems) or (
            path.name == "manifest.json"
        )
        self._read_damaged(name, seed)
        shutil.rmtree(folder)
        (entry,) = self._ingest(name, seed)
        assert (entry.status, entry.version) == ("new", self.version[name, seed])
        self.newest[name] = {seed}

    def _read_damaged(self, name: str, seed: int) -> None:
        """What is read is what was written, or an error."""
        try:
            tree = open_store(self.root)[f"synthetic/{name}@{self.version[name, seed]}"]
            values = tree["traces/signal"].values
        except (IntegrityError, ValueError, RuntimeError):
            return
        np.testing.assert_array_equal(values, expected_values(name, seed))

    @invariant()
    def readers_see_whole_versions(self) -> None:
        """Every recording is one that was ingested, all of it, and nothing is lost."""
        if not hasattr(self, "root"):
            return
        store = open_store(self.root)
        assert [p for p in store.verify() if p.level == "error"] == []
        for name in NAMES:
            full = f"synthetic/{name}"
            if full not in store:
                assert None in self.newest[name]
                continue
            signal: Any = store[full]["traces/signal"]
            assert self._matching(signal.values, name) in self.newest[name]
            found = set(store.versions(full))
            wanted = {self.version[name, seed] for seed in self.there[name]}
            assert wanted <= found
            assert len(found) <= len(self.there[name] | self.maybe[name])

    def _matching(self, values: np.ndarray, name: str) -> int:
        """Return the seed that gives these values."""
        (seed,) = [s for s in SEEDS if np.array_equal(values, expected_values(name, s))]
        return seed


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=max(8, settings().max_examples // 12), stateful_step_count=12
)
