"""Webhooks over the real application: what gets in, what is answered, and that a delivery counts once."""

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
import time
import uuid
import zlib
from datetime import timedelta
from urllib.parse import urlencode

import pytest
import structlog
from slack_sdk.signature import SignatureVerifier
from sqlmodel import select
from standardwebhooks import Webhook
from stripe import WebhookSignature

from api import strict_json
from domain.webhooks import EndpointChange, NewEndpoint
from store import identity as rows
from store.tables import EventRow, RunRow
from store.tables.base import now
from tests.api.conftest import client_of

SECRET = "whsec_" + base64.b64encode(b"a key of twenty-four byte").decode()
OTHER = "whsec_" + base64.b64encode(b"another key of that size!").decode()
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
NDJSON = "application/x-ndjson"


@pytest.fixture(scope="session", autouse=True)
async def _secrets(parts, tenant):
    await parts.secrets.put(tenant.id, "HOOK", SECRET)
    await parts.secrets.put(tenant.id, "HOOK_NEW", OTHER)


async def make(parts, tenant, verifier="stripe", source=None, *, secrets=("HOOK",), **more):
    """An endpoint of a source of its own."""
    source = source or f"s-{uuid.uuid4().hex[:12]}"
    new = NewEndpoint(source=source, verifier=verifier, secrets=list(secrets), **more)
    return await parts.endpoints.create(tenant.id, new, administrator="ann")


def path(row, *, slash=True):
    return f"/api/automate/webhooks/{row.source}/{row.key}{'/' if slash else ''}"


def paid(event_id=None, **more):
    """An event of Stripe, as its bytes."""
    event = {
        "id": event_id or f"evt_{uuid.uuid4().hex}",
        "object": "event",
        "type": "checkout.session.completed",
        "data": {"object": {"id": "cs_1", "payment_status": "paid"}},
        **more,
    }
    return json.dumps(event).encode()


def by_stripe(body, secret=SECRET, *, seconds=0):
    header = WebhookSignature.generate_signature_header(body.decode(), secret, int(time.time()) + seconds)
    return {"stripe-signature": header, "content-type": JSON, "user-agent": "Stripe/1.0"}


def by_hmac(body, content_type=JSON, **more):
    return {
        "x-signature": hmac.new(SECRET.encode(), body, "sha256").hexdigest(),
        "content-type": content_type,
        **more,
    }


HMAC = {"header": "X-Signature"}


async def events_of(parts, row):
    async with parts.database.session(row.tenant_id) as session:
        query = select(EventRow).where(EventRow.source == row.source).order_by(EventRow.id)
        return (await session.exec(query)).all()


async def test_a_webhook_of_stripe_is_kept_as_an_event_and_acknowledged(anyone, parts, tenant):
    row = await make(parts, tenant)
    body = paid("evt_first" + row.key)
    answer = await anyone.post(path(row), content=body, headers=by_stripe(body))
    [event] = await events_of(parts, row)
    assert answer.status_code == 202
    assert answer.json() == {"event_id": event.id, "trace_id": event.trace_id}
    assert event.trace_id == answer.headers["x-correlation-id"]
    assert (event.tenant_id, event.kind, event.type) == (tenant.id, "webhook", "checkout.session.completed")
    assert (event.key, event.subject, event.status) == ("evt_first" + row.key, "cs_1", "dispatched")
    assert event.payload == json.loads(body)
    assert event.headers == {"content-type": JSON, "user-agent": "Stripe/1.0"}


async def test_a_second_delivery_is_answered_200_with_the_same_ids(anyone, parts, tenant):
    row = await make(parts, tenant)
    body = paid()
    first = await anyone.post(path(row), content=body, headers=by_stripe(body))
    second = await anyone.post(path(row, slash=False), content=body, headers=by_stripe(body, seconds=1))
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json() == second.json()
    assert len(await events_of(parts, row)) == 1


PROCESS = {
    "version": "1.0.0",
    "input": {"type": "object", "required": ["session"], "properties": {"session": {"type": "string"}}},
    "steps": [{"name": "tell", "action": "chat.post", "config": {"channel": "#a", "text": "{{input.session}}"}}],
}


