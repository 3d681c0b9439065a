"""The demonstration goes the whole way, once; and never on from a damaged store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from neurodata.cli import demo, more_verbs
from neurodata.errors import ProblemsError
from neurodata.publish import verify_pushed
from neurodata.store import open_store

CHOSEN = ["mri_anatomical", "mushroom_body"]


def test_demo_goes_the_whole_way_and_then_stops_at_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "names", lambda: CHOSEN)
    first = demo.run_demo(tmp_path, direct=True)
    assert first.ok
    assert "3 new, 0 same, 0 alias, 0 failed" in first.says
    assert {score["dataset"] for score in first.items} == set(CHOSEN)
    assert (tmp_path / "report.html").stat().st_size > 100_000
    assert len(list((tmp_path / "splits").iterdir())) == 2
    assert all(verify_pushed(tmp_path / "pushed" / name) == [] for name in CHOSEN)
    words = ["bench", "report", "--scores", str(tmp_path / "scores"), "--json"]
    shown = json.loads(CliRunner().invoke(more_verbs.app, words).stdout)["items"]
    assert sorted(s["value"] for s in shown) == sorted(s["value"] for s in first.items)
    second = demo.run_demo(tmp_path, direct=True)
    assert "0 new, 3 same, 0 alias, 0 failed" in second.says
    assert [s["value"] for s in second.items] == [s["value"] for s in first.items]
    capsys.readouterr()

    chunk = open_store(tmp_path / "store").zarr("mri_anatomical/anatomical") / "anat/image_adc/c"
    path = next(p for p in chunk.rglob("*") if p.is_file())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ProblemsError, match="changed bytes"):
        demo.run_demo(tmp_path, direct=True)
    assert "every byte as written" not in capsys.readouterr().err
