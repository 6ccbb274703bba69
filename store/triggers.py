"""Triggers: those of definitions, kept with their present version, and those that people have made."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, text
from sqlmodel import col, select

from domain.events import NewEvent
from domain.ids import BUILTIN_TENANT
from domain.triggers import EventTrigger, SignalTrigger, Trigger, WebhookTrigger
from store.session import Session
from store.tables import TriggerRow
from store.tables.base import Json

_PUT = text(
    "INSERT INTO triggers (tenant_id, process, definition_id, position, type, pattern, config, is_active, note,"
    " created_by, created_at, updated_at) VALUES (:tenant, :process, :definition_id, :position, :type, :pattern,"
    " :config, true, '', '', now(), now())"
    " ON CONFLICT (definition_id, position) DO UPDATE SET type = excluded.type, pattern = excluded.pattern,"
    " config = excluded.config, updated_at = now()"
    " WHERE (triggers.type, triggers.pattern, triggers.config)"
    " IS DISTINCT FROM (excluded.type, excluded.pattern, excluded.config)"
).bindparams(bindparam("config", type_=Json))

_CUT = text("DELETE FROM triggers WHERE definition_id = :definition_id AND position >= :count")

_CUT_MADE = text(
    "DELETE FROM triggers WHERE tenant_id = :tenant AND process = :process AND definition_id IS NULL"
    " AND NOT EXISTS (SELECT FROM definitions WHERE tenant_id = :builtin AND name = :process AND deleted_at IS NULL)"
)

_FOR_EVENT = text(
    "SELECT t.id, t.process, t.type, t.config, t.updated_at FROM triggers t, LATERAL (SELECT"
    " replace(replace(replace(replace(t.pattern, '\\', '\\\\'), '%', '\\%'), '_', '\\_'), '*', '%') AS form) f"
    " WHERE t.tenant_id IN (:tenant, :builtin) AND t.is_active AND"
    " ((t.type = 'event' AND (:type LIKE f.form OR :alias LIKE f.form))"
    " OR (t.type = 'webhook' AND :kind = 'webhook' AND :source LIKE f.form)"
    " OR (t.type = 'signal' AND :kind = 'row' AND t.pattern = :model))"
    " AND EXISTS (SELECT FROM definitions d WHERE d.id = coalesce(t.definition_id, d.id) AND d.name = t.process"
    " AND d.is_active AND d.deleted_at IS NULL AND (d.tenant_id = :tenant OR (d.tenant_id = :builtin AND NOT EXISTS"
    " (SELECT FROM definitions own WHERE own.tenant_id = :tenant AND own.name = d.name AND own.deleted_at IS NULL))))"
    " ORDER BY t.id"
).bindparams(builtin=BUILTIN_TENANT)
"""A ``*`` of a pattern is any text, all else in it stands for itself."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trigger that listens to events like the one at hand."""

    id: int
    process: str
    type: str
    config: dict[str, Any]
    updated_at: datetime


def pattern_of(trigger: Trigger) -> str:
    """What ``trigger`` listens to."""
    match trigger:
        case EventTrigger():
            return trigger.config.event
        case WebhookTrigger():
            return trigger.config.path
        case SignalTrigger():
            return trigger.config.model
        case _:
            return ""


async def replace_of_definition(
    session: Session, tenant: str, definition_id: int, process: str, triggers: Sequence[Trigger]
) -> None:
    """Let the definition have these triggers and no others. What stays the same keeps its row."""
    for position, trigger in enumerate(triggers):
        values = {
            "tenant": tenant,
            "process": process,
            "definition_id": definition_id,
            "position": position,
            "type": trigger.type,
            "pattern": pattern_of(trigger),
            "config": trigger.config.model_dump(mode="json", exclude_none=True),
        }
        await session.execute(_PUT, values)
    await session.execute(_CUT, {"definition_id": definition_id, "count": len(triggers)})


def model_of(event: NewEvent) -> str:
    """The model that a changed row is of; nothing for other events."""
    return str(event.payload.get("model", "")) if isinstance(event.payload, dict) else ""


async def for_event(session: Session, tenant: str, event: NewEvent) -> list[Candidate]:
    """The active triggers of the tenant, built-in ones included, that listen to events like this one, by id."""
    values = {
        "tenant": tenant,
        "kind": event.kind.value,
        "type": event.type,
        "alias": event.names[-1],
        "source": event.source,
        "model": model_of(event),
    }
    return [Candidate(**row) for row in (await session.execute(_FOR_EVENT, values)).mappings()]


async def get(session: Session, tenant: str, trigger_id: int) -> TriggerRow | None:
    """The tenant's trigger of that id, or a built-in one."""
    query = select(TriggerRow).where(TriggerRow.id == trigger_id, _seen_by(tenant))
    return (await session.exec(query)).one_or_none()


async def listing(session: Session, tenant: str, *, process: str | None = None) -> Sequence[TriggerRow]:
    """All triggers that the tenant has, built-in ones included, by process."""
    query = select(TriggerRow).where(_seen_by(tenant)).order_by(col(TriggerRow.process), col(TriggerRow.id))
    if process is not None:
        query = query.where(TriggerRow.process == process)
    return (await session.exec(query)).all()


async def remove(session: Session, tenant: str, trigger_id: int) -> bool:
    """Remove a trigger that people have made. False if there is none."""
    statement = (
        delete(TriggerRow)
        .where(
            col(TriggerRow.id) == trigger_id,
            col(TriggerRow.tenant_id) == tenant,
            col(TriggerRow.definition_id).is_(None),
        )
        .returning(col(TriggerRow.id))
    )
    return (await session.execute(statement)).first() is not None


async def remove_of_definition(session: Session, tenant: str, definition_id: int, process: str) -> None:
    """Remove the triggers of a definition that is no more, and those that people have made for its process.

    The latter stay if there is a built-in process of that name, which takes its place.
    """
    await session.execute(_CUT, {"definition_id": definition_id, "count": 0})
    await session.execute(_CUT_MADE, {"tenant": tenant, "process": process, "builtin": BUILTIN_TENANT})


def _seen_by(tenant: str) -> Any:
    return col(TriggerRow.tenant_id).in_((tenant, BUILTIN_TENANT))
