"""Events over REST: taken in once, found, shown with what was made of them, replayed."""

import asyncio
import dataclasses
import json
import re
import uuid

import pytest
from prometheus_client.parser import text_string_to_metric_families

from control.events import Events
from store.database import Database
from tests.api.conftest import client_of, definition, make_tenant, running

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
STRUCTURED = {"content-type": "application/cloudevents+json"}
BATCH = {"content-type": "application/cloudevents-batch+json"}


def new(prefix: str) -> str:
    return f"{prefix}.{uuid.uuid4().hex[:12]}"


def cloud_event(**more):
    return {"specversion": "1.0", "id": uuid.uuid4().hex, "source": "/shop", "type": new("order"), **more}


async def listener(client, event_type, **config):
    """A process that such events start; its name."""
    trigger = {"type": "event", "config": {"event": event_type, **config}}
    answer = await client.post("/workflows", json=definition(triggers=[trigger]))
    assert answer.status_code == 201, answer.text
    return answer.json()["name"]


async def send(client, event_type, payload=None, **more):
    answer = await client.post("/events", json={"event_type": event_type, "payload": payload or {}, **more})
    assert answer.status_code == 202, answer.text
    return answer.json()


async def runs_of(client, process):
    return (await client.get("/workflows/executions", params={"workflow": process})).json()


async def test_an_event_starts_the_process_that_waits_for_it_and_a_repetition_starts_nothing(admin):
    kind = new("order")
    process = await listener(admin, kind)
    body = {"event_type": kind, "payload": {"total": 5}, "idempotency_key": "o-1", "source": "shop", "subject": "o/1"}
    first = await admin.post("/events", json=body)
    again = await admin.post("/events", json={**body, "payload": {"total": 6}})
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.headers["idempotent-replayed"] == "true"
    taken = first.json()
    assert taken["created"] is True
    assert taken["status"] == "dispatched"
    assert again.json() == {**taken, "created": False}
    assert first.headers["location"] == again.headers["location"] == f"/events/{taken['event_id']}"
    (run,) = await runs_of(admin, process)
    assert [run["id"]] == taken["run_ids"]
    assert run["context"] == {"total": 5}
    assert run["trigger_type"] == "event"


async def test_the_idempotency_key_may_be_a_header_and_the_body_has_precedence(admin):
    kind, key = new("order"), uuid.uuid4().hex
    first = await admin.post("/events", json={"event_type": kind}, headers={"idempotency-key": key})
    again = await admin.post("/events", json={"event_type": kind, "idempotency_key": key})
    other = await admin.post(
        "/events", json={"event_type": kind, "idempotency_key": "x" + key}, headers={"idempotency-key": key}
    )
    assert again.json()["event_id"] == first.json()["event_id"] != other.json()["event_id"]


async def test_without_a_key_every_event_is_its_own(admin):
    kind = new("order")
    assert (await send(admin, kind))["event_id"] != (await send(admin, kind))["event_id"]


async def test_many_deliveries_of_one_event_at_once_start_one_run(admin):
    kind = new("order")
    process = await listener(admin, kind)
    body = {"event_type": kind, "idempotency_key": "same"}
    answers = await asyncio.gather(*(admin.post("/events", json=body) for _ in range(40)))
    assert sorted(each.status_code for each in answers) == [200] * 39 + [202]
    assert len({(each.json()["event_id"], tuple(each.json()["run_ids"])) for each in answers}) == 1
    assert len(await runs_of(admin, process)) == 1


async def test_all_modes_of_a_cloud_event_are_the_same_event(admin):
    event = cloud_event(subject="o/1", time="2026-04-05T17:31:00Z", region="de", data={"total": 5})
    process = await listener(admin, event["type"])
    structured = await admin.post("/events", content=json.dumps(event), headers=STRUCTURED)
    binary = await admin.post(
        "/events",
        json=event["data"],
        headers={
            f"ce-{name}": event[name] for name in ("specversion", "id", "source", "type", "subject", "time", "region")
        },
    )
    batch = await admin.post("/events", content=json.dumps([event]), headers=BATCH)
    assert [each.status_code for each in (structured, binary, batch)] == [202, 200, 200]
    ids = {each["event_id"] for each in (structured.json(), binary.json(), batch.json()[0])}
    assert len(ids) == 1
    assert len(await runs_of(admin, process)) == 1
    shown = (await admin.get(structured.headers["location"])).json()
    assert (shown["key"], shown["source"], shown["type"], shown["subject"]) == (
        event["id"],
        "/shop",
        event["type"],
        "o/1",
    )
    assert shown["occurred_at"] == "2026-04-05T17:31:00Z"
    assert shown["payload"] == {"total": 5}
    assert shown["headers"]["ce_region"] == "de"


