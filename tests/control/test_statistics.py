"""Totals of a process."""

from datetime import timedelta

import pytest

from control.statistics import Statistics
from domain.errors import NotFound
from tests.control.conftest import definition


async def end(database, run, status, seconds=None):
    async with database.session(run.tenant_id) as session:
        row = await session.models.merge(run)
        row.status = status
        if seconds is not None:
            row.started_at, row.finished_at = row.created_at, row.created_at + timedelta(seconds=seconds)


async def test_totals_count_how_runs_ended_and_how_long_they_took(database, runs, publisher, tenant, process):
    made = [(await runs.accept(tenant, "greet", {"who": "Ada"})).run for _ in range(5)]
    for run, status, seconds in zip(
        made, ("completed", "completed", "completed", "failed", "running"), (1, 2, 3, 6, None), strict=True
    ):
        await end(database, run, status, seconds)

    totals = await Statistics(database).of(tenant, process.definition.id)

    assert totals.model_dump() == {
        "workflow_id": process.definition.id,
        "total_executions": 5,
        "successful_executions": 3,
        "failed_executions": 1,
        "average_duration_seconds": 3.0,
        "success_rate": 0.75,
    }


async def test_a_process_that_never_ran_has_zeros(database, tenant, process):
    totals = await Statistics(database).of(tenant, process.definition.id)

    assert (totals.total_executions, totals.success_rate, totals.average_duration_seconds) == (0, 0, None)


async def test_totals_of_all_processes_that_the_tenant_sees(database, runs, publisher, tenant, other_tenant, process):
    theirs = await publisher.publish(other_tenant, definition())
    await runs.accept(tenant, "greet", {"who": "Ada"})

    totals = {each.workflow_id: each.total_executions for each in await Statistics(database).all(tenant)}

    assert totals[process.definition.id] == 1
    assert theirs.definition.id not in totals
    assert sum(totals.values()) == 1, "those of built-in processes, which the tenant sees too, have no run of it"


async def test_another_tenants_process_has_no_totals(database, other_tenant, process):
    with pytest.raises(NotFound):
        await Statistics(database).of(other_tenant, process.definition.id)
