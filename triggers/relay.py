"""The relay: moves the changes of watched tables from their outboxes into the inbox, each exactly once.

On the platform's own database a change leaves the outbox in the transaction that enters its event. On another one it
is deleted once its event has been committed: a crash in between leaves a change that is an event already, whose key
the inbox knows. Several relays may run; one at a time works on a table, so that its changes keep their order.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

import psycopg
import structlog
from psycopg.rows import class_row
from pydantic import ValidationError

from domain.errors import StepwellError, Unavailable
from store import watches
from store.database import ALL_TENANTS, APP_ROLE, Database, psycopg_dsn
from store.session import Session
from store.tables import WatchRow
from store.watches import RowChange
from triggers.dispatcher import Dispatcher
from triggers.row_events import row_event
from triggers.watch_sql import CHANNEL

BATCH: Final = 500
"""Changes that become events in one transaction, at most."""
POLL_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 60.0
"""After that long, a change that could not become an event is tried again."""

_FAULTS: Final = (StepwellError, ValidationError, psycopg.Error)
_log = structlog.get_logger("relay")

TakeIn = Callable[[Session, WatchRow, Sequence[RowChange]], Awaitable[None]]


class Outbox(Protocol):
    """Where the changes of one database wait."""

    async def due(self, watch_ids: list[int]) -> set[int]:
        """Which of the watches have changes to relay."""

    async def move(self, watch: WatchRow, batch: int, take_in: TakeIn) -> list[int]:
        """Hand the next changes of a watch to ``take_in``; gone from here once that is committed. Their ids."""

    async def put_off(self, tenant: str, change_id: int, reason: str, /) -> None:
        """Leave a change for later."""


class Relay:
    """Relays for all tenants. ``connections``: Postgres URLs of the other databases, by name."""

    def __init__(self, database: Database, dispatcher: Dispatcher, connections: Mapping[str, str]) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._connections = dict(connections)

    async def run_forever(self) -> None:
        """Relay what is there, now and whenever something changes. Ends by cancellation only.

        A database that cannot be reached, or has lost its outbox, does not keep the others waiting.
        """
        async with asyncio.TaskGroup() as loops:
            for name in ("", *self._connections):
                loops.create_task(self._serve_forever(name), name=f"relay {name}")

    async def relay(self, outbox: Outbox, connection: str) -> int:
        """Relay what is due in one outbox, a batch of each of its watches at most; how many changes that were."""
        rows = await self._watches(connection)
        due = await outbox.due([row.id or 0 for row in rows]) if rows else set()
        return sum([await self.relay_watch(outbox, row) for row in rows if row.id in due])

    async def relay_watch(self, outbox: Outbox, watch: WatchRow) -> int:
        """Relay the next changes of one watch; how many. A change that fails is put off, the others go on."""
        try:
            return len(await outbox.move(watch, BATCH, self._take_in))
        except Unavailable:
            raise
        except _FAULTS as error:
            _refuse_lost_connection(error)
        return await self._one_by_one(outbox, watch)

    async def _one_by_one(self, outbox: Outbox, watch: WatchRow) -> int:
        """A batch has failed: find out which of its changes it was."""
        count, tried = 0, 0

        async def take_in(session: Session, watch: WatchRow, changes: Sequence[RowChange]) -> None:
            nonlocal tried
            tried = changes[0].id if changes else 0
            await self._take_in(session, watch, changes)

        while count < BATCH:
            try:
                moved = await outbox.move(watch, 1, take_in)
            except Unavailable:
                raise
            except _FAULTS as error:
                _refuse_lost_connection(error)
                reason = f"{type(error).__name__}: {error}".partition("\n")[0]
                _log.error("a change cannot become an event yet", watch=watch.id, table=watch.table_name, error=reason)
                await outbox.put_off(watch.tenant_id, tried, reason)
                moved = [tried]
            if not moved:
                break
            count += 1
        return count

    async def _take_in(self, session: Session, watch: WatchRow, changes: Sequence[RowChange]) -> None:
        await self._dispatcher.ingest_all(session, watch.tenant_id, [row_event(watch, change) for change in changes])

    async def _watches(self, connection: str) -> list[WatchRow]:
        async with self._database.statements(ALL_TENANTS) as session:
            return list(await watches.of_connection(session, connection))

    async def _serve_forever(self, name: str) -> None:
        while True:
            try:
                if await self._watches(name):
                    await self._serve(name)
            except (Unavailable, psycopg.Error) as error:
                _log.warning("cannot relay changes yet", connection=name or "own database", error=str(error).strip())
            await asyncio.sleep(POLL_SECONDS)

    async def _serve(self, name: str) -> None:
        """Relay from one database while it has watches and its connection lasts."""
        async with await self._connect(name) as listening:
            await listening.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(CHANNEL)))
            outbox: Outbox = OtherOutbox(self._database, listening) if name else OwnOutbox(self._database)
            while await self._watches(name):
                while await self.relay(outbox, name):
                    pass
                async for _ in listening.notifies(timeout=POLL_SECONDS, stop_after=1):
                    pass

    async def _connect(self, name: str) -> psycopg.AsyncConnection:
        return await connect(self._connections[name]) if name else await connect(self._database.url, role=APP_ROLE)


class OwnOutbox:
    """The outbox on the platform's own database: what leaves it and its events are one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, watch_ids: list[int]) -> set[int]:
        """Which of the watches have changes to relay."""
        async with self._database.statements(ALL_TENANTS) as session:
            return await watches.having_changes(session, watch_ids)

    async def move(self, watch: WatchRow, batch: int, take_in: TakeIn) -> list[int]:
        """Hand over the next changes of a watch."""
        async with self._database.session(watch.tenant_id) as session:
            taken = await watches.take(session, watch.id or 0, batch)
            await take_in(session, watch, taken)
            return [change.id for change in taken]

    async def put_off(self, tenant: str, change_id: int, reason: str, /) -> None:
        """Leave a change for later."""
        async with self._database.session(tenant) as session:
            await watches.put_off(session, change_id, reason, RETRY_SECONDS)


