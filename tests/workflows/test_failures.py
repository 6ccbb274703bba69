"""What happens when a step fails, a run is cancelled, or nobody knows what happened."""

import asyncio

import pytest
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError, CancelledError

from domain import ids
from domain.messages import ResolveStep
from tests.workflows.harness import definition, staged, until_waiting, view, working


def echo(name, **more):
    return {"name": name, "action": "test.echo", **more}


def undo(name):
    return {"action": "test.echo", "config": {"undo": "{{steps." + name + ".output.id}}"}}


def fail(name="boom", **more):
    return {"name": name, "action": "test.fail", "config": {"message": "the bank said no"}, **more}


def wait_for(signal):
    return {"name": f"for_{signal}", "type": "wait_for_signal", "signal": signal}


async def resolve(handle, step, decision, **more):
    await handle.execute_update(ids.RESOLVE_UPDATE, ResolveStep(step=step, decision=decision, **more))


async def test_a_failed_run_names_the_step_its_code_and_its_cause(client):
    async with staged(client, definition("p", [echo("a"), fail()])) as stage:
        with pytest.raises(WorkflowFailureError) as failed:
            await stage.result("p")
        cause = failed.value.cause
        assert isinstance(cause, ApplicationError)
        assert cause.type == "INVALID_INPUT"
        assert cause.message == "step boom: the bank said no"
        finish = stage.finish_of()
        assert (finish.status, finish.error.step) == ("failed", "boom")
        assert [step.status for step in finish.steps] == ["completed", "failed"]


@pytest.mark.parametrize(("times", "retries", "ok"), [(1, 3, True), (3, 3, True), (2, 1, False), (1, 0, False)])
async def test_a_passing_failure_is_tried_again_as_often_as_the_step_says(skipping_client, times, retries, ok):
    step = {"name": "s", "action": "test.flaky", "config": {"times": times}, "retry": {"max_retries": retries}}
    async with staged(skipping_client, definition("p", [step])) as stage:
        if ok:
            await stage.result("p")
        else:
            with pytest.raises(WorkflowFailureError):
                await stage.result("p")
        assert stage.world.attempts["run-1/s"] == min(times, retries) + 1
        assert len(stage.world.effects) == int(ok)


@pytest.mark.parametrize("lane", ["fast", "regular"])
async def test_both_lanes_give_the_same_outcome_under_the_same_key(client, lane):
    async with staged(client, definition("p", [{**echo("s", config={"v": 1}), "lane": lane}])) as stage:
        assert await stage.result("p") == {"s": {"v": 1}}
        assert [effect.key for effect in stage.world.effects] == ["run-1/s"]


async def test_compensations_run_in_reverse_and_see_the_outputs_of_their_steps(client):
    steps = [
        echo("one", config={"id": 1}, compensate=undo("one")),
        echo("two", config={"id": 2}),
        echo("three", config={"id": 3}, compensate=undo("three")),
        fail(),
    ]
    async with staged(client, definition("p", steps)) as stage:
        with pytest.raises(WorkflowFailureError):
            await stage.result("p")
        assert stage.world.steps == ["one", "two", "three", "three!undo", "one!undo"]
        assert [effect.input for effect in stage.world.effects[3:]] == [{"undo": 3}, {"undo": 1}]
        assert [step.status for step in stage.finish_of().steps] == [
            "compensated",
            "completed",
            "compensated",
            "failed",
        ]


async def test_compensations_reach_into_branches_parallels_and_loops(client):
    inner = [echo("x", config={"id": "{{index}}"}, compensate=undo("x"))]
    steps = [
        {"name": "par", "type": "parallel", "branches": {"a": [echo("p", config={"id": 9}, compensate=undo("p"))]}},
        {"name": "loop", "type": "foreach", "items": [1, 2], "steps": inner},
        fail(),
    ]
    async with staged(client, definition("p", steps)) as stage:
        with pytest.raises(WorkflowFailureError):
            await stage.result("p")
        assert stage.world.steps[3:] == ["loop[1].x!undo", "loop[0].x!undo", "par.p!undo"]


async def test_what_cannot_be_undone_is_named_in_the_runs_error(skipping_client):
    steps = [echo("one", config={"id": 1}, compensate={"action": "test.fail"}), fail()]
    async with staged(skipping_client, definition("p", steps)) as stage:
        with pytest.raises(WorkflowFailureError):
            await stage.result("p")
        assert stage.finish_of().error.details["not_compensated"] == ["one"]


async def test_on_error_continue_goes_on_with_no_output_and_keeps_the_error_visible(client):
    async with staged(client, definition("p", [fail(on_error="continue"), echo("after")])) as stage:
        assert await stage.result("p") == {"boom": None, "after": {}}
        assert stage.finish_of().steps[0].error.message == "the bank said no"


async def test_a_missing_path_fails_the_step_and_names_the_path(client):
    async with staged(client, definition("p", [echo("s", config={"v": "{{input.cusotmer.id}}"})])) as stage:
        with pytest.raises(WorkflowFailureError):
            await stage.result("p", {"customer": {"id": 1}})
        error = stage.finish_of().error
        assert error.code == "MISSING_PATH"
        assert "input.cusotmer" in error.message


@pytest.mark.parametrize(
    ("decision", "result"),
    [("retry", {"s": {"v": 1}, "after": {}}), ("done", {"s": {"id": "x"}, "after": {}}), ("skip", {"after": {}})],
)
async def test_an_effect_nobody_knows_of_waits_for_a_person(client, decision, result):
    steps = [{"name": "s", "action": "test.unknown", "config": {"v": 1}}, echo("after")]
    async with staged(client, definition("p", steps)) as stage:
        handle = await stage.start("p")
        seen = await until_waiting(handle, "person")
        assert "nobody knows" in seen.waiting_on[0].what
        assert seen.steps[0].error.code == "OUTCOME_UNKNOWN"
        await resolve(handle, "s", decision, output={"id": "x"} if decision == "done" else None)
        assert await handle.result() == result


