"""Flows: same results as the plain ingest, retries, states, schedules; nothing is left behind."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from neurodata.errors import InvalidInputError, MissingDependencyError, NotFoundError, Problem
from neurodata.ingestion import Result, ingest
from neurodata.orchestrate import private_server
from neurodata.orchestrate.redaction import redact
from neurodata.store import Store, open_store
from tests import synthetic_jobs

pytestmark = pytest.mark.flows
ROOT = Path(__file__).parent.parent
prefect = pytest.importorskip("prefect")
GONE_S = 10.0  # a worker that is still importing ends when it has imported


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    from neurodata.orchestrate import api

    with api() as url:
        yield url


@pytest.fixture
def flows(server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    from neurodata.orchestrate import flows

    monkeypatch.setattr(flows, "BACKOFF_S", 0.01)
    return flows


@pytest.fixture
def synthetic(flows: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def use(ingest: Callable[..., Any], *names: str) -> None:
        plan = synthetic_jobs.plan_of(*names)
        monkeypatch.setattr(flows, "plan", lambda *args, **kwargs: plan)
        monkeypatch.setattr(flows, "ingest_recording", ingest)

    return use


def last_run() -> Any:
    """The newest flow run, as the server recorded it."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        return client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0]


def artifacts() -> str:
    """The text of every Markdown artifact of the newest flow run."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[last_run().id]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted)
    return "\n".join(str(one.data) for one in found if one.type == "markdown")


def statuses(result: Result) -> dict[str, str]:
    return {entry.id.partition("/")[2]: entry.status for entry in result.entries}


@pytest.mark.parametrize("jobs", [1, 2])
def test_flow_gives_what_plain_ingest_gives(flows: Any, tmp_path: Path, jobs: int) -> None:
    plain = ingest("mri_anatomical", store=tmp_path / "plain")
    heard: list[str] = []
    result = flows.ingest_flow(
        "mri_anatomical", tmp_path / "flow", jobs=jobs, progress=lambda e: heard.append(e.id)
    )
    assert [(e.id, e.version, e.status, e.content) for e in result.entries] == [
        (e.id, e.version, e.status, e.content) for e in plain.entries
    ]
    assert result.problems == plain.problems
    assert heard == [entry.id for entry in result.entries]
    assert last_run().state.is_completed()
    again = flows.ingest_flow("mri_anatomical", tmp_path / "flow")
    assert {entry.status for entry in again.entries} == {"same"}


def test_refused_recording_fails_the_flow_but_not_the_others(
    flows: Any, samples: Path, tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    whole = next((samples / "mri_anatomical").glob("*.nii"))
    shutil.copy(whole, raw / "whole.nii")
    (raw / "cut.nii").write_bytes(whole.read_bytes()[:-1000])
    result = flows.ingest_flow(raw, tmp_path / "store", dataset="d", retries=2)
    assert statuses(result) == {"whole": "new", "cut": "failed"}
    run = last_run()
    assert run.state.is_failed()
    assert "1 failed, 1 new" in run.state.message
    table = artifacts()
    assert table.index("| d/cut | failed |") < table.index("| d/whole | new |")
    assert run.state.message.count("cut.nii") >= 1


def test_unknown_source_is_the_same_refusal_as_without_prefect(flows: Any, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no_such_source"):
        flows.ingest_flow("no_such_source", tmp_path)
    assert last_run().state.is_failed()


def test_passing_errors_are_retried_and_lasting_ones_reported_without_secrets(
    flows: Any,
    synthetic: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("HF_TOKEN", "an-odd-Canary-value")
    synthetic(synthetic_jobs.leaks, "good", "flaky", "bad")
    result = flows.ingest_flow("synthetic", tmp_path, retries=2)
    assert statuses(result) == {"good": "new", "flaky": "new", "bad": "failed"}
    attempts = {path.name: len(path.read_text()) for path in tmp_path.glob("attempts-*")}
    assert attempts == {"attempts-good": 1, "attempts-flaky": 3, "attempts-bad": 3}
    (problem,) = result.entries[2].problems
    assert "OSError: 403 for https://example.org/a?token=***" in problem.found
    shown = "".join(capfd.readouterr()) + caplog.text + repr(result) + artifacts()
    assert "Canary" not in shown
    databases = [*Path(tempfile.gettempdir()).glob("neurodata-prefect-*/prefect.db*")]
    assert databases
    assert not any(b"Canary" in path.read_bytes() for path in databases if path.exists())


def test_a_crashing_worker_takes_only_its_own_recording(
    flows: Any, synthetic: Callable[..., None], tmp_path: Path
) -> None:
    synthetic(synthetic_jobs.dies, "a", "bad", "b", "c")
    result = flows.ingest_flow("synthetic", tmp_path, jobs=2, retries=1)
    assert statuses(result) == {"a": "new", "bad": "failed", "b": "new", "c": "new"}
    assert "worker process died" in result.entries[1].problems[0].found


def test_children_that_are_forked_after_a_flow_end_as_they_should(
    flows: Any, synthetic: Callable[..., None], tmp_path: Path
) -> None:
    synthetic(synthetic_jobs.good, "a")
    flows.ingest_flow("synthetic", tmp_path)
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join(60)
    assert child.exitcode == 0


def test_unmet_expectation_fails_the_flow(
    flows: Any,
    synthetic: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    synthetic(synthetic_jobs.good, "a")
    wrong = Problem("error", "synthetic", "1 recording", "2")
    monkeypatch.setattr(
        flows, "finish", lambda planned, entries: Result("synthetic", tuple(entries), (wrong,))
    )
    result = flows.ingest_flow("synthetic", tmp_path)
    assert statuses(result) == {"a": "new"}
    assert result.problems == (wrong,)
    assert last_run().state.is_failed()


@pytest.mark.parametrize(
    "parameters",
    [
        {"source": "https://example.org/a.nwb?token=abcdef"},
        {"source": f"https://user:{synthetic_jobs.CANARY}@example.org/a.nwb"},
        {"source": "x", "declare": {"citation": synthetic_jobs.CANARY}},
        {"source": "x", "jobs": 0},
        {"source": "x", "retries": -1},
    ],
)
def test_credentials_and_impossible_numbers_are_no_parameters(
    flows: Any, tmp_path: Path, parameters: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        flows.ingest_flow(store=tmp_path, **parameters)
    assert synthetic_jobs.CANARY not in str(refusal.value)
    assert "abcdef" not in str(refusal.value)


def test_the_callers_own_server_is_used(server: str) -> None:
    from neurodata.orchestrate import api

    with api() as url:
        assert url == server


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see hf_abcdefghij1234 now", "see *** now"),
        ("ghp_abcdefghij1234 github_pat_11ABC_defgh", "*** ***"),
        ("key AKIAABCDEFGHIJKLMNOP", "key ***"),
        ("GET /a?x=1&access_token=q1w2&y=2", "GET /a?x=1&access_token=***&y=2"),
        ('{"password": "q1w2"}', '{"password": "***"}'),
        ("X-Amz-Signature=0a1b2c&z", "X-Amz-Signature=***&z"),
        ("Authorization: Bearer abcdefghij", "Authorization: Bearer ***"),
        ("https://me:q1w2@host/a", "https://me:***@host/a"),
        ("tokens in the text: 3 of 5", "tokens in the text: 3 of 5"),
        ("sub-01_task-token_eeg: found rate 10", "sub-01_task-token_eeg: found rate 10"),
    ],
)
def test_redaction_by_shape(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize("name", ["HF_TOKEN", "PREFECT_API_KEY", "AWS_SECRET_ACCESS_KEY"])
def test_redaction_by_value(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "plain words+/1")
    assert redact("a plain words+/1 b plain%20words%2B%2F1 c") == "a *** b *** c"


def test_damaged_or_absent_cache_of_the_schema_is_not_used(tmp_path: Path) -> None:
    cache, database = tmp_path / "cache.sqlite", tmp_path / "prefect.db"
    private_server.use_schema(cache, database)
    assert not database.exists()
    cache.write_bytes(b"SQLite format 3\0" + os.urandom(9000))
    private_server.use_schema(cache, database)
    assert not database.exists()


def test_without_prefect_only_flows_are_missing() -> None:
    code = (
        "import sys; sys.modules['prefect'] = None\n"
        "import neurodata, neurodata.ingestion, neurodata.orchestrate as o\n"
        "assert o.redact('token=abc') == 'token=***'\n"
        "try: o.ingest_flow\n"
        "except neurodata.errors.MissingDependencyError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "pip install 'neurodata-store[flows]'" in done.stdout, done.stderr
    assert issubclass(MissingDependencyError, ImportError)


@pytest.mark.parametrize(
    "schedule", [{}, {"cron": "0 3 * * *", "every_s": 5}, {"cron": "often"}, {"every_s": 0.1}]
)
def test_schedules_that_cannot_be_understood(schedule: dict[str, Any], tmp_path: Path) -> None:
    from neurodata.orchestrate import serve

    with pytest.raises(InvalidInputError):
        serve("mri_anatomical", tmp_path, **schedule)


def start(code: str, mark: str, *environment: tuple[str, str]) -> subprocess.Popen[str]:
    """Start a script whose processes all carry a mark in their environment."""
    text = f"if __name__ == '__main__':\n    {code}\n"
    script = Path(tempfile.mkdtemp()) / "script.py"
    script.write_text(text)
    env = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    env |= {"NEURODATA_TEST_MARK": mark, "PYTHONPATH": str(ROOT), **dict(environment)}
    return subprocess.Popen(
        [sys.executable, str(script)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def marked(mark: str) -> list[str]:
    """Command lines of the living processes that carry the mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found += [line] if line else []  # a zombie has none
        except OSError:
            continue
    return found


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def assert_all_gone(process: subprocess.Popen[str], mark: str) -> None:
    process.wait(timeout=60)
    wait_for(lambda: not marked(mark), GONE_S, f"left behind: {marked(mark)}")


linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")


@linux
@pytest.mark.slow
@pytest.mark.parametrize("point", ["server starting", "server up", "workers busy"])
def test_kill_leaves_no_process(point: str, tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    code = f"from tests.synthetic_jobs import run_slow; run_slow({str(tmp_path)!r}, 2)"
    process = start(code, mark)
    reached: dict[str, Callable[[], Any]] = {
        "server starting": lambda: any("private_server" in line for line in marked(mark)),
        "server up": lambda: any("spawn_main" in line for line in marked(mark)),
        "workers busy": lambda: len([*tmp_path.glob("began-*")]) == 2,
    }
    wait_for(reached[point], 120, f"never reached: {point}")
    process.kill()
    assert_all_gone(process, mark)


@linux
@pytest.mark.slow
def test_killed_ingests_leave_nothing_partial_and_the_next_run_finishes(
    tmp_path: Path, sample_store: Store
) -> None:
    """At the end all manifests are those of an undisturbed ingest; nothing is stored twice."""
    store = tmp_path / "store"
    names = ["eeg_fp1", "mri_anatomical", "nuclei"]
    mark = uuid.uuid4().hex

    def begin(jobs: int) -> subprocess.Popen[str]:
        words = ["ingest", *names, "--store", str(store), "--jobs", str(jobs)]
        code = f"import sys; from neurodata.cli import main; sys.argv[1:] = {words!r}; main()"
        return start(code, mark)

    def manifests(root: Path) -> dict[str, bytes]:
        found = [path for name in names for path in root.glob(f"{name}/*/*/manifest.json")]
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}

    def done() -> int:
        return len(manifests(store))

    reached: dict[str, Callable[[], Any]] = {
        "server starting": lambda: any("private_server" in line for line in marked(mark)),
        "first recording in the store": lambda: done() >= 1,
        "all but the last in the store": lambda: done() >= 4,
    }
    for point, condition in reached.items():
        process = begin(jobs=2 if point == "first recording in the store" else 1)
        wait_for(condition, 120, f"never reached: {point}")
        assert process.poll() is None, point
        os.killpg(process.pid, signal.SIGKILL)
        assert_all_gone(process, mark)
        if store.exists():
            problems = open_store(store).verify()
            assert not [problem for problem in problems if problem.level == "error"], point
    before = done()
    output, _ = begin(jobs=1).communicate(timeout=120)
    assert f"{5 - before} new, {before} same, 0 alias, 0 failed" in output
    found = open_store(store)
    assert len(found.ids()) == 5, output
    assert manifests(store) == manifests(sample_store.path)
    assert found.verify() == []
    assert not [path for path in (store / ".staging").iterdir() if path.is_dir()]


