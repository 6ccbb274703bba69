"""A worker for the processes written by hand. Run as ``python -m benchmarks.by_hand_worker [--unsandboxed]``."""

import asyncio
import signal
import sys

import httpx2
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from benchmarks.by_hand import BY_HAND, BY_HAND_UNSANDBOXED, Onboarding, Posts
from benchmarks.by_hand_activities import PostActivities, ServiceActivities, plain_engine
from config import Settings
from control.connection import connect
from services.billing import BillingService
from services.customers import CustomerService
from services.licensing import LicenseService
from services.ticketing import TicketingService


async def main(*, unsandboxed: bool) -> None:
    """Work until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = Settings()
    engine = plain_engine(settings.database_url or "", settings.default_tenant)
    client = await connect(lazy=False)
    async with (
        httpx2.AsyncClient(timeout=30, trust_env=False) as http,
        _worker(client, engine, settings.default_tenant, http, unsandboxed=unsandboxed),
    ):
        await stop.wait()
    await engine.dispose()


def _worker(client: Client, engine: AsyncEngine, tenant: str, http: httpx2.AsyncClient, *, unsandboxed: bool) -> Worker:
    services = ServiceActivities(
        engine, tenant, BillingService(), CustomerService(), LicenseService(), TicketingService()
    )
    return Worker(
        client,
        task_queue=BY_HAND_UNSANDBOXED if unsandboxed else BY_HAND,
        workflows=[Onboarding, Posts],
        activities=[
            services.create_customer,
            services.create_subscription,
            services.issue_license,
            services.create_ticket,
            PostActivities(http).post,
        ],
        workflow_runner=UnsandboxedWorkflowRunner() if unsandboxed else SandboxedWorkflowRunner(),
    )


if __name__ == "__main__":
    asyncio.run(main(unsandboxed="--unsandboxed" in sys.argv))
