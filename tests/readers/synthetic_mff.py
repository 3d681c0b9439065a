"""Synthetic EGI ``.mff`` folders, written file by file: two blocks, a gap, a third block."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

CANARY = "CANARY"
RATE_HZ = 250
COUNTS, GAP = (100, 150, 125), 50  # samples of blocks, and of the gap before the last
START = "2019-05-06T07:08:09.123456789+02:00"
GAINS = (1.0, 0.5, 2.0, 1.25)


def samples(channels: int = 4, last: int = COUNTS[-1]) -> np.ndarray:
    """Return stored floats (time, channel)."""
    count = COUNTS[0] + COUNTS[1] + last
    return np.random.default_rng(channels).normal(0, 20, (count, channels)).astype("f4")


def signal(values: np.ndarray, counts: tuple[int, ...], repeat: bool = False) -> bytes:
    """Return a file of blocks; the second repeats its header only if ``repeat`` is true."""
    channels, parts, first, before = values.shape[1], list[bytes](), 0, 0
    for number, count in enumerate(counts):
        if count == before and not repeat:
            parts.append(struct.pack("<i", 0))
        else:
            head = struct.pack("<4i", 1, 20 + 8 * channels, 4 * count * channels, channels)
            head += (np.arange(channels) * 4 * count).astype("<i4").tobytes()
            head += np.full(channels, RATE_HZ << 8 | 32, "<i4").tobytes()
            parts.append(head + struct.pack("<i", 0))  # no optional header
        parts.append(values[first : first + count].T.astype("<f4").tobytes())
        first, before = first + count, count
        assert number < 3
    return b"".join(parts)


def xml(root: str, space: str, body: str) -> str:
    """Return a document of EGI's."""
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes" ?>\n'
    return f'{head}<{root} xmlns="http://www.egi.com/{space}_mff">{body}</{root}>\n'


def write(
    folder: Path, second: int = 10**9, gains: bool = True, last: int = COUNTS[-1],
    physiology: bool = True, start: str = START,
) -> Path:  # fmt: skip
    """Write a folder and return its ``info.xml``."""
    path = folder / "synthetic.mff"
    path.mkdir()
    texts = {
        "info.xml": xml("fileInfo", "info",
            f"<mffVersion>3</mffVersion><recordTime>{start}</recordTime>"),
        "info1.xml": xml("dataInfo", "info_n", "<generalInformation><fileDataType><EEG>"
            "<sensorLayoutName>net</sensorLayoutName></EEG></fileDataType></generalInformation>"
            + (_gains() if gains else "")),
        "epochs.xml": xml("epochs", "epochs", _epochs(second)),
        "sensorLayout.xml": xml("sensorLayout", "sensorLayout", "<name>net</name><sensors>"
            + "".join(_sensor(i, t) for i, t in enumerate((0, 0, 0, 1, 2), 1)) + "</sensors>"),
        "coordinates.xml": xml("coordinates", "coordinates", "<sensorLayout><name>net</name>"
            "<sensors>" + "".join(_sensor(i, t) for i, t in enumerate((0, 0, 0, 1, 2), 1))
            + "</sensors></sensorLayout>"),
        "Events_DIN.xml": xml("eventTrack", "event", "<name>DIN</name><trackType>EVNT</trackType>"
            + _event("DIN1", 0.5) + _event("stim", 1.25, 0.1)),
        "subject.xml": xml("patient", "subject", f"<fields><field><name>localIdentifier</name>"
            f"<data dataType='string'>{CANARY}</data></field></fields>"),
    }  # fmt: skip
    if physiology:
        kind = "<PNSData><pnsSetName>p</pnsSetName></PNSData>"
        about = f"<generalInformation><fileDataType>{kind}</fileDataType></generalInformation>"
        texts["info2.xml"] = xml("dataInfo", "info_n", about)
        texts["pnsSet.xml"] = xml("PNSSet", "pnsSet", "<name>p</name><sensors>"
            + _pns("ECG", 0) + _pns("Light", 1) + "</sensors>")  # fmt: skip
        values = signal(samples(2, last), (*COUNTS[:2], last))
        (path / "signal2.bin").write_bytes(values)
    for name, text in texts.items():
        (path / name).write_text(text)
    (path / "signal1.bin").write_bytes(signal(samples(), COUNTS))
    return path / "info.xml"


def _epochs(second: int) -> str:
    unit = second // RATE_HZ
    first, rest = COUNTS[0] + COUNTS[1], COUNTS[2]
    rows = ((0, first, 1, 2), (first + GAP, first + GAP + rest, 3, 3))
    return "".join(
        f"<epoch><beginTime>{a * unit}</beginTime><endTime>{b * unit}</endTime>"
        f"<firstBlock>{c}</firstBlock><lastBlock>{d}</lastBlock></epoch>"
        for a, b, c, d in rows
    )


def _gains() -> str:
    rows = "".join(f'<ch n="{i}">{gain}</ch>' for i, gain in enumerate(GAINS, 1))
    return (
        "<calibrations><calibration><beginTime>0</beginTime><type>GCAL</type>"
        f"<channels>{rows}</channels></calibration></calibrations>"
    )


def _sensor(number: int, kind: int) -> str:
    name = {1: "Vertex Reference", 2: "Nasion"}.get(kind, "")
    return (
        f"<sensor><name>{name}</name><number>{number}</number><type>{kind}</type>"
        f"<x>{number}.0</x><y>1.0</y><z>2.0</z><identifier>0</identifier></sensor>"
    )


def _pns(name: str, number: int) -> str:
    return f"<sensor><name>{name}</name><number>{number}</number><unit>uV</unit></sensor>"


def _event(code: str, at_s: float, length_s: float = 0.0) -> str:
    fraction = 123456789 + round(at_s * 10**9)
    stamp = f"2019-05-06T07:08:{9 + fraction // 10**9:02d}.{fraction % 10**9:09d}+02:00"
    return (
        f"<event><beginTime>{stamp}</beginTime><duration>{round(length_s * 10**9)}</duration>"
        f"<code>{code}</code><label>{CANARY}</label><description>{CANARY}</description>"
        "<keys><key><keyCode>cel#</keyCode><data dataType='short'>1</data></key></keys></event>"
    )
