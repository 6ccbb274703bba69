"""One Postgres and one Temporal server for a whole test session, however many processes run its tests."""

import asyncio
import contextlib
import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from store.migrate import migrate
from workers.embedded.postgres import EmbeddedPostgres
from workers.embedded.temporal import EmbeddedTemporal

T = TypeVar("T")

TEMPLATE = "stepwell_template"
_TEMPLATE_LOCK = 2_094_418_733

_REAL_SERVERS = ("DATABASE_URL", "PG", "SMTP_URL", "STEPWELL_", "TEMPORAL_", "STRIPE_", "OPENAI_", "SLACK_", "TWILIO_")


def forget_real_servers() -> None:
    """Remove from the environment what would lead tests to a developer's real servers and accounts."""
    for name in list(os.environ):
        if name.startswith(_REAL_SERVERS) and name != "TEMPORAL_CLI_PATH":
            del os.environ[name]
    os.environ["TEMPORAL_CONFIG_FILE"] = os.devnull
    os.environ["NO_PROXY"] = "127.0.0.1,localhost"


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` on a loop of its own, leaving pytest's alone."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


class Servers:
    """The session's servers, started when first asked for."""

    def __init__(self) -> None:
        self._directory, self._lock = _session_directory()
        self._postgres: EmbeddedPostgres | None = None
        self._temporal: EmbeddedTemporal | None = None

    def postgres_url(self) -> str:
        """URL of the maintenance database."""
        if self._postgres is None:
            self._postgres = EmbeddedPostgres(self._directory / "postgres", durable=False)
            run(self._postgres.start())
        return self._postgres.url("postgres")

    def temporal_address(self) -> str:
        """Address of the Temporal server."""
        if self._temporal is None:
            self._temporal = EmbeddedTemporal(self._directory / "temporal", in_memory=True, ui=False)
            run(self._temporal.start())
        return self._temporal.address

    def stop(self) -> None:
        """Stop all and forget their data."""
        for server in (self._temporal, self._postgres):
            if server is not None:
                run(server.stop())
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.with_suffix(".lock").unlink()
        os.close(self._lock)


def _session_directory() -> tuple[Path, int]:
    """A folder for this session, and the lock that says that it is in use. Removes those of killed sessions."""
    base = Path(tempfile.gettempdir()) / f"stepwell-tests-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    for left in base.glob("*.lock"):
        with contextlib.suppress(OSError), left.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left.with_suffix(""), ignore_errors=True)
            left.unlink()
    directory = base / uuid.uuid4().hex[:8]
    own = os.open(directory.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(own, fcntl.LOCK_EX)
    directory.mkdir(mode=0o700)
    return directory, own


def create_database(admin_url: str, name: str) -> str:
    """Make database ``name`` as a copy of the migrated template, and return its URL."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_TEMPLATE_LOCK,))
        found = connection.execute("SELECT datistemplate FROM pg_database WHERE datname = %s", (TEMPLATE,)).fetchone()
        if found != (True,):
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(TEMPLATE)))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
            migrate(admin_url.replace("/postgres?", f"/{TEMPLATE}?"))
            connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE true").format(sql.Identifier(TEMPLATE)))
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(TEMPLATE)))
    return admin_url.replace("/postgres?", f"/{name}?")


def drop_database(admin_url: str, name: str) -> None:
    """Remove database ``name`` although somebody may still be connected."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
