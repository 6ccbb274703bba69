"""``stepwell webhooks``: endpoints from the command line."""

import re


def test_an_endpoint_is_made_shown_changed_and_deleted(stepwell):
    made = stepwell("webhooks", "create", "stripe", "--secret", "STRIPE_WEBHOOK", "--json").json
    assert re.fullmatch(rf"/api/automate/webhooks/stripe/{made['key']}/", made["path"])
    assert (made["verifier"], made["missing_secrets"]) == ("stripe", ["STRIPE_WEBHOOK"])
    shown = stepwell("webhooks", "show", made["id"])
    assert made["path"] in shown.out
    assert "refuses all: STRIPE_WEBHOOK is not set" in shown.out
    stepwell("secrets", "set", "STRIPE_WEBHOOK", stdin="whsec_hush")
    changed = stepwell("webhooks", "update", made["id"], "-s", "NEW", "-s", "STRIPE_WEBHOOK")
    assert "on; NEW is not set" in changed.out
    assert "whsec_hush" not in shown.out + changed.out
    assert stepwell("webhooks", "update", made["id"], "--off", "--json").json["is_active"] is False
    renewed = stepwell("webhooks", "update", made["id"], "--new-key", "--json").json
    assert renewed["key"] != made["key"]
    assert (renewed["secrets"], renewed["is_active"]) == (["NEW", "STRIPE_WEBHOOK"], False)
    assert made["id"] in [each["id"] for each in stepwell("webhooks", "list", "--json").json]
    assert stepwell("webhooks", "list", "--source", "github", "--json").json == []
    assert stepwell("webhooks", "delete", made["id"], stdin="n\n").code == 1
    assert stepwell("webhooks", "delete", made["id"], "--yes").code == 0
    assert stepwell("webhooks", "show", made["id"]).code == 1


def test_the_default_endpoint_has_a_short_address(stepwell):
    made = stepwell("webhooks", "create", "github", "--secret", "GH", "--default")
    assert "/api/automate/webhooks/github/\n" in made.out
    assert "/api/automate/webhooks/github/ " in stepwell("webhooks", "list").out


def test_a_source_of_no_known_kind_says_how_it_proves_itself(stepwell):
    refused = stepwell("webhooks", "create", "warehouse", "--secret", "W")
    assert refused.code == 2
    assert "--verifier" in refused.err
    config = '{"header": "X-Signature", "encoding": "base64"}'
    made = stepwell("webhooks", "create", "warehouse", "-v", "hmac", "--secret", "W", "-c", config, "--json").json
    assert made["config"] == {"header": "X-Signature", "encoding": "base64"}


def test_what_does_not_fit_is_named(stepwell):
    for given, place in (
        (("Shop!", "-v", "hmac"), "/source"),
        (("shop", "-v", "nothing"), "/verifier"),
        (("shop", "-v", "hmac", "-s", "W"), "/config/header"),
        (("shop", "-v", "ip"), "/allow_ips"),
        (("stripe",), "/secrets"),
    ):
        refused = stepwell("webhooks", "create", *given)
        assert refused.code == 1
        assert place in refused.err + refused.out


def test_who_lets_an_endpoint_accept_unsigned_requests_is_recorded(stepwell):
    made = stepwell("webhooks", "create", "lab", "--verifier", "unsigned", "--json").json
    assert "(command line)" in made["unsigned_by"]
    back = stepwell("webhooks", "update", made["id"], "-v", "ip", "--allow-ip", "203.0.113.0/24", "--json").json
    assert (back["unsigned_by"], back["allow_ips"]) == (None, ["203.0.113.0/24"])
