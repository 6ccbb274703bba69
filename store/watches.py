"""Watched tables, and the outbox of their changes on the platform's own database."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlmodel import col, select

from store.session import Session
from store.tables import WatchRow

MAX_BATCH_BYTES: Final = 4_000_000
"""A batch ends with the change that passes this size."""

_COLUMNS: Final = "id, operation, subject, row_old::text AS row_old, row_new::text AS row_new, changed_at"

TAKEABLE: Final = (
    "WITH locked AS MATERIALIZED (SELECT id, coalesce(pg_column_size(row_old), 0)"
    " + coalesce(pg_column_size(row_new), 0) AS bytes FROM stepwell.row_changes"
    " WHERE watch_id = {watch_id} AND (retry_at IS NULL OR retry_at <= now())"
    " AND (SELECT pg_try_advisory_xact_lock(hashtextextended('stepwell watch ' || {watch_id}, 0)))"
    " ORDER BY id LIMIT {batch} FOR UPDATE SKIP LOCKED),"
    " sized AS (SELECT id, sum(bytes) OVER (ORDER BY id) - bytes AS before FROM locked)"
)
"""The next changes of one watch. One relay at a time takes those of a table, so that they keep their order."""

_TAKE = text(
    TAKEABLE.format(watch_id="CAST(:watch_id AS bigint)", batch=":batch")  # noqa: S608  # constants
    + " DELETE FROM stepwell.row_changes WHERE id IN (SELECT id FROM sized WHERE before < :max_bytes)"
    " RETURNING " + _COLUMNS
)
READ_THERE: Final = (
    TAKEABLE.format(watch_id="%(watch_id)s::bigint", batch="%(batch)s")  # noqa: S608  # likewise
    + " SELECT "
    + _COLUMNS
    + " FROM stepwell.row_changes WHERE id IN (SELECT id FROM sized WHERE before < %(max_bytes)s) ORDER BY id"
)
"""The same for another database, where the changes are deleted once their events are safe."""
_HAS_OUTBOX = text("SELECT to_regclass('stepwell.row_changes') IS NOT NULL AS there")
_WAITING = text("SELECT count(*) FROM stepwell.row_changes")

REMOVE_THERE: Final = "DELETE FROM stepwell.row_changes WHERE id = ANY(%(ids)s)"

_HAVE_CHANGES_FORM: Final = (
    "SELECT w.watch_id FROM unnest(CAST({ids} AS bigint[])) w(watch_id) WHERE EXISTS (SELECT"
    " FROM stepwell.row_changes c WHERE c.watch_id = w.watch_id AND (c.retry_at IS NULL OR c.retry_at <= now()))"
)
_HAVE_CHANGES = text(_HAVE_CHANGES_FORM.format(ids=":ids"))
HAVE_CHANGES_THERE: Final = _HAVE_CHANGES_FORM.format(ids="%(ids)s")

_PUT_OFF_FORM: Final = (
    "UPDATE stepwell.row_changes SET retry_at = now() + make_interval(secs => {seconds}), reason = {reason}"
    " WHERE id = {id}"
)
_PUT_OFF = text(_PUT_OFF_FORM.format(seconds=":seconds", reason=":reason", id=":id"))
PUT_OFF_THERE: Final = _PUT_OFF_FORM.format(seconds="%(seconds)s", reason="%(reason)s", id="%(id)s")


@dataclass(frozen=True, slots=True)
class RowChange:
    """One change of one row, as the outbox keeps it; the rows are JSON texts."""

    id: int
    operation: str
    subject: str | None
    row_old: str | None
    row_new: str | None
    changed_at: datetime


async def of_connection(session: Session, connection: str) -> Sequence[WatchRow]:
    """The watches of one database that the session may see, the oldest first."""
    query = select(WatchRow).where(WatchRow.connection == connection).order_by(col(WatchRow.id))
    return (await session.exec(query)).all()


async def of_tenant(session: Session, tenant: str) -> Sequence[WatchRow]:
    """The tenant's watches, the oldest first."""
    query = select(WatchRow).where(WatchRow.tenant_id == tenant).order_by(col(WatchRow.id))
    return (await session.exec(query)).all()


async def of_table(session: Session, connection: str, table: str) -> WatchRow | None:
    """The watch of a table, locked; None if there is none that the session may see."""
    query = select(WatchRow).where(WatchRow.connection == connection, WatchRow.table_name == table)
    return (await session.exec(query.with_for_update())).one_or_none()


async def remove(session: Session, watch_id: int) -> None:
    """Forget a watch; no error if there is none."""
    row = await session.get(WatchRow, watch_id)
    if row is not None:
        await session.models.delete(row)


async def having_changes(session: Session, watch_ids: Collection[int]) -> set[int]:
    """Which of these watches have changes in the outbox that are due."""
    return {row.watch_id for row in await session.execute(_HAVE_CHANGES, {"ids": list(watch_ids)})}


async def take(session: Session, watch_id: int, batch: int) -> list[RowChange]:
    """Take the next changes of a watch out of the outbox, in order; empty while another relay is at it.

    They are back if the transaction is rolled back.
    """
    values = {"watch_id": watch_id, "batch": batch, "max_bytes": MAX_BATCH_BYTES}
    taken = [RowChange(**row) for row in (await session.execute(_TAKE, values)).mappings()]
    return sorted(taken, key=lambda change: change.id)


async def waiting(session: Session) -> int:
    """How many changes of watched tables of the own database are not events yet."""
    there = (await session.execute(_HAS_OUTBOX)).scalar_one()
    return int((await session.execute(_WAITING)).scalar_one()) if there else 0


async def put_off(session: Session, change_id: int, reason: str, seconds: float) -> None:
    """Leave a change that cannot become an event for later."""
    await session.execute(_PUT_OFF, {"id": change_id, "reason": reason, "seconds": seconds})
