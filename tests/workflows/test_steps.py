"""Each kind of step, on the time-skipping server."""

from datetime import timedelta

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from domain import ids
from tests.workflows.harness import definition, staged, until_waiting


def echo(name, **config):
    return {"name": name, "action": "test.echo", "config": config}


async def run(client, steps, run_input=None, **more):
    async with staged(client, definition("p", steps, **more)) as stage:
        return await stage.result("p", run_input), stage


async def test_outputs_feed_the_steps_after_them_and_the_result(client):
    result, stage = await run(
        client,
        [echo("one", n="{{input.n}}"), echo("two", text="n is {{steps.one.output.n}}", n="${step_one_result.n}")],
        {"n": 3},
        output={"text": "{{steps.two.output.text}}", "n": "{{step.2.output.n}}"},
    )
    assert result == {"text": "n is 3", "n": 3}
    assert stage.world.steps == ["one", "two"]


async def test_without_output_the_result_is_the_output_of_each_step(client):
    result, _ = await run(client, [echo("one", a=1), echo("two", b=2)])
    assert result == {"one": {"a": 1}, "two": {"b": 2}}


async def test_a_step_whose_condition_is_false_is_skipped_before_it_happens_and_the_run_goes_on(client):
    result, stage = await run(
        client,
        [{**echo("pay"), "when": "input.payment_type == 'prepaid'"}, echo("deploy")],
        {"payment_type": "postpaid"},
    )
    assert stage.world.steps == ["deploy"]
    assert result == {"deploy": {}}
    assert [step.status for step in stage.finish_of().steps] == ["skipped", "completed"]


@pytest.mark.parametrize(("amount", "path"), [(501, "triage.review"), (500, "triage.pay")])
async def test_a_branch_follows_the_documents_rule(client, amount, path):
    rule = {"if": [{">": [{"var": "amount"}, 500]}, "needs_review", "auto_approve"]}
    branches = {"needs_review": [echo("review")], "auto_approve": [echo("pay")]}
    _, stage = await run(
        client, [{"name": "triage", "type": "branch", "on": rule, "branches": branches}], {"amount": amount}
    )
    assert stage.world.steps == [path]


async def test_a_branch_nobody_wrote_fails_with_the_names_there_are(client):
    with pytest.raises(WorkflowFailureError) as failed:
        await run(client, [{"name": "b", "type": "branch", "on": "input.x", "branches": {"a": []}}], {"x": "c"})
    assert "no branch 'c', only a" in str(failed.value.cause)


async def test_parallel_branches_all_end_and_give_their_last_outputs(client):
    step = {"name": "both", "type": "parallel", "branches": {"a": [echo("x", v=1)], "b": [echo("y"), echo("z", v=2)]}}
    result, stage = await run(client, [step])
    assert result == {"both": {"a": {"v": 1}, "b": {"v": 2}}}
    assert sorted(stage.world.steps) == ["both.x", "both.y", "both.z"]


async def test_a_failed_branch_lets_the_others_end_before_the_run_fails(client):
    fail = {"name": "no", "action": "test.fail"}
    step = {"name": "both", "type": "parallel", "branches": {"a": [fail], "b": [echo("y"), echo("z")]}}
    async with staged(client, definition("p", [step])) as stage:
        with pytest.raises(WorkflowFailureError):
            await stage.result("p")
        assert stage.world.steps == ["both.y", "both.z"]


async def test_foreach_collects_in_the_order_of_the_items_whatever_runs_at_once(client):
    loop = {
        "name": "all",
        "type": "foreach",
        "items": "{{input.people}}",
        "max_parallel": 3,
        "steps": [echo("greet", text="hi {{item.name}}", n="{{index}}")],
        "collect": "{{steps.greet.output.text}}",
    }
    people = [{"name": f"p{number}"} for number in range(7)]
    result, stage = await run(client, [loop], {"people": people})
    assert result == {"all": [f"hi p{number}" for number in range(7)]}
    assert len(stage.world.effects) == 7


async def test_foreach_over_nothing_gives_an_empty_list(client):
    loop = {"name": "all", "type": "foreach", "items": "{{input.people}}", "steps": [echo("greet")]}
    result, _ = await run(client, [loop], {"people": []})
    assert result == {"all": []}


@pytest.mark.parametrize("duration", [30 * 86400, "30d", "P30D"])
async def test_a_wait_of_thirty_days_survives_in_the_history(time_skipping, skipping_client, duration):
    before = await time_skipping.get_current_time()
    await run(skipping_client, [{"name": "w", "type": "wait", "duration": duration}])
    assert await time_skipping.get_current_time() - before >= timedelta(days=30)


async def test_a_wait_until_a_moment_ends_at_that_moment(time_skipping, skipping_client):
    until = await time_skipping.get_current_time() + timedelta(hours=3)
    await run(
        skipping_client, [{"name": "w", "type": "wait", "until": "{{input.until}}"}], {"until": until.isoformat()}
    )
    assert await time_skipping.get_current_time() >= until


async def test_a_moment_that_has_passed_is_not_waited_for(client):
    _, stage = await run(client, [{"name": "w", "type": "wait", "until": "2020-01-01T00:00:00Z"}])
    assert stage.finish_of().status == "completed"


async def test_a_signal_that_came_before_the_wait_is_not_lost(client):
    steps = [{"name": "go", "type": "wait_for_signal", "signal": "accepted", "timeout": "1d"}]
    async with staged(client, definition("p", steps)) as stage:
        handle = await stage.start("p", start_signal="accepted", start_signal_args=[{"by": "ada"}])
        assert await handle.result() == {"go": {"by": "ada"}}


