"""Runs whose histories are recorded, so that later releases prove that they still replay them.

``python -m tests.workflows.recorded`` (``make histories``) records those that are missing. A recorded history is never
recorded again: if it no longer replays, the change of the interpreter needs ``workflow.patched``.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle

from control.connection import DATA_CONVERTER
from domain import ids
from domain.messages import ResolveStep
from tests.workflows.harness import definition, staged, until_waiting
from workers.embedded.temporal import EmbeddedTemporal
from workflows import interpreter

ROOT = Path(__file__).parents[2]
DIRECTORY = Path(__file__).parent / "histories"

Handle = WorkflowHandle[Any, Any]


async def _nothing(_: Handle) -> None:
    """The run needs nobody."""


async def _deliver(handle: Handle) -> None:
    await until_waiting(handle, "signal")
    for _ in range(2):
        await handle.signal("go", args=[{"by": "ada"}, {ids.DELIVERY: "7/1"}])


async def _signal(handle: Handle) -> None:
    await until_waiting(handle, "signal")
    await handle.signal("go", {"by": "ada"})


async def _cancel(handle: Handle) -> None:
    await until_waiting(handle, "timer")
    await handle.cancel()


async def _resolve(handle: Handle) -> None:
    await until_waiting(handle, "person")
    await handle.execute_update(ids.RESOLVE_UPDATE, ResolveStep(step="s", decision="retry"))


@dataclass(frozen=True)
class Case:
    """A run worth remembering."""

    steps: list[dict[str, Any]]
    run_input: dict[str, Any] = field(default_factory=dict)
    drive: Callable[[Handle], Awaitable[None]] = _nothing
    max_events: int | None = None


def _echo(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "action": "test.echo", **more}


_UNDO = {"action": "test.echo", "config": {"undo": "{{steps.one.output.id}}"}}
_LOOP = {"name": "all", "type": "foreach", "items": "{{input.items}}", "max_parallel": 2, "steps": [_echo("x")]}

CASES = {
    "action_fast": Case([_echo("one", config={"n": "{{input.n}}"}), _echo("two", when="input.n > 5")], {"n": 3}),
    "action_regular": Case([_echo("one", lane="regular")]),
    "action_retried": Case(
        [{"name": "s", "action": "test.flaky", "config": {"times": 2}, "retry": {"initial_interval": "100ms"}}]
    ),
    "branch": Case(
        [{"name": "b", "type": "branch", "on": "input.n > 1", "branches": {"true": [_echo("x")], "false": []}}],
        {"n": 2},
    ),
    "parallel": Case(
        [{"name": "p", "type": "parallel", "branches": {"a": [_echo("x")], "b": [_echo("y"), _echo("z")]}}]
    ),
    "foreach": Case([_LOOP], {"items": [1, 2, 3, 4, 5]}),
    "wait": Case([{"name": "w", "type": "wait", "duration": "200ms"}]),
    "wait_for_signal": Case([{"name": "w", "type": "wait_for_signal", "signal": "go", "timeout": "1d"}], drive=_signal),
    "signal_of_an_event": Case([{"name": "w", "type": "wait_for_signal", "signal": "go"}], drive=_deliver),
    "transform": Case(
        [
            {"name": "f", "type": "transform", "filter": {"source": "{{input.items}}", "condition": "item > 1"}},
            {"name": "m", "type": "transform", "map": {"source": "{{steps.f.output}}", "template": "{{item * 2}}"}},
            {"name": "s", "type": "transform", "set": {"n": "{{len(steps.m.output)}}"}},
        ],
        {"items": [1, 2, 3]},
    ),
    "process": Case([{"name": "sub", "type": "process", "process": "child", "input": {"n": 1}}]),
    "process_detached": Case([{"name": "sub", "type": "process", "process": "child", "wait": False}]),
    "stop": Case([{"name": "end", "type": "stop", "result": {"done": True}}, _echo("never")]),
    "failed_and_compensated": Case(
        [_echo("one", config={"id": 1}, compensate=_UNDO), {"name": "boom", "action": "test.fail"}]
    ),
    "cancelled": Case(
        [_echo("one", config={"id": 1}, compensate=_UNDO), {"name": "w", "type": "wait", "duration": "1d"}],
        drive=_cancel,
    ),
    "parked": Case([{"name": "s", "action": "test.unknown"}], drive=_resolve),
    "continued": Case([_LOOP, _echo("after")], {"items": list(range(30))}, max_events=12),
}


async def record(client: Client, name: str) -> list[str]:
    """Run the case; the JSON of each of its histories, the first one first."""
    case = CASES[name]
    child = definition("child", [_echo("c")])
    async with staged(client, definition(name, case.steps), child) as stage:
        handle = await stage.start(name, case.run_input, id=f"recorded-{name}")
        await case.drive(handle)
        with suppress(WorkflowFailureError):
            await handle.result()
        histories, run_id = [], handle.first_execution_run_id
        while run_id:
            history = await client.get_workflow_handle(handle.id, run_id=run_id).fetch_history()
            histories.append(history.to_json().replace(f"{ROOT}/", ""))
            last = history.events[-1].workflow_execution_continued_as_new_event_attributes
            run_id = last.new_execution_run_id
    return histories


async def _record_missing() -> None:
    with TemporaryDirectory() as directory:
        server = EmbeddedTemporal(Path(directory))
        client = await Client.connect(await server.start(), data_converter=DATA_CONVERTER)
        usual = interpreter.MAX_EVENTS
        for name, case in CASES.items():
            if not list(DIRECTORY.glob(f"{name}.*.json")):
                interpreter.MAX_EVENTS = case.max_events or usual
                for number, text in enumerate(await record(client, name)):
                    (DIRECTORY / f"{name}.{number}.json").write_text(text)
                print(f"recorded {name}")  # noqa: T201
        await server.stop()


if __name__ == "__main__":
    asyncio.run(_record_missing())
