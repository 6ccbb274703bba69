"""Commands on watches: watch a table, list, unwatch.

They connect as the database's owner, by the URL itself: the platform's own, or one that the operator has listed in
``STEPWELL_WATCH_CONNECTIONS``.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final

import psycopg

from domain.errors import Conflict, Forbidden, NotFound, Unavailable
from store import watches as rows
from store.database import ALL_TENANTS, Database
from store.tables import WatchRow
from triggers import watch_installing as installing
from triggers import watch_sql
from triggers.relay import OtherOutbox, Outbox, OwnOutbox, Relay, connect

_LOCK_TIMEOUT: Final = "3s"  # whoever writes to the table waits behind us
_DRAIN_PAUSE_SECONDS: Final = 0.2
_DRAIN_PATIENCE: Final = 150  # pauses without progress: another relay holds the last batch


@dataclass(frozen=True, slots=True)
class Watch:
    """A watch, and how it is doing."""

    id: int
    table: str
    model: str
    connection: str
    """Empty: the platform's own database."""
    exclude: tuple[str, ...]
    """The columns that were asked to be left out."""
    created_by: str
    created_at: datetime
    state: str
    """``installed``, ``disabled`` (its triggers are switched off), ``missing`` (some or all are not there),
    ``unreachable`` or ``unlisted`` (its connection)."""
    left_out: tuple[str, ...] | None = None
    """All columns that are left out, those of secret names included; None where that is not known."""
    waiting: int | None = None
    """Changes that are not events yet."""
    waiting_since: datetime | None = None
    failing: int = 0
    """Those among them that could not become events so far."""
    reason: str | None = None
    """Why they could not, or why the state is what it is."""


