"""Values that are too large fail their step and say why; they never leave a workflow task that fails for ever."""

from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from tests.e2e.conftest import Running

pytestmark = pytest.mark.xdist_group("onboarding")

LIMIT = 256 * 1024
LARGE = 400_000


async def failed(running: Running, name: str, steps: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """How the run of such a process fails. Its history shows no failed workflow task."""
    await running.publish(name, steps, **more)
    answer = await running.execute(name, {})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    assert shown["status"] == "failed", shown
    history = await running.history(await running.installation.run(shown["id"]))
    failures = [event for event in history.events if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED]
    assert [str(failure) for failure in failures] == []
    error: dict[str, Any] = shown["error"]
    return error


@pytest.mark.parametrize("lane", ["fast", "regular"])
async def test_a_large_document_fails_its_step_with_size_limit_and_way_out(running, echo, lane):
    step = {"name": "fetch", "action": "http.get", "lane": lane, "config": {"url": f"{echo.url}/large/{LARGE}"}}
    error = await failed(running, f"large_document_{lane}", [step])
    assert (error["step"], error["code"]) == ("fetch", "OUTPUT_TOO_LARGE")
    assert error["details"]["size"] > LARGE
    assert error["details"]["limit"] == LIMIT
    assert f"the limit is {LIMIT}: ask for less" in error["message"]
    assert "STEPWELL_MAX_OUTPUT_BYTES" in error["message"]


async def test_a_document_beyond_what_is_ever_read_fails_its_step(running, echo):
    step = {"name": "fetch", "action": "http.get", "config": {"url": f"{echo.url}/large/{8_000_000}"}}
    error = await failed(running, "endless_document", [step])
    assert error["step"] == "fetch"
    assert str(1024 * 1024) in error["message"]


async def test_a_large_query_result_fails_its_step(running):
    query = {"connection": "own", "query": "SELECT repeat('x', %(size)s) AS text", "params": {"size": LARGE}}
    error = await failed(running, "large_query", [{"name": "read", "action": "db.query", "config": query}])
    assert (error["step"], error["code"]) == ("read", "OUTPUT_TOO_LARGE")


def fetches(echo: Any, count: int) -> list[dict[str, Any]]:
    """Steps whose outputs are each just small enough."""
    config = {"url": f"{echo.url}/large/200000"}
    return [{"name": f"fetch_{number}", "action": "http.get", "config": config} for number in range(count)]


async def test_a_result_that_is_too_large_together_fails_the_run(running, echo):
    error = await failed(running, "large_together", fetches(echo, 6))
    assert error["code"] == "TOO_LARGE"
    assert "let `output` choose" in error["message"]


async def test_a_run_that_remembers_too_much_fails_and_says_so(running, echo):
    error = await failed(running, "large_memory", fetches(echo, 30), output={"ok": True})
    assert error["code"] == "TOO_LARGE"
    assert "keep large outputs elsewhere" in error["message"]


@pytest.mark.parametrize("lane", ["fast", "regular"])
async def test_an_action_whose_input_grew_too_large_fails_its_step(running, echo, lane):
    everything = "".join(f"{{{{steps.fetch_{number}.output.body}}}}" for number in range(6))
    message = {"name": "tell", "action": "core.log", "lane": lane, "config": {"message": everything}}
    error = await failed(running, f"large_input_{lane}", [*fetches(echo, 6), message], output={"ok": True})
    assert error["step"] == "tell"
    assert "limit" in error["message"]


async def test_a_child_whose_input_grew_too_large_fails_its_step(running, echo):
    await running.publish("large_child", [{"name": "tell", "action": "core.log", "config": {"message": "hello"}}])
    everything = "".join(f"{{{{steps.fetch_{number}.output.body}}}}" for number in range(6))
    child = {"name": "child", "type": "process", "process": "large_child", "input": {"text": everything}}
    error = await failed(running, "large_parent", [*fetches(echo, 6), child], output={"ok": True})
    assert error["step"] == "child"
