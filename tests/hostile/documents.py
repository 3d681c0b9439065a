"""XML with a document type, entities or no bottom, in every format that is or holds XML."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from tests.hostile.case import Case, raw_folder, secret
from tests.hostile.twins import changed, declared, make

Spoil = Callable[[str, Path], str]
"""Spoils a document: its text and the folder of the case."""
DEPTH = 100_000


def _typed(inner: str, text: str, use: str = "") -> str:
    """Put a document type before the root element, and perhaps the use of an entity within it."""
    text = re.sub(r"<!DOCTYPE[^>]*>", "", text)
    head, root = re.match(r"(\s*(?:<\?xml.*?\?>)?\s*)(.*)", text, re.S).groups()  # type: ignore[union-attr]
    name = re.match(r"<([\w:.-]+)", root)[1]  # type: ignore[index]
    if use:
        root = re.sub(r"^(<[^>]*[^/]>)", lambda found: found[1] + use, root, count=1)
    return f"{head}<!DOCTYPE {name}{inner}>{root}"


def plain_type(text: str, folder: Path) -> str:
    return _typed(" [<!ELEMENT synthetic ANY>]", text)


def bomb(text: str, folder: Path) -> str:
    """A billion laughs."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(10))
    return _typed(f" [{entities}]", text, "&e9;")


def swelling(text: str, folder: Path) -> str:
    """One long entity, used often."""
    return _typed(f' [<!ENTITY e "{"x" * 2000}">]', text, "&e;" * 100_000)


def external(text: str, folder: Path) -> str:
    """An entity that is a file of the machine."""
    return _typed(f' [<!ENTITY e SYSTEM "file://{secret(folder)}">]', text, "&e;")


def external_type(text: str, folder: Path) -> str:
    """A document type in a file of the machine."""
    return _typed(f' SYSTEM "file://{secret(folder, "secret.dtd", b"<!ELEMENT a ANY>")}" []', text)


def parameter(text: str, folder: Path) -> str:
    """An entity of the document type, from a file of the machine."""
    path = secret(folder, "secret.dtd", b"<!ELEMENT a ANY>")
    return _typed(f' [<!ENTITY % p SYSTEM "file://{path}"> %p;]', text)


def deep(text: str, folder: Path) -> str:
    nest = "<z>" * DEPTH + "</z>" * DEPTH
    return re.sub(r"(</[\w:.-]+>\s*)$", lambda found: nest + found[1], text, count=1)


def cut(text: str, folder: Path) -> str:
    return text[: 2 * len(text) // 3]


SPOILS: tuple[tuple[str, str, Spoil, bool], ...] = (
    ("doctype", "a document type", plain_type, False),
    ("bomb", "entities that multiply to a billion", bomb, False),
    ("swelling", "a long entity used a hundred thousand times", swelling, False),
    ("external", "an entity that is a file outside", external, True),
    ("external-doctype", "a document type in a file outside", external_type, True),
    ("parameter", "an entity of the document type that is a file outside", parameter, True),
    ("deep", "elements 100,000 deep", deep, False),
    ("cut", "a document that is cut", cut, False),
)


# ---- where the document is


def whole(story: str, suffix: str, spoil: Spoil, folder: Path) -> Path:
    """A file of the recording is the document."""
    return changed(story, lambda data: spoil(data.decode(), folder).encode(), folder, suffix)


def ome(spoil: Spoil, folder: Path) -> Path:
    """The description of a TIFF is the document."""
    import tifffile

    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
        'SizeX="8" SizeY="8" SizeZ="1" SizeC="1" SizeT="1" PhysicalSizeX="0.5" '
        'PhysicalSizeY="0.5"><TiffData/></Pixels></Image></OME>'
    )
    path = raw_folder(folder) / "synthetic.ome.tif"
    told = spoil(text, folder)
    tifffile.imwrite(path, np.ones((8, 8), "u2"), description=told, metadata=None)
    return raw_folder(folder)


def cifti(spoil: Spoil, folder: Path) -> Path:
    """The extension of a NIfTI file is the document."""
    main = make("cifti.TestCifti", folder)
    data = main.read_bytes()
    (size,) = struct.unpack_from("<i", data, 544)
    told = spoil(data[552 : 544 + size].rstrip(b"\0").decode(), folder).encode()
    told += bytes(-(len(told) + 8) % 16)
    offset = 544 + len(told) + 8
    head = data[:168] + struct.pack("<q", offset) + data[176:544]
    extension = struct.pack("<2i", len(told) + 8, 32) + told
    main.write_bytes(head + extension + data[544 + size :])
    return raw_folder(folder)


def xdf(spoil: Spoil, folder: Path) -> Path:
    """The header of a stream is the document."""
    main = make("xdf.TestXdf", folder)
    data = main.read_bytes()
    at = data.index(b"<?xml", data.index(b"<?xml") + 5)
    end = data.index(b"</info>", at) + 7
    told = spoil(data[at:end].decode(), folder).encode()
    size_at = at - 6
    if data[size_at : size_at + 2] != b"\x02\0":
        raise ValueError("no stream header where one should be")
    width = next(n for n in (8, 4, 1) if data[size_at - n - 1] == n)
    start = size_at - width - 1
    size = struct.pack("<BQ", 8, len(told) + 6)
    main.write_bytes(data[:start] + size + data[size_at:at] + told + data[end:])
    return raw_folder(folder)


def xlsx(spoil: Spoil, folder: Path) -> Path:
    """A sheet of a workbook is the document."""
    import zipfile

    main = make("xlsx.TestXlsx", folder)
    with zipfile.ZipFile(main) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    name = "xl/worksheets/sheet1.xml"
    parts[name] = spoil(parts[name].decode(), folder).encode()
    with zipfile.ZipFile(main, "w", zipfile.ZIP_DEFLATED) as file:
        for part, data in parts.items():
            file.writestr(part, data)
    return raw_folder(folder)


FORMATS: tuple[tuple[str, str, Callable[[Spoil, Path], Path]], ...] = (
    ("graphml", "graphml.TestGraphml", partial(whole, "graphml.TestGraphml", "")),
    ("gifti", "gifti.TestSurface", partial(whole, "gifti.TestSurface", "")),
    ("neuroml", "neurolucida.TestNeuroMl", partial(whole, "neurolucida.TestNeuroMl", "")),
    ("neurolucida", "neurolucida.TestNeurolucidaXml",
     partial(whole, "neurolucida.TestNeurolucidaXml", "")),
    ("voc", "boxes.TestVoc", partial(whole, "boxes.TestVoc", ".xml")),
    ("mff-info", "egi_mff.TestMff", partial(whole, "egi_mff.TestMff", "info.xml")),
    ("mff-epochs", "egi_mff.TestMff", partial(whole, "egi_mff.TestMff", "epochs.xml")),
    ("mff-events", "egi_mff.TestMff", partial(whole, "egi_mff.TestMff", "Events_DIN.xml")),
    ("ome", "tiff.TestOmeBig", ome),
    ("cifti", "cifti.TestCifti", cifti),
    ("xdf", "xdf.TestXdf", xdf),
    ("xlsx", "xlsx.TestXlsx", xlsx),
)  # fmt: skip
CASES: tuple[Case, ...] = tuple(
    Case(f"{form}-xml-{name}", 26, f"{story}, in {form}", partial(build, spoil), canary,
         partial(declared, of))
    for form, of, build in FORMATS
    for name, story, spoil, canary in SPOILS
)  # fmt: skip