async def test_a_thousand_deliveries_at_once_are_one_event_one_run_and_a_thousand_successes(app, parts, tenant):
    row = await make(parts, tenant)
    name = f"provision_{uuid.uuid4().hex[:12]}"
    rule = {
        "and": [
            {"==": [{"var": "type"}, "checkout.session.completed"]},
            {"==": [{"var": "data.object.payment_status"}, "paid"]},
        ]
    }
    trigger = {"path": row.source, "rule": rule, "input": {"session": "{{event.data.object.id}}"}}
    document = {**PROCESS, "name": name, "triggers": [{"type": "webhook", "config": trigger}]}
    await parts.publisher.publish(tenant.id, document)
    body = paid()
    async with client_of(app) as client:
        headers = by_stripe(body)
        answers = await asyncio.gather(*(client.post(path(row), content=body, headers=headers) for _ in range(1000)))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(202), statuses.count(200)) == (1, 999)
    assert len({answer.text for answer in answers}) == 1
    assert len(await events_of(parts, row)) == 1
    async with parts.database.session(tenant.id) as session:
        runs = (await session.exec(select(RunRow).where(RunRow.process == name))).all()
    assert [run.input for run in runs] == [{"session": "cs_1"}]


async def test_the_default_tenants_default_endpoint_answers_without_a_key(anyone, parts, settings):
    async with parts.database.session(settings.default_tenant) as session:
        await rows.ensure_tenant(session, settings.default_tenant, "Default")
    await parts.secrets.put(settings.default_tenant, "HOOK", SECRET)
    source = f"s-{uuid.uuid4().hex[:12]}"
    new = NewEndpoint(source=source, verifier="stripe", secrets=["HOOK"], is_default=True)
    await parts.endpoints.create(settings.default_tenant, new)
    body = paid()
    for address, status in ((f"/{source}/", 202), (f"/{source}", 200)):
        answer = await anyone.post(f"/api/automate/webhooks{address}", content=body, headers=by_stripe(body))
        assert answer.status_code == status


async def test_no_endpoint_is_the_same_404_whatever_is_wrong(anyone, parts, tenant):
    row = await make(parts, tenant)
    off = await make(parts, tenant)
    await parts.endpoints.update(tenant.id, off.id, EndpointChange(is_active=False))
    body = paid()
    seen = set()
    for address in (
        f"/{row.source}/",
        f"/{row.source}/{'0' * 32}/",
        f"/{row.source}/{row.key[:-1]}",
        f"/{row.source}/{row.key.upper()}/",
        f"/stripe/{row.key}/",
        f"/{off.source}/{off.key}/",
        "/%F0%9F%A6%84/",
        f"/{'x' * 500}/{'y' * 500}/",
    ):
        answer = await anyone.post(f"/api/automate/webhooks{address}", content=body, headers=by_stripe(body))
        problem = answer.json()
        del problem["request_id"]
        seen.add((answer.status_code, json.dumps(problem)))
    [(status, problem)] = seen
    assert status == 404
    assert row.key not in problem


async def test_other_methods_are_405(anyone, parts, tenant):
    row = await make(parts, tenant)
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        answer = await anyone.request(method, path(row))
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_an_unverified_request_is_401_without_a_word_on_why(anyone, parts, tenant):
    row = await make(parts, tenant)
    body = paid()
    good = by_stripe(body)
    seen = set()
    for content, headers in (
        (body, {"content-type": JSON}),
        (body, {**good, "stripe-signature": "t=1,v1=é".encode()}),
        (body, by_stripe(body, OTHER)),
        (body, by_stripe(body, seconds=-301)),
        (body, by_stripe(body, seconds=305)),
        (body.replace(b"paid", b"free"), good),
        (b"not json", {**good, "content-type": "text/plain"}),
        (b"", good),
        (b"\xff", good),
    ):
        answer = await anyone.post(path(row), content=content, headers=headers)
        problem = answer.json()
        del problem["request_id"]
        seen.add((answer.status_code, json.dumps(problem)))
    [(status, problem)] = seen
    assert status == 401
    assert "stripe" not in problem.lower()
    assert await events_of(parts, row) == []


