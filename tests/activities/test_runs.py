"""The row of a run, as the run's own activities keep it."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError

from activities.runs import Runs
from control.notifications import Notifications
from control.publishing import Publisher
from control.runs import Runs as Acceptance
from domain import ids
from domain.actions import Call, Catalogue
from domain.events import NewEvent
from domain.messages import BeginRun, ErrorInfo, FinishRun, LoadRun, RunKey, RunStatus, StartMemo, UpdateRun, WaitingOn
from domain.scope import event_seen
from store import events, ledger
from tests.activities.conftest import environment

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SCHEMA = {
    "type": "object",
    "required": ["who"],
    "properties": {"who": {"type": "string"}, "polite": {"type": "boolean", "default": True}},
}
STEPS = [
    {"name": "look", "action": "fake.read", "config": {}},
    {"name": "tell", "action": "fake.send", "config": {}, "compensate": {"action": "fake.charge", "config": {}}},
    {
        "name": "each",
        "type": "foreach",
        "items": [1],
        "steps": [{"name": "make", "action": "fake.build", "config": {}}],
    },
]


@pytest.fixture
def publisher(database, provider):
    return Publisher(database, Catalogue([provider]).infos())


@pytest.fixture
async def process(publisher, tenant):
    """The tenant's process ``greet``."""
    return await publisher.publish(tenant, {"name": "greet", "version": "1.0.0", "input": SCHEMA, "steps": STEPS})


@pytest.fixture
def runs(database, provider, tenant):
    return Runs(database, Catalogue([provider]), tenant)


@pytest.fixture
async def acceptance(database, database_url, task_queue):
    nowhere = await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter)
    return Acceptance(database, nowhere, Notifications(database_url), task_queue)


@pytest.fixture
async def accepted(acceptance, tenant, process):
    return (await acceptance.accept(tenant, "greet", {"who": "Ada"}, trigger_type="api")).run


def order_of(run, temporal_run_id="first", **memo):
    known = {"run_id": run.id, "tenant": run.tenant_id, "digest": run.digest, "accepted_at": run.created_at}
    return BeginRun(
        workflow_id=run.workflow_id,
        temporal_run_id=temporal_run_id,
        process=run.process,
        input=run.input,
        memo=StartMemo(**{**known, **memo}),
        started_at=NOW,
    )


def foreign(process="greet", value=None, workflow_id=None, **memo):
    """A run that was started on Temporal directly."""
    return BeginRun(
        workflow_id=workflow_id or f"by-hand-{uuid.uuid4().hex}",
        temporal_run_id="first",
        process=process,
        input={"who": "Ada"} if value is None else value,
        memo=StartMemo(**memo),
        started_at=NOW,
    )


async def do(activity, order, **options):
    return await environment(local=True, **options).run(activity, order)


async def refused(activity, order):
    with pytest.raises(ApplicationError) as caught:
        await do(activity, order)
    return caught.value


def finish_of(run, status=RunStatus.COMPLETED, **end):
    return FinishRun(run_id=run.id, tenant=run.tenant_id, status=status, finished_at=NOW, **end)


async def test_an_accepted_run_begins_pinned_to_its_definition(runs, acceptance, accepted, process, tenant):
    begun = await do(runs.begin, order_of(accepted))

    row = await acceptance.get(tenant, accepted.id)
    assert (row.status, row.temporal_run_id, row.started_at) == ("running", "first", NOW)
    assert (begun.run_id, begun.tenant, begun.process, begun.version) == (accepted.id, tenant, "greet", "1.0.0")
    assert begun.key == ids.run_key(accepted.id, accepted.created_at)
    assert begun.digest == process.version.digest
    assert begun.definition == process.version.body
    assert begun.input == {"who": "Ada", "polite": True}


async def test_a_run_is_told_what_its_actions_are_like_wherever_they_stand(runs, accepted):
    begun = await do(runs.begin, order_of(accepted))

    assert begun.reads == ["fake.read"]
    assert begun.once == ["fake.send"]
    assert begun.slow == ["fake.build", "fake.send"]


async def test_a_run_keeps_its_version_when_a_newer_one_is_published(runs, publisher, accepted, tenant):
    await publisher.publish(tenant, {"name": "greet", "version": "2.0.0", "steps": STEPS})

    begun = await do(runs.begin, order_of(accepted))

    assert begun.version == "1.0.0"
    load = LoadRun(tenant=tenant, process="greet", digest=begun.digest)
    assert await do(runs.load, load) == begun.definition


