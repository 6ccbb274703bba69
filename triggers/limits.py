"""Runs of one trigger and key: what holds new ones back, and which one is under way."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, text

from domain.durations import parse_duration
from domain.triggers import TriggerConfig
from store.session import Session
from store.tables.base import Json, now

_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 0))")

_TAKE_PLACE = text(
    "UPDATE runs SET input = :input, event_id = :event_id, not_before = now() + make_interval(secs => :seconds)"
    " WHERE id = (SELECT id FROM runs WHERE tenant_id = :tenant AND process = :process AND correlation_key = :key"
    " AND trigger_id = :trigger_id AND status = 'pending' AND claimed_at IS NULL AND not_before > now()"
    " ORDER BY id DESC LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id"
).bindparams(bindparam("input", type_=Json))

_STARTS = text(
    "SELECT coalesce(not_before, created_at) AS starts FROM runs WHERE tenant_id = :tenant AND process = :process"
    " AND correlation_key = :key AND trigger_id = :trigger_id ORDER BY 1 DESC OFFSET :before LIMIT 1"
)

_OPEN = text(
    "SELECT id FROM runs WHERE tenant_id = :tenant AND process = :process AND correlation_key = :key"
    " AND status IN ('pending', 'running', 'waiting') ORDER BY id DESC LIMIT 1"
)

_OF_KEY = text(
    "SELECT id FROM runs WHERE tenant_id = :tenant AND process = :process AND idempotency_key = :idempotency_key"
)


@dataclass(frozen=True, slots=True)
class HeldBack:
    """The runs that one trigger starts for one key."""

    tenant: str
    process: str
    trigger_id: int
    key: str

    async def alone(self, session: Session) -> None:
        """Let other events of the trigger and key wait until this transaction has ended."""
        await session.execute(_ALONE, {"what": f"trigger|{self.tenant}|{self.trigger_id}|{self.key}"})

    async def take_place(self, session: Session, value: Any, event_id: int, debounce: str | float) -> int | None:
        """Give the run that is still held back this event's input, and hold it back anew; its id, if there is one."""
        values = {**self._values, "input": value, "event_id": event_id, "seconds": _seconds(debounce)}
        return (await session.execute(_TAKE_PLACE, values)).scalar_one_or_none()  # type: ignore[no-any-return]

    async def not_before(self, session: Session, config: TriggerConfig) -> datetime | None:
        """When a new run may start at the earliest. None: now."""
        at = now()
        times = []
        if config.debounce is not None:
            times.append(at + parse_duration(config.debounce))
        if config.throttle is not None:
            values = {**self._values, "before": config.throttle.limit - 1}
            full_since = (await session.execute(_STARTS, values)).scalar_one_or_none()
            if full_since is not None:
                times.append(full_since + parse_duration(config.throttle.per))
        latest = max(times, default=at)
        return latest if latest > at else None

    @property
    def _values(self) -> dict[str, Any]:
        return {"tenant": self.tenant, "process": self.process, "trigger_id": self.trigger_id, "key": self.key}


async def open_run(session: Session, tenant: str, process: str, key: str) -> int | None:
    """The newest run of the process that was started under ``key`` and has not ended."""
    values = {"tenant": tenant, "process": process, "key": key}
    return (await session.execute(_OPEN, values)).scalar_one_or_none()  # type: ignore[no-any-return]


async def run_of_key(session: Session, tenant: str, process: str, idempotency_key: str) -> int | None:
    """The run that was accepted under this idempotency key."""
    values = {"tenant": tenant, "process": process, "idempotency_key": idempotency_key}
    return (await session.execute(_OF_KEY, values)).scalar_one_or_none()  # type: ignore[no-any-return]


def _seconds(duration: str | float) -> float:
    return parse_duration(duration).total_seconds()
