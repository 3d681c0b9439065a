"""What is measured: the synthetic data sets and the samples that are drawn from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

Kind = Literal["series", "volumes", "spikes", "graph"]


@dataclass(frozen=True)
class Dataset:
    """A synthetic data set.

    Attributes
    ----------
    shape : tuple of int
        Of one recording as it is kept: ``(time, channel)``, ``([channel,] z, y, x)``,
        ``(samples, units)`` of spikes, ``(nodes, edges)`` of a graph.
    step : float
        Physical value of one count, in the unit that loaders give (µV, fT, a.u.); 0 for floats.
    """

    name: str
    kind: Kind
    recordings: int
    shape: tuple[int, ...]
    dtype: str = "i2"
    rate_hz: float = 1.0
    step: float = 1.0

    @property
    def native_bytes(self) -> int:
        """Size of all recordings in their own data type, to some 10 %."""
        itemsize = int(self.dtype[1:])
        if self.kind == "graph":
            return self.shape[1] * 2 * itemsize
        if self.kind == "spikes":
            return self.recordings * self.shape[0] * SPIKES_PER_SAMPLE * itemsize
        total = self.recordings * itemsize
        for edge in self.shape:
            total *= edge
        return total * 2 // 3 if self.name == "calcium" else total


SPIKES_PER_SAMPLE = 8000
FULL = {
    "eeg64": Dataset("eeg64", "series", 20, (230_400, 64), rate_hz=256.0, step=0.1),
    "meg306": Dataset("meg306", "series", 1, (600_000, 306), rate_hz=1000.0, step=0.25),
    "calcium": Dataset("calcium", "series", 100, (3000, 300), "f4", rate_hz=30.0, step=0.0),
    "microscopy": Dataset("microscopy", "volumes", 1, (3, 512, 512, 512), "u2"),
    "mri": Dataset("mri", "volumes", 200, (96, 112, 96)),
    "spikes": Dataset("spikes", "spikes", 8, (256, 700), "f8"),
    "graph": Dataset("graph", "graph", 1, (100_000, 5_000_000), "i8"),
    "writing": Dataset("writing", "series", 1, (5_859_375, 64), "f4", rate_hz=256.0, step=0.0),
}
QUICK = {
    "eeg64": replace(FULL["eeg64"], recordings=6, shape=(76_800, 64)),
    "meg306": replace(FULL["meg306"], shape=(300_000, 306)),
    "calcium": replace(FULL["calcium"], recordings=20),
    "microscopy": replace(FULL["microscopy"], shape=(3, 256, 256, 256)),
    "mri": replace(FULL["mri"], recordings=32),
    "spikes": replace(FULL["spikes"], recordings=4, shape=(64, 700)),
    "graph": replace(FULL["graph"], shape=(20_000, 1_000_000)),
    "writing": replace(FULL["writing"], shape=(585_937, 64)),
}


@dataclass(frozen=True)
class Workload:
    """Samples of one shape from one data set, in batches.

    Attributes
    ----------
    sample : tuple of int
        ``(time, channel)``, ``([channel,] z, y, x)``, ``(bins, units)``, fan-outs of a graph.
    step_s : float
        How long the consumer works on a batch, asleep.
    cold : bool
        Files are not in the page cache; time counts from opening on, and nothing is warmed up.
    """

    name: str
    dataset: str
    sample: tuple[int, ...]
    batch: int
    title: str
    unit: str = "samples/s"
    step_s: float = 0.0
    cold: bool = False

    @property
    def writes(self) -> bool:
        """Whether a file is written rather than read."""
        return self.unit == "MB/s"


EEG = (768, 64)
WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("eeg64", "eeg64", EEG, 64, "EEG: 3 s windows of 64 channels at 256 Hz"),
        Workload("meg306", "meg306", (3000, 306), 64, "MEG: 3 s windows of 306 channels at 1 kHz"),
        Workload("calcium", "calcium", (100, 300), 64, "Calcium traces: 100 frames, 100-300 cells"),
        Workload(
            "microscopy", "microscopy", (3, 64, 64, 64), 8, "Microscopy: patches of 3 x 64 cubed"
        ),
        Workload("mri_patches", "mri", (48, 48, 48), 16, "MRI: patches of 48 cubed"),
        Workload("mri_volumes", "mri", (96, 112, 96), 4, "MRI: whole volumes of 96 x 112 x 96"),
        Workload("spike_bins", "spikes", (100, 700), 64, "Spikes: 1 s of 700 units in 10 ms bins"),
        Workload(
            "graph_neighbours", "graph", (10, 10), 256, "Graph: 2 hops of 10 neighbours", "seeds/s"
        ),
        Workload("writing", "writing", (), 0, "Writing: float32 array of 64 channels", "MB/s"),
        Workload("waiting", "eeg64", EEG, 64, "EEG windows, 20 ms of work a batch", step_s=0.02),
        Workload("eeg64_cold", "eeg64", EEG, 64, "EEG windows, cold file cache", cold=True),
        Workload(
            "microscopy_cold",
            "microscopy",
            (3, 64, 64, 64),
            8,
            "Microscopy patches, cold file cache",
            cold=True,
        ),
    )
}


@dataclass(frozen=True)
class Case:
    """One candidate at one workload: what its functions are given.

    Attributes
    ----------
    folder : Path
        Of the data set: ``raw`` holds the source, every other folder one prepared form.
    """

    workload: Workload
    dataset: Dataset
    folder: Path
    candidate: str
    workers: int = 0
    seed: int = 0

    @property
    def raw(self) -> list[Path]:
        """Files of the source."""
        return sorted((self.folder / "raw").glob("r*.npy"))


def case_of(
    workload: str, candidate: str, data: Path, quick: bool, workers: int = 0, seed: int = 0
) -> Case:
    """Return the case of a candidate at a workload, under a data folder."""
    found = WORKLOADS[workload]
    dataset = (QUICK if quick else FULL)[found.dataset]
    folder = data / ("quick" if quick else "full") / f"synthetic_{dataset.name}"
    return Case(found, dataset, folder, candidate, workers, seed)
