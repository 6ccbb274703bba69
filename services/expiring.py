"""Subscriptions that are about to end."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import text

from domain.actions import Call, Connector, Effect, action
from services.request import Request
from store.database import Database
from store.tables.base import now
from store.tables.business import LIVE_SUBSCRIPTION

_PLACE = r"^\d{4}-\d{2}-\d{2}/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"

Place = Annotated[str, StringConstraints(pattern=_PLACE)]
"""Where a page ended: the day and the id of its last subscription."""


class FindExpiring(Request):
    """Which subscriptions: a page of those that end soon."""

    within_days: int = Field(default=30, ge=0, le=366, description="How far to look ahead.")
    limit: int = Field(default=200, ge=1, le=1000, description="How many at most.")
    after: Place | None = Field(default=None, description="The next_after of the page before.")


class ExpiringSubscription(BaseModel):
    """A subscription that ends on ``expiry_date`` unless it is renewed, with what its renewal needs."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    subscription_id: UUID
    customer_id: UUID
    customer_name: str
    customer_email: str
    plan_id: str
    expiry_date: date
    """UTC day."""
    days_until_expiry: int
    renewal_term: int
    """Months that a renewal lasts: the plan's term; where it has none by now, its billing period."""
    amount_cents: int
    currency: str


class ExpiringSubscriptions(BaseModel):
    """A page of subscriptions, those that end first first."""

    model_config = ConfigDict(frozen=True)

    subscriptions: list[ExpiringSubscription]
    count: int
    next_after: str | None
    """Where the next page begins; None: this is the last one."""


_FIND = text(f"""
    SELECT s.id AS subscription_id, s.customer_id, c.name AS customer_name, c.email AS customer_email, s.plan_id,
        s.ends_on AS expiry_date, s.ends_on - CAST(:today AS date) AS days_until_expiry,
        coalesce(p.term_months, s.interval_months) AS renewal_term, s.amount_cents, s.currency
    FROM subscriptions s
    JOIN customers c ON c.tenant_id = s.tenant_id AND c.id = s.customer_id
    JOIN plans p ON p.tenant_id = s.tenant_id AND p.id = s.plan_id
    WHERE s.tenant_id = :tenant AND s.{LIVE_SUBSCRIPTION}
        AND s.ends_on BETWEEN :today AND :until AND (s.ends_on, s.id) > (CAST(:day AS date), CAST(:id AS uuid))
    ORDER BY s.ends_on, s.id LIMIT :most
""")  # noqa: S608  # the condition is a constant of the table

_BEFORE_ALL = f"0001-01-01/{UUID(int=0)}"


class ExpiryService(Connector):
    """Finds the tenant's subscriptions that end soon. ``clock`` gives the present."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = now) -> None:
        self._database = database
        self._clock = clock

    @action("billing_service.find_expiring_subscriptions", effect=Effect.READ)
    async def find(self, request: FindExpiring, call: Call) -> ExpiringSubscriptions:
        """Find the live subscriptions that end within so many days, today included."""
        request.check_tenant(call)
        today = self._clock().date()
        day, _, id_ = (request.after or _BEFORE_ALL).partition("/")
        values = {
            "tenant": call.tenant,
            "today": today,
            "until": today + timedelta(days=request.within_days),
            "day": day,
            "id": id_,
            "most": request.limit + 1,
        }
        async with self._database.statements(call.tenant) as session:
            rows = (await session.execute(_FIND, values)).all()
        page = [ExpiringSubscription.model_validate(row) for row in rows[: request.limit]]
        more = len(rows) > request.limit
        return ExpiringSubscriptions(
            subscriptions=page,
            count=len(page),
            next_after=f"{page[-1].expiry_date}/{page[-1].subscription_id}" if more else None,
        )
