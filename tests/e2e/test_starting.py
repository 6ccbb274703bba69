"""What is accepted runs, and runs once: whoever dies between accepting and starting, and however often it is asked."""

import asyncio
import uuid
from collections import Counter

import httpx2
import pytest

from services.demo import DEMO_LEAD
from tests.e2e.platform import TENANT, until

pytestmark = pytest.mark.xdist_group("starting")

PROCESS = "lead_to_customer_onboarding"


async def test_two_hundred_identical_starts_at_once_are_one_run(running):
    key = uuid.uuid4().hex
    limits = httpx2.Limits(max_connections=200)
    async with httpx2.AsyncClient(
        base_url=running.installation.api_url,
        headers=running.client.headers,
        timeout=60,
        limits=limits,
        trust_env=False,
    ) as client:
        answers = await asyncio.gather(
            *(
                client.post(
                    f"/workflows/execute/{PROCESS}?wait=30",
                    json={"lead_id": str(DEMO_LEAD)},
                    headers={"Idempotency-Key": key},
                )
                for _ in range(200)
            )
        )
    assert Counter(answer.status_code for answer in answers) == {200: 200}
    assert len({answer.json()["execution_id"] for answer in answers}) == 1
    assert Counter(answer.headers.get("Idempotent-Replayed") for answer in answers) == {None: 1, "true": 199}
    assert len(await running.installation.rows("SELECT * FROM runs")) == 1
    assert len(await running.installation.rows("SELECT * FROM tickets")) == 1
    assert len(running.mail.mails) == 1


@pytest.fixture
async def idle(install, fresh_database_url, smtp_sandbox):
    """An installation where nothing runs yet."""
    async with install(fresh_database_url, SMTP_URL=smtp_sandbox.url) as installation:
        yield installation


async def assert_ran_once(idle, smtp_sandbox, temporal_client, run_ids: list[int]) -> None:
    for run_id in run_ids:
        run = await idle.ended(run_id)
        assert (run["status"], run["error"]) == ("completed", None)
        executions = temporal_client.list_workflows(f"WorkflowId = '{run['workflow_id']}'")
        assert len([execution async for execution in executions]) == 1
    assert len(await idle.rows("SELECT * FROM runs")) == len(run_ids)
    for table in ("customers", "subscriptions", "licenses", "instances", "tickets"):
        assert len(await idle.rows(f"SELECT * FROM {table}")) == len(run_ids), table  # noqa: S608
    assert len(smtp_sandbox.mails) == len(run_ids)


async def test_runs_accepted_by_an_api_that_is_killed_amid_requests_run_once(idle, smtp_sandbox, temporal_client):
    """The senders of lost answers ask again with their keys: nothing is accepted twice, nothing lost."""
    leads = [(await idle.add_lead(number))[0] for number in range(12)]
    api = await idle.api()
    async with idle.client() as client:

        async def ask(lead: str) -> int | None:
            try:
                answer = await client.post(
                    f"/workflows/execute/{PROCESS}?wait=0", json={"lead_id": lead}, headers={"Idempotency-Key": lead}
                )
            except httpx2.TransportError:
                return None
            assert (answer.status_code, answer.json()["status"]) == (202, "pending"), answer.text
            return int(answer.json()["execution_id"])

        asking = [asyncio.create_task(ask(lead)) for lead in leads]
        await until(lambda: idle.rows("SELECT * FROM runs"), "the first run is accepted")
        await api.kill()
        accepted = [run_id for run_id in await asyncio.gather(*asking) if run_id is not None]
        api.start()
        await idle.api_answers(api)
        run_ids = [await ask(lead) for lead in leads]
    assert set(accepted) <= set(run_ids)
    idle.worker()
    await assert_ran_once(idle, smtp_sandbox, temporal_client, run_ids)


@pytest.mark.parametrize("point", ["before_start", "after_start"])
async def test_a_run_whose_starter_is_killed_runs_once(idle, smtp_sandbox, temporal_client, point):
    lead, _ = await idle.add_lead(1)
    trace = idle.directory / "killed"
    accepted = await idle.runs(temporal_client).accept(TENANT, PROCESS, {"lead_id": lead})
    worker = idle.worker(failpoints=f"{point}:@{trace}")
    assert await worker.end() == -9
    assert trace.exists()
    await worker.start_again()
    await assert_ran_once(idle, smtp_sandbox, temporal_client, [accepted.run.id])