async def test_a_waiting_run_says_what_for_and_goes_on_with_what_the_signal_carries(client):
    steps = [
        {"action": "core.wait_for_signal", "config": {"signal": "accepted"}},
        echo("after", by="{{step.1.output.by}}"),
    ]
    async with staged(client, definition("p", steps)) as stage:
        handle = await stage.start("p")
        seen = await until_waiting(handle, "signal")
        assert "accepted" in seen.waiting_on[0].what
        assert stage.world.updates[-1].status == "waiting"
        await handle.signal("accepted", {"by": "bob"})
        assert (await handle.result())["after"] == {"by": "bob"}
        assert stage.world.updates[-1].status == "running"


async def test_a_signal_of_an_event_that_comes_twice_counts_once(client):
    waits = [{"name": name, "type": "wait_for_signal", "signal": "paid"} for name in ("first", "second")]
    async with staged(client, definition("p", waits)) as stage:
        handle = await stage.start("p")
        for amount, delivery in ((1, "7/1"), (1, "7/1"), (2, "8/1")):
            await handle.signal("paid", args=[{"amount": amount}, {ids.DELIVERY: delivery}])
        assert await handle.result() == {"first": {"amount": 1}, "second": {"amount": 2}}


@pytest.mark.parametrize("on_timeout", ["continue", "fail"])
async def test_silence_means_what_the_definition_says(skipping_client, on_timeout):
    steps = [
        {"name": "go", "type": "wait_for_signal", "signal": "x", "timeout": "24h", "on_timeout": on_timeout},
        echo("after"),
    ]
    async with staged(skipping_client, definition("p", steps)) as stage:
        if on_timeout == "fail":
            with pytest.raises(WorkflowFailureError):
                await stage.result("p")
            assert stage.finish_of().error.code == "TIMEOUT"
        else:
            assert await stage.result("p") == {"go": None, "after": {}}


async def test_transforms_map_filter_and_set_as_the_source_systems_write_them(client):
    steps = [
        {
            "name": "big",
            "type": "transform",
            "transform_type": "filter",
            "source": "${context.orders}",
            "condition": {"operator": "gt", "left": "${item.total}", "right": 10},
        },
        {
            "name": "names",
            "type": "transform",
            "map": {"source": "{{steps.big.output}}", "template": "{{index}}:{{item.id}}"},
        },
        {
            "name": "both",
            "type": "transform",
            "set": {"ids": "{{steps.names.output}}", "n": "{{len(steps.big.output)}}"},
        },
    ]
    orders = [{"id": "a", "total": 5}, {"id": "b", "total": 50}, {"id": "c", "total": 11}]
    result, stage = await run(client, steps, {"orders": orders}, output="{{steps.both.output}}")
    assert result == {"ids": ["0:b", "1:c"], "n": 2}
    assert stage.world.effects == []


async def test_a_child_process_gives_its_output(client):
    child = definition("child", [echo("c", v="{{input.v}}")], output={"doubled": "{{input.v * 2}}"})
    parent = definition("parent", [{"name": "sub", "type": "process", "process": "child", "input": {"v": 4}}])
    async with staged(client, child, parent) as stage:
        assert await stage.result("parent") == {"sub": {"doubled": 8}}
        assert stage.world.begun[1].memo.parent_run_id == 1


async def test_a_child_that_fails_fails_its_step_with_the_childs_reason(client):
    child = definition("child", [{"name": "c", "action": "test.fail", "config": {"message": "no money"}}])
    parent = definition("parent", [{"name": "sub", "type": "process", "process": "child"}])
    async with staged(client, child, parent) as stage:
        with pytest.raises(WorkflowFailureError) as failed:
            await stage.result("parent")
        assert "no money" in str(failed.value.cause)


async def test_a_detached_child_goes_on_after_its_parent(client):
    child = definition("child", [{"name": "w", "type": "wait_for_signal", "signal": "go"}])
    parent = definition("parent", [{"name": "sub", "type": "process", "process": "child", "wait": False}])
    async with staged(client, child, parent) as stage:
        started = (await stage.result("parent"))["sub"]
        handle = client.get_workflow_handle(started["workflow_id"])
        await handle.signal("go", 1)
        assert await handle.result() == {"w": 1}


@pytest.mark.parametrize("status", ["completed", "failed"])
async def test_stop_ends_the_run_with_its_result(client, status):
    stop = {
        "name": "end",
        "type": "stop",
        "status": status,
        "result": {"why": "{{input.why}}"},
        "message": "{{input.why}}",
    }
    async with staged(client, definition("p", [stop, echo("never")])) as stage:
        handle = await stage.start("p", {"why": "declined"})
        if status == "failed":
            with pytest.raises(WorkflowFailureError):
                await handle.result()
            assert stage.finish_of().error.message == "declined"
        else:
            assert await handle.result() == {"why": "declined"}
        assert stage.world.steps == []


async def test_a_dotmac_condition_step_ends_the_run_early_when_false(client):
    steps = [
        {
            "name": "only_big",
            "type": "condition",
            "condition": {"operator": "gte", "left": "${context.n}", "right": 10},
        },
        echo("after"),
    ]
    _, small = await run(client, steps, {"n": 1})
    _, big = await run(client, steps, {"n": 10})
    assert (small.world.steps, big.world.steps) == ([], ["after"])


async def test_an_unknown_name_fails_at_once_with_the_names_there_are(client):
    async with staged(client, definition("refund", [echo("x")])) as stage:
        with pytest.raises(WorkflowFailureError) as failed:
            await stage.result("refnud")
        cause = failed.value.cause
        assert isinstance(cause, ApplicationError)
        assert (cause.type, "refund" in cause.message) == ("NOT_FOUND", True)
