"""The health check of a worker's container."""

import asyncio
import sys

from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from workers.health import is_at_work
from workflows.process import Process


async def test_a_worker_is_healthy_while_it_asks_for_work(temporal_client, temporal_address, task_queue, monkeypatch):
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal_address)
    assert not await is_at_work(task_queue)
    runner = UnsandboxedWorkflowRunner()
    async with Worker(temporal_client, task_queue=task_queue, workflows=[Process], workflow_runner=runner):
        while not await is_at_work(task_queue):
            pass
        monkeypatch.setenv("STEPWELL_TASK_QUEUE", task_queue)
        check = await asyncio.create_subprocess_exec(sys.executable, "-m", "workers.health")
        assert await check.wait() == 0
    monkeypatch.setenv("STEPWELL_TASK_QUEUE", f"{task_queue}-other")
    check = await asyncio.create_subprocess_exec(sys.executable, "-m", "workers.health")
    assert await check.wait() == 1


async def test_a_worker_that_cannot_reach_temporal_is_not_healthy(task_queue, monkeypatch):
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    assert not await is_at_work(task_queue)
