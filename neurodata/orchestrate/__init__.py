"""Schedule, retry and record ingests with Prefect; nothing else in neurodata needs it.

`ingest_flow` runs once, `serve` runs on a schedule. Both use the server that ``PREFECT_API_URL``
or the active Prefect profile names, or else a private one that ends with this process.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from neurodata.errors import need
from neurodata.secret_guard import guard_logs

if TYPE_CHECKING:
    from neurodata.orchestrate.flows import ingest_flow
    from neurodata.orchestrate.redaction import redact
    from neurodata.orchestrate.server import api
    from neurodata.orchestrate.serving import serve

# Prefect reads its settings once, when it is first imported: they are set before that.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # results carry the findings
guard_logs()  # Prefect keeps what its loggers are told

HOMES = {"api": "server", "ingest_flow": "flows", "redact": "redaction", "serve": "serving"}
__all__ = ["api", "ingest_flow", "redact", "serve"]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name != "redact":
        need("prefect", extra="flows")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
