import asyncio
from datetime import UTC, date, datetime
from uuid import uuid4

import pytest

from domain.errors import ConnectorError, ErrorCode
from services.billing import BillingService

CREATE = "billing_service.create_subscription"

service = BillingService()


def on(day: str) -> BillingService:
    """The service as it works at the end of that UTC day."""
    moment = datetime.fromisoformat(f"{day}T23:59:59").replace(tzinfo=UTC)
    return BillingService(clock=lambda: moment)


async def refusal(books, **request) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        await books.transact(service, CREATE, **request)
    return caught.value


@pytest.mark.parametrize(
    ("started", "months", "trial_days", "next_billing"),
    [
        ("2026-01-15", 1, 0, "2026-02-15"),
        ("2026-01-31", 1, 0, "2026-02-28"),
        ("2028-01-31", 1, 0, "2028-02-29"),
        ("2028-01-30", 1, 0, "2028-02-29"),
        ("2026-03-31", 1, 0, "2026-04-30"),
        ("2026-08-31", 1, 0, "2026-09-30"),
        ("2026-12-31", 1, 0, "2027-01-31"),
        ("2026-11-30", 3, 0, "2027-02-28"),
        ("2026-08-31", 6, 0, "2027-02-28"),
        ("2026-11-20", 12, 0, "2027-11-20"),
        ("2028-02-29", 12, 0, "2029-02-28"),
        ("2028-02-29", 48, 0, "2032-02-29"),
        ("2026-02-20", 1, 14, "2026-03-06"),
        ("2026-12-25", 12, 30, "2027-01-24"),
    ],
)
async def test_the_next_charge_is_due_after_whole_calendar_months_or_the_trial(
    books, started, months, trial_days, next_billing
):
    plan = await books.plan(interval_months=months, trial_days=trial_days)
    made = await books.transact(on(started), CREATE, customer_id=await books.customer(), plan_id=plan)
    assert made.started_on == date.fromisoformat(started)
    assert made.next_billing_date == date.fromisoformat(next_billing)


async def test_a_subscription_keeps_the_price_of_the_day(books):
    plan = await books.plan(amount_cents=2900, currency="EUR")
    customer = await books.customer()
    made = await books.transact(service, CREATE, customer_id=customer, plan_id=plan, tenant_id=books.tenant)
    await books.change("UPDATE plans SET amount_cents = 9900")
    again = await books.transact(service, CREATE, customer_id=customer, plan_id=plan)
    assert again == made
    assert (made.status, made.amount_cents, made.currency, made.trial_end) == ("active", 2900, "EUR", None)


async def test_a_plan_with_a_trial_begins_with_it_and_counts_periods_from_its_end(books):
    plan = await books.plan(trial_days=14)
    made = await books.transact(on("2026-01-17"), CREATE, customer_id=await books.customer(), plan_id=plan)
    assert (made.status, made.trial_end) == ("trialing", date(2026, 1, 31))
    [row] = await books.rows("SELECT billing_anchor FROM subscriptions")
    assert row.billing_anchor == date(2026, 1, 31)


@pytest.mark.parametrize("status", ["trialing", "active", "past_due"])
async def test_a_customer_has_one_live_subscription_to_a_plan(books, status):
    request = {"customer_id": await books.customer(), "plan_id": await books.plan()}
    first = await books.transact(service, CREATE, **request)
    await books.change("UPDATE subscriptions SET status = :status", status=status)
    again = await books.transact(service, CREATE, **request)
    assert (again.subscription_id, again.status) == (first.subscription_id, status)


@pytest.mark.parametrize("status", ["cancelled", "expired"])
async def test_a_customer_whose_subscription_has_ended_may_subscribe_again(books, status):
    request = {"customer_id": await books.customer(), "plan_id": await books.plan()}
    first = await books.transact(service, CREATE, **request)
    await books.change("UPDATE subscriptions SET status = :status", status=status)
    again = await books.transact(service, CREATE, **request)
    assert again.subscription_id != first.subscription_id


async def test_a_customer_may_have_two_plans(books):
    customer = await books.customer()
    for plan in (await books.plan("basic-plan"), await books.plan("storage-plan")):
        await books.transact(service, CREATE, customer_id=customer, plan_id=plan)
    assert len(await books.rows("SELECT 1 FROM subscriptions WHERE status = 'active'")) == 2


async def test_what_is_missing_or_retired_is_named(books):
    customer, unknown = await books.customer(), uuid4()
    closed = await books.customer(status="closed")
    plan, retired = await books.plan(), await books.plan("old-plan", is_active=False)
    cases = [
        (unknown, plan, ErrorCode.NOT_FOUND, f"there is no customer {unknown}"),
        (closed, plan, ErrorCode.INVALID_INPUT, "is closed"),
        (customer, "no-plan", ErrorCode.NOT_FOUND, "there is no plan 'no-plan'"),
        (customer, retired, ErrorCode.INVALID_INPUT, "plan 'old-plan' is not offered any more"),
    ]
    for customer_id, plan_id, code, words in cases:
        error = await refusal(books, customer_id=customer_id, plan_id=plan_id)
        assert (error.code, words in str(error), error.retryable) == (code, True, False)


async def test_another_tenants_customer_and_plan_do_not_exist(books, other_books):
    theirs = {"customer_id": await other_books.customer(), "plan_id": await other_books.plan()}
    mine = {"customer_id": await books.customer(), "plan_id": await books.plan("my-plan")}
    assert (await refusal(books, **mine | {"customer_id": theirs["customer_id"]})).code is ErrorCode.NOT_FOUND
    assert (await refusal(books, **mine | {"plan_id": theirs["plan_id"]})).code is ErrorCode.NOT_FOUND
    assert (await refusal(books, **mine, tenant_id=other_books.tenant)).code is ErrorCode.FORBIDDEN


async def test_twenty_requests_at_once_make_one_subscription(books):
    request = {"customer_id": await books.customer(), "plan_id": await books.plan()}
    made = await asyncio.gather(*(books.transact(service, CREATE, **request) for _ in range(20)))
    assert len({subscription.subscription_id for subscription in made}) == 1
    assert len(await books.rows("SELECT 1 FROM subscriptions")) == 1
