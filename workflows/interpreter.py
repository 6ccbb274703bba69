"""The walk through the steps of a definition.

A step that has ended leaves its record under its path. After continue-as-new the same walk begins again and passes by
what has its record, so that the place where a run stands needs no cursor, however deep it is nested.
"""

import asyncio
from collections.abc import Coroutine, Generator, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from temporalio import workflow

from domain import ids
from domain.errors import ErrorCode, ExpressionError, StepwellError
from domain.messages import ErrorInfo, OnUnknown, PerformAction, RunKey, SecretSlot, StepStatus
from domain.program import Node, Program
from domain.scope import Scope, event_seen
from domain.sizes import require_size
from domain.steps import (
    ActionStep,
    ApprovalStep,
    BranchStep,
    ForeachStep,
    ParallelStep,
    ProcessStep,
    Retry,
    StopStep,
    TransformStep,
    WaitForSignalStep,
    WaitStep,
)
from workflows import kinds
from workflows.failures import HistoryFull, RunCancelled, RunStopped, StepFailed, step_failed
from workflows.journal import Journal, Place
from workflows.lanes import Lanes, Task
from workflows.segments import Segments
from workflows.state import Loop, RunState
from workflows.waiting import ROW_LIMIT, ROW_RETRY, Waiting

MAX_EVENTS = 3000
MAX_BYTES = 2_500_000
"""Where a fresh history begins; the server suggests it at 4,096 events or 4 MiB."""

CHILD_EVENTS = 10
"""History events of a child run, roughly."""

KEEP_ITEMS = 50
"""A foreach over more items than this keeps no record of each item's steps, only what is collected."""

UNDO_RETRY = Retry(max_retries=10)


