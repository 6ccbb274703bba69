"""What an event becomes: which triggers it meets, which runs it starts, once."""

import asyncio
from hashlib import sha256

import pytest
from sqlalchemy import text

from domain.errors import NotFound, TooLarge
from domain.events import EventKind, EventStatus, NewEvent
from store import events
from store import runs as rows
from store.database import ALL_TENANTS
from store.events import EventFilter
from store.tables import TriggerRow
from tests.triggers.conftest import definition


def event(name="order.created", key=None, **more):
    values = {"source": "shop", "type": name, "payload": {"order_id": "o-1", "amount": 20}} | more
    return NewEvent(**values) if key is None else NewEvent(key=key, **values)


def on(pattern="order.created", **config):
    return {"type": "event", "config": {"event": pattern, **config}}


async def run_of(database, tenant, run_id):
    async with database.session(tenant) as session:
        return await rows.get(session, tenant, run_id)


async def count_runs(database, tenant):
    async with database.session(tenant) as session:
        return (await rows.page(session, tenant, rows.ALL_RUNS, limit=1, offset=0, steps=False))[1]


async def test_an_event_starts_the_process_that_waits_for_it(publish, dispatcher, database, tenant, delivered):
    await publish("ship", on())
    done = await dispatcher.ingest(tenant, event(subject="o-1"))
    assert (done.created, done.status) == (True, EventStatus.DISPATCHED)
    [run_id] = done.run_ids
    run = await run_of(database, tenant, run_id)
    assert (run.process, run.status, run.trigger_type) == ("ship", "pending", "event")
    assert run.input == {"order_id": "o-1", "amount": 20}
    assert (run.event_id, run.trigger_source) == (done.event_id, "shop: order.created")
    assert await delivered(done.event_id) == [("ship", "started")]


async def test_the_same_event_again_gives_the_same_answer_and_nothing_new(publish, dispatcher, database, tenant):
    await publish("ship", on())
    first = await dispatcher.ingest(tenant, event(key="e-1"))
    again = await dispatcher.ingest(tenant, event(key="e-1", payload={"other": "content"}))
    assert again == first.model_copy(update={"created": False})
    assert await count_runs(database, tenant) == 1


async def test_the_same_key_of_another_source_or_tenant_is_another_event(dispatcher, tenant, other_tenant):
    ids = {(await dispatcher.ingest(tenant, event(key="e-1"))).event_id}
    ids.add((await dispatcher.ingest(tenant, event(key="e-1", source="elsewhere"))).event_id)
    ids.add((await dispatcher.ingest(other_tenant, event(key="e-1"))).event_id)
    assert len(ids) == 3


async def test_a_thousand_deliveries_at_once_are_one_run(publish, dispatcher, database, tenant):
    await publish("ship", on())
    done = await asyncio.gather(*(dispatcher.ingest(tenant, event(key="e-1")) for _ in range(1000)))
    assert sum(each.created for each in done) == 1
    assert len({(each.event_id, each.trace_id, *each.run_ids) for each in done}) == 1
    assert await count_runs(database, tenant) == 1


async def test_three_shuffled_deliveries_each_are_a_run_each(publish, dispatcher, database, tenant):
    await publish("ship", on())
    deliveries = [f"e-{n}/{repeat}" for n in range(1000) for repeat in range(3)]
    keys = [each.partition("/")[0] for each in sorted(deliveries, key=lambda each: sha256(each.encode()).digest())]
    await asyncio.gather(*(dispatcher.ingest(tenant, event(key=key)) for key in keys))
    assert await count_runs(database, tenant) == 1000
    for key in keys[:300]:  # whether their workflows are still on Temporal does not matter: nobody asks it
        assert not (await dispatcher.ingest(tenant, event(key=key))).created
    assert await count_runs(database, tenant) == 1000


async def test_an_event_that_was_forgotten_still_starts_no_second_run(publish, dispatcher, database, tenant):
    await publish("ship", on())
    done = await dispatcher.ingest(tenant, event(key="e-1"))
    async with database.session(ALL_TENANTS) as session:
        await session.execute(text("DELETE FROM events WHERE id = :id"), {"id": done.event_id})
    again = await dispatcher.ingest(tenant, event(key="e-1"))
    assert again.created
    assert await count_runs(database, tenant) == 1


