from datetime import UTC, date, datetime, timedelta

import pytest

from domain.errors import ConnectorError, ErrorCode
from services.billing import BillingService
from services.expiring import ExpiryService

FIND = "billing_service.find_expiring_subscriptions"
TODAY = date(2026, 11, 20)


@pytest.fixture
def service(database):
    return ExpiryService(database, clock=lambda: datetime(2026, 11, 20, 23, 59, tzinfo=UTC))


async def subscription(books, ends_on, *, status="active", plan="yearly"):
    """A customer's subscription that ends on that day."""
    if not await books.rows("SELECT 1 FROM plans WHERE tenant_id = :tenant AND id = :id", tenant=books.tenant, id=plan):
        await books.plan(plan, interval_months=12, term_months=12)
    customer = await books.customer()
    made = await books.transact(
        BillingService(), "billing_service.create_subscription", customer_id=customer, plan_id=plan
    )
    await books.change(
        "UPDATE subscriptions SET ends_on = :day, status = :status WHERE id = :id",
        day=ends_on,
        status=status,
        id=made.subscription_id,
    )
    return made.subscription_id


@pytest.mark.parametrize(
    ("started", "trial_days", "term", "ends"),
    [
        ("2026-11-20", 0, 12, "2027-11-20"),
        ("2026-11-20", 14, 12, "2027-12-04"),
        ("2028-02-29", 0, 12, "2029-02-28"),
        ("2026-01-31", 0, 1, "2026-02-28"),
        ("2026-11-20", 0, None, None),
    ],
)
async def test_a_subscription_ends_after_its_plans_term_or_not_at_all(books, started, trial_days, term, ends):
    plan = await books.plan(trial_days=trial_days, term_months=term)
    clock = datetime.fromisoformat(f"{started}T12:00:00+00:00")
    made = await books.transact(
        BillingService(clock=lambda: clock),
        "billing_service.create_subscription",
        customer_id=await books.customer(),
        plan_id=plan,
    )
    assert made.ends_on == (None if ends is None else date.fromisoformat(ends))


async def test_those_that_end_from_today_to_the_last_day_are_found_the_first_first(books, service):
    days = {name: TODAY + timedelta(days=number) for name, number in
            {"yesterday": -1, "today": 0, "soon": 7, "last": 30, "later": 31}.items()}  # fmt: skip
    made = {name: await subscription(books, day) for name, day in days.items()}
    await subscription(books, None)
    found = await books.perform(service, FIND)
    assert [each.subscription_id for each in found.subscriptions] == [made["today"], made["soon"], made["last"]]
    assert [each.days_until_expiry for each in found.subscriptions] == [0, 7, 30]
    assert (found.count, found.next_after) == (3, None)
    first = found.subscriptions[0]
    assert (first.expiry_date, first.renewal_term, first.plan_id) == (TODAY, 12, "yearly")
    assert (await books.perform(service, FIND, within_days=0)).count == 1


async def test_one_that_is_cancelled_or_over_is_not_found(books, service):
    for status in ("cancelled", "expired"):
        await subscription(books, TODAY, status=status)
    due = await subscription(books, TODAY, status="past_due")
    assert [each.subscription_id for each in (await books.perform(service, FIND)).subscriptions] == [due]


async def test_pages_give_each_once_also_those_of_one_day(books, service):
    made = [await subscription(books, TODAY + timedelta(days=number // 3)) for number in range(7)]
    pages, after = [], None
    while True:
        page = await books.perform(service, FIND, limit=2, after=after)
        pages.append([each.subscription_id for each in page.subscriptions])
        if (after := page.next_after) is None:
            break
    assert [len(page) for page in pages] == [2, 2, 2, 1]
    assert sorted(each for page in pages for each in page) == sorted(made)


async def test_another_tenants_are_not_found(books, other_books, service):
    await subscription(other_books, TODAY)
    assert (await books.perform(service, FIND)).count == 0
    with pytest.raises(ConnectorError) as refused:
        await books.perform(service, FIND, tenant_id=other_books.tenant)
    assert refused.value.code is ErrorCode.FORBIDDEN
