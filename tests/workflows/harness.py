"""Runs definitions on a Temporal server: the platform's interpreter, and activities that keep everything in memory."""

import asyncio
import shutil
import sys
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.effects import Entered
from activities.failures import translated
from activities.segments import Segments
from domain import ids
from domain.dialects import parse_definition
from domain.errors import ConnectorError, ErrorCode
from domain.messages import (
    ActionOutcome,
    BeginRun,
    BegunRun,
    FinishRun,
    LoadRun,
    PerformAction,
    RunKey,
    RunView,
    UpdateRun,
)
from workflows.process import Process


def server_binary(name: str) -> str | None:
    """Path of a Temporal binary beside this Python, or on the PATH."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


@dataclass
class World:
    """What the faked activities have done, and how they behave.

    Actions are ``test.<verb>``. ``echo`` answers its input; ``fail`` fails for good; ``flaky`` fails its first
    ``times`` tries; ``unknown`` cannot tell what happened until it is told to retry; ``count`` answers how many
    effects there have been. Like the real ledger, an effect happens once for each key.
    """

    definitions: dict[str, dict[str, Any]]
    effects: list[PerformAction] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)
    updates: list[UpdateRun] = field(default_factory=list)
    finished: dict[int, FinishRun] = field(default_factory=dict)
    begun: list[BeginRun] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    slow: list[str] = field(default_factory=list)
    once: list[str] = field(default_factory=list)

    @activity.defn(name=ids.BEGIN_RUN)
    async def begin(self, order: BeginRun) -> BegunRun:
        if order.process not in self.definitions:
            known = ", ".join(self.definitions)
            raise ApplicationError(f"there is no process, only {known}", type="NOT_FOUND", non_retryable=True)
        if order.temporal_run_id not in [earlier.temporal_run_id for earlier in self.begun]:
            self.begun.append(order)
        number = [earlier.temporal_run_id for earlier in self.begun].index(order.temporal_run_id) + 1
        definition = parse_definition(self.definitions[order.process])
        return BegunRun(
            run_id=order.memo.run_id or number,
            key=f"run-{order.memo.run_id or number}",
            tenant=order.memo.tenant or "tenant-1",
            process=order.process,
            version=definition.version,
            digest=definition.digest,
            definition=definition.body,
            input=order.input,
            slow=self.slow,
            once=self.once,
        )

    @activity.defn(name=ids.LOAD_RUN)
    async def load(self, order: LoadRun) -> dict[str, Any]:
        return parse_definition(self.definitions[order.process]).body

    @activity.defn(name=ids.EFFECTS_OF_RUN)
    async def effects_of_run(self, order: RunKey) -> list[str]:
        return [effect.key for effect in self.effects if effect.run_id == order.run_id]

    @activity.defn(name=ids.UPDATE_RUN)
    async def update(self, order: UpdateRun) -> None:
        self.updates.append(order)

    @activity.defn(name=ids.FINISH_RUN)
    async def finish(self, order: FinishRun) -> None:
        self.finished[order.run_id] = order

    @activity.defn(dynamic=True)
    async def perform(self, args: Sequence[RawValue]) -> ActionOutcome:
        order = activity.payload_converter().from_payload(args[0].payload, PerformAction)
        with translated(order.action):
            return await self.attempt(order)

    async def entered(self, tenant: str, keys: Mapping[str, str]) -> Entered:
        return {}

    async def attempt(self, order: PerformAction, entered: Entered | None = None) -> ActionOutcome:
        self.attempts[order.key] = self.attempts.get(order.key, 0) + 1
        match order.action:
            case "test.fail":
                raise ConnectorError(ErrorCode.INVALID_INPUT, order.input.get("message", "no"))
            case "test.flaky" if self.attempts[order.key] <= order.input["times"]:
                raise ConnectorError(ErrorCode.UPSTREAM_5XX, "not yet")
            case "test.unknown" if order.on_unknown != "retry":
                raise ConnectorError(ErrorCode.OUTCOME_UNKNOWN, "nobody knows")
            case "test.skipped":
                return ActionOutcome(skipped=True)
            case "test.hang":
                await self.gate.wait()
        if order.key not in {effect.key for effect in self.effects[-500:]}:
            self.effects.append(order)
        output = len(self.effects) if order.action == "test.count" else order.input
        return ActionOutcome(output=output, size=len(str(output)))

    @property
    def steps(self) -> list[str]:
        """Paths of the steps that have had an effect, in order."""
        return [effect.key.partition("/")[2] for effect in self.effects]


@dataclass
class Stage:
    """A worker on a server, and the world that its activities act on."""

    client: Client
    task_queue: str
    world: World

    async def start(self, process: str, run_input: Any = None, **options: Any) -> WorkflowHandle[Any, Any]:
        """Start a run as ``temporal workflow start`` does."""
        options.setdefault("id", uuid.uuid4().hex)
        return await self.client.start_workflow(
            process, {} if run_input is None else run_input, task_queue=self.task_queue, **options
        )

    async def result(self, process: str, run_input: Any = None) -> Any:
        """Run to the end."""
        return await (await self.start(process, run_input)).result()

    def finish_of(self, run_id: int = 1) -> FinishRun:
        """How the run says that it ended."""
        return self.world.finished[run_id]


async def view(handle: WorkflowHandle[Any, Any]) -> RunView:
    """Where the run is."""
    return await handle.query(ids.VIEW_QUERY, result_type=RunView)


async def until_waiting(handle: WorkflowHandle[Any, Any], kind: str) -> RunView:
    """The view once the run waits on something of that kind."""
    async with asyncio.timeout(20):
        while True:
            seen = await view(handle)
            if any(wait.kind == kind for wait in seen.waiting_on):
                return seen
            assert not seen.status.ended, seen
            await asyncio.sleep(0.02)


def definition(name: str, steps: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A definition's document."""
    return {"name": name, "steps": steps, **more}


@asynccontextmanager
async def staged(client: Client, *documents: dict[str, Any], **world: Any) -> AsyncIterator[Stage]:
    """A stage where a worker knows these definitions."""
    stage = Stage(client, f"test-{uuid.uuid4().hex}", World({d["name"]: d for d in documents}, **world))
    async with working(stage):
        yield stage


@asynccontextmanager
async def working(stage: Stage) -> AsyncIterator[None]:
    """A worker on the stage."""
    acts = stage.world
    segments = Segments(acts, acts)  # type: ignore[arg-type]  # the world stands for effects and rows
    async with Worker(
        stage.client,
        task_queue=stage.task_queue,
        workflows=[Process],
        activities=[
            acts.begin,
            acts.load,
            acts.effects_of_run,
            acts.update,
            acts.finish,
            acts.perform,
            segments.perform,
        ],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        yield
