"""The rows of runs: accepted, found, listed, brought to an end from outside.

What a run's own activities write is in ``store/lifecycle.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.errors import ForeignKeyViolation
from sqlalchemy import ColumnElement, and_, bindparam, func, text
from sqlalchemy.orm import defer
from sqlalchemy.orm.attributes import set_committed_value
from sqlmodel import col, select

from domain.errors import NotFound
from domain.ids import CHANNEL_RUN_ENDED, CHANNEL_RUN_PENDING
from store.session import Session
from store.tables import RunRow
from store.tables.base import Json, Timestamp, now

BEGIN_WITHIN = timedelta(minutes=1)
"""A run that takes longer to begin, though a starter has taken it up, is looked into."""

_INSERT = text(
    "WITH accepted AS (INSERT INTO runs (id, tenant_id, definition_id, process, version, digest, workflow_id,"
    " task_queue, status, trigger_type, trigger_source, idempotency_key, input_hash, parent_run_id, input, waiting_on,"
    " created_at, trigger_id, event_id, correlation_key, not_before, max_concurrent)"
    " VALUES (:id, :tenant_id, :definition_id, :process, :version, :digest, :workflow_id, :task_queue,"
    " :status, :trigger_type, :trigger_source, :idempotency_key, :input_hash, :parent_run_id, :input, '[]',"
    " :created_at, :trigger_id, :event_id, :correlation_key, :not_before, :max_concurrent)"
    " ON CONFLICT (tenant_id, process, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING"
    " RETURNING task_queue) SELECT pg_notify(:channel, task_queue) FROM accepted"
).bindparams(
    bindparam("input", type_=Json),
    bindparam("created_at", type_=Timestamp),
    bindparam("not_before", type_=Timestamp),
    bindparam("channel", CHANNEL_RUN_PENDING),
)

_STATUS = text("SELECT status FROM runs WHERE id = :run_id AND tenant_id = :tenant")

_GET = text("SELECT * FROM runs WHERE id = :run_id AND tenant_id = :tenant")

_CANCEL_PENDING = text(
    "WITH pending AS (SELECT id, claimed_at FROM runs"
    " WHERE id = :run_id AND tenant_id = :tenant AND status = 'pending' FOR UPDATE),"
    " ended AS (UPDATE runs SET status = 'cancelled', finished_at = now(), claimed_at = NULL FROM pending"
    " WHERE runs.id = pending.id RETURNING runs.id, pending.claimed_at)"
    " SELECT claimed_at, pg_notify(:channel, id::text) FROM ended"
).bindparams(bindparam("channel", CHANNEL_RUN_ENDED))

_SETTLE = text(
    "WITH ended AS (UPDATE runs SET status = :status, result = :result, error = :error,"
    " steps = coalesce(:steps, steps), waiting_on = '[]', finished_at = :finished_at"
    " WHERE id = :run_id AND status IN ('pending', 'running', 'waiting') RETURNING id)"
    " SELECT id, pg_notify(:channel, id::text) FROM ended"
).bindparams(
    bindparam("channel", CHANNEL_RUN_ENDED),
    bindparam("result", type_=Json),
    bindparam("error", type_=Json),
    bindparam("steps", type_=Json),
    bindparam("finished_at", type_=Timestamp),
)


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list. None: whatever it may be. ``since`` and ``until`` bound the time of acceptance."""

    process: str | None = None
    definition_id: int | None = None
    status: str | None = None
    trigger_type: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[Any]:
        """As conditions on ``runs``."""
        same = {
            "process": self.process,
            "definition_id": self.definition_id,
            "status": self.status,
            "trigger_type": self.trigger_type,
        }
        conditions: list[Any] = [getattr(RunRow, name) == value for name, value in same.items() if value is not None]
        if self.since is not None:
            conditions.append(col(RunRow.created_at) >= self.since)
        if self.until is not None:
            conditions.append(col(RunRow.created_at) < self.until)
        return conditions


