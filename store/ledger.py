"""The ledger of effects: what a step has changed outside, or has set out to change.

A row is the step's effect under its key. ``intent``: begun, and nobody has said how it ended. ``done``: it happened,
with its outcome. ``failed``: it surely did not happen. ``skipped``: unknown, and given up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, text

from domain.actions import Call
from store.session import Session
from store.tables.base import Json

_FIND = text("SELECT status, outcome, intended_at FROM effects WHERE tenant_id = :tenant AND key = :key")
_FIND_ALL = text("SELECT key, status, outcome, intended_at FROM effects WHERE tenant_id = :tenant AND key = ANY(:keys)")
_INTEND = text(
    "INSERT INTO effects (tenant_id, key, run_id, action, status, attempts, intended_at)"
    " VALUES (:tenant, :key, :run_id, :action, 'intent', 1, now())"
    " ON CONFLICT (tenant_id, key) DO UPDATE SET status = 'intent', attempts = effects.attempts + 1,"
    " intended_at = now() WHERE effects.status = 'failed' OR (:again AND effects.status <> 'done') RETURNING key"
)
_SETTLE = text(
    "INSERT INTO effects (tenant_id, key, run_id, action, status, outcome, attempts, intended_at, settled_at)"
    " VALUES (:tenant, :key, :run_id, :action, :status, :outcome, 1, now(), now())"
    " ON CONFLICT (tenant_id, key) DO UPDATE"
    " SET status = excluded.status, outcome = excluded.outcome, settled_at = excluded.settled_at"
    " WHERE effects.status <> 'done' RETURNING key"
).bindparams(bindparam("outcome", type_=Json))


_OF_RUN = text(
    "SELECT key FROM effects WHERE tenant_id = :tenant AND run_id = :run_id AND status IN ('done', 'intent')"
    " ORDER BY intended_at DESC LIMIT 5000"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger knows of an effect."""

    status: str
    outcome: Any
    intended_at: datetime


async def find(session: Session, call: Call) -> Entry | None:
    """The entry of this call's effect, if there is one."""
    row = (await session.execute(_FIND, {"tenant": call.tenant, "key": call.key})).one_or_none()
    return None if row is None else Entry(row.status, row.outcome, row.intended_at)


async def find_all(session: Session, tenant: str, keys: Sequence[str]) -> dict[str, Entry]:
    """The entries that there are under these keys."""
    rows = await session.execute(_FIND_ALL, {"tenant": tenant, "keys": list(keys)})
    return {row.key: Entry(row.status, row.outcome, row.intended_at) for row in rows}


async def intend(session: Session, call: Call, action: str, *, again: bool = False) -> bool:
    """Enter that the effect is about to happen. False when another try has entered it before and has not failed.

    ``again``: enter it all the same, unless it is done.
    """
    values = {"tenant": call.tenant, "key": call.key, "run_id": call.run_id, "action": action, "again": again}
    return (await session.execute(_INTEND, values)).one_or_none() is not None


async def settle(session: Session, call: Call, action: str, *, status: str, outcome: Any = None) -> bool:
    """Enter how the effect ended. False when it is done already: the first outcome stays."""
    values = {
        "tenant": call.tenant,
        "key": call.key,
        "run_id": call.run_id,
        "action": action,
        "status": status,
        "outcome": outcome,
    }
    return (await session.execute(_SETTLE, values)).one_or_none() is not None


async def of_run(session: Session, tenant: str, run_id: int) -> list[str]:
    """The keys of the run's effects that have happened, or may have: the latest 5,000."""
    return [row.key for row in await session.execute(_OF_RUN, {"tenant": tenant, "run_id": run_id})]