@linux
@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_stops_at_once_and_leaves_no_process(jobs: int, tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    code = f"from tests.synthetic_jobs import run_slow; run_slow({str(tmp_path)!r}, {jobs})"
    process = start(code, mark)
    wait_for(lambda: len([*tmp_path.glob("began-*")]) == jobs, 120, "never began")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    process.wait(timeout=30)
    assert process.returncode != 0
    assert_all_gone(process, mark)


@linux
@pytest.mark.slow
def test_serve_fires_and_stops_on_sigterm(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    code = (
        "from neurodata.orchestrate import serve; "
        f"serve('mri_anatomical', {str(tmp_path / 'store')!r}, every_s=2)"
    )
    process = start(code, mark)
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if "Finished in state" in line and "Flow run" in line:
            break
    assert "1 recordings: 1 new" in "".join(lines), "".join(lines)
    process.terminate()
    assert_all_gone(process, mark)
    assert open_store(tmp_path / "store").ids() == ["mri_anatomical/anatomical"]


@linux
@pytest.mark.slow
def test_killed_serve_takes_its_running_flow_with_it(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    code = (
        "pass\nfrom tests.synthetic_jobs import slow_flow; slow_flow()\n"
        "from neurodata.orchestrate import serve\n"
        f"if __name__ == '__main__':\n    serve('x', {str(tmp_path)!r}, every_s=2)"
    )
    process = start(code, mark)
    wait_for(lambda: [*tmp_path.glob("began-*")], 120, "never fired")
    process.kill()
    assert_all_gone(process, mark)


@pytest.mark.slow
def test_the_deployments_of_prefect_yaml_deploy(server: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.settings.context import get_current_settings

    settings = get_current_settings().to_environment_variables(
        exclude_unset=True, include_secrets=True
    )
    env = {**os.environ, **settings, "PYTHONPATH": str(ROOT), "PWD": str(ROOT)}
    for words in (
        ["work-pool", "create", "neurodata", "--type", "process", "--overwrite"],
        ["--no-prompt", "deploy", "--all"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *words], cwd=ROOT, env=env, capture_output=True
        )
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    declared = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    with get_client(sync_client=True) as client:
        for one in declared:
            deployed = client.read_deployment_by_name(f"ingest/{one['name']}")
            assert deployed.parameters == one["parameters"]
            assert deployed.entrypoint == one["entrypoint"]
