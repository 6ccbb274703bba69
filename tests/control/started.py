"""Runs that are under way on a real Temporal server."""

from contextlib import asynccontextmanager

from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from store import lifecycle
from store.database import ALL_TENANTS
from store.tables.base import now
from tests.control.workflows import Greet


@asynccontextmanager
async def working(temporal_client, task_queue):
    """A worker that runs ``Greet``."""
    async with Worker(
        temporal_client, task_queue=task_queue, workflows=[Greet], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        yield


async def start(database, temporal_client, run, **options):
    """Start an accepted run as a starter and its first activity would; its workflow's handle."""
    handle = await temporal_client.start_workflow(
        "greet", run.id, id=run.workflow_id, task_queue=run.task_queue, **options
    )
    async with database.session(ALL_TENANTS) as session:
        begun = await lifecycle.begin(
            session,
            run_id=run.id,
            workflow_id=run.workflow_id,
            temporal_run_id=handle.first_execution_run_id,
            started_at=now(),
        )
    assert begun is not None
    return handle
