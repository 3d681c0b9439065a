"""A Prefect server of one process: it ends when its standard input closes, however that came.

Run as a script by `neurodata.orchestrate.server`. Its database lives in a temporary folder that
it removes itself, so that processes side by side never share one SQLite file.
"""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any, cast


def end_with_parent(home: Path) -> None:
    """Wait until the parent closes our standard input, or dies, and leave nothing behind."""
    sys.stdin.buffer.read()
    shutil.rmtree(home, ignore_errors=True)
    os._exit(0)


def settings(home: Path, scheduler: bool) -> None:
    """Replace every inherited Prefect setting but the password of this server."""
    password = os.environ["PREFECT_SERVER_API_AUTH_STRING"]
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        del os.environ[name]
    os.environ.update(
        PREFECT_HOME=str(home),
        PREFECT_SERVER_API_AUTH_STRING=password,
        PREFECT_SERVER_DATABASE_CONNECTION_URL=f"sqlite+aiosqlite:///{home / 'prefect.db'}",
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        PREFECT_SERVER_UI_ENABLED="false",
        PREFECT_SERVER_REGISTER_BLOCKS_ON_START="false",
        PREFECT_LOGGING_LEVEL="ERROR",
        PREFECT__SERVER_FINAL="1",
        DO_NOT_TRACK="1",
    )
    if not scheduler:
        os.environ["PREFECT__SERVER_EPHEMERAL"] = "1"  # no services but the run recorder


def cached_schema() -> Path:
    """Return where an empty, migrated database is kept: migrating takes 9 s, copying none."""
    from importlib.metadata import version

    default = Path.home() / ".cache"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or default) / "neurodata"
    return cache / f"prefect-{version('prefect')}.sqlite"


def use_schema(schema: Path, database: Path) -> None:
    """Start from the cached database, unless it is missing or damaged."""
    try:
        shutil.copyfile(schema, database)
        with sqlite3.connect(database) as connection:
            sound = connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
        connection.close()
    except (OSError, sqlite3.Error):
        sound = False
    if not sound:
        database.unlink(missing_ok=True)


def keep_schema(schema: Path, database: Path) -> None:
    """Cache the migrated database for the next start; without a cache all goes on, slower."""
    fresh = schema.with_name(f"{schema.name}.{os.getpid()}")
    try:
        schema.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(database)
        connection.execute("VACUUM INTO ?", (str(fresh),))
        connection.close()
        fresh.replace(schema)
    except (OSError, sqlite3.Error):
        fresh.unlink(missing_ok=True)


def let_scheduler_insert() -> None:
    """Keep Prefect 3.8's scheduler working with SQLAlchemy 2.1.

    It inserts runs as dictionaries with keys that are no columns ("state"). SQLAlchemy 2.0 left
    them out; 2.1 asks for a setter (``bulk_dml``), which Prefect does not define, and no schedule
    ever fires.
    """
    from prefect.server.database import orm_models
    from sqlalchemy import inspect
    from sqlalchemy.ext.hybrid import hybrid_property
    from sqlalchemy.orm import Mapper

    for model in (orm_models.FlowRun, orm_models.FlowRunState):
        for attribute in cast(Mapper[Any], inspect(model)).all_orm_descriptors:
            if isinstance(attribute, hybrid_property) and hasattr(attribute, "bulk_dml_setter"):
                attribute.bulk_dml_setter = lambda cls, mapping, value: None


def run(home: Path, announce: IO[str]) -> None:
    """Serve the Prefect API on a free loopback port and announce its address when it is up."""
    import uvicorn
    from prefect.server.api.server import create_app

    let_scheduler_insert()
    schema, database = cached_schema(), home / "prefect.db"
    use_schema(schema, database)
    migrate = not database.exists()
    listener = socket.create_server(("127.0.0.1", 0))

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if not self.started:
                return
            if migrate:
                keep_schema(schema, database)
            announce.write(f"http://127.0.0.1:{listener.getsockname()[1]}/api\n")
            announce.close()

    config = uvicorn.Config(create_app(), log_level="error", lifespan="on")
    Server(config).run(sockets=[listener])


def main() -> None:
    """Serve until standard input closes."""
    home = Path(tempfile.mkdtemp(prefix="neurodata-prefect-"))
    threading.Thread(target=end_with_parent, args=(home,), daemon=True).start()
    announce = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # only the address goes to the parent
    settings(home, scheduler="--scheduler" in sys.argv)
    try:
        run(home, announce)
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