@pytest.mark.parametrize(
    ("pattern", "name", "meets"),
    [
        ("order.created", "order.created", True),
        ("order.*", "order.created", True),
        ("*", "anything", True),
        ("*.created", "order.created", True),
        ("order.*.paid", "order.eu.paid", True),
        ("order.*", "orders.created", False),
        ("order_created", "orderXcreated", False),
        ("100%", "100 percent", False),
        ("a\\*", "a\\b", True),
    ],
)
async def test_a_star_stands_for_any_text(publish, dispatcher, tenant, pattern, name, meets):
    await publish("ship", on(pattern))
    assert bool((await dispatcher.ingest(tenant, event(name))).run_ids) is meets


@pytest.mark.parametrize(
    ("config", "starts"),
    [
        ({"condition": "amount > 10"}, True),
        ({"condition": "event.amount > 100"}, False),
        ({"condition": "{{event.payload.amount > 10 && event.source == 'shop'}}"}, True),
        ({"rule": {"==": [{"var": "order_id"}, "o-1"]}}, True),
        ({"rule": {"==": [{"var": "event.type"}, "order.created"]}}, True),
        ({"rule": {"==": [{"var": "event.payload.order_id"}, "o-2"]}}, False),
        ({"rule": {">": [{"var": "amount"}, 10]}, "condition": "amount > 100"}, False),
        ({"source": "shop"}, True),
        ({"source": "elsewhere"}, False),
    ],
)
async def test_its_rule_and_condition_decide(publish, dispatcher, tenant, config, starts):
    await publish("ship", on(**config))
    assert bool((await dispatcher.ingest(tenant, event())).run_ids) is starts


async def test_why_a_trigger_did_not_start_is_kept(publish, dispatcher, database, tenant):
    await publish("ship", on(rule={">": [{"var": "amount"}, 100]}))
    done = await dispatcher.ingest(tenant, event())
    async with database.session(tenant) as session:
        [delivery] = await events.deliveries(session, tenant, done.event_id)
    assert (delivery.status, delivery.run_id) == ("no_match", None)
    assert delivery.explain["passed"] is False
    assert "20" in str(delivery.explain["reads"])


async def test_the_input_is_what_the_trigger_makes_of_the_event(publish, dispatcher, database, tenant):
    template = {"id": "{{event.order_id}}", "text": "{{event.type}} of {{event.source}}", "amount": "{{amount}}"}
    await publish("ship", on(input=template))
    [run_id] = (await dispatcher.ingest(tenant, event())).run_ids
    run = await run_of(database, tenant, run_id)
    assert run.input == {"id": "o-1", "text": "order.created of shop", "amount": 20}


async def test_braces_in_an_event_stay_text(publish, dispatcher, database, tenant):
    await publish("ship", on(input={"note": "{{event.note}}"}))
    [run_id] = (await dispatcher.ingest(tenant, event(payload={"note": "{{$secret.KEY}} ${input.x}"}))).run_ids
    assert (await run_of(database, tenant, run_id)).input == {"note": "{{$secret.KEY}} ${input.x}"}


async def test_one_key_starts_one_run_ever(publish, dispatcher, database, tenant, delivered):
    await publish("ship", on(key="{{event.order_id}}"))
    first = await dispatcher.ingest(tenant, event())
    second = await dispatcher.ingest(tenant, event())
    other = await dispatcher.ingest(tenant, event(payload={"order_id": "o-2"}))
    assert (len(first.run_ids), second.run_ids, len(other.run_ids)) == (1, [], 1)
    assert await delivered(second.event_id) == [("ship", "duplicate")]


@pytest.mark.parametrize("empty", [None, "", "  "])
async def test_an_empty_key_is_no_key(publish, dispatcher, tenant, delivered, empty):
    await publish("ship", on(key="{{event.order_id}}"))
    done = await dispatcher.ingest(tenant, event(payload={"order_id": empty}))
    assert await delivered(done.event_id) == [("ship", "failed")]


async def test_a_webhook_is_not_taken_for_an_event_that_somebody_sent_under_its_source_and_key(dispatcher, tenant):
    sent = await dispatcher.ingest(tenant, event(key="evt_1", source="stripe"))
    hook = await dispatcher.ingest(tenant, event(key="evt_1", source="stripe", kind=EventKind.WEBHOOK))
    assert hook.created
    assert hook.event_id != sent.event_id


