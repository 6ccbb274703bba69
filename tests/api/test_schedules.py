"""Schedules over REST: what needs no Temporal works without it, the rest with a real one."""

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from control.schedules import Schedules
from tests.api.conftest import client_of, definition, running

DAILY = {"cron": "0 8 * * 1-5", "timezone": "Europe/Berlin"}


@pytest.fixture
async def process(admin):
    """A process that people have made no schedule of yet."""
    schema = {"type": "object", "properties": {"token": {"type": "string"}, "n": {"type": "integer"}}}
    created = await admin.post("/workflows", json=definition(input=schema))
    assert created.status_code == 201
    return created.json()["name"]


@pytest.fixture
async def on_temporal(parts, tenant, temporal_client, task_queue):
    """The administrator, where Temporal can be reached."""
    schedules = Schedules(parts.database, temporal_client, task_queue)
    reachable = dataclasses.replace(parts, temporal=temporal_client, schedules=schedules)
    headers = {"authorization": f"Bearer {tenant.tokens['admin']}"}
    async with running(reachable) as app, client_of(app, **headers) as client:
        yield client


async def create(client, process, **body):
    answer = await client.post("/schedules", json={"process": process, **(body or DAILY)})
    assert answer.status_code == 201, answer.text
    return answer.json()


def faults_of(answer):
    assert answer.status_code == 422, answer.text
    return {fault["path"]: fault for fault in answer.json()["faults"]}


async def test_a_schedule_is_made_listed_changed_and_deleted_while_temporal_is_down(admin, process):
    answer = await admin.post("/schedules", json={"process": process, **DAILY, "note": "for the office"})
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == f"/schedules/{made['id']}"
    assert made["words"] == "every weekday at 08:00 Europe/Berlin"
    assert (made["overlap"], made["catchup_window"], made["jitter"]) == ("skip", "1h", 0)
    assert (made["is_active"], made["origin"], made["note"]) == (True, "own", "for the office")
    assert len(made["next_runs"]) == 5
    assert (await admin.get("/schedules", params={"process": process})).json() == [made]

    changed = (await admin.patch(f"/schedules/{made['id']}", json={"every": "2h", "timezone": None})).json()
    assert (changed["cron"], changed["every"], changed["words"]) == (None, "2h", "every 2 hours")
    assert (await admin.delete(f"/schedules/{made['id']}")).status_code == 204
    assert (await admin.get("/schedules", params={"process": process})).json() == []


async def test_pausing_and_resuming_need_no_temporal_and_keep_the_note(admin, process):
    made = await create(admin, process)
    paused = (await admin.post(f"/schedules/{made['id']}/pause", json={"note": "holidays"})).json()
    assert (paused["is_active"], paused["note"], paused["next_runs"]) == (False, "holidays", [])
    resumed = (await admin.post(f"/schedules/{made['id']}/resume", json={})).json()
    assert (resumed["is_active"], resumed["note"]) == (True, "")


async def test_what_only_temporal_can_tell_or_do_says_when_to_ask_again_while_it_is_down(admin, process):
    path = f"/schedules/{(await create(admin, process))['id']}"
    now = datetime.now(UTC)
    period = {"start": (now - timedelta(days=7)).isoformat(), "end": now.isoformat()}
    for answer in (
        await admin.get(path),
        await admin.post(f"{path}/run", json={}),
        await admin.post(f"{path}/backfill", json=period),
    ):
        assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
        assert int(answer.headers["retry-after"]) > 0


async def test_every_fault_of_a_schedule_is_told_at_once_with_its_place_and_remedy(admin, process):
    body = {"process": process, "cron": "0 9 * * MON#2", "timezone": "Mars/Olympus", "input": {"n": "{{event.n}}"}}
    faults = faults_of(await admin.post("/schedules", json=body))
    assert faults.keys() == {"/cron", "/timezone", "/input/n"}
    assert all(fault["remedy"] for fault in faults.values())
    assert faults_of(
        await admin.post("/schedules", json={"process": process, **DAILY, "overlap": "pile_up"})
    ).keys() == {"/overlap"}
    assert "/input/n" in faults_of(
        await admin.post("/schedules", json={"process": process, **DAILY, "input": {"n": "x"}})
    )
    assert "/every" in faults_of(await admin.post("/schedules", json={"process": process, "every": "soon"}))
    assert (await admin.post("/schedules", json={"process": "p_absent", **DAILY})).status_code == 404


