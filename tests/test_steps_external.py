"""External programs: small scripts that work, fail, hang, lie and reach for what is not theirs."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import xarray as xr
import yaml

from neurodata import steps
from neurodata.errors import (
    InvalidInputError,
    NotFoundError,
    PipelineError,
    Problem,
    RefusedError,
    UnreadableError,
    UnsafeError,
)
from neurodata.ingestion import ingest
from neurodata.steps import scratch
from neurodata.store import open_store
from tests.synthetic_trees import node, synthetic_mri

SCRIPT = """#!{python} -IS
import os, subprocess, sys, time
if sys.argv[1:] == ["--version"]:
    print("synthetic-tool 1.2.3")
    sys.exit(0)
mode, source, folder = sys.argv[1:4]
out = os.path.join(folder, "out.nii")
data = bytearray(open(source, "rb").read())
if mode == "fail":
    print("Patient Jane Doe")
    sys.exit(3)
if mode in ("hang", "orphan"):
    subprocess.Popen(["sleep", "60"])
    open(os.path.join(folder, "pid"), "w").write(str(os.getpid()))
    if mode == "hang":
        time.sleep(60)
if mode == "flood":
    with open(out, "wb") as stream:
        while True:
            stream.write(bytes(10**6))
if mode == "chatter":
    while True:
        print("x" * 10**6)
if mode == "secret":
    seen = sorted(set(os.environ) - {{"PATH", "LANG", "LC_ALL", "HOME", "TMPDIR", "LC_CTYPE"}})
    sys.exit(9 if seen != sys.argv[4:] else 0)
if mode == "lie":
    sys.exit(0)
if mode == "empty":
    data = b""
elif mode == "garbage":
    data = b"no image at all" * 99
elif mode != "same":
    data[352:356] = bytes(4)  # the first voxel becomes 0.0
if mode == "link":
    os.symlink("/etc/hostname", out)
    sys.exit(0)
open(out, "wb").write(data)
if mode == "two":
    open(os.path.join(folder, "more.nii"), "wb").write(data)
if mode == "inplace":
    open(source, "r+b").write(bytes(400))
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "bin" / "synthetic-tool"
    path.parent.mkdir()
    path.write_text(SCRIPT.format(python=sys.executable))
    path.chmod(0o755)
    monkeypatch.setenv("NEURODATA_TOOLS", str(path))
    monkeypatch.setenv("SYNTHETIC_SECRET", "hf_canary")
    return path


def facts(mode: str = "good", *more: str, **rest: Any) -> dict[str, Any]:
    arguments = [mode, "{input}", "{output}", *more]
    return {
        "step": "external", "executable": "synthetic-tool", "arguments": arguments,
        "output": "*.nii", "reader": "nifti", **rest,
    }  # fmt: skip


def done(
    given: dict[str, Any], tree: xr.DataTree | None = None, problems: list[Problem] | None = None
) -> xr.Dataset:
    found = steps.apply(tree or synthetic_mri(), steps.parse([given]), problems)
    return found["image"].to_dataset()


def test_a_volume_goes_out_and_comes_back(program: Path) -> None:
    tree = synthetic_mri()
    affine = np.array([[0, -2.0, 0.1, 5], [1.5, 0, 0.3, -7], [0, 0.2, 3, 9], [0, 0, 0, 1.0]])
    before = tree["image"].to_dataset()
    before["affine"] = (("row", "col"), affine, {"units": "mm"})
    tree["image"] = before.assign_attrs(echo_time_s=0.03)
    problems: list[Problem] = []
    found = done(facts(), tree, problems)
    expected = before["image_adc"].values.astype("f4")
    expected[0, 0, 0] = 0
    np.testing.assert_array_equal(found["image"].values, expected)
    np.testing.assert_allclose(found["affine"].values, affine, atol=1e-6)
    assert found.attrs["echo_time_s"] == 0.03
    assert "made by synthetic-tool, synthetic-tool 1.2.3" in str(problems[0])