@pytest.mark.parametrize("seconds", [-290, 290])
async def test_a_timestamp_inside_the_tolerance_is_accepted(anyone, parts, tenant, seconds):
    row = await make(parts, tenant)
    body = paid()
    answer = await anyone.post(path(row), content=body, headers=by_stripe(body, seconds=seconds))
    assert answer.status_code == 202


async def test_a_secret_that_is_not_set_is_401_and_told_in_the_log(anyone, parts, tenant):
    row = await make(parts, tenant, secrets=["NEVER_SET"])
    body = paid()
    with structlog.testing.capture_logs() as lines:
        answer = await anyone.post(path(row), content=body, headers=by_stripe(body, " "))
    assert answer.status_code == 401
    [line] = [line for line in lines if line["event"] == "secrets of a webhook endpoint are not set"]
    assert (line["endpoint_id"], line["secrets"]) == (row.id, ["NEVER_SET"])


async def test_a_secret_of_another_tenant_does_not_count(anyone, parts, other_tenant):
    row = await make(parts, other_tenant)  # names HOOK, which it has not set
    body = paid()
    assert (await anyone.post(path(row), content=body, headers=by_stripe(body))).status_code == 401


async def test_while_one_secret_replaces_another_both_work_even_before_the_new_one_is_set(anyone, parts, tenant):
    row = await make(parts, tenant)

    async def send(secret):
        body = paid()
        return (await anyone.post(path(row), content=body, headers=by_stripe(body, secret))).status_code

    await parts.endpoints.update(tenant.id, row.id, EndpointChange(secrets=["NOT_YET", "HOOK"]))
    assert await send(SECRET) == 202
    await parts.endpoints.update(tenant.id, row.id, EndpointChange(secrets=["HOOK_NEW", "HOOK"]))
    assert (await send(SECRET), await send(OTHER)) == (202, 202)
    await parts.endpoints.update(tenant.id, row.id, EndpointChange(secrets=["HOOK_NEW"]))
    assert (await send(SECRET), await send(OTHER)) == (401, 202)


async def test_events_of_two_tenants_never_meet(anyone, parts, tenant, other_tenant):
    await parts.secrets.put(other_tenant.id, "THEIRS", OTHER)
    own = await make(parts, tenant)
    foreign = await make(parts, other_tenant, source=own.source, secrets=["THEIRS"])
    body = paid()
    first = await anyone.post(path(own), content=body, headers=by_stripe(body))
    second = await anyone.post(path(foreign), content=body, headers=by_stripe(body, OTHER))
    crossed = await anyone.post(path(foreign), content=body, headers=by_stripe(body))
    assert (first.status_code, second.status_code, crossed.status_code) == (202, 202, 401)
    assert [each.tenant_id for each in await events_of(parts, own)] == [tenant.id]
    assert [each.tenant_id for each in await events_of(parts, foreign)] == [other_tenant.id]


async def test_no_signature_token_or_secret_is_logged_or_kept(anyone, parts, tenant):
    stripe, token = await make(parts, tenant), await make(parts, tenant, "simplybook")
    body = paid()
    headers = {**by_stripe(body), "authorization": "Bearer hush-hush", "cookie": "hush-hush"}
    with structlog.testing.capture_logs() as lines:
        assert (await anyone.post(path(stripe), content=body, headers=headers)).status_code == 202
        query = f"{path(token)}?token={SECRET}"
        assert (await anyone.post(query, json={"notification_type": "create"})).status_code == 202
        assert (await anyone.post(query + "x", json={})).status_code == 401
    kept = json.dumps([each.model_dump(mode="json") for row in (stripe, token) for each in await events_of(parts, row)])
    for hidden in (SECRET, headers["stripe-signature"].split("v1=")[1], "hush-hush"):
        assert hidden not in kept + json.dumps(lines)


