"""The tutorials and domain events, end to end: what comes in over HTTP starts, wakes and finishes the right runs."""

import hashlib
import hmac
import json
import time
import uuid
from typing import Any

import httpx2
import pytest

from services.demo import DEMO_LEAD
from tests.e2e.platform import TENANT, until

SECRET = "whsec_e2e_5WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH"

RULE = {
    "and": [
        {"==": [{"var": "type"}, "checkout.session.completed"]},
        {"==": [{"var": "data.object.payment_status"}, "paid"]},
    ]
}
"""The document's own."""


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    at = int(time.time())
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={at},v1={digest}", "Content-Type": "application/json"}


def checkout(event_id: str, status: str = "paid", kind: str = "checkout.session.completed") -> bytes:
    session = {"payment_status": status, "customer_email": "test@example.com"}
    return json.dumps({"id": event_id, "type": kind, "data": {"object": session}}).encode()


@pytest.fixture
async def stripe(running):
    """Send a webhook as Stripe would."""
    put = await running.client.put("/secrets/STRIPE_WEBHOOK_SECRET", json={"value": SECRET})
    assert put.is_success, put.text
    wanted = {"source": "stripe", "verifier": "stripe", "secrets": ["STRIPE_WEBHOOK_SECRET"]}
    made = await running.client.post("/webhooks/endpoints", json={**wanted, "is_default": True})
    assert made.status_code == 201, made.text

    async def send(body: bytes, secret: str = SECRET) -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=running.installation.api_url, trust_env=False) as stranger:
            return await stranger.post("/api/automate/webhooks/stripe/", content=body, headers=signed(body, secret))

    yield send
    await running.client.delete(f"/webhooks/endpoints/{made.json()['id']}")


async def runs_of(running, process: str) -> list[Any]:
    return await running.installation.rows("SELECT * FROM runs WHERE process = :process", process=process)


async def test_a_paid_checkout_provisions_access_once(running, stripe, echo):
    call = {"user_email": "{{ event.data.object.customer_email }}", "plan": "premium"}
    await running.publish(
        "provision_access",
        [{"name": "provision", "action": "http.post", "config": {"url": f"{echo.url}/provision", "json": call}}],
        triggers=[{"type": "webhook", "config": {"path": "stripe", "rule": RULE}}],
    )
    first = await stripe(checkout("evt_1"))
    assert first.status_code == 202, first.text
    again = await stripe(checkout("evt_1"))
    assert (again.status_code, again.json()) == (200, first.json())
    assert (await stripe(checkout("evt_2", status="unpaid"))).status_code == 202
    assert (await stripe(checkout("evt_3", kind="invoice.paid"))).status_code == 202
    assert (await stripe(checkout("evt_4"), secret="whsec_wrong")).status_code == 401
    [run] = await runs_of(running, "provision_access")
    ended = await running.installation.ended(run["id"])
    assert (ended["status"], ended["error"]) == ("completed", None)
    sent = [json.loads(text) for text in echo.received if text.startswith('{"')]
    assert sent == [{"user_email": "test@example.com", "plan": "premium"}]


async def test_a_qualified_lead_is_onboarded(running):
    event = {"event_type": "lead.qualified", "payload": {"lead_id": str(DEMO_LEAD)}, "source": "crm"}
    answer = await running.client.post("/events", json=event)
    assert answer.status_code == 202, answer.text
    [run_id] = answer.json()["run_ids"]
    run = await running.installation.ended(run_id)
    assert (run["process"], run["status"], run["tenant_id"]) == ("lead_to_customer_onboarding", "completed", TENANT)


async def test_an_event_wakes_the_run_that_waits_for_it(running):
    order = uuid.uuid4().hex
    on = {"event": "order.paid", "action": "signal", "signal_name": "paid", "key": "{{event.order}}"}
    await running.publish(
        "ship_order",
        [{"name": "payment", "type": "wait_for_signal", "signal": "paid"}],
        triggers=[
            {"type": "event", "config": {"event": "order.placed", "key": "{{event.order}}"}},
            {"type": "event", "config": {**on, "input": {"amount": "{{event.amount}}"}}},
        ],
        output={"paid": "{{steps.payment.output.amount}}"},
    )
    placed = await running.client.post("/events", json={"event_type": "order.placed", "payload": {"order": order}})
    [run_id] = placed.json()["run_ids"]
    paid = {"event_type": "order.paid", "payload": {"order": order, "amount": 12}}
    assert (await running.client.post("/events", json=paid)).json()["run_ids"] == [run_id]
    run = await running.installation.ended(run_id)
    assert (run["status"], run["result"]) == ("completed", {"paid": 12})


async def test_a_process_emits_an_event_that_starts_another(running):
    emit = {"event_type": "parcel.sent", "payload": {"parcel": "{{input.parcel}}"}, "subject": "{{input.parcel}}"}
    await running.publish("send_parcel", [{"name": "tell", "action": "core.emit_event", "config": emit}])
    await running.publish(
        "track_parcel",
        [{"name": "note", "type": "transform", "set": {"about": "{{event.subject}}", "from": "{{event.source}}"}}],
        triggers=[{"type": "event", "config": {"event": "parcel.*"}}],
        output="{{steps.note.output}}",
    )
    answer = await running.execute("send_parcel", {"parcel": "p-1"})
    assert answer.status_code == 200, answer.text
    [run] = await until(lambda: runs_of(running, "track_parcel"), "the parcel is tracked")
    ended = await running.installation.ended(run["id"])
    assert ended["result"] == {"about": "p-1", "from": "send_parcel"}
