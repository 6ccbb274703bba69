"""Commands on runs that are under way, against a real Temporal server."""

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError

from domain.errors import Conflict, TooLarge
from domain.messages import ResolveStep
from tests.control.started import start, working


@pytest.fixture
async def worker(temporal_client, task_queue):
    async with working(temporal_client, task_queue):
        yield


@pytest.fixture
async def run(runs, tenant, process):
    """An accepted run."""
    return (await runs.accept(tenant, "greet", {"who": "Ada"})).run


async def test_a_run_under_way_is_viewed_as_its_workflow_tells(runs, database, temporal_client, worker, run):
    await start(database, temporal_client, run)

    view = await runs.view(run.tenant_id, run.id)

    assert view.status == "waiting"
    assert [step.path for step in view.steps] == ["say"]


async def test_a_view_falls_back_to_the_row_when_no_worker_answers(runs, database, temporal_client, run):
    await start(database, temporal_client, run)

    assert (await runs.view(run.tenant_id, run.id)).status == "running"


async def test_a_signal_reaches_the_workflow(runs, database, temporal_client, worker, run):
    handle = await start(database, temporal_client, run)

    await runs.signal(run.tenant_id, run.id, "end", "complete")

    assert await handle.result() == {"resolved": []}


async def test_a_signal_to_a_workflow_that_has_just_ended_is_a_conflict(runs, database, temporal_client, run):
    handle = await start(database, temporal_client, run)
    await handle.terminate()

    with pytest.raises(Conflict, match="has ended"):
        await runs.signal(run.tenant_id, run.id, "end", "complete")


async def test_a_signal_over_the_limit_is_refused(runs, database, temporal_client, run):
    await start(database, temporal_client, run)

    with pytest.raises(TooLarge):
        await runs.signal(run.tenant_id, run.id, "end", "x" * 2_000_000)


async def test_cancelling_asks_the_workflow_to_end(runs, database, temporal_client, worker, run):
    handle = await start(database, temporal_client, run)

    assert (await runs.cancel(run.tenant_id, run.id)).status == "running"

    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert (await handle.describe()).status is WorkflowExecutionStatus.CANCELED


async def test_cancelling_a_claimed_run_ends_its_workflow_too(runs, database, temporal_client, worker, run):
    handle = await temporal_client.start_workflow("greet", run.id, id=run.workflow_id, task_queue=run.task_queue)
    async with database.session(run.tenant_id) as session:
        row = await session.models.merge(run)
        row.claimed_at = row.created_at

    assert (await runs.cancel(run.tenant_id, run.id)).status == "cancelled"

    with pytest.raises(WorkflowFailureError):
        await handle.result()


async def test_a_resolution_reaches_the_parked_step(runs, database, temporal_client, worker, run):
    handle = await start(database, temporal_client, run)

    await runs.resolve(run.tenant_id, run.id, ResolveStep(step="say", decision="skip"))
    await runs.signal(run.tenant_id, run.id, "end", "complete")

    assert await handle.result() == {"resolved": ["say"]}


async def test_a_resolution_that_the_run_refuses_is_a_conflict_with_its_reason(
    runs, database, temporal_client, worker, run
):
    await start(database, temporal_client, run)

    with pytest.raises(Conflict, match="'other' is not parked"):
        await runs.resolve(run.tenant_id, run.id, ResolveStep(step="other", decision="skip"))