class OtherOutbox:
    """The outbox on another database, by a connection of its own in autocommit."""

    def __init__(self, database: Database, connection: psycopg.AsyncConnection) -> None:
        self._database = database
        self._connection = connection

    async def due(self, watch_ids: list[int]) -> set[int]:
        """Which of the watches have changes to relay."""
        cursor = await self._connection.execute(watches.HAVE_CHANGES_THERE, {"ids": watch_ids})
        return {watch_id for (watch_id,) in await cursor.fetchall()}

    async def move(self, watch: WatchRow, batch: int, take_in: TakeIn) -> list[int]:
        """Hand over the next changes of a watch."""
        values = {"watch_id": watch.id, "batch": batch, "max_bytes": watches.MAX_BATCH_BYTES}
        async with self._connection.transaction():
            cursor = self._connection.cursor(row_factory=class_row(RowChange))
            found = await (await cursor.execute(watches.READ_THERE, values)).fetchall()
            if found:
                async with self._database.session(watch.tenant_id) as session:
                    await take_in(session, watch, found)
                # From here on they are events. Whoever reads them once more is told so by the inbox.
                await self._connection.execute(watches.REMOVE_THERE, {"ids": [change.id for change in found]})
        return [change.id for change in found]

    async def put_off(self, _tenant: str, change_id: int, reason: str, /) -> None:
        """Leave a change for later."""
        values = {"id": change_id, "reason": reason, "seconds": RETRY_SECONDS}
        await self._connection.execute(watches.PUT_OFF_THERE, values)


async def connect(url: str, *, role: str | None = None) -> psycopg.AsyncConnection:
    """A connection in autocommit, as ``role`` if one is given. Raises ``psycopg.OperationalError``."""
    return await psycopg.AsyncConnection.connect(
        psycopg_dsn(url),
        autocommit=True,
        connect_timeout=5,
        application_name="stepwell-watches",
        options="-c timezone=UTC" + (f" -c role={role}" if role else ""),
        keepalives_idle=30,
        keepalives_interval=10,
        keepalives_count=3,
    )


def _refuse_lost_connection(error: Exception) -> None:
    """A lost connection is no fault of the change at hand."""
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        raise error