class Watches:
    """The watches of all tenants. ``connections``: Postgres URLs that may be watched besides the platform's own."""

    def __init__(self, database: Database, connections: Mapping[str, str], relay: Relay) -> None:
        self._database = database
        self._connections = dict(connections)
        self._relay = relay

    async def watch(
        self,
        tenant: str,
        table: str,
        model: str | None = None,
        *,
        exclude: Collection[str] | None = None,
        connection: str = "",
        by: str = "",
    ) -> Watch:
        """Watch a table for the tenant; its events call it ``model`` (default: as before, or the table's name).

        Safe to repeat, which also puts back triggers that are missing; another ``model`` or ``exclude`` takes the place
        of the present one, None leaves it. Raises ``NotFound`` (connection or table, with names that look alike),
        ``InputInvalid``, ``Conflict``, ``Forbidden`` (the role may not), ``Unavailable``.
        """
        async with self._owner(connection) as owner:
            found = await installing.find_table(owner, table)
            known = await self._of_connection(connection)
            present = next((row for row in known if row.table_name == found["full_name"]), None)
            chosen = model or (present.model if present else found["name"])
            left_out = sorted(set((present.exclude if present else ()) if exclude is None else exclude))
            installing.check(found, chosen, left_out, own=not connection)
            await installing.refuse_strangers(owner, known)
            row, is_new = await self._enter(
                WatchRow(
                    tenant_id=tenant,
                    connection=connection,
                    table_name=found["full_name"],
                    model=chosen,
                    exclude=left_out,
                    created_by=by,
                )
            )
            try:
                await installing.install(owner, row, found, own=not connection)
            except psycopg.Error:
                if is_new:
                    await self._forget(row)
                raise
        (watch,) = await self._described(connection, [row])
        return watch

    async def listing(self, tenant: str) -> Sequence[Watch]:
        """The tenant's watches, the oldest first. A database that cannot be reached is a state, not an error."""
        async with self._database.session(tenant) as session:
            mine = await rows.of_tenant(session, tenant)
        connections = dict.fromkeys(row.connection for row in mine)
        described = [
            await self._described(name, [row for row in mine if row.connection == name]) for name in connections
        ]
        return sorted((each for some in described for each in some), key=lambda each: each.id)

    async def find(self, tenant: str, name: str, *, connection: str = "") -> int:
        """The id of the tenant's watch of a table, or of a model. Raises ``NotFound``, ``Conflict`` (several)."""
        async with self._database.session(tenant) as session:
            mine = [row for row in await rows.of_tenant(session, tenant) if row.connection == connection]
        bare = name.replace('"', "")
        same = [row for row in mine if bare in _names(row)] or [row for row in mine if row.model == name]
        if len(same) > 1:
            raise Conflict(f"{name} may be {' or '.join(row.table_name for row in same)}: name one of them")
        if same:
            return same[0].id or 0
        close = get_close_matches(name, [row.table_name.removeprefix("public.") for row in mine], cutoff=0.5)
        raise NotFound("watch of", name, close=close)

    async def unwatch(self, tenant: str, watch_id: int, *, discard: bool = False) -> int:
        """Remove a watch; how many changes were still relayed first. Safe to repeat after an error.

        The triggers go first, then every change that was made until then becomes an event, then the watch is
        forgotten; with the last watch of a database, everything that was installed there goes too. ``discard`` throws
        those changes away, and forgets a watch whose database is no more. Raises ``NotFound``, ``Forbidden``,
        ``Unavailable``, and ``Conflict`` while changes are left that cannot become events.
        """
        row = await self._get(tenant, watch_id)
        count = 0
        async with AsyncExitStack() as stack:
            try:
                owner = await stack.enter_async_context(self._owner(row.connection))
            except (NotFound, Unavailable):
                if not discard:
                    raise
            else:
                await installing.remove_triggers(owner, watch_id)
                if discard:
                    await installing.discard(owner, watch_id)
                else:
                    count = await self._drain(owner, row)
                await self._forget(row)
                if not await self._of_connection(row.connection):
                    await installing.remove_all(owner)
            await self._forget(row)
        return count

    async def _drain(self, owner: psycopg.AsyncConnection, row: WatchRow) -> int:
        outbox: Outbox = OtherOutbox(self._database, owner) if row.connection else OwnOutbox(self._database)
        count, patience = 0, _DRAIN_PATIENCE
        while state := await installing.waiting(owner, row.id or 0):
            if state["waiting"] == state["failing"]:
                raise Conflict(
                    f"{state['failing']} changes of {row.table_name} cannot become events ({state['reason']}): mend "
                    "the cause and unwatch again, or throw them away with --discard"
                )
            moved = await self._relay.relay_watch(outbox, row)
            count += moved
            if not moved:
                patience -= 1
                if not patience:
                    raise Unavailable(f"another relay is still busy with {row.table_name}: unwatch it again")
                await asyncio.sleep(_DRAIN_PAUSE_SECONDS)
        return count

    async def _enter(self, wanted: WatchRow) -> tuple[WatchRow, bool]:
        """The row of the watch as it is wanted, and whether it is new."""
        async with self._database.session(ALL_TENANTS) as session:
            known = await rows.of_table(session, wanted.connection, wanted.table_name)
            row = known or wanted
            if row.tenant_id != wanted.tenant_id:
                raise Conflict(
                    f"{row.table_name} is watched for another tenant: a table's changes are events of one tenant"
                )
            row.model, row.exclude = wanted.model, wanted.exclude
            session.add(row)
            await session.flush()
        return row, known is None

    async def _get(self, tenant: str, watch_id: int) -> WatchRow:
        async with self._database.session(tenant) as session:
            row = await session.get(WatchRow, watch_id)
            if row is None or row.tenant_id != tenant:
                raise NotFound("watch", watch_id)
        return row

    async def _forget(self, row: WatchRow) -> None:
        async with self._database.session(row.tenant_id) as session:
            await rows.remove(session, row.id or 0)

    async def _of_connection(self, connection: str) -> Sequence[WatchRow]:
        async with self._database.session(ALL_TENANTS) as session:
            return await rows.of_connection(session, connection)

    async def _described(self, connection: str, of: Sequence[WatchRow]) -> list[Watch]:
        try:
            async with self._owner(connection) as owner:
                found = await installing.look(owner, of)
        except NotFound as error:
            found = installing.Found(problem=("unlisted", str(error)))
        except Unavailable as error:
            found = installing.Found(problem=("unreachable", str(error)))
        return [_describe(row, found) for row in of]

    @asynccontextmanager
    async def _owner(self, connection: str) -> AsyncIterator[psycopg.AsyncConnection]:
        """A connection as the role of the URL; what the database says against it is told in the platform's terms."""
        url = self._url(connection)
        name = f"the connection {connection!r}" if connection else "the platform's own database"
        try:
            async with await connect(url) as owner:
                await owner.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT}'")
                yield owner
        except psycopg.errors.InsufficientPrivilege as error:
            raise Forbidden(
                f"the role of {name} may not do this: {error.diag.message_primary}. It needs CREATE on the database "
                "once, and must own each table that it watches"
            ) from error
        except psycopg.errors.ReadOnlySqlTransaction as error:
            raise Conflict(f"{name} is read-only, a standby perhaps: list the primary instead") from error
        except psycopg.errors.LockNotAvailable as error:
            message = f"a long transaction on {name} holds the table: try again when it has ended"
            raise Unavailable(message) from error
        except psycopg.OperationalError as error:
            raise Unavailable(f"{name} cannot be reached: {str(error).strip()}") from error

    def _url(self, connection: str) -> str:
        if not connection:
            return self._database.url
        if connection not in self._connections:
            close = get_close_matches(connection, self._connections, cutoff=0.5)
            hint = f"; did you mean {', '.join(close)}?" if close else ""
            listed = ", ".join(sorted(self._connections)) or "none"
            message = (
                f"there is no connection {connection!r}{hint} (listed: {listed}); the operator lists connections in "
                "STEPWELL_WATCH_CONNECTIONS"
            )
            raise NotFound("connection", connection, close=close, message=message)
        return self._connections[connection]


def _describe(row: WatchRow, found: installing.Found) -> Watch:
    watch_id = row.id or 0
    waiting = found.waiting.get(watch_id, {})
    state, reason = found.problem or _state(found.triggers.get(watch_id, []))
    return Watch(
        id=watch_id,
        table=row.table_name,
        model=row.model,
        connection=row.connection,
        exclude=tuple(row.exclude),
        created_by=row.created_by,
        created_at=row.created_at,
        state=state,
        left_out=found.left_out.get(watch_id),
        waiting=None if found.problem else waiting.get("waiting", 0),
        waiting_since=waiting.get("since"),
        failing=waiting.get("failing", 0),
        reason=waiting.get("reason") or reason or None,
    )


def _names(row: WatchRow) -> set[str]:
    """The names that people may give a table, without quotes."""
    full = row.table_name.replace('"', "")
    return {full, full.partition(".")[2]}


def _state(triggers: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    if len(triggers) < len(watch_sql.OPERATIONS):
        return "missing", "its triggers are gone, perhaps with the table: watch it again, or unwatch it"
    if not all(trigger["enabled"] for trigger in triggers):
        return "disabled", "its triggers are switched off: ALTER TABLE … ENABLE TRIGGER ALL"
    return "installed", ""
