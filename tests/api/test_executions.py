"""Runs over REST: listed, shown, cancelled; what is secret in them stays so."""

import re

import pytest

from tests.api.conftest import definition

STEP = {
    "path": "tell",
    "name": "tell",
    "type": "action",
    "action": "chat.post",
    "status": "completed",
    "input": {"channel": "#a", "api_key": "hunter2"},
    "output": {"id": 1, "nested": [{"password": "hunter2"}]},
}


@pytest.fixture
async def runs(admin, tenant, worker):
    """Five runs of one process: two completed, one failed, one running, one pending."""
    workflow = (await admin.post("/workflows", json=definition())).json()
    ids = []
    for status in ("completed", "completed", "failed", "running", "pending"):
        body = {"email": "a@b", "token": "hunter2"}
        run = (await admin.post(f"/workflows/execute/{workflow['name']}", json=body)).json()["id"]
        ids.append(run)
        if status != "pending":
            await worker.begin(run)
        if status in ("completed", "failed"):
            result = {"ok": True, "client_secret": "hunter2"}
            await worker.finish(tenant.id, run, status=status, steps=[STEP], result=result)
    return workflow, ids


async def test_the_list_is_a_bare_array_the_newest_first_with_totals_and_links(admin, runs):
    workflow, ids = runs
    answer = await admin.get(f"/workflows/executions?workflow={workflow['name']}&limit=2&offset=2")
    assert [each["id"] for each in answer.json()] == [ids[2], ids[1]]
    assert answer.headers["x-total-count"] == "5"
    rels = {rel: url for url, rel in re.findall(r'<([^>]*)>; rel="(\w+)"', answer.headers["link"])}
    assert set(rels) == {"first", "prev", "next", "last"}
    assert [each["id"] for each in (await admin.get(rels["next"])).json()] == [ids[0]]
    assert [each["id"] for each in (await admin.get(rels["prev"])).json()] == [ids[4], ids[3]]
    assert "link" not in (await admin.get(f"/workflows/executions?workflow={workflow['name']}")).headers


async def test_the_list_is_filtered_by_workflow_status_trigger_and_time(admin, runs):
    workflow, ids = runs

    async def found(**filters):
        answer = await admin.get("/workflows/executions", params={"workflow": workflow["name"], **filters})
        return sorted(each["id"] for each in answer.json())

    assert await found(workflow=workflow["id"]) == ids
    assert await found(workflow="999999999999999999") == []
    assert await found(status="completed") == ids[:2]
    assert await found(status="running") == [ids[3]]
    assert await found(trigger_type="api") == ids
    assert await found(trigger_type="scheduled") == []
    begun = (await admin.get(f"/workflows/executions/{ids[2]}")).json()["created_at"]
    assert await found(since=begun) == ids[2:]
    assert await found(until=begun) == ids[:2]


async def test_durations_and_steps_are_there_when_asked_for(admin, runs):
    workflow, ids = runs
    path = f"/workflows/executions?workflow={workflow['name']}"
    plain = (await admin.get(path)).json()
    assert all("steps" not in each and "duration_seconds" not in each for each in plain)
    full = {each["id"]: each for each in (await admin.get(f"{path}&include_steps=true&include_duration=true")).json()}
    assert [step["name"] for step in full[ids[0]]["steps"]] == ["tell"]
    assert full[ids[0]]["duration_seconds"] >= 0
    assert (full[ids[4]]["steps"], full[ids[4]]["duration_seconds"]) == ([], None)
    one = (await admin.get(f"/workflows/executions/{ids[0]}?include_steps=true")).json()
    assert one["steps"] == full[ids[0]]["steps"]


async def test_what_its_key_says_is_secret_is_redacted_for_all(admin, runs):
    _, ids = runs
    answer = await admin.get(f"/workflows/executions/{ids[0]}?include_steps=true")
    assert "hunter2" not in answer.text
    run = answer.json()
    assert run["context"] == {"email": "a@b", "token": "[redacted]"}
    assert run["result"] == {"ok": True, "client_secret": "[redacted]"}
    assert run["steps"][0]["input"] == {"channel": "#a", "api_key": "[redacted]"}
    assert run["steps"][0]["output"] == {"id": 1, "nested": [{"password": "[redacted]"}]}


async def test_those_who_may_not_read_payloads_see_none(viewer, runs):
    workflow, ids = runs
    for answer in (
        await viewer.get(f"/workflows/executions/{ids[0]}?include_steps=true"),
        await viewer.get(f"/workflows/executions?workflow={workflow['name']}&include_steps=true"),
    ):
        assert answer.status_code == 200
        assert "a@b" not in answer.text
        assert "#a" not in answer.text
    run = (await viewer.get(f"/workflows/executions/{ids[0]}?include_steps=true")).json()
    assert (run["context"], run["result"], run["steps"][0]["input"], run["steps"][0]["output"]) == (None,) * 4
    assert (run["status"], run["steps"][0]["status"]) == ("completed", "completed")


async def test_cancelling_ends_a_pending_run_and_is_a_conflict_afterwards(admin, runs):
    _, ids = runs
    assert (await admin.post(f"/workflows/executions/{ids[4]}/cancel")).status_code == 204
    assert (await admin.get(f"/workflows/executions/{ids[4]}")).json()["status"] == "cancelled"
    assert (await admin.post(f"/workflows/executions/{ids[4]}/cancel")).status_code == 409


async def test_what_needs_temporal_is_503_while_it_is_away(admin, runs):
    _, ids = runs
    for verb, body in (
        ("cancel", None),
        ("signal", {"name": "go"}),
        ("resolve", {"step": "tell", "decision": "skip"}),
    ):
        answer = await admin.post(f"/workflows/executions/{ids[3]}/{verb}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE"), verb
        assert "retry-after" in answer.headers


async def test_signals_and_resolutions_are_checked(admin, runs):
    _, ids = runs
    assert (await admin.post(f"/workflows/executions/{ids[0]}/signal", json={"name": "go"})).status_code == 409
    assert (await admin.post(f"/workflows/executions/{ids[3]}/signal", json={"nam": "go"})).status_code == 422
    body = {"step": "tell", "decision": "perhaps"}
    assert (await admin.post(f"/workflows/executions/{ids[3]}/resolve", json=body)).status_code == 422
