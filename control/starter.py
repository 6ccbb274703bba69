"""Starts accepted runs on Temporal: the other half of the outbox that the table of runs is.

A run that was accepted is a row with the status ``pending``. Starters, one in each worker, claim such rows and start
them; the run's own first activity takes the row out of ``pending``. A claim that a crash or an outage has left behind
is taken up again, and a start that had happened after all counts as success.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import text
from temporalio.client import Client
from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from control.notifications import Notifications
from control.rpc import CALL_TIMEOUT, temporal_call
from domain import ids
from domain.errors import NotFound, Unavailable
from domain.messages import StartMemo
from store.database import ALL_TENANTS, Database
from store.runs import RunEnd, settle
from store.session import Rows

CLAIM_SECONDS = 10
"""After that long, a claimed run that has not begun is started again."""

BATCH = 100
CONCURRENT_STARTS = 20
POLL_SECONDS = 1.0
LIMITED_SECONDS = 0.5
"""Runs that are limited by ``max_concurrent`` are looked for at most that often: counting them costs more."""


_CLAIM = text(
    "UPDATE runs SET claimed_at = now() WHERE id IN ("
    " SELECT id FROM runs WHERE task_queue = :task_queue AND status = 'pending'"
    " AND (claimed_at IS NULL OR claimed_at < now() - make_interval(secs => :claim_seconds))"
    " AND max_concurrent IS NULL AND (not_before IS NULL OR not_before <= now())"
    " ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED)"
    " RETURNING id, tenant_id, process, workflow_id, input, digest, trigger_type, trigger_source, idempotency_key,"
    " correlation_key, created_at"
)

_ONE_AT_A_TIME = text("SELECT pg_try_advisory_xact_lock(hashtextextended('starter|' || :task_queue, 0)) AS alone")

_CLAIM_LIMITED = text(
    "WITH waiting AS (SELECT id, tenant_id, trigger_id, correlation_key, max_concurrent, row_number() OVER"
    " (PARTITION BY tenant_id, trigger_id, correlation_key ORDER BY id) AS place FROM runs"
    " WHERE task_queue = :task_queue AND status = 'pending' AND max_concurrent IS NOT NULL"
    " AND (claimed_at IS NULL OR claimed_at < now() - make_interval(secs => :claim_seconds))"
    " AND (not_before IS NULL OR not_before <= now())),"
    " busy AS (SELECT tenant_id, trigger_id, correlation_key, count(*) AS runs FROM runs"
    " WHERE max_concurrent IS NOT NULL AND (status IN ('running', 'waiting') OR (status = 'pending'"
    " AND claimed_at >= now() - make_interval(secs => :claim_seconds))) GROUP BY 1, 2, 3)"
    " UPDATE runs SET claimed_at = now() WHERE id IN (SELECT waiting.id FROM waiting"
    " LEFT JOIN busy USING (tenant_id, trigger_id, correlation_key)"
    " WHERE place + coalesce(busy.runs, 0) <= max_concurrent ORDER BY waiting.id LIMIT :batch)"
    " RETURNING id, tenant_id, process, workflow_id, input, digest, trigger_type, trigger_source, idempotency_key,"
    " correlation_key, created_at"
)

_log = structlog.get_logger("starter")


def _no_failpoint(point: str) -> None:
    """Where nobody wants to kill this process."""


class Starter:
    """Starts the pending runs of one task queue. ``eager``: this process also has the worker, on the same client."""

    def __init__(
        self,
        database: Database,
        temporal: Client,
        notifications: Notifications,
        task_queue: str,
        *,
        eager: bool = True,
        failpoint: Callable[[str], None] = _no_failpoint,
    ) -> None:
        self._database = database
        self._temporal = temporal
        self._notifications = notifications
        self._task_queue = task_queue
        self._eager = eager
        self._failpoint = failpoint
        self._slots = asyncio.Semaphore(CONCURRENT_STARTS)
        self._starts: set[asyncio.Task[None]] = set()
        self._limited_at = 0.0

    async def run_forever(self) -> None:
        """Start what is pending, now and whenever something is accepted. Ends by cancellation only."""
        with self._notifications.listen(ids.CHANNEL_RUN_PENDING) as wake_up:
            while True:
                try:
                    while await self.start_pending() >= BATCH:
                        pass
                except Unavailable as error:
                    _log.warning("cannot claim pending runs", error=str(error))
                await wake_up.wait(POLL_SECONDS)

    async def start_pending(self) -> int:
        """Claim a batch of pending runs and begin to start them; how many there were."""
        values = {"task_queue": self._task_queue, "claim_seconds": CLAIM_SECONDS, "batch": BATCH}
        async with self._database.statements(ALL_TENANTS) as session:
            runs = (await session.execute(_CLAIM, values)).all()
        if time.monotonic() >= self._limited_at:
            self._limited_at = time.monotonic() + LIMITED_SECONDS
            runs += await self._claim_limited(values)
        if runs:
            self._failpoint("before_start")
        for run in sorted(runs, key=lambda run: int(run.id)):
            await self._slots.acquire()
            start = asyncio.create_task(self._start(run))
            self._starts.add(start)
            start.add_done_callback(self._started)
        return len(runs)

    async def _claim_limited(self, values: dict[str, Any]) -> Rows:
        """Runs whose trigger allows only so many at a time. Counting them must not be overtaken by another starter."""
        async with self._database.session(ALL_TENANTS) as session:
            alone = (await session.execute(_ONE_AT_A_TIME, {"task_queue": self._task_queue})).scalar_one()
            return await session.execute(_CLAIM_LIMITED, values) if alone else Rows()

    def _started(self, start: asyncio.Task[None]) -> None:
        self._starts.discard(start)
        self._slots.release()
        if not start.cancelled():
            start.result()

    async def _start(self, run: Any) -> None:
        try:
            await self._start_or_recognise(run)
        except (Unavailable, NotFound) as error:
            # The row stays pending: it is claimed again after CLAIM_SECONDS.
            _log.warning("cannot start a run yet", run_id=run.id, error=str(error))
        except RPCError as error:
            # Likewise, but somebody has to look into it: the namespace or the server is not set up as it must be.
            _log.error("Temporal refuses a run", run_id=run.id, status=error.status.name, error=error.message)
        self._failpoint("after_start")

    async def _start_or_recognise(self, run: Any) -> None:
        memo = StartMemo(
            run_id=run.id,
            tenant=run.tenant_id,
            trigger_type=run.trigger_type,
            trigger_source=run.trigger_source,
            digest=run.digest,
            accepted_at=run.created_at,
        )
        try:
            with temporal_call(run.workflow_id):
                await self._temporal.start_workflow(
                    run.process,
                    run.input,
                    id=run.workflow_id,
                    task_queue=self._task_queue,
                    memo={ids.MEMO_RUN: memo},
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    search_attributes=_search_attributes(run),
                    priority=Priority(fairness_key=run.tenant_id),
                    static_summary=f"Run {run.id} of {run.tenant_id}",
                    request_eager_start=self._eager,
                    rpc_timeout=CALL_TIMEOUT,
                )
        except WorkflowAlreadyStartedError:
            await self._check_identity(run)

    async def _check_identity(self, run: Any) -> None:
        """An earlier start has succeeded, unless the workflow is one of another database: then the run fails."""
        with temporal_call(run.workflow_id):
            described = await self._temporal.get_workflow_handle(run.workflow_id).describe(rpc_timeout=CALL_TIMEOUT)
            memo = await described.memo_value(ids.MEMO_RUN, StartMemo(), type_hint=StartMemo)
        if memo.accepted_at in {None, run.created_at}:
            return
        message = (
            f"Temporal has a workflow {run.workflow_id} of another database: give this installation a namespace of its "
            "own (TEMPORAL_NAMESPACE), or its ids a higher start"
        )
        end = RunEnd(
            status="failed", finished_at=datetime.now(UTC), error={"code": "WORKFLOW_ID_TAKEN", "message": message}
        )
        _log.error("cannot start a run", run_id=run.id, error=message)
        async with self._database.statements(run.tenant_id) as session:
            await settle(session, run.id, end)


def _search_attributes(run: Any) -> TypedSearchAttributes:
    pairs: Sequence[SearchAttributePair[str]] = [
        SearchAttributePair(SearchAttributeKey.for_keyword(name), value)
        for name, value in (
            (ids.SEARCH_TENANT, run.tenant_id),
            (ids.SEARCH_TRIGGER, run.trigger_type),
            (ids.SEARCH_KEY, run.correlation_key or run.idempotency_key),
        )
        if value
    ]
    return TypedSearchAttributes(pairs)
