"""No secret in any output: every verb, every log, every file, failing and not."""

from __future__ import annotations

import copy
import importlib
import json
import logging
import os
import pickle
import pkgutil
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import neurodata
import neurodata.cli
from neurodata import secret, secret_guard
from neurodata.cli.outcome import Outcome
from neurodata.cli.outcome import run as run_verb
from neurodata.cli.verbs import app
from neurodata.declare import parse
from neurodata.errors import (
    IntegrityError,
    InvalidInputError,
    NeurodataError,
    Problem,
    ProblemsError,
    RefusedError,
    StoreError,
    UnsafeError,
)
from neurodata.ingestion import ingest
from neurodata.pipeline import read_pipeline
from neurodata.plan import plan
from neurodata.privacy import scrub
from neurodata.publish import push
from neurodata.report import write_report
from neurodata.scope import check
from neurodata.secret import (
    Secret,
    has_secret,
    scrubbed,
    scrubbed_by_shape,
    secret_values,
)
from neurodata.splits import Split, freeze
from neurodata.store import open_store, remote_io
from tests import synthetic_jobs

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"
WORD = "Kanarienvogel7Q"  # in every secret of these tests, and in nothing else
TOKEN = f"hf_{WORD}abcdefGHIJ1234"
ADDRESS = f"http://me:{WORD}@127.0.0.1:1/a?token={WORD}&sig={WORD}&x=1"
VARIABLES = {
    "HF_TOKEN": TOKEN,
    "AWS_SECRET_ACCESS_KEY": f"plain {WORD}+/words",
    "AWS_ACCESS_KEY_ID": f"synthetic-{WORD}-id",
    "NEURODATA_PASSWORD": f"{WORD}!",
    "LAB_API_KEY": f"0123-{WORD}",
}


@pytest.fixture
def secrets_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


# ---- the type


def test_a_secret_shows_nothing_of_itself() -> None:
    token = Secret(TOKEN)
    shown = [str(token), repr(token), f"{token}", f"{token!r:>5}", str([token])]
    assert shown == ["***", "***", "***", "  ***", "[***]"]
    assert WORD not in json.dumps({"a": token}, default=str)
    assert not hasattr(token, "__dict__")
    assert token.reveal() == TOKEN


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_does_not_leave_its_process(way: Callable[[Any], Any]) -> None:
    with pytest.raises(UnsafeError) as refusal:
        way(Secret(TOKEN))
    assert WORD not in str(refusal.value)


def test_secrets_compare_but_have_no_hash() -> None:
    assert Secret("synthetic-a") == Secret("synthetic-a")
    assert Secret("synthetic-a") != Secret("synthetic-b")
    assert Secret("synthetic-a") != "synthetic-a"
    with pytest.raises(TypeError):
        hash(Secret("synthetic-a"))


def test_a_secret_comes_from_the_first_variable_that_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NEURODATA_A_TOKEN", raising=False)
    monkeypatch.setenv("NEURODATA_B_TOKEN", "synthetic-b")
    found = Secret.of("NEURODATA_A_TOKEN", "NEURODATA_B_TOKEN")
    assert found is not None
    assert found.reveal() == "synthetic-b"
    assert Secret.of("NEURODATA_A_TOKEN") is None


# ---- what is known as a secret


