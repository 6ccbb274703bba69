"""Brings rows in line with Temporal: runs that were terminated, timed out, reset away or lost never wrote their end.

A run's last activity writes its row before its workflow closes; so an open row whose workflow is closed needs mending.
Several reconcilers may run at once: the first that settles a row wins, and a row that has ended is left alone.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import structlog
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import (
    Client,
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

_RUNNING = "ExecutionStatus = 'Running' AND WorkflowId IN ({})"

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
        settled, last = 0, 0
        while batch := await self._open_after(last):
            last = batch[-1].id
            running = await self._running(batch)
            for run in batch:
                if run.temporal_run_id not in running:
                    settled += await self._settle(run)
        return settled

    async def _open_after(self, run_id: int) -> list[OpenRun]:
        async with self._database.session(ALL_TENANTS) as session:
            return await rows.open_after(session, run_id, limit=BATCH)

    async def _running(self, batch: Sequence[OpenRun]) -> set[str]:
        """The executions that Temporal lists as running; the list lags behind by a moment.

        A run that went on under a fresh history, or was reset, is not among them by its first execution's id: it is
        looked at by itself.
        """
        quotable = [run.workflow_id for run in batch if not {"'", "\\"} & set(run.workflow_id)]
        if not quotable:
            return set()
        query = _RUNNING.format(", ".join(f"'{workflow_id}'" for workflow_id in quotable))
        with temporal_call("the list of running workflows"):
            listed = self._temporal.list_workflows(query, page_size=BATCH, rpc_timeout=CALL_TIMEOUT)
            return {execution.run_id async for execution in listed}

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
        end = await self._closed(closed, handle)
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

    async def _closed(self, closed: WorkflowExecutionDescription, handle: WorkflowHandle[Any, Any]) -> RunEnd:
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