async def test_a_person_may_give_up_a_parked_step(client):
    async with staged(client, definition("p", [fail(on_error="park")])) as stage:
        handle = await stage.start("p")
        await until_waiting(handle, "person")
        await resolve(handle, "boom", "fail")
        with pytest.raises(WorkflowFailureError):
            await handle.result()


async def test_only_a_parked_step_can_be_resolved(client):
    async with staged(client, definition("p", [{"name": "w", "type": "wait_for_signal", "signal": "x"}])) as stage:
        handle = await stage.start("p")
        await until_waiting(handle, "signal")
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await resolve(handle, "w", "skip")
        assert "no step waits for a person" in str(refused.value.cause)
        await handle.cancel()


async def test_an_effect_given_up_by_the_definition_counts_as_skipped(client):
    async with staged(client, definition("p", [{"name": "s", "action": "test.skipped"}, echo("after")])) as stage:
        assert await stage.result("p") == {"after": {}}


@pytest.mark.parametrize("on_cancel", ["compensate", "leave"])
async def test_cancelling_a_waiting_run_undoes_what_it_has_done(client, on_cancel):
    steps = [
        echo("one", config={"id": 1}, compensate=undo("one")),
        {"name": "w", "type": "wait", "duration": "30d"},
        echo("never"),
    ]
    async with staged(client, definition("p", steps, on_cancel=on_cancel)) as stage:
        handle = await stage.start("p")
        await until_waiting(handle, "timer")
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        assert isinstance(failed.value.cause, CancelledError)
        assert stage.finish_of().status == "cancelled"
        assert stage.world.steps == (["one", "one!undo"] if on_cancel == "compensate" else ["one"])


async def test_a_cancelled_run_ends_as_cancelled_even_if_its_last_action_succeeds(client):
    async with staged(client, definition("p", [{"name": "h", "action": "test.hang"}]), slow=["test.hang"]) as stage:
        handle = await stage.start("p")
        async with asyncio.timeout(10):
            while not stage.world.attempts:
                await asyncio.sleep(0.01)
        await handle.cancel()
        stage.world.gate.set()
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        assert isinstance(failed.value.cause, CancelledError)


async def test_cancelling_a_parent_cancels_the_child_that_it_waits_for(client):
    child = definition("child", [{"name": "w", "type": "wait_for_signal", "signal": "x"}])
    parent = definition("parent", [{"name": "sub", "type": "process", "process": "child"}])
    async with staged(client, child, parent) as stage:
        handle = await stage.start("parent")
        seen = await until_waiting(handle, "child")
        await until_waiting(client.get_workflow_handle(f"{handle.id}/sub"), "signal")
        assert "child" in seen.waiting_on[0].what
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        assert {finish.status for finish in stage.world.finished.values()} == {"cancelled"}


async def test_a_result_too_large_for_a_history_fails_the_run_and_says_what_to_do(client):
    steps = [{"name": name, "type": "transform", "set": "{{input.x}}"} for name in ("a", "b")]
    async with staged(client, definition("p", steps)) as stage:
        with pytest.raises(WorkflowFailureError):
            await stage.result("p", {"x": "y" * 600_000})
        error = stage.finish_of().error
        assert error.code == "TOO_LARGE"
        assert "output" in error.message
        assert stage.finish_of().steps[0].output == {"omitted": "600002 bytes"}


async def test_a_transform_whose_output_is_too_large_fails_with_its_size_and_the_limit(client):
    big = {"name": "t", "type": "transform", "set": {"a": "{{input.x}}", "b": "{{input.x}}"}}
    async with staged(client, definition("p", [big])) as stage:
        with pytest.raises(WorkflowFailureError):
            await stage.result("p", {"x": "y" * 600_000})
        error = stage.finish_of().error
        assert (error.code, error.step) == ("TOO_LARGE", "t")
        assert "1200015 bytes, the limit is 1000000" in error.message


async def test_the_view_shows_each_step_with_what_it_took_and_gave(client):
    steps = [echo("one", title="First", config={"n": 1}), {"name": "w", "type": "wait_for_signal", "signal": "x"}]
    async with staged(client, definition("p", steps)) as stage:
        handle = await stage.start("p")
        await until_waiting(handle, "signal")
        seen = await view(handle)
        one = seen.steps[0]
        assert (one.title, one.action, one.input, one.output) == ("First", "test.echo", {"n": 1}, {"n": 1})
        assert one.started_at <= one.completed_at
        await handle.cancel()


async def test_a_worker_that_shuts_down_lets_go_of_its_waiting_runs_and_another_goes_on(client):
    steps = [
        {"name": "both", "type": "parallel", "branches": {"a": [wait_for("x")], "b": [wait_for("y")]}},
        echo("after"),
    ]
    async with staged(client, definition("p", steps)) as stage:
        handle = await stage.start("p")
        await until_waiting(handle, "signal")
    async with working(stage):
        await handle.signal("x", 1)
        await handle.signal("y", 2)
        assert (await handle.result())["both"] == {"a": 1, "b": 2}


async def test_a_worker_that_shuts_down_amid_a_cancellation_does_not_hang(client):
    async with staged(client, definition("p", [wait_for("x"), echo("never")])) as stage:
        handle = await stage.start("p")
        await until_waiting(handle, "signal")
        await handle.cancel()
    async with working(stage):
        with pytest.raises(WorkflowFailureError):
            await handle.result()