async def test_slacks_challenge_is_answered_once_it_is_verified_and_is_no_event(anyone, parts, tenant):
    row = await make(parts, tenant, "slack")
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw"}).encode()
    at = str(int(time.time()))
    signature = SignatureVerifier(SECRET).generate_signature(timestamp=at, body=body)
    headers = {"x-slack-request-timestamp": at, "x-slack-signature": signature, "content-type": JSON}
    answer = await anyone.post(path(row), content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"challenge": "3eZbrw"})
    forged = await anyone.post(path(row), content=body, headers={**headers, "x-slack-signature": "v0=00"})
    assert forged.status_code == 401
    assert "3eZbrw" not in forged.text
    assert await events_of(parts, row) == []


async def test_githubs_events_come_as_json_or_in_a_form(anyone, parts, tenant):
    row = await make(parts, tenant, "github")
    text = json.dumps({"action": "opened", "repository": {"full_name": "a/b"}})
    for number, (content_type, body) in enumerate(
        [(JSON, text.encode()), (FORM, urlencode({"payload": text}).encode())]
    ):
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "x-hub-signature-256": f"sha256={signature}",
            "x-github-event": "issues",
            "x-github-delivery": f"d-{number}",
            "content-type": content_type,
        }
        assert (await anyone.post(path(row), content=body, headers=headers)).status_code == 202
        assert (await anyone.post(path(row), content=body, headers=headers)).status_code == 200
    events = await events_of(parts, row)
    assert [(each.type, each.key, each.payload) for each in events] == [
        ("issues.opened", f"d-{number}", json.loads(text)) for number in (0, 1)
    ]


async def test_standard_webhooks_are_signed_by_their_library(anyone, parts, tenant):
    row = await make(parts, tenant, "standard-webhooks")
    body = b'{"type": "invoice.paid", "data": {}}'

    async def send(at):
        signature = Webhook(SECRET).sign("msg_1", at, body.decode())
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signature,
            "content-type": JSON,
        }
        return (await anyone.post(path(row), content=body, headers=headers)).status_code

    assert await send(now()) == 202
    assert await send(now() + timedelta(seconds=5)) == 200  # tried again: a new timestamp, the same id
    assert await send(now() + timedelta(seconds=310)) == 401
    [event] = await events_of(parts, row)
    assert (event.type, event.key) == ("invoice.paid", "msg_1")


async def test_twilio_signs_its_form_and_the_address(anyone, parts, tenant):
    row = await make(parts, tenant, "twilio", config={"public_url": "https://hooks.example"})
    fields = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": "+1 555", "Empty": ""}

    def signed(url):
        text = url + "".join(name + fields[name] for name in sorted(fields))
        return base64.b64encode(hmac.new(SECRET.encode(), text.encode(), "sha1").digest()).decode()

    right = {"x-twilio-signature": signed("https://hooks.example" + path(row) + "?a=%20b"), "content-type": FORM}
    wrong = {"x-twilio-signature": signed("http://api.test" + path(row) + "?a=%20b"), "content-type": FORM}
    body = urlencode(fields).encode()
    assert (await anyone.post(path(row) + "?a=%20b", content=body, headers=wrong)).status_code == 401
    assert (await anyone.post(path(row) + "?a=%20b", content=body, headers=right)).status_code == 202
    [event] = await events_of(parts, row)
    assert (event.type, event.key, event.payload) == ("message.delivered", "SM1:delivered", fields)


async def test_basic_asks_for_a_password_as_twilio_expects(anyone, parts, tenant):
    row = await make(parts, tenant, "basic")
    assert (await anyone.post(path(row), json={})).headers["www-authenticate"].startswith("Basic ")
    given = base64.b64encode(SECRET.encode()).decode()
    answer = await anyone.post(path(row), json={}, headers={"authorization": f"Basic {given}"})
    assert answer.status_code == 202


