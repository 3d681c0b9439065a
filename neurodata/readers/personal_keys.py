"""Keys of JSON side-cars that tell of a person, a place or a moment; none of them is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from neurodata import safe
from neurodata.errors import RefusedError
from neurodata.safe import Raw

METADATA = ("zarr.json", "dataset_description.json")
LIMIT_BYTES = 2**20
PARTS = (
    "patient", "birth", "physician", "operator", "performer", "institution", "address", "station",
    "serialnumber", "accession", "comment", "date", "acquisitiontime", "studyid", "procedurestep",
    "subject", "participant",
)  # fmt: skip
RECOGNISABLE = "RecognizableVisualFeatures"
DEFACED = {"NO": "yes", "YES": "no"}


def side_cars(raw: Raw) -> dict[str, str]:
    """List the personal keys of a recording's JSON side-cars, and return what they say of faces.

    Returns
    -------
    dict
        ``defaced`` where a side-car has DICOM's ``RecognizableVisualFeatures``.

    References
    ----------
    DICOM PS3.3, C.7.6.1 (0028,0302): whether the image, or what is reconstructed from it, lets
    the patient be recognised.
    """
    facts: dict[str, str] = {}
    for name, found in _objects(raw):
        keys = sorted(str(key) for key in found if is_personal(str(key)))
        if keys:
            raw.note(name, f"{len(keys)} personal keys, removed: {', '.join(keys)}")
        stated = DEFACED.get(str(found.get(RECOGNISABLE, "")).strip().upper())
        if stated:
            facts["defaced"] = stated
    return facts


def is_personal(key: str) -> bool:
    """Say whether a key of a side-car may hold what tells of a person.

    Examples
    --------
    >>> is_personal("PatientBirthDate"), is_personal("RepetitionTime"), is_personal("TaskName")
    (True, False, False)
    """
    return key.endswith("UID") or any(part in key.casefold() for part in PARTS)


def _objects(raw: Raw) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in raw.files[1:]:
        if path.suffix != ".json" or path.name in METADATA or path.stat().st_size > LIMIT_BYTES:
            continue
        try:
            found = safe.read_json(path)
        except RefusedError:  # the reader refuses one that it needs
            continue
        if isinstance(found, dict):
            yield path.name, found
