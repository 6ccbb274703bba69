"""A platform whose tables are watched, an application with rights on its own tables only, and a second database."""

import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from sqlalchemy import text

from store.database import ALL_TENANTS, Database
from tests.control.conftest import make_tenant
from tests.embedded import create_database, drop_database
from triggers.dispatcher import Dispatcher
from triggers.relay import OtherOutbox, Outbox, OwnOutbox, Relay, connect
from triggers.watches import Watch, Watches

_EVENTS = text("SELECT * FROM events WHERE source = :source ORDER BY id")


@dataclass
class Stage:
    """``other_url`` is listed as the connection ``crm``."""

    database: Database
    other_url: str
    role: str
    tenant: str
    task_queue: str = "test-watches"

    @property
    def url(self) -> str:
        return self.database.url

    @property
    def connections(self) -> dict[str, str]:
        return {"crm": self.other_url}

    @property
    def relay(self) -> Relay:
        return Relay(self.database, Dispatcher(self.database, self.task_queue), self.connections)

    @property
    def watches(self) -> Watches:
        return Watches(self.database, self.connections, self.relay)

    def sql(self, *statements: str, connection: str = "", as_owner: bool = False) -> list[dict[str, Any]]:
        """Run statements in one transaction, as the application does; the rows of the last one."""
        with psycopg.connect(self.other_url if connection else self.url, row_factory=dict_row) as session:
            if not as_owner:
                session.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(self.role)))
            for statement in statements:
                cursor = session.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def table(self, columns: str = "id bigserial PRIMARY KEY, name text", connection: str = "", more: str = "") -> str:
        """A new table, which belongs to the owner; the application may use it."""
        name = f"t_{uuid.uuid4().hex[:12]}"
        self.sql(
            f"CREATE TABLE {name} ({columns}) {more}",
            f"GRANT ALL ON {name} TO {self.role}",
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {self.role}",
            connection=connection,
            as_owner=True,
        )
        return name

    async def watch(self, table: str, model: str = "app.Thing", **options: Any) -> Watch:
        return await self.watches.watch(self.tenant, table, model, **options)

    @asynccontextmanager
    async def outbox(self, connection: str = "") -> AsyncIterator[Outbox]:
        if not connection:
            yield OwnOutbox(self.database)
            return
        async with await connect(self.other_url) as opened:
            yield OtherOutbox(self.database, opened)

    async def relayed(self, connection: str = "") -> int:
        """Relay what there is; how much it was."""
        count = 0
        async with self.outbox(connection) as outbox:
            while some := await self.relay.relay(outbox, connection):
                count += some
        return count

    async def events(self, watch: Watch) -> Sequence[dict[str, Any]]:
        async with self.database.session(ALL_TENANTS) as session:
            return list((await session.execute(_EVENTS, {"source": f"watch:{watch.id}"})).mappings())

    async def payloads(self, watch: Watch) -> list[dict[str, Any]]:
        """Relay, and give the payloads of all events of the watch."""
        await self.relayed(watch.connection)
        return [event["payload"] for event in await self.events(watch)]

    def outbox_rows(self, connection: str = "") -> list[dict[str, Any]]:
        query = "SELECT * FROM stepwell.row_changes ORDER BY id"
        return self.sql(query, connection=connection, as_owner=True)


@contextmanager
def plain_database(postgres_url: str) -> Iterator[str]:
    """A database that knows nothing of the platform."""
    name = f"crm_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield postgres_url.replace("/postgres?", f"/{name}?")
    drop_database(postgres_url, name)


@asynccontextmanager
async def staged(postgres_url: str) -> AsyncIterator[Stage]:
    """A stage of its own."""
    name, role = f"watch_{uuid.uuid4().hex}", f"app_{uuid.uuid4().hex}"
    url = create_database(postgres_url, name)
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    with plain_database(postgres_url) as other_url:
        database = Database(url)
        yield Stage(database, other_url, role, await make_tenant(database))
        await database.close()
    drop_database(postgres_url, name)
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
