"""The inbox: events, and what triggers have made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.errors import ForeignKeyViolation
from sqlalchemy import Text, bindparam, cast, func, text
from sqlmodel import col, select

from domain.errors import NotFound
from domain.events import DeliveryStatus, EventStatus, NewEvent, Trace
from domain.ids import CHANNEL_SIGNAL
from store.session import Rows, Session
from store.tables import DeliveryRow, EventRow
from store.tables.base import Json, Timestamp

_INSERT = text(
    "INSERT INTO events (tenant_id, kind, source, type, key, subject, payload, headers, trace_id, occurred_at,"
    " received_at, status, attempts) SELECT :tenant, kind, source, type, key, subject, payload, headers, trace_id,"
    " occurred_at, now(), 'dispatched', 1 FROM jsonb_to_recordset(:events) AS given(kind text, source text,"
    " type text, key text, subject text, payload jsonb, headers jsonb, trace_id text, occurred_at timestamptz)"
    " ON CONFLICT (tenant_id, kind, source, key) DO NOTHING RETURNING id, kind, source, key, received_at"
).bindparams(bindparam("events", type_=Json))

_KNOWN = text(
    "SELECT id, trace_id, status, ARRAY(SELECT run_id FROM deliveries d WHERE d.event_id = events.id"
    " AND d.run_id IS NOT NULL AND d.status <> 'duplicate' ORDER BY run_id) AS run_ids"
    " FROM events WHERE tenant_id = :tenant AND kind = :kind AND source = :source AND key = :key"
)

_SETTLE = text("UPDATE events SET status = :status, reason = :reason, attempts = attempts + :more WHERE id = :event_id")

_DELIVER = text(
    "INSERT INTO deliveries (event_id, trigger_id, tenant_id, process, status, reason, key, run_id, signal, payload,"
    " explain, created_at) SELECT event_id, trigger_id, :tenant, process, status, reason, key, run_id, signal,"
    " payload, explain, now() FROM jsonb_to_recordset(:deliveries) AS made(event_id bigint, trigger_id bigint,"
    " process text, status text, reason text, key text, run_id bigint, signal text, payload jsonb, explain jsonb)"
    " ON CONFLICT (event_id, trigger_id) DO UPDATE SET status = excluded.status, reason = excluded.reason,"
    " key = excluded.key, run_id = excluded.run_id, signal = excluded.signal, payload = excluded.payload,"
    " explain = excluded.explain, claimed_at = NULL"
).bindparams(bindparam("deliveries", type_=Json))

_WAKE = text("SELECT pg_notify(:channel, '')").bindparams(channel=CHANNEL_SIGNAL)

_CLAIM_SIGNALS = text(
    "UPDATE deliveries SET claimed_at = now() FROM (SELECT d.event_id, d.trigger_id, r.workflow_id FROM deliveries d"
    " JOIN runs r ON r.id = d.run_id WHERE d.status = 'signalling' AND r.status <> 'pending'"
    " AND r.task_queue = :task_queue"
    " AND (d.claimed_at IS NULL OR d.claimed_at < now() - make_interval(secs => :claim_seconds))"
    " ORDER BY d.event_id LIMIT :batch FOR UPDATE OF d SKIP LOCKED) AS due"
    " WHERE deliveries.event_id = due.event_id AND deliveries.trigger_id = due.trigger_id"
    " RETURNING deliveries.event_id, deliveries.trigger_id, due.workflow_id, run_id, signal, payload"
)

_SIGNALLED = text(
    "UPDATE deliveries SET status = :status, reason = :reason, payload = NULL"
    " WHERE event_id = :event_id AND trigger_id = :trigger_id AND status = 'signalling'"
)

_EARLY = text(
    "UPDATE deliveries SET status = 'signalling', run_id = :run_id, reason = '' WHERE tenant_id = :tenant"
    " AND process = :process AND key = :key AND status = 'no_run' AND signal IS NOT NULL"
    " AND created_at > now() - interval '1 day' RETURNING event_id"
)

_AGAIN = text(
    "UPDATE events SET status = 'pending' WHERE tenant_id = :tenant AND status = 'dead'"
    " AND (CAST(:type AS text) IS NULL OR type = :type) AND (CAST(:source AS text) IS NULL OR source = :source)"
    " RETURNING id"
)

_FORGET = text(
    "WITH old AS (SELECT id FROM events WHERE received_at < :before AND status <> 'pending' ORDER BY received_at"
    " LIMIT :batch FOR UPDATE SKIP LOCKED), gone AS (DELETE FROM deliveries USING old WHERE event_id = old.id)"
    " DELETE FROM events USING old WHERE events.id = old.id RETURNING events.id"
).bindparams(bindparam("before", type_=Timestamp))

_ACTIVITY = text(
    "SELECT 'events' AS what, kind AS label, count(*) AS number FROM events"
    " WHERE received_at > now() - interval '1 hour' GROUP BY kind"
    " UNION ALL SELECT 'deliveries', status, count(*) FROM deliveries"
    " WHERE created_at > now() - interval '1 hour' GROUP BY status"
    " UNION ALL SELECT 'triggers', type, count(*) FROM triggers WHERE is_active GROUP BY type"
    " UNION ALL SELECT 'watches', '', count(*) FROM watches"
)

_COUNTS = text("SELECT status, count(*) AS events FROM events WHERE status <> 'dispatched' GROUP BY status")


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to list. None: whatever it may be. ``text`` is looked for anywhere in the payload."""

    type: str | None = None
    source: str | None = None
    subject: str | None = None
    status: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[Any]:
        """As conditions on ``events``."""
        same = {"source": self.source, "subject": self.subject, "status": self.status}
        conditions: list[Any] = [getattr(EventRow, name) == value for name, value in same.items() if value is not None]
        if self.type is not None:
            conditions.append(col(EventRow.type).like(_like(self.type)))
        if self.text is not None:
            conditions.append(cast(col(EventRow.payload), Text).ilike(f"%{_like(self.text, stars=False)}%"))
        if self.since is not None:
            conditions.append(col(EventRow.received_at) >= self.since)
        if self.until is not None:
            conditions.append(col(EventRow.received_at) < self.until)
        return conditions


