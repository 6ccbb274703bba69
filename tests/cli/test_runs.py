import os
import signal
import subprocess

import pytest

from tests.cli.conftest import PROGRAM, call

pytestmark = pytest.mark.usefixtures("worker")

HELLO = (
    "input: {type: object, required: [who], properties: {who: {type: string}}}",
    'steps: [{name: greet, title: Greet them, type: transform, set: {text: "Hello {{input.who}}"}}]',
    'output: "{{steps.greet.output}}"',
)
WAITS = (
    "steps:",
    "  - {name: paid, type: wait_for_signal, signal: paid}",
    'output: "{{steps.paid.output}}"',
)


@pytest.fixture(scope="module", autouse=True)
def processes(environment, tmp_path_factory):
    directory = tmp_path_factory.mktemp("processes")
    fails = "steps: [{name: refuse, type: stop, status: failed, message: no more paper}]"
    for name, lines in {"hello": HELLO, "waits": WAITS, "fails": [fails]}.items():
        (directory / f"{name}.yaml").write_text("\n".join([f"name: {name}", *lines, ""]))
    assert call(environment, "publish", directory).code == 0


def test_run_waits_for_the_result_and_shows_the_steps(stepwell):
    run = stepwell("run", "hello", "--input", '{"who": "Ann"}', "--wait", 60)
    assert run.code == 0
    assert "completed" in run.out
    assert "Greet them" in run.out
    assert '"text": "Hello Ann"' in run.out


def test_run_takes_its_input_from_a_file_or_standard_input(stepwell, tmp_path):
    file = tmp_path / "input.yaml"
    file.write_text("who: Bob")
    assert stepwell("run", "hello", "-i", f"@{file}", "--json").json["result"] == {"text": "Hello Bob"}
    assert stepwell("run", "hello", "-i", "-", "--json", stdin='{"who": "Eve"}').json["result"] == {"text": "Hello Eve"}


def test_the_same_key_gives_the_same_run(stepwell):
    first, second = (
        stepwell("run", "hello", "-i", '{"who": "Kay"}', "--key", "once", "--json").json["execution_id"] for _ in "ab"
    )
    assert first == second
    refused = stepwell("run", "hello", "-i", '{"who": "Zoe"}', "--key", "once")
    assert refused.code == 1
    assert "another input" in refused.err


def test_a_run_that_fails_gives_exit_code_1_and_says_why(stepwell):
    failed = stepwell("run", "fails", "--wait", 60)
    assert failed.code == 1
    assert "no more paper" in failed.out


def test_input_that_does_not_fit_is_refused_with_pointers(stepwell):
    refused = stepwell("run", "hello", "-i", '{"who": 3}')
    assert refused.code == 1
    assert "/who" in refused.err


@pytest.mark.parametrize("bad", ["{", '{"a": 1, "a": 2}', "@/no/such/file", '{"a": NaN}'])
def test_input_that_is_not_json_is_wrong_usage(stepwell, bad):
    assert stepwell("run", "hello", "-i", bad).code == 2


def test_an_unknown_process_is_told_the_close_ones(stepwell):
    refused = stepwell("run", "helo")
    assert refused.code == 1
    assert "did you mean hello" in refused.err


def test_a_waiting_run_is_shown_signalled_and_followed_to_its_end(stepwell):
    run = stepwell("run", "waits", "--wait", 0, "--json").json["execution_id"]
    _until_waiting(stepwell, run)
    assert "the signal paid" in stepwell("runs", "show", run).out
    assert stepwell("runs", "signal", run, "paid", "--payload", '{"amount": 3}').code == 0
    ended = stepwell("runs", "show", run, "--follow", "--json")
    assert ended.code == 0
    assert ended.json["result"] == {"amount": 3}
    assert [step["status"] for step in ended.json["steps"]] == ["completed"]


def test_a_cancelled_run_gives_exit_code_1_when_followed(stepwell):
    run = stepwell("run", "waits", "--wait", 0, "--json").json["execution_id"]
    _until_waiting(stepwell, run)
    assert stepwell("runs", "cancel", run).code == 0
    assert stepwell("runs", "show", run, "--follow").code == 1
    again = stepwell("runs", "cancel", run)
    assert again.code == 1
    assert "has ended already" in again.err


def test_only_a_parked_step_can_be_resolved(stepwell):
    run = stepwell("run", "waits", "--wait", 0, "--json").json["execution_id"]
    _until_waiting(stepwell, run)
    refused = stepwell("runs", "resolve", run, "paid", "done")
    assert refused.code == 1
    assert "not parked" in refused.err
    assert stepwell("runs", "resolve", run, "paid", "perhaps").code == 2


def test_runs_are_listed_by_process_status_and_time(stepwell):
    stepwell("run", "hello", "-i", '{"who": "Lis"}')
    listed = stepwell("runs", "list", "--process", "hello", "--status", "completed", "--since", "1h", "--json").json
    assert listed
    assert {(run["workflow_name"], run["status"]) for run in listed} == {("hello", "completed")}
    assert stepwell("runs", "list", "--until", "2020-01-01", "--json").json == []
    assert stepwell("runs", "list", "--since", "yesterday").code == 2
    assert "hello" in stepwell("runs", "list", "-n", 1).out


def test_another_tenants_run_does_not_exist(stepwell):
    run = stepwell("run", "hello", "-i", '{"who": "Mia"}', "--json").json["execution_id"]
    stepwell("tenants", "create", "stranger", "--admin", "a@stranger.example")
    for command in (["show", run], ["cancel", run], ["signal", run, "paid"], ["resolve", run, "greet", "skip"]):
        refused = stepwell("runs", *command, "--tenant", "stranger")
        assert refused.code == 1
        assert f"there is no run {run}" in refused.err


def _until_waiting(stepwell, run):
    for _ in range(100):
        if stepwell("runs", "show", run, "--json").json["status"] == "waiting":
            return
    pytest.fail(f"run {run} does not wait")


def test_ctrl_c_ends_the_watching_and_not_the_run(stepwell, environment):
    command = [PROGRAM, "run", "waits", "--wait", "600"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env={**os.environ, **environment}, **pipes) as watching:
        run = watching.stdout.readline().split()[-1]
        watching.send_signal(signal.SIGINT)
        _, told = watching.communicate(timeout=30)
    assert watching.returncode == 130
    assert f"stepwell runs show {run} --follow" in told
    assert "Traceback" not in told
    _until_waiting(stepwell, run)
