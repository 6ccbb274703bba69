"""Schedules on a real Temporal server, each test with a database of its own."""

import asyncio
import dataclasses
import os
import uuid
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleSpec,
    ScheduleUpdate,
)
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import PayloadCodec
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.runs import Runs as RunActivities
from control.notifications import Notifications
from control.publishing import Publisher
from control.schedule_reconciler import ScheduleReconciler
from control.schedules import Schedules
from control.scheduling import Wanted
from domain import ids
from domain.actions import Catalogue
from domain.errors import Conflict, InputInvalid, NotFound, Unavailable
from domain.schedules import read_timing
from domain.triggers import ScheduleConfig
from store import schedules as rows
from store.database import ALL_TENANTS, Database
from store.runs import RunFilter
from store.runs import page as runs_page
from tests.control.conftest import make_tenant
from tests.embedded import create_database, drop_database
from workflows.process import Process

DAILY = ScheduleConfig(cron="0 8 * * *", timezone="Europe/Berlin")
HOURLY = ScheduleConfig(every="1h")


@pytest.fixture
async def database(fresh_database_url):
    database = Database(fresh_database_url)
    yield database
    await database.close()


@pytest.fixture
async def notifications(fresh_database_url):
    notifications = Notifications(fresh_database_url)
    await notifications.start()
    yield notifications
    await notifications.close()


@pytest.fixture
def publisher(database):
    return Publisher(database, {})


@pytest.fixture
def schedules(database, temporal_client, task_queue):
    return Schedules(database, temporal_client, task_queue)


@pytest.fixture
def reconciler(database, temporal_client, notifications, task_queue):
    return ScheduleReconciler(database, temporal_client, notifications, task_queue)


@pytest.fixture
async def tick(publisher, tenant):
    """The tenant's process ``tick``, of which only people have made schedules."""
    return await publisher.publish(tenant, definition())


def definition(*triggers, name="tick", **more):
    return {
        "name": name,
        "input": {"type": "object", "properties": {"who": {"type": "string"}, "times": {"type": "integer"}}},
        "triggers": [{"type": "schedule", "config": config} for config in triggers],
        "steps": [{"name": "done", "type": "transform", "set": {"who": "{{default(input.who, 'nobody')}}"}}],
        "output": {"said": "{{steps.done.output}}"},
        **more,
    }


async def installation(database):
    async with database.session(ALL_TENANTS) as session:
        return await rows.installation(session)


async def on_temporal(database, temporal_client, *, count=None):
    """This database's schedules on Temporal, once there are ``count``: the list lags behind."""
    prefix = ids.schedules_of(await installation(database))
    async with asyncio.timeout(30):
        while True:
            listed = await temporal_client.list_schedules(f"ScheduleId STARTS_WITH '{prefix}'")
            found = {entry.id.removeprefix(prefix) async for entry in listed}
            if count is None or len(found) == count:
                return found
            await asyncio.sleep(0.05)


async def described(database, temporal_client, tenant, schedule):
    schedule_id = ids.schedule_id(await installation(database), tenant, schedule)
    return await temporal_client.get_schedule_handle(schedule_id).describe()


async def until(condition):
    """The first truthy value of ``condition``."""
    async with asyncio.timeout(30):
        while True:
            if value := await condition():
                return value
            await asyncio.sleep(0.05)


def worker(database, temporal_client, task_queue):
    """A worker that runs definitions without actions."""
    runs = RunActivities(database, Catalogue([]), "default")
    return Worker(
        temporal_client,
        task_queue=task_queue,
        workflows=[Process],
        activities=[runs.begin, runs.load, runs.effects, runs.update, runs.finish],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )


async def ended_runs(database, tenant, count):
    async def enough():
        async with database.session(tenant) as session:
            found, _ = await runs_page(session, tenant, RunFilter(status="completed"), limit=100, offset=0, steps=False)
        return found if len(found) >= count else None

    return await until(enough)