class Interpreter:
    """Runs the steps of one run, and undoes them."""

    def __init__(self, state: RunState, program: Program) -> None:
        begun = state.begun
        self.state = state
        self.program = program
        self.waiting = Waiting(begun.run_id, begun.tenant)
        self._lanes = Lanes(begun)
        self._journal = Journal(state)
        run = {
            "id": begun.run_id,
            "tenant": begun.tenant,
            "process": begun.process,
            "version": begun.version,
            "workflow_id": workflow.info().workflow_id,
            "started_at": state.started_at.isoformat(),
        }
        self._scope = Scope(input=begun.input, event=event_seen(begun.event, begun.input), run=run, order=program.order)
        self._segments = Segments(state, self._lanes, self._journal, run)
        self._happened: set[str] | None = None

    async def run(self) -> Any:
        """Do all steps and give the run's result. Raises what ``workflows.failures`` lists."""
        await self._block(self.program.nodes, "", self._scope)
        if self.waiting.cancelled:
            raise RunCancelled
        if self.program.output is None:
            records = self.state.records
            return {
                name: records[name].output
                for name in self.program.order
                if records[name].status is StepStatus.COMPLETED
            }
        try:
            return self.program.output.render(self._scope).value
        except StepwellError as error:
            raise step_failed(error) from error

    def cancel(self) -> None:
        """Begin no further step; ask what is under way to end."""
        self.waiting.cancelled = True
        self._lanes.cancel()

    async def undo(self) -> None:
        """Run the compensations that are due, the last one first. What fails is kept as residue."""
        while self.state.undo:
            self._leave_if_full()
            undo = self.state.undo[-1]
            try:
                order = self._order(f"{undo.path}!undo", undo.action, undo.input, undo.secrets)
                await self._lanes.perform(Task(order, f"Undo {undo.title or undo.path}", retry=UNDO_RETRY))
            except (StepFailed, StepwellError):
                self.state.residue.append(undo.path)
            else:
                self._journal.mark(undo.path, status=StepStatus.COMPENSATED)
            self.state.undo.pop()

    # --- walking -----------------------------------------------------------------------------------------------

    async def _block(self, nodes: Sequence[Node], prefix: str, scope: Scope) -> Any:
        output = None
        for position, node in enumerate(nodes):
            segment = [] if self.waiting.cancelled else self._segments.ahead(nodes[position:], prefix)
            if segment:
                self._leave_if_full()
                await self._segments.perform(segment, prefix, scope)
            output = await self._step(Place(node, prefix + node.step.name, scope))
        return output

    async def _step(self, at: Place) -> Any:
        if self._journal.is_settled(at.path):
            return self._journal.restore(at)
        if not self._segments.tried(at.path):  # what has happened is entered, come what may
            await self._leave_if_over(at)
        self._journal.begin(at)
        again = False
        while True:
            try:
                if at.node.when is not None and not at.node.when.holds(at.scope):
                    return self._journal.skip(at)
                return self._journal.complete(at, await self._perform(at, again=again))
            except StepwellError as error:
                failure = step_failed(error)
            except StepFailed as error:
                failure = error
            except _EffectSkipped:
                return self._journal.skip(at)
            settled, output = await self._failed(at, failure)
            if settled:
                return output
            again = True

    async def _perform(self, at: Place, *, again: bool) -> Any:
        match at.step:
            case ActionStep() as step:
                return await self._action(step, at, again=again)
            case BranchStep():
                return await self._branch(at)
            case ParallelStep():
                return await self._parallel(at)
            case ForeachStep() as step:
                return await self._foreach(step, at)
            case WaitStep():
                return await kinds.wait(at, self.state, self.waiting)
            case WaitForSignalStep() as step:
                return await kinds.wait_for_signal(step, at, self.state, self.waiting)
            case TransformStep():
                output = kinds.transform(at)
                require_size(output, "the output of this transform")
                return output
            case ProcessStep() as step:
                self._lanes.events += CHILD_EVENTS
                child_input = at.render("input")
                require_size(child_input, f"the input of {step.process}")
                self._journal.mark(at.path, input=child_input)
                return await kinds.child(step, child_input, at, self.state, self.waiting)
            case StopStep() as step:
                stopped = kinds.stop(step, at)
                self._journal.complete(at, stopped.result)
                raise stopped
            case ApprovalStep():
                raise StepFailed(ErrorInfo(code="NOT_AVAILABLE", message="approvals are not available yet"))

    async def _action(self, step: ActionStep, at: Place, *, again: bool) -> Any:
        rendered = at.node.templates["input"].render(at.scope)
        self._journal.mark(at.path, input=rendered.value)
        on_unknown = OnUnknown.RETRY if again else step.on_unknown
        order = self._order(at.path, step.action, rendered.value, rendered.secrets, on_unknown)
        summary = f"{at.path}: {step.title}" if step.title else at.path
        first = self._segments.take(at.path)
        if first is not None:
            self._journal.timed(at.path, first)
        outcome = await self._lanes.perform(Task(order, summary, step.time_limit, step.retry, step.lane), first)
        if outcome.skipped:
            raise _EffectSkipped
        return outcome.output

    async def _branch(self, at: Place) -> Any:
        name = kinds.branch_name(at.node.condition.evaluate(at.scope)) if at.node.condition else ""
        chosen = at.node.branch(name)
        if chosen is None:
            known = ", ".join(at.node.blocks)
            raise ExpressionError(f"there is no branch {name!r}, only {known}: add it, or a default")
        await self._block(chosen, f"{at.path}.", at.scope)
        return {"branch": name}

    async def _parallel(self, at: Place) -> Any:
        outputs = await _all(self._block(nodes, f"{at.path}.", at.scope) for nodes in at.node.blocks.values())
        return dict(zip(at.node.blocks, outputs, strict=True))

    async def _foreach(self, step: ForeachStep, at: Place) -> Any:
        items = kinds.as_list(at.render("items"), "items")
        loop = self.state.loops.setdefault(at.path, Loop())
        indexes = self._indexes(loop, len(items))
        await _all(self._work(at, items, indexes) for _ in range(min(step.max_parallel, len(items))))
        del self.state.loops[at.path]
        return [loop.outputs[index] for index in range(len(items))]

    def _indexes(self, loop: Loop, count: int) -> Generator[int, None, None]:
        """The items to do: those that an earlier history has begun, then the others."""
        yield from [index for index in range(loop.next) if index not in loop.outputs]
        while loop.next < count:
            if self.waiting.cancelled and not self._happened:
                raise RunCancelled
            self._leave_if_full()
            loop.next += 1
            yield loop.next - 1

    async def _work(self, at: Place, items: list[Any], indexes: Generator[int, None, None]) -> None:
        for index in indexes:
            try:
                await self._item(at, at.scope.child(item=items[index], index=index), index, len(items))
            except (StepFailed, StepwellError):
                indexes.close()  # the others end the items that they have begun, and begin no more
                raise

    async def _item(self, at: Place, scope: Scope, index: int, count: int) -> None:
        nodes, prefix = at.node.blocks[""], f"{at.path}[{index}]."
        output = await self._block(nodes, prefix, scope)
        collect = at.node.templates.get("collect")
        self.state.loops[at.path].outputs[index] = output if collect is None else collect.render(scope).value
        if count > KEEP_ITEMS:
            for path in _paths(nodes, prefix):
                self.state.records.pop(path, None)

    def _order(
        self,
        path: str,
        action: str,
        rendered: dict[str, Any],
        secrets: list[SecretSlot],
        on_unknown: OnUnknown | None = None,
    ) -> PerformAction:
        require_size(rendered, f"the input of {action}")
        begun = self.state.begun
        return PerformAction(
            run_id=begun.run_id,
            tenant=begun.tenant,
            process=begun.process,
            step=path,
            key=ids.effect_key(begun.key, path),
            action=action,
            input=rendered,
            secrets=secrets,
            on_unknown=on_unknown,
        )

    # --- failure and interruption --------------------------------------------------------------------------------

    async def _failed(self, at: Place, failure: StepFailed) -> tuple[bool, Any]:
        """Act on a failed step: ``(True, output)`` goes on, ``(False, None)`` tries again; else ``StepFailed``."""
        error = failure.error if failure.error.step else failure.error.model_copy(update={"step": at.path})
        if at.step.on_error == "continue":
            self._journal.pass_over_failure(at, error)
            return True, None
        if at.step.on_error == "park" or error.code == ErrorCode.OUTCOME_UNKNOWN:
            return await self._park(at, error)
        self._journal.fail(at, error)
        if at.step.on_error == "compensate":
            self._journal.plan_undo(at)
        raise StepFailed(error)

    async def _park(self, at: Place, error: ErrorInfo) -> tuple[bool, Any]:
        self._journal.mark(at.path, status=StepStatus.WAITING, error=error)
        resolutions = self.state.resolutions
        await self.waiting.until(
            at.path, "person", f"a person, because {error.message}", lambda: at.path in resolutions
        )
        resolution = resolutions.pop(at.path)
        # The answer to the person leaves with this workflow task, not after what comes next.
        await workflow.sleep(timedelta(milliseconds=1))
        match resolution.decision:
            case "retry":
                self._journal.mark(at.path, status=StepStatus.RUNNING)
                return False, None
            case "done":
                return True, self._journal.complete(at, resolution.output)
            case "skip":
                self._journal.skip(at, error)
                return True, None
            case "fail":
                self._journal.fail(at, error)
                raise StepFailed(error)

    async def _leave_if_over(self, at: Place) -> None:
        if self.waiting.cancelled and not await self._has_happened(at):
            raise RunCancelled
        self._leave_if_full()

    async def _has_happened(self, at: Place) -> bool:
        """Whether a cancelled run has come by this step all the same, in a workflow task that was lost.

        Its effect is in the ledger then, and would be undone by nobody if the walk stopped before it.
        """
        begun = self.state.begun
        if self._happened is None:
            self._happened = set(
                await workflow.execute_local_activity(
                    ids.EFFECTS_OF_RUN,
                    RunKey(run_id=begun.run_id, tenant=begun.tenant),
                    result_type=list[str],
                    start_to_close_timeout=ROW_LIMIT,
                    retry_policy=ROW_RETRY,
                )
            ) - {ids.effect_key(begun.key, path) for path in self.state.records}
        key = ids.effect_key(begun.key, at.path)
        if key in self._happened:
            self._happened.discard(key)
            return True
        changes_nothing = not isinstance(at.step, ActionStep) or at.step.action in begun.reads
        return changes_nothing and bool(self._happened)

    def _leave_if_full(self) -> None:
        full = self._lanes.events + self.waiting.events >= MAX_EVENTS or self._lanes.bytes >= MAX_BYTES
        if full or workflow.info().is_continue_as_new_suggested():
            raise HistoryFull


class _EffectSkipped(Exception):
    """The effect is unknown, and the step says ``on_unknown: skip``."""


_WEIGHT = (StepFailed, StepwellError, RunStopped, RunCancelled, HistoryFull)
"""Which of several interruptions counts: the first kind in this order."""


async def _all(coroutines: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    """All results, once everything has ended: no effect is abandoned half-way. Then the weightiest failure, if any."""
    results = await asyncio.gather(*coroutines, return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures:
        raise min(failures, key=_rank)
    return results


def _rank(failure: BaseException) -> int:
    return next((rank for rank, kind in enumerate(_WEIGHT) if isinstance(failure, kind)), -1)


def _paths(nodes: Iterable[Node], prefix: str) -> Iterator[str]:
    for node in nodes:
        yield prefix + node.step.name
        for block in (*node.blocks.values(), node.default or ()):
            yield from _paths(block, f"{prefix}{node.step.name}.")
