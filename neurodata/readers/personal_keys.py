"""Keys of JSON side-cars that tell of a person, a place or a moment; none of them is kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
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
_KINDS = """
a access accession account acknowledgements acquisition additional address admission age agents
anat and annotation annotators array at author authors bed birth birthdate birthday body by
byte camera center centre channel channels city classes code codes collection comment comments
condition conditions config configuration contact contributor copyright count country created
creation creator custom dat data database dataset date dates day default department depth desc
description details device diagnosis digital dir dob doctor doi dose drug dtype education email
end equipment ethnicity event examination experiment experimenter export family file filename
files filtered first flickr folder for format frame from funding gender generated genotype
group groups hand handed handedness head health height help history homepage hospital host hp
id idcode ident identification identifier ids image images index info information initials
instance institution institutional instruction instructions investigator is issuer keyword
keywords lab label labels laboratory last licence license list location log loss machine maiden
manufacturer marital mark marks matvec medical medication meta metadata method methods middle
model modified montage mother n name names nationality note notes number occupation of offset
on operator operators order origin original other owner page parameters parent parents part
participant path pathology patient patients performed performer performing person phenotype
phone physician physicians place pose position postcode pregnancy procedure processing project
protocol provenance publication purpose race rater reading record recorded recording reference
referring region related release religion remarks report requested requesting requests
responsible room sample scan scanner scans score segmented sequence serial series session sex
site size smoking software source speaker species start state station status step strain study
subject surgery surname system tag tags task team technician telephone test testdate testtime
text time title tracer treatment truncated type uid update url user username value values
vendor version virus visit ward weight year years zip
"""
KINDS = frozenset(_KINDS.split())
"""Words that tell of which kind a fact is; a name of others may be a fact itself."""
DIGITS = 4  # of a name; more make a date or the number of a file
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_]+")
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
        keys = [str(key) for key in found if is_personal(str(key))]
        if keys:
            raw.note(name, f"{len(keys)} personal keys, removed: {kinds_of(keys)}")
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


def kinds_of(names: Iterable[str]) -> str:
    """Return names that a file gives to facts, sorted; those that may be facts are counted.

    Examples
    --------
    >>> kinds_of(["PatientName", "date_of_birth", "seen by Jane"])
    'PatientName, date_of_birth and 1 more'
    """
    every = sorted(set(names))
    known = [name for name in every if _is_known(name)]
    if not known:
        return f"{len(every)} of unknown names"
    return ", ".join(known) + (f" and {len(every) - len(known)} more" if known != every else "")


def _is_known(name: str) -> bool:
    digits = sum(letter.isdigit() for letter in name)
    return digits <= DIGITS and KINDS.issuperset(map(str.lower, _WORD.findall(name)))


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