async def test_a_run_whose_first_workflow_task_was_lost_begins_again(runs, acceptance, accepted, tenant):
    first = await do(runs.begin, order_of(accepted))

    assert await do(runs.begin, order_of(accepted)) == first
    assert (await acceptance.get(tenant, accepted.id)).status == "running"


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED])
async def test_a_run_that_begins_again_after_its_end_keeps_its_end(runs, acceptance, accepted, tenant, status):
    first = await do(runs.begin, order_of(accepted))
    await do(runs.finish, finish_of(accepted, status))

    assert await do(runs.begin, order_of(accepted)) == first
    row = await acceptance.get(tenant, accepted.id)
    assert (row.status, row.finished_at) == (status, NOW)


async def test_a_run_that_was_cancelled_before_it_began_does_not_begin(runs, acceptance, accepted, tenant):
    await acceptance.cancel(tenant, accepted.id)

    error = await refused(runs.begin, order_of(accepted))

    assert (error.type, error.non_retryable) == ("CONFLICT", True)
    assert (await acceptance.get(tenant, accepted.id)).status == "cancelled"


@pytest.mark.parametrize("other", ["another execution", "another workflow", "another database", "no such run"])
async def test_a_run_is_begun_by_its_own_workflow_only(runs, acceptance, accepted, tenant, other):
    order = order_of(accepted)
    match other:
        case "another execution":
            await do(runs.begin, order)
            order = order_of(accepted, "second")
        case "another workflow":
            order = order.model_copy(update={"workflow_id": "greet:somebody:1"})
        case "another database":
            order = order_of(accepted, accepted_at=accepted.created_at - timedelta(days=1))
        case "no such run":
            order = order_of(accepted, run_id=10**15)
    before = (await acceptance.get(tenant, accepted.id)).model_dump()

    error = await refused(runs.begin, order)

    assert (error.type, error.non_retryable) == ("CONFLICT", True)
    assert (await acceptance.get(tenant, accepted.id)).model_dump() == before


async def test_a_run_of_another_tenant_is_not_begun(runs, acceptance, accepted, tenant):
    assert (await refused(runs.begin, order_of(accepted, tenant="another"))).type == "CONFLICT"
    assert (await acceptance.get(tenant, accepted.id)).status == "pending"


async def test_a_run_that_was_started_on_temporal_gets_one_row(runs, acceptance, process, tenant):
    order = foreign()

    first = await do(runs.begin, order, task_queue="theirs")
    assert await do(runs.begin, order, task_queue="theirs") == first

    rows, total = await acceptance.list(tenant)
    assert ([row.id for row in rows], total) == ([first.run_id], 1)
    row = rows[0]
    assert (row.status, row.trigger_type, row.task_queue) == ("running", "manual", "theirs")
    assert (row.workflow_id, row.temporal_run_id) == (order.workflow_id, "first")
    assert row.input == first.input == {"who": "Ada", "polite": True}
    assert first.key == ids.run_key(row.id, row.created_at)


async def test_an_adopted_run_that_begins_again_after_its_end_keeps_its_end(runs, acceptance, process, tenant):
    order = foreign()
    begun = await do(runs.begin, order)
    row = await acceptance.get(tenant, begun.run_id)
    await do(runs.finish, finish_of(row, RunStatus.FAILED))

    assert await do(runs.begin, order) == begun
    assert (await acceptance.get(tenant, begun.run_id)).status == "failed"


async def test_an_adopted_run_says_what_started_it(runs, acceptance, accepted, tenant):
    child = foreign(tenant=tenant, parent_run_id=accepted.id, trigger_type="event", trigger_source="signup")

    row = await acceptance.get(tenant, (await do(runs.begin, child)).run_id)

    assert (row.parent_run_id, row.trigger_type, row.trigger_source) == (accepted.id, "event", "signup")


async def test_an_unknown_process_is_refused_and_the_others_are_named(runs, publisher, process, tenant):
    await publisher.publish(tenant, {"name": "part", "steps": STEPS})

    error = await refused(runs.begin, foreign("great"))

    assert (error.type, error.non_retryable) == ("NOT_FOUND", True)
    assert "'great'" in error.message
    assert "Did you mean greet?" in error.message
    assert "There are: greet, part" in error.message


