"""``stepwell dev``, as a newcomer meets it: one command onboards a lead; it starts again whatever was done to it."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

STEPWELL = Path(sys.executable).with_name("stepwell")
READY = "Ctrl-C stops everything"


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "stepwell"


@pytest.fixture
def start(data_dir):
    """Start ``stepwell dev`` on ``data_dir`` with more variables in its environment; killed at the test's end."""
    started: list[subprocess.Popen[str]] = []

    def start(**variables):
        env = os.environ | {"STEPWELL_DATA_DIR": str(data_dir), "COLUMNS": "200"} | variables
        process = subprocess.Popen(
            [STEPWELL, "dev"], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()


def _until_ready(process):
    """What it prints until it is up. It must come up; otherwise what it says is the failure."""
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if READY in line:
            return "".join(lines)
    pytest.fail("".join(lines))


def _urls(data_dir):
    return json.loads((data_dir / "stack.json").read_text())["urls"]


def _runs(api):
    with httpx2.Client(base_url=api, trust_env=False) as client:
        login = client.post("/auth/login", json={"email": "admin@example.com", "password": "password"})
        token = {"Authorization": f"Bearer {login.json()['access_token']}"}
        return client.get("/workflows/executions", headers=token).json()


def test_a_lead_is_onboarded_and_all_is_kept_over_a_kill_and_ended_by_ctrl_c(start, data_dir):
    first = start()
    assert "completed" in _until_ready(first)
    first.kill()
    first.wait()

    second = start()
    assert "completed" in _until_ready(second)
    urls = _urls(data_dir)
    assert [run["status"] for run in _runs(urls["api"])] == ["completed", "completed"]
    for page in (f"{urls['api']}/docs", urls["temporal_ui"], urls["mail"]):
        assert httpx2.get(page, trust_env=False).is_success
    assert "ada.lovelace@example.com" in httpx2.get(urls["mail"], trust_env=False).text

    third = start()
    assert "already" in third.communicate()[0]
    assert third.returncode == 1

    second.send_signal(signal.SIGINT)
    said = second.communicate()[0]
    assert (second.returncode, "Traceback" in said, "Stopped" in said) == (0, False, True)
    assert not (data_dir / "stack.json").exists()


def test_a_busy_port_that_was_asked_for_is_said_so(start):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        process = start(STEPWELL_API_PORT=port)
        said = process.communicate()[0]
    assert f"STEPWELL_API_PORT {port} is busy" in said
    assert process.returncode == 1


def test_an_unreachable_temporal_is_said_so_in_one_line(start):
    process = start(TEMPORAL_ADDRESS="127.0.0.1:1")
    said = process.communicate()[0]
    assert "Temporal at 127.0.0.1:1 cannot be reached" in said
    assert "Traceback" not in said
    assert process.returncode == 1
