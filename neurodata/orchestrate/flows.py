"""The ingest flow: one task a recording, retries, progress, a summary, a state for schedulers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from prefect import Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, as_completed
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import exponential_backoff

from neurodata.errors import InvalidInputError, Problem, ProblemsError
from neurodata.ingestion import Entry, Progress, Result, finish, ingest_recording, prepare
from neurodata.orchestrate.forks import let_children_end
from neurodata.orchestrate.redaction import guarded, redact
from neurodata.orchestrate.server import api
from neurodata.orchestrate.summary import Meter, listening, notify, publish_summary, tally
from neurodata.orchestrate.workers import Workers, end_with_server
from neurodata.plan import Job, plan
from neurodata.secret import has_secret

BACKOFF_S = 1.0
let_children_end()


class IncompleteError(ProblemsError):
    """An ingest ended with failed recordings or failed expectations; ``result`` has it all."""

    def __init__(self, result: Result) -> None:
        self.result = result
        found = [*result.problems, *(p for entry in result.entries for p in entry.problems)]
        super().__init__(p for p in found if p.level == "error")

    def __str__(self) -> str:
        return redact(f"{tally(self.result.entries)}\n{super().__str__()}")


def ingest_flow(
    source: str | Path,
    store: str | Path,
    dataset: str | None = None,
    declare: Mapping[str, Any] | None = None,
    jobs: int = 1,
    retries: int = 2,
    progress: Progress | None = None,
) -> Result:
    """Ingest a source as a Prefect flow and return what plain `neurodata.ingest` returns.

    The flow's state is Failed when a recording failed or an expectation was not met; the result
    is returned all the same. Work that is done already is not repeated: the store knows it.

    Parameters
    ----------
    source : str or Path
        A pipeline's name or file, or raw files.
    store : str or Path
        The store's folder.
    dataset : str, optional
        Id of the data set.
    declare : dict, optional
        Facts that the source does not state.
    jobs : int
        Worker processes; 1 works in this process.
    retries : int
        Further attempts, after 1, 2, 4... s, at a recording whose ingest ended in an exception
        that is no refusal (an unreachable disk, a worker that was killed).
    progress : callable, optional
        Called with each recording's entry as it is finished.

    Raises
    ------
    InvalidInputError
        When a parameter cannot be used, or holds a credential.
    NeurodataError
        When the source as a whole is refused.
    UnforeseenError
        When planning or finishing fails.

    Examples
    --------
    >>> result = ingest_flow("mushroom_body", "store", jobs=2)  # doctest: +SKIP
    >>> [entry.status for entry in result.entries]  # doctest: +SKIP
    ['new', 'new']
    """
    parameters = parameters_of(source, store, dataset, declare, jobs, retries)
    with api(), listening(progress):
        state = ingest_recordings(**parameters, return_state=True)
        outcome = state.result(raise_on_failure=False)
    if isinstance(outcome, IncompleteError):
        return outcome.result
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def located(place: str | Path) -> str:
    """Return an existing path as an absolute one, so that it holds in any working directory."""
    return str(Path(place).absolute()) if isinstance(place, Path) or Path(place).exists() else place


@flow(name="ingest", flow_run_name="ingest {source}", persist_result=False)
def ingest_recordings(
    source: str,
    store: str,
    dataset: str | None = None,
    declare: dict[str, Any] | None = None,
    jobs: int = 1,
    retries: int = 2,
) -> Result:
    """Ingest every recording of a source into a store; see `neurodata.orchestrate.ingest_flow`.

    Raises
    ------
    IncompleteError
        When a recording failed or an expectation was not met.
    """
    end_with_server()
    check_parameters(
        {"source": source, "store": store, "dataset": dataset, "declare": declare}
        | {"jobs": jobs, "retries": retries}
    )
    planned = guarded(plan, source, dataset=dataset, declare=declare)
    folder = guarded(prepare, store)
    meter = Meter(len(planned.jobs))
    entries = []
    with closing(run_tasks(planned.jobs, folder, jobs, retries)) as outcomes:
        for job, outcome in outcomes:
            entries.append(entry_of(job, outcome))
            meter.advance()
            guarded(notify, entries[-1])
    result = guarded(finish, planned, entries)
    publish_summary(result)
    get_run_logger().info(tally(result.entries))
    if not result.ok:
        raise IncompleteError(result)
    return result


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Refuse a credential, which Prefect would record and show, and impossible numbers.

    Raises
    ------
    InvalidInputError
        When a parameter cannot be used.
    """
    for name, value in parameters.items():
        if has_secret(repr(value)):
            hint = "set it as an environment variable, e.g. HF_TOKEN"
            raise InvalidInputError(name, redact(str(value)), "no credential in it", hint)
    if parameters["jobs"] < 1 or parameters["retries"] < 0:
        found = f"{parameters['jobs']} and {parameters['retries']}"
        raise InvalidInputError("jobs and retries", found, "at least 1 and at least 0")


def parameters_of(
    source: str | Path,
    store: str | Path,
    dataset: str | None,
    declare: Mapping[str, Any] | None,
    jobs: int,
    retries: int,
) -> dict[str, Any]:
    """Return the flow's parameters, checked and free of relative paths.

    Raises
    ------
    InvalidInputError
        When a parameter cannot be used.
    """
    parameters = {
        "source": located(source),
        "store": str(Path(store).absolute()),
        "dataset": dataset,
        "declare": dict(declare) if declare else None,
        "jobs": jobs,
        "retries": retries,
    }
    check_parameters(parameters)
    return parameters


def run_tasks(
    jobs: Sequence[Job], store: Path, count: int, retries: int
) -> Generator[tuple[Job, Entry | BaseException], None, None]:
    """Run one task a recording, in this process or in ``count`` others, and yield outcomes."""
    if count == 1:
        here = recording_task(ingest_recording, store, retries, retry=lambda: True)
        for job in jobs:
            yield job, here(job, return_state=True).result(raise_on_failure=False)
        return
    threads: ThreadPoolTaskRunner[Entry] = ThreadPoolTaskRunner(max_workers=count)
    with threads, Workers(count) as workers:

        def elsewhere(job: Job, *, store: Path) -> Entry:
            return workers.call(guarded, ingest_recording, job, store=store)

        there = recording_task(elsewhere, store, retries, retry=lambda: not workers.closed)
        futures: dict[PrefectFuture[Entry], Job]
        futures = {threads.submit(there, {"job": job}): job for job in jobs}
        for future in as_completed(list(futures)):
            yield futures[future], future.result(raise_on_failure=False)


def recording_task(
    function: Callable[..., Entry], store: Path, retries: int, retry: Callable[[], bool]
) -> Task[[Job], Entry]:
    """Return the task that ingests one recording; refusals are entries and are not retried."""

    @task(
        name="ingest-recording",
        task_run_name="{job.id}",
        retries=retries,
        retry_delay_seconds=exponential_backoff(backoff_factor=BACKOFF_S),
        retry_condition_fn=lambda *_: retry(),
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    def ingest_one(job: Job) -> Entry:
        return guarded(function, job, store=store)

    return ingest_one


def entry_of(job: Job, outcome: Entry | BaseException) -> Entry:
    """Return a task's entry, or a failed one with the reason that its last attempt gave."""
    if isinstance(outcome, Entry):
        return outcome
    problem = Problem(
        "error",
        job.id,
        redact(str(outcome)),
        "an ingest without exceptions",
        "run it again: what is done is not repeated",
    )
    return Entry(job.id, "", "failed", (problem,))