SHAPES = [
    ("see hf_abcdefghij1234 now", "see *** now"),
    ("ghp_abcdefghij1234 github_pat_11ABC_defgh", "*** ***"),
    ("key AKIAABCDEFGHIJKLMNOP", "key ***"),
    ("a eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3.sig-nature b", "a *** b"),
    ("-----BEGIN RSA PRIVATE KEY-----\nab\n-----END RSA PRIVATE KEY----- x", "*** x"),
    ("GET /a?x=1&access_token=q1w2&y=2", "GET /a?x=1&access_token=***&y=2"),
    ("https://h/a?sv=1&sig=q%2Fw&se=2", "https://h/a?sv=1&sig=***&se=2"),
    ("https://h/a?X-Amz-Signature=0a1b&X-Amz-Date=2", "https://h/a?X-Amz-Signature=***&X-Amz-Date=2"),
    ("https://h/a?key=q1w2", "https://h/a?key=***"),
    ('{"password": "q1 w2"}', '{"password": "***"}'),
    ("password='q1 w2' x", "password='***' x"),
    ("mysql --password q1w2 -v", "mysql --password *** -v"),
    ("Authorization: Bearer abcdefghij", "Authorization: Bearer ***"),
    ("{'Authorization': 'Basic dXNlcjpwYXNz'}", "{'Authorization': 'Basic ***'}"),
    ("https://me:q1w2@host/a", "https://me:***@host/a"),
    ("https://me:q1@w2@host/a", "https://me:***@host/a"),
    ("https:/me:q1w2@host/a", "https:/me:***@host/a"),
    ("git clone https://q1w2@host/a", "git clone https://***@host/a"),
]  # fmt: skip
HELD = [text for text, _ in SHAPES]


@pytest.mark.parametrize(("text", "expected"), SHAPES)
def test_shapes_of_secrets(text: str, expected: str) -> None:
    assert scrubbed(text) == expected
    assert scrubbed_by_shape(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "tokens in the text: 3 of 5",
        "sub-01_task-token_eeg: found rate 10",
        "declare it: --set units.token=V --set columns.password=pin",
        "hf_oscillations and hf_power",
        "Basic properties of cells; a basic introduction; bearer of news",
        "http://host:8080/a/b@0123456789abcdef",
        "hf://datasets/owner/name@main/path",
        "https://doi.org/10.1000/xyz?a=1&b=2",
        "eeg_fp1/test_utf8@0123456789abcdef",
        "key=value; KEY=VALUE; --set key=1",
        "the signature of a cell type",
    ],
)
def test_ordinary_texts_stay(text: str) -> None:
    assert scrubbed(text) == text


PIECES = ["hf_Abcdefghij1234", "token=", "https://", "me:pw@", "?sig=", "&", " ", "'", "password",
          ": ", "Bearer ", "/", "***", "x"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), st.sampled_from(HELD))
def test_the_words_that_are_looked_for_first_are_in_every_secret(text: str, held: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        quick = scrubbed_by_shape(f"{text} {held}")
        patch.setattr(secret, "_has_one", lambda text, hints: True)
        assert scrubbed_by_shape(f"{text} {held}") == quick


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_scrubbing_again_changes_nothing(text: str) -> None:
    once = scrubbed_by_shape(text)
    assert scrubbed_by_shape(once) == once


@pytest.mark.parametrize("name", [*VARIABLES, "GITHUB_TOKEN", "PREFECT_API_KEY", "DB_PASSWORD"])
def test_values_of_variables_with_telling_names(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "plain words+/1")
    assert scrubbed("a plain words+/1 b plain%20words%2B%2F1 c") == "a *** b *** c"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKENIZERS_PARALLELISM", "synthetic"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "synthetic"),
        ("SSH_KEY", str(ROOT)),
        ("MONKEY", "synthetic"),
        ("A_TOKEN", "short"),
        ("A_TOKEN", "12345678"),
        ("USE_TOKEN", "required"),
    ],
)
def test_variables_that_hold_no_secret(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert value not in secret_values()


def test_a_key_of_many_lines_is_known_by_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["abcdefghijklmnopqrstuv", "0123456789ABCDEFGHIJKL", "end"]
    monkeypatch.setenv("DEPLOY_KEY", "\n".join(lines))
    assert scrubbed(f"{lines[0]} and {lines[1]} end") == "*** and *** end"


def test_the_longest_value_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "synthetic")
    monkeypatch.setenv("B_TOKEN", "synthetic-and-more")
    assert scrubbed("x synthetic-and-more x") == "x *** x"


def test_a_declared_column_called_token_is_no_secret() -> None:
    assert not has_secret("columns.token=V")
    assert has_secret(ADDRESS)
    assert not has_secret("hf_power_20200101_eeg")
    assert has_secret(f"sub-01_{TOKEN}.edf")


# ---- errors and findings

