"""The one workflow that runs every definition: begin, steps, compensations, finish.

Its Temporal workflow type is the process's name, whoever starts it: the API, a schedule, ``temporal workflow start``.

Signals:  any name, taken by ``wait_for_signal`` steps, also when it comes before the wait.
Updates:  ``resolve`` (``ResolveStep``): how a parked step goes on.
Queries:  ``view`` (``RunView``): where the run is.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic_core import to_json
from temporalio import workflow
from temporalio.common import RawValue, SearchAttributeKey
from temporalio.exceptions import ApplicationError, CancelledError, FailureError

from domain import ids
from domain.messages import (
    BeginRun,
    BegunRun,
    ErrorInfo,
    FinishRun,
    LoadRun,
    ResolveStep,
    RunStatus,
    RunView,
    StartMemo,
    StepRecord,
    StepStatus,
)
from domain.program import Program, program
from workflows.failures import HistoryFull, RunCancelled, RunStopped, StepFailed, run_failed
from workflows.interpreter import Interpreter
from workflows.lanes import cause_of
from workflows.state import RunState
from workflows.waiting import ROW_LIMIT, ROW_RETRY

MAX_STATE_BYTES = 1_500_000
MAX_RESULT_BYTES = 1_000_000
"""Temporal refuses values of more than 2 MiB; a run that would grow over these limits fails, and says why."""

MAX_SHOWN_BYTES = 8_192
"""Inputs and outputs of steps over this size are shown by their size only once the run has ended."""


@workflow.defn(dynamic=True)
class Process:
    """A run of a definition."""

    def __init__(self) -> None:
        self._signals: dict[str, list[Any]] = {}
        self._delivered: list[str] = []
        self._interpreter: Interpreter | None = None
        self._cancelled = False

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> Any:
        """Run the definition that is this workflow's type, on the input ``args[0]``; give its output."""
        main = asyncio.ensure_future(self._main(args))
        while True:
            try:
                return await asyncio.shield(main)
            except asyncio.CancelledError:
                if main.done():  # not the run was cancelled: the worker lets go of it, and another will go on
                    raise
                self._cancelled = True
                if self._interpreter is not None:
                    self._interpreter.cancel()

    @workflow.signal(dynamic=True)
    def on_signal(self, name: str, args: Sequence[RawValue]) -> None:
        """Keep the signal until a step takes it."""
        values = [_decode(arg) for arg in args]
        if len(values) == 2 and (delivery := _delivery(values[1])) is not None:  # noqa: PLR2004  # value, delivery
            if delivery in self._delivered:  # its sender was killed before it knew that it had been sent
                return
            self._delivered.append(delivery)
            del values[1]
        self._signals.setdefault(name, []).append(values[0] if len(values) == 1 else values or None)

    @workflow.update(name=ids.RESOLVE_UPDATE)
    def resolve(self, resolution: ResolveStep) -> None:
        """Say how a parked step goes on."""
        self._running.state.resolutions[resolution.step] = resolution

    @resolve.validator
    def _may_resolve(self, resolution: ResolveStep) -> None:
        parked = [wait.step for wait in self._running.waiting.now if wait.kind == "person"]
        if resolution.step not in parked or resolution.step in self._running.state.resolutions:
            waiting = f"waiting are: {', '.join(parked)}" if parked else "no step waits for a person"
            raise ApplicationError(f"step {resolution.step!r} is not parked; {waiting}", type="CONFLICT")

    @workflow.query(name=ids.VIEW_QUERY)
    def view(self) -> RunView:
        """Where the run is."""
        running = self._interpreter
        if running is None:
            memo = _memo() or StartMemo()
            process = workflow.info().workflow_type
            return RunView(run_id=memo.run_id or 0, tenant=memo.tenant or "", process=process, version="", digest="")
        state = running.state
        status = state.ending or (RunStatus.WAITING if running.waiting.now else RunStatus.RUNNING)
        return RunView(
            run_id=state.begun.run_id,
            tenant=state.begun.tenant,
            process=state.begun.process,
            version=state.begun.version,
            digest=state.begun.digest,
            status=status,
            waiting_on=running.waiting.now,
            steps=list(state.records.values()),
            result=state.result,
            error=state.error,
        )

    @property
    def _running(self) -> Interpreter:
        if self._interpreter is None:
            raise ApplicationError("the run has not begun yet; ask again", type="CONFLICT")
        return self._interpreter

    # --- the run -----------------------------------------------------------------------------------------------

    async def _main(self, args: Sequence[RawValue]) -> Any:
        state = await self._begin(args)
        running = Interpreter(state, _program(state))
        self._interpreter = running
        if self._cancelled:
            running.cancel()
        try:
            if state.ending is None:
                await self._steps(running)
            if state.ending is not RunStatus.COMPLETED:
                await running.undo()
        except HistoryFull:
            await self._continue(state)
        await self._finish(state)
        return self._end(state)

    async def _steps(self, running: Interpreter) -> None:
        """Do the steps; note in the state how the run ends."""
        state = running.state
        try:
            state.result = await running.run()
            state.ending = RunStatus.COMPLETED
        except RunStopped as stopped:
            state.ending, state.result, state.error = stopped.status, stopped.result, stopped.error
        except RunCancelled:
            state.ending = RunStatus.CANCELLED
        except StepFailed as failure:
            state.ending, state.error = RunStatus.FAILED, failure.error
        if self._cancelled and state.ending is RunStatus.FAILED:
            state.ending = RunStatus.CANCELLED
        if state.ending is RunStatus.CANCELLED and running.program.definition.on_cancel == "leave":
            state.undo.clear()
        size = len(to_json(state.result))
        if size > MAX_RESULT_BYTES:
            message = f"the result is {size} bytes, the limit is {MAX_RESULT_BYTES}: let `output` choose what is needed"
            state.ending, state.result = RunStatus.FAILED, None
            state.error = ErrorInfo(code="TOO_LARGE", message=message)

    async def _begin(self, args: Sequence[RawValue]) -> RunState:
        info = workflow.info()
        if info.continued_run_id is not None:
            return await self._resume(_decode(args[1], RunState))
        if len(args) > 1:
            raise ApplicationError(f"a process takes one input, not {len(args)}", type="INPUT_INVALID")
        memo = _memo()
        begin = BeginRun(
            workflow_id=info.workflow_id,
            temporal_run_id=info.first_execution_run_id,
            process=info.workflow_type,
            input=_decode(args[0]) if args else {},
            memo=memo or StartMemo(tenant=_searched_tenant(), trigger_source="temporal"),
            started_at=info.workflow_start_time,
        )
        try:
            begun = await workflow.execute_local_activity(
                ids.BEGIN_RUN,
                begin,
                result_type=BegunRun,
                start_to_close_timeout=ROW_LIMIT,
                retry_policy=ROW_RETRY,
            )
        except FailureError as error:
            raise _refused(error) from error
        if memo is None:
            _add_search_attributes(begun)
        return self._with_signals(RunState(begun=begun, started_at=info.workflow_start_time))

    async def _resume(self, state: RunState) -> RunState:
        begun = state.begun
        load = LoadRun(tenant=begun.tenant, process=begun.process, digest=begun.digest)
        definition = await workflow.execute_local_activity(
            ids.LOAD_RUN, load, result_type=dict, start_to_close_timeout=ROW_LIMIT, retry_policy=ROW_RETRY
        )
        return self._with_signals(
            state.model_copy(update={"begun": begun.model_copy(update={"definition": definition})})
        )

    def _with_signals(self, state: RunState) -> RunState:
        """From here on, signals go to the state; those that came before are not lost."""
        for name, values in self._signals.items():
            state.signals.setdefault(name, []).extend(values)
        self._signals = state.signals
        state.delivered.extend(self._delivered)
        self._delivered = state.delivered
        return state

    async def _continue(self, state: RunState) -> None:
        """Go on with a fresh history. A run that remembers too much to travel fails, and travels without its values."""
        await workflow.wait_condition(workflow.all_handlers_finished)
        size = len(to_json(state))
        if size <= MAX_STATE_BYTES:
            workflow.continue_as_new(args=[state.begun.input, state])
        if state.ending is None:
            message = (
                f"the run remembers {size} bytes, the limit is {MAX_STATE_BYTES}: give `collect` on the foreach, "
                "or keep large outputs elsewhere and pass on where"
            )
            state.ending = RunStatus.FAILED
            state.error = ErrorInfo(code="TOO_LARGE", message=message)
            state.loops.clear()
            bare = {"input": None, "output": None}
            state.records = {path: record.model_copy(update=bare) for path, record in state.records.items()}
            await self._continue(state)
        else:
            state.residue.extend(undo.path for undo in state.undo)
            state.undo.clear()

    async def _finish(self, state: RunState) -> None:
        if state.residue and state.error is not None:
            details = {**state.error.details, "not_compensated": state.residue}
            state.error = state.error.model_copy(update={"details": details})
        finish = FinishRun(
            run_id=state.begun.run_id,
            tenant=state.begun.tenant,
            status=state.ending or RunStatus.FAILED,
            result=state.result,
            error=state.error,
            steps=[_shown(record, workflow.now()) for record in state.records.values()],
            finished_at=workflow.now(),
        )
        await workflow.execute_local_activity(
            ids.FINISH_RUN, finish, start_to_close_timeout=ROW_LIMIT, retry_policy=ROW_RETRY
        )
        await workflow.wait_condition(workflow.all_handlers_finished)

    @staticmethod
    def _end(state: RunState) -> Any:
        if state.ending is RunStatus.COMPLETED:
            return state.result
        if state.ending is RunStatus.CANCELLED:
            raise CancelledError("the run was cancelled")
        raise run_failed(state.error or ErrorInfo(code="INTERNAL_ERROR", message="the run failed"))


