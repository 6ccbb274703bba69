"""The row of a run over its life: begun, waiting, ended."""

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, text

from domain.ids import CHANNEL_RUN_ENDED
from store.session import Session
from store.tables.base import Json, Timestamp
from store.tables.runs import RunRow

_BEGIN = text(
    "UPDATE runs SET status = CASE WHEN status = 'pending' THEN 'running' ELSE status END,"
    " temporal_run_id = :temporal_run_id, started_at = coalesce(started_at, :started_at)"
    " WHERE id = :run_id AND workflow_id = :workflow_id"
    " AND (temporal_run_id = :temporal_run_id OR (temporal_run_id IS NULL AND status = 'pending'))"
    " AND created_at = coalesce(:accepted_at, created_at)"
    " RETURNING tenant_id, definition_id, digest, version, input, created_at, event_id"
).bindparams(bindparam("accepted_at", type_=Timestamp))

_ADOPT = text(
    "INSERT INTO runs (tenant_id, definition_id, process, version, digest, workflow_id, temporal_run_id, task_queue,"
    " status, trigger_type, trigger_source, parent_run_id, input, waiting_on, created_at, started_at)"
    " VALUES (:tenant_id, :definition_id, :process, :version, :digest, :workflow_id, :temporal_run_id, :task_queue,"
    " 'running', :trigger_type, :trigger_source, :parent_run_id, :input, '[]', now(), :started_at)"
    " ON CONFLICT (workflow_id, temporal_run_id) DO UPDATE SET workflow_id = excluded.workflow_id"
    " RETURNING id, created_at"
).bindparams(bindparam("input", type_=Json))

_UPDATE = text(
    "UPDATE runs SET status = :status, waiting_on = :waiting_on"
    " WHERE id = :run_id AND tenant_id = :tenant AND status IN ('running', 'waiting')"
).bindparams(bindparam("waiting_on", type_=Json))

_FINISH = text(
    "WITH ended AS (UPDATE runs SET status = :status, result = :result, error = :error, steps = :steps,"
    " waiting_on = '[]', finished_at = :finished_at WHERE id = :run_id AND tenant_id = :tenant RETURNING id)"
    " SELECT pg_notify(:channel, id::text) FROM ended"
).bindparams(
    bindparam("channel", CHANNEL_RUN_ENDED),
    bindparam("result", type_=Json),
    bindparam("error", type_=Json),
    bindparam("steps", type_=Json),
    bindparam("finished_at", type_=Timestamp),
)


async def begin(
    session: Session,
    *,
    run_id: int,
    workflow_id: str,
    temporal_run_id: str,
    started_at: datetime,
    accepted_at: datetime | None = None,
) -> Any:
    """Mark an accepted run as running. None: there is no such run, another one has begun it, or it was cancelled.

    A run whose first workflow task was lost begins again, even if its row says that it has ended.
    """
    values = {
        "run_id": run_id,
        "workflow_id": workflow_id,
        "temporal_run_id": temporal_run_id,
        "started_at": started_at,
        "accepted_at": accepted_at,
    }
    return (await session.execute(_BEGIN, values)).one_or_none()


async def adopt(session: Session, row: RunRow) -> Any:
    """Enter a run that was started on Temporal directly, once; its ``id`` and ``created_at``."""
    values = row.model_dump(exclude={"id", "status", "result", "error", "steps", "waiting_on"})
    return (await session.execute(_ADOPT, values)).one()


async def update(session: Session, *, tenant: str, run_id: int, status: str, waiting_on: list[dict[str, Any]]) -> None:
    """Say whether the run waits, and on what."""
    values = {"tenant": tenant, "run_id": run_id, "status": status, "waiting_on": waiting_on}
    await session.execute(_UPDATE, values)


async def finish(session: Session, *, tenant: str, run_id: int, end: dict[str, Any]) -> None:
    """Enter how a run ended (``status``, ``result``, ``error``, ``steps``, ``finished_at``); wake who waits for it."""
    await session.execute(_FINISH, {"tenant": tenant, "run_id": run_id, **end})
