import json

import pytest

from tests.cli.conftest import call


@pytest.fixture(scope="module", autouse=True)
def processes(environment, tmp_path_factory):
    file = tmp_path_factory.mktemp("triggered") / "triggered.yaml"
    file.write_text(
        "{name: triggered, triggers: [{type: event, config: {event: own.event}}], steps: [{name: end, type: stop}]}"
    )
    assert call(environment, "publish", file).code == 0


def create(stepwell, config, *more):
    made = stepwell("triggers", "create", "triggered", "--config", json.dumps(config), *more, "--json")
    assert made.code == 0, made.out + made.err
    return made.json["id"]


def runs_of(stepwell, event_type, payload=None):
    payload = json.dumps(payload or {})
    return stepwell("events", "send", event_type, "--payload", payload, "--json").json["run_ids"]


def test_a_trigger_is_made_switched_shown_and_deleted(stepwell):
    trigger = create(stepwell, {"event": "made.*"}, "--note", "for the spring")
    assert len(runs_of(stepwell, "made.here")) == 1
    assert stepwell("triggers", "disable", trigger, "--note", "too many").code == 0
    assert runs_of(stepwell, "made.here") == []
    listed = stepwell("triggers", "list", "--process", "triggered").out
    assert "off: too many" in listed
    assert "its definition" in listed
    assert stepwell("triggers", "enable", trigger).code == 0
    assert len(runs_of(stepwell, "made.here")) == 1
    assert '"event": "made.*"' in stepwell("triggers", "show", trigger).out
    assert stepwell("triggers", "delete", trigger, stdin="n\n").code == 1
    assert stepwell("triggers", "delete", trigger, stdin="y\n").code == 0
    assert stepwell("triggers", "show", trigger).code == 1


def test_faults_are_told_with_their_place_and_remedy(stepwell):
    refused = stepwell("triggers", "create", "triggered", "--config", '{"evnt": "a", "condition": "a =="}')
    assert refused.code == 1
    assert "/config/evnt" in refused.err
    assert "did you mean 'event'?" in refused.err
    unknown = stepwell("triggers", "create", "trigered", "--config", '{"event": "a"}')
    assert "did you mean triggered" in unknown.err
    assert stepwell("triggers", "create", "triggered", "--type", "schedule", "--config", "{}").code == 2


def test_a_definitions_trigger_is_switched_and_not_deleted(stepwell):
    listed = stepwell("triggers", "list", "--process", "triggered", "--json").json
    (own,) = [each["id"] for each in listed if each["definition_id"] is not None]
    refused = stepwell("triggers", "delete", own, "--yes")
    assert refused.code == 1
    assert "publish a new version" in refused.err
    assert stepwell("triggers", "disable", own).code == 0
    assert runs_of(stepwell, "own.event") == []
    assert stepwell("triggers", "enable", own, "--json").json["is_active"] is True


def test_a_trial_shows_what_would_happen_and_starts_nothing(stepwell):
    trigger = create(stepwell, {"event": "tried", "rule": {">": [{"var": "n"}, 1]}, "input": {"m": "{{event.n}}"}})
    before = stepwell("runs", "list", "--process", "triggered", "--json").json
    shown = stepwell("triggers", "test", trigger, "--type", "tried", "--payload", '{"n": 2}')
    assert shown.code == 0
    assert "started" in shown.out
    assert '{"m":2}' in shown.out
    (no,) = stepwell("triggers", "test", trigger, "--type", "tried", "--payload", '{"n": 1}', "--json").json
    assert (no["trigger_id"], no["status"], no["explain"]["passed"]) == (trigger, "no_match", False)
    assert stepwell("runs", "list", "--process", "triggered", "--json").json == before
    event = stepwell("events", "send", "tried", "--payload", '{"n": 0}', "--json").json["event_id"]
    traces = stepwell("triggers", "test", "--event", event, "--json").json
    assert [(each["trigger_id"], each["status"]) for each in traces] == [(trigger, "no_match")]
    assert stepwell("triggers", "test").code == 2
    assert stepwell("triggers", "test", "--event", event, "--type", "tried").code == 2