def _decode(value: RawValue, kind: Any = None) -> Any:
    return workflow.payload_converter().from_payload(value.payload, kind)


def _delivery(argument: Any) -> str | None:
    """Which delivery of an event a signal is, if it is one."""
    match argument:
        case {ids.DELIVERY: str() as delivery} if len(argument) == 1:
            return delivery
        case _:
            return None


def _program(state: RunState) -> Program:
    """The program that all runs of the version share; the state lets go of the definition that it was made of."""
    begun = state.begun
    shared = program(begun.digest, begun.definition)
    state.begun = begun.model_copy(update={"definition": {}})
    return shared


def _memo() -> StartMemo | None:
    """What a start through Stepwell has said of the run."""
    return workflow.memo_value(ids.MEMO_RUN, None, type_hint=StartMemo)


def _searched_tenant() -> str | None:
    return workflow.info().typed_search_attributes.get(SearchAttributeKey.for_keyword(ids.SEARCH_TENANT))


def _add_search_attributes(begun: BegunRun) -> None:
    """Make a run that was started on the Temporal side findable like the others."""
    workflow.upsert_search_attributes(
        [
            SearchAttributeKey.for_keyword(ids.SEARCH_TENANT).value_set(begun.tenant),
            SearchAttributeKey.for_keyword(ids.SEARCH_TRIGGER).value_set("manual"),
        ]
    )


def _refused(error: FailureError) -> ApplicationError:
    """Why a run cannot begin."""
    cause = cause_of(error)
    if isinstance(cause, ApplicationError):
        return ApplicationError(cause.message, *cause.details, type=cause.type, non_retryable=True)
    return ApplicationError(str(cause), type="INTERNAL_ERROR", non_retryable=True)


def _shown(record: StepRecord, now: datetime) -> StepRecord:
    """The record as the row keeps it: closed, and without values too large to show."""
    changes: dict[str, Any] = {}
    for name in ("input", "output"):
        size = len(to_json(getattr(record, name)))
        if size > MAX_SHOWN_BYTES:
            changes[name] = {"omitted": f"{size} bytes"}
    if record.completed_at is None:
        changes["completed_at"] = now
        if record.status in (StepStatus.RUNNING, StepStatus.WAITING):
            changes["status"] = StepStatus.CANCELLED
    return record.model_copy(update=changes) if changes else record
