"""What a watch does in the database that it watches, by its owner's connection: find, check, install, remove."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from domain.errors import Conflict, Fault, InputInvalid, NotFound
from store.tables import WatchRow
from triggers import watch_sql

MODEL_PATTERN: Final = r"[A-Za-z_][A-Za-z0-9_.-]{0,179}"
_OLDEST_POSTGRES: Final = 140_000
_PLATFORM_TABLES: Final = frozenset({"alembic_version", "tenants"})
_KINDS: Final = {
    "v": "is a view: watch the tables that it reads",
    "m": "is a materialized view: watch the tables that it reads",
    "f": "is a foreign table: watch it in the database where it is",
}
_BAD_NAME = (psycopg.errors.InvalidName, psycopg.errors.SyntaxError, psycopg.errors.FeatureNotSupported)


@dataclass(slots=True)
class Found:
    """What there is of watches in one database, by watch. ``problem``: the state instead, and why."""

    triggers: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    waiting: dict[int, dict[str, Any]] = field(default_factory=dict)
    left_out: dict[int, tuple[str, ...]] = field(default_factory=dict)
    problem: tuple[str, str] | None = None


async def one(connection: psycopg.AsyncConnection, query: Any, values: Mapping[str, Any] | None = None) -> Any:
    """The first row by column name; None if there is none."""
    return await (await connection.cursor(row_factory=dict_row).execute(query, values)).fetchone()


async def every(connection: psycopg.AsyncConnection, query: Any) -> list[dict[str, Any]]:
    """All rows by column name."""
    return await (await connection.cursor(row_factory=dict_row).execute(query)).fetchall()


async def find_table(owner: psycopg.AsyncConnection, name: str) -> dict[str, Any]:
    """The table that is meant by ``name``, with or without its schema. Raises ``NotFound``."""
    if owner.info.server_version < _OLDEST_POSTGRES:
        raise Conflict(f"watches need Postgres 14 or later, this is {owner.info.server_version // 10_000}")
    try:
        found = await one(owner, watch_sql.FIND_TABLE, {"name": name})
    except _BAD_NAME:
        found = None
    if found is None and (exact := await one(owner, watch_sql.FIND_EXACTLY, {"name": name})):
        found = await one(owner, watch_sql.FIND_TABLE, {"name": exact["full_name"]})
    if found is None:
        names = [row["relname"] for row in await every(owner, watch_sql.TABLE_NAMES)]
        raise NotFound("table", name, close=get_close_matches(name.rpartition(".")[2], names, cutoff=0.5))
    return dict(found)


def check(found: Mapping[str, Any], model: str, exclude: Collection[str], *, own: bool) -> None:
    """Raise ``Conflict`` for a table that cannot be watched, ``InputInvalid`` for a bad model or column."""
    table = found["full_name"]
    if found["kind"] in _KINDS:
        raise Conflict(f"{table} {_KINDS[found['kind']]}")
    if found["is_partition"]:
        raise Conflict(f"{table} is a partition of {found['parent']}: watch {found['parent']}, with all its partitions")
    if found["persistence"] == "t":
        raise Conflict(f"{table} is a temporary table")
    if found["is_platform"] or found["schema"] == watch_sql.SCHEMA or (own and found["name"] in _PLATFORM_TABLES):
        raise Conflict(f"{table} is a table of the platform, which keeps its tenants apart: it cannot be watched")
    if found["kind"] not in {"r", "p"} or found["schema"] in {"pg_catalog", "information_schema"}:
        raise Conflict(f"{table} is no table of an application")
    faults = []
    if not re.fullmatch(MODEL_PATTERN, model):
        remedy = "use letters, digits, _ . and -, at most 180: auth.User"
        faults.append(Fault(path="/model", reason=f"{model!r} is no model's name", remedy=remedy))
    for column in exclude:
        if column not in found["columns"]:
            close = get_close_matches(column, found["columns"], cutoff=0.5)
            remedy = f"did you mean {', '.join(close)}?" if close else f"it has {', '.join(found['columns'])}"
            faults.append(Fault(path="/exclude", reason=f"{table} has no column {column!r}", remedy=remedy))
    if faults:
        raise InputInvalid(f"{table} cannot be watched so", faults)


async def refuse_strangers(owner: psycopg.AsyncConnection, known: Sequence[WatchRow]) -> None:
    """The outbox of a database belongs to one installation: two would take each other's changes."""
    ids = {row.id for row in known}
    for trigger in await every(owner, watch_sql.INSTALLED):
        if trigger["watch_id"] not in ids:
            raise Conflict(
                f"another installation of Stepwell, or one that is no more, watches {trigger['full_name']} in this "
                "database: unwatch it there, or remove all that it has left by DROP SCHEMA stepwell CASCADE"
            )


