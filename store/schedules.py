"""Schedules: triggers of the type ``schedule``, and for which tenants they hold.

Those of a definition change with its present version, the others by people. A built-in process's schedule holds for
every tenant that means the built-in process by that name, so not for one that has published its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import String, bindparam, text

from domain.ids import BUILTIN_TENANT
from store.session import Session
from store.tables.base import Json

_INSTALLATION = text("SELECT substr(md5(id || current_database()), 1, 12) AS id FROM installation")

_SELECT = text(
    "SELECT t.id, tenants.id AS tenant, t.process, t.config, t.is_active, t.note, t.definition_id,"
    " t.tenant_id = :builtin AS is_builtin, coalesce(meant.is_active, false) AS is_startable, t.created_by,"
    " t.created_at, t.updated_at"
    " FROM triggers t JOIN tenants ON t.tenant_id IN (:builtin, tenants.id)"
    " LEFT JOIN LATERAL (SELECT d.id, d.is_active FROM definitions d WHERE d.tenant_id IN (tenants.id, :builtin)"
    " AND d.name = t.process AND d.deleted_at IS NULL ORDER BY d.tenant_id DESC LIMIT 1) AS meant ON true"
    " WHERE t.type = 'schedule' AND (t.definition_id IS NULL OR t.definition_id = meant.id)"
    " AND tenants.id = coalesce(:tenant, tenants.id) AND t.id = coalesce(:trigger_id, t.id)"
    " AND t.process = coalesce(:process, t.process) ORDER BY t.id, tenants.id"
).bindparams(
    bindparam("builtin", BUILTIN_TENANT),
    bindparam("tenant", None, type_=String),
    bindparam("trigger_id", None),
    bindparam("process", None, type_=String),
)

_INSERT = text(
    "INSERT INTO triggers (tenant_id, process, type, pattern, config, is_active, note, created_by, created_at,"
    " updated_at) VALUES (:tenant, :process, 'schedule', '', :config, true, :note, :by, now(), now()) RETURNING id"
).bindparams(bindparam("config", type_=Json))

_UPDATE = text(
    "UPDATE triggers SET config = coalesce(:config, config), is_active = coalesce(:is_active, is_active),"
    " note = coalesce(:note, note), updated_at = now()"
    " WHERE id = :trigger_id AND tenant_id = :tenant AND type = 'schedule' RETURNING id"
).bindparams(bindparam("config", type_=Json))

_DELETE = text(
    "DELETE FROM triggers WHERE id = :trigger_id AND tenant_id = :tenant AND type = 'schedule'"
    " AND definition_id IS NULL RETURNING id"
)

_RUNS = text(
    "SELECT workflow_id, temporal_run_id, id, status FROM runs"
    " WHERE tenant_id = :tenant AND workflow_id = ANY(:workflow_ids)"
)


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """A schedule as it is to be for one tenant."""

    id: int
    tenant: str
    process: str
    config: Mapping[str, Any]
    is_active: bool
    note: str
    definition_id: int | None
    """Whose definition names it; None for one that people have made."""
    is_builtin: bool
    is_startable: bool
    """Whether the tenant has an active process of that name."""
    created_by: str
    created_at: datetime
    updated_at: datetime


async def installation(session: Session) -> str:
    """What tells this database from others on one Temporal server: also from its own copy under another name."""
    return str((await session.execute(_INSTALLATION)).scalar_one())


async def every(session: Session) -> list[ScheduleRecord]:
    """The schedules of all tenants; the session must see all."""
    return [ScheduleRecord(*row) for row in await session.execute(_SELECT)]


async def listing(session: Session, tenant: str, *, process: str | None = None) -> list[ScheduleRecord]:
    """The schedules that hold for the tenant, by id."""
    rows = await session.execute(_SELECT, {"tenant": tenant, "process": process})
    return [ScheduleRecord(*row) for row in rows]


async def get(session: Session, tenant: str, trigger_id: int) -> ScheduleRecord | None:
    """The schedule of that id, if it holds for the tenant."""
    row = (await session.execute(_SELECT, {"tenant": tenant, "trigger_id": trigger_id})).one_or_none()
    return None if row is None else ScheduleRecord(*row)


async def insert(
    session: Session, tenant: str, process: str, config: Mapping[str, Any], *, note: str = "", by: str = ""
) -> int:
    """Enter a schedule that somebody makes; its id."""
    values = {"tenant": tenant, "process": process, "config": config, "note": note, "by": by}
    return int((await session.execute(_INSERT, values)).scalar_one())


async def update(
    session: Session,
    tenant: str,
    trigger_id: int,
    *,
    config: Mapping[str, Any] | None = None,
    is_active: bool | None = None,
    note: str | None = None,
) -> bool:
    """Change the tenant's own schedule; None leaves a thing as it is. False: there is none."""
    values = {"tenant": tenant, "trigger_id": trigger_id, "config": config, "is_active": is_active, "note": note}
    return (await session.execute(_UPDATE, values)).one_or_none() is not None


async def delete(session: Session, tenant: str, trigger_id: int) -> bool:
    """Remove a schedule that somebody has made. False: there is none."""
    return (await session.execute(_DELETE, {"tenant": tenant, "trigger_id": trigger_id})).one_or_none() is not None


async def runs(session: Session, tenant: str, workflow_ids: Sequence[str]) -> dict[tuple[str, str], tuple[int, str]]:
    """The ids and states of the runs of these workflows, by workflow id and Temporal's run id."""
    rows = await session.execute(_RUNS, {"tenant": tenant, "workflow_ids": list(workflow_ids)})
    return {(row.workflow_id, row.temporal_run_id): (row.id, row.status) for row in rows}
