"""Consecutive actions of the fast lane are tried together; nobody can tell by what they do."""

import asyncio
from itertools import pairwise

import pytest
from temporalio.client import WorkflowFailureError

from tests.workflows.harness import definition, staged


def echo(name, **more):
    return {"name": name, "action": "test.echo", **more}


async def markers(handle):
    history = await handle.fetch_history()
    return sum(event.HasField("marker_recorded_event_attributes") for event in history.events)


async def test_six_actions_leave_one_marker_beside_those_of_the_row(client):
    steps = [echo("s0", config={"n": 1})]
    steps += [echo(f"s{i}", config={"n": f"{{{{steps.s{i - 1}.output.n + 1}}}}"}) for i in range(1, 6)]
    async with staged(client, definition("p", steps)) as stage:
        handle = await stage.start("p")
        assert (await handle.result())["s5"] == {"n": 6}
        assert await markers(handle) == 3
        records = stage.finish_of().steps
        assert [record.input for record in records] == [{"n": n} for n in range(1, 7)]
        assert all(a.completed_at <= b.started_at for a, b in pairwise(records))


async def test_conditions_and_earlier_outputs_hold_inside_a_segment(client):
    steps = [
        echo("first", lane="regular", config={"n": 5}),
        echo("a", config={"n": "{{step.1.output.n}}"}),
        echo("b", when="steps.a.output.n > 5"),
        echo("c", config={"has": "{{has(steps.b.output)}}", "n": "${step_a_result.n}"}),
    ]
    async with staged(client, definition("p", steps)) as stage:
        assert await stage.result("p") == {"first": {"n": 5}, "a": {"n": 5}, "c": {"has": False, "n": 5}}
        assert stage.world.steps == ["first", "a", "c"]


async def test_a_step_that_fails_for_now_goes_on_alone_and_the_others_after_it(client):
    flaky = {"name": "f", "action": "test.flaky", "config": {"times": 2}, "retry": {"initial_interval": "50ms"}}
    async with staged(client, definition("p", [echo("a"), flaky, echo("b"), echo("c")])) as stage:
        await stage.result("p")
        assert stage.world.steps == ["a", "f", "b", "c"]
        assert stage.world.attempts["run-1/f"] == 3
        assert stage.world.attempts["run-1/a"] == 1


async def test_a_step_that_takes_long_goes_on_in_the_regular_lane(client):
    async with staged(client, definition("p", [echo("a"), {"name": "h", "action": "test.hang"}, echo("b")])) as stage:
        handle = await stage.start("p")
        async with asyncio.timeout(20):
            while stage.world.attempts.get("run-1/h", 0) < 2:
                await asyncio.sleep(0.02)
        stage.world.gate.set()
        await handle.result()
        assert stage.world.steps == ["a", "h", "b"]


async def test_a_step_that_fails_for_good_ends_the_run_and_undoes_the_steps_before_it(client):
    undo = {"action": "test.echo", "config": {"undo": "{{steps.a.output.id}}"}}
    steps = [echo("a", config={"id": 1}, compensate=undo), echo("b"), {"name": "no", "action": "test.fail"}, echo("c")]
    async with staged(client, definition("p", steps)) as stage:
        with pytest.raises(WorkflowFailureError):
            await stage.result("p")
        assert stage.world.steps == ["a", "b", "a!undo"]


async def test_a_run_cancelled_within_a_segment_undoes_all_that_has_happened(client):
    undo = {"action": "test.echo", "config": {"undo": True}}
    hang = {"name": "h", "action": "test.hang", "compensate": undo}
    steps = [echo("a", compensate=undo), hang, echo("last", compensate=undo)]
    async with staged(client, definition("p", steps)) as stage:
        handle = await stage.start("p")
        async with asyncio.timeout(10):
            while "run-1/h" not in stage.world.attempts:
                await asyncio.sleep(0.01)
        await handle.cancel()
        stage.world.gate.set()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        assert stage.finish_of().status == "cancelled"
        undone = [path for path in stage.world.steps if path.endswith("!undo")]
        done = [path for path in stage.world.steps if not path.endswith("!undo")]
        assert undone == [f"{path}!undo" for path in reversed(done)]


async def test_items_of_a_loop_are_tried_together_too(client):
    loop = {
        "name": "all",
        "type": "foreach",
        "items": "{{input.items}}",
        "max_parallel": 2,
        "steps": [
            echo("x", config={"n": "{{item * 10 + index}}"}),
            echo("y", config={"n": "{{steps.x.output.n + 1}}"}),
        ],
    }
    async with staged(client, definition("p", [loop])) as stage:
        handle = await stage.start("p", {"items": [1, 2, 3]})
        assert await handle.result() == {"all": [{"n": 11}, {"n": 22}, {"n": 33}]}
        assert await markers(handle) == 5