async def test_a_form_becomes_an_object_and_a_repeated_field_a_list(anyone, parts, tenant):
    row = await make(parts, tenant, "hmac", config={**HMAC, "key_path": "id"})
    body = b"id=7&tag=a&tag=b&tag=c&name=Ren%C3%A9+D.&empty="
    answer = await anyone.post(path(row), content=body, headers=by_hmac(body, FORM + "; charset=UTF-8"))
    assert answer.status_code == 202
    [event] = await events_of(parts, row)
    assert event.key == "7"
    assert event.payload == {"id": "7", "tag": ["a", "b", "c"], "name": "René D.", "empty": ""}


async def test_each_line_of_ndjson_is_an_event_and_comes_once(anyone, parts, tenant):
    row = await make(parts, tenant, "hmac", config={**HMAC, "type_path": "t"})
    body = b'{"t": "a.b", "n": 1}\r\n\n{"t": "a.c", "n": 2}\n{"n": 3}'
    headers = by_hmac(body, NDJSON, **{"idempotency-key": "batch-1"})
    first = await anyone.post(path(row), content=body, headers=headers)
    second = await anyone.post(path(row), content=body, headers=headers)
    events = await events_of(parts, row)
    assert [(each.type, each.key, each.payload["n"]) for each in events] == [
        ("a.b", "batch-1:1", 1),
        ("a.c", "batch-1:2", 2),
        ("webhook", "batch-1:3", 3),
    ]
    assert (first.status_code, second.status_code) == (202, 200)
    ids = [each.id for each in events]
    assert first.json() == {"event_id": ids[0], "trace_id": events[0].trace_id, "event_ids": ids}
    assert second.json() == first.json()


async def test_a_bad_line_is_named_and_no_line_is_kept(anyone, parts, tenant):
    row = await make(parts, tenant, "hmac", config=HMAC)
    body = b'{"n": 1}\n{"n": NaN}\n'
    answer = await anyone.post(path(row), content=body, headers=by_hmac(body, NDJSON))
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("line 2: ")
    assert await events_of(parts, row) == []


async def test_too_many_lines_are_413(anyone, parts, tenant):
    row = await make(parts, tenant, "hmac", config=HMAC)
    body = b"1\n" * 5001
    answer = await anyone.post(path(row), content=body, headers=by_hmac(body, NDJSON))
    assert answer.status_code == 413
    assert await events_of(parts, row) == []


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        (JSON, b'{"a": 1', 400),
        (JSON, b'{"a": NaN}', 400),
        (JSON, b'{"a": 1, "a": 2}', 400),
        (JSON, b'"\\u0000"', 400),
        (JSON, b"", 400),
        (JSON, b"\xff", 400),
        (FORM, b"a=%FF", 400),
        (FORM, b"a=%00", 400),
        (FORM, b"&".join(b"a=1" for _ in range(1001)), 400),
        (NDJSON, b"\n\n", 400),
        ("text/plain", b"{}", 415),
        ("", b"{}", 415),
        ("multipart/form-data; boundary=x", b"--x--", 415),
        (JSON + "; charset=latin-1", b"{}", 415),
        ("application/cloudevents+json", b"{}", 202),
        (JSON, b"3", 202),
    ],
)
async def test_what_a_verified_body_must_be(anyone, parts, tenant, content_type, body, status):
    row = await make(parts, tenant, "hmac", config=HMAC)
    answer = await anyone.post(path(row), content=body, headers=by_hmac(body, content_type))
    assert answer.status_code == status
    assert len(await events_of(parts, row)) == (status == 202)


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body)[2:-4]),
        ("identity", bytes),
    ],
)
async def test_a_compressed_body_is_verified_as_it_was_sent_and_then_read(anyone, parts, tenant, encoding, compress):
    row = await make(parts, tenant, "hmac", config=HMAC)
    plain = json.dumps({"text": "hello " * 1000}).encode()
    body = compress(plain)
    headers = {**by_hmac(body), "content-encoding": encoding}
    assert (await anyone.post(path(row), content=body, headers=headers)).status_code == 202
    over_the_plain = {**by_hmac(plain), "content-encoding": encoding}
    if encoding != "identity":
        assert (await anyone.post(path(row), content=body, headers=over_the_plain)).status_code == 401
    [event] = await events_of(parts, row)
    assert event.payload == json.loads(plain)


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", gzip.compress(b'"' + b"0" * 50_000_000 + b'"', mtime=0), 413),
        ("deflate", zlib.compress(b'"' + b"0" * 50_000_000 + b'"'), 413),
        ("gzip", b"not gzip", 400),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-3], 400),
        ("gzip", gzip.compress(b"{}", mtime=0) + b"more", 400),
        ("deflate", b"", 400),
        ("br", b"{}", 415),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}"), mtime=0), 415),
    ],
    ids=["bomb", "deflate-bomb", "no-gzip", "cut-off", "more", "empty", "unknown", "nested"],
)
async def test_a_body_that_is_a_bomb_or_not_what_it_says_is_refused(anyone, parts, tenant, encoding, body, status):
    row = await make(parts, tenant, "hmac", config=HMAC)
    answer = await anyone.post(path(row), content=body, headers={**by_hmac(body), "content-encoding": encoding})
    assert answer.status_code == status
    assert await events_of(parts, row) == []