def test_what_is_written_is_what_nibabel_reads(tmp_path: Path) -> None:
    from neurodata.steps.nifti_file import write_nifti

    random = np.random.default_rng(0)
    values = random.normal(0, 1, (3, 4, 5, 6)).astype("f4")
    turn = np.array([[0.1, -1.9, 0.3], [-0.2, 0.4, 2.8], [0.9, 0.2, 0.35]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn, [10, -20, 5]
    made = node(
        "volume",
        {
            "image": (("time", "z", "y", "x"), values, {"units": "a.u."}),
            "affine": (("row", "col"), affine, {"units": "mm"}),
        },
        start_s=0.0, rate_hz=0.4, n=3,
    )  # fmt: skip
    write_nifti(made, tmp_path / "synthetic.nii", "here")
    image = nib.load(tmp_path / "synthetic.nii")
    np.testing.assert_array_equal(np.asarray(image.dataobj), values.transpose())
    np.testing.assert_allclose(image.affine, affine, atol=1e-6)
    assert image.header.get_zooms()[3] == pytest.approx(2.5)
    assert image.header.get_xyzt_units() == ("mm", "sec")
    with pytest.raises(InvalidInputError, match="channel"):
        write_nifti(made.rename(time="channel"), tmp_path / "other.nii", "here")


def test_the_record_says_which_program_it_was(program: Path) -> None:
    record = steps.parse([facts()])[0].record()
    sha256 = hashlib.sha256(program.read_bytes()).hexdigest()
    assert record["tool"] == {"version": "synthetic-tool 1.2.3", "sha256": sha256}
    assert str(program.parent) not in str(record)
    program.write_text(program.read_text().replace("1.2.3", "1.2.4"))
    assert steps.parse([facts()])[0].record()["tool"]["version"].endswith("1.2.4")


@pytest.mark.parametrize(
    ("mode", "error", "match"),
    [
        ("fail", UnreadableError, "exit code 3"),
        ("lie", UnreadableError, "0 files"),
        ("empty", UnreadableError, "empty file"),
        ("two", UnreadableError, "2 files"),
        ("same", UnreadableError, "output that is the input"),
        ("garbage", RefusedError, "out.nii"),
        ("link", RefusedError, "out.nii|0 files"),
        ("flood", UnsafeError, "wrote over"),
        ("chatter", UnsafeError, "wrote over"),
        ("hang", UnsafeError, "still running"),
    ],
)
def test_programs_that_do_not_do_it(
    program: Path, mode: str, error: type[Exception], match: str
) -> None:
    limit_s = 1.0 if mode == "hang" else 20.0
    started = time.monotonic()
    with scratch.lasting(), pytest.raises(error, match=match) as caught:
        done(facts(mode, timeout_s=limit_s, most_bytes=2 * 10**6))
    assert time.monotonic() - started < 15
    assert "Jane" not in str(caught.value)


def _alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")
@pytest.mark.parametrize("mode", ["hang", "orphan"])
def test_nothing_is_left_running(program: Path, mode: str) -> None:
    before = {int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()}
    if mode == "hang":
        with pytest.raises(UnsafeError):
            done(facts(mode, timeout_s=1.0))
    else:
        done(facts(mode))
    time.sleep(0.2)
    new = {int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()} - before
    mine = [
        pid for pid in new
        if _alive(pid) and b"sleep\x0060" in Path(f"/proc/{pid}/cmdline").read_bytes()
        and "neurodata-" in os.readlink(f"/proc/{pid}/cwd")
    ]  # fmt: skip
    assert not mine


def test_a_program_sees_no_more_of_the_environment_than_it_is_told(program: Path) -> None:
    with pytest.raises(UnreadableError, match="0 files"):
        done(facts("secret"))
    wanted = facts("secret", "SYNTHETIC_SECRET", environment=["SYNTHETIC_SECRET"])
    with pytest.raises(UnreadableError, match="0 files"):
        done(wanted)


def test_only_what_the_person_allows_is_run(
    program: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NEURODATA_TOOLS", "")
    with pytest.raises(UnsafeError, match="export NEURODATA_TOOLS="):
        done(facts())
    with pytest.raises(UnsafeError, match="export NEURODATA_TOOLS="):
        steps.parse([facts()])[0].record()
    monkeypatch.setenv("NEURODATA_TOOLS", str(tmp_path / "absent" / "synthetic-tool"))
    with pytest.raises(NotFoundError):
        done(facts())
    for wrong in ({"executable": "/bin/sh"}, {"executable": "../sh"}, {"reader": "magic"},
                  {"arguments": ["{secret}"]}, {"on": "files", "node": "image"}):  # fmt: skip
        with pytest.raises(PipelineError):
            steps.parse([{**facts(), **wrong}])
    with pytest.raises(PipelineError, match="come first"):
        steps.parse([{"step": "reorient"}, facts(on="files")])


def test_arguments_reach_no_shell(program: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    done(facts("good", f"; touch {mark}", f"$(touch {mark})", "`id`"))
    assert not mark.exists()


def test_a_version_that_is_not_told_is_refused(program: Path) -> None:
    with pytest.raises(InvalidInputError, match="exit code"):
        steps.parse([facts(version_exit=3)])[0].record()
    told = '"synthetic-tool 1.2.3 built in /home/jane/x"'
    program.write_text(program.read_text().replace('"synthetic-tool 1.2.3"', told))
    version = steps.parse([facts()])[0].record()["tool"]["version"]
    assert version == "synthetic-tool 1.2.3 built in ..."
    with pytest.raises(InvalidInputError, match="exit code"):
        steps.parse([facts(version_args=["lie", "/dev/null", "."])])[0].record()


def test_folders_last_as_long_as_the_block() -> None:
    with scratch.lasting():
        one, two = scratch.new_folder(), scratch.new_folder()
        assert one.is_dir()
        assert one != two
    assert not one.exists()
    assert not two.exists()
    assert scratch.new_folder().is_dir()


@pytest.mark.parametrize("on", ["node", "files"])
def test_a_pipeline_with_a_program(
    program: Path, tmp_path: Path, samples: Path, on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = yaml.safe_load((samples.parent / "pipelines" / "mri_anatomical.yaml").read_text())
    pipeline |= {"splits": [], "tasks": [], "expect": {}}
    mode = "inplace" if on == "files" else "good"
    pipeline["steps"] = [facts(mode, on=on), {"step": "reorient"}]
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(pipeline))
    original = (samples / "mri_anatomical" / "anatomical.nii").read_bytes()
    result = ingest(file, store=tmp_path / "store")
    assert result.ok, result.findings()
    assert (samples / "mri_anatomical" / "anatomical.nii").read_bytes() == original
    store = open_store(tmp_path / "store")
    (name,) = store.ids()
    record = store.manifest(name)["steps"][0]
    assert record["tool"]["version"] == "synthetic-tool 1.2.3"
    assert str(tmp_path) not in str(store.manifest(name))
    image = nib.load(samples / "mri_anatomical" / "anatomical.nii")
    expected = nib.as_closest_canonical(image).get_fdata()
    found = store[name]["anat"]["image"].values.transpose()
    assert (found != expected.astype("f4")).sum() in (1, 2)
    assert ingest(file, store=tmp_path / "store").tally("same") == 1
    if on == "node":
        monkeypatch.setenv("NEURODATA_TOOLS", "")
        refused = ingest(file, store=tmp_path / "other")
        assert refused.tally("failed") == 1
        assert "export NEURODATA_TOOLS=" in str(refused.findings())
