"""Text from data stays text: in a terminal, a log, a page, a card, a table, Prefect's artifacts."""

from __future__ import annotations

import html
import json
import logging
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import neurodata.cli.more_verbs
from neurodata.cli.outcome import Outcome, clean, show_json, show_text
from neurodata.cli.verbs import app
from neurodata.errors import Problem
from neurodata.ingestion import ingest
from neurodata.publish import push
from neurodata.publish.card import plain
from neurodata.report import markup, write_report
from neurodata.secret_guard import clean as clean_record
from neurodata.shown import shown, visible
from neurodata.splits import Split, make_split
from neurodata.store import open_store

assert neurodata.cli.more_verbs  # adds its verbs to the app
ROOT = Path(__file__).parents[1]
ANATOMICAL = ROOT / "samples" / "mri_anatomical" / "anatomical.nii"
NASTY = {
    "formula": "=cmd|' /C calc'!A0",
    "formula with a sign": "+1+cmd|' /C calc'!A0",
    "formula with at": "@SUM(1)",
    "element": "<script>alert(1)</script>",
    "attribute": '" onload="alert(1)" x=\'',
    "entity": "&lt;b&gt; &#60;",
    "title of a terminal": "a\x1b]0;owned\x07b",
    "colour": "a\x1b[31mb\x9b32m",
    "line": "a\nerror: b: found c",
    "return": "good\rbad",
    "backspace": "bad\x08\x08\x08good",
    "turned": "a\u202egnp.exe\u2066b",
    "line separator": "a\u2028b\u2029c",
    "surrogate": "a\udce9b",
    "markdown": "[x](javascript:alert(1)) ![y](http://z) `c` **d** | e",
    "mark of a console": "[bold red]x[/] [link=file:///x]y[/link] :boom:",
    "yaml": "a: &b *c\n---\nlicense: mit",
    "NUL": "a\x00b",
}
TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
each = pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)


def drives(text: str) -> list[str]:
    """What of a text could drive a terminal."""
    return [c for c in text if not c.isprintable() and c not in "\n\t"]


@each
def test_a_console_shows_text_as_text(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    problem = Problem("warning", text, text, text, text)
    show_text(Outcome([{"id": text, "n": [text]}], [problem], text))
    told = capsys.readouterr().out
    assert drives(told) == []
    first = clean(text).split("\n")[0].split()[0]
    assert first.replace("***", "") in told.replace("***", "")
    lines = [line for line in told.splitlines() if line.startswith(("error", "warning", "note"))]
    assert [line.split()[0] for line in lines if line.startswith("warning")] == ["warning"]


def test_a_line_end_in_a_name_makes_no_finding_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_text(Outcome((), [Problem("note", NASTY["line"], "x", "y", "z")]))
    told = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[0] for line in told] == ["note", ""]


@each
def test_json_holds_text_whole_and_drives_nothing(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_json(Outcome([{"id": text, text: 1}], [Problem("note", text, text)]))
    told = capsys.readouterr().out
    assert drives(told) == []
    found = json.loads(told)
    assert found["items"] == [{"id": text, text: 1}]
    assert found["problems"][0]["where"] == text


@each
def test_a_log_line_holds_no_control_characters(text: str) -> None:
    record = logging.LogRecord("a", logging.INFO, "b.py", 1, "name %s", (text,), None)
    assert drives(clean_record(record).getMessage()) == []


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.names: set[str] = set()
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.names |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@each
def test_a_page_shows_text_as_text(text: str) -> None:
    piece = markup.element("p", markup.escape(text), title=text)
    found = Tags(piece)
    assert (found.tags, found.names) == (["p"], {"title"})
    assert "".join(found.words) == shown(text)
    assert not set(piece) & {"\x00", "\x1b", "\x07", "\x08", "\x9b", "\r", *TURNS}
    piece.encode("utf-8")
    picture = Tags(markup.figure(bytes(24), text, text))
    assert picture.tags == ["figure", "img", "figcaption"]
    assert picture.names == {"src", "alt", "width"}


@each
def test_a_card_shows_text_as_text(text: str) -> None:
    found = plain(text)
    assert drives(found) == []
    assert "\n" not in found
    assert "<" not in found
    for mark in "|`[]*":
        assert found.count(mark) == found.count("\\" + mark)


@each
def test_an_artifact_shows_text_as_text(text: str) -> None:
    pytest.importorskip("prefect")
    from neurodata.orchestrate.summary import cell

    found = cell(text)
    assert drives(found) == []
    assert "\n" not in found
    for mark in "|<>`[]":
        assert found.count(mark) == found.count("\\" + mark)


@given(st.text())
def test_any_text_is_shown_without_what_drives_a_terminal(text: str) -> None:
    found = visible(text)
    assert len(found) == len(text)
    assert not [c for c in found if (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160]
    assert not set(found) & set(TURNS)
    found.encode("utf-8")
    assert visible(found) == found


def test_scripts_that_need_joiners_and_blanks_of_their_own_stay() -> None:
    text = "5\u202f\u00b5V, 1\u00a0s, \u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    assert visible(text) == text


def test_names_of_files_and_facts_go_through_everything(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    names = [f"{at:02}{text.replace('/', '-').replace(chr(0), '')[:40]}.nii"
             for at, text in enumerate(NASTY.values())]  # fmt: skip
    for at, name in enumerate(names):
        data = bytearray(ANATOMICAL.read_bytes())
        data[-1] = at
        (raw / name).write_bytes(data)
    (raw / f"junk{NASTY['colour']}.nii").write_bytes(b"GIF89a" + bytes(64))
    facts = {
        "0*:subject": NASTY["formula"],
        "1*:subject": NASTY["element"],
        "licence": "MIT",
        "citation": NASTY["yaml"],
    }
    result = ingest(raw, store=tmp_path / "store", declare=facts)
    assert [entry.status for entry in result] == ["new"] * len(names), result
    assert all(entry.id.replace("/", "").isascii() for entry in result)
    store = open_store(tmp_path / "store")
    split = make_split(store, "raw", fractions={"train": 0.5, "test": 0.5})
    split.write(tmp_path / "split.json")
    write_report(store, tmp_path / "r.html", splits=[Split.read(tmp_path / "split.json")])
    push(store, "raw", tmp_path / "pushed", splits=[split])
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "script" not in Tags(page).tags
    front = (tmp_path / "pushed" / "README.md").read_text("utf-8").split("---\n")[1]
    assert yaml.safe_load(front)["license"] == "mit"
    # Parquet has types: no program takes its text for a formula; other tables are not written.
    written = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert not written & {".csv", ".tsv", ".xls", ".xlsx"}
    assert ".parquet" in written
    for words in (
        ["plan", raw],
        ["ls", "--store", store.path],
        ["init", raw, "--out", tmp_path / "x.yaml"],
    ):
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert drives(done.output + done.stderr) == []


def test_html_of_a_page_decodes_to_what_is_shown() -> None:
    for text in NASTY.values():
        assert html.unescape(markup.escape(text)) == shown(text)
