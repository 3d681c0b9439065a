"""What people hold in memory goes into a store and comes back the same."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from neurodata.errors import InvalidInputError
from neurodata.exchange import from_mne, from_nibabel, to_mne, to_nibabel
from neurodata.schema import validate
from neurodata.store import Store, open_store

mne = pytest.importorskip("mne")


def synthetic_mne() -> mne.io.RawArray:
    random = np.random.default_rng(0)
    info = mne.create_info(["Cz", "Pz", "EOG1", "STI"], 250.0, ["eeg", "eeg", "eog", "stim"])
    values = random.normal(0, 2e-5, (4, 5000))
    values[3] = 0
    made = mne.io.RawArray(values, info, verbose="error")
    made.info["bads"] = ["Pz"]
    made.set_annotations(mne.Annotations([1.0, 4.0], [0.5, 0.0], ["rest", "button"]))
    return made


def test_an_mne_recording_comes_back(tmp_path: Path) -> None:
    made = synthetic_mne()
    tree = from_mne(made)
    assert not [p for p in validate(tree) if p.level == "error"]
    store = open_store(tmp_path, create=True)
    done = store.publish(tree, dataset="held", recording="one")
    back = to_mne(store[done.id], "eeg")
    assert back.ch_names == ["Cz", "Pz"]
    assert back.info["bads"] == ["Pz"]
    assert back.info["sfreq"] == 250.0
    np.testing.assert_allclose(back.get_data(), made.get_data(picks=[0, 1]), rtol=1e-6)
    assert back.annotations.onset.tolist() == [1.0, 4.0]
    assert back.annotations.description.tolist() == ["rest", "button"]
    with pytest.raises(InvalidInputError, match="no node of channels"):
        to_mne(store[done.id], "ieeg")


def test_a_cropped_recording_keeps_its_annotations_in_place() -> None:
    made = synthetic_mne()
    made.set_meas_date(1_700_000_000)
    date = made.info["meas_date"]
    made.set_annotations(mne.Annotations([4.0], [0.0], ["button"], orig_time=date))
    tree = from_mne(made.crop(2.0, 10.0))
    assert tree["annotations"]["start_s"].values.tolist() == [2.0]


@pytest.mark.parametrize("shape", [(7, 6, 5), (7, 6, 5, 4)])
def test_a_nibabel_image_comes_back(tmp_path: Path, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(1)
    affine = np.array([[0, -2.0, 0.1, 5], [1.5, 0, 0.3, -7], [0, 0.2, 3, 9], [0, 0, 0, 1]])
    image = nib.Nifti1Image(random.normal(100, 9, shape).astype("f4"), affine)
    tree = from_nibabel(image, 2.5 if len(shape) == 4 else None)
    store = open_store(tmp_path, create=True)
    done = store.publish(tree, dataset="held", recording="one")
    back = to_nibabel(store[done.id], "bold" if len(shape) == 4 else "anat")
    np.testing.assert_array_equal(back.get_fdata(dtype="f4"), image.get_fdata(dtype="f4"))
    np.testing.assert_array_equal(back.affine, affine)
    if len(shape) == 4:
        assert back.header.get_zooms()[3] == pytest.approx(2.5)
        with pytest.raises(InvalidInputError, match="repetition_time_s"):
            from_nibabel(image)


def test_stored_images_are_those_of_nibabel(sample_store: Store, samples: Path) -> None:
    back = to_nibabel(sample_store["mri_anatomical/anatomical"], "anat")
    source = nib.load(samples / "mri_anatomical" / "anatomical.nii")
    np.testing.assert_allclose(back.get_fdata(), source.get_fdata(), rtol=1e-6)
    np.testing.assert_allclose(back.affine, source.affine, atol=1e-6)
