"""Events that wake runs: the right one, once."""

import asyncio
from typing import Any

import pytest
from temporalio import workflow
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from control.notifications import Notifications
from control.starter import Starter
from domain.errors import DefinitionInvalid
from domain.events import NewEvent
from store import events
from store import runs as rows
from tests.triggers.conftest import definition
from triggers.signals import SignalSender

PAID = {"event": "order.paid", "action": "signal", "signal_name": "paid", "key": "{{event.order}}"}
WAITS = [{"name": "payment", "type": "wait_for_signal", "signal": "paid"}]
PLACED = {"event": "order.placed", "key": "{{event.order}}"}


def event(name, order="o-1", **payload):
    return NewEvent(source="shop", type=name, payload={"order": order, **payload})


async def until(look):
    async with asyncio.timeout(60):
        while not (found := await look()):
            await asyncio.sleep(0.05)
    return found


@pytest.fixture
async def notifications(database_url):
    notifications = Notifications(database_url)
    await notifications.start()
    yield notifications
    await notifications.close()


@pytest.fixture
def sender(database, temporal_client, notifications, task_queue):
    return SignalSender(database, temporal_client, notifications, task_queue)


@workflow.defn(name="ship")
class Ship:
    """Waits for two signals."""

    def __init__(self) -> None:
        self.got: list[int] = []

    @workflow.run
    async def run(self, _order: dict[str, Any]) -> list[int]:
        await workflow.wait_condition(lambda: len(self.got) >= 2)
        return self.got

    @workflow.signal
    def paid(self, payload: dict[str, Any], _delivery: dict[str, Any]) -> None:
        self.got.append(payload["amount"])


@pytest.fixture
async def begun(publish, dispatcher, database, temporal_client, notifications, task_queue, tenant):
    """A run of ``ship`` for order o-1 that is under way."""
    await publish("ship", {"type": "event", "config": PLACED}, {"type": "event", "config": PAID}, steps=WAITS)
    [run_id] = (await dispatcher.ingest(tenant, event("order.placed"))).run_ids
    runner = UnsandboxedWorkflowRunner()
    async with Worker(temporal_client, task_queue=task_queue, workflows=[Ship], workflow_runner=runner):
        await Starter(database, temporal_client, notifications, task_queue).start_pending()
        async with database.session(tenant) as session:
            row = await rows.get(session, tenant, run_id)
            row.status = "running"
            await session.models.merge(row)
        yield row


async def test_an_event_wakes_the_run_of_its_key(begun, dispatcher, sender, temporal_client, delivered, tenant):
    done = [await dispatcher.ingest(tenant, event("order.paid", amount=n)) for n in (1, 2)]
    assert [each.run_ids for each in done] == [[begun.id], [begun.id]]
    assert ("ship", "signalling") in await delivered(done[0].event_id)
    await until(lambda: _nothing_left(sender))
    assert await temporal_client.get_workflow_handle(begun.workflow_id).result() == [1, 2]
    assert ("ship", "signalled") in await delivered(done[0].event_id)


async def _nothing_left(sender):
    return await sender.send_some() == 0


async def test_an_event_of_another_key_wakes_nobody(begun, dispatcher, database, tenant):
    done = await dispatcher.ingest(tenant, event("order.paid", order="o-2"))
    assert done.run_ids == []
    async with database.session(tenant) as session:
        [reason] = [
            each.reason for each in await events.deliveries(session, tenant, done.event_id) if each.status == "no_run"
        ]
    assert "'o-2'" in reason


async def test_a_run_that_ended_meanwhile_is_told_of(begun, dispatcher, sender, temporal_client, delivered, tenant):
    done = await dispatcher.ingest(tenant, event("order.paid", amount=1))
    await temporal_client.get_workflow_handle(begun.workflow_id).terminate()
    await until(lambda: _nothing_left(sender))
    assert ("ship", "no_run") in await delivered(done.event_id)


async def test_a_signal_waits_for_a_run_that_has_not_begun(publish, dispatcher, sender, delivered, tenant):
    await publish("ship", {"type": "event", "config": PLACED}, {"type": "event", "config": PAID}, steps=WAITS)
    await dispatcher.ingest(tenant, event("order.placed"))
    done = await dispatcher.ingest(tenant, event("order.paid", amount=1))
    assert await sender.send_some() == 0
    assert ("ship", "signalling") in await delivered(done.event_id)


async def test_a_signal_that_overtakes_the_start_of_its_run_is_sent_to_it(
    publish, dispatcher, database, sender, delivered, tenant
):
    triggers = ({"type": "event", "config": PLACED}, {"type": "event", "config": PAID})
    await publish("ship", *triggers, steps=WAITS)
    early = await dispatcher.ingest(tenant, event("order.paid", amount=1))
    assert ("ship", "no_run") in await delivered(early.event_id)
    placed = await dispatcher.ingest(tenant, event("order.placed"))
    assert ("ship", "signalling") in await delivered(early.event_id)
    async with database.session(tenant) as session:
        [delivery] = await events.deliveries(session, tenant, early.event_id)
    assert ([delivery.run_id], delivery.payload["amount"]) == (placed.run_ids, 1)


async def test_a_signal_that_no_step_waits_for_is_a_fault(publisher, tenant):
    with pytest.raises(DefinitionInvalid, match="no step waits for the signal 'paid'"):
        await publisher.publish(tenant, definition("ship", {"type": "event", "config": PAID}))


async def test_it_needs_a_name_and_a_key(publisher, tenant):
    for missing in ("signal_name", "key"):
        config = {name: value for name, value in PAID.items() if name != missing}
        with pytest.raises(DefinitionInvalid, match="signal_name"):
            await publisher.publish(tenant, definition("ship", {"type": "event", "config": config}))
