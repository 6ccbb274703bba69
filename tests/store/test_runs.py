"""Rows of runs: the second wall between tenants, and ends that are written once."""

import itertools
import uuid

import pytest

from store import runs
from store.database import ALL_TENANTS
from store.runs import RunEnd
from store.tables import RunRow, TenantRow
from store.tables.base import now

IDS = itertools.count(10**12)
"""Ids far from those that the database gives."""


@pytest.fixture
async def tenant(database):
    tenant = f"t-{uuid.uuid4().hex[:12]}"
    async with database.session(ALL_TENANTS) as session:
        session.add(TenantRow(id=tenant, name=tenant))
    return tenant


async def add(database, tenant, **values):
    run_id = next(IDS)
    async with database.session(tenant) as session:
        row = RunRow(id=run_id, tenant_id=tenant, process="p", workflow_id=f"p:{run_id}", task_queue="q", **values)
        assert await runs.insert(session, row)
    return row


async def test_a_session_of_another_tenant_sees_no_row_even_when_asked_for_by_its_tenant(database, tenant):
    row = await add(database, tenant)

    async with database.session("another") as session:
        assert await runs.get(session, tenant, row.id) is None
        assert await runs.cancel_pending(session, tenant, row.id) is None
    async with database.session(ALL_TENANTS) as session:
        assert await runs.get(session, "another", row.id) is None
        seen = await runs.get(session, tenant, row.id)
        assert seen is not None
        assert seen.status == "pending"


async def accept_and_break(database, row):
    async with database.session(row.tenant_id) as session:
        assert await runs.insert(session, row)
        raise LookupError


async def test_a_rolled_back_accept_leaves_nothing(database, tenant):
    run_id = next(IDS)
    row = RunRow(id=run_id, tenant_id=tenant, process="p", workflow_id=f"p:{run_id}", task_queue="q")

    with pytest.raises(LookupError):
        await accept_and_break(database, row)

    async with database.session(tenant) as session:
        assert await runs.get(session, tenant, run_id) is None


async def test_a_run_is_settled_once(database, tenant):
    row = await add(database, tenant, status="running")

    async with database.session(ALL_TENANTS) as session:
        assert await runs.settle(session, row.id, RunEnd("completed", now(), result=[1]))
        assert not await runs.settle(session, row.id, RunEnd("failed", now()))
        settled = await runs.get(session, tenant, row.id)
    assert settled is not None
    assert (settled.status, settled.result) == ("completed", [1])


async def test_open_runs_come_in_batches_by_id(database, tenant):
    waiting = await add(database, tenant, status="waiting")
    await add(database, tenant)
    running = await add(database, tenant, status="running")

    async with database.session(ALL_TENANTS) as session:
        first = await runs.open_after(session, waiting.id - 1, limit=1)
        rest = await runs.open_after(session, waiting.id, limit=10)
    assert [each.id for each in first] == [waiting.id]
    assert [(each.id, each.tenant, each.workflow_id) for each in rest] == [(running.id, tenant, running.workflow_id)]
