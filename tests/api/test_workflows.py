"""Processes over REST, in the shapes of the documents."""

import asyncio

import pytest

from tests.api.conftest import definition

ORDER_PROCESSING = {
    "name": "order_processing",
    "description": "Process customer orders",
    "definition": {
        "steps": [
            {
                "name": "validate_order",
                "type": "service_call",
                "service": "chat",
                "method": "post",
                "params": {"channel": "orders", "text": "Order ${context.order_id} is ready"},
                "max_retries": 3,
            }
        ]
    },
    "version": "1.0.0",
}


async def test_a_workflow_is_created_shown_changed_and_deleted_as_the_document_says(admin, tenant):
    created = await admin.post("/workflows", json=ORDER_PROCESSING)
    assert created.status_code == 201
    workflow = created.json()
    assert workflow.keys() >= {"id", "name", "description", "definition", "is_active", "version", "tags", "tenant_id"}
    assert workflow.keys() >= {"created_at", "updated_at", "digest"}
    assert (workflow["name"], workflow["version"], workflow["tenant_id"]) == ("order_processing", "1.0.0", tenant.id)
    assert created.headers["location"] == f"/workflows/{workflow['id']}"
    assert (await admin.get(f"/workflows/{workflow['id']}")).json() == workflow

    put = await admin.put(f"/workflows/{workflow['id']}", json={"description": "Orders", "is_active": False})
    assert put.status_code == 200
    assert (put.json()["description"], put.json()["is_active"], put.json()["digest"]) == (
        "Orders",
        False,
        workflow["digest"],
    )
    assert (await admin.post("/workflows/execute/order_processing", json={"order_id": 1})).status_code == 404

    assert (await admin.delete(f"/workflows/{workflow['id']}")).status_code == 204
    assert (await admin.get(f"/workflows/{workflow['id']}")).status_code == 404


async def test_the_list_has_the_documents_shape_and_can_be_filtered(admin):
    on, off = definition(), definition()
    await admin.post("/workflows", json=on)
    await admin.post("/workflows", json={**off, "is_active": False})
    listed = (await admin.get("/workflows?limit=1000")).json()
    assert listed["total"] == len(listed["workflows"])
    active = {each["name"]: each["is_active"] for each in listed["workflows"]}
    assert (active[on["name"]], active[off["name"]]) == (True, False)
    assert {each["is_active"] for each in (await admin.get("/workflows?is_active=false")).json()["workflows"]} == {
        False
    }
    first = (await admin.get("/workflows?limit=1")).json()
    assert (len(first["workflows"]), first["total"]) == (1, listed["total"])
    assert first["workflows"][0]["definition"]["steps"]


async def test_another_definition_makes_a_new_version_and_keeps_what_is_not_said(admin):
    workflow = (await admin.post("/workflows", json=definition(description="Tells", tags={"team": "a"}))).json()
    steps = [{"name": "tell", "action": "chat.post", "config": {"channel": "#b"}}]
    changed = (
        await admin.patch(f"/workflows/{workflow['id']}", json={"definition": {"steps": steps}, "version": "2.0"})
    ).json()
    assert changed["digest"] != workflow["digest"]
    assert (changed["version"], changed["description"], changed["tags"]) == ("2.0", "Tells", {"team": "a"})
    assert changed["definition"]["steps"][0]["config"] == {"channel": "#b"}
    renumbered = (await admin.patch(f"/workflows/{workflow['id']}", json={"version": "3.0"})).json()
    assert (renumbered["version"], renumbered["definition"]["steps"]) == ("3.0", changed["definition"]["steps"])


async def test_a_workflow_cannot_be_renamed_or_get_fields_that_are_none(admin):
    workflow = (await admin.post("/workflows", json=definition())).json()
    path = f"/workflows/{workflow['id']}"
    for body, place in (
        ({"name": "another"}, "/name"),
        ({"tenant_id": "t"}, "/tenant_id"),
        ({"is_active": "no"}, "/is_active"),
        ([], ""),
    ):
        answer = await admin.put(path, json=body)
        assert answer.status_code == 422, body
        assert answer.json()["faults"][0]["path"] == place


async def test_the_same_version_with_other_content_is_a_conflict(admin):
    first = definition()
    assert (await admin.post("/workflows", json=first)).status_code == 201
    assert (await admin.post("/workflows", json=first)).status_code == 201
    other = {**first, "steps": [{"name": "tell", "action": "chat.say", "config": {"channel": "#c"}}]}
    assert (await admin.post("/workflows", json=other)).status_code == 409
    assert (await admin.post("/workflows", json={**other, "version": "1.1.0"})).json()["version"] == "1.1.0"


