"""Whether Prefect answers: the user's own server, or a private one that is started for it."""

from __future__ import annotations

from http import HTTPStatus
from urllib.request import urlopen

from neurodata.doctor.check import Check
from neurodata.errors import DISTRIBUTION, NeurodataError, Problem, RefusedError

PATIENCE_S = 10.0


def server() -> Check:
    """Check that a Prefect server can be reached, or started."""
    try:
        from neurodata.orchestrate import api

        with api() as url:
            problem = answer(url)
    except RefusedError as error:
        return Check(
            "prefect", f"none; to add: pip install '{DISTRIBUTION}[flows]'", (error.problem,)
        )
    except NeurodataError as error:
        hint = f"run: pip install --upgrade '{DISTRIBUTION}[flows]'"
        return Check(
            "prefect", "no server", (Problem("error", "prefect", str(error), "one", hint),)
        )
    return Check("prefect", url, (problem,) if problem else ())


def answer(url: str) -> Problem | None:
    """Ask a Prefect API how it is, and return a finding when it does not say that it is well."""
    hint = "run: prefect server start (or, for a private one: unset PREFECT_API_URL)"
    if not url.startswith(("http://", "https://")):
        return Problem("error", url, "no address of http or https", "one", hint)
    try:
        with urlopen(f"{url.rstrip('/')}/health", timeout=PATIENCE_S) as reply:  # noqa: S310
            if reply.status == HTTPStatus.OK:
                return None
            found = f"status {reply.status}"
    except (OSError, ValueError) as error:
        found = f"no answer ({error})"
    return Problem("error", url, found, "a Prefect server", hint)
