"""The relay: every change of a watched table becomes one event, whatever dies in between."""
# ruff: noqa: S608 - the names of tables are made up here

import asyncio
import contextlib
import itertools
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from control.publishing import Publisher
from domain.errors import Conflict, NotFound, Unavailable
from store.database import ALL_TENANTS, Database
from tests.control.conftest import ACTIONS
from tests.triggers.watching import staged
from triggers.dispatcher import Dispatcher
from triggers.relay import BATCH, Relay
from workers.embedded.postgres import EmbeddedPostgres

ROOT = Path(__file__).parents[2]
EITHER = pytest.mark.parametrize("connection", ["", "crm"])
MANY = 100_000


@pytest.fixture
async def stage(postgres_url):
    async with staged(postgres_url) as stage:
        yield stage


async def listen(stage):
    """Publish a process that new things start."""
    trigger = {
        "type": "signal",
        "config": {"model": "app.Thing", "signal": "post_save", "condition": "created == true"},
    }
    steps = [{"name": "say", "action": "core.log", "config": {"message": "{{event.instance.name}}"}}]
    definition = {"name": "greet_thing", "triggers": [trigger], "steps": steps}
    await Publisher(stage.database, ACTIONS).publish(stage.tenant, definition)


@contextlib.asynccontextmanager
async def relaying(stage, count=1):
    """Relays at work in this process."""
    relays = [asyncio.create_task(stage.relay.run_forever()) for _ in range(count)]
    yield relays
    for relay in relays:
        relay.cancel()
    await asyncio.gather(*relays, return_exceptions=True)


async def until(look, what, seconds=120.0):
    """The first result of ``look`` that is true; a database may be away in between."""
    result = None
    async with asyncio.timeout(seconds):
        while not result:
            with contextlib.suppress(Unavailable, psycopg.OperationalError):
                result = await look()
            await asyncio.sleep(0.05)
    return result


async def count_events(stage, watch):
    """How many events there are, and how many rows they are about."""
    query = text(
        "SELECT count(*) AS events, count(DISTINCT (payload->'instance'->>'id', payload->'instance'->>'name')) AS rows"
        " FROM events WHERE source = :source"
    )
    async with stage.database.session(ALL_TENANTS) as session:
        row = (await session.execute(query, {"source": f"watch:{watch.id}"})).one()
    return row.events, row.rows


async def all_relayed(stage, watch, count):
    async def look():
        return (await count_events(stage, watch))[0] >= count and not stage.outbox_rows(watch.connection)

    await until(look, f"{count} events", seconds=300)
    assert await count_events(stage, watch) == (count, count)


@EITHER
async def test_a_change_is_relayed_as_soon_as_it_is_committed(stage, connection):
    table = stage.table(connection=connection)
    watch = await stage.watch(table, connection=connection)
    async with relaying(stage):
        for number in (1, 2):
            stage.sql(f"INSERT INTO {table} (name) VALUES ('x')", connection=connection)
            await all_relayed(stage, watch, number)


@EITHER
async def test_a_hundred_thousand_rows_of_one_statement_are_an_event_each(stage, connection):
    table = stage.table(connection=connection)
    watch = await stage.watch(table, connection=connection)
    async with relaying(stage):
        insert = f"INSERT INTO {table} (name) SELECT 'x' || i FROM generate_series(1, {MANY}) i"
        stage.sql(insert, connection=connection)
        await all_relayed(stage, watch, MANY)
        if not connection:
            stage.sql(f"UPDATE {table} SET name = name || 'y'")
            await all_relayed(stage, watch, 2 * MANY)