async def test_each_event_of_a_batch_has_its_answer_and_a_bad_one_keeps_no_other_out(admin):
    good, bad = cloud_event(data={"a": 1}), cloud_event(time="soon")
    process = await listener(admin, good["type"])
    answer = await admin.post("/events", content=json.dumps([bad, good, 5, good]), headers=BATCH)
    assert answer.status_code == 207
    first, second, third, fourth = answer.json()
    assert (first["problem"]["status"], first["problem"]["faults"][0]["path"]) == (422, "/0/time")
    assert third["problem"]["faults"][0]["path"] == "/2"
    assert (second["created"], fourth["created"]) == (True, False)
    assert second["event_id"] == fourth["event_id"]
    assert len(await runs_of(admin, process)) == 1
    assert (await admin.post("/events", content="[]", headers=BATCH)).json() == []
    too_many = await admin.post("/events", content=json.dumps([1] * 501), headers=BATCH)
    assert (too_many.status_code, too_many.json()["code"]) == (413, "BATCH_TOO_LARGE")
    assert (await admin.post("/events", content="{}", headers=BATCH)).status_code == 422


@pytest.mark.parametrize(
    ("body", "headers", "status", "named"),
    [
        ('{"event_type": ""}', {}, 422, "/event_type"),
        ('{"event_type": "a\\nb"}', {}, 422, "/event_type"),
        ("{}", {}, 422, "/event_type"),
        ('{"event_type": "a", "sauce": "b"}', {}, 422, "/sauce"),
        ('{"event_type": "a", "occurred_at": "2026-01-01T00:00:00"}', {}, 422, "/occurred_at"),
        ('{"event_type": "a", "occurred_at": 5}', {}, 422, "/occurred_at"),
        ('{"event_type": "a", "idempotency_key": ""}', {}, 422, "/idempotency_key"),
        ('{"event_type": "a"}', {"idempotency-key": "x" * 301}, 422, "idempotency-key"),
        ("[]", {}, 422, "dictionary"),
        ('{"event_type": "a", "payload": NaN}', {}, 400, "/payload"),
        ('{"event_type": "a", "payload": {"b": 1, "b": 2}}', {}, 400, "/payload/b"),
        ('{"event_type": "a", "payload": "\\u0000"}', {}, 400, "/payload"),
        ("{", STRUCTURED, 400, "not JSON"),
        ('{"specversion": "1.0", "id": "1", "source": "s"}', STRUCTURED, 422, "/type"),
        ("{}", {"ce-id": "1", "content-type": "application/json"}, 422, "ce-type"),
        ("{}", {"content-type": "application/cloudevents+avro"}, 415, "avro"),
        ("a=b", {"content-type": "application/x-www-form-urlencoded"}, 415, "form-urlencoded"),
        ("x" * 70_000, {}, 413, "limit"),
    ],
)
async def test_what_does_not_fit_is_refused_by_name_and_not_kept(admin, body, headers, status, named):
    _, before = await listed(admin)
    answer = await admin.post("/events", content=body, headers={"content-type": "application/json", **headers})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert named in answer.text
    assert (await listed(admin))[1] == before


async def listed(client, **filters):
    answer = await client.get("/events", params=filters)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()], int(answer.headers["x-total-count"])


async def test_the_trace_id_is_the_senders(admin):
    traced = await admin.post("/events", json={"event_type": "a"}, headers={"traceparent": TRACEPARENT})
    assert traced.json()["trace_id"] == TRACE
    correlated = await admin.post("/events", json={"event_type": "a"}, headers={"x-correlation-id": "c-17"})
    assert correlated.json()["trace_id"] == correlated.headers["x-correlation-id"] == "c-17"
    event = cloud_event(traceparent=TRACEPARENT)
    sent = await admin.post("/events", content=json.dumps(event), headers={**STRUCTURED, "x-correlation-id": "c-18"})
    assert sent.json()["trace_id"] == TRACE


