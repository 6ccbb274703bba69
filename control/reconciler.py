"""Brings rows in line with Temporal: runs that were terminated, timed out, reset away or lost never wrote their end.

A run's last activity writes its row before its workflow closes; so an open row whose workflow is closed needs mending,
and so does a pending one whose workflow closed before it began.
Several reconcilers may run at once: the first that settles a row wins, and a row that has ended is left alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import structlog
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowHistoryEventFilterType,
    WorkflowQueryFailedError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from control.rpc import CALL_TIMEOUT, temporal_call
from domain import ids
from domain.errors import NotFound, Unavailable
from domain.messages import ErrorInfo, RunStatus, RunView, StepRecord, StepStatus
from store import runs as rows
from store.database import ALL_TENANTS, Database
from store.runs import OpenRun, RunEnd
from store.tables.base import now

INTERVAL_SECONDS = 30.0
"""Pause between two looks at all open runs."""

BATCH = 100
"""Open runs that one call asks Temporal about."""

STEPS_TIMEOUT = timedelta(seconds=2)
"""How long to wait for a worker that tells how far a closed run had come."""

Page = Callable[..., Awaitable[list[OpenRun]]]
Choice = Callable[[Sequence[OpenRun]], Awaitable[list[OpenRun]]]

_log = structlog.get_logger("reconciler")


class Reconciler:
    """Ends the rows of runs that have ended on Temporal without saying so."""

    def __init__(self, database: Database, temporal: Client) -> None:
        self._database = database
        self._temporal = temporal

    async def run_forever(self, interval_seconds: float = INTERVAL_SECONDS) -> None:
        """Look at all open runs again and again. Ends by cancellation only."""
        while True:
            try:
                await self.reconcile_once()
            except (Unavailable, RPCError) as error:
                _log.warning("cannot compare runs with Temporal", error=str(error))
            await asyncio.sleep(interval_seconds)

    async def reconcile_once(self) -> int:
        """Look at all open runs once; how many were settled. Raises ``Unavailable``."""
        return await self._sweep(rows.open_after, self._not_running) + await self._sweep(
            rows.unbegun_after, self._closed
        )

    async def _sweep(self, page: Page, choose: Choice) -> int:
        """Settle those runs, of all that ``page`` gives, that ``choose`` finds worth a closer look."""
        settled, last = 0, 0
        while True:
            async with self._database.session(ALL_TENANTS) as session:
                batch = await page(session, last, limit=BATCH)
            if not batch:
                return settled
            last = batch[-1].id
            for run in await choose(batch):
                settled += await self._settle(run)

    async def _not_running(self, batch: Sequence[OpenRun]) -> list[OpenRun]:
        """Runs that Temporal does not list as running by their first execution.

        The list lags behind by a moment, and a run may have gone on under a fresh history: it is looked at by itself.
        """
        running = {execution.run_id for execution in await self._listed("=", batch)}
        return [run for run in batch if run.temporal_run_id not in running]

    async def _closed(self, batch: Sequence[OpenRun]) -> list[OpenRun]:
        """Runs whose workflow Temporal lists as closed."""
        closed = {execution.id for execution in await self._listed("!=", batch)}
        return [run for run in batch if run.workflow_id in closed]

    async def _listed(self, comparison: str, batch: Sequence[OpenRun]) -> list[WorkflowExecution]:
        quotable = [f"'{run.workflow_id}'" for run in batch if not {"'", "\\"} & set(run.workflow_id)]
        if not quotable:
            return []
        query = f"ExecutionStatus {comparison} 'Running' AND WorkflowId IN ({', '.join(quotable)})"
        with temporal_call("the list of workflows"):
            listed = self._temporal.list_workflows(query, page_size=BATCH, rpc_timeout=CALL_TIMEOUT)
            return [execution async for execution in listed]

    async def _settle(self, run: OpenRun) -> bool:
        try:
            end = await self._end(run)
        except RPCError as error:
            # One run that Temporal will not speak of must not keep the others from being settled.
            _log.warning("cannot tell how a run ended", run_id=run.id, status=error.status.name)
            return False
        if end is None:
            return False
        async with self._database.session(ALL_TENANTS) as session:
            settled = await rows.settle(session, run.id, end)
        if settled:
            _log.info("settled a run that ended from outside", run_id=run.id, status=end.status, error=end.error)
        return settled

    async def _end(self, run: OpenRun) -> RunEnd | None:
        """How the run ended, for Temporal; None if it is under way."""
        try:
            closed = await self._describe(run)
        except NotFound:
            return _failed("VANISHED", "Temporal does not know this run any more")
        if closed.status in (None, WorkflowExecutionStatus.RUNNING):
            return None
        handle = self._temporal.get_workflow_handle(closed.id, run_id=closed.run_id)
        end = await self._how(closed, handle)
        return RunEnd(
            status=end.status,
            finished_at=closed.close_time or end.finished_at,
            result=end.result,
            error=end.error,
            steps=await _steps(handle),
        )

    async def _describe(self, run: OpenRun) -> WorkflowExecutionDescription:
        """The newest execution of the run; where its workflow id was used again, the run's own first one."""
        with temporal_call(run.workflow_id):
            newest = await self._temporal.get_workflow_handle(run.workflow_id).describe(rpc_timeout=CALL_TIMEOUT)
            if run.temporal_run_id in (None, newest.raw_info.first_run_id):
                return newest
            own = self._temporal.get_workflow_handle(run.workflow_id, run_id=run.temporal_run_id)
            return await own.describe(rpc_timeout=CALL_TIMEOUT)

    async def _how(self, closed: WorkflowExecutionDescription, handle: WorkflowHandle[Any, Any]) -> RunEnd:
        event = await _close_event(handle)
        converter = self._temporal.data_converter
        match closed.status:
            case WorkflowExecutionStatus.COMPLETED:
                payloads = event.workflow_execution_completed_event_attributes.result.payloads
                values = await converter.decode(payloads)
                return RunEnd(RunStatus.COMPLETED, now(), result=values[0] if values else None)
            case WorkflowExecutionStatus.CANCELED:
                return RunEnd(RunStatus.CANCELLED, now())
            case WorkflowExecutionStatus.TERMINATED:
                reason = event.workflow_execution_terminated_event_attributes.reason
                return _failed("TERMINATED", f"terminated from outside: {reason or 'no reason was given'}")
            case WorkflowExecutionStatus.TIMED_OUT:
                return _failed("TIMED_OUT", "the time limit that its start gave the workflow is over")
            case WorkflowExecutionStatus.FAILED:
                failure = event.workflow_execution_failed_event_attributes.failure
                error = await converter.decode_failure(failure)
                code = error.type if isinstance(error, ApplicationError) else None
                return _failed(code or "FAILED", failure.message)
            case _:
                return _failed("VANISHED", f"another run took the workflow id {closed.id}")


async def _close_event(handle: WorkflowHandle[Any, Any]) -> HistoryEvent:
    with temporal_call(handle.id):
        events = handle.fetch_history_events(
            event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT, rpc_timeout=CALL_TIMEOUT
        )
        return [event async for event in events][-1]


async def _steps(handle: WorkflowHandle[Any, Any]) -> list[dict[str, Any]] | None:
    """The steps of a closed run, if a worker can still tell them."""
    try:
        with temporal_call(handle.id):
            view = await handle.query(ids.VIEW_QUERY, result_type=RunView, rpc_timeout=STEPS_TIMEOUT)
    except (NotFound, Unavailable, WorkflowQueryFailedError, RPCError):
        return None
    return [_ended(step).model_dump(mode="json", exclude_none=True) for step in view.steps]


def _ended(step: StepRecord) -> StepRecord:
    under_way = step.status in (StepStatus.RUNNING, StepStatus.WAITING)
    return step.model_copy(update={"status": StepStatus.CANCELLED}) if under_way else step


def _failed(code: str, message: str) -> RunEnd:
    error = ErrorInfo(code=code, message=message).model_dump(mode="json")
    return RunEnd(RunStatus.FAILED, now(), error=error)