async def test_a_bomb_of_a_stranger_is_not_even_opened(anyone, parts, tenant):
    row = await make(parts, tenant, "hmac", config=HMAC)
    body = gzip.compress(b"0" * 50_000_000, mtime=0)
    headers = {**by_hmac(b""), "content-encoding": "gzip"}
    assert (await anyone.post(path(row), content=body, headers=headers)).status_code == 401


async def test_a_body_over_the_limit_is_413_however_it_is_sent(anyone, parts, tenant, settings):
    row = await make(parts, tenant, "hmac", config=HMAC)
    body = b'"' + b"x" * settings.max_body_bytes + b'"'

    async def chunks():
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    for content in (body, chunks()):
        assert (await anyone.post(path(row), content=content, headers=by_hmac(body))).status_code == 413


async def test_a_body_that_never_comes_to_its_end_is_408(anyone, parts, tenant, monkeypatch):
    monkeypatch.setattr(strict_json, "_BODY_SECONDS", 0.05)
    row = await make(parts, tenant, "hmac", config=HMAC)

    async def endless():
        yield b"{"
        await asyncio.Event().wait()

    assert (await anyone.post(path(row), content=endless(), headers=by_hmac(b"{}"))).status_code == 408


async def test_the_list_of_addresses_holds_beside_the_signature(anyone, parts, tenant):
    allowed = await make(parts, tenant, "hmac", config=HMAC, allow_ips=["198.51.100.0/24"])
    barred = await make(parts, tenant, "hmac", config=HMAC, allow_ips=["203.0.113.7"])
    by_address = await make(parts, tenant, "ip", secrets=[], allow_ips=["198.51.100.7"])
    for row, status in ((allowed, 202), (barred, 401), (by_address, 202)):
        assert (await anyone.post(path(row), content=b"{}", headers=by_hmac(b"{}"))).status_code == status
    assert (await anyone.post(path(allowed), json={})).status_code == 401


async def test_a_strange_host_or_query_is_401_and_no_error(anyone, parts, tenant):
    for verifier in ("twilio", "simplybook"):
        row = await make(parts, tenant, verifier)
        for host in ("[", "a:99999", "a:b", "é".encode()):
            answer = await anyone.post(path(row) + "?%FF&token", content=b"a=1", headers={"host": host})
            assert answer.status_code == 401


async def test_an_id_that_is_too_long_for_a_key_is_named(anyone, parts, tenant):
    row = await make(parts, tenant, "hmac", config={**HMAC, "key_path": "id"})
    body = json.dumps({"id": "x" * 301}).encode()
    answer = await anyone.post(path(row), content=body, headers=by_hmac(body))
    assert (answer.status_code, answer.json()["faults"][0]["path"]) == (422, "/key")


async def test_equal_bodies_without_an_id_are_events_of_their_own(anyone, parts, tenant):
    row = await make(parts, tenant, "hmac", config=HMAC)
    for _ in range(2):
        assert (await anyone.post(path(row), content=b"{}", headers=by_hmac(b"{}"))).status_code == 202
    assert len(await events_of(parts, row)) == 2