async def test_events_are_found_by_type_source_subject_status_text_and_time(admin):
    mark = uuid.uuid4().hex
    source = f"shop-{mark}"
    paid = await send(admin, f"order.paid.{mark}", {"who": "Zoë 100%_"}, source=source, subject="o/1")
    lost = await send(admin, f"order.lost.{mark}", {"who": "Ann"}, source=source)
    both = [lost["event_id"], paid["event_id"]]
    assert await listed(admin, source=source) == (both, 2)
    assert await listed(admin, type=f"order.*.{mark}") == (both, 2)
    assert await listed(admin, type=f"order.paid.{mark}") == (both[1:], 1)
    assert await listed(admin, type=f"order_paid.{mark}") == ([], 0)
    assert await listed(admin, source=source, subject="o/1") == (both[1:], 1)
    assert await listed(admin, source=source, status="dispatched") == (both, 2)
    assert await listed(admin, source=source, status="dead") == ([], 0)
    assert await listed(admin, source=source, text="zoë 100%_") == (both[1:], 1)
    assert await listed(admin, source=source, text="%") == (both[1:], 1)
    received = (await admin.get(f"/events/{lost['event_id']}")).json()["received_at"]
    assert await listed(admin, source=source, since=received) == (both[:1], 1)
    assert await listed(admin, source=source, until=received) == (both[1:], 1)
    assert (await admin.get("/events?status=lost")).status_code == 422


async def test_the_list_has_pages_and_no_data(admin):
    source = new("pages")
    ids = [(await send(admin, "page.turned", {"n": n}, source=source))["event_id"] for n in range(5)]
    answer = await admin.get(f"/events?source={source}&limit=2&offset=2")
    assert [each["id"] for each in answer.json()] == [ids[2], ids[1]]
    assert answer.headers["x-total-count"] == "5"
    rels = {rel: url for url, rel in re.findall(r'<([^>]*)>; rel="(\w+)"', answer.headers["link"])}
    assert set(rels) == {"first", "prev", "next", "last"}
    assert [each["id"] for each in (await admin.get(rels["next"])).json()] == [ids[0]]
    assert [each["payload"] for each in answer.json()] == [None, None]


async def test_an_event_shows_what_each_trigger_made_of_it_and_why(admin):
    kind = new("order")
    started = await listener(admin, kind, rule={">": [{"var": "total"}, 3]})
    left = await listener(admin, kind, condition="total > 100")
    taken = await send(admin, kind, {"total": 5})
    shown = (await admin.get(f"/events/{taken['event_id']}")).json()
    made = {each["process"]: each for each in shown["deliveries"]}
    assert shown["run_ids"] == taken["run_ids"] == [made[started]["run_id"]]
    assert (made[started]["status"], made[left]["status"]) == ("started", "no_match")
    assert made[left]["reason"] == "its rule is not true"
    assert made[left]["explain"]["passed"] is False
    assert shown["deliveries"] == (await admin.get(f"/events/{taken['event_id']}/deliveries")).json()


async def test_those_who_may_not_read_payloads_see_none_and_cannot_search_them(admin, viewer):
    kind = new("order")
    await listener(admin, kind, condition="email == 'x'", key="{{event.email}}")
    await listener(admin, kind, key="{{event.email}}")
    taken = await send(admin, kind, {"email": "zoe@shop.example", "password": "hunter2"})
    path = f"/events/{taken['event_id']}"
    hidden = await viewer.get(path)
    assert hidden.status_code == 200
    assert "zoe@shop" not in hidden.text + (await viewer.get(f"{path}/deliveries")).text
    assert (hidden.json()["payload"], hidden.json()["headers"]) == (None, None)
    assert (await viewer.get("/events?text=zoe")).status_code == 403
    assert (await viewer.get(f"/events?type={kind}")).json()[0]["id"] == taken["event_id"]
    shown = await admin.get(path)
    assert shown.json()["payload"] == {"email": "zoe@shop.example", "password": "[redacted]"}
    assert "zoe@shop.example" in [each["key"] for each in shown.json()["deliveries"]]
    assert "hunter2" not in shown.text


async def test_a_dead_event_says_why_and_is_replayed_once_its_cause_is_mended(admin):
    kind = new("order")
    sound = await listener(admin, kind)
    schema = {"type": "object", "required": ["total"], "properties": {"total": {"type": "integer"}}}
    trigger = {"type": "event", "config": {"event": kind}}
    strict = (await admin.post("/workflows", json=definition(input=schema, triggers=[trigger]))).json()
    taken = await send(admin, kind, {"sum": 5})
    assert taken["status"] == "dead"
    assert len(taken["run_ids"]) == 1
    path = f"/events/{taken['event_id']}"
    assert f"{strict['name']}: " in (await admin.get(path)).json()["reason"]
    assert "total" in (await admin.get(path)).json()["reason"]
    still = (await admin.post(f"{path}/replay")).json()
    assert (still["status"], still["run_ids"]) == ("dead", [])
    mended = {"input": {"total": "{{event.sum}}"}, "event": kind}
    body = {**definition(strict["name"], input=schema, triggers=[{**trigger, "config": mended}]), "version": "1.0.1"}
    assert (await admin.put(f"/workflows/{strict['id']}", json=body)).status_code == 200
    replayed = (await admin.post(f"{path}/replay")).json()
    assert replayed["status"] == "dispatched"
    (run,) = await runs_of(admin, strict["name"])
    assert replayed["run_ids"] == [run["id"]]
    assert run["context"] == {"total": 5}
    assert (await admin.post(f"{path}/replay")).json()["run_ids"] == []
    assert len(await runs_of(admin, sound)) == 1
    shown = (await admin.get(path)).json()
    assert (shown["status"], shown["reason"], shown["attempts"]) == ("dispatched", None, 4)