def _like(pattern: str, *, stars: bool = True) -> str:
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%") if stars else escaped


async def insert(session: Session, tenant: str, new: Sequence[NewEvent]) -> Rows:
    """Enter events, as dispatched: ``id``, ``kind``, ``source``, ``key``, ``received_at`` of those that were not there.

    Raises ``NotFound`` when there is no such tenant.
    """
    values = {"tenant": tenant, "events": [event.model_dump(mode="json") for event in new]}
    try:
        return await session.execute(_INSERT, values)  # type: ignore[no-any-return]
    except ForeignKeyViolation as error:
        raise NotFound("tenant", tenant) from error


async def known(session: Session, tenant: str, event: NewEvent) -> Any:
    """The event of this source and key: ``id``, ``trace_id``, ``status``, ``run_ids``."""
    values = {"tenant": tenant, "kind": event.kind.value, "source": event.source, "key": event.key}
    return (await session.execute(_KNOWN, values)).one()


async def settle(
    session: Session, event_id: int, status: EventStatus, reason: str | None = None, *, again: bool = False
) -> None:
    """Say how the asking of an event's triggers went, for the first time or ``again``."""
    values = {"event_id": event_id, "status": status.value, "reason": reason, "more": int(again)}
    await session.execute(_SETTLE, values)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a trigger made of an event, and the signal that is to be sent, if any."""

    event_id: int
    trace: Trace
    signal: str | None = None

    def values(self) -> dict[str, Any]:
        """As a row."""
        named = self.trace.model_dump(
            mode="json", include={"trigger_id", "process", "status", "reason", "key", "run_id", "explain"}
        )
        payload = self.trace.input if self.signal else None
        return {"event_id": self.event_id, "signal": self.signal, "payload": payload, **named}


async def deliver(session: Session, tenant: str, made: Sequence[Delivery]) -> None:
    """Enter what triggers made of events, in place of what they made of them before."""
    if made:
        await session.execute(_DELIVER, {"tenant": tenant, "deliveries": [each.values() for each in made]})
    if any(each.trace.status is DeliveryStatus.SIGNALLING for each in made):
        await session.execute(_WAKE)


def event_of(row: EventRow) -> NewEvent:
    """The event that a row keeps."""
    return NewEvent.model_validate(row.model_dump(include=set(NewEvent.model_fields)))


async def get(session: Session, tenant: str, event_id: int, *, lock: bool = False) -> EventRow | None:
    """The tenant's event of that id."""
    query = select(EventRow).where(EventRow.id == event_id, EventRow.tenant_id == tenant)
    return (await session.exec(query.with_for_update() if lock else query)).one_or_none()