@pytest.mark.usefixtures("tick")
async def test_a_schedule_comes_to_temporal_as_its_row_says_and_is_then_left_alone(
    database, temporal_client, tenant, schedules, reconciler, task_queue
):
    config = ScheduleConfig(
        cron="*/20 6-18 1,15 JAN-MAR,12 *",
        timezone="Europe/Berlin",
        overlap="buffer_one",
        catchup_window="10m",
        jitter="30s",
        input={"who": "Ada"},
    )
    record = await schedules.create(tenant, "tick", config, note="for Ada", by="ann")
    assert await reconciler.reconcile_once() == 1
    found = await described(database, temporal_client, tenant, record.id)
    assert found.schedule.spec.time_zone_name == "Europe/Berlin"
    assert found.schedule.spec.jitter == timedelta(seconds=30)
    assert found.schedule.policy.overlap.name == "BUFFER_ONE"
    assert found.schedule.policy.catchup_window == timedelta(minutes=10)
    assert (found.schedule.action.workflow, found.schedule.action.task_queue) == ("tick", task_queue)
    assert found.schedule.state.note == "for Ada"
    assert not found.schedule.state.paused
    assert await reconciler.reconcile_once() == 0
    assert (await described(database, temporal_client, tenant, record.id)).info.last_updated_at is None


class Sealing(PayloadCodec):
    """Makes every payload another one each time, as encryption does."""

    async def encode(self, payloads):
        return [
            Payload(metadata={"encoding": b"test/sealed"}, data=os.urandom(12) + payload.SerializeToString())
            for payload in payloads
        ]

    async def decode(self, payloads):
        return [Payload.FromString(payload.data[12:]) for payload in payloads]


async def test_encrypted_schedules_are_left_alone_and_put_back_all_the_same(
    database, temporal_client, tenant, tick, notifications, task_queue
):
    sealed = dataclasses.replace(pydantic_data_converter, payload_codec=Sealing())
    client = await Client.connect(temporal_client.service_client.config.target_host, data_converter=sealed)
    reconciler = ScheduleReconciler(database, client, notifications, task_queue)
    schedules = Schedules(database, client, task_queue)
    record = await schedules.create(tenant, "tick", DAILY.model_copy(update={"input": {"who": "Ada"}}))
    assert [await reconciler.reconcile_once(), await reconciler.reconcile_once()] == [1, 0]
    schedule_id = ids.schedule_id(await installation(database), tenant, record.id)
    found = await client.get_schedule_handle(schedule_id).describe()
    assert found.schedule.action.args[0].metadata["encoding"] == b"test/sealed"

    def forged(given):
        given.description.schedule.action.args = [{"who": "Mallory"}]
        return ScheduleUpdate(given.description.schedule)

    await client.get_schedule_handle(schedule_id).update(forged)
    assert await reconciler.reconcile_once() == 1


async def test_publishing_another_version_moves_the_schedule_and_deleting_the_process_removes_it(
    database, temporal_client, tenant, publisher, schedules, reconciler
):
    published = await publisher.publish(tenant, definition({"cron": "0 8 * * *"}, {"every": "1h"}))
    await reconciler.reconcile_once()
    assert len(await on_temporal(database, temporal_client, count=2)) == 2
    first, second = await schedules.list(tenant)
    await publisher.publish(tenant, definition({"cron": "30 9 * * *"}))
    await reconciler.reconcile_once()
    assert await on_temporal(database, temporal_client, count=1) == {f"{tenant}:{first.id}"}
    moved = await described(database, temporal_client, tenant, first.id)
    assert [moved.schedule.spec.calendars[0].hour[0].start, moved.schedule.spec.calendars[0].minute[0].start] == [9, 30]
    with pytest.raises(NotFound):
        await schedules.get(tenant, second.id)
    await publisher.delete(tenant, published.definition.id)
    await reconciler.reconcile_once()
    assert await on_temporal(database, temporal_client, count=0) == set()


async def test_what_somebody_changed_paused_or_deleted_on_temporal_is_put_back(
    database, temporal_client, tenant, tick, schedules, reconciler
):
    records = [await schedules.create(tenant, "tick", DAILY) for _ in range(3)]
    await reconciler.reconcile_once()
    prefix = ids.schedules_of(await installation(database))
    changed, paused, deleted = (temporal_client.get_schedule_handle(f"{prefix}{tenant}:{each.id}") for each in records)

    async def faster(given):
        given.description.schedule.spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta(hours=1))])
        given.description.schedule.action.args = [{"who": "Mallory"}]
        return ScheduleUpdate(given.description.schedule)

    await changed.update(faster)
    await paused.pause(note="by hand")
    await deleted.delete()
    assert await reconciler.reconcile_once() == 3
    for record in records:
        found = await described(database, temporal_client, tenant, record.id)
        assert found.schedule.spec.calendars[0].comment == "0 8 * * *"
        assert found.schedule.spec.intervals == []
        assert (await temporal_client.data_converter.decode(found.schedule.action.args)) == [{}]
        assert not found.schedule.state.paused
    assert await reconciler.reconcile_once() == 0


