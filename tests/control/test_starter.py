"""Accepted runs are started on Temporal: each one, once, also when Temporal is away for a while."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError

from control.starter import CLAIM_SECONDS, Starter
from domain import ids
from domain.messages import StartMemo
from store.database import ALL_TENANTS


@dataclass
class Watch:
    """Counts what a starter comes by, in place of failpoints."""

    points: Counter[str] = field(default_factory=Counter)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, point: str) -> None:
        self.points[point] += 1
        self.changed.set()

    async def started(self, count: int) -> None:
        """Wait until that many starts have ended, well or not."""
        async with asyncio.timeout(30):
            while self.points["after_start"] < count:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
def watch():
    return Watch()


@pytest.fixture
def starter(database, temporal_client, notifications, task_queue, watch):
    return Starter(database, temporal_client, notifications, task_queue, eager=False, failpoint=watch)


async def accept(runs, tenant, count=1):
    return [(await runs.accept(tenant, "greet", {"who": str(number)})).run for number in range(count)]


async def memo_of(temporal_client, run):
    described = await temporal_client.get_workflow_handle(run.workflow_id).describe()
    return described, await described.memo_value(ids.MEMO_RUN, StartMemo(), type_hint=StartMemo)


async def forget_claims(database, task_queue):
    """Let the claims on pending runs be so old that they count no more."""
    statement = "UPDATE runs SET claimed_at = claimed_at - make_interval(secs => :seconds) WHERE task_queue = :queue"
    async with database.session(ALL_TENANTS) as session:
        await session.execute(text(statement), {"seconds": CLAIM_SECONDS + 1, "queue": task_queue})


async def start_elsewhere(temporal_client, run, **memo):
    return await temporal_client.start_workflow(
        "greet", {}, id=run.workflow_id, task_queue=run.task_queue, memo={ids.MEMO_RUN: StartMemo(**memo)}
    )


async def test_a_run_is_started_under_its_id_with_all_that_its_row_says(
    starter, watch, runs, temporal_client, tenant, process, task_queue
):
    run = (await runs.accept(tenant, "greet", {"who": "Ada"}, idempotency_key="k", trigger_source="test")).run

    assert await starter.start_pending() == 1
    await watch.started(1)

    described, memo = await memo_of(temporal_client, run)
    assert (described.workflow_type, described.task_queue) == ("greet", task_queue)
    assert (memo.run_id, memo.tenant, memo.digest) == (run.id, tenant, run.digest)
    assert (memo.trigger_type, memo.trigger_source) == ("api", "test")
    assert memo.accepted_at == run.created_at
    found = {pair.key.name: pair.value for pair in described.typed_search_attributes}
    assert found.items() >= {ids.SEARCH_TENANT: tenant, ids.SEARCH_TRIGGER: "api", ids.SEARCH_KEY: "k"}.items()
    history = await temporal_client.get_workflow_handle(run.workflow_id).fetch_history()
    started = history.events[0].workflow_execution_started_event_attributes
    assert started.priority.fairness_key == tenant
    assert await temporal_client.data_converter.decode(started.input.payloads) == [{"who": "Ada", "polite": True}]


async def test_two_starters_at_once_start_each_run_once(
    starter, watch, database, runs, temporal_client, notifications, tenant, process, task_queue
):
    accepted = await accept(runs, tenant, 30)
    other = Starter(database, temporal_client, notifications, task_queue, eager=False, failpoint=watch)

    counts = await asyncio.gather(*(each.start_pending() for each in (starter, other, starter, other)))
    await watch.started(30)

    assert sum(counts) == 30
    assert watch.points["after_start"] == 30
    for run in accepted:
        assert (await memo_of(temporal_client, run))[1].run_id == run.id
    assert await starter.start_pending() == 0


async def test_a_starter_starts_the_runs_of_its_own_queue_only(starter, runs, database, tenant, process):
    await accept(runs, tenant)
    async with database.session(tenant) as session:
        await session.execute(text("UPDATE runs SET task_queue = 'other-queue' WHERE tenant_id = :t"), {"t": tenant})

    assert await starter.start_pending() == 0


async def test_a_claim_that_is_left_behind_is_taken_up_and_a_start_that_had_happened_is_success(
    starter, watch, database, runs, temporal_client, tenant, process, task_queue
):
    (run,) = await accept(runs, tenant)
    await starter.start_pending()
    await watch.started(1)
    first = (await memo_of(temporal_client, run))[0].run_id
    assert await starter.start_pending() == 0
    await forget_claims(database, task_queue)

    assert await starter.start_pending() == 1
    await watch.started(2)

    assert (await memo_of(temporal_client, run))[0].run_id == first
    row = await runs.get(tenant, run.id)
    assert (row.status, row.error) == ("pending", None)


async def test_a_run_whose_workflow_has_ended_already_is_not_started_again(
    starter, watch, runs, temporal_client, tenant, process
):
    (run,) = await accept(runs, tenant)
    handle = await start_elsewhere(temporal_client, run, run_id=run.id, accepted_at=run.created_at)
    await handle.terminate()

    await starter.start_pending()
    await watch.started(1)

    assert (await memo_of(temporal_client, run))[0].run_id == handle.first_execution_run_id
    assert (await runs.get(tenant, run.id)).error is None


async def test_a_workflow_of_another_database_under_the_same_id_fails_the_run_and_is_left_alone(
    starter, watch, runs, temporal_client, tenant, process
):
    (run,) = await accept(runs, tenant)
    theirs = await start_elsewhere(
        temporal_client, run, run_id=run.id, tenant=tenant, accepted_at=datetime.now(UTC) - timedelta(days=1)
    )
    waiting = asyncio.create_task(runs.wait(tenant, run.id, 30))

    await starter.start_pending()
    await watch.started(1)

    row = await waiting
    assert (row.status, row.error["code"]) == ("failed", "WORKFLOW_ID_TAKEN")
    assert run.workflow_id in row.error["message"]
    assert "TEMPORAL_NAMESPACE" in row.error["message"]
    described, _ = await memo_of(temporal_client, run)
    assert (described.run_id, described.status.name) == (theirs.first_execution_run_id, "RUNNING")


async def test_while_temporal_is_down_a_run_stays_pending_and_starts_later(
    starter, watch, database, runs, notifications, temporal_client, tenant, process, task_queue
):
    (run,) = await accept(runs, tenant)
    nowhere = await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter)
    cut_off = Starter(database, nowhere, notifications, task_queue, failpoint=watch)

    assert await cut_off.start_pending() == 1
    await watch.started(1)
    row = await runs.get(tenant, run.id)
    assert (row.status, row.error) == ("pending", None)
    with pytest.raises(RPCError):
        await memo_of(temporal_client, run)

    await forget_claims(database, task_queue)
    assert await starter.start_pending() == 1
    await watch.started(2)
    assert (await memo_of(temporal_client, run))[1].run_id == run.id


async def test_the_loop_starts_what_is_pending_and_what_is_accepted_later(
    starter, watch, runs, temporal_client, tenant, process
):
    before = await accept(runs, tenant, 2)
    loop = asyncio.create_task(starter.run_forever())
    await watch.started(2)
    after = await accept(runs, tenant)
    await watch.started(3)
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)

    for run in (*before, *after):
        assert (await memo_of(temporal_client, run))[1].run_id == run.id


async def limited(database, runs, tenant, count, *, at_most, key="c-1"):
    """Accepted runs of one trigger and key, of which so many may be under way."""
    accepted = await accept(runs, tenant, count)
    statement = "UPDATE runs SET trigger_id = 1, correlation_key = :key, max_concurrent = :most WHERE id = ANY(:ids)"
    async with database.session(ALL_TENANTS) as session:
        await session.execute(text(statement), {"key": key, "most": at_most, "ids": [run.id for run in accepted]})
    return accepted


async def taken(database, accepted):
    statement = text("SELECT id FROM runs WHERE id = ANY(:ids) AND claimed_at IS NOT NULL ORDER BY id")
    async with database.session(ALL_TENANTS) as session:
        return [row.id for row in await session.execute(statement, {"ids": [run.id for run in accepted]})]


async def test_of_runs_with_a_limit_only_so_many_are_taken_up(runs, database, starter, tenant, process):
    first = await limited(database, runs, tenant, 4, at_most=2)
    other = await limited(database, runs, tenant, 1, at_most=2, key="c-2")
    await starter.start_pending()
    assert await taken(database, first) == [run.id for run in first[:2]]
    assert await taken(database, other) == [other[0].id]
    async with database.session(ALL_TENANTS) as session:
        ended = text("UPDATE runs SET status = 'completed' WHERE id = :id")
        await session.execute(ended, {"id": first[0].id})
    async with asyncio.timeout(30):
        while len(await taken(database, first)) < 3:
            await starter.start_pending()
    assert await taken(database, first) == [run.id for run in first[:3]]


async def test_a_run_that_is_held_back_is_taken_up_when_its_time_has_come(runs, database, starter, tenant, process):
    [run] = await accept(runs, tenant)
    async with database.session(ALL_TENANTS) as session:
        later = text("UPDATE runs SET not_before = now() + interval '1 hour' WHERE id = :id")
        await session.execute(later, {"id": run.id})
    assert await starter.start_pending() == 0
    async with database.session(ALL_TENANTS) as session:
        due = text("UPDATE runs SET not_before = now() WHERE id = :id")
        await session.execute(due, {"id": run.id})
    assert await starter.start_pending() == 1
