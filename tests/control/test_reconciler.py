"""Runs that ended on Temporal without saying so get their end."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowFailureError
from temporalio.contrib.pydantic import pydantic_data_converter

from control.reconciler import Reconciler
from domain.errors import Unavailable
from store.database import ALL_TENANTS
from tests.control.started import start, working


@pytest.fixture
async def worker(temporal_client, task_queue):
    async with working(temporal_client, task_queue):
        yield


@pytest.fixture(autouse=True)
async def no_other_open_runs(database):
    """What other tests left open is none of this one's business."""
    async with database.session(ALL_TENANTS) as session:
        await session.execute(text("UPDATE runs SET status = 'cancelled' WHERE status IN ('running', 'waiting')"))


@pytest.fixture
async def run(runs, tenant, process):
    """An accepted run."""
    return (await runs.accept(tenant, "greet", {"who": "Ada"})).run


@pytest.fixture
def reconciler(database, temporal_client):
    return Reconciler(database, temporal_client)


async def test_a_run_under_way_is_left_alone(reconciler, runs, database, temporal_client, worker, run):
    handle = await start(database, temporal_client, run)

    assert await reconciler.reconcile_once() == 0
    assert (await runs.get(run.tenant_id, run.id)).status == "running"
    await handle.terminate()


async def test_a_terminated_run_has_failed_with_the_reason_and_its_steps(
    reconciler, runs, database, temporal_client, worker, run
):
    handle = await start(database, temporal_client, run)
    assert (await runs.view(run.tenant_id, run.id)).status == "waiting"
    waiting = asyncio.create_task(runs.wait(run.tenant_id, run.id, 60))
    await handle.terminate(reason="wrong customer")

    assert await reconciler.reconcile_once() == 1

    ended = await waiting
    assert ended.status == "failed"
    assert ended.error["code"] == "TERMINATED"
    assert "wrong customer" in ended.error["message"]
    assert [(step["path"], step["status"]) for step in ended.steps] == [("say", "cancelled")]
    assert ended.finished_at == (await handle.describe()).close_time
    assert await reconciler.reconcile_once() == 0


@pytest.mark.parametrize(("how", "status", "code"), [("complete", "completed", None), ("fail", "failed", "FORBIDDEN")])
async def test_a_run_that_ended_by_itself_gets_its_end(
    reconciler, runs, database, temporal_client, worker, run, how, status, code
):
    handle = await start(database, temporal_client, run)
    await handle.signal("end", how)
    try:
        result = await handle.result()
    except WorkflowFailureError:
        result = None

    assert await reconciler.reconcile_once() == 1

    ended = await runs.get(run.tenant_id, run.id)
    assert (ended.status, ended.result) == (status, result)
    assert (ended.error or {}).get("code") == code


async def test_a_run_that_was_cancelled_from_outside_is_cancelled(
    reconciler, runs, database, temporal_client, worker, run
):
    handle = await start(database, temporal_client, run)
    await handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await handle.result()

    await reconciler.reconcile_once()

    assert (await runs.get(run.tenant_id, run.id)).status == "cancelled"


async def claimed_long_ago(database, run):
    async with database.session(run.tenant_id) as session:
        row = await session.models.merge(run)
        row.created_at = row.claimed_at = run.created_at - timedelta(minutes=5)


async def test_a_run_whose_workflow_closed_before_it_began_gets_its_end(
    reconciler, runs, database, temporal_client, run
):
    handle = await temporal_client.start_workflow("greet", run.id, id=run.workflow_id, task_queue=run.task_queue)
    await claimed_long_ago(database, run)
    assert await reconciler.reconcile_once() == 0
    await handle.terminate(reason="never mind")

    loop = asyncio.create_task(reconciler.run_forever(interval_seconds=0.05))
    ended = await runs.wait(run.tenant_id, run.id, 30)

    assert (ended.status, ended.error["code"]) == ("failed", "TERMINATED")
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


