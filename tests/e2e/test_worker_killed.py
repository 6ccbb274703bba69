"""A worker is killed at every place where a step could be lost or done twice, in both lanes.

Eighteen onboardings run at once. The worker of each is killed in two of the six steps, always at the same failpoint,
and another one takes over.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from activities.failpoints import AFTER_CALL, AFTER_LEDGER, BEFORE_CALL
from config import Settings
from sandbox.mail import MailSandbox
from tests.e2e.platform import ENDED, PATIENCE_SECONDS, TENANT, Installation, Process

pytestmark = pytest.mark.xdist_group("worker killed")

BUILT_IN = "lead_to_customer_onboarding"
REGULAR = "regular_onboarding"
LANES = {"fast": BUILT_IN, "regular": REGULAR}
POINTS = (BEFORE_CALL, AFTER_CALL, AFTER_LEDGER)
MAIL_STEP = "send_welcome_email"
_OF_CUSTOMER = "SELECT * FROM {} WHERE customer_id IN (SELECT id FROM customers WHERE email = :email)"
STEPS = {
    "create_customer": "SELECT * FROM customers WHERE email = :email",
    "create_subscription": _OF_CUSTOMER.format("subscriptions"),
    "issue_license": _OF_CUSTOMER.format("licenses"),
    "provision_tenant": _OF_CUSTOMER.format("instances"),
    MAIL_STEP: "SELECT * FROM mails WHERE recipient = :email",
    "create_onboarding_ticket": _OF_CUSTOMER.format("tickets"),
}
"""What each step makes for the lead with this e-mail address."""


@dataclass
class Journey:
    """One onboarding whose worker is killed at the same point of several steps."""

    lane: str
    point: str
    steps: tuple[str, ...]
    directory: Path
    email: str = ""
    run_id: int = 0
    run: Any = None
    worker: Process | None = None
    parked: list[dict[str, Any]] = field(default_factory=list)
    """The records of steps that waited for a person."""
    mails_when_parked: int = 0

    @property
    def name(self) -> str:
        return f"{self.lane}-{self.point}-{self.steps[0]}"

    def trace(self, step: str) -> Path:
        """The file that tells that the worker was killed in this step."""
        return self.directory / f"killed-{self.lane}-{self.point}-{step}"

    @property
    def failpoints(self) -> str:
        return ",".join(f"{self.point}:{step}@{self.trace(step)}" for step in self.steps)


@dataclass
class Traveller:
    """Makes journeys."""

    installation: Installation
    mail: MailSandbox
    temporal: Any
    client: httpx2.AsyncClient

    async def travel(self, journey: Journey, number: int) -> None:
        at = self.installation
        lead, journey.email = await at.add_lead(number)
        queue = f"{at.task_queue}-{journey.name}"
        accepted = await at.runs(self.temporal, queue).accept(TENANT, LANES[journey.lane], {"lead_id": lead})
        journey.run_id = accepted.run.id or 0
        journey.worker = worker = at.worker(f"worker-{journey.name}", failpoints=journey.failpoints, task_queue=queue)
        async with asyncio.timeout(2 * PATIENCE_SECONDS):
            while (run := await at.run(journey.run_id))["status"] not in ENDED:
                if worker.has_died():
                    await worker.start_again()
                if any(wait["kind"] == "person" for wait in run["waiting_on"]):
                    await self.resolve(journey, run["waiting_on"][0]["step"])
                await asyncio.sleep(0.2)
        journey.run = run
        await worker.kill()

    async def resolve(self, journey: Journey, step: str) -> None:
        """Do what the operator does: look whether the mail went out, and say so."""
        answer = await self.client.get(f"/workflows/executions/{journey.run_id}", params={"include_steps": True})
        journey.parked += [each for each in answer.json()["steps"] if each["status"] == "waiting"]
        journey.mails_when_parked = len(self.mails_of(journey))
        decision = "done" if journey.mails_when_parked else "retry"
        if journey.lane == "fast":
            resolution = {"step": step, "decision": decision, "comment": "looked into the mailbox"}
            answer = await self.client.post(f"/workflows/executions/{journey.run_id}/resolve", json=resolution)
            assert answer.status_code == 204, answer.text
        else:
            command = await self.installation.command("runs", "resolve", str(journey.run_id), step, decision)
            assert command.code == 0, command.said

    def mails_of(self, journey: Journey) -> list[Any]:
        return [mail for mail in self.mail.mails if mail.recipients == (journey.email,)]


async def publish_regular_copy(installation: Installation) -> None:
    """The built-in process once more, with every step in the regular lane."""
    document = yaml.safe_load((Settings().definitions_dir / f"{BUILT_IN}.yaml").read_text())
    document |= {"name": REGULAR, "triggers": []}
    for step in document["steps"]:
        step["lane"] = "regular"
    await installation.publisher.publish(TENANT, document)


@pytest.fixture(scope="module")
async def traveller(install, module_database_url, module_mail, temporal_client) -> AsyncIterator[Traveller]:
    async with install(module_database_url, SMTP_URL=module_mail.url, STEPWELL_DATABASE_POOL_SIZE="4") as installation:
        await publish_regular_copy(installation)
        await installation.api()
        async with installation.client() as client:
            yield Traveller(installation, module_mail, temporal_client, client)


@pytest.fixture(scope="module")
async def journeys(traveller) -> dict[tuple[str, str, str], Journey]:
    """The journey of each lane, point and step, ended."""
    directory = traveller.installation.directory
    pairs = [tuple(STEPS)[number::3] for number in range(3)]
    made = [Journey(lane, point, steps, directory) for steps in pairs for lane in LANES for point in POINTS]
    async with asyncio.TaskGroup() as travels:
        for number, journey in enumerate(made):
            travels.create_task(traveller.travel(journey, number))
    return {(journey.lane, journey.point, step): journey for journey in made for step in journey.steps}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("lane", LANES)
async def test_a_worker_killed_in_a_step_leaves_one_effect_and_one_entry_in_the_ledger(
    traveller, journeys, lane, point, step
):
    journey = journeys[lane, point, step]
    assert journey.trace(step).exists(), "the worker was not killed in this step"
    made = await traveller.installation.rows(STEPS[step], email=journey.email)
    assert len(made) == 1
    entry = await traveller.installation.row(
        "SELECT * FROM effects WHERE run_id = :run_id AND key LIKE :end", run_id=journey.run_id, end=f"%/{step}"
    )
    assert entry["run_id"] == journey.run_id
    resolved_as_done = step == MAIL_STEP and point == AFTER_CALL
    assert entry["status"] == ("intent" if resolved_as_done else "done")


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("lane", LANES)
async def test_a_mail_goes_out_once_and_where_nobody_can_tell_a_person_is_asked(traveller, journeys, lane, point):
    journey = journeys[lane, point, MAIL_STEP]
    assert len(traveller.mails_of(journey)) == 1
    if point == AFTER_LEDGER:
        assert journey.parked == []
        return
    (parked,) = journey.parked
    assert parked["name"] == MAIL_STEP
    assert parked["error"]["code"] == "OUTCOME_UNKNOWN"
    assert "may have happened" in parked["error"]["message"]
    assert journey.mails_when_parked == (1 if point == AFTER_CALL else 0)


@pytest.mark.parametrize("step", tuple(STEPS)[:3])
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("lane", LANES)
async def test_the_run_completes_as_if_no_worker_had_died(traveller, journeys, lane, point, step):
    journey = journeys[lane, point, step]
    run = journey.run
    assert (run["status"], run["error"]) == ("completed", None)
    assert journey.worker.deaths == [-9] * len(journey.steps)
    assert [step["status"] for step in run["steps"]] == ["completed"] * len(STEPS)
    customer = await traveller.installation.row("SELECT * FROM customers WHERE email = :email", email=journey.email)
    ticket = await traveller.installation.row("SELECT * FROM tickets WHERE customer_id = :id", id=customer["id"])
    assert run["result"]["customer_id"] == str(customer["id"])
    assert run["result"]["ticket_number"] == ticket["ticket_number"]
    executions = traveller.temporal.list_workflows(f"WorkflowId = '{run['workflow_id']}'")
    assert len([execution async for execution in executions]) == 1
