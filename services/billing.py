"""Plans and subscriptions."""

from collections.abc import Callable
from datetime import date, datetime
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict
from sqlalchemy import text

from domain.actions import Connector, Effect, action
from domain.errors import ConnectorError, ErrorCode
from services.customers import require_active_customer
from services.request import Request, Slug
from store.database import Transaction
from store.tables.base import now
from store.tables.business import LIVE_SUBSCRIPTION


class CreateSubscription(Request):
    """Who subscribes to what."""

    customer_id: UUID
    plan_id: Slug


class Subscription(BaseModel):
    """A customer's subscription to a plan, at the price of the day it began."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    subscription_id: UUID
    customer_id: UUID
    plan_id: str
    status: str
    """``trialing`` or ``active`` when new; ``past_due`` too where the customer had it before."""
    next_billing_date: date
    """UTC day of the next charge: the end of the trial, or of the first period."""
    started_on: date
    trial_end: date | None = None
    ends_on: date | None = None
    """UTC day on which it ends unless it is renewed: after the plan's term, a trial not counted."""
    amount_cents: int
    currency: str
    interval_months: int


# Adding months to a date keeps to the end of a shorter month (31 January + 1 month = 28 February): Postgres, 9.9.
_SUBSCRIBE = text(f"""
    WITH terms AS (
        SELECT customers.id AS customer_id, plans.*, CAST(:today AS date) + trial_days AS anchor
        FROM customers, plans
        WHERE customers.tenant_id = :tenant AND customers.id = :customer AND customers.status = 'active'
            AND plans.tenant_id = :tenant AND plans.id = :plan AND plans.is_active
    )
    INSERT INTO subscriptions (tenant_id, id, customer_id, plan_id, status, amount_cents, currency, interval_months,
        started_on, billing_anchor, trial_end, next_billing_date, ends_on, created_at, updated_at)
    SELECT :tenant, :subscription, customer_id, id, CASE WHEN trial_days > 0 THEN 'trialing' ELSE 'active' END,
        amount_cents, currency, interval_months, :today, anchor, CASE WHEN trial_days > 0 THEN anchor END,
        CASE WHEN trial_days > 0 THEN anchor ELSE (anchor + make_interval(months => interval_months))::date END,
        (anchor + make_interval(months => term_months))::date, now(), now()
    FROM terms
    ON CONFLICT (tenant_id, customer_id, plan_id) WHERE {LIVE_SUBSCRIPTION}
        DO UPDATE SET status = subscriptions.status
    RETURNING id AS subscription_id, customer_id, plan_id, status, next_billing_date, started_on, trial_end,
        ends_on, amount_cents, currency, interval_months
""")  # noqa: S608  # the condition is a constant of the table
_PLAN_IS_ACTIVE = text("SELECT is_active FROM plans WHERE tenant_id = :tenant AND id = :plan")


class BillingService(Connector):
    """Keeps the tenant's subscriptions. ``clock`` gives the present."""

    def __init__(self, clock: Callable[[], datetime] = now) -> None:
        self._clock = clock

    @action("billing_service.create_subscription", effect=Effect.TRANSACTIONAL)
    async def create_subscription(self, request: CreateSubscription, call: Transaction) -> Subscription:
        """Subscribe a customer to a plan.

        Periods are calendar months; a trial comes first, and the charge when it ends. A customer who has a live
        subscription to the plan keeps that one, as it is.
        """
        request.check_tenant(call)
        values = {
            "tenant": call.tenant,
            "subscription": uuid4(),
            "customer": request.customer_id,
            "plan": request.plan_id,
            "today": self._clock().date(),
        }
        row = (await call.session.execute(_SUBSCRIBE, values)).one_or_none()
        if row is None:
            raise await _refusal(request, call)
        return Subscription.model_validate(row)


async def _refusal(request: CreateSubscription, call: Transaction) -> ConnectorError:
    await require_active_customer(call.session, call.tenant, request.customer_id)
    values = {"tenant": call.tenant, "plan": request.plan_id}
    if (await call.session.execute(_PLAN_IS_ACTIVE, values)).scalar_one_or_none() is None:
        return ConnectorError(ErrorCode.NOT_FOUND, f"there is no plan {request.plan_id!r}")
    return ConnectorError(ErrorCode.INVALID_INPUT, f"plan {request.plan_id!r} is not offered any more; choose another")
