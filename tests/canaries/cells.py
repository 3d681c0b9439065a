"""Recordings of cells, with marks: calcium imaging, spikes, traces by declaration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import tifffile

from neurodata.readers.neuralynx_records import RECORDS
from tests.canaries.marks import Marks, case
from tests.readers import (
    test_aedat,
    test_blackrock,
    test_caiman,
    test_matlab,
    test_movie,
    test_neuralynx,
    test_nwb,
    test_nwb1,
    test_phy,
    test_shd,
    test_spikeglx,
    test_suite2p,
    test_traces,
)

UNIT = "names of cells and channels are data"
COLUMN = "further columns of events are data"
PLACE = "the schema's own attribute of a node"
SUBJECT = "the data set's own id of a subject or session"
TEXTS = h5py.string_dtype()


def _replace(file: h5py.File, name: str, text: str) -> None:
    attrs = dict(file[name].attrs) if name in file else {}
    if name in file:
        del file[name]
    file.create_dataset(name, data=text, dtype=TEXTS).attrs.update(attrs)


@case("nwb")
def nwb(folder: Path, mark: Marks) -> None:
    path = folder / "synthetic.nwb"
    path.write_bytes(test_nwb.synthetic())
    mark.swap(path, test_nwb.CANARY, "session")
    free = ("keywords", "protocol", "pharmacology", "surgery", "virus", "slices", "stimulus",
            "data_collection", "experiment_description", "related_publications", "source_script",
            "subject/genotype", "subject/strain", "subject/weight")  # fmt: skip
    with h5py.File(path, "r+") as file:
        general = file["general"]
        for name in free:
            _replace(general, name, mark(name.replace("/", "-")))
        for name, why in (("session_id", SUBJECT), ("subject/subject_id", SUBJECT)):
            _replace(general, name, mark.keep(name.replace("/", "-"), why))
        plane = general["optophysiology/plane"]
        for name in ("indicator", "location"):
            _replace(plane, name, mark.keep(name, PLACE))
        _replace(plane, "description", mark("plane"))
        general["devices/scope"].attrs["description"] = mark("device")
        general["devices/scope"].attrs["manufacturer"] = mark("manufacturer")
        trials = file["intervals/trials"]
        trials.attrs["description"] = mark("trials")
        del trials["choice"]
        choice = [mark.keep("choice", COLUMN), "left"]
        made = trials.create_dataset("choice", data=choice, dtype=TEXTS)
        trials.create_dataset("trial_notes", data=[mark("trial-note"), "x"], dtype=TEXTS)
        made.attrs["description"] = mark("column")
        names = [*trials.attrs["colnames"], "trial_notes"]
        trials.attrs["colnames"] = np.array(names, dtype=object)
        wheel = file["acquisition/Wheel"]
        wheel.attrs["description"], wheel.attrs["comments"] = mark("series"), mark("comments")
        _annotations(file, mark)
    mark.rename(folder)


def _annotations(file: h5py.File, mark: Marks) -> None:
    """Add a series of remarks, as pynwb writes it."""
    series = file.create_group("acquisition/Remarks")
    series.attrs.update({"neurodata_type": "AnnotationSeries", "namespace": "core",
                         "description": mark("remarks"), "comments": mark("remarks-comments"),
                         "object_id": "00000000-0000-4000-8000-000000000000"})  # fmt: skip
    series.create_dataset("data", data=[mark("remark"), "lights off"], dtype=TEXTS)
    series["data"].attrs.update({"unit": "n/a", "conversion": 1.0, "resolution": -1.0})
    series["timestamps"] = np.array([0.1, 0.2])
    series["timestamps"].attrs.update({"unit": "seconds", "interval": np.int32(1)})


@case("nwb1")
def nwb1(folder: Path, mark: Marks) -> None:
    path = test_nwb1.synthetic(folder / "synthetic.nwb")
    mark.swap(path, test_nwb1.CANARY, "session")
    with h5py.File(path, "r+") as file:
        for name, why in (("session_id", SUBJECT), ("subject/subject_id", SUBJECT)):
            _replace(file["general"], name, mark.keep(name.replace("/", "-"), why))
        for name in ("indicator", "location"):
            _replace(file["general/optophysiology/imaging_plane_1"], name, mark(name))
        for name in ("notes", "virus", "surgery"):
            _replace(file["general"], name, mark(name))
        file.attrs["author"] = mark("attribute")
    mark.rename(folder)


@case("caiman")
def caiman(folder: Path, mark: Marks) -> None:
    path = test_caiman.synthetic(folder / "synthetic.hdf5")
    mark.swap(path, test_caiman.CANARY, "path")
    with h5py.File(path, "r+") as file:
        file["params/data/caiman_version"] = mark("version")
        file["params/motion/" + mark("key", 12)] = mark("value")
        file.attrs["author"] = mark("attribute")
        file["estimates"].attrs["note"] = mark("estimates")
    mark.rename(folder)


@case("suite2p")
def suite2p(folder: Path, mark: Marks) -> None:
    path = test_suite2p.synthetic(folder)
    ops: dict[str, Any] = {
        "fs": 12.5, "Ly": 8, "Lx": 6, "nframes": test_suite2p.FRAMES,
        "data_path": [mark("data-path")], "save_path": mark("save-path"), "notes": mark("notes"),
        mark("key", 12): mark("value"), "reg": {"file": mark("nested")},
    }  # fmt: skip
    np.save(path.with_name("ops.npy"), np.array(ops), allow_pickle=True)
    stat = np.load(path.with_name("stat.npy"), allow_pickle=True)
    for number, one in enumerate(stat):
        one["annotator"] = mark(f"roi-{number}")
    np.save(path.with_name("stat.npy"), stat, allow_pickle=True)


@case("shd")
def shd(folder: Path, mark: Marks) -> None:
    def change(file: h5py.File) -> None:
        del file["extra/keys"]
        words = ["zero", "one", mark.keep("class", "names of classes are data")]
        file.create_dataset("extra/keys", data=words, dtype=TEXTS)
        file["extra/meta_info/body_height"] = [mark("height").encode()]
        file["extra/" + mark("key", 12)] = [mark("value").encode()]
        file.attrs["author"] = mark("attribute")

    path = test_shd.write(folder / "synthetic.h5", change=change)
    mark.swap(path, test_shd.CANARY, "gender")
    mark.rename(folder)


@case("phy")
def phy(folder: Path, mark: Marks) -> None:
    path = test_phy.write(folder)
    mark.swap(path, test_phy.CANARY, "path")
    mark.swap(folder / "cluster_info.tsv", test_phy.CANARY, "notes")
    with path.open("a") as stream:
        stream.write(f"experimenter = '{mark('experimenter')}'\n# {mark('remark')}\n")
    group = folder / "cluster_group.tsv"
    why = "a sorter's group of a cell"
    group.write_text(group.read_text().replace("\tmua", f"\t{mark.keep('group', why)}"))
    (folder / "cluster_person.tsv").write_text(
        f"cluster_id\t{mark('column')}\n2\t{mark('cell')}\n5\tx\n9\tx\n"
    )


@case("neuralynx")
def neuralynx(folder: Path, mark: Marks) -> None:
    channel = mark.keep("channel", UNIT, 9)
    more: dict[str, Any] = {
        "OriginalFileName": f'"C:\\{mark("original")}"',
        "SessionUUID": mark("session"),
        "ReferenceChannel": f'"{mark("reference")}"',
    }
    test_neuralynx.csc(folder, channel, **more)
    test_neuralynx.spikes_of(folder)
    test_neuralynx.events_of(folder)
    for path in sorted(folder.iterdir()):
        mark.swap(path, test_neuralynx.CANARY, f"header-{path.suffix[1:]}")
    events = folder / "Events.nev"
    record = RECORDS["nev"]
    head, data = events.read_bytes()[: 2**14], np.frombuffer(events.read_bytes()[2**14 :], record)
    data = data.copy()
    data["text"][1], data["event"][1] = mark("typed").encode(), 4
    events.write_bytes(head + data.tobytes())


@case("blackrock")
def blackrock(folder: Path, mark: Marks) -> None:
    test_blackrock.nsx(folder)
    test_blackrock.nev(folder)
    samples, events = folder / "synthetic.ns5", folder / "synthetic.nev"
    mark.swap(samples, test_blackrock.CANARY, "comment-ns5")
    mark.swap(events, test_blackrock.CANARY, "comment-nev")
    data = samples.read_bytes()
    label = mark.keep("channel", UNIT, 14).encode()
    samples.write_bytes(data.replace(b"chan1".ljust(14, b"\0"), label, 1))
    mark.over(events, b"lights on", "typed", 40)
    mark.rename(folder)


@case("spikeglx")
def spikeglx(folder: Path, mark: Marks) -> None:
    path, _ = test_spikeglx.np1(folder, userNotes=mark("notes"))
    mark.swap(path, test_spikeglx.CANARY, "tag")
    with path.open("a") as stream:
        stream.write(f"rmt_{mark('key', 12)}={mark('value')}\n")
    mark.rename(folder, ".meta")


@case("aedat")
def aedat(folder: Path, mark: Marks) -> None:
    path = test_aedat.version3(folder, found=test_aedat.FOUND[:40])
    mark.swap(path, test_aedat.CANARY, "path")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"#Start-Time", f"#{mark('comment')}\r\n#Start-Time".encode(), 1))
    mark.rename(folder)


@case("spike_text", time_units="us", stop_s=10)
def spike_text(folder: Path, mark: Marks) -> None:
    times = np.cumsum(np.random.default_rng(2).integers(900, 9000, 900)).tolist()
    rows = "".join(f"{time}\n" for time in times)
    path = folder / "synthetic.txt"
    path.write_text(f"# {mark('comment')}\n# by: {mark('author')}\n{rows}")
    mark.rename(folder)


@case("traces", units___all="dF/F", modality="calcium")
def traces(folder: Path, mark: Marks) -> None:
    path = test_traces.synthetic(folder / "synthetic_dff.csv")
    text = path.read_text().replace("a,b,c", f"{mark.keep('channel', UNIT)},b,c")
    path.write_text(text)
    mark.rename(folder)


MATLAB = {
    "variables__signal": "worm.traces", "variables__channel": "worm.IDs",
    "axes": "channel,time", "variables__rate_hz": "fps", "units___all": "dF/F",
    "modality": "calcium",
}  # fmt: skip


@case("matlab", **MATLAB)
def matlab(folder: Path, mark: Marks) -> None:
    names = np.array([mark.keep("channel", UNIT), "AVAR", "RIS"], dtype=object)
    signal = np.random.default_rng(1).normal(size=(3, test_matlab.N))
    content = {
        "fps": 4.5, "note": mark("note"), mark("variable", 14): 1.0,
        "worm": {"traces": signal, "IDs": names, "owner": mark("field"),
                 mark("field-name", 14): mark("nested")},
        "people": np.array([mark("cell"), mark("other-cell")], dtype=object),
    }  # fmt: skip
    path = folder / "synthetic.mat"
    scipy.io.savemat(path, content)
    mark.put(path, 40, "start", 60)
    mark.rename(folder)


@case("matlab", "73", **MATLAB)
def matlab73(folder: Path, mark: Marks) -> None:
    path = folder / "synthetic.mat"
    names = np.array([mark.keep("channel", UNIT), "AVAR", "RIS"], dtype=object)
    signal = np.random.default_rng(1).normal(size=(3, test_matlab.N))
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in (("fps", np.array([4.5])), ("note", mark("note")),
                            ("worm", {"traces": signal, "IDs": names})):  # fmt: skip
            test_matlab.put(file, name, value)
        file["worm"].attrs["owner"] = mark("attribute")
    with path.open("r+b") as stream:
        text = f"MATLAB 7.3 MAT-file, synthetic {mark('start')}".encode()
        stream.write(text.ljust(124) + b"\0\x02IM")
    mark.rename(folder)


@case("hdf5", variables__signal="gcamp/traces", axes="time,channel", units___all="dF/F",
      variables__time="timing/confocal", time_units="s", modality="calcium",
      variables__channel="labels")  # fmt: skip
def hdf5(folder: Path, mark: Marks) -> None:
    random = np.random.default_rng(1)
    with h5py.File(folder / "synthetic.h5", "w") as file:
        file["gcamp/traces"] = random.normal(size=(test_matlab.N, 3))
        file["timing/confocal"] = np.arange(test_matlab.N) / 1.6 + 3
        file["labels"] = [mark.keep("channel", UNIT), "AVAR", "RIS"]
        file["note"] = mark("note")
        file[mark("group", 12)] = 1.0
        for name, place in (("root", "/"), ("group", "gcamp"), ("data", "gcamp/traces")):
            file[place].attrs[mark(f"{name}-key", 12)] = mark(f"{name}-attribute")
    mark.rename(folder)


@case("movie", masks="rois.npy")
def movie(folder: Path, mark: Marks) -> None:
    facts = {"axes": "TYX", "finterval": 0.05, "Info": mark("info"), "Name": mark("title"),
             mark("key", 12): mark("value")}  # fmt: skip
    tifffile.imwrite(folder / "synthetic.tif", test_movie.pixels(), imagej=True, metadata=facts)
    np.save(folder / "rois.npy", test_movie.weights())
    mark.rename(folder)
