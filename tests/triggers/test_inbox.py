"""The inbox's loop: dead events are asked again on demand, old ones are forgotten."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from domain.events import NewEvent
from store import events
from store.database import ALL_TENANTS
from triggers.inbox import Inbox

BROKEN = {"type": "event", "config": {"event": "order.*", "input": {"id": "{{event.missing}}"}}}
MENDED = {"type": "event", "config": {"event": "order.*", "input": {"id": "{{event.id}}"}}}


def event(name="order.created", source="shop"):
    return NewEvent(source=source, type=name, payload={"id": 1})


@pytest.fixture
def inbox(database, dispatcher):
    return Inbox(database, dispatcher, retention=timedelta(days=30))


@pytest.fixture
def status(database, tenant):
    async def found(done):
        async with database.session(tenant) as session:
            row = await events.get(session, tenant, done.event_id)
            return None if row is None else row.status

    return found


async def ask_all(inbox):
    while await inbox.ask_next():
        pass


async def test_all_dead_events_of_a_type_are_asked_again(publish, dispatcher, database, inbox, status, tenant):
    await publish("ship", BROKEN)
    dead = [await dispatcher.ingest(tenant, event(name)) for name in ("order.created", "order.created", "order.paid")]
    await publish("ship", MENDED)
    async with database.session(tenant) as session:
        assert await events.ask_again(session, tenant, type="order.created", source=None) == 2
    await ask_all(inbox)
    assert [await status(each) for each in dead] == ["dispatched", "dispatched", "dead"]


async def test_an_event_that_still_fails_is_dead_again_and_blocks_no_other(
    publish, dispatcher, database, inbox, status, tenant
):
    await publish("ship", BROKEN)
    dead = [await dispatcher.ingest(tenant, event(source=source)) for source in ("shop", "fair")]
    async with database.session(tenant) as session:
        assert await events.ask_again(session, tenant, type=None, source=None) == 2
    await ask_all(inbox)
    assert [await status(each) for each in dead] == ["dead", "dead"]
    async with database.session(tenant) as session:
        row = await events.get(session, tenant, dead[0].event_id)
    assert row.attempts == 2
    assert "missing" in row.reason


async def test_events_older_than_the_retention_are_forgotten(
    publish, dispatcher, database, inbox, status, delivered, tenant
):
    await publish("ship", MENDED)
    old, new = [await dispatcher.ingest(tenant, event()) for _ in range(2)]
    async with database.session(ALL_TENANTS) as session:
        aged = text("UPDATE events SET received_at = now() - interval '31 days' WHERE id = :id")
        await session.execute(aged, {"id": old.event_id})
    await inbox.forget()
    assert (await status(old), await status(new)) == (None, "dispatched")
    assert (await delivered(old.event_id), await delivered(new.event_id)) == ([], [("ship", "started")])