async def test_schedules_of_triggers_that_are_gone_are_deleted_and_those_of_other_databases_are_not(
    database, temporal_client, tenant, tick, schedules, reconciler, task_queue
):
    record = await schedules.create(tenant, "tick", DAILY)
    await reconciler.reconcile_once()
    theirs = ids.schedule_id(uuid.uuid4().hex[:12], tenant, record.id)
    action = ScheduleActionStartWorkflow("tick", id="theirs", task_queue=task_queue)
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta(days=1))])
    other = await temporal_client.create_schedule(theirs, Schedule(action, spec))
    assert len(await on_temporal(database, temporal_client, count=1)) == 1
    await schedules.delete(tenant, record.id)
    assert await reconciler.reconcile_once() == 1
    with pytest.raises(RPCError):
        await described(database, temporal_client, tenant, record.id)
    assert (await other.describe()).id == theirs
    await other.delete()


async def test_a_copy_of_a_database_leaves_the_schedules_of_the_original_alone(
    database, temporal_client, tenant, tick, schedules, reconciler, notifications, postgres_url, task_queue
):
    await schedules.create(tenant, "tick", DAILY)
    await reconciler.reconcile_once()
    name = f"copy_{uuid.uuid4().hex}"
    copy = Database(create_database(postgres_url, name))
    try:
        async with copy.session(ALL_TENANTS) as session, database.session(ALL_TENANTS) as original:
            drawn = [
                (await each.execute(text("SELECT id FROM installation"))).scalar_one() for each in (session, original)
            ]
        assert drawn[0] == drawn[1]
        assert await ScheduleReconciler(copy, temporal_client, notifications, task_queue).reconcile_once() == 0
    finally:
        await copy.close()
        drop_database(postgres_url, name)
    assert len(await on_temporal(database, temporal_client, count=1)) == 1


async def test_several_reconcilers_at_once_make_each_schedule_once(
    database, temporal_client, tenant, tick, schedules, notifications, task_queue
):
    for _ in range(5):
        await schedules.create(tenant, "tick", HOURLY)
    all_of_them = [ScheduleReconciler(database, temporal_client, notifications, task_queue) for _ in range(4)]
    done = await asyncio.gather(*(each.reconcile_once() for each in all_of_them))
    assert sum(done) == 5
    assert len(await on_temporal(database, temporal_client, count=5)) == 5
    for record in (await schedules.list(tenant))[:3]:
        await schedules.delete(tenant, record.id)
    await asyncio.gather(*(each.reconcile_once() for each in all_of_them))
    assert len(await on_temporal(database, temporal_client, count=2)) == 2


async def test_a_running_reconciler_is_woken_by_every_change(
    database, temporal_client, tenant, tick, schedules, reconciler, publisher
):
    task = asyncio.create_task(reconciler.run_forever(poll_seconds=600))
    record = await schedules.create(tenant, "tick", DAILY)

    async def paused():
        try:
            return (await described(database, temporal_client, tenant, record.id)).schedule.state
        except RPCError:
            return None

    assert not (await until(paused)).paused
    await schedules.pause(tenant, record.id, "holidays")
    await until(lambda: _is(paused, paused=True, note="holidays"))
    await schedules.resume(tenant, record.id, "back again")
    await until(lambda: _is(paused, paused=False, note="back again"))
    await publisher.set_active(tenant, tick.definition.id, is_active=False)
    await until(lambda: _is(paused, paused=True, note="the process tick is switched off or gone"))
    task.cancel()


async def _is(state, **wanted):
    found = await state()
    return found is not None and all(getattr(found, name) == value for name, value in wanted.items())


@pytest.fixture
async def nightly(publisher):
    """A built-in process with a schedule, for as long as the test takes: every tenant has it."""
    published = await publisher.publish(ids.BUILTIN_TENANT, definition({"every": "1d"}, name="nightly"))
    yield
    await publisher.delete(ids.BUILTIN_TENANT, published.definition.id)


