"""The splits of a pipeline as files: made once, then only extended."""

from __future__ import annotations

from pathlib import Path

from neurodata.pipeline import Pipeline, SplitSpec
from neurodata.splits.facts import Catalogued
from neurodata.splits.make import make_split
from neurodata.splits.split import Split
from neurodata.store.files import make_folders


def split_file(folder: Path, dataset: str, name: str) -> Path:
    """Return where a data set's split of some name is kept.

    Examples
    --------
    >>> split_file(Path("splits"), "eeg_fp1", "time").as_posix()
    'splits/eeg_fp1.time.json'
    """
    return folder / f"{dataset}.{name}.json"


def freeze(store: Catalogued, pipeline: Pipeline, folder: Path) -> dict[str, Path]:
    """Write the splits that a pipeline declares; in those that exist nobody moves.

    Returns
    -------
    dict of str to Path
        The files, by the names of the splits.

    Raises
    ------
    SplitError
        When a split cannot be made as declared.
    """
    make_folders(folder)
    written = {}
    for spec in pipeline.splits:
        path = split_file(folder, pipeline.id, spec.name)
        _split(store, pipeline.id, spec, path).write(path)
        written[spec.name] = path
    return written


def _split(store: Catalogued, dataset: str, spec: SplitSpec, path: Path) -> Split:
    return make_split(
        store,
        dataset,
        by=spec.by,
        fractions=spec.fractions,
        gap_s=spec.gap_s,
        gap_voxels=spec.gap_voxels,
        salt=spec.salt,
        node=spec.node,
        existing=Split.read(path) if path.exists() else None,
    )