KINDS: list[Callable[[str], Exception]] = [
    lambda text: RefusedError(text, text, text, text),
    lambda text: StoreError(text, text),
    lambda text: NeurodataError(text),
    lambda text: ProblemsError([Problem("error", text, text, text, text)]),
    lambda text: synthetic_chain(text),
]


def synthetic_chain(text: str) -> Exception:
    """A refusal that followed from an exception whose text holds a secret."""
    try:
        try:
            raise OSError(f"403 for {text}")
        except OSError as error:
            raise IntegrityError(text, text, text, text) from error
    except IntegrityError as error:
        return error


@pytest.mark.parametrize("kind", range(len(KINDS)))
@pytest.mark.parametrize("text", [ADDRESS, TOKEN, VARIABLES["AWS_SECRET_ACCESS_KEY"]])
def test_no_refusal_tells_a_secret(kind: int, text: str, secrets_around: None) -> None:
    error = KINDS[kind](text)
    assert WORD not in str(error) + repr(error)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)


def test_findings_tell_no_secret(secrets_around: None) -> None:
    problem = Problem("note", ADDRESS, TOKEN, VARIABLES["LAB_API_KEY"], ADDRESS)
    assert WORD not in str(problem) + repr(problem) + json.dumps(problem.as_dict())
    assert problem.as_dict()["found"] == "***"


# ---- logs, warnings, exceptions that nobody catches


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record) + repr(record.args))


@pytest.fixture
def handler(secrets_around: None) -> Iterator[Kept]:
    before, kept = logging.getLogRecordFactory(), Kept()
    logging.getLogger().addHandler(kept)
    secret_guard.guard_logs()
    secret_guard.guard_logs()
    yield kept
    logging.getLogger().removeHandler(kept)
    logging.setLogRecordFactory(before)


