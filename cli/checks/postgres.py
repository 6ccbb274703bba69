"""Checks of Postgres: reached, new enough, migrated, walled off, in time; and what it says of runs and secrets."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from psycopg.rows import TupleRow

from cli.checks.finding import Finding, fail, ok, warn
from config import Settings
from domain.errors import Unavailable
from store.database import APP_ROLE, psycopg_dsn
from store.migrate import revisions
from store.vault import MasterKeys

_MIN_VERSION: Final = 14
_CLOCK_SECONDS: Final = 2.0
_STUCK_SECONDS: Final = 60

_ROLE: Final = (
    "SELECT r.rolsuper OR r.rolbypassrls, pg_has_role(current_user, r.oid, 'MEMBER'),"
    " EXISTS (SELECT 1 FROM pg_class c WHERE c.relowner = r.oid AND c.relkind = 'r')"
    " FROM pg_roles r WHERE r.rolname = %s"
)
_UNPROTECTED: Final = (
    "SELECT c.relname FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace"
    " AND NOT (c.relrowsecurity AND c.relforcerowsecurity) AND (c.relname = 'tenants' OR EXISTS"
    " (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped))"
    " ORDER BY 1"
)
_CONTENT: Final = (
    "SELECT (SELECT count(*) FROM definitions WHERE tenant_id = '' AND deleted_at IS NULL),"
    " EXISTS (SELECT 1 FROM tenants WHERE id = %s),"
    " (SELECT count(*) FROM runs WHERE status = 'pending' AND created_at < now() - make_interval(secs => %s)),"
    " (SELECT array_agg(DISTINCT kid) FROM secrets)"
)


async def check_postgres(settings: Settings) -> AsyncIterator[Finding]:
    """Everything about the database of ``settings``."""
    if settings.database_url is None:
        remedy = "set DATABASE_URL=postgresql://user:password@host/name, or start all by `stepwell dev`"
        yield fail("postgres", "DATABASE_URL is not set", remedy)
        return
    try:
        connection = await psycopg.AsyncConnection.connect(
            psycopg_dsn(settings.database_url), connect_timeout=5, autocommit=True, application_name="stepwell-doctor"
        )
    except psycopg.OperationalError as error:
        remedy = "check that the server runs and that DATABASE_URL is right"
        yield fail("postgres", f"cannot be reached: {str(error).splitlines()[0]}", remedy)
        return
    async with connection:
        yield _version(connection)
        schema = await _schema(settings.database_url)
        yield schema
        yield await _role(connection)
        yield await _walls(connection)
        yield await _clock(connection)
        if not schema.remedy:
            async for finding in _content(connection, settings):
                yield finding


def _version(connection: psycopg.AsyncConnection[Any]) -> Finding:
    number = connection.info.server_version
    detail = f"Postgres {number // 10_000}.{number % 10_000}, database {connection.info.dbname}"
    if number < _MIN_VERSION * 10_000:
        return fail("postgres", detail, f"use Postgres {_MIN_VERSION} or later")
    return ok("postgres", detail)


async def _schema(url: str) -> Finding:
    part, remedy = "schema", "run `stepwell migrate`, as the owner of the schema"
    try:
        present, wanted = await asyncio.to_thread(revisions, url)
    except Unavailable as error:
        return fail(part, str(error), remedy)
    if present == wanted:
        return ok(part, f"current ({wanted})")
    return fail(part, f"the database is at {present or 'nothing'}, this release is at {wanted}", remedy)


async def _role(connection: psycopg.AsyncConnection[Any]) -> Finding:
    part = "role"
    row = await _row(connection, _ROLE, APP_ROLE)
    if row is None:
        return fail(part, f"there is no role {APP_ROLE}", "run `stepwell migrate`, which makes it")
    too_strong, is_member, owns = row
    if not is_member:
        return fail(part, f"{connection.info.user} cannot become {APP_ROLE}", f"GRANT {APP_ROLE} to that user")
    if too_strong or owns:
        reason = "is superuser or passes by row-level security" if too_strong else "owns tables"
        return fail(part, f"{APP_ROLE} {reason}: tenants are not kept apart", f"take that from {APP_ROLE}")
    return ok(part, f"{connection.info.user} can become {APP_ROLE}, which owns nothing")


async def _walls(connection: psycopg.AsyncConnection[Any]) -> Finding:
    part = "row-level security"
    open_tables = [row[0] for row in await (await connection.execute(_UNPROTECTED)).fetchall()]
    if open_tables:
        remedy = "run ALTER TABLE … ENABLE and FORCE ROW LEVEL SECURITY on each, as the migrations do"
        return fail(part, f"not forced on {', '.join(open_tables)}", remedy)
    return ok(part, "forced on every table of tenants")


async def _clock(connection: psycopg.AsyncConnection[Any]) -> Finding:
    part, before = "clock", datetime.now(UTC)
    row = await _row(connection, "SELECT clock_timestamp()")
    after = datetime.now(UTC)
    if row is None:
        return fail(part, "Postgres does not tell the time", "check the server")
    off = (row[0] - before - (after - before) / 2).total_seconds()
    if abs(off) > _CLOCK_SECONDS:
        return warn(part, f"Postgres is {off:+.1f} s off this machine", "keep both in time by NTP")
    return ok(part, f"Postgres and this machine agree to {max(abs(off), 0.001):.3f} s")


async def _content(connection: psycopg.AsyncConnection[Any], settings: Settings) -> AsyncIterator[Finding]:
    await connection.execute("SELECT set_config('stepwell.tenant', '*', false)")
    row = await _row(connection, _CONTENT, settings.default_tenant, _STUCK_SECONDS)
    processes, has_tenant, stuck, kids = row or (0, False, 0, None)
    if processes and has_tenant:
        yield ok("content", f"{processes} built-in processes, tenant {settings.default_tenant}")
    else:
        missing = f"tenant {settings.default_tenant}" if processes else "the built-in processes"
        yield warn("content", f"{missing}: not there yet", "run `stepwell migrate`")
    if stuck:
        remedy = "check that Temporal answers and that a worker runs with STEPWELL_STARTER on"
        yield warn("accepted runs", f"{stuck} wait for their start for over {_STUCK_SECONDS} s", remedy)
    else:
        yield ok("accepted runs", "none waits for its start")
    if lost := sorted(set(kids or ()) - _key_ids(settings)):
        remedy = "add these keys to STEPWELL_MASTER_KEYS again, or set the secrets anew"
        yield fail("stored secrets", f"encrypted under keys that are not known: {', '.join(lost)}", remedy)


def _key_ids(settings: Settings) -> set[str]:
    text = settings.master_keys.get_secret_value() if settings.master_keys else None
    try:
        return set(MasterKeys.parse(text).ids)
    except ValueError:  # told by the check of the keys themselves
        return set()


async def _row(connection: psycopg.AsyncConnection[Any], query: str, *values: object) -> TupleRow | None:
    return await (await connection.execute(query.encode(), values)).fetchone()
