"""Who is measured: every candidate's module, environment, workloads and what to know of it.

A module has ``prepare(case)``, which builds the candidate's own form of the data once;
``batches(case)``, an endless iterator of batches as the candidate gives them; ``values(case,
batch)``, the same as one array of samples in source order for the check; and ``count(batch)``
where ``len(batch)`` is not the number of samples. Writers have ``write(case, source, target)``,
which returns seconds by part, and ``reader(case, target)``. Packages are imported at the top, so
that they are not in the time to the first batch.
"""

from __future__ import annotations

from dataclasses import dataclass

SERIES = ("eeg64", "meg306", "calcium")
MRI = ("mri_patches", "mri_volumes")
BOTH = (0, 2)
PRE_CUT = "pre-cut samples"
GRID = "samples on a fixed grid"
DECODED = "everything decoded in memory"
OURS = "neurodata"


@dataclass(frozen=True)
class Candidate:
    """A way to get samples, or to write an array.

    Attributes
    ----------
    form : str
        Folder of the prepared form, below the data set's; shared by candidates that share it.
    workers : tuple of int
        Numbers of worker processes that are tried; the better one is reported.
    easier : str
        How the candidate's task is easier than random samples from compressed files.
    """

    name: str
    module: str
    environment: str
    workloads: tuple[str, ...]
    form: str
    workers: tuple[int, ...] = (0,)
    easier: str = ""
    note: str = ""

    @property
    def ours(self) -> bool:
        """Whether this is the project itself."""
        return self.name.startswith(OURS)

    @property
    def floor(self) -> bool:
        """Whether this is the bare copy from decoded files that others are held against."""
        return self.name.startswith("floor")


LOADED = (*SERIES, "microscopy", *MRI)
COLD = ("eeg64_cold", "microscopy_cold")
STORE = "neurodata_store"
UNCOMPRESSED = "uncompressed files, no checksums"
TABLE = (
    # the project
    Candidate(
        "neurodata", "own", "project", (*LOADED, "spike_bins", "waiting"), STORE,
        easier=GRID, note="memory for all arrays",
    ),
    Candidate(
        "neurodata_quarter", "own", "project", (*LOADED, *COLD, "spike_bins", "waiting"), STORE,
        easier=GRID, note="memory for a quarter",
    ),
    Candidate(
        "neurodata_any_start", "own", "project", SERIES, STORE,
        note="memory for a quarter, windows from any sample on",
    ),
    Candidate("neurodata", "own_graph", "project", ("graph_neighbours",), STORE),
    Candidate("neurodata", "own_writing", "project", ("writing",), "", note="lz4, crc32c"),
    # floors: NumPy on memory-mapped files
    Candidate(
        "floor_channel_first", "floors", "project", (*SERIES, COLD[0], "waiting"), "channel_first",
        easier=UNCOMPRESSED, note="float32 (channel, time)",
    ),
    Candidate(
        "floor_time_major", "floors", "project", (*SERIES, COLD[0]), "time_major",
        easier=UNCOMPRESSED, note="float32 (time, channel)",
    ),
    Candidate(
        "floor", "floors", "project", ("microscopy", COLD[1], *MRI), "float_volumes",
        easier=UNCOMPRESSED, note="native for microscopy, float32 for MRI",
    ),
    Candidate("floor", "floors_events", "project", ("spike_bins",), "", easier=DECODED),
    Candidate("floor", "floors_events", "project", ("graph_neighbours",), "", easier=DECODED),
    # general array libraries, on the project's own store
    Candidate("zarr_python", "zarr_python", "project", LOADED, STORE),
    Candidate("tensorstore", "tensorstore_reads", "arrays", (*LOADED, *COLD), STORE),
    Candidate(
        "xbatcher", "xbatcher_grid", "arrays", ("eeg64", "microscopy", *MRI), STORE, BOTH, GRID
    ),
    # loaders for neuroscience
    Candidate(
        "torch_brain", "torch_brain_windows", "arrays", (*SERIES, COLD[0], "waiting"), "hdf5", BOTH
    ),
    Candidate(
        "braindecode_lazy", "braindecode_windows", "images", ("eeg64", "meg306", COLD[0]),
        "fif", BOTH, GRID,
    ),
    Candidate(
        "braindecode_preload", "braindecode_windows", "images", ("eeg64",), "fif", BOTH,
        f"{GRID}, {DECODED}",
    ),
    Candidate("monai_cache", "monai_volumes", "images", MRI, "nifti", BOTH, DECODED),
    Candidate(
        "monai_persistent", "monai_volumes", "images", MRI, "nifti", BOTH, UNCOMPRESSED
    ),
    Candidate("torchio_queue", "torchio_volumes", "images", ("mri_patches",), "nifti", BOTH),
    Candidate(
        "torchio_queue", "torchio_volumes", "images", ("microscopy",), "", BOTH, DECODED,
        "one int32 volume in memory",
    ),
    Candidate("torchio_volumes", "torchio_volumes", "images", ("mri_volumes",), "nifti", BOTH),
    Candidate(
        "gunpowder", "gunpowder_patches", "images", ("microscopy", COLD[1]), "gunpowder", BOTH
    ),
    Candidate("tonic", "tonic_frames", "events", ("spike_bins",), "shd", BOTH),
    Candidate(
        "tonic_disk_cache", "tonic_frames", "events", ("spike_bins",), "shd", BOTH,
        "binned beforehand",
    ),
    Candidate(
        "tonic_memory_cache", "tonic_frames", "events", ("spike_bins",), "shd", (0,),
        f"binned beforehand, {DECODED}",
    ),
    Candidate("pyg", "pyg_neighbours", "graphs", ("graph_neighbours",), "", BOTH, DECODED),
    # formats for streaming of prepared samples
    Candidate(
        "litdata", "litdata_samples", "arrays", (*SERIES, COLD[0], "mri_volumes", "waiting"),
        "litdata", BOTH, PRE_CUT,
    ),
    Candidate(
        "webdataset", "webdataset_samples", "arrays", ("eeg64", "calcium", "mri_volumes"),
        "webdataset", BOTH, PRE_CUT,
    ),
    Candidate(
        "hf_datasets", "hf_samples", "arrays", ("eeg64", "mri_volumes"), "hf", BOTH, PRE_CUT
    ),
    # writers
    Candidate("np_save", "writers", "project", ("writing",), "", note="no checksum"),
    Candidate(
        "zarr_python_default", "writers", "project", ("writing",), "", note="zstd, no checksum"
    ),
    Candidate("zarr_python", "writers", "project", ("writing",), "", note="lz4, crc32c, shards"),
    Candidate("dask_to_zarr", "writers", "project", ("writing",), "", note="lz4, crc32c, shards"),
    Candidate(
        "tensorstore", "tensorstore_writes", "arrays", ("writing",), "", note="lz4, crc32c, shards"
    ),
)  # fmt: skip


def candidate(name: str, workload: str) -> Candidate:
    """Return the candidate of a name at a workload."""
    for found in TABLE:
        if found.name == name and workload in found.workloads:
            return found
    raise KeyError(f"{name} at {workload}")