async def test_a_built_in_processs_schedule_runs_for_every_tenant_that_has_not_replaced_it(
    database, temporal_client, tenant, other_tenant, publisher, nightly, schedules, reconciler
):
    await reconciler.reconcile_once()
    everyone = {each.rsplit(":", 1)[0] for each in await on_temporal(database, temporal_client)}
    assert {tenant, other_tenant} <= everyone
    later = await make_tenant(database)
    await publisher.publish(tenant, definition(name="nightly"))
    await reconciler.reconcile_once()
    expected = (everyone | {later}) - {tenant}
    found = await on_temporal(database, temporal_client, count=len(expected))
    assert {each.rsplit(":", 1)[0] for each in found} == expected
    assert await schedules.list(tenant) == []
    (theirs,) = await schedules.list(other_tenant)
    with pytest.raises(Conflict, match="built in"):
        await schedules.pause(other_tenant, theirs.id)


async def test_run_now_starts_a_run_of_the_tenant_with_the_schedules_input(
    database, temporal_client, tenant, tick, schedules, task_queue
):
    config = DAILY.model_copy(update={"input": {"who": "Ada"}})
    record = await schedules.create(tenant, "tick", config)
    await schedules.pause(tenant, record.id)
    async with worker(database, temporal_client, task_queue):
        await schedules.run_now(tenant, record.id)
        (run,) = await ended_runs(database, tenant, 1)
    assert run.process == "tick"
    assert (run.trigger_type, run.trigger_source) == ("scheduled", f"schedule {record.id}")
    assert run.input == {"who": "Ada"}
    assert run.result == {"said": {"who": "Ada"}}
    workflow = await temporal_client.get_workflow_handle(run.workflow_id).describe()
    attributes = {pair.key.name: pair.value for pair in workflow.typed_search_attributes}
    assert (attributes[ids.SEARCH_TENANT], attributes[ids.SEARCH_TRIGGER]) == (tenant, "scheduled")

    async def told():
        found = await schedules.describe(tenant, record.id)
        return found if found.last_runs and found.last_runs[0].run_id else None

    found = await until(told)
    assert [(each.run_id, each.status) for each in found.last_runs] == [(run.id, "completed")]
    assert found.next_runs == []


async def test_a_schedule_that_is_due_starts_runs_by_itself(
    database, temporal_client, tenant, tick, schedules, reconciler, task_queue
):
    await schedules.create(tenant, "tick", ScheduleConfig(every="1s", overlap="allow_all"))
    await reconciler.reconcile_once()
    async with worker(database, temporal_client, task_queue):
        runs = await ended_runs(database, tenant, 2)
    assert len({run.workflow_id for run in runs}) == len(runs)


async def test_backfill_starts_each_run_that_was_due_both_ends_included(
    database, temporal_client, tenant, tick, schedules, task_queue
):
    record = await schedules.create(tenant, "tick", HOURLY)
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    async with worker(database, temporal_client, task_queue):
        assert await schedules.backfill(tenant, record.id, end - timedelta(hours=3), end) == 4
        runs = await ended_runs(database, tenant, 4)
    due = {run.workflow_id[-20:] for run in runs}
    assert due == {f"{end - timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}" for hours in range(4)}


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        (timedelta(hours=-1), timedelta(hours=-2), "before it starts"),
        (timedelta(hours=-1), timedelta(hours=1), "future"),
        (timedelta(days=-60), timedelta(), "more than 1000 runs"),
    ],
)
async def test_a_backfill_that_makes_no_sense_is_refused(tenant, tick, schedules, start, end, reason):
    record = await schedules.create(tenant, "tick", HOURLY)
    now = datetime.now(UTC)
    with pytest.raises(InputInvalid, match=reason):
        await schedules.backfill(tenant, record.id, now + start, now + end)


@pytest.mark.parametrize(
    "config",
    [
        {"cron": "0 8 * * 1-5", "timezone": "Europe/Berlin"},
        {"cron": "*/7 */5 * * *"},
        {"cron": "5/15 8-18/2 * * MON,WED,7", "timezone": "America/New_York"},
        {"cron": "0 0 29 2 *", "timezone": "Asia/Kolkata"},
        {"cron": "30 6 1,15,31 JAN-MAR,12 *", "timezone": "Australia/Sydney"},
        {"cron": "@monthly", "timezone": "Pacific/Auckland"},
        {"every": "1h30m"},
        {"every": "7d"},
    ],
)
@pytest.mark.usefixtures("tick")
async def test_the_previewed_times_are_those_of_temporal(tenant, schedules, config):
    record = await schedules.create(tenant, "tick", ScheduleConfig(**config))
    found = await schedules.describe(tenant, record.id)
    before = found.next_runs[0] - timedelta(seconds=1)
    assert list(found.next_runs) == read_timing(ScheduleConfig(**config)).next_times(before)


