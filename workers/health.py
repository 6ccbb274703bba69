"""Whether the worker on this machine does its work: ``python -m workers.health`` ends with 0 if it does, else with 1.

For a container's health check. A worker that waits for Temporal, or has lost it, is not healthy.
"""

import asyncio
import os
import socket
from datetime import timedelta
from typing import Final

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.service import RPCError

from config import Settings
from control.connection import connect

_SECONDS: Final = 8.0
_CALL: Final = timedelta(seconds=5)


async def is_at_work(task_queue: str) -> bool:
    """Whether Temporal knows a worker of this machine that asks for work on ``task_queue``."""
    try:
        async with asyncio.timeout(_SECONDS):
            client = await connect(lazy=False)
            answer = await client.workflow_service.describe_task_queue(
                DescribeTaskQueueRequest(
                    namespace=client.namespace,
                    task_queue=TaskQueue(name=task_queue),
                    task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
                ),
                timeout=_CALL,
            )
    except (RPCError, RuntimeError, TimeoutError):  # the SDK raises RuntimeError when it cannot connect
        return False
    here = f"@{socket.gethostname()}"  # the SDK names a worker by process and machine
    return any(poller.identity.endswith(here) for poller in answer.pollers)


if __name__ == "__main__":
    healthy = asyncio.run(is_at_work(Settings().task_queue))
    os._exit(0 if healthy else 1)  # at once: threads of the SDK may abort an interpreter that takes itself down
