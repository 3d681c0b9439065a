"""Recordings of potentials and fields, with marks: EEG, MEG, fNIRS, ECG."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np

from tests.canaries.marks import Marks, case
from tests.readers import (
    synthetic_ctf,
    synthetic_eeglab,
    synthetic_fif,
    synthetic_gdf,
    synthetic_kit,
    synthetic_mff,
    synthetic_snirf,
    synthetic_xdf,
    test_abf,
    test_brainvision,
    test_edf,
    test_egi,
    test_neuroscan,
    test_nihon,
    test_persyst,
    test_wfdb,
)

CHANNEL = "names of channels are data"
LABEL = "labels of events, which a program wrote, are data"
DECLARED = "a remark that is declared to name nobody"


@case("edf", annotations="CNRY-edf-declared-7Q")
def edf(folder: Path, mark: Marks) -> None:
    label, head = mark.keep("label", CHANNEL, 16), 256
    notes = (
        b"+0\x14\x14\0+0.5\x14" + mark("annotation").encode() + b"\x14\0",
        b"+1\x14\x14\0+1.5\x14" + mark.keep("declared", DECLARED).encode() + b"\x14\0",
        *(f"+{n}\x14\x14\0".encode() for n in (2, 3, 4)),
    )
    path, _ = test_edf.write(
        folder, "synthetic.edf", labels=(label, "EEG Fp2"), reserved="EDF+C", tals=notes
    )
    mark.put(path, 8, "patient", 80)
    mark.put(path, 88, "recording", 80)
    mark.put(path, 192 + 5, "reserved", 39)
    for signal in range(3):
        mark.put(path, head + 3 * 16 + 80 * signal, f"transducer-{signal}", 80)
        mark.put(path, head + 3 * 136 + 80 * signal, f"filter-{signal}", 80)
        mark.put(path, head + 3 * 224 + 32 * signal, f"signal-reserved-{signal}", 32)
    mark.rename(folder)


@case("edf", "bids")
def edf_with_side_cars(folder: Path, mark: Marks) -> None:
    """Every side-car that BIDS knows, with keys, columns and cells of free text."""
    why = "an entity of BIDS, which names the recording on purpose"
    subject, task = mark.keep("subject", why, 8), mark.keep("task", why, 8)
    stem = f"sub-{subject}_task-{task}"
    signals = ("EEG Fp1", "EEG Fp2")
    test_edf.write(folder, f"{stem}_eeg.edf", labels=signals)

    def text(name: str, content: str) -> None:
        (folder / name).write_text(content)

    def cells(what: str, *names: str) -> str:
        return "\t".join(mark(f"{what}-{name}") for name in names)

    facts: dict[str, Any] = {
        key: mark(f"json-{key}")
        for key in ("TaskName", "InstitutionName", "SubjectArtefactDescription", "EEGReference")
    }
    facts |= {"PowerLineFrequency": 50, mark("json-key"): "x", f"{mark('json-odd')}-patient": 1}
    facts["SoftwareFilters"] = {mark("json-nested"): {mark("json-deeper"): 1}}
    text(f"{stem}_eeg.json", json.dumps(facts))
    reference = mark.keep("channel-reference", "references of channels are data")
    text(f"{stem}_channels.tsv", "name\ttype\tunits\treference\tdescription\tstatus_description\n"
         + "".join(f"{name}\tEEG\tuV\t{reference}\t{cells(f'channel-{n}', 'about', 'status')}\n"
                   for n, name in enumerate(signals)))  # fmt: skip
    text(f"{stem}_electrodes.tsv", f"name\tx\ty\tz\t{mark('electrode-column')}\n"
         + "".join(f"{name}\t1\t2\t{n}\t{mark(f'electrode-{n}')}\n"
                   for n, name in enumerate(signals)))  # fmt: skip
    places = {"EEGCoordinateUnits": "mm", "EEGCoordinateSystemDescription": mark("coordinates"),
              "EEGCoordinateSystem": mark.keep("frame", "the schema's own attribute")}  # fmt: skip
    text(f"{stem}_coordsystem.json", json.dumps(places))
    kind = mark.keep("event-type", LABEL)
    answer = mark.keep("event-answer", "further columns of events are data")
    text(f"{stem}_events.tsv", "onset\tduration\ttrial_type\tanswer\tcomment\tOperatorName\n"
         f"0.5\t1\t{kind}\t{answer}\t{cells('event', 'comment', 'operator')}\n")  # fmt: skip
    text("participants.tsv", "participant_id\tage\tsex\thandedness\tname\t"
         f"{mark('person-column')}\n"
         f"sub-{subject}\t31\tF\t{cells('person', 'hand', 'name', 'free')}\n")  # fmt: skip
    about = {mark("pj-key"): {"Description": mark("pj-value")}}
    text("participants.json", json.dumps(about))
    of_set = {"Name": mark("set-name"), "BIDSVersion": "1.10.0", "Authors": [mark("set-author")]}
    text("dataset_description.json", json.dumps(of_set))
    text(f"sub-{subject}_scans.tsv", f"filename\tacq_time\tnote\n{stem}_eeg.edf\t"
         f"2020-01-02T03:04:05\t{mark('scan-note')}\n")  # fmt: skip
    text("README", mark("readme"))


@case("gdf")
def gdf(folder: Path, mark: Marks) -> None:
    channels = synthetic_gdf.channels()
    channels[0].label = mark.keep("label", CHANNEL, 15)
    path = folder / "synthetic.gdf"
    table = synthetic_gdf.Table([(10, 768, 0, 0)])
    path.write_bytes(synthetic_gdf.synthetic_gdf(channels, table))
    mark.swap(path, synthetic_gdf.CANARY, "header")
    mark.rename(folder)


@case("brainvision")
def brainvision(folder: Path, mark: Marks) -> None:
    marks = (
        "New Segment,,1,1,0,20110203040506000000",
        f"Stimulus,{mark.keep('stimulus', LABEL)},20,1,0",
        f"Comment,{mark('comment')},30,1,0",
        "Comment,eyes open,40,1,0",
    )
    header, _ = test_brainvision.write(
        folder, markers=marks, DataFile="synthetic.eeg", MarkerFile="synthetic.vmrk",
        Codepage="UTF-8",
    )  # fmt: skip
    text = header.read_text("utf-8").replace("a = b", f"{mark('free')}\r\n{mark('impedance')}: 5")
    text = text.replace("right,,2", "right,Cz,2").replace("; synthetic", f"; {mark('remark')}")
    text = text.replace("Ch1=Fp1,Cz", f"Ch1={mark.keep('label', CHANNEL)},"
                        + mark.keep("reference", "references of channels are data"))  # fmt: skip
    text = text.replace("[Channel Infos]", f"[User Infos]\r\nBy={mark('user')}\r\n[Channel Infos]")
    header.write_text(text, "utf-8")
    markers = folder / "a.vmrk"
    markers.write_text(markers.read_text().replace("a.eeg", "synthetic.eeg"))
    for suffix in (".vhdr", ".eeg", ".vmrk"):
        (folder / f"a{suffix}").rename(folder / f"synthetic{suffix}")
    mark.rename(folder, ".vhdr", ".vmrk")


@case("fif")
def fif(folder: Path, mark: Marks) -> None:
    raw = synthetic_fif.mne_raw()
    raw.info["subject_info"] = {
        "his_id": mark("id"), "last_name": mark("last"), "first_name": mark("first"),
        "middle_name": mark("middle"), "sex": 2,
    }  # fmt: skip
    raw.info["experimenter"], raw.info["description"] = mark("experimenter"), mark("description")
    raw.info["device_info"] = {
        "type": mark("device"), "model": mark("model"), "serial": mark("serial"),
        "site": mark("site"),
    }  # fmt: skip
    raw.annotations.rename({"blink": mark("annotation")})
    name = mark.keep("channel", CHANNEL, 14)
    raw.rename_channels({"heart": name})
    synthetic_fif.save(raw, folder / "synthetic_raw.fif")
    mark.rename(folder)


@case("eeglab", units___all="uV")
def eeglab(folder: Path, mark: Marks) -> None:
    data = np.random.default_rng(5).normal(0, 20, (3, 300)).astype("f4")
    events = [(mark.keep("event", LABEL), 11.0, 2.0), ("blink", 101.5, 0.0)]
    texts = ("setname", "filename", "filepath", "subject", "group", "condition", "session",
             "comments", "history", "saved", "datfile", "splinefile")  # fmt: skip
    eeg = synthetic_eeglab.eeg_struct(data, events, **{key: mark(key) for key in texts})
    eeg["etc"] = {mark("etc-key", 20): mark("etc-value")}
    eeg["chanlocs"][0]["labels"] = mark.keep("channel", CHANNEL)
    for place in eeg["chanlocs"]:
        place["theta_note"] = mark(f"place-{place['labels'][:4]}")
    eeg["event"][0]["usertag"], eeg["event"][1]["usertag"] = mark("tag-1"), mark("tag-2")
    path = synthetic_eeglab.write_5(folder / "synthetic.set", eeg)
    mark.put(path, 40, "start", 60)
    mark.rename(folder)


@case("ctf")
def ctf(folder: Path, mark: Marks) -> None:
    path = synthetic_ctf.write(folder, synthetic_ctf.counts(300))
    mark.swap(path, synthetic_ctf.CANARY, "header")
    label = mark.keep("class", LABEL)
    markers = synthetic_ctf.markers({label: [(0, 0.1)]})
    markers = markers.replace("COMMENT:\n", f"COMMENT:\n{mark('comment')}")
    (path.parent / "MarkerFile.mrk").write_text(markers)
    mark.swap(path.parent / "MarkerFile.mrk", synthetic_ctf.CANARY, "path")
    (path.parent / "ClassFile.cls").write_text(mark("class-file"))
    (path.parent / "synthetic.infods").write_text(mark("infods"))
    (path.parent / "synthetic.hist").write_text(mark("history"))
    mark.rename(folder)


@case("kit")
def kit(folder: Path, mark: Marks) -> None:
    path = folder / "synthetic.con"
    path.write_bytes(synthetic_kit.synthetic_kit(
        np.random.default_rng(3).integers(-(2**15), 2**15, (400, 6))
    ))  # fmt: skip
    mark.swap(path, synthetic_kit.CANARY, "header")
    name = mark.keep("channel", CHANNEL).encode()
    old, new = (text.ljust(32, b"\0") for text in (b"heart", name))
    path.write_bytes(path.read_bytes().replace(old, new))
    mark.rename(folder)


@case("egi")
def egi(folder: Path, mark: Marks) -> None:
    """Nothing in the format is free text but codes of four letters."""
    path = folder / "synthetic.raw"
    path.write_bytes(test_egi.synthetic_egi(test_egi.counts()))
    mark.rename(folder)


@case("egi_mff")
def egi_mff(folder: Path, mark: Marks) -> None:
    path = synthetic_mff.write(folder)
    for name in ("subject.xml", "Events_DIN.xml"):
        mark.swap(path.with_name(name), synthetic_mff.CANARY, name.partition(".")[0].lower())
    events = path.with_name("Events_DIN.xml")
    text = events.read_text().replace("<code>stim<", f"<code>{mark.keep('code', LABEL)}<")
    text = text.replace("<name>DIN<", f"<name>{mark('track')}<")
    text = text.replace(">1</data>", f">{mark('key-value')}</data>").replace("short", "TEXT")
    events.write_text(text.replace("cel#", mark("key-code")))
    path.with_name("history.xml").write_text(
        synthetic_mff.xml("historyEntries", "history", f"<entries>{mark('history')}</entries>")
    )
    path.with_name("notes.xml").write_text(
        synthetic_mff.xml("notes", "notes", f"<note>{mark('note')}</note>")
    )
    info = path.read_text().replace("</recordTime>", "</recordTime><acquisitionVersion>"
                                    f"{mark('version')}</acquisitionVersion>")  # fmt: skip
    path.write_text(info)
    physio = path.with_name("pnsSet.xml")
    text = physio.read_text().replace("<name>p<", f"<name>{mark('set')}<")
    physio.write_text(text.replace("<name>ECG<", f"<name>{mark.keep('channel', CHANNEL)}<"))
    mark.rename(folder)


@case("neuroscan")
def neuroscan(folder: Path, mark: Marks) -> None:
    values = test_neuroscan.counts()
    path = test_neuroscan.write(folder, values)
    mark.swap(path, test_neuroscan.CANARY, "header")
    name = mark.keep("channel", CHANNEL, 9).encode()
    data = path.read_bytes()
    at = data.index(b"VEOG")
    path.write_bytes(data[:at] + name + data[at + len(name) :])
    mark.rename(folder)


@case("nihon")
def nihon(folder: Path, mark: Marks) -> None:
    log = ((1.25, "REC START"), (2.5, mark("event", 20)))
    with mock.patch.object(test_nihon, "LOG", log):
        path = test_nihon.write(folder)
    mark.swap(path, test_nihon.CANARY, "header")
    mark.swap(path.with_suffix(".PNT"), test_nihon.CANARY, "patient")
    names = path.with_suffix(".21E")
    text = names.read_text().replace("=Cz", f"={mark.keep('channel', CHANNEL)}")
    names.write_text(text + f"\n[{mark('section')}]\n0001={mark('value')}\n")
    mark.rename(folder)


@case("persyst")
def persyst(folder: Path, mark: Marks) -> None:
    text = test_persyst.header(extra=f"Note={mark('file-note')}\n")
    text = text.replace("start, of test", mark("comment"))
    text = text.replace("grip=", f"{mark.keep('channel', CHANNEL)}=")
    text = text.replace("Middle=", f"Middle={mark('middle')}")
    text = text.replace("[SampleTimes]", f"{mark('key')}=x\n[Montage]\n{mark('montage')}=1\n"
                        "[SampleTimes]")  # fmt: skip
    path = test_persyst.write(folder, text=text)
    mark.swap(path, test_persyst.CANARY, "patient")
    mark.rename(folder, ".lay")


@case("snirf")
def snirf(folder: Path, mark: Marks) -> None:
    path = synthetic_snirf.write(folder / "synthetic.snirf", synthetic_snirf.samples())
    texts = h5py.string_dtype()
    with h5py.File(path, "r+") as file:
        tags = file["nirs/metaDataTags"]
        for key in ("SubjectID", "Experimenter"):
            del tags[key]
        for key in ("SubjectID", "Experimenter", "Comment", "ManufacturerName", mark("tag", 12)):
            tags.create_dataset(key, data=mark(f"tag-{key}"), dtype=texts)
        for name, what, why in (("stim1", "stimulus", LABEL), ("aux1", "auxiliary", CHANNEL)):
            del file[f"nirs/{name}/name"]
            kept = mark.keep(what, why)
            file[f"nirs/{name}"].create_dataset("name", data=kept, dtype=texts)
        labels = [mark(f"label-{n}") for n in range(3)]
        file["nirs/stim1"].create_dataset("dataLabels", data=labels, dtype=texts)
        file["nirs/probe"].create_dataset("sourceLabels", data=labels[:2], dtype=texts)
        file.attrs["author"] = mark("attribute")
    mark.rename(folder)


@case("xdf")
def xdf(folder: Path, mark: Marks) -> None:
    rows = ((mark.keep("channel", CHANNEL), "EEG", "microvolts"), ("Cz", "EEG", "microvolts"),
            ("TRIG", "TRIG", ""))  # fmt: skip
    described = synthetic_xdf.described(rows) + (
        f"<acquisition><operator>{mark('operator')}</operator></acquisition>"
        f"<note>{mark('note')}</note>"
    )
    markers = ((0.5, mark.keep("marker", LABEL)), *synthetic_xdf.MARKERS[1:])
    path = folder / "synthetic.xdf"
    with mock.patch.object(synthetic_xdf, "MARKERS", markers):
        path.write_bytes(synthetic_xdf.recorded(desc=described))
    mark.swap(path, synthetic_xdf.CANARY, "header")
    mark.rename(folder)


@case("wfdb")
def wfdb(folder: Path, mark: Marks) -> None:
    labels = (mark.keep("channel", CHANNEL), "MLII")
    header = test_wfdb.write(
        folder, labels=labels, specs=("200(10)/mV", "200/mV"), comments=f"# {mark('before')}\n"
    )
    with header.open("a") as stream:
        stream.write(f"# {mark('after')}\n# Medications: {mark('drug')}\n")
    notes = test_wfdb.notes(
        (0, 22, mark("command")), (100, 1, ""), (200, 28, mark.keep("rhythm", "names of rhythms")),
        (300, 22, mark("note")), (400, 22, "artifact"),
    )  # fmt: skip
    (folder / "synthetic.atr").write_bytes(notes)
    mark.rename(folder, ".hea")


@case("abf", modality="ieeg")
def abf(folder: Path, mark: Marks) -> None:
    path = folder / "synthetic.abf"
    names = (mark.keep("channel", CHANNEL).encode(), b"Cmd 1")
    with mock.patch.object(test_abf, "NAMES", names):
        test_abf.write_2(path)
    mark.swap(path, test_abf.CANARY, "protocol")
    mark.over(path, b"drug on", "tag", 56)
    assert struct.unpack_from("<4s", path.read_bytes()) == (b"ABF2",)
    mark.rename(folder)