async def test_a_time_that_the_clock_skips_in_spring_is_left_out_in_the_preview_as_on_temporal(
    database, temporal_client, tenant, tick, schedules, task_queue
):
    config = ScheduleConfig(cron="30 2 * * *", timezone="Europe/Berlin")
    record = await schedules.create(tenant, "tick", config)
    wanted = Wanted.of(record, uuid.uuid4().hex[:12], task_queue)
    start = datetime(2032, 3, 26, tzinfo=UTC)
    spec = dataclasses.replace(wanted.schedule.spec, start_at=start)
    handle = await temporal_client.create_schedule(wanted.id, dataclasses.replace(wanted.schedule, spec=spec))
    theirs = (await handle.describe()).info.next_action_times[:4]
    await handle.delete()
    assert list(theirs) == read_timing(config).next_times(start, 4)
    assert [each.astimezone(ZoneInfo("Europe/Berlin")).day for each in theirs] == [26, 27, 29, 30]


async def test_a_schedule_of_a_definition_is_changed_by_publishing_only(tenant, publisher, schedules):
    await publisher.publish(tenant, definition({"cron": "0 8 * * *"}))
    (record,) = await schedules.list(tenant)
    with pytest.raises(Conflict, match="publish"):
        await schedules.change(tenant, record.id, {"cron": "0 9 * * *"})
    with pytest.raises(Conflict, match="publish"):
        await schedules.delete(tenant, record.id)
    await schedules.pause(tenant, record.id, "holidays")
    await publisher.publish(tenant, definition({"cron": "30 8 * * *"}))
    (moved,) = await schedules.list(tenant)
    assert (moved.id, moved.is_active, moved.note) == (record.id, False, "holidays")
    assert moved.config["cron"] == "30 8 * * *"


async def test_changing_a_schedule_keeps_what_is_not_named_and_every_takes_the_place_of_cron(tenant, tick, schedules):
    record = await schedules.create(tenant, "tick", ScheduleConfig(cron="0 8 * * *", overlap="allow_all"))
    changed = await schedules.change(tenant, record.id, {"every": "2h"})
    assert (changed.config.get("cron"), changed.config["every"], changed.config["overlap"]) == (None, "2h", "allow_all")
    back = await schedules.change(tenant, record.id, {"overlap": None})
    assert back.config["overlap"] == "skip"
    with pytest.raises(InputInvalid, match="/cron"):
        await schedules.change(tenant, record.id, {"cron": "0 8 L * *"})


async def test_an_input_that_the_process_would_refuse_is_refused_now(tenant, tick, schedules):
    with pytest.raises(InputInvalid, match="/input/times"):
        await schedules.create(tenant, "tick", DAILY.model_copy(update={"input": {"times": "often"}}))
    with pytest.raises(NotFound):
        await schedules.create(tenant, "absent", DAILY)


async def test_a_tenant_never_reaches_the_schedules_of_another(tenant, other_tenant, tick, schedules):
    record = await schedules.create(tenant, "tick", DAILY)
    assert await schedules.list(other_tenant) == []
    for command in (schedules.get, schedules.describe, schedules.delete, schedules.pause, schedules.run_now):
        with pytest.raises(NotFound):
            await command(other_tenant, record.id)
    with pytest.raises(NotFound):
        await schedules.change(other_tenant, record.id, {"cron": "0 9 * * *"})


async def test_without_temporal_schedules_are_made_and_paused_and_only_the_rest_waits(
    database, tenant, tick, task_queue
):
    nowhere = await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter)
    schedules = Schedules(database, nowhere, task_queue)
    record = await schedules.create(tenant, "tick", DAILY)
    assert not (await schedules.pause(tenant, record.id)).is_active
    for command in (schedules.describe, schedules.run_now):
        with pytest.raises(Unavailable):
            await command(tenant, record.id)


async def test_one_schedule_that_cannot_be_understood_keeps_no_other_from_temporal(
    database, temporal_client, tenant, tick, schedules, reconciler
):
    broken = await schedules.create(tenant, "tick", DAILY)
    sound = await schedules.create(tenant, "tick", DAILY)
    async with database.session(tenant) as session:
        await rows.update(session, tenant, broken.id, config={"cron": "0 0 31 2 *"})
    assert await reconciler.reconcile_once() == 1
    assert await on_temporal(database, temporal_client, count=1) == {f"{tenant}:{sound.id}"}
