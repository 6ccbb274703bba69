"""What a verified webhook becomes: its type, key, subject and time, as each vendor says them."""

from datetime import UTC, datetime

import pytest

from domain.errors import InputInvalid
from domain.events import EventKind
from domain.webhooks import CONFIGS, Verifier
from triggers.sources import Content, batch, challenge, events_of, shape_of

STRIPE = {
    "id": "evt_1",
    "object": "event",
    "type": "checkout.session.completed",
    "created": 1_760_000_000,
    "data": {"object": {"id": "cs_1", "payment_status": "paid"}},
}


def events(value, source="shop", verifier="hmac", headers=None, *, many=False, **config):
    kind = Verifier(verifier)
    base = {"header": "x-signature"} if kind is Verifier.HMAC else {}
    content = Content(value, is_many=True) if many else Content([value])
    parsed = CONFIGS[kind].model_validate({**base, **config})
    return events_of(source, kind, parsed, headers or {}, content, trace_id="trace")


def event(*arguments, **more):
    [only] = events(*arguments, **more)
    return only


def test_an_event_of_stripe():
    made = event(STRIPE, "stripe", "stripe")
    assert (made.kind, made.source, made.trace_id) == (EventKind.WEBHOOK, "stripe", "trace")
    assert (made.type, made.key, made.subject) == ("checkout.session.completed", "evt_1", "cs_1")
    assert made.occurred_at == datetime.fromtimestamp(1_760_000_000, UTC)
    assert made.payload == STRIPE


def test_an_event_of_github_has_its_action_in_its_type():
    headers = {"x-github-event": "issues", "x-github-delivery": "72d3162e"}
    made = event({"action": "opened", "repository": {"full_name": "a/b"}}, "github", "github", headers)
    assert (made.type, made.key, made.subject) == ("issues.opened", "72d3162e", "a/b")
    made = event({"zen": "x", "organization": {"login": "acme"}}, "github", "github", {"x-github-event": "ping"})
    assert (made.type, made.subject) == ("ping", "acme")


def test_an_event_of_slack():
    value = {
        "type": "event_callback",
        "team_id": "T1",
        "event_id": "Ev1",
        "event_time": 1_760_000_000,
        "event": {"type": "app_mention"},
    }
    made = event(value, "slack", "slack")
    assert (made.type, made.key, made.subject) == ("app_mention", "Ev1", "T1")
    assert made.occurred_at.year == 2025
    assert event({"type": "block_actions"}, "slack", "slack").type == "block_actions"


def test_only_slacks_own_challenge_is_answered():
    value = {"type": "url_verification", "challenge": "3eZbrw"}
    assert challenge("slack", Content([value])) == "3eZbrw"
    assert challenge("", Content([value])) is None
    assert challenge("slack", Content([{"type": "url_verification", "challenge": 3}])) is None
    assert challenge("slack", Content([value, value])) is None
    assert challenge("slack", Content(["url_verification"])) is None


def test_an_event_of_standard_webhooks():
    headers = {"webhook-id": "msg_1", "webhook-timestamp": "1760000000"}
    value = {"type": "invoice.paid", "timestamp": "2026-11-20T10:00:00Z", "data": {}}
    made = event(value, "acme", "standard-webhooks", headers)
    assert (made.type, made.key) == ("invoice.paid", "msg_1")
    assert made.occurred_at == datetime(2026, 11, 20, 10, tzinfo=UTC)


def test_the_signed_ids_of_a_message_of_twilio_come_before_the_token_that_is_not_signed():
    headers = {"i-twilio-idempotency-token": "tok"}
    status = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    made = event(status, "twilio", "twilio", headers)
    assert (made.type, made.key, made.subject) == ("message.delivered", "SM1:delivered", "SM1")
    made = event({"MessageSid": "SM1", "Body": "hi"}, "twilio", "twilio", headers)
    assert (made.type, made.key) == ("message.received", "tok")
    made = event({"CallSid": "CA1", "CallStatus": "completed"}, "twilio", "twilio", headers)
    assert (made.type, made.key, made.subject) == ("call.completed", "tok", "CA1")


def test_a_list_of_sendgrid_is_an_event_each():
    value = [{"event": "open", "sg_event_id": "e1", "email": "a@b.c", "timestamp": 1_760_000_000}, {"event": "bounce"}]
    content = batch("sendgrid", value)
    first, second = events(content.values, "mail", "sendgrid", many=content.is_many)
    assert (first.type, first.key, first.subject) == ("open", "e1", "a@b.c")
    assert second.type == "bounce"


def test_a_list_of_anybody_else_is_one_event():
    content = batch("", [1, 2])
    assert (list(content.values), content.is_many) == ([[1, 2]], False)


def test_changes_of_a_booking_are_told_apart():
    value = {"booking_id": "17", "booking_hash": "x", "company": "acme", "notification_type": "change"}
    made = [event(value, "simplybook", "simplybook") for _ in range(2)]
    assert (made[0].type, made[0].subject) == ("booking.change", "17")
    assert made[0].key != made[1].key


