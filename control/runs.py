"""Commands on runs: accept, find, wait for, view, cancel, signal, resolve.

Accepting a run is one transaction in Postgres: its row, and a notification for the starters (``control/starter.py``).
So work is accepted while Temporal is down, and nothing accepted is lost. Another tenant's run is ``NotFound``.
"""

import hashlib
import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from control.accepting import Origin, accept_run, check_size
from control.notifications import Notifications
from control.rpc import CALL_TIMEOUT, temporal_call
from domain import ids
from domain.errors import Conflict, Fault, InputInvalid, NotFound, Unavailable
from domain.messages import (
    ErrorInfo,
    ResolveStep,
    RunStatus,
    RunView,
    StepRecord,
    TriggerType,
    WaitingOn,
)
from store import runs as rows
from store.database import Database
from store.runs import ALL_RUNS, RunFilter
from store.tables import RunRow

MAX_PAGE = 1000
"""Limit of a listing."""

POLL_SECONDS = 1.0
"""How often ``wait`` looks without a notification."""

VIEW_TIMEOUT = timedelta(seconds=2)
"""How long ``view`` waits for a worker's answer."""

_KEY = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,255}")
_UNDER_WAY = frozenset({RunStatus.RUNNING, RunStatus.WAITING})


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted run. ``created``: False when its idempotency key had been accepted before."""

    run: RunRow
    created: bool


class Runs:
    """Commands on the runs of all tenants. ``temporal`` may be a client that connects at its first call."""

    def __init__(self, database: Database, temporal: Client, notifications: Notifications, task_queue: str) -> None:
        self._database = database
        self._temporal = temporal
        self._notifications = notifications
        self._task_queue = task_queue

    async def accept(
        self,
        tenant: str,
        process: str,
        input: Any,  # noqa: A002  # the platform's word
        *,
        trigger_type: TriggerType = "api",
        trigger_source: str | None = None,
        idempotency_key: str | None = None,
        version: str | None = None,
    ) -> Accepted:
        """Take on a run of ``process``; it will be started, whatever happens from here on.

        ``version`` is a label or a digest; None: the present one. The same ``idempotency_key`` with the same input
        gives the same run again. Raises ``NotFound``, ``InputInvalid``, ``TooLarge``, ``Conflict`` (the key was used
        with another input) and ``Unavailable`` (no database).
        """
        _check_names(process, idempotency_key)
        async with self._database.statements(tenant) as session:
            if idempotency_key is not None:
                earlier = await rows.by_key(session, tenant, process, idempotency_key)
                if earlier is not None:
                    return _repeated(earlier, input)
            origin = Origin(
                trigger_type=trigger_type,
                trigger_source=trigger_source,
                idempotency_key=idempotency_key,
                input_hash=None if idempotency_key is None else _hash(input),
                correlation_key=idempotency_key,
            )
            run = await accept_run(
                session, tenant, process, input, origin, task_queue=self._task_queue, version=version
            )
            if run is not None:
                return Accepted(run, created=True)
            # Another request with the same key was a moment faster.
            earlier = await rows.by_key(session, tenant, process, idempotency_key or "")
        if earlier is None:
            raise Conflict(f"the idempotency key {idempotency_key!r} is in use; try again")
        return _repeated(earlier, input)

    async def get(self, tenant: str, run_id: int) -> RunRow:
        """The run's row. Raises ``NotFound``."""
        async with self._database.statements(tenant) as session:
            row = await rows.get(session, tenant, run_id)
        if row is None:
            raise NotFound("run", run_id)
        return row

    async def list(
        self, tenant: str, wanted: RunFilter = ALL_RUNS, *, limit: int = 100, offset: int = 0, steps: bool = False
    ) -> tuple[Sequence[RunRow], int]:
        """The wanted runs, the newest first, and how many there are in all. ``steps``: rows come with their steps."""
        async with self._database.statements(tenant) as session:
            return await rows.page(session, tenant, wanted, limit=min(limit, MAX_PAGE), offset=offset, steps=steps)

    async def wait(self, tenant: str, run_id: int, seconds: float) -> RunRow:
        """The run's row as soon as the run has ended, at the latest after ``seconds``. Raises ``NotFound``."""
        deadline = time.monotonic() + seconds
        with self._notifications.listen(ids.CHANNEL_RUN_ENDED, run_id) as wake_up:
            while True:
                async with self._database.statements(tenant) as session:
                    status = await rows.status(session, tenant, run_id)
                left = deadline - time.monotonic()
                if status is None or RunStatus(status).ended or left <= 0:
                    return await self.get(tenant, run_id)
                await wake_up.wait(min(left, POLL_SECONDS))

    async def view(self, tenant: str, run_id: int) -> RunView:
        """Where the run is, with its steps: asked of its workflow while it is under way, else as its row says.

        Temporal or all workers being down is no error: the row knows less, but it always answers.
        """
        row = await self.get(tenant, run_id)
        if row.status not in _UNDER_WAY:
            return _view(row)
        try:
            with temporal_call(row.workflow_id):
                handle = self._temporal.get_workflow_handle(row.workflow_id)
                view = await handle.query(ids.VIEW_QUERY, result_type=RunView, rpc_timeout=VIEW_TIMEOUT)
        except (NotFound, Unavailable, WorkflowQueryFailedError, RPCError):
            return _view(await self.get(tenant, run_id))
        return view if view.run_id == run_id else _view(row)

    async def cancel(self, tenant: str, run_id: int) -> RunRow:
        """Cancel the run: at once if it has not begun, else its workflow is asked to compensate and end.

        Gives the row as it is now. Raises ``NotFound``, ``Conflict`` (it has ended), ``Unavailable``.
        """
        async with self._database.statements(tenant) as session:
            cancelled = await rows.cancel_pending(session, tenant, run_id)
        row = await self.get(tenant, run_id)
        if cancelled is None:
            _check_open(row)
            await self._cancel_workflow(row)
        elif cancelled.claimed:
            # Its workflow may have been started: it finds the run ended and does nothing, this only ends it sooner.
            with suppress(Conflict, Unavailable):
                await self._cancel_workflow(row)
        return await self.get(tenant, run_id)

    async def signal(self, tenant: str, run_id: int, name: str, payload: Any = None) -> None:
        """Send the signal ``name`` to the run; it is kept until a step waits for it.

        Raises ``NotFound``, ``Conflict`` (the run has ended), ``TooLarge``, ``Unavailable`` (Temporal is down, or the
        run has not begun yet).
        """
        row = await self._begun(tenant, run_id)
        check_size(payload, "the signal's payload", "send where the data is instead of the data")
        with _open_workflow(row):
            await self._temporal.get_workflow_handle(row.workflow_id).signal(name, payload, rpc_timeout=CALL_TIMEOUT)

    async def resolve(self, tenant: str, run_id: int, resolution: ResolveStep) -> None:
        """Say how a parked step of the run goes on.

        Raises ``NotFound``, ``Conflict`` (the run has ended, or does not wait for this), ``Unavailable``.
        """
        row = await self._begun(tenant, run_id)
        try:
            with _open_workflow(row):
                await self._handle(row).execute_update(ids.RESOLVE_UPDATE, resolution, rpc_timeout=CALL_TIMEOUT)
        except WorkflowUpdateFailedError as error:
            cause = error.cause
            raise Conflict(cause.message if isinstance(cause, ApplicationError) else str(cause)) from error

    async def _begun(self, tenant: str, run_id: int) -> RunRow:
        row = await self.get(tenant, run_id)
        _check_open(row)
        if row.status == RunStatus.PENDING:
            raise Unavailable(f"run {run_id} has not begun yet; try again", retry_after=timedelta(seconds=1))
        return row

    def _handle(self, row: RunRow) -> WorkflowHandle[Any, Any]:
        return self._temporal.get_workflow_handle(row.workflow_id, first_execution_run_id=row.temporal_run_id)

    async def _cancel_workflow(self, row: RunRow) -> None:
        with _open_workflow(row):
            await self._handle(row).cancel(rpc_timeout=CALL_TIMEOUT)