async def test_a_faulty_definition_is_answered_with_every_fault_and_stores_nothing(admin):
    faulty = definition()
    faulty["steps"] += [
        {"name": "tell", "action": "chat.pots", "config": {"channel": "#a"}},
        {"name": "more", "action": "chat.post", "config": {}},
    ]
    answer = await admin.post("/workflows", json=faulty)
    assert (answer.status_code, answer.json()["code"]) == (422, "DEFINITION_INVALID")
    faults = answer.json()["faults"]
    assert len(faults) >= 3
    assert all(fault["path"].startswith("/steps/") and fault["reason"] for fault in faults)
    assert any("chat.post" in fault["remedy"] for fault in faults)
    assert faulty["name"] not in (await admin.get("/workflows?limit=1000")).text


async def test_validate_tells_the_same_and_stores_nothing(admin):
    good = definition()
    assert (await admin.post("/workflows/validate", json=good)).json() == {"valid": True, "faults": []}
    bad = (await admin.post("/workflows/validate", json={**good, "steps": []})).json()
    assert not bad["valid"]
    assert bad["faults"]
    assert good["name"] not in (await admin.get("/workflows?limit=1000")).text


async def test_yaml_is_taken_by_its_media_type(admin):
    text = "name: from_yaml\nsteps:\n- {name: tell, action: chat.post, config: {channel: '#a'}}\n"
    headers = {"content-type": "application/yaml"}
    assert (await admin.post("/workflows", content=text, headers=headers)).json()["name"] == "from_yaml"
    bomb = "a: &a [x, x]\nb: [*a, *a]\n"
    assert (await admin.post("/workflows", content=bomb, headers=headers)).status_code == 422
    checked = (await admin.post("/workflows/validate", content=bomb, headers=headers)).json()
    assert (checked["valid"], bool(checked["faults"])) == (False, True)


async def test_built_in_workflows_are_everybodys_and_nobodys_to_change(admin, parts):
    await parts.publisher.publish("", definition("built_in_example"))
    builtin = (await admin.get("/workflows/builtin")).json()
    workflow = next(each for each in builtin["workflows"] if each["name"] == "built_in_example")
    assert workflow["tenant_id"] is None
    assert (await admin.get(f"/workflows/{workflow['id']}")).status_code == 200
    assert (await admin.put(f"/workflows/{workflow['id']}", json={"is_active": False})).status_code == 409
    assert (await admin.delete(f"/workflows/{workflow['id']}")).status_code == 409


async def test_a_run_that_ends_in_time_is_answered_with_its_result_in_the_documents_shape(admin, tenant, worker):
    workflow = (await admin.post("/workflows", json=definition())).json()
    request = asyncio.create_task(
        admin.post(f"/workflows/execute/{workflow['name']}?wait=30", json={"lead_id": "l-1", "tenant_id": tenant.id})
    )
    run = await _accepted(admin, workflow["name"])
    await worker.begin(run["id"])
    await worker.finish(tenant.id, run["id"], result={"customer_id": "c-1"})
    answer = await request
    assert answer.status_code == 200
    body = answer.json()
    assert body["execution_id"] == body["id"] == run["id"]
    assert (body["workflow_id"], body["status"], body["trigger_type"]) == (workflow["id"], "completed", "api")
    assert body["context"] == {"lead_id": "l-1", "tenant_id": tenant.id}
    assert body["result"] == {"customer_id": "c-1"}
    assert body["error"] is None
    assert body["duration_seconds"] >= 0


async def test_a_run_that_failed_is_answered_200_with_its_error(admin, tenant, worker):
    workflow = (await admin.post("/workflows", json=definition())).json()
    request = asyncio.create_task(
        admin.post(f"/workflows/execute/{workflow['name']}", json={}, headers={"prefer": "wait=30"})
    )
    run = await _accepted(admin, workflow["name"])
    await worker.begin(run["id"])
    error = {"code": "UPSTREAM_5XX", "message": "the chat is down", "step": "tell", "details": {}}
    await worker.finish(tenant.id, run["id"], status="failed", error=error)
    answer = await request
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=30")
    assert (answer.json()["status"], answer.json()["error"]) == ("failed", error)
    assert answer.json()["error_message"] == "the chat is down"


async def _accepted(client, name):
    while not (runs := (await client.get(f"/workflows/executions?workflow={name}")).json()):
        pass
    return runs[0]


