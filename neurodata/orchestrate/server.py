"""Which Prefect server a flow talks to: the user's own, or a private one bound to this process."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import prefect.context
import prefect.settings
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from neurodata.errors import NeurodataError
from neurodata.orchestrate.redaction import redact
from neurodata.secret import Secret

PROGRAM = Path(__file__).with_name("private_server.py")
PATIENCE_S = 120.0  # a cold start takes some 15 s on an idle machine
DRAIN_S = 10.0


class ServerError(NeurodataError):
    """The private Prefect server did not start."""


@contextmanager
def api(scheduler: bool = False) -> Iterator[str]:
    """Make a Prefect API available and yield its URL.

    The URL of ``PREFECT_API_URL`` (or of the active Prefect profile) is used if there is one.
    Otherwise a private server starts on a free loopback port, with a password of its own and a
    database that nobody keeps. It ends with the block or with this process, even one that is
    killed.

    Parameters
    ----------
    scheduler : bool
        Whether the private server runs schedules.

    Raises
    ------
    ServerError
        When the private server does not start.
    MissingDependencyError
        When Prefect is not installed.
    """
    configured = prefect.settings.PREFECT_API_URL.value()
    if configured:
        yield configured
        return
    password = Secret(f"neurodata:{secrets.token_urlsafe(24)}")
    with (
        private_server(password.reveal(), scheduler) as url,
        client_settings(url, password.reveal()),
    ):
        yield url


@contextmanager
def private_server(password: str, scheduler: bool) -> Iterator[str]:
    """Run the private server as a child that ends when its standard input closes."""
    command = [sys.executable, "-P", str(PROGRAM), *(["--scheduler"] if scheduler else [])]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603  our own program
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PREFECT_SERVER_API_AUTH_STRING": password},
            start_new_session=True,  # Ctrl-C is for us: the last states still have to be recorded
        ) as process,  # leaving closes its standard input, at which it ends, and waits for it
    ):
        url = first_line(process, cast(IO[bytes], process.stdout))
        if not url:
            errors.seek(0)
            tail = redact(errors.read().decode(errors="replace")[-2000:])
            raise ServerError(f"the private Prefect server did not start: {tail}")
        yield url


def first_line(process: subprocess.Popen[bytes], announced: IO[bytes]) -> str:
    """Return the address that the server announces, or "" when it ends or takes too long."""
    timer = threading.Timer(PATIENCE_S, process.kill)
    timer.start()
    try:
        return announced.readline().decode().strip()
    finally:
        timer.cancel()


@contextmanager
def client_settings(url: str, password: str) -> Iterator[None]:
    """Point this process, its threads and its children at the private server."""
    updates = {
        prefect.settings.PREFECT_API_URL: url,
        prefect.settings.PREFECT_API_AUTH_STRING: password,
        prefect.settings.PREFECT_LOGGING_TO_API_ENABLED: False,
    }
    with prefect.settings.temporary_settings(updates=updates):
        try:
            yield
        finally:
            EventsWorker.drain_all(timeout=DRAIN_S)
            APILogWorker.drain_all(timeout=DRAIN_S)