@pytest.mark.parametrize("name", ["", "neurodata", "somebody.else"])
def test_no_log_tells_a_secret(name: str, handler: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    log = logging.getLogger(name)
    for each in (log, logging.getLogger("prefect")):  # which may be set up already
        monkeypatch.setattr(each, "propagate", True)
    log.error("in the text: %s", ADDRESS)
    log.error("split %s%s", "token=", WORD)
    log.error("too %s few %s", TOKEN)
    log.error(OSError(ADDRESS))
    log.error("stack", stack_info=True)
    try:
        raise OSError(f"403 for {ADDRESS}")
    except OSError:
        log.exception("failed")
    text = "\n".join(handler.lines)
    assert len(handler.lines) == 6
    assert "OSError: 403 for http://me:***@127.0.0.1:1/a?token=***" in text
    assert WORD not in text


def test_a_log_record_without_a_secret_stays_as_it_is(handler: Kept) -> None:
    record = secret_guard.clean(
        logging.LogRecord("a", logging.INFO, "b.py", 1, "%d of %d", (1, 2), None)
    )
    assert (record.msg, record.args) == ("%d of %d", (1, 2))


def test_our_own_log_is_clean_in_processes_of_others(
    caplog: pytest.LogCaptureFixture, secrets_around: None, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    def fails(*args: object, **kwargs: object) -> None:
        raise OSError(f"403 for {ADDRESS} {os.environ['HF_TOKEN']}")

    monkeypatch.setattr("neurodata.ingestion.ingest_recording", fails)
    result = ingest("mri_anatomical", store=tmp_path / "store")
    assert [entry.status for entry in result] == ["failed"]
    assert "403 for" in caplog.text
    assert WORD not in caplog.text + repr(result)


SCRIPT = """
import logging, os, sys, threading, warnings
import neurodata.cli, neurodata.cli.upkeep, neurodata.cli.more_verbs as verbs
word = os.environ["LAB_API_KEY"]
class Odd:
    def __del__(self): raise OSError("unraisable " + word)
def broken():
    logging.getLogger("x").error("log %s", word)
    warnings.warn("warning " + word)
    thread = threading.Thread(target=lambda: (_ for _ in ()).throw(OSError("thread " + word)))
    thread.start(); thread.join()
    Odd()
    raise KIND("uncaught " + word)
verbs.app = broken
neurodata.cli.main()
"""


@pytest.mark.parametrize(("kind", "code"), [("RuntimeError", 3), ("KeyboardInterrupt", 130)])
def test_what_a_process_says_by_itself_tells_no_secret(kind: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("KIND", kind)], cwd=ROOT, capture_output=True,
        text=True, env={**os.environ, **VARIABLES}, check=False,
    )  # fmt: skip
    assert done.returncode in (code, -2), done.stderr
    for part in ("log ***", "warning ***", "thread ***", "unraisable ***", "uncaught ***"):
        assert part in done.stderr
    assert WORD not in done.stdout + done.stderr


def test_hooks_of_a_guarded_process_write_as_python_does(
    capsys: pytest.CaptureFixture[str], secrets_around: None
) -> None:
    try:
        raise ValueError(f"a {TOKEN}")
    except ValueError as error:
        expected = "".join(traceback.format_exception(error)).replace(TOKEN, "***")
        secret_guard.tell(type(error), error, error.__traceback__)
    assert capsys.readouterr().err == expected


def test_guarding_twice_is_guarding_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for where, name in [
        (sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook"),
        (warnings, "formatwarning"),
    ]:  # fmt: skip
        monkeypatch.setattr(where, name, getattr(where, name))
    before = logging.getLogRecordFactory()
    secret_guard.guard_process()
    first = warnings.formatwarning, logging.getLogRecordFactory()
    secret_guard.guard_process()
    assert (warnings.formatwarning, logging.getLogRecordFactory()) == first
    logging.setLogRecordFactory(before)


# ---- every verb


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    below: dict[str, Any] = getattr(command, "commands", {})
    if not below:
        yield path, command
    for name in below:
        yield from walk(below[name], (*path, name))


for module in pkgutil.iter_modules(neurodata.cli.__path__):  # each may add verbs
    importlib.import_module(f"neurodata.cli.{module.name}")
VERBS = dict(walk(typer.main.get_command(app)))
IDS = [" ".join(words) for words in VERBS]


def call(*words: object) -> str:
    """Run the command line and return all that it says; an exception is no ordinary end."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return f"exit code {done.exit_code}\n{done.output}{done.stderr}"


def arguments(command: Any, folder: Path) -> list[str]:
    """Words for what a verb must have."""
    return [str(folder / "x") for one in command.params if one.param_type_name == "argument"]


def takers(command: Any) -> list[Any]:
    """The parameters of a verb that take a value."""
    return [one for one in command.params if not getattr(one, "is_flag", False)]


@pytest.fixture(scope="module")
def synthetic_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, splits and scores, all made while secrets were around."""
    folder = tmp_path_factory.mktemp("canary")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in VARIABLES.items():
            patch.setenv(name, value)
        patch.chdir(folder)
        for name in ("mushroom_body", "mri_anatomical"):
            assert ingest(name, store=folder / "store").ok
        store = open_store(folder / "store")
        freeze(store, read_pipeline("mushroom_body")[0], folder / "splits")
    return folder


def everything(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below a folder, tables decoded, and every name."""
    import pyarrow.parquet as pq

    for path in folder.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        if path.suffix == ".parquet":
            data += str(pq.read_table(path).to_pydict()).encode()
        yield path, str(path.relative_to(folder)).encode() + data


def assert_nowhere(folder: Path) -> None:
    held = [str(path) for path, data in everything(folder) if WORD.encode() in data]
    assert held == []


def refused(text: str) -> Exception:
    return RefusedError(text, text, text, text)


ENDS: dict[str, Callable[[], Outcome]] = {}


def end(function: Callable[[str], Outcome]) -> None:
    """Add a way in which a verb may end, with a text that holds secrets."""
    text = f"{ADDRESS} {' '.join(VARIABLES.values())}"
    ENDS[function.__name__] = lambda: function(text)


@end
def done(text: str) -> Outcome:
    item = {"id": text, "place": Path(TOKEN), "nested": {"a": [text, {TOKEN: 1}]}, "n": 1.5}
    return Outcome([item], [Problem("warning", text, text)], text)


@end
def fault(text: str) -> Outcome:
    raise OSError(f"403 for {text}")


@end
def refusal(text: str) -> Outcome:
    raise refused(text)


@end
def misuse(text: str) -> Outcome:
    raise InvalidInputError(text, text, text, text) from OSError(text)


@end
def several(text: str) -> Outcome:
    raise ProblemsError([Problem("error", text, text, text, text)] * 3)


@pytest.mark.parametrize("way", ENDS)
@pytest.mark.parametrize("words", VERBS, ids=IDS)
def test_however_a_verb_ends_it_tells_no_secret(
    words: tuple[str, ...], way: str, tmp_path: Path, secrets_around: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name, module in list(sys.modules.items()):
        if name.startswith("neurodata.cli.") and hasattr(module, "app") and hasattr(module, "run"):
            monkeypatch.setattr(
                module, "run", lambda verb, as_json: run_verb(ENDS[way], as_json), raising=True
            )
    code = {"done": 0, "fault": 3, "misuse": 2}.get(way, 1)
    given = [*words, *arguments(VERBS[words], tmp_path)]
    for more in ([], ["--json"]):
        told = call(*given, *more)
        assert told.startswith(f"exit code {code}\n"), told
        assert "***" in told
        assert WORD not in told


@pytest.mark.parametrize("words", VERBS, ids=IDS)
def test_a_secret_among_the_words_of_a_verb_is_refused_and_not_told(
    words: tuple[str, ...], synthetic_place: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(remote_io, "BACK_OFF_S", 0.0)
    command = VERBS[words]
    switches = [name for one in command.params for name in one.opts]
    for parameter in takers(command):
        for value in (ADDRESS, TOKEN, f"licence={ADDRESS}", f"raw/{TOKEN}.nii"):
            given = [*words]
            option = parameter.param_type_name == "option"
            given += [] if option else [value]
            given += [str(tmp_path / "x")] * (len(arguments(command, tmp_path)) - (not option))
            given += [parameter.opts[0], value] if option else []
            given += ["--direct"] if "--direct" in switches else []
            if "--store" in parameter.opts and value != ADDRESS:
                continue
            told = call(*given)
            assert not told.startswith("exit code 0"), told
            assert WORD not in told
    assert "exit code 2" in (told := call(*words, f"--{TOKEN}"))
    assert WORD not in told
    assert_nowhere(tmp_path)


WORKING: dict[str, list[str]] = {
    "datasets": [],
    "plan": ["mushroom_body"],
    "ingest": ["mri_anatomical", "--direct"],
    "ls": ["modality == 'connectome'"],
    "show": ["mri_anatomical/anatomical"],
    "validate": [],
    "verify": [],
    "rebuild": [],
    "split": ["mushroom_body"],
    "audit": ["SPLIT"],
    "bench run": ["mushroom_body"],
    "push": ["mushroom_body", "pushed"],
    "report": ["--out", "report.html"],
    "init": ["RAW"],
    "doctor": [],
}


@pytest.mark.parametrize("verb", WORKING)
def test_a_verb_that_works_tells_and_keeps_no_secret(
    verb: str, synthetic_place: Path, tmp_path: Path, secrets_around: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert tuple(verb.split()) in VERBS
    monkeypatch.chdir(synthetic_place)
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "anatomical.nii").write_bytes(
        (SAMPLES / "mri_anatomical" / "anatomical.nii").read_bytes()
    )
    places = {"RAW": str(raw), "SPLIT": str(next((synthetic_place / "splits").glob("*.json")))}
    given = [*verb.split(), *(places.get(word, word) for word in WORKING[verb])]
    if "--store" in [name for one in VERBS[tuple(verb.split())].params for name in one.opts]:
        given += ["--store", str(synthetic_place / "store")]
    told = call(*given, "--json")
    assert told.startswith("exit code 0"), told
    assert WORD not in told
    assert_nowhere(synthetic_place)
    assert_nowhere(tmp_path)


def test_every_verb_is_called(synthetic_place: Path) -> None:
    assert len(VERBS) * len(ENDS) + len(VERBS) + len(WORKING) >= 50
    assert {" ".join(words) for words in VERBS} >= set(WORKING)


# ---- what is stored and published


@pytest.mark.parametrize("value", [ADDRESS, TOKEN, f"see {ADDRESS}"])
def test_facts_with_a_secret_are_refused(value: str, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "neurodata.yaml").write_text(f"declare:\n  citation: {json.dumps(value)}\n")
    (tmp_path / "lab.yaml").write_text(
        f"id: lab\nversion: 1\ntitle: t\nlicence: MIT\ncitation: {json.dumps(value)}\n"
        "modality: eeg\nsources:\n- path: raw\n"
    )
    ways: list[Callable[[], object]] = [
        lambda: ingest(raw, store=tmp_path / "s"),
        lambda: ingest(tmp_path / "lab.yaml", store=tmp_path / "s"),
        lambda: ingest("mri_anatomical", store=tmp_path / "s", declare={"citation": value}),
        lambda: check({"a*:citation": value}),
        lambda: plan(raw, declare=parse([f"citation={value}"])),
    ]
    for way in ways:
        with pytest.raises(InvalidInputError) as refusal:
            way()
        assert WORD not in str(refusal.value)
    assert not (tmp_path / "s").exists()


def test_a_file_that_is_named_like_a_secret_is_not_ingested(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in (TOKEN, "good"):
        data = (SAMPLES / "mri_anatomical" / "anatomical.nii").read_bytes()
        (raw / f"{name}.nii").write_bytes(data)
    result = ingest(raw, store=tmp_path / "store")
    assert [entry.id for entry in result] == ["raw/good"]
    (problem,) = [p for p in result.problems if p.level == "error"]
    assert str(problem).startswith("error: ***.nii: found a secret in its name")
    assert_nowhere(tmp_path / "store")
    folder = tmp_path / TOKEN
    raw.rename(folder)
    (folder / f"{TOKEN}.nii").unlink()
    with pytest.raises(InvalidInputError, match="give --dataset"):
        ingest(folder, store=tmp_path / "store")


def test_secrets_in_attributes_are_removed_and_listed() -> None:
    attrs = {"modality": "eeg", "citation": f"from {ADDRESS}", "licence": "MIT"}
    clean, notes = scrub(xr.DataTree(xr.Dataset(attrs=attrs)))
    assert clean.attrs["citation"] == "from http://me:***@127.0.0.1:1/a?token=***&sig=***&x=1"
    assert clean.attrs["licence"] == "MIT"
    assert [(note.where, note.found) for note in notes] == [
        ("recording: citation", "a secret, removed")
    ]


def test_what_is_stored_does_not_depend_on_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ingest("mri_anatomical", store=tmp_path / "a")
    monkeypatch.setenv("LAB_PASSWORD", "anatomical")
    after = ingest("mri_anatomical", store=tmp_path / "b")
    assert [entry.version for entry in before] == [entry.version for entry in after]


def test_an_error_of_a_remote_store_tells_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(remote_io, "BACK_OFF_S", 0.0)
    with pytest.raises(StoreError) as refusal:
        open_store(ADDRESS, cache=tmp_path / "cache").ids()
    assert WORD not in "".join(traceback.format_exception(refusal.value))
    assert_nowhere(tmp_path)


def test_a_login_of_an_address_is_known_from_then_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(remote_io, "BACK_OFF_S", 0.0)
    with pytest.raises(StoreError):
        open_store("http://me:synthetic-pass%2Fword@127.0.0.1:1/a", cache=tmp_path)
    assert scrubbed("it was synthetic-pass/word") == "it was ***"


def test_report_and_card_tell_no_secret(synthetic_place: Path, tmp_path: Path) -> None:
    store = open_store(synthetic_place / "store")
    problem = Problem("warning", ADDRESS, TOKEN)
    score = {"dataset": "d", "task": ADDRESS, "title": TOKEN, "model": TOKEN, "role": "model",
             "metric": "r2", "value": 1.0, "low": 1.0, "high": 1.0, "note": ADDRESS, "seed": 0,
             "n_test": 1, "seconds": 0.0, "split_digest": TOKEN}  # fmt: skip
    page = write_report(
        store, tmp_path / "r.html", datasets=["mushroom_body"], scores=[score],
        findings={store.ids()[0]: [problem]},
    )  # fmt: skip
    assert page.read_text("utf-8").count("***") >= 4
    split = Split.read(next((synthetic_place / "splits").glob("*.json")))
    push(store, "mushroom_body", tmp_path / "pushed", splits=[split])
    assert_nowhere(tmp_path)


# ---- what Prefect keeps


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    pytest.importorskip("prefect")
    from neurodata.orchestrate import api

    with api() as url:
        yield url


def recorded() -> str:
    """All that the server keeps of the newest flow run: run, task runs, states, logs, artifacts."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        run = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0]
        mine = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
        found = [
            run, *client.read_task_runs(flow_run_filter=mine), *client.read_artifacts(),
            *client.read_flow_run_states(run.id),
        ]  # fmt: skip
    return "\n".join(str(one.model_dump()) for one in found)


def databases() -> Iterator[bytes]:
    for path in Path(tempfile.gettempdir()).glob("neurodata-prefect-*/prefect.db*"):
        if path.exists():
            yield path.read_bytes()


@pytest.mark.flows
@pytest.mark.parametrize("jobs", [1, 2])
def test_prefect_keeps_no_secret(
    jobs: int, server: str, tmp_path: Path, secrets_around: None, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from neurodata.orchestrate import flows

    planned = synthetic_jobs.plan_of("good", "bad")
    monkeypatch.setattr(flows, "BACKOFF_S", 0.01)
    monkeypatch.setattr(flows, "plan", lambda *args, **kwargs: planned)
    monkeypatch.setattr(flows, "ingest_recording", synthetic_jobs.leaks)
    result = flows.ingest_flow("synthetic", tmp_path, jobs=jobs, retries=1)
    assert {entry.status for entry in result} == {"new", "failed"}
    kept = recorded()
    assert "403 for https://example.org/a?token=***" in kept
    shown = "".join(capfd.readouterr()) + caplog.text + repr(result)
    assert WORD not in kept + shown
    assert synthetic_jobs.CANARY not in kept + shown
    assert not any(WORD.encode() in data for data in databases())


@pytest.mark.flows
def test_prefect_keeps_no_secret_of_a_callback(
    server: str, tmp_path: Path, secrets_around: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neurodata.orchestrate import flows

    def broken(entry: object) -> None:
        raise OSError(f"403 for {ADDRESS} {os.environ['LAB_API_KEY']}")

    monkeypatch.setattr(flows, "plan", lambda *args, **kwargs: synthetic_jobs.plan_of("good"))
    monkeypatch.setattr(flows, "ingest_recording", synthetic_jobs.good)
    with pytest.raises(NeurodataError, match="403") as refusal:
        flows.ingest_flow("synthetic", tmp_path, progress=broken)
    assert WORD not in str(refusal.value) + recorded()
    assert not any(WORD.encode() in data for data in databases())


@pytest.mark.flows
@pytest.mark.parametrize("place", ["source", "store", "dataset", "declare"])
def test_parameters_with_a_secret_never_reach_prefect(
    place: str, server: str, tmp_path: Path
) -> None:
    from neurodata.orchestrate import flows

    given: dict[str, Any] = {"source": "mri_anatomical", "store": tmp_path}
    given[place] = {"citation": ADDRESS} if place == "declare" else f"{TOKEN}/x"
    with pytest.raises(InvalidInputError) as refusal:
        flows.ingest_flow(**given)
    assert WORD not in str(refusal.value)
    assert not any(WORD.encode() in data for data in databases())


@pytest.mark.flows
def test_a_column_called_token_is_a_parameter_like_any_other() -> None:
    pytest.importorskip("prefect")
    from neurodata.orchestrate.flows import check_parameters

    check_parameters({"declare": {"units.token": "V"}, "jobs": 1, "retries": 0})
