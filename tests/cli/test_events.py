import pytest

from tests.cli.conftest import call


@pytest.fixture(scope="module", autouse=True)
def processes(environment, tmp_path_factory):
    directory = tmp_path_factory.mktemp("listeners")
    listeners = {
        "greets": ["triggers: [{type: event, config: {event: cli.greet, condition: 'loud == true'}}]"],
        "demands": [
            "input: {type: object, required: [total]}",
            "triggers: [{type: event, config: {event: cli.demand}}]",
        ],
    }
    for name, lines in listeners.items():
        text = [f"name: {name}", *lines, "steps: [{name: end, type: stop}]", ""]
        (directory / f"{name}.yaml").write_text("\n".join(text))
    assert call(environment, "publish", directory).code == 0


def send(stepwell, *arguments, code=0):
    sent = stepwell("events", "send", *arguments, "--json")
    assert sent.code == code, sent.out + sent.err
    return sent.json


def test_an_event_that_is_sent_starts_a_run_once(stepwell):
    first = stepwell("events", "send", "cli.greet", "--payload", '{"loud": true}', "--key", "k-1")
    assert first.code == 0
    assert "dispatched; runs: " in first.out
    again = send(stepwell, "cli.greet", "--payload", '{"loud": true}', "--key", "k-1")
    assert again["created"] is False
    (run,) = again["run_ids"]
    assert stepwell("runs", "show", run, "--json").json["trigger_source"] == "cli: cli.greet"
    told = stepwell("events", "send", "cli.greet", "-p", '{"loud": true}', "-k", "k-1")
    assert "already" in told.out


def test_events_are_listed_and_shown_with_what_was_made_of_them(stepwell):
    quiet = send(stepwell, "cli.greet", "--payload", '{"loud": false}', "--subject", "cat", "--source", "den")
    listed = stepwell("events", "list", "--type", "cli.*", "--source", "den", "--since", "1h", "--json").json
    assert [(each["id"], each["subject"]) for each in listed] == [(quiet["event_id"], "cat")]
    assert stepwell("events", "list", "--source", "den", "--until", "2020-01-01", "--json").json == []
    assert "cli.greet" in stepwell("events", "list", "--text", '"loud": false').out
    shown = stepwell("events", "show", quiet["event_id"])
    assert "no_match" in shown.out
    assert "its rule is not true" in shown.out
    document = stepwell("events", "show", quiet["event_id"], "--json").json
    assert document["payload"] == {"loud": False}
    assert [(each["process"], each["status"]) for each in document["deliveries"]] == [("greets", "no_match")]


def test_a_dead_event_gives_exit_code_1_and_is_replayed_after_its_cause_is_mended(stepwell, tmp_path):
    dead = send(stepwell, "cli.demand", "--payload", '{"sum": 5}', code=1)
    event = dead["event_id"]
    assert dead["status"] == "dead"
    assert "total" in stepwell("events", "show", event).out
    again = stepwell("events", "replay", event)
    assert again.code == 1
    assert f"events show {event}" in again.err
    mended = tmp_path / "demands.yaml"
    mended.write_text(
        "{name: demands, version: 1.0.1, input: {type: object, required: [total]},"
        " triggers: [{type: event, config: {event: cli.demand, input: {total: '{{event.sum}}'}}}],"
        " steps: [{name: end, type: stop}]}"
    )
    assert stepwell("publish", mended).code == 0
    (replayed,) = stepwell("events", "replay", event, "--json").json
    assert replayed["status"] == "dispatched"
    assert len(replayed["run_ids"]) == 1


def test_all_dead_events_of_a_type_are_left_to_the_workers(stepwell, environment):
    for number in range(2):
        send(stepwell, "cli.demand", "--payload", '{"other": 1}', "--source", f"bulk-{number}", code=1)
    assert stepwell("events", "replay", "--dead", "--type", "cli.other", "--json").json == {"events": 0}
    one = stepwell("events", "replay", "--dead", "--source", "bulk-0", "--json")
    assert one.json == {"events": 1}
    assert "1 event is pending" in stepwell("events", "replay", "--dead", "--type", "cli.demand").out


@pytest.mark.parametrize(
    "arguments",
    [
        ("replay",),
        ("replay", "1", "--dead"),
        ("replay", "1", "--type", "a"),
        ("send", "a", "--payload", "{"),
        ("list", "--status", "lost"),
        ("list", "--since", "yesterday"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(stepwell, arguments):
    assert stepwell("events", *arguments).code == 2


def test_an_event_that_does_not_fit_is_refused(stepwell):
    refused = stepwell("events", "send", "", "--key", "x" * 301)
    assert refused.code == 1
    assert "/type" in refused.err
    assert "/key" in refused.err


def test_another_tenants_event_does_not_exist(stepwell):
    event = send(stepwell, "cli.private")["event_id"]
    stepwell("tenants", "create", "eavesdropper", "--admin", "a@eavesdropper.example")
    for command in ("show", "replay"):
        refused = stepwell("events", command, event, "--tenant", "eavesdropper")
        assert refused.code == 1
        assert f"there is no event {event}" in refused.err