async def page(
    session: Session, tenant: str, wanted: EventFilter, *, limit: int, offset: int
) -> tuple[Sequence[EventRow], int]:
    """The tenant's events that are wanted, the newest first, and how many there are."""
    conditions = [EventRow.tenant_id == tenant, *wanted.conditions()]
    query = select(EventRow).where(*conditions).order_by(col(EventRow.id).desc()).limit(limit).offset(offset)
    rows = (await session.exec(query)).all()
    total = (await session.exec(select(func.count()).select_from(EventRow).where(*conditions))).one()
    return rows, total


async def deliveries(session: Session, tenant: str, event_id: int) -> Sequence[DeliveryRow]:
    """What the triggers have made of an event, by trigger."""
    query = select(DeliveryRow).where(DeliveryRow.tenant_id == tenant, DeliveryRow.event_id == event_id)
    return (await session.exec(query.order_by(col(DeliveryRow.trigger_id)))).all()


async def done_triggers(session: Session, event_id: int) -> set[int]:
    """The triggers that have started or signalled a run for the event, and are not to do so again."""
    again = (DeliveryStatus.FAILED.value, DeliveryStatus.NO_MATCH.value, DeliveryStatus.NO_RUN.value)
    query = select(DeliveryRow.trigger_id).where(
        DeliveryRow.event_id == event_id, col(DeliveryRow.status).not_in(again)
    )
    return set((await session.exec(query)).all())


async def ask_again(session: Session, tenant: str, *, type: str | None, source: str | None) -> int:  # noqa: A002
    """Let the workers ask the triggers of all dead events again, or those of one type or source; how many."""
    return len(await session.execute(_AGAIN, {"tenant": tenant, "type": type, "source": source}))


async def send_early_signals(session: Session, tenant: str, process: str, key: str, run_id: int) -> None:
    """Send the signals of the last day that came before the only run of their key: events may overtake each other."""
    values = {"tenant": tenant, "process": process, "key": key, "run_id": run_id}
    if await session.execute(_EARLY, values):
        await session.execute(_WAKE)


async def claim_signals(session: Session, *, task_queue: str, claim_seconds: float, batch: int) -> Rows:
    """Take up some signals that are on their way to runs that have begun."""
    values = {"task_queue": task_queue, "claim_seconds": claim_seconds, "batch": batch}
    return await session.execute(_CLAIM_SIGNALS, values)  # type: ignore[no-any-return]


async def signalled(session: Session, event_id: int, trigger_id: int, status: DeliveryStatus, reason: str = "") -> None:
    """Say how the sending of a signal ended."""
    values = {"event_id": event_id, "trigger_id": trigger_id, "status": status.value, "reason": reason}
    await session.execute(_SIGNALLED, values)


async def next_pending(session: Session) -> EventRow | None:
    """The oldest event, of any tenant, whose triggers are to be asked, locked; those that others hold are left out."""
    query = select(EventRow).where(EventRow.status == EventStatus.PENDING.value).order_by(col(EventRow.id)).limit(1)
    return (await session.exec(query.with_for_update(skip_locked=True))).one_or_none()


async def forget(session: Session, *, before: datetime, batch: int) -> int:
    """Delete some events that were received before a time, with their deliveries; how many."""
    return len(await session.execute(_FORGET, {"before": before, "batch": batch}))


async def counts(session: Session) -> dict[str, int]:
    """How many events are pending or dead."""
    return {row.status: row.events for row in await session.execute(_COUNTS)}


async def activity(session: Session) -> Rows:
    """``what``, ``label``, ``number``: events and deliveries of the last hour, active triggers, watches."""
    return await session.execute(_ACTIVITY)  # type: ignore[no-any-return]