async def test_a_preview_tells_words_and_times_and_makes_nothing(viewer, admin, process):
    answer = await viewer.post("/schedules/preview", json={**DAILY, "count": 3})
    assert answer.json()["words"] == "every weekday at 08:00 Europe/Berlin"
    assert len(answer.json()["next_runs"]) == 3
    assert "/cron" in faults_of(await viewer.post("/schedules/preview", json={"cron": "0 0 31 2 *"}))
    assert (await admin.get("/schedules", params={"process": process})).json() == []


async def test_the_schedule_of_a_definition_is_listed_paused_and_not_changed(admin):
    name = (await admin.post("/workflows", json=definition(triggers=[{"type": "schedule", "config": DAILY}]))).json()[
        "name"
    ]
    (found,) = (await admin.get("/schedules", params={"process": name})).json()
    assert found["origin"] == "definition"
    path = f"/schedules/{found['id']}"
    assert (await admin.patch(path, json={"every": "1h"})).status_code == 409
    assert (await admin.delete(path)).status_code == 409
    assert (await admin.post(f"{path}/pause", json={})).json()["is_active"] is False


async def test_whoever_may_not_read_payloads_does_not_see_the_input_and_nobody_its_secrets(admin, viewer, process):
    made = await create(admin, process, **DAILY, input={"token": "hush", "n": 1})
    assert made["input"] == {"token": "[redacted]", "n": 1}
    (seen,) = (await viewer.get("/schedules", params={"process": process})).json()
    assert seen["input"] is None


async def test_another_tenants_schedules_look_as_if_they_were_not_there(admin, stranger, process):
    schedule = (await create(admin, process))["id"]
    now = datetime.now(UTC).isoformat()
    for method, path, body in (
        ("GET", "/schedules/{}", None),
        ("PATCH", "/schedules/{}", {"every": "1h"}),
        ("DELETE", "/schedules/{}", None),
        ("POST", "/schedules/{}/pause", {}),
        ("POST", "/schedules/{}/resume", {}),
        ("POST", "/schedules/{}/run", {}),
        ("POST", "/schedules/{}/backfill", {"start": now, "end": now}),
    ):
        for which in (schedule, 2**31, 2**70, -1):
            answer = await stranger.request(method, path.format(which), json=body)
            assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND"), (method, path, which)
    assert (await stranger.get("/schedules", params={"process": process})).json() == []


async def test_run_now_and_show_tell_of_the_run_as_temporal_does(on_temporal, process):
    path = f"/schedules/{(await create(on_temporal, process))['id']}"
    shown = (await on_temporal.get(path)).json()
    assert len(shown["next_runs"]) == 5
    assert shown["last_runs"] == []
    assert (await on_temporal.post(f"{path}/run", json={})).status_code == 202
    async with asyncio.timeout(30):
        while not (last := (await on_temporal.get(path)).json()["last_runs"]):
            await asyncio.sleep(0.05)
    assert last[0]["workflow_id"].startswith(f"{process}:")
    assert last[0]["execution_id"] is None  # no worker has taken it up
    assert (await on_temporal.delete(path)).status_code == 204


async def test_a_backfill_says_how_many_runs_it_starts(on_temporal, process):
    schedule = await create(on_temporal, process, every="1h")
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    body = {"start": (end - timedelta(hours=5)).isoformat(), "end": end.isoformat(), "overlap": "allow_all"}
    answer = await on_temporal.post(f"/schedules/{schedule['id']}/backfill", json=body)
    assert (answer.status_code, answer.json()) == (202, {"runs": 6})
    future = {**body, "end": (end + timedelta(days=1)).isoformat()}
    assert "/end" in faults_of(await on_temporal.post(f"/schedules/{schedule['id']}/backfill", json=future))
    assert (await on_temporal.delete(f"/schedules/{schedule['id']}")).status_code == 204