async def test_a_run_that_is_still_to_be_started_is_left_alone(reconciler, runs, database, run):
    await claimed_long_ago(database, run)

    assert await reconciler.reconcile_once() == 0
    assert (await runs.get(run.tenant_id, run.id)).status == "pending"


async def test_a_run_that_temporal_does_not_know_has_failed(reconciler, runs, database, run):
    async with database.session(run.tenant_id) as session:
        row = await session.models.merge(run)
        row.status, row.temporal_run_id = "waiting", "01a1f958-4746-733b-b7a2-46eb0d9ddd4e"

    await reconciler.reconcile_once()

    ended = await runs.get(run.tenant_id, run.id)
    assert (ended.status, ended.error["code"]) == ("failed", "VANISHED")


async def test_a_run_that_goes_on_under_a_fresh_history_is_left_alone(
    reconciler, runs, database, temporal_client, worker, run
):
    handle = await start(database, temporal_client, run)
    await handle.signal("end", "renew")
    newest = temporal_client.get_workflow_handle(run.workflow_id)
    while (await newest.describe()).run_id == handle.first_execution_run_id:
        await asyncio.sleep(0.01)

    assert await reconciler.reconcile_once() == 0
    await newest.signal("end", "complete")
    await newest.result()
    assert await reconciler.reconcile_once() == 1
    assert (await runs.get(run.tenant_id, run.id)).status == "completed"


async def test_a_run_that_was_reset_is_left_alone(reconciler, database, temporal_client, worker, run):
    handle = await start(database, temporal_client, run)
    await handle.query("view")
    await temporal_client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace="default",
            workflow_execution=WorkflowExecution(workflow_id=run.workflow_id, run_id=handle.first_execution_run_id),
            reason="once more",
            workflow_task_finish_event_id=4,
            request_id="reset",
        )
    )

    assert await reconciler.reconcile_once() == 0
    await temporal_client.get_workflow_handle(run.workflow_id).terminate()


async def test_an_id_that_is_used_again_does_not_hide_how_the_run_ended(
    reconciler, runs, database, temporal_client, worker, run
):
    handle = await start(database, temporal_client, run)
    await handle.terminate(reason="first")
    again = await temporal_client.start_workflow("greet", 0, id=run.workflow_id, task_queue=run.task_queue)

    assert await reconciler.reconcile_once() == 1

    assert "first" in (await runs.get(run.tenant_id, run.id)).error["message"]
    await again.terminate()


async def test_an_id_with_quotes_is_looked_up_too(reconciler, runs, database, temporal_client, worker, run):
    run.workflow_id = f"it's \\ {run.id}"
    async with database.session(run.tenant_id) as session:
        await session.models.merge(run)
    handle = await start(database, temporal_client, run)
    assert await reconciler.reconcile_once() == 0

    await handle.terminate()

    assert await reconciler.reconcile_once() == 1


async def test_nothing_is_settled_while_temporal_is_down_or_elsewhere(
    runs, database, temporal_client, temporal_address, worker, run
):
    handle = await start(database, temporal_client, run)
    await handle.terminate()
    down = await Client.connect("127.0.0.1:1", lazy=True)
    elsewhere = await Client.connect(temporal_address, namespace="elsewhere", data_converter=pydantic_data_converter)

    for client in (down, elsewhere):
        with pytest.raises(Unavailable):
            await Reconciler(database, client).reconcile_once()
    assert (await runs.get(run.tenant_id, run.id)).status == "running"


async def test_it_goes_on_after_temporal_was_down(reconciler, runs, database, temporal_client, worker, run):
    handle = await start(database, temporal_client, run)
    await handle.terminate()

    loop = asyncio.create_task(reconciler.run_forever(interval_seconds=0.05))
    ended = await runs.wait(run.tenant_id, run.id, 30)

    assert ended.status == "failed"
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
