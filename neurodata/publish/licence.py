"""Licences of a data set: SPDX identifiers, Hugging Face names, and texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from neurodata.errors import Problem
from neurodata.store.files import make_folders, write

TEXTS = Path(__file__).parent / "licences"
HUGGING_FACE = {
    "MIT": "mit",
    "BSD-2-Clause": "bsd-2-clause",
    "BSD-3-Clause": "bsd-3-clause",
    "Apache-2.0": "apache-2.0",
    "CC0-1.0": "cc0-1.0",
    "CC-BY-4.0": "cc-by-4.0",
    "CC-BY-SA-4.0": "cc-by-sa-4.0",
    "CC-BY-NC-4.0": "cc-by-nc-4.0",
    "CC-BY-NC-SA-4.0": "cc-by-nc-sa-4.0",
    "CC-BY-ND-4.0": "cc-by-nd-4.0",
    "CC-BY-NC-ND-4.0": "cc-by-nc-nd-4.0",
    "PDDL-1.0": "pddl",
    "ODC-By-1.0": "odc-by",
    "ODbL-1.0": "odbl",
}
CREATIVE_COMMONS = re.compile(r"CC-(BY(?:-[A-Z]{2})*)-(\d\.\d)")
SPDX = re.compile(r"(?:LicenseRef-)?[A-Za-z0-9][A-Za-z0-9.+-]*")


def identifiers(stated: Sequence[str]) -> list[str]:
    """Return the licences that some SPDX expressions name.

    Examples
    --------
    >>> identifiers(["MIT", "(BSD-3-Clause AND MIT)"])
    ['BSD-3-Clause', 'MIT']
    """
    parts = (part for text in stated for part in re.split(r"\s+(?:AND|OR)\s+", text))
    return sorted({part.strip("() \t\r\n") for part in parts} - {""})


def hugging_face(licences: Sequence[str]) -> str | list[str]:
    """Return the names that a Hugging Face card has for licences; ``other`` when one has none.

    Examples
    --------
    >>> hugging_face(["CC-BY-4.0"]), hugging_face(["MIT", "PDDL-1.0"]), hugging_face(["mine"])
    ('cc-by-4.0', ['mit', 'pddl'], 'other')
    """
    if not set(licences) <= HUGGING_FACE.keys():
        return "other"
    found = [HUGGING_FACE[licence] for licence in licences]
    return found[0] if len(found) == 1 else found


def url(licence: str) -> str:
    """Return the page of a licence, Creative Commons' own or the SPDX list's; "" if none.

    Examples
    --------
    >>> url("CC-BY-NC-4.0"), url("as agreed")
    ('https://creativecommons.org/licenses/by-nc/4.0/', '')
    """
    if licence == "CC0-1.0":
        return "https://creativecommons.org/publicdomain/zero/1.0/"
    if found := CREATIVE_COMMONS.fullmatch(licence):
        return f"https://creativecommons.org/licenses/{found[1].lower()}/{found[2]}/"
    known = SPDX.fullmatch(licence) and not licence.startswith("LicenseRef-")
    return f"https://spdx.org/licenses/{quote(licence)}.html" if known else ""


def write_licences(licences: Sequence[str], folder: Path) -> list[Problem]:
    """Write ``LICENSES/<SPDX id>.txt`` for every licence and report those without their text.

    Creative Commons licences ask for a link only (CC BY 4.0, section 3(a)(1)(C)).
    """
    make_folders(folder)
    problems = []
    for licence in licences:
        name = f"{re.sub(r'[^A-Za-z0-9_.+-]+', '-', licence)}.txt"
        shipped = TEXTS / name
        text = shipped.read_text(encoding="utf-8") if shipped.is_file() else _pointer(licence)
        write(folder / name, text.encode())
        if not shipped.is_file() and not licence.startswith("CC"):
            problems.append(
                Problem("warning", f"LICENSES/{name}", "a pointer in place of the text",
                        "the text of the licence", "put the text there before publishing")
            )  # fmt: skip
    return problems


def _pointer(licence: str) -> str:
    link = url(licence)
    text = f"The text: {link}" if link else "As its source states it; no public text is known."
    return f"SPDX-License-Identifier: {licence}\n\n{text}\n"