def test_a_sender_of_no_known_kind_says_what_its_configuration_names():
    value = {"meta": {"name": "order.paid", "ids": [{"value": 17}]}, "customer": "c-1"}
    made = event(value, type_path="meta.name", key_path="meta.ids.0.value", subject_path="customer")
    assert (made.type, made.key, made.subject) == ("order.paid", "17", "c-1")
    headers = {"x-topic": "orders/create", "x-shop-id": "w-1", "x-signature": "hush"}
    made = event({}, headers=headers, type_header="X-Topic", key_header="X-Shop-Id")
    assert (made.type, made.key) == ("orders/create", "w-1")
    assert made.headers == {"x-topic": "orders/create", "x-shop-id": "w-1"}


def test_the_configuration_wins_over_the_vendor():
    made = event(STRIPE, "stripe", "stripe", type_path="object", key_path="data.object.id")
    assert (made.type, made.key) == ("event", "cs_1")


@pytest.mark.parametrize("header", ["idempotency-key", "webhook-id", "x-webhook-id", "x-event-id", "x-delivery-id"])
def test_usual_headers_hold_the_key_where_nothing_is_configured(header):
    assert event({}, headers={header: "k-1"}).key == "k-1"


def test_without_a_type_or_a_key_of_the_sender_each_delivery_is_an_event_of_its_own():
    one, two = event({"a": 1}), event({"a": 1})
    assert one.type == "webhook"
    assert one.key != two.key
    assert event({"a": 1}, headers={"x-request-id": "r"}).key != "r"
    assert event({"a": 1}, key_path="b.c", type_path="a.b").type == "webhook"


@pytest.mark.parametrize("value", [None, 3, "text", [], True, {"type": {}, "id": []}, {"type": True, "id": None}])
def test_a_payload_of_another_form_than_the_vendors_is_an_event_all_the_same(value):
    for verifier in ("stripe", "github", "slack", "standard-webhooks", "twilio", "sendgrid", "simplybook"):
        made = event(value, "x", verifier)
        assert (made.type, made.payload) == ("webhook", value)


def test_lines_have_their_own_keys_or_the_requests_with_their_number():
    keyed = events([{"n": 1, "id": "a"}, {"n": 2}], headers={"idempotency-key": "r"}, many=True, key_path="id")
    assert keyed[0].key == "a"
    first, second = events([{"n": 1}, {"n": 2}], headers={"idempotency-key": "r"}, many=True)
    assert (first.key, second.key) == ("r:1", "r:2")
    unkeyed = events([{"n": 1}, {"n": 1}], many=True)
    assert unkeyed[0].key != unkeyed[1].key


def test_a_line_without_its_own_key_has_the_requests():
    keyed = events([{"id": "a"}, {}], headers={"x-r": "r"}, many=True, key_path="id", key_header="x-r")
    assert [each.key for each in keyed] == ["a", "r:2"]


def test_credentials_and_unknown_headers_are_not_kept():
    headers = {
        "authorization": "Bearer hush",
        "cookie": "hush",
        "stripe-signature": "hush",
        "x-hub-signature-256": "hush",
        "x-secret": "hush",
        "user-agent": "Stripe/1.0" + "x" * 1000,
        "content-type": "application/json",
    }
    kept = event(STRIPE, "stripe", "stripe", headers).headers
    assert set(kept) == {"user-agent", "content-type"}
    assert len(kept["user-agent"]) == 500


@pytest.mark.parametrize("header", ["Authorization", "X-Signature", "Cookie", "Stripe-Signature"])
def test_no_header_with_a_proof_can_be_configured_as_type_or_key(header):
    for name in ("type_header", "key_header"):
        with pytest.raises(ValueError, match="never kept"):
            event({}, **{name: header})


def test_what_cannot_be_a_key_or_type_is_refused_and_a_long_subject_is_cut():
    with pytest.raises(InputInvalid, match="/key"):
        event({"id": "x" * 301}, key_path="id")
    with pytest.raises(InputInvalid, match="/type"):
        event({"t": "a\nb"}, type_path="t")
    assert event({"s": "a\nb" + "x" * 400}, subject_path="s").subject == ("a b" + "x" * 297)


def test_times_that_are_none_are_now():
    before = datetime.now(UTC)
    for value in (0, -1, 10**12, float("nan"), True, "yesterday", "", None, []):
        assert event({**STRIPE, "created": value}, "stripe", "stripe").occurred_at >= before


def test_a_source_is_read_as_its_name_says_where_the_verifier_is_of_no_vendor():
    assert shape_of("github", Verifier.IP) == "github"
    assert shape_of("github", Verifier.STRIPE) == "stripe"
    assert shape_of("shop", Verifier.UNSIGNED) == ""
