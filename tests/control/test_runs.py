"""Accepting, finding, waiting for and viewing runs: what Postgres alone can answer."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from control.accepting import MAX_INPUT_BYTES
from control.notifications import Notifications
from control.runs import Runs
from domain import ids
from domain.errors import Conflict, InputInvalid, NotFound, TooLarge, Unavailable
from domain.messages import ResolveStep
from store import lifecycle
from store.database import ALL_TENANTS
from store.runs import RunFilter
from store.tables.base import now
from tests.control.conftest import definition


async def begin(database, run):
    async with database.session(ALL_TENANTS) as session:
        await lifecycle.begin(
            session, run_id=run.id, workflow_id=run.workflow_id, temporal_run_id="first", started_at=now()
        )


async def finish(database, run, status="completed", **end):
    values = {"result": None, "error": None, "steps": [], "finished_at": now(), **end}
    async with database.session(ALL_TENANTS) as session:
        await lifecycle.finish(session, tenant=run.tenant_id, run_id=run.id, end={"status": status, **values})


@pytest.fixture
async def runs_without_temporal(database, notifications, task_queue):
    nowhere = await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter)
    return Runs(database, nowhere, notifications, task_queue)


async def test_an_accepted_run_is_a_pending_row_with_its_defaults_filled_in(runs, tenant, process, task_queue):
    accepted = await runs.accept(tenant, "greet", {"who": "Ada"}, trigger_source="test")

    stored = await runs.get(tenant, accepted.run.id)
    assert accepted.created
    assert stored.model_dump() == accepted.run.model_dump()
    assert stored.status == "pending"
    assert stored.input == {"who": "Ada", "polite": True}
    assert stored.workflow_id == ids.workflow_id("greet", tenant, stored.id)
    assert (stored.definition_id, stored.digest) == (process.definition.id, process.version.digest)
    assert (stored.task_queue, stored.trigger_type, stored.trigger_source) == (task_queue, "api", "test")


async def test_accepting_needs_no_temporal(runs_without_temporal, tenant, process):
    accepted = await runs_without_temporal.accept(tenant, "greet", {"who": "Ada"})

    assert (await runs_without_temporal.view(tenant, accepted.run.id)).status == "pending"


async def test_accepting_wakes_the_starters(runs, notifications, tenant, process, task_queue):
    with notifications.listen(ids.CHANNEL_RUN_PENDING, task_queue) as wake_up:
        await runs.accept(tenant, "greet", {"who": "Ada"})
        assert await wake_up.wait(10)


async def test_an_input_that_does_not_fit_is_refused_with_pointers(runs, tenant, process):
    with pytest.raises(InputInvalid) as refused:
        await runs.accept(tenant, "greet", {"who": 7, "polite": "yes"})

    assert {fault.path for fault in refused.value.faults} == {"/who", "/polite"}
    assert await runs.list(tenant) == ([], 0)


async def test_an_input_over_the_limit_is_refused(runs, tenant, process):
    with pytest.raises(TooLarge) as refused:
        await runs.accept(tenant, "greet", {"who": "x" * MAX_INPUT_BYTES})

    assert refused.value.limit == MAX_INPUT_BYTES


async def test_an_unknown_process_is_not_found_and_close_names_are_told(runs, tenant, process):
    with pytest.raises(NotFound) as refused:
        await runs.accept(tenant, "great", {})

    assert refused.value.close == ("greet",)


async def test_a_name_that_no_process_can_have_is_not_found(runs, tenant):
    with pytest.raises(NotFound):
        await runs.accept(tenant, "no\0name", {})


async def test_a_process_that_is_switched_off_starts_no_runs(runs, publisher, tenant, process):
    await publisher.set_active(tenant, process.definition.id, is_active=False)

    with pytest.raises(NotFound, match="switched off"):
        await runs.accept(tenant, "greet", {"who": "Ada"})


async def test_an_unknown_tenant_is_not_found(runs, publisher):
    await publisher.publish("nobody", definition())

    with pytest.raises(NotFound, match="tenant 'nobody'"):
        await runs.accept("nobody", "greet", {"who": "Ada"})


async def test_a_run_can_ask_for_an_earlier_version_by_label_or_digest(runs, publisher, tenant):
    first = await publisher.publish(tenant, definition(version="1.0.0"))
    second = await publisher.publish(tenant, definition(version="2.0.0", message="hi"))

    async def digest(version):
        return (await runs.accept(tenant, "greet", {"who": "Ada"}, version=version)).run.digest

    assert await digest(None) == second.version.digest
    assert await digest("1.0.0") == first.version.digest
    assert await digest(first.version.digest) == first.version.digest
    with pytest.raises(NotFound, match=r"1\.0\.0"):
        await digest("1.0")


async def test_the_same_key_gives_the_same_run(runs, tenant, process):
    first = await runs.accept(tenant, "greet", {"who": "Ada", "polite": False}, idempotency_key="k")
    again = await runs.accept(tenant, "greet", {"polite": False, "who": "Ada"}, idempotency_key="k")

    assert (first.created, again.created) == (True, False)
    assert again.run.id == first.run.id


async def test_two_hundred_concurrent_starts_with_one_key_make_one_run(runs, tenant, process):
    accepted = await asyncio.gather(
        *(runs.accept(tenant, "greet", {"who": "Ada"}, idempotency_key="k") for _ in range(200))
    )

    assert len({each.run.id for each in accepted}) == 1
    assert sum(each.created for each in accepted) == 1
    assert (await runs.list(tenant))[1] == 1


async def test_a_key_that_was_used_with_another_input_is_a_conflict(runs, tenant, process):
    await runs.accept(tenant, "greet", {"who": "Ada"}, idempotency_key="k")

    with pytest.raises(Conflict, match="another input"):
        await runs.accept(tenant, "greet", {"who": "Bob"}, idempotency_key="k")


async def test_a_key_still_gives_its_run_when_the_process_is_gone(runs, publisher, tenant, process):
    first = await runs.accept(tenant, "greet", {"who": "Ada"}, idempotency_key="k")
    await publisher.delete(tenant, process.definition.id)

    assert (await runs.accept(tenant, "greet", {"who": "Ada"}, idempotency_key="k")).run.id == first.run.id


async def test_tenants_have_their_keys_for_themselves(runs, publisher, tenant, other_tenant, process):
    await publisher.publish(other_tenant, definition())
    mine = await runs.accept(tenant, "greet", {"who": "Ada"}, idempotency_key="k")
    theirs = await runs.accept(other_tenant, "greet", {"who": "Bob"}, idempotency_key="k")

    assert theirs.created
    assert theirs.run.id != mine.run.id


@pytest.mark.parametrize("key", ["", "x" * 256, "with\0nul", "two\nlines"])
async def test_a_key_that_cannot_be_kept_is_refused(runs, tenant, process, key):
    with pytest.raises(InputInvalid, match="idempotency key"):
        await runs.accept(tenant, "greet", {"who": "Ada"}, idempotency_key=key)


async def test_another_tenants_run_is_not_found(runs, tenant, other_tenant, process):
    run = (await runs.accept(tenant, "greet", {"who": "Ada"})).run

    for command in (
        runs.get(other_tenant, run.id),
        runs.wait(other_tenant, run.id, 0),
        runs.view(other_tenant, run.id),
        runs.cancel(other_tenant, run.id),
        runs.signal(other_tenant, run.id, "go"),
        runs.resolve(other_tenant, run.id, ResolveStep(step="say", decision="skip")),
    ):
        with pytest.raises(NotFound):
            await command
    assert await runs.list(other_tenant) == ([], 0)
    assert (await runs.get(tenant, run.id)).status == "pending"


async def test_runs_are_listed_newest_first_in_pages_with_the_true_total(runs, tenant, process):
    made = [(await runs.accept(tenant, "greet", {"who": str(number)})).run.id for number in range(5)]

    page, total = await runs.list(tenant, limit=2, offset=1)

    assert [row.id for row in page] == [made[3], made[2]]
    assert total == 5
    assert await runs.list(tenant, offset=100) == ([], 5)


async def test_runs_are_listed_by_what_is_asked_for(runs, publisher, database, tenant, process):
    other = await publisher.publish(tenant, definition("part"))
    first = (await runs.accept(tenant, "greet", {"who": "a"}, trigger_type="manual")).run
    second = (await runs.accept(tenant, "part", {"who": "b"})).run
    await finish(database, first)

    async def listed(**wanted):
        return [row.id for row in (await runs.list(tenant, RunFilter(**wanted)))[0]]

    assert await listed(process="greet") == [first.id]
    assert await listed(definition_id=other.definition.id) == [second.id]
    assert await listed(status="completed") == [first.id]
    assert await listed(trigger_type="manual") == [first.id]
    assert await listed(since=second.created_at) == [second.id]
    assert await listed(until=second.created_at) == [first.id]
    assert await listed(since=second.created_at + timedelta(hours=1)) == []


async def test_a_listing_has_steps_only_when_asked(runs, database, tenant, process):
    run = (await runs.accept(tenant, "greet", {"who": "Ada"})).run
    await finish(database, run, steps=[{"path": "say"}])

    assert (await runs.list(tenant))[0][0].steps is None
    assert (await runs.list(tenant, steps=True))[0][0].steps == [{"path": "say"}]


async def test_waiting_ends_when_the_run_ends(runs, database, tenant, process):
    run = (await runs.accept(tenant, "greet", {"who": "Ada"})).run
    waiting = asyncio.create_task(runs.wait(tenant, run.id, 60))
    await finish(database, run, result={"said": "hello"})

    ended = await waiting

    assert (ended.status, ended.result) == ("completed", {"said": "hello"})


async def test_waiting_gives_the_row_as_it_is_when_the_time_is_over(runs, tenant, process):
    run = (await runs.accept(tenant, "greet", {"who": "Ada"})).run

    assert (await runs.wait(tenant, run.id, 0.05)).status == "pending"


async def test_waiting_needs_no_notification(database, temporal_client, database_url, tenant, process):
    deaf = Runs(database, temporal_client, Notifications(database_url), "nobody-works-here")
    run = (await deaf.accept(tenant, "greet", {"who": "Ada"})).run
    waiting = asyncio.create_task(deaf.wait(tenant, run.id or 0, 60))
    await finish(database, run)

    assert (await waiting).status == "completed"


async def test_an_ended_run_is_viewed_from_its_row(runs_without_temporal, database, tenant, process):
    runs = runs_without_temporal
    run = (await runs.accept(tenant, "greet", {"who": "Ada"})).run
    await begin(database, run)
    step = {"path": "say", "name": "say", "type": "action", "status": "failed"}
    await finish(database, run, "failed", error={"code": "TIMEOUT", "message": "too slow", "step": "say"}, steps=[step])

    view = await runs.view(tenant, run.id)

    assert view.status == "failed"
    assert (view.error.code, view.error.step) == ("TIMEOUT", "say")
    assert [each.path for each in view.steps] == ["say"]


async def test_a_run_under_way_is_viewed_from_its_row_while_temporal_is_down(
    runs_without_temporal, database, tenant, process
):
    run = (await runs_without_temporal.accept(tenant, "greet", {"who": "Ada"})).run
    await begin(database, run)

    assert (await runs_without_temporal.view(tenant, run.id)).status == "running"


async def test_a_pending_run_is_cancelled_at_once(runs_without_temporal, notifications, tenant, process):
    runs = runs_without_temporal
    run = (await runs.accept(tenant, "greet", {"who": "Ada"})).run
    waiting = asyncio.create_task(runs.wait(tenant, run.id, 60))

    cancelled = await runs.cancel(tenant, run.id)

    assert cancelled.status == "cancelled"
    assert cancelled.finished_at is not None
    assert (await waiting).status == "cancelled"


async def test_a_pending_run_that_a_starter_has_claimed_is_cancelled_and_can_not_begin(
    runs_without_temporal, database, tenant, process
):
    runs = runs_without_temporal
    run = (await runs.accept(tenant, "greet", {"who": "Ada"})).run
    async with database.session(ALL_TENANTS) as session:
        await session.execute(text("UPDATE runs SET claimed_at = now() WHERE id = :id"), {"id": run.id})

    assert (await runs.cancel(tenant, run.id)).status == "cancelled"
    await begin(database, run)
    assert (await runs.get(tenant, run.id)).status == "cancelled"


async def test_what_has_ended_takes_no_more_commands(runs, database, tenant, process):
    run = (await runs.accept(tenant, "greet", {"who": "Ada"})).run
    await finish(database, run)

    for command in (
        runs.cancel(tenant, run.id),
        runs.signal(tenant, run.id, "go"),
        runs.resolve(tenant, run.id, ResolveStep(step="say", decision="skip")),
    ):
        with pytest.raises(Conflict, match="has ended already: completed"):
            await command


async def test_what_has_not_begun_takes_signals_later(runs, tenant, process):
    run = (await runs.accept(tenant, "greet", {"who": "Ada"})).run

    with pytest.raises(Unavailable, match="not begun"):
        await runs.signal(tenant, run.id, "go")


async def test_commands_to_a_run_under_way_are_unavailable_while_temporal_is_down(
    runs_without_temporal, database, tenant, process
):
    runs = runs_without_temporal
    run = (await runs.accept(tenant, "greet", {"who": "Ada"})).run
    await begin(database, run)

    for command in (
        runs.cancel(tenant, run.id),
        runs.signal(tenant, run.id, "go"),
        runs.resolve(tenant, run.id, ResolveStep(step="say", decision="skip")),
    ):
        with pytest.raises(Unavailable):
            await command