async def test_a_process_that_is_switched_off_adopts_no_runs(runs, publisher, acceptance, process, tenant):
    await publisher.set_active(tenant, process.definition.id, is_active=False)

    assert (await refused(runs.begin, foreign())).type == "NOT_FOUND"
    assert await acceptance.list(tenant) == ([], 0)


@pytest.mark.parametrize(
    ("value", "pointers"), [({"who": 7, "polite": "yes"}, ["/who: ", "/polite: "]), ({}, ["who"]), ([1], ["/: "])]
)
async def test_an_input_that_does_not_fit_is_refused_with_pointers(runs, acceptance, process, tenant, value, pointers):
    error = await refused(runs.begin, foreign(value=value))

    assert (error.type, error.non_retryable) == ("INPUT_INVALID", True)
    assert [pointer for pointer in pointers if pointer not in error.message] == []
    assert await acceptance.list(tenant) == ([], 0)


async def test_a_waiting_run_says_on_what_until_it_ends(runs, acceptance, accepted, tenant):
    await do(runs.begin, order_of(accepted))
    wait = WaitingOn(step="hold", kind="signal", what="go", since=NOW)
    update = UpdateRun(run_id=accepted.id, tenant=tenant, status=RunStatus.WAITING, waiting_on=[wait])

    await do(runs.update, update)
    row = await acceptance.get(tenant, accepted.id)
    assert (row.status, row.waiting_on) == ("waiting", [wait.model_dump(mode="json")])

    error = ErrorInfo(code="TIMEOUT", message="nobody came", step="hold")
    for _ in range(2):
        await do(runs.finish, finish_of(accepted, RunStatus.FAILED, error=error))
    await do(runs.update, update)
    row = await acceptance.get(tenant, accepted.id)
    assert (row.status, row.waiting_on, row.error) == ("failed", [], error.model_dump(mode="json"))


async def test_another_tenant_can_neither_change_nor_end_a_run(runs, acceptance, accepted, tenant):
    await do(runs.begin, order_of(accepted))
    other = accepted.model_copy(update={"tenant_id": "another"})

    await do(runs.update, UpdateRun(run_id=accepted.id, tenant="another", status=RunStatus.WAITING))
    await do(runs.finish, finish_of(other))

    assert (await acceptance.get(tenant, accepted.id)).status == "running"


async def test_a_run_can_ask_which_effects_it_may_have_had(runs, database, accepted, tenant):
    call = Call(tenant=tenant, run_id=accepted.id, step="s", key="k/s")
    async with database.statements(tenant) as session:
        await ledger.intend(session, call, "fake.send")

    assert await do(runs.effects, RunKey(run_id=accepted.id, tenant=tenant)) == ["k/s"]


async def test_a_run_that_an_event_has_started_sees_the_event(runs, acceptance, accepted, database, tenant):
    event = NewEvent(source="shop", type="order.created", subject="o-1", payload={"other": "than the input"})
    async with database.session(tenant) as session:
        [row] = await events.insert(session, tenant, [event])
        statement = text("UPDATE runs SET event_id = :event_id WHERE id = :id")
        await session.execute(statement, {"event_id": row.id, "id": accepted.id})
    begun = await do(runs.begin, order_of(accepted))
    assert begun.event["payload"] == {"other": "than the input"}
    assert (begun.event["event_id"], begun.event["type"], begun.event["subject"]) == (row.id, "order.created", "o-1")


async def test_a_payload_that_is_the_runs_input_travels_once(runs, acceptance, accepted, database, tenant):
    event = NewEvent(source="shop", type="order.created", payload=accepted.input)
    async with database.session(tenant) as session:
        [row] = await events.insert(session, tenant, [event])
        statement = text("UPDATE runs SET event_id = :event_id WHERE id = :id")
        await session.execute(statement, {"event_id": row.id, "id": accepted.id})
    begun = await do(runs.begin, order_of(accepted))
    assert "payload" not in begun.event
    assert event_seen(begun.event, begun.input)["payload"] == accepted.input


async def test_a_schedule_of_another_database_starts_nothing(runs, acceptance, process, tenant):
    refusal = await refused(runs.begin, foreign(tenant=tenant, trigger_type="scheduled", installation="elsewhere"))
    assert "another database" in refusal.message