async def install(owner: psycopg.AsyncConnection, row: WatchRow, found: Mapping[str, Any], *, own: bool) -> None:
    """Install the schema if it is not there, and the triggers of one watch: all or nothing."""
    async with owner.transaction():
        await owner.execute(watch_sql.LOCK)
        if not (await one(owner, watch_sql.SCHEMA_EXISTS))["there"]:
            await owner.execute(watch_sql.CREATE_SCHEMA)
        for statement in (*watch_sql.INSTALL, *(watch_sql.LET_RELAY_IN if own else ())):
            await owner.execute(statement)
        excluded = (await one(owner, "SELECT %(names)s::text[]::text AS names", {"names": row.exclude}))["names"]
        for operation in watch_sql.OPERATIONS:
            await owner.execute(
                watch_sql.create_trigger(
                    found["schema"], found["name"], row.id or 0, operation, excluded, by_row=found["by_row"]
                )
            )


async def remove_triggers(owner: psycopg.AsyncConnection, watch_id: int) -> None:
    """Afterwards no change of the table is under way any more: dropping a trigger waits for open transactions."""
    async with owner.transaction():
        for trigger in await every(owner, watch_sql.INSTALLED):
            if trigger["watch_id"] == watch_id:
                await owner.execute(watch_sql.drop_trigger(trigger["schema"], trigger["table"], trigger["name"]))


async def remove_all(owner: psycopg.AsyncConnection) -> None:
    """Remove the outbox, its functions, and the schema if nothing else is in it."""
    try:
        async with owner.transaction():
            await owner.execute(watch_sql.LOCK)
            for statement in watch_sql.REMOVE:
                await owner.execute(statement)
        await owner.execute(watch_sql.DROP_SCHEMA)
    except (psycopg.errors.DependentObjectsStillExist, psycopg.errors.InvalidSchemaName):
        return  # somebody has begun to watch, or keeps something of their own in the schema; or it was gone


async def waiting(owner: psycopg.AsyncConnection, watch_id: int) -> dict[str, Any] | None:
    """What waits in the outbox for one watch; None if nothing does."""
    if not (await one(owner, watch_sql.OUTBOX_EXISTS))["there"]:
        return None
    return next((row for row in await every(owner, watch_sql.WAITING) if row["watch_id"] == watch_id), None)


async def discard(owner: psycopg.AsyncConnection, watch_id: int) -> None:
    """Throw away what waits in the outbox for one watch."""
    if (await one(owner, watch_sql.OUTBOX_EXISTS))["there"]:
        await owner.execute(watch_sql.DISCARD, {"watch_id": watch_id})


async def look(owner: psycopg.AsyncConnection, of: Sequence[WatchRow]) -> Found:
    """What there is of watches in a database; of which columns are left out, for these watches."""
    found = Found()
    for trigger in await every(owner, watch_sql.INSTALLED):
        found.triggers.setdefault(trigger["watch_id"], []).append(trigger)
    if (await one(owner, watch_sql.OUTBOX_EXISTS))["there"]:
        found.waiting = {row["watch_id"]: row for row in await every(owner, watch_sql.WAITING)}
        for row in of:
            if row.id in found.triggers:
                table = found.triggers[row.id][0]["full_name"]
                values = {"name": table, "excluded": row.exclude}
                found.left_out[row.id] = tuple((await one(owner, watch_sql.LEFT_OUT_OF, values))["columns"])
    return found
