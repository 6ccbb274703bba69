"""Temporal or Postgres goes away in the middle of runs and comes back."""

import asyncio
import os
import signal
from typing import Any

import httpx2
import pytest
import yaml
from temporalio.client import Client

from config import Settings
from sandbox.mail import MailSandbox
from store.migrate import migrate
from tests.e2e.platform import TENANT, Installation, until
from workers.embedded.postgres import EmbeddedPostgres
from workers.embedded.temporal import EmbeddedTemporal

pytestmark = pytest.mark.xdist_group("outages")

PROCESS = "slow_onboarding"
MADE = ("customers", "subscriptions", "licenses", "instances", "tickets")


async def publish_slow_copy(installation: Installation) -> None:
    """The onboarding with a pause after its first step, so that something can happen meanwhile."""
    document = yaml.safe_load((Settings().definitions_dir / "lead_to_customer_onboarding.yaml").read_text())
    document |= {"name": PROCESS, "triggers": []}
    document["steps"].insert(1, {"name": "pause", "type": "wait", "duration": "3s"})
    await installation.publisher.publish(TENANT, document)


async def start(installation: Installation, client: httpx2.AsyncClient, numbers: range) -> list[int]:
    leads = [(await installation.add_lead(number))[0] for number in numbers]
    return [(await accepted(client, lead))["execution_id"] for lead in leads]


async def accepted(client: httpx2.AsyncClient, lead: str) -> dict[str, Any]:
    answer = await client.post(f"/workflows/execute/{PROCESS}?wait=0", json={"lead_id": lead})
    assert answer.status_code == 202, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def is_ready(client: httpx2.AsyncClient) -> bool:
    return (await client.get("/readyz")).is_success


async def customers(installation: Installation, count: int) -> None:
    """Wait until so many runs have done their first step."""

    async def made() -> bool:
        return len(await installation.rows("SELECT * FROM customers")) >= count

    await until(made, f"there are {count} customers")


async def assert_all_ran_once(
    installation: Installation, mail: MailSandbox, temporal: Client, run_ids: list[int]
) -> None:
    for run_id in run_ids:
        run = await installation.ended(run_id)
        assert (run["status"], run["error"]) == ("completed", None)
        executions = temporal.list_workflows(f"WorkflowId = '{run['workflow_id']}'")
        assert len([execution async for execution in executions]) == 1
    for table in MADE:
        assert len(await installation.rows(f"SELECT * FROM {table}")) == len(run_ids), table  # noqa: S608
    assert len(mail.mails) == len(run_ids)
    effects = await installation.rows("SELECT * FROM effects WHERE status <> 'done'")
    assert effects == []


async def test_runs_survive_a_killed_temporal_and_what_is_accepted_meanwhile_starts_later(
    install, fresh_database_url, smtp_sandbox, tmp_path
):
    server = EmbeddedTemporal(tmp_path / "temporal", ui=False)
    await server.start()
    try:
        async with install(fresh_database_url, temporal=server.address, SMTP_URL=smtp_sandbox.url) as at:
            await publish_slow_copy(at)
            at.worker()
            await at.api()
            async with at.client() as client:
                run_ids = await start(at, client, range(6))
                await customers(at, 6)
                os.kill(server.pid or 0, signal.SIGKILL)
                await server.wait()
                lead, _ = await at.add_lead(6)
                answer = await client.post(f"/workflows/execute/{PROCESS}?wait=1", json={"lead_id": lead})
                assert (answer.status_code, answer.json()["status"]) == (202, "pending"), answer.text
                assert (await client.get("/readyz")).json()["status"] == "degraded"
                await server.start()
                run_ids.append(answer.json()["execution_id"])
            temporal = await Client.connect(server.address)
            await assert_all_ran_once(at, smtp_sandbox, temporal, run_ids)
    finally:
        await server.stop()


async def test_without_postgres_the_api_says_when_to_come_back_and_runs_go_on_when_it_returns(
    install, smtp_sandbox, temporal_client, tmp_path
):
    server = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    url = await server.start()
    try:
        await asyncio.to_thread(migrate, url)
        async with install(url, SMTP_URL=smtp_sandbox.url) as at:
            await publish_slow_copy(at)
            worker = at.worker()
            api = await at.api()
            async with at.client() as client:
                run_ids = await start(at, client, range(4))
                await customers(at, 4)
                await server.stop()
                for method, path in (
                    ("POST", f"/workflows/execute/{PROCESS}"),
                    ("GET", f"/workflows/executions/{run_ids[0]}"),
                    ("GET", "/workflows/executions"),
                    ("GET", "/readyz"),
                ):
                    answer = await client.request(method, path)
                    assert answer.status_code == 503, (path, answer.text)
                    assert int(answer.headers["Retry-After"]) > 0
                assert (await client.get("/healthz")).status_code == 200
                await server.start()
                await until(lambda: is_ready(client), "the API is ready")
                await at.database.engine.dispose()
                run_ids += await start(at, client, range(4, 5))
                await assert_all_ran_once(at, smtp_sandbox, temporal_client, run_ids)
            assert not worker.has_died()
            assert not api.has_died()
    finally:
        await server.stop()