async def test_what_comes_from_one_table_comes_in_its_order(stage):
    table = stage.table("id int PRIMARY KEY, name text")
    watch = await stage.watch(table)
    stage.sql(f"INSERT INTO {table} VALUES (1, '0')")
    async with relaying(stage, count=3):
        with psycopg.connect(stage.url, autocommit=True) as session:
            for number in range(1, 3 * BATCH):
                session.execute(f"UPDATE {table} SET name = %s", (str(number),))
        await all_relayed(stage, watch, 3 * BATCH)
    names = [event["payload"]["instance"]["name"] for event in await stage.events(watch)]
    assert names == [str(number) for number in range(3 * BATCH)]


@EITHER
async def test_several_relays_make_no_change_an_event_twice(stage, connection):
    tables = [stage.table(connection=connection) for _ in range(3)]
    watches = [await stage.watch(table, connection=connection) for table in tables]
    async with relaying(stage, count=3):
        for _ in range(4):
            for table in tables:
                insert = f"INSERT INTO {table} (name) SELECT 'x' FROM generate_series(1, 500)"
                await asyncio.to_thread(stage.sql, insert, connection=connection)
        for watch in watches:
            await all_relayed(stage, watch, 2000)


@EITHER
async def test_a_relay_that_is_killed_at_any_moment_loses_and_doubles_nothing(stage, connection):
    table = stage.table(connection=connection)
    watch = await stage.watch(table, connection=connection)
    await listen(stage)
    rows = 3000
    insert = f"INSERT INTO {table} (name) SELECT 'x' || i FROM generate_series(1, {rows}) i"
    stage.sql(insert, connection=connection)
    # A few milliseconds more each time: the blows fall on all places of the batches.
    kills = 0
    for pause in itertools.count(1):
        relay = subprocess.Popen(
            [sys.executable, "-m", "tests.triggers.relay_process", stage.url, f"crm={stage.other_url}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        await asyncio.to_thread(relay.stdout.readline)
        before = (await count_events(stage, watch))[0]

        async def goes_on(before=before):
            return (await count_events(stage, watch))[0] > before or not stage.outbox_rows(connection)

        await until(goes_on, "the relay goes on")
        await asyncio.sleep(0.037 * pause % 0.4)
        relay.kill()
        relay.wait()
        relay.stdout.close()
        if not stage.outbox_rows(connection):
            break
        kills += 1
    assert kills >= 3
    assert await count_events(stage, watch) == (rows, rows)


@EITHER
async def test_a_database_that_restarts_is_relayed_from_again(stage, tmp_path_factory, connection):
    directory = tmp_path_factory.mktemp("watched")
    server = EmbeddedPostgres(directory, database="watched", durable=True)
    url = await server.start()
    try:
        if connection:
            stage = replace(stage, other_url=url)
            with psycopg.connect(url, autocommit=True) as owner:
                owner.execute(f"CREATE ROLE {stage.role}")
        else:
            stage = await elsewhere(stage, url)
        table = stage.table(connection=connection)
        watch = await stage.watch(table, connection=connection)
        async with relaying(stage) as [relay]:
            for number in (1, 2, 3):
                insert = f"INSERT INTO {table} (name) SELECT 'x' FROM generate_series(1, 1000)"
                stage.sql(insert, connection=connection)
                await server.stop()
                await server.start()
                await all_relayed(stage, watch, 1000 * number)
                assert not relay.done()
        if not connection:
            await stage.database.close()
    finally:
        await server.stop()


async def elsewhere(stage, url):
    """The stage on another server."""
    from store.migrate import migrate  # noqa: PLC0415
    from tests.control.conftest import make_tenant  # noqa: PLC0415

    await asyncio.to_thread(migrate, url)
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {stage.role}")
    database = Database(url)
    return replace(stage, database=database, tenant=await make_tenant(database))


async def test_a_database_that_cannot_be_reached_keeps_the_others_not_waiting(stage):
    table = stage.table()
    await stage.watch(stage.table(connection="crm"), connection="crm")
    watch = await stage.watch(table)
    lost = replace(stage, other_url="postgresql://nobody@127.0.0.1:1/x")
    async with relaying(lost) as [relay]:
        stage.sql(f"INSERT INTO {table} (name) VALUES ('x')")
        await until(lambda: stage.events(watch), "the event")
        assert not relay.done()


class Picky(Dispatcher):
    """Refuses some events."""

    refuses = frozenset({"bad"})

    async def ingest_all(self, session, tenant, new):
        if any(event.payload["instance"]["name"] in self.refuses for event in new):
            raise NotFound("mood", "good")
        return await super().ingest_all(session, tenant, new)


@EITHER
async def test_a_change_that_cannot_become_an_event_is_kept_and_told_and_blocks_no_other(stage, connection):
    table = stage.table(connection=connection)
    watch = await stage.watch(table, connection=connection)
    await listen(stage)
    names = "('a'), ('bad'), ('b'), ('c')"
    stage.sql(f"INSERT INTO {table} (name) VALUES {names}", connection=connection)
    picky = Picky(stage.database, stage.task_queue)
    async with stage.outbox(connection) as outbox:
        relay = Relay(stage.database, picky, stage.connections)
        while await relay.relay(outbox, connection):
            pass
        assert [event["payload"]["instance"]["name"] for event in await stage.events(watch)] == ["a", "b", "c"]
        [shown] = await stage.watches.listing(stage.tenant)
        assert (shown.waiting, shown.failing) == (1, 1)
        assert "mood" in (shown.reason or "")
        with pytest.raises(Conflict, match="--discard"):
            await stage.watches.unwatch(stage.tenant, watch.id)
        stage.sql("UPDATE stepwell.row_changes SET retry_at = now()", connection=connection, as_owner=True)
        await stage.relay.relay(outbox, connection)
    assert len(await stage.events(watch)) == 4
    assert stage.outbox_rows(connection) == []


async def test_a_database_set_back_to_a_backup_has_new_changes_although_its_outbox_counts_anew(stage):
    table = stage.table(connection="crm")
    watch = await stage.watch(table, connection="crm")
    stage.sql(f"INSERT INTO {table} (name) VALUES ('before')", connection="crm")
    assert await stage.relayed("crm") == 1
    stage.sql("ALTER TABLE stepwell.row_changes ALTER id RESTART", connection="crm", as_owner=True)
    stage.sql(f"INSERT INTO {table} (name) VALUES ('after')", connection="crm")
    assert await stage.relayed("crm") == 1
    assert [event["payload"]["instance"]["name"] for event in await stage.events(watch)] == ["before", "after"]


async def test_the_same_change_read_again_is_the_same_event(stage):
    """As after a crash between the commit of the events and the end of the changes."""
    table = stage.table(connection="crm")
    watch = await stage.watch(table, connection="crm")
    stage.sql(f"INSERT INTO {table} (name) VALUES ('x'), ('y')", connection="crm")
    copies = (
        "CREATE TABLE public.kept AS SELECT * FROM stepwell.row_changes",
        "INSERT INTO stepwell.row_changes OVERRIDING SYSTEM VALUE SELECT * FROM public.kept",
    )
    stage.sql(copies[0], connection="crm", as_owner=True)
    assert await stage.relayed("crm") == 2
    stage.sql(copies[1], connection="crm", as_owner=True)
    assert await stage.relayed("crm") == 2
    assert len(await stage.events(watch)) == 2


async def test_changes_start_the_processes_that_wait_for_them(stage):
    table = stage.table()
    await listen(stage)
    watch = await stage.watch(table)
    stage.sql(f"INSERT INTO {table} (name) VALUES ('a'), ('b')", f"UPDATE {table} SET name = 'c' WHERE name = 'b'")
    await stage.relayed()
    query = text("SELECT d.status FROM deliveries d JOIN events e ON e.id = d.event_id WHERE e.source = :source")
    async with stage.database.session(ALL_TENANTS) as session:
        found = Counter(row.status for row in await session.execute(query, {"source": f"watch:{watch.id}"}))
    assert found == {"started": 2, "no_match": 1}