async def test_the_payloads_id_is_not_hidden_by_the_events_own(publish, dispatcher, database, tenant):
    template = {"id": "{{event.id}}", "key": "{{event.key}}", "own": "{{event.event_key}}"}
    await publish("ship", on(input=template))
    [run_id] = (await dispatcher.ingest(tenant, event(key="e-1", payload={"id": 7, "key": "k"}))).run_ids
    assert (await run_of(database, tenant, run_id)).input == {"id": 7, "key": "k", "own": "e-1"}


async def test_a_number_and_a_text_are_unequal_and_no_fault(publish, dispatcher, tenant, delivered):
    await publish("ship", on(rule={"==": [{"var": "amount"}, "many"]}))
    done = await dispatcher.ingest(tenant, event())
    assert await delivered(done.event_id) == [("ship", "no_match")]


async def test_a_trigger_that_fails_keeps_no_other_from_the_event(publish, dispatcher, tenant, delivered):
    schema = {"type": "object", "required": ["colour"], "properties": {"colour": {"type": "string"}}}
    await publish("paint", on(), input=schema)
    await publish("ship", on(input={"id": "{{event.no_such_thing}}"}))
    await publish("bill", on())
    done = await dispatcher.ingest(tenant, event())
    assert (done.status, len(done.run_ids)) == (EventStatus.DEAD, 1)
    assert sorted(await delivered(done.event_id)) == [("bill", "started"), ("paint", "failed"), ("ship", "failed")]


async def test_a_replay_asks_only_the_triggers_that_have_not_succeeded(
    publish, dispatcher, database, tenant, delivered
):
    await publish("ship", on(input={"id": "{{event.no_such_thing}}"}))
    await publish("bill", on())
    dead = await dispatcher.ingest(tenant, event())
    await publish("ship", on(input={"id": "{{event.order_id}}"}))
    replayed = await dispatcher.replay(tenant, dead.event_id)
    assert (replayed.status, len(replayed.run_ids)) == (EventStatus.DISPATCHED, 1)
    assert sorted(await delivered(dead.event_id)) == [("bill", "started"), ("ship", "started")]
    assert (await dispatcher.replay(tenant, dead.event_id)).run_ids == []
    assert await count_runs(database, tenant) == 2
    async with database.session(tenant) as session:
        found, total = await events.page(session, tenant, EventFilter(status="dead"), limit=10, offset=0)
    assert (list(found), total) == ([], 0)


async def test_another_tenants_event_cannot_be_replayed(dispatcher, tenant, other_tenant):
    done = await dispatcher.ingest(tenant, event())
    with pytest.raises(NotFound):
        await dispatcher.replay(other_tenant, done.event_id)


async def test_triggers_of_other_tenants_do_not_see_an_event(publish, publisher, dispatcher, other_tenant, tenant):
    await publisher.publish(other_tenant, definition("spy", on("*")))
    assert (await dispatcher.ingest(tenant, event())).run_ids == []


async def test_a_new_version_replaces_the_triggers_of_the_old_one(publish, dispatcher, tenant):
    await publish("ship", on("order.created"), on("order.paid"))
    await publish("ship", on("order.packed"))
    started = {
        name: bool((await dispatcher.ingest(tenant, event(name))).run_ids)
        for name in ("order.created", "order.paid", "order.packed")
    }
    assert started == {"order.created": False, "order.paid": False, "order.packed": True}


async def test_a_process_that_is_switched_off_or_deleted_starts_nothing(publish, publisher, dispatcher, tenant):
    published = await publish("ship", on())
    await publisher.set_active(tenant, published.definition.id, is_active=False)
    assert (await dispatcher.ingest(tenant, event())).run_ids == []
    await publisher.set_active(tenant, published.definition.id, is_active=True)
    assert len((await dispatcher.ingest(tenant, event())).run_ids) == 1
    await publisher.delete(tenant, published.definition.id)
    assert (await dispatcher.ingest(tenant, event())).run_ids == []