ALL_RUNS = RunFilter()
"""No filter."""


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that has not ended, so its row says."""

    id: int
    tenant: str
    workflow_id: str
    temporal_run_id: str | None


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended, as its row is to say."""

    status: str
    finished_at: datetime
    result: Any = None
    error: dict[str, Any] | None = None
    steps: list[dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class CancelledPending:
    """A run that was cancelled before it began. ``claimed``: a starter may have started its workflow already."""

    claimed: bool


async def insert(session: Session, row: RunRow) -> bool:
    """Enter an accepted run and wake the starters at commit. False if its idempotency key is taken: nothing is done.

    Raises ``NotFound`` when there is no such tenant.
    """
    try:
        return (await session.execute(_INSERT, row.model_dump())).one_or_none() is not None
    except ForeignKeyViolation as error:
        raise NotFound("tenant", row.tenant_id) from error


async def by_key(session: Session, tenant: str, process: str, idempotency_key: str) -> RunRow | None:
    """The run that was accepted under this key."""
    query = select(RunRow).where(
        RunRow.tenant_id == tenant, RunRow.process == process, RunRow.idempotency_key == idempotency_key
    )
    return (await session.exec(query)).one_or_none()


async def status(session: Session, tenant: str, run_id: int) -> str | None:
    """The status of the tenant's run with that id."""
    row = (await session.execute(_STATUS, {"tenant": tenant, "run_id": run_id})).one_or_none()
    return None if row is None else str(row.status)


async def get(session: Session, tenant: str, run_id: int) -> RunRow | None:
    """The tenant's run with that id."""
    row = (await session.execute(_GET, {"tenant": tenant, "run_id": run_id})).one_or_none()
    return None if row is None else RunRow(**{name: getattr(row, name) for name in RunRow.model_fields})


async def page(
    session: Session, tenant: str, wanted: RunFilter, *, limit: int, offset: int, steps: bool
) -> tuple[Sequence[RunRow], int]:
    """The tenant's runs that are wanted, the newest first, and how many there are. Without ``steps`` these are None."""
    conditions = [RunRow.tenant_id == tenant, *wanted.conditions()]
    query = select(RunRow).where(*conditions).order_by(col(RunRow.id).desc()).limit(limit).offset(offset)
    if not steps:
        query = query.options(defer(RunRow.steps))  # type: ignore[arg-type]  # SQLModel's attributes are columns
    rows = (await session.exec(query)).all()
    if not steps:
        for row in rows:
            set_committed_value(row, "steps", None)
    total = (await session.exec(select(func.count()).select_from(RunRow).where(*conditions))).one()
    return rows, total


async def cancel_pending(session: Session, tenant: str, run_id: int) -> CancelledPending | None:
    """End a run that has not begun, and wake who waits for it. None when it has begun, ended, or never was.

    Should its workflow be started all the same, it finds that the run has ended and does nothing.
    """
    row = (await session.execute(_CANCEL_PENDING, {"tenant": tenant, "run_id": run_id})).one_or_none()
    return None if row is None else CancelledPending(claimed=row.claimed_at is not None)


async def open_after(session: Session, run_id: int, *, limit: int) -> list[OpenRun]:
    """Runs of all tenants that are under way, from the one after ``run_id`` on, by id."""
    return await _after(session, run_id, limit, col(RunRow.status).in_(("running", "waiting")))


async def unbegun_after(session: Session, run_id: int, *, limit: int) -> list[OpenRun]:
    """Likewise those that were taken up by a starter and have not begun, although they were accepted a while ago."""
    claimed = col(RunRow.claimed_at).is_not(None)
    overdue = col(RunRow.created_at) < now() - BEGIN_WITHIN
    return await _after(session, run_id, limit, and_(col(RunRow.status) == "pending", claimed, overdue))


async def _after(session: Session, run_id: int, limit: int, condition: ColumnElement[bool]) -> list[OpenRun]:
    query = (
        select(RunRow.id, RunRow.tenant_id, RunRow.workflow_id, RunRow.temporal_run_id)
        .where(condition, col(RunRow.id) > run_id)
        .order_by(col(RunRow.id))
        .limit(limit)
    )
    found = (await session.execute(query)).all()
    return [OpenRun(id=row[0] or 0, tenant=row[1], workflow_id=row[2], temporal_run_id=row[3]) for row in found]


async def settle(session: Session, run_id: int, end: RunEnd) -> bool:
    """End a run that was ended from outside, and wake who waits for it. False if its row says already how it ended."""
    values = {
        "run_id": run_id,
        "status": end.status,
        "result": end.result,
        "error": end.error,
        "steps": end.steps,
        "finished_at": end.finished_at,
    }
    return (await session.execute(_SETTLE, values)).one_or_none() is not None
