"""Run the ingest flow on a schedule until stopped."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import prefect.settings
from prefect.client.schemas.schedules import CronSchedule
from prefect.types.entrypoint import EntrypointType

from neurodata.errors import InvalidInputError
from neurodata.orchestrate.flows import ingest_recordings, parameters_of
from neurodata.orchestrate.redaction import redact
from neurodata.orchestrate.server import api
from neurodata.orchestrate.workers import SERVER_PID

POLL_S = 10  # how often due runs are looked up, Prefect's default


def serve(
    source: str | Path,
    store: str | Path,
    cron: str | None = None,
    *,
    every_s: float | None = None,
    dataset: str | None = None,
    declare: Mapping[str, Any] | None = None,
    jobs: int = 1,
    retries: int = 2,
    name: str | None = None,
    tell: Callable[[str], None] = print,
) -> None:
    """Ingest a source again and again, on a schedule, until Ctrl-C or SIGTERM.

    Runs never overlap, and what is in the store already is not ingested again. The deployment is
    called ``ingest/NAME`` on the Prefect server that ``PREFECT_API_URL`` names, or else on a
    private server that ends with this process. Its runs end with this process as well.

    Parameters
    ----------
    source, store, dataset, declare, jobs, retries
        As in `neurodata.orchestrate.ingest_flow`.
    cron : str
        When, as five cron fields in UTC: ``"0 3 * * *"`` is every night at three.
    every_s : float
        In place of ``cron``: the seconds from one start to the next.
    name : str, optional
        Name of the deployment; the source's own name if there is none.
    tell : callable
        Gets one line when serving begins and one when it ends.

    Raises
    ------
    InvalidInputError
        When not exactly one of ``cron`` and ``every_s`` is given, or one cannot be understood.

    Examples
    --------
    A script needs ``if __name__ == "__main__":``, for its runs are processes of their own.

    >>> serve("mushroom_body", "store", "0 3 * * *")  # doctest: +SKIP
    """
    schedule = schedule_of(cron, every_s)
    parameters = parameters_of(source, store, dataset, declare, jobs, retries)
    name = name or re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(source).stem) or "source"
    when = f"cron {cron!r} (UTC)" if cron else f"every {every_s:g} s"
    with api(scheduler=True) as url, serving_settings(every_s):
        tell(redact(f"serving ingest/{name}, {when}, on {url}; Ctrl-C stops"))
        ingest_recordings.serve(
            name=name,
            parameters=parameters,
            limit=1,
            entrypoint_type=EntrypointType.MODULE_PATH,
            print_starting_message=False,
            **schedule,
        )
    tell(f"stopped serving ingest/{name}")


def schedule_of(cron: str | None, every_s: float | None) -> dict[str, Any]:
    """Return Prefect's form of a schedule.

    Raises
    ------
    InvalidInputError
        When not exactly one of the two is given, or one cannot be understood.
    """
    if (cron is None) == (every_s is None):
        raise InvalidInputError(
            "schedule", f"cron={cron!r} and every_s={every_s!r}", "exactly one of the two"
        )
    if every_s is not None:
        if not 1 <= every_s < float("inf"):
            raise InvalidInputError("every_s", repr(every_s), "at least 1 second")
        return {"interval": every_s}
    try:
        CronSchedule(cron=cron or "", timezone="UTC")
    except ValueError as error:
        raise InvalidInputError(
            "cron", repr(cron), "five cron fields such as '0 3 * * *'"
        ) from error
    return {"cron": cron}


@contextmanager
def serving_settings(every_s: float | None) -> Iterator[None]:
    """Let runs log what they do, and let them know whose they are."""
    updates = {
        prefect.settings.PREFECT_LOGGING_LEVEL: "INFO",
        prefect.settings.PREFECT_RUNNER_POLL_FREQUENCY: max(1, int(min(POLL_S, every_s or POLL_S))),
    }
    before = dict(os.environ)
    os.environ.update({SERVER_PID: str(os.getpid()), "PREFECT_LOGGING_LEVEL": "INFO"})
    try:
        with prefect.settings.temporary_settings(updates=updates):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)
