"""What each format cannot detect without a known checksum of its files, and why.

With the checksums that a pipeline lists, every change is refused before a file is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Stated:
    """What goes unnoticed in files of one format.

    Parameters
    ----------
    values : str
        Why changed values do; where empty, they must not.
    facts : str
        Why changed facts do: names, clock, scale, places, which nodes there are.
    short : dict
        Why a file that was cut is read, by the end of its name; all others must be refused.
    """

    values: str = ""
    facts: str = ""
    short: Mapping[str, str] = field(default_factory=dict)

    def short_of(self, file: str) -> str:
        """Return why a file that was cut is read, or ""."""
        return next((why for end, why in self.short.items() if file.lower().endswith(end)), "")


HEADER = "a header has no checksum: a changed field that agrees with all others reads as stated"
LINES = "lines say nowhere how many there are; a last line without an end is noted"
RECORDS = "whole records say nowhere how many there are"

PLAIN = Stated("samples have no checksum", HEADER)
HDF5 = Stated(
    "HDF5 and MATLAB files sum up only what is packed or has Fletcher32, and no metadata", HEADER
)
TEXT = Stated("another digit is another number", "another letter is another name")
TEXT_OF_LINES = replace(TEXT, short={"": LINES})

STATED: Mapping[str, Stated] = {
    "nwb": HDF5,
    "nwb1": HDF5,
    "caiman": HDF5,
    "shd": HDF5,
    "snirf": HDF5,
    "hdf5": HDF5,
    "matlab": HDF5,
    "minc": HDF5,
    "eeglab": HDF5,
    "brainvision": replace(PLAIN, short={".vmrk": LINES}),
    "egi": Stated("samples have no checksum", "events are samples too"),
    "wfdb": Stated(
        "the checksum of a signal is a sum of 16 bits: changes cancel", HEADER, {".atr": RECORDS}
    ),
    "spikeglx": Stated("", "the .meta file holds the checksum of the samples, none of itself"),
    "neuralynx": replace(PLAIN, short={".nev": RECORDS, ".nse": RECORDS, ".ntt": RECORDS}),
    "blackrock": replace(PLAIN, short={".nev": RECORDS}),
    "nifti": replace(PLAIN, short={".bval": LINES, ".bvec": LINES, ".txt": LINES, ".tsv": LINES}),
    "nihon": replace(PLAIN, short={".21e": LINES}),
    "aedat": replace(PLAIN, short={"": RECORDS}),
    "phy": replace(PLAIN, short={".tsv": LINES, ".csv": LINES}),
    "boxes": replace(PLAIN, short={".txt": LINES, ".csv": LINES}),
    "ome_zarr": Stated("raw and Blosc chunks have no checksum; CRC-32C, gzip and zip do", HEADER),
    "zarr_array": Stated("raw and Blosc chunks have no checksum; CRC-32C, gzip and zip do", HEADER),
    "precomputed": Stated("raw, JPEG and packed label chunks have no checksum", HEADER),
    "slices": Stated("TIFF and JPEG have no checksum; PNG has", HEADER),
    "xlsx": Stated(),
    "graphml": TEXT,
    "gml": TEXT,
    "gifti": TEXT,
    "neuroml": TEXT,
    "neurolucida": TEXT,
    "swc": TEXT_OF_LINES,
    "vessel": TEXT_OF_LINES,
    "adjacency": TEXT_OF_LINES,
    "edgelist": TEXT_OF_LINES,
    "connections": TEXT_OF_LINES,
    "traces": TEXT_OF_LINES,
    "spike_text": TEXT_OF_LINES,
}


def stated(name: str) -> Stated:
    """Return what goes unnoticed in a format; for others than those above, what does in most."""
    return STATED.get(name, PLAIN)
