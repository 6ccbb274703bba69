"""Checks of Temporal: reached, its namespace and search attributes there, a worker at work."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeTaskQueueRequest,
    GetSystemInfoRequest,
)
from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.service import RPCError, RPCStatusCode

from cli.checks.finding import Finding, fail, ok, warn
from control.connection import connect
from domain.ids import SEARCH_ATTRIBUTES

_CONNECT_SECONDS: Final = 8.0
_CALL: Final = timedelta(seconds=5)
_FRESH: Final = timedelta(minutes=2)
"""A worker that waits for work asks for it again within a minute."""


async def check_temporal(task_queue: str) -> AsyncIterator[Finding]:
    """Everything about the Temporal server that the environment names."""
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            client = await connect(lazy=False)
        system = await client.workflow_service.get_system_info(GetSystemInfoRequest(), timeout=_CALL)
    except (RuntimeError, TimeoutError, RPCError) as error:
        remedy = "check that the server runs and that TEMPORAL_ADDRESS is right; accepted runs start when it is back"
        address = ClientConfig.load_client_connect_config().get("target_host", "127.0.0.1:7233")
        yield fail("temporal", f"{address} cannot be reached: {_first_line(error)}", remedy)
        return
    yield ok("temporal", f"{client.service_client.config.target_host}, server {system.server_version}")
    namespace = await _namespace(client)
    yield namespace
    if not namespace.remedy:
        yield await _search_attributes(client)
        yield await _workers(client, task_queue)


async def _namespace(client: Client) -> Finding:
    part = "namespace"
    try:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace), timeout=_CALL
        )
    except RPCError as error:
        remedy = "set TEMPORAL_NAMESPACE, or make it"
        if error.status is RPCStatusCode.NOT_FOUND:
            remedy += f": temporal operator namespace create --namespace {client.namespace}"
        return fail(part, f"{client.namespace}: {error.message}", remedy)
    return ok(part, client.namespace)


async def _search_attributes(client: Client) -> Finding:
    part = "search attributes"
    arguments = " ".join(f"--name {name} --type Keyword" for name in SEARCH_ATTRIBUTES)
    remedy = f"temporal operator search-attribute create --namespace {client.namespace} {arguments}"
    try:
        known = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace), timeout=_CALL
        )
    except RPCError as error:
        return warn(part, f"cannot be listed: {error.message}", f"if they are missing: {remedy}")
    missing = [name for name in SEARCH_ATTRIBUTES if name not in known.custom_attributes]
    if missing:
        return fail(part, f"{', '.join(missing)} missing: no run can start", remedy)
    return ok(part, ", ".join(SEARCH_ATTRIBUTES))


async def _workers(client: Client, task_queue: str) -> Finding:
    part = "workers"
    try:
        answer = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueue(name=task_queue),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
            ),
            timeout=_CALL,
        )
    except RPCError as error:
        return warn(part, f"cannot be asked for: {error.message}", "check the rights of TEMPORAL_API_KEY")
    now = datetime.now(UTC)
    pollers = {
        poller.identity for poller in answer.pollers if now - poller.last_access_time.ToDatetime(tzinfo=UTC) < _FRESH
    }
    if not pollers:
        return fail(part, f"none polls the task queue {task_queue}: runs wait", "start one: `stepwell worker`")
    return ok(part, f"{len(pollers)} on the task queue {task_queue}")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or "no answer in time"
