"""Runs that are started, signalled, queried and cancelled with Temporal's own command line."""

import json
import os
import uuid
from typing import Any

import pytest

from services.demo import DEMO_LEAD
from tests.e2e.conftest import Running
from tests.e2e.platform import Outcome, outcome_of, until
from workers.embedded.temporal import find_cli

pytestmark = pytest.mark.xdist_group("onboarding")

PROCESS = "lead_to_customer_onboarding"
WAITING = "wait_for_go"


async def temporal(running: Running, *arguments: str) -> Outcome:
    """How a command of the Temporal CLI ends."""
    env = {**os.environ, "TEMPORAL_CONFIG_FILE": os.devnull}
    return await outcome_of(find_cli(), *arguments, "--address", running.installation.temporal_address, env=env)


async def start(running: Running, process: str, run_input: dict[str, Any]) -> str:
    """Start a run and return its workflow id."""
    workflow_id = f"by-hand-{uuid.uuid4().hex}"
    arguments = ["--type", process, "--task-queue", running.installation.task_queue, "--workflow-id", workflow_id]
    started = await temporal(running, "workflow", "start", *arguments, "--input", json.dumps(run_input))
    assert started.code == 0, started.said
    return workflow_id


async def shown(running: Running, workflow_id: str, status: str) -> dict[str, Any]:
    """The run as the API shows it once it has this status."""

    async def look() -> dict[str, Any] | None:
        rows = await running.installation.rows("SELECT id FROM runs WHERE workflow_id = :id", id=workflow_id)
        if not rows:
            return None
        path = f"/workflows/executions/{rows[0]['id']}"
        run = (await running.client.get(path, params={"include_steps": "true"})).json()
        return run if run["status"] == status else None

    found = await until(look, f"{workflow_id} is {status}")
    assert found is not None
    return found


@pytest.fixture(scope="module")
async def waiting_process(running) -> str:
    steps = [
        {"name": "go", "type": "wait_for_signal", "signal": "go"},
        {"name": "note", "action": "core.log", "config": {"message": "{{steps.go.output.by}} says go"}},
    ]
    await running.publish(WAITING, steps, output={"by": "{{steps.go.output.by}}"})
    return WAITING


async def test_a_process_started_by_its_name_appears_in_the_api(running):
    workflow_id = await start(running, PROCESS, {"lead_id": str(DEMO_LEAD)})
    run = await shown(running, workflow_id, "completed")
    assert (run["workflow_name"], run["trigger_type"], run["trigger_source"]) == (PROCESS, "manual", "temporal")
    assert run["context"]["plan_id"] == "basic-plan"
    assert len(run["steps"]) == 6
    listed = await temporal(running, "workflow", "show", "--workflow-id", workflow_id)
    assert run["result"]["ticket_number"] in listed.said


async def test_a_mistyped_name_fails_at_once_and_lists_the_names(running):
    workflow_id = await start(running, "lead_to_custmer_onboarding", {"lead_id": str(DEMO_LEAD)})
    ended = await temporal(running, "workflow", "result", "--workflow-id", workflow_id)
    assert ended.code != 0
    assert "there is no process 'lead_to_custmer_onboarding'" in ended.said
    assert f"Did you mean {PROCESS}?" in ended.said
    assert f"There are: {PROCESS}" in ended.said
    assert await running.installation.rows("SELECT * FROM runs WHERE workflow_id = :id", id=workflow_id) == []


async def test_a_wrong_input_fails_at_once_and_says_where(running):
    workflow_id = await start(running, PROCESS, {"lead_id": 7})
    ended = await temporal(running, "workflow", "result", "--workflow-id", workflow_id)
    assert ended.code != 0
    assert "/lead_id" in ended.said


async def test_a_signal_reaches_the_step_that_waits_for_it_and_the_query_shows_it_waiting(running, waiting_process):
    workflow_id = await start(running, waiting_process, {})
    waiting = await shown(running, workflow_id, "waiting")
    assert [wait["step"] for wait in waiting["waiting_on"]] == ["go"]
    queried = await temporal(
        running, "workflow", "query", "--workflow-id", workflow_id, "--type", "view", "--output", "json"
    )
    assert '"waiting_on"' in queried.said
    assert "the signal go" in queried.said
    sent = await temporal(
        running, "workflow", "signal", "--workflow-id", workflow_id, "--name", "go", "--input", '{"by": "Ada"}'
    )
    assert sent.code == 0, sent.said
    assert (await shown(running, workflow_id, "completed"))["result"] == {"by": "Ada"}


async def test_a_cancelled_run_is_cancelled_in_the_api(running, waiting_process):
    workflow_id = await start(running, waiting_process, {})
    await shown(running, workflow_id, "waiting")
    cancelled = await temporal(running, "workflow", "cancel", "--workflow-id", workflow_id)
    assert cancelled.code == 0, cancelled.said
    run = await shown(running, workflow_id, "cancelled")
    assert run["waiting_on"] == []
    assert [(step["name"], step["status"]) for step in run["steps"]] == [("go", "cancelled")]


async def test_a_run_started_by_the_api_is_found_in_temporal_by_its_tenant_and_can_be_signalled_there(
    running, waiting_process
):
    answer = await running.client.post(f"/workflows/execute/{waiting_process}?wait=0", json={})
    run = await running.installation.run(answer.json()["execution_id"])
    await shown(running, run["workflow_id"], "waiting")
    query = f"StepwellTenant = 'tenant-1' AND StepwellTrigger = 'api' AND WorkflowId = '{run['workflow_id']}'"

    async def listed() -> bool:
        found = await temporal(running, "workflow", "list", "--query", query, "--output", "json")
        return run["workflow_id"] in found.said

    await until(listed, "the run is listed")
    sent = await temporal(
        running, "workflow", "signal", "--workflow-id", run["workflow_id"], "--name", "go", "--input", '{"by": "Grace"}'
    )
    assert sent.code == 0, sent.said
    assert (await shown(running, run["workflow_id"], "completed"))["result"] == {"by": "Grace"}
