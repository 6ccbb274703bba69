"""Continue-as-new: long runs finish, and no history grows beyond what the server suggests."""

import pytest

from tests.workflows.harness import definition, staged, until_waiting

SUGGESTED_EVENTS = 4096
SUGGESTED_BYTES = 4 * 1024 * 1024


async def histories(client, handle):
    """Events and bytes of each history of the run, the first one first."""
    sizes, run_id = [], handle.first_execution_run_id
    while run_id:
        run = client.get_workflow_handle(handle.id, run_id=run_id)
        described = await run.describe()
        sizes.append((described.history_length, described.raw_description.workflow_execution_info.history_size_bytes))
        last = [event async for event in run.fetch_history_events()][-1]
        run_id = last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return sizes


def foreach(count, **more):
    return {
        "name": "all",
        "type": "foreach",
        "items": "{{input.items}}",
        "steps": [{"name": "one", "action": "test.echo", "config": {"n": "{{item}}"}}],
        "collect": "{{steps.one.output.n}}",
        **more,
    }


@pytest.mark.parametrize("max_parallel", [1, 20])
async def test_a_foreach_over_ten_thousand_items_ends_with_each_item_done_once(client, max_parallel):
    steps = [foreach(10_000, max_parallel=max_parallel), {"name": "after", "action": "test.echo"}]
    async with staged(client, definition("p", steps, output="{{steps.all.output}}")) as stage:
        handle = await stage.start("p", {"items": list(range(10_000))})
        assert await handle.result() == list(range(10_000))
        assert len(stage.world.effects) == 10_001
        sizes = await histories(client, handle)
        assert len(sizes) > 1
        assert max(events for events, _ in sizes) < SUGGESTED_EVENTS
        assert max(size for _, size in sizes) < SUGGESTED_BYTES


async def test_a_process_of_five_hundred_steps_ends(client):
    steps = [{"name": f"s{number}", "action": "test.echo", "config": {"n": number}} for number in range(500)]
    async with staged(client, definition("p", steps, output={"last": "{{steps.s499.output.n}}"})) as stage:
        handle = await stage.start("p")
        assert await handle.result() == {"last": 499}
        sizes = await histories(client, handle)
        assert max(events for events, _ in sizes) < SUGGESTED_EVENTS
        assert len(stage.world.effects) == 500


async def test_what_is_nested_deeply_goes_on_where_it_was_after_a_fresh_history(client, monkeypatch):
    monkeypatch.setattr("workflows.interpreter.MAX_EVENTS", 12)
    branch = {"name": "b", "type": "branch", "on": "'go'", "branches": {"go": [foreach(0)]}}
    steps = [
        {"name": "first", "action": "test.echo", "config": {"n": 7}},
        {"name": "skipped", "action": "test.echo", "when": False},
        {"name": "par", "type": "parallel", "branches": {"x": [branch], "y": [{"name": "y1", "action": "test.echo"}]}},
        {"name": "last", "action": "test.echo", "config": {"n": "{{steps.first.output.n}}"}},
    ]
    document = definition("p", steps, output={"n": "{{steps.last.output.n}}", "all": "{{steps.all.output}}"})
    async with staged(client, document) as stage:
        handle = await stage.start("p", {"items": list(range(40))})
        assert await handle.result() == {"n": 7, "all": list(range(40))}
        assert len(stage.world.effects) == 43
        assert len(await histories(client, handle)) > 3


async def test_signals_and_compensations_survive_a_fresh_history(client, monkeypatch):
    monkeypatch.setattr("workflows.interpreter.MAX_EVENTS", 6)
    undo = {"action": "test.echo", "config": {"undo": "{{steps.one.output.n}}"}}
    loop = foreach(0)
    loop["steps"][0]["compensate"] = undo
    steps = [loop, {"name": "go", "type": "wait_for_signal", "signal": "go"}, {"name": "boom", "action": "test.fail"}]
    async with staged(client, definition("p", steps)) as stage:
        handle = await stage.start("p", {"items": list(range(15))}, start_signal="other", start_signal_args=[1])
        await until_waiting(handle, "signal")
        await handle.signal("go", 2)
        with pytest.raises(Exception, match="Workflow execution failed"):
            await handle.result()
        undone = [path for path in stage.world.steps if path.endswith("!undo")]
        assert undone == [f"all[{index}].one!undo" for index in reversed(range(15))]


async def test_a_run_that_remembers_too_much_fails_with_the_way_out(client, monkeypatch):
    monkeypatch.setattr("workflows.interpreter.MAX_EVENTS", 20)
    monkeypatch.setattr("workflows.process.MAX_STATE_BYTES", 20_000)
    loop = foreach(0)
    del loop["collect"]
    loop["steps"][0]["config"]["text"] = "x" * 1000
    first = {"name": "first", "action": "test.echo", "compensate": {"action": "test.echo"}}
    async with staged(client, definition("p", [first, loop])) as stage:
        with pytest.raises(Exception, match="Workflow execution failed"):
            await stage.result("p", {"items": list(range(40))})
        assert "collect" in stage.finish_of().error.message
        assert stage.world.steps[-1] == "first!undo"