@contextmanager
def _open_workflow(row: RunRow) -> Iterator[None]:
    """A call of a workflow that should be under way: if it is not, the run has just ended."""
    try:
        with temporal_call(row.workflow_id):
            yield
    except NotFound as error:
        raise Conflict(f"run {row.id} has ended") from error


def _check_open(row: RunRow) -> None:
    if RunStatus(row.status).ended:
        raise Conflict(f"run {row.id} has ended already: {row.status}")


def _check_names(process: str, idempotency_key: str | None) -> None:
    if not ids.is_name(process):
        raise NotFound("process", process)
    if idempotency_key is not None and not _KEY.fullmatch(idempotency_key):
        reason = "the idempotency key must be 1 to 255 printable characters"
        raise InputInvalid("the request is invalid", [Fault(path="", reason=reason)])


def _hash(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _repeated(earlier: RunRow, value: Any) -> Accepted:
    if earlier.input_hash != _hash(value):
        key = earlier.idempotency_key
        raise Conflict(f"the idempotency key {key!r} was used with another input, for run {earlier.id}")
    return Accepted(earlier, created=False)


def _view(row: RunRow) -> RunView:
    return RunView(
        run_id=row.id or 0,
        tenant=row.tenant_id,
        process=row.process,
        version=row.version,
        digest=row.digest,
        status=RunStatus(row.status),
        waiting_on=[WaitingOn.model_validate(each) for each in row.waiting_on],
        steps=[StepRecord.model_validate(each) for each in row.steps or ()],
        result=row.result,
        error=None if row.error is None else ErrorInfo.model_validate(row.error),
    )