async def test_a_run_that_does_not_end_in_time_is_202_with_where_to_look(admin):
    workflow = (await admin.post("/workflows", json=definition())).json()
    for query, headers in (("?wait=0", {}), ("?wait=0.01", {}), ("", {}), ("?wait=0", {"prefer": "wait=30"})):
        answer = await admin.post(f"/workflows/execute/{workflow['name']}{query}", json={}, headers=headers)
        assert (answer.status_code, answer.json()["status"]) == (202, "pending")
        assert (await admin.get(answer.headers["location"])).json()["id"] == answer.json()["execution_id"]
    answer = await admin.post(
        f"/workflows/execute/{workflow['name']}", json={}, headers={"prefer": "respond-async, wait=30"}
    )
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "respond-async")


@pytest.mark.parametrize("wait", ["61", "-1", "nan", "inf", "soon"])
async def test_a_wait_that_cannot_be_is_422(admin, wait):
    assert (await admin.post(f"/workflows/execute/x?wait={wait}", json={})).status_code == 422


async def test_no_body_is_an_empty_input_and_no_object_is_422(admin):
    workflow = (await admin.post("/workflows", json=definition())).json()
    path = f"/workflows/execute/{workflow['name']}"
    assert (await admin.post(path)).json()["context"] == {}
    answer = await admin.post(path, json=[1])
    assert (answer.status_code, answer.json()["faults"][0]["path"]) == (422, "")


async def test_wrong_input_is_422_with_pointers_and_defaults_are_filled_in(admin):
    schema = {
        "type": "object",
        "required": ["amount"],
        "properties": {"amount": {"type": "integer"}, "currency": {"type": "string", "default": "EUR"}},
    }
    workflow = (await admin.post("/workflows", json=definition(input=schema))).json()
    path = f"/workflows/execute/{workflow['name']}"
    answer = await admin.post(path, json={"amount": "ten"})
    assert (answer.status_code, answer.json()["code"]) == (422, "INPUT_INVALID")
    assert answer.json()["faults"][0]["path"] == "/amount"
    assert (await admin.post(path, json={"amount": 10})).json()["context"] == {"amount": 10, "currency": "EUR"}


async def test_an_unknown_process_is_404_with_names_that_look_alike(admin):
    await admin.post("/workflows", json=definition("partner_onboarding"))
    for name in ("partner_onbording", "Partner_Onboarding"):
        answer = await admin.post(f"/workflows/execute/{name}", json={})
        assert answer.status_code == 404, name
    answer = await admin.post("/workflows/execute/partner_onbording", json={})
    assert "partner_onboarding" in answer.json()["detail"]


async def test_one_idempotency_key_is_one_run_however_many_ask(admin):
    workflow = (await admin.post("/workflows", json=definition())).json()
    path, headers = f"/workflows/execute/{workflow['name']}", {"idempotency-key": "order-1"}
    answers = await asyncio.gather(*(admin.post(path, json={"a": 1}, headers=headers) for _ in range(20)))
    assert len({answer.json()["execution_id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert (await admin.post(path, json={"a": 2}, headers=headers)).status_code == 409
    assert (await admin.post(path, json={"a": 1}, headers={"idempotency-key": "x" * 256})).status_code == 422


async def test_statistics_have_the_documents_shape(admin, tenant, worker):
    workflow = (await admin.post("/workflows", json=definition())).json()
    for status in ("completed", "completed", "completed", "failed"):
        run = (await admin.post(f"/workflows/execute/{workflow['name']}", json={})).json()
        await worker.begin(run["id"])
        await worker.finish(tenant.id, run["id"], status=status)
    statistics = (await admin.get(f"/workflows/{workflow['id']}/stats")).json()
    assert statistics.pop("average_duration_seconds") >= 0
    assert statistics == {
        "workflow_id": workflow["id"],
        "total_executions": 4,
        "successful_executions": 3,
        "failed_executions": 1,
        "success_rate": 0.75,
    }
    assert workflow["id"] in [each["workflow_id"] for each in (await admin.get("/workflows/stats")).json()]


async def test_the_catalogue_lists_each_action_once_with_its_schemas(viewer):
    catalogue = (await viewer.get("/connectors")).json()
    assert catalogue["total"] == 1
    [chat] = catalogue["connectors"]
    [post] = chat["actions"]
    assert (chat["name"], post["name"], post["effect"], post["aliases"]) == ("chat", "chat.post", "read", ["chat.say"])
    assert (post["title"], post["description"]) == ("Post a message.", "To a channel.")
    assert post["input_schema"]["required"] == ["channel"]
