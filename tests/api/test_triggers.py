"""Triggers over REST: made, checked, switched, removed, tried out."""

import pytest

from domain.ids import BUILTIN_TENANT
from tests.api.conftest import client_of, definition
from tests.api.test_events import listener, new, runs_of, send


@pytest.fixture
async def process(admin):
    answer = await admin.post("/workflows", json=definition())
    return answer.json()["name"]


async def make(client, process, kind, **config):
    answer = await client.post(
        "/triggers", json={"process": process, "type": "event", "config": {"event": kind, **config}}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_trigger_starts_its_process_until_it_is_switched_off_and_again_when_it_is_on(admin, process):
    kind = new("order")
    trigger = await make(admin, process, kind)
    assert (trigger["definition_id"], trigger["is_active"], trigger["created_by"]) == (
        None,
        True,
        "admin@" + trigger["tenant_id"] + ".example",
    )
    assert len((await send(admin, kind))["run_ids"]) == 1
    path = f"/triggers/{trigger['id']}"
    off = (await admin.patch(path, json={"is_active": False, "note": "too many"})).json()
    assert (off["is_active"], off["note"], off["config"]) == (False, "too many", {"event": kind, "action": "start"})
    assert (await send(admin, kind))["run_ids"] == []
    await admin.patch(path, json={"is_active": True})
    assert len((await send(admin, kind))["run_ids"]) == 1
    assert (await admin.delete(path)).status_code == 204
    assert (await admin.get(path)).status_code == (await admin.delete(path)).status_code == 404
    assert (await send(admin, kind))["run_ids"] == []


async def test_another_config_holds_from_the_next_event_on(admin, process):
    first, second = new("order"), new("order")
    trigger = await make(admin, process, first)
    changed = await admin.patch(f"/triggers/{trigger['id']}", json={"config": {"event": second, "condition": "n > 1"}})
    assert changed.status_code == 200, changed.text
    assert (await send(admin, first))["run_ids"] == []
    assert (await send(admin, second, {"n": 1}))["run_ids"] == []
    assert len((await send(admin, second, {"n": 2}))["run_ids"]) == 1
    bad = await admin.patch(f"/triggers/{trigger['id']}", json={"config": {"event": ""}})
    assert (bad.status_code, bad.json()["faults"][0]["path"]) == (422, "/config/event")


@pytest.mark.parametrize(
    ("body", "path", "told"),
    [
        ({"type": "event", "config": {}}, "/config/event", "missing"),
        ({"type": "event", "config": {"event": "a", "inptu": {}}}, "/config/inptu", "did you mean 'input'?"),
        ({"type": "evnt", "config": {"event": "a"}}, "/type", "did you mean 'event'?"),
        ({"type": "event", "config": {"event": "a", "condition": "a =="}}, "/config/condition", ""),
        ({"type": "event", "config": {"event": "a", "condition": "steps.tell.output"}}, "/config/condition", "event"),
        ({"type": "event", "config": {"event": "a", "rule": {"===?": [1]}}}, "/config/rule", ""),
        ({"type": "event", "config": {"event": "a", "key": "{{"}}, "/config/key", ""),
        ({"type": "event", "config": {"event": "a", "input": {"x": "{{a b}}"}}}, "/config/input/x", ""),
        ({"type": "event", "config": {"event": "a", "input": {"x": "{{$secret.K}}"}}}, "/config/input/x", "secret"),
        ({"type": "event", "config": {"event": "a", "action": "signal"}}, "/config", "signal_name"),
        ({"type": "event", "config": {"event": "a", "debounce": "soon"}}, "/config/debounce", "duration"),
        ({"type": "webhook", "config": {"event": "a"}}, "/config/path", "missing"),
        ({"type": "signal", "config": {"model": "a.B", "signal": "saved"}}, "/config/signal", "post_save"),
        ({"type": "schedule", "config": {"cron": "0 8 * * *"}}, "/type", "/schedules"),
        ({"type": "manual", "config": {}}, "/type", "/workflows/execute"),
    ],
)
async def test_what_publishing_would_refuse_is_refused_with_its_place(admin, process, body, path, told):
    answer = await admin.post("/triggers", json={"process": process, **body})
    assert answer.status_code == 422, answer.text
    faults = answer.json()["faults"]
    assert faults[0]["path"].startswith(path)
    assert told in f"{faults[0]['reason']} {faults[0]['remedy']}"
    assert (await admin.get(f"/triggers?process={process}")).json() == []


async def test_all_faults_are_told_at_once_and_an_unknown_process_by_its_neighbours(admin, process):
    config = {"event": "a", "condition": "a ==", "input": {"x": "{{a b}}"}}
    answer = await admin.post("/triggers", json={"process": process, "type": "event", "config": config})
    assert {each["path"] for each in answer.json()["faults"]} == {"/config/condition", "/config/input/x"}
    unknown = await admin.post("/triggers", json={"process": process + "x", "type": "event", "config": {"event": "a"}})
    (fault,) = unknown.json()["faults"]
    assert (unknown.status_code, fault["path"]) == (422, "/process")
    assert process in fault["remedy"]


async def test_the_triggers_of_a_definition_are_switched_but_changed_by_publishing_only(admin):
    kind = new("order")
    process = await listener(admin, kind)
    (trigger,) = (await admin.get(f"/triggers?process={process}")).json()
    path = f"/triggers/{trigger['id']}"
    assert trigger["definition_id"] is not None
    for refused in (await admin.patch(path, json={"config": {"event": "b"}}), await admin.delete(path)):
        assert refused.status_code == 409
        assert "publish a new version" in refused.json()["detail"]
    assert (await admin.patch(path, json={"is_active": False})).json()["is_active"] is False
    assert (await send(admin, kind))["run_ids"] == []
    body = {**definition(process, triggers=[{"type": "event", "config": {"event": kind}}]), "version": "1.0.1"}
    assert (await admin.post("/workflows", json=body)).status_code == 201
    assert (await admin.get(path)).json()["is_active"] is False, "a new version does not switch it on"


@pytest.fixture
async def built_in(parts):
    """A built-in process with a trigger, for as long as the test takes: every tenant sees it."""
    document = definition(triggers=[{"type": "event", "config": {"event": new("builtin")}}])
    published = await parts.publisher.publish(BUILTIN_TENANT, document)
    yield document
    await parts.publisher.delete(BUILTIN_TENANT, published.definition.id)


async def test_built_in_triggers_are_seen_and_not_changed(admin, built_in, stranger):
    document = built_in
    (trigger,) = (await admin.get(f"/triggers?process={document['name']}")).json()
    assert trigger["tenant_id"] is None
    path = f"/triggers/{trigger['id']}"
    for client in (admin, stranger):
        for refused in (await client.patch(path, json={"is_active": False}), await client.delete(path)):
            assert refused.status_code == 409
            assert "publish a process of that name" in refused.json()["detail"]
        assert (await client.get(path)).json()["is_active"] is True
    own = await make(admin, document["name"], new("own"))
    assert own["tenant_id"] is not None
    assert own["id"] not in [each["id"] for each in (await stranger.get("/triggers")).json()]


async def test_schedules_are_listed_and_managed_elsewhere(admin):
    trigger = {"type": "schedule", "config": {"cron": "0 8 * * *"}}
    name = (await admin.post("/workflows", json=definition(triggers=[trigger]))).json()["name"]
    (row,) = (await admin.get(f"/triggers?process={name}")).json()
    assert row["type"] == "schedule"
    refused = await admin.patch(f"/triggers/{row['id']}", json={"is_active": False})
    assert (refused.status_code, "/schedules" in refused.json()["detail"]) == (409, True)
    tried = await admin.post("/triggers/test", json={"event": {"event_type": "a"}, "trigger_id": row["id"]})
    assert tried.status_code == 409


async def tried(client, **body):
    answer = await client.post("/triggers/test", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_trying_out_shows_what_would_happen_and_starts_nothing(admin, process):
    kind = new("order")
    config = {"event": kind, "rule": {">": [{"var": "n"}, 1]}, "key": "{{event.who}}", "input": {"n": "{{event.n}}"}}
    trigger = {"process": process, "type": "event", "config": config}
    (yes,) = await tried(admin, event={"event_type": kind, "payload": {"n": 2, "who": "a"}}, trigger=trigger)
    assert (yes["status"], yes["process"], yes["key"], yes["input"]) == ("started", process, "a", {"n": 2})
    assert yes["explain"]["passed"] is True
    (no,) = await tried(admin, event={"event_type": kind, "payload": {"n": 1, "who": "a"}}, trigger=trigger)
    assert (no["status"], no["reason"], no["explain"]["passed"]) == ("no_match", "its rule is not true", False)
    (other,) = await tried(admin, event={"event_type": "x"}, trigger=trigger)
    assert (other["status"], other["reason"]) == ("no_match", f"it waits for {kind}")
    assert await runs_of(admin, process) == []
    assert (await admin.get(f"/events?type={kind}")).json() == []
    assert (await admin.get(f"/triggers?process={process}")).json() == []


async def test_a_stored_event_is_tried_on_a_stored_trigger_or_on_all(admin, process):
    kind = new("order")
    event = (await send(admin, kind, {"n": 2, "password": "hunter2"}))["event_id"]
    made = await make(admin, process, kind)
    other = await make(admin, process, kind, condition="n > 5")
    (one,) = await tried(admin, event_id=event, trigger_id=other["id"])
    assert (one["trigger_id"], one["status"]) == (other["id"], "no_match")
    traces = {each["trigger_id"]: each for each in await tried(admin, event_id=event)}
    assert {key: trace["status"] for key, trace in traces.items()} == {made["id"]: "started", other["id"]: "no_match"}
    assert traces[made["id"]]["input"] == {"n": 2, "password": "[redacted]"}
    assert (await admin.get(f"/events/{event}")).json()["deliveries"] == []


async def test_an_input_that_the_process_would_refuse_is_told(admin):
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    process = (await admin.post("/workflows", json=definition(input=schema))).json()["name"]
    trigger = {"process": process, "type": "event", "config": {"event": "a"}}
    (trace,) = await tried(admin, event={"event_type": "a", "payload": {"n": "x"}}, trigger=trigger)
    assert trace["status"] == "failed"
    assert "/n" in trace["reason"]


async def test_webhooks_rows_and_cloud_events_are_tried_too(admin, process):
    webhook = {"process": process, "type": "webhook", "config": {"path": "stripe", "event": "checkout.*"}}
    event = {"event_type": "checkout.done", "source": "stripe", "kind": "webhook", "payload": {"a": 1}}
    assert (await tried(admin, event=event, trigger=webhook))[0]["status"] == "started"
    row = {"process": process, "type": "signal", "config": {"model": "auth.User", "signal": "created"}}
    change = {"model": "auth.User", "signal": "post_save", "created": True}
    event = {"event_type": "x", "kind": "row", "payload": change}
    assert (await tried(admin, event=event, trigger=row))[0]["status"] == "started"
    cloud = {"specversion": "1.0", "id": "1", "source": "s", "type": "a"}
    plain = {"process": process, "type": "event", "config": {"event": "a"}}
    assert (await tried(admin, event=cloud, trigger=plain))[0]["status"] == "started"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, ""),
        ({"event_id": 1, "event": {"event_type": "a"}}, ""),
        ({"event": {"event_type": ""}}, "/event/event_type"),
        ({"event": {"specversion": "1.0", "id": "1", "source": "s"}}, "/event/type"),
        ({"event": {"event_type": "a"}, "trigger": {"process": "p", "type": "manual", "config": {}}}, "/trigger/type"),
        ({"event": {"event_type": "a"}, "trigger_id": 0}, "/trigger_id"),
    ],
)
async def test_a_trial_that_makes_no_sense_is_refused(admin, body, path):
    answer = await admin.post("/triggers/test", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["faults"][0]["path"] == path


async def test_another_tenants_triggers_and_events_are_not_there(admin, stranger, process):
    kind = new("order")
    trigger = await make(admin, process, kind)
    event = (await send(admin, kind))["event_id"]
    path = f"/triggers/{trigger['id']}"
    answers = [
        await stranger.get(path),
        await stranger.patch(path, json={"is_active": False}),
        await stranger.delete(path),
        await stranger.post("/triggers/test", json={"event_id": event}),
        await stranger.post("/triggers/test", json={"event": {"event_type": kind}, "trigger_id": trigger["id"]}),
        await stranger.get(f"/triggers/{2**63}"),
    ]
    assert [each.status_code for each in answers] == [404] * 6
    assert (await stranger.post("/events", json={"event_type": kind})).json()["run_ids"] == []
    theirs = await stranger.post("/triggers", json={"process": process, "type": "event", "config": {"event": kind}})
    assert (theirs.status_code, theirs.json()["faults"][0]["path"]) == (422, "/process")


async def test_roles_make_change_and_remove_triggers_as_they_do_processes(app, tenant, process):
    body = {"process": process, "type": "event", "config": {"event": "a"}}
    for role, status in (("editor", 201), ("operator", 403), ("viewer", 403)):
        async with client_of(app, authorization=f"Bearer {tenant.tokens[role]}") as client:
            assert (await client.get("/triggers")).status_code == 200
            assert (await client.post("/triggers", json=body)).status_code == status