async def test_webhook_triggers_meet_webhooks_of_their_source(publish, dispatcher, tenant):
    await publish("access", {"type": "webhook", "config": {"path": "stripe", "event": "checkout.*"}})
    hook = {"kind": EventKind.WEBHOOK, "source": "stripe"}
    assert len((await dispatcher.ingest(tenant, event("checkout.session.completed", **hook))).run_ids) == 1
    assert (await dispatcher.ingest(tenant, event("invoice.paid", **hook))).run_ids == []
    assert (await dispatcher.ingest(tenant, event("checkout.session.completed"))).run_ids == []


@pytest.mark.parametrize(
    ("signal", "payload", "starts"),
    [
        ("post_save", {"signal": "post_save", "created": True}, True),
        ("post_save", {"signal": "post_save", "created": False}, True),
        ("created", {"signal": "post_save", "created": False}, False),
        ("updated", {"signal": "post_save", "created": False}, True),
        ("post_delete", {"signal": "post_delete", "created": False}, True),
        ("post_delete", {"signal": "post_save", "created": False}, False),
    ],
)
async def test_signal_triggers_meet_changes_of_their_model(publish, dispatcher, tenant, signal, payload, starts):
    await publish("welcome", {"type": "signal", "config": {"model": "auth.User", "signal": signal}})
    change = event("auth.User.x", kind=EventKind.ROW, payload={"model": "auth.User", **payload})
    assert bool((await dispatcher.ingest(tenant, change)).run_ids) is starts
    other = event("auth.Group.x", kind=EventKind.ROW, payload={"model": "auth.Group", **payload})
    assert (await dispatcher.ingest(tenant, other)).run_ids == []


async def test_a_payload_that_is_too_large_is_refused(dispatcher, tenant):
    with pytest.raises(TooLarge):
        await dispatcher.ingest(tenant, event(payload={"text": "x" * 1_000_001}))


async def test_an_unknown_tenant_is_refused(dispatcher):
    with pytest.raises(NotFound):
        await dispatcher.ingest("nobody", event())


async def test_trying_out_tells_what_would_happen_and_does_nothing(publish, dispatcher, database, tenant):
    await publish("ship", on(condition="amount > 10", key="{{event.order_id}}"))
    await publish("bill", on(condition="amount > 100"))
    traces = {trace.process: trace for trace in await dispatcher.try_out(tenant, event())}
    assert (traces["ship"].status, traces["ship"].key, traces["ship"].explain["passed"]) == ("started", "o-1", True)
    assert (traces["bill"].status, traces["bill"].explain["passed"]) == ("no_match", False)
    assert await count_runs(database, tenant) == 0


async def test_triggers_that_people_made_go_with_their_process(publish, publisher, dispatcher, database, tenant):
    published = await publish("ship")
    async with database.session(tenant) as session:
        config = {"event": "order.created"}
        session.add(TriggerRow(tenant_id=tenant, process="ship", type="event", pattern="order.created", config=config))
    assert len((await dispatcher.ingest(tenant, event())).run_ids) == 1
    await publisher.delete(tenant, published.definition.id)
    await publish("ship")
    assert (await dispatcher.ingest(tenant, event())).run_ids == []


@pytest.mark.parametrize(
    ("name", "process"),
    [
        ("lead.qualified", "lead_to_customer_onboarding"),
        ("quote.accepted", "quote_accepted_to_order"),
        ("partner.customer.created", "partner_customer_provisioning"),
        ("subscription.expiring_soon", "customer_renewal_process"),
        ("subscription.expiring", "customer_renewal_process"),
        ("ticket.installation_approved", "isp_ticket_to_deployment"),
        ("isp.installation.scheduled", "isp_ticket_to_deployment"),
    ],
)
async def test_a_domain_event_starts_its_process_under_its_older_name_too(
    publish, dispatcher, database, tenant, name, process
):
    await publish("lead_to_customer_onboarding", on("lead.qualified"))
    await publish("quote_accepted_to_order", on("quote.accepted"))
    await publish("partner_customer_provisioning", on("partner.customer.created"))
    await publish("customer_renewal_process", on("subscription.expiring_soon"))
    await publish("isp_ticket_to_deployment", on("ticket.installation_approved"))
    [run_id] = (await dispatcher.ingest(tenant, event(name))).run_ids
    assert (await run_of(database, tenant, run_id)).process == process
