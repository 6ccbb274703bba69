"""A step that emits an event: it is kept together with the step's outcome, and once."""

import pytest

from domain.events import EventStatus, NewEvent
from store import events
from store import runs as rows
from store.events import EventFilter
from tests.activities.conftest import Desk, environment
from triggers.emit import DEPTH_HEADER, MAX_DEPTH, EventConnector


@pytest.fixture
def desk(database, tenant, dispatcher):
    return Desk(database, tenant, EventConnector(dispatcher))


@pytest.fixture
def inbox(database, tenant):
    async def found():
        async with database.session(tenant) as session:
            return list((await events.page(session, tenant, EventFilter(), limit=100, offset=0))[0])

    return found


async def test_a_step_emits_one_event_however_often_it_is_tried(desk, inbox, publish, database, tenant):
    await publish("renew", {"type": "event", "config": {"event": "subscription.expiring_soon"}})
    order = {"event_type": "subscription.expiring_soon", "payload": {"subscription_id": "s-1"}, "subject": "s-1"}
    first = await desk.perform("core.emit_event", order)
    again = await desk.perform("core.emit_event", order, surroundings=environment(local=False, attempt=2))
    assert again.replayed
    assert again.output == first.output
    [event] = await inbox()
    assert (event.source, event.subject, event.status) == ("p", "s-1", EventStatus.DISPATCHED)
    [run_id] = first.output["run_ids"]
    async with database.session(tenant) as session:
        run = await rows.get(session, tenant, run_id)
    assert (run.process, run.input) == ("renew", {"subscription_id": "s-1"})


async def test_two_steps_that_say_the_same_key_emit_one_event(desk, inbox):
    order = {"event_type": "subscription.expiring_soon", "idempotency_key": "s-1:2026-12-01", "source": "scanner"}
    first = await desk.perform("core.emit_event", order, key="run-1/a")
    second = await desk.perform("core.emit_event", order, key="run-2/a")
    assert (first.output["created"], second.output["created"]) == (True, False)
    assert second.output["event_id"] == first.output["event_id"]
    assert len(await inbox()) == 1


@pytest.mark.parametrize("order", [{}, {"event_type": ""}, {"event_type": "a\nb"}, {"event_type": "a", "colour": 1}])
async def test_an_order_that_makes_no_sense_is_refused(desk, order):
    assert (await desk.refused("core.emit_event", order)).type == "INVALID_INPUT"


async def test_processes_that_start_each_other_without_end_are_stopped(desk, dispatcher, publish, database, tenant):
    await publish("echo", {"type": "event", "config": {"event": "echo"}})
    last = NewEvent(source="echo", type="echo", payload={}, headers={DEPTH_HEADER: str(MAX_DEPTH)})
    [run_id] = (await dispatcher.ingest(tenant, last)).run_ids
    refused = await desk.refused("core.emit_event", {"event_type": "echo"}, run_id=run_id)
    assert (refused.type, "without end" in refused.message) == ("INVALID_INPUT", True)
    before = last.model_copy(update={"headers": {DEPTH_HEADER: str(MAX_DEPTH - 1)}, "key": "before"})
    [run_id] = (await dispatcher.ingest(tenant, before)).run_ids
    assert (await desk.perform("core.emit_event", {"event_type": "quiet"}, run_id=run_id)).output["created"]
