"""The worker process: workflows, activities, the starter of accepted runs, the reconciler."""

import asyncio
import gc
import os
import signal
from contextlib import AsyncExitStack
from datetime import timedelta

import structlog
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.effects import Effects
from activities.failpoints import Failpoints
from activities.runs import Runs
from activities.segments import Segments
from composition import Platform, configure_logging
from config import Settings
from control.connection import connect
from control.reconciler import Reconciler
from control.schedule_reconciler import ScheduleReconciler
from control.starter import Starter
from domain.errors import Unavailable
from triggers.inbox import Inbox
from triggers.relay import Relay
from triggers.signals import SignalSender
from workers.embedded.temporal import register_search_attributes
from workflows.process import Process

GRACE = timedelta(seconds=10)
"""How long activities under way may take to end when the worker is asked to stop."""

CONNECT_SECONDS = 2.0

_log = structlog.get_logger("worker")


def build_worker(platform: Platform, temporal: Client, failpoints: Failpoints) -> Worker:
    """The Temporal worker of this deployment.

    Workflows run unsandboxed for speed; lint rules and replay tests keep them deterministic.
    """
    settings = platform.settings
    runs = Runs(platform.database, platform.catalogue, settings.default_tenant)
    effects = Effects(platform.database, platform.catalogue, platform.vault, settings.max_output_bytes, failpoints)
    segments = Segments(effects, runs)
    return Worker(
        temporal,
        task_queue=settings.task_queue,
        workflows=[Process],
        activities=[runs.begin, runs.load, runs.effects, runs.update, runs.finish, segments.perform, effects.perform],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=settings.max_cached_workflows,
        max_concurrent_activities=settings.max_concurrent_activities,
        max_concurrent_local_activities=settings.max_concurrent_activities,
        graceful_shutdown_timeout=GRACE,
    )


async def run_worker(settings: Settings) -> None:
    """Work until SIGINT or SIGTERM; then let what is under way end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    failpoints = Failpoints(os.environ.get("STEPWELL_FAILPOINTS", ""))
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(Platform.open(settings))
        temporal = await _connected()
        worker = build_worker(platform, temporal, failpoints)
        schedules = ScheduleReconciler(platform.database, temporal, platform.notifications, settings.task_queue)
        loops = [Reconciler(platform.database, temporal).run_forever(), schedules.run_forever()]
        if settings.starter:
            starter = Starter(
                platform.database,
                temporal,
                platform.notifications,
                settings.task_queue,
                failpoint=failpoints.hit,
            )
            sender = SignalSender(platform.database, temporal, platform.notifications, settings.task_queue)
            retention = timedelta(days=settings.event_retention_days)
            inbox = Inbox(platform.database, platform.dispatcher, retention=retention)
            relay = Relay(platform.database, platform.dispatcher, settings.watch_connections)
            loops += [starter.run_forever(), sender.run_forever(), inbox.run_forever(), relay.run_forever()]
        await stack.enter_async_context(worker)
        tasks = [asyncio.create_task(coroutine) for coroutine in loops]
        _log.info("working", task_queue=settings.task_queue, actions=len(platform.catalogue.infos()))
        await _first_of(stop, tasks)
        for task in tasks:
            task.cancel()
        _log.info("stopping")


async def _connected() -> Client:
    """A connected client, once Temporal can be reached; its namespace has the platform's search attributes."""
    while True:
        try:
            temporal = await connect(lazy=False)
        except RuntimeError as error:  # what the SDK raises while it cannot connect
            _log.warning("cannot reach Temporal yet", error=str(error), next_try_seconds=CONNECT_SECONDS)
            await asyncio.sleep(CONNECT_SECONDS)
            continue
        try:
            await register_search_attributes(temporal)
        except Unavailable as error:  # on Temporal Cloud only its own tools may
            _log.warning("search attributes may be missing", error=str(error))
        return temporal


async def _first_of(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Wait until we are asked to stop; a loop that has broken breaks the worker."""
    waiting = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


def serve(settings: Settings) -> None:
    """Run the worker until it is asked to stop."""
    import uvloop  # noqa: PLC0415  # absent on Windows

    configure_logging()
    # What was imported stays for good: the collector need not walk it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    uvloop.run(run_worker(settings))
