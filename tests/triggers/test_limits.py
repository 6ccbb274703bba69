"""Runs of one key that are held back: debounce, throttle, and so many at a time."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from domain.events import NewEvent
from store import runs as rows
from store.tables.base import now


def change(customer="c-1", **payload):
    return NewEvent(source="crm", type="customer.changed", payload={"customer": customer, **payload})


def on(**config):
    return {"type": "event", "config": {"event": "customer.changed", "key": "{{event.customer}}", **config}}


@pytest.fixture
def run(database, tenant):
    async def found(run_id):
        async with database.session(tenant) as session:
            return await rows.get(session, tenant, run_id)

    return found


async def test_the_last_of_several_events_starts_the_one_run(publish, dispatcher, delivered, run, tenant):
    await publish("sync", on(debounce="1h"))
    first = await dispatcher.ingest(tenant, change(n=1))
    [run_id] = first.run_ids
    earliest = (await run(run_id)).not_before
    second = await dispatcher.ingest(tenant, change(n=2))
    assert second.run_ids == [run_id]
    assert await delivered(second.event_id) == [("sync", "debounced")]
    waiting = await run(run_id)
    assert (waiting.input["n"], waiting.event_id, waiting.status) == (2, second.event_id, "pending")
    assert waiting.not_before > earliest >= now() + timedelta(minutes=59)


async def test_another_key_is_not_debounced_with_it(publish, dispatcher, tenant):
    await publish("sync", on(debounce="1h"))
    first = await dispatcher.ingest(tenant, change("c-1"))
    other = await dispatcher.ingest(tenant, change("c-2"))
    assert first.run_ids != other.run_ids


async def test_once_the_run_is_taken_up_the_next_event_starts_another(publish, dispatcher, database, tenant):
    await publish("sync", on(debounce="1h"))
    [run_id] = (await dispatcher.ingest(tenant, change())).run_ids
    async with database.session(tenant) as session:
        await session.execute(text("UPDATE runs SET claimed_at = now() WHERE id = :id"), {"id": run_id})
    assert (await dispatcher.ingest(tenant, change())).run_ids != [run_id]


async def test_input_that_does_not_fit_takes_nobodys_place(publish, dispatcher, run, tenant):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    await publish("sync", on(debounce="1h"), input=schema)
    [run_id] = (await dispatcher.ingest(tenant, change(n=1))).run_ids
    refused = await dispatcher.ingest(tenant, change(n="many"))
    assert (refused.status, refused.run_ids) == ("dead", [])
    assert (await run(run_id)).input["n"] == 1


async def test_more_than_the_throttle_allows_starts_later(publish, dispatcher, run, tenant):
    await publish("sync", on(throttle={"limit": 2, "per": "1h"}))
    ids = [(await dispatcher.ingest(tenant, change())).run_ids[0] for _ in range(5)]
    waits = [(await run(run_id)).not_before for run_id in ids]
    assert waits[:2] == [None, None]
    created = [(await run(run_id)).created_at for run_id in ids]
    assert waits[2:] == [
        created[0] + timedelta(hours=1),
        created[1] + timedelta(hours=1),
        created[0] + timedelta(hours=2),
    ]
    assert (await run((await dispatcher.ingest(tenant, change("c-2"))).run_ids[0])).not_before is None


async def test_a_key_with_a_limit_may_have_many_runs(publish, dispatcher, run, tenant):
    await publish("sync", on(max_concurrent=1))
    ids = [(await dispatcher.ingest(tenant, change())).run_ids[0] for _ in range(3)]
    assert len(set(ids)) == 3
    assert {(await run(run_id)).max_concurrent for run_id in ids} == {1}
