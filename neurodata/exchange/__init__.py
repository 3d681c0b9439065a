"""To and from what people hold in memory: MNE-Python, nibabel, pynwb, AnnData.

What comes in is a recording in raw form, to be given to `Store.publish` or `neurodata.validate`;
what goes out is made of a recording as ``store[id]`` gives it.
"""

from neurodata.exchange.of_anndata import from_anndata, to_anndata
from neurodata.exchange.of_mne import from_mne, to_mne
from neurodata.exchange.of_nibabel import from_nibabel, to_nibabel
from neurodata.exchange.of_nwb import from_nwb, to_nwb

__all__ = [
    "from_anndata",
    "from_mne",
    "from_nibabel",
    "from_nwb",
    "to_anndata",
    "to_mne",
    "to_nibabel",
    "to_nwb",
]