async def test_dead_events_are_replayed_by_type_and_source_and_others_stay(app, parts):
    tenant = await make_tenant(parts)
    async with client_of(app, authorization=f"Bearer {tenant.tokens['admin']}") as client:
        for kind in ("a.b", "a.c"):
            await listener(client, kind, input={"x": "{{event.absent.deep}}"})
        dead = [await send(client, kind, source=source) for kind, source in (("a.b", "s"), ("a.b", "t"), ("a.c", "s"))]
        await send(client, "a.d")
        assert {each["status"] for each in dead} == {"dead"}
        one = await client.post("/events/replay", json={"type": "a.b", "source": "t"})
        assert (one.status_code, one.json()) == (202, {"events": 1})
        assert (await listed(client, status="pending"))[0] == [dead[1]["event_id"]]
        assert (await client.post("/events/replay", json={"type": "a.*"})).status_code == 422
        assert (await client.post("/events/replay", json={"kind": "a"})).status_code == 422
        assert (await client.post("/events/replay")).json() == {"events": 2}
        assert (await client.post("/events/replay")).json() == {"events": 0}


async def numbers(client):
    text = (await client.get("/metrics", headers={"accept": "text/plain"})).text
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_the_metrics_count_what_comes_in_and_what_is_left(admin, anyone):
    before = await numbers(anyone)
    kind = new("order")
    await listener(admin, kind, input={"x": "{{event.absent.deep}}"})
    await send(admin, kind, idempotency_key="k")
    await admin.post("/events", json={"event_type": kind, "idempotency_key": "k"})
    await admin.post("/events", json={})
    after = await numbers(anyone)

    def more(*name):
        return after.get(name, 0) - before.get(name, 0)

    assert [more("stepwell_events_total", *pair) for pair in (("created", "event"), ("duplicate", "event"))] == [1, 1]
    assert more("stepwell_events_total", "event", "refused") == 1
    assert more("stepwell_events_backlog", "dead") == 1
    assert more("stepwell_events_last_hour", "event") == more("stepwell_deliveries_last_hour", "failed") == 1
    assert more("stepwell_triggers", "event") == 1
    assert ("stepwell_watches",) in after
    assert {
        ("stepwell_events_backlog", state) for state in ("pending", "dead", "signalling", "row_changes")
    } <= after.keys()


async def test_the_metrics_leave_the_inbox_out_while_postgres_is_away(parts):
    nowhere = Database("postgresql://nobody@127.0.0.1:1/none")
    async with running(dataclasses.replace(parts, events=Events(nowhere))) as app, client_of(app) as client:
        answer = await client.get("/metrics")
    await nowhere.close()
    assert answer.status_code == 200
    assert "python_info" in answer.text
    assert "stepwell_events_backlog{" not in answer.text
    assert "stepwell_deliveries_last_hour{" not in answer.text


async def test_an_operator_may_send_and_an_approver_may_not(app, tenant):
    for role, status in (("operator", 202), ("approver", 403), ("viewer", 403)):
        async with client_of(app, authorization=f"Bearer {tenant.tokens[role]}") as client:
            assert (await client.post("/events", json={"event_type": "a"})).status_code == status


async def test_another_tenants_events_are_not_there(admin, stranger):
    taken = await send(admin, new("order"), idempotency_key="theirs", source="both")
    for method, path in (("GET", ""), ("GET", "/deliveries"), ("POST", "/replay")):
        theirs = await stranger.request(method, f"/events/{taken['event_id']}{path}")
        nobodys = await stranger.request(method, f"/events/{2**63}{path}")
        assert theirs.status_code == nobodys.status_code == 404
    assert (await listed(stranger, source="both")) == ([], 0)
    own = await send(stranger, "x", idempotency_key="theirs", source="both")
    assert own["event_id"] != taken["event_id"]
