"""The built-in scan of subscriptions, from its schedule to the runs that its events start, on real servers."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from activities.failpoints import Failpoints
from composition import Platform
from config import Settings
from control.schedules import Schedules
from store.tables import TenantRow
from workers.main import build_worker

DEFINITIONS = Path(__file__).parents[2] / "definitions"
TENANT, OTHER = "acme", "globex"
RENEWAL = {
    "name": "renewal",
    "input": {"type": "object", "required": ["customer_id", "subscription_id", "expiry_date", "renewal_term"]},
    "triggers": [{"type": "event", "config": {"event": "subscription.expiring_soon"}}],
    "steps": [{"name": "done", "type": "stop"}],
}
SUBSCRIBE = text(
    "WITH plan AS (INSERT INTO plans (tenant_id, id, name, amount_cents, currency, interval_months, trial_days,"
    " is_active, created_at, term_months) VALUES (:tenant, 'yearly', 'Yearly', 100, 'EUR', 12, 0, true, now(), 12)),"
    " people AS (INSERT INTO customers (tenant_id, id, customer_number, name, email, status, created_at, updated_at)"
    " SELECT :tenant, gen_random_uuid(), 'C' || n, 'Customer ' || n, 'c' || n || '@example.com', 'active', now(), now()"
    " FROM generate_series(1, CAST(:count AS int)) n RETURNING id)"
    " INSERT INTO subscriptions (tenant_id, id, customer_id, plan_id, status, amount_cents, currency, interval_months,"
    " started_on, billing_anchor, next_billing_date, ends_on, created_at, updated_at)"
    " SELECT :tenant, gen_random_uuid(), id, 'yearly', 'active', 100, 'EUR', 12, current_date, current_date,"
    " current_date, current_date + 20, now(), now() FROM people"
)
RENEW_ONE = text(
    "UPDATE subscriptions SET ends_on = ends_on + 5 WHERE id = (SELECT id FROM subscriptions ORDER BY id LIMIT 1)"
)
COUNTS = text(
    "SELECT (SELECT count(*) FROM events WHERE type = 'subscription.expiring_soon') AS events,"
    " (SELECT count(*) FROM runs WHERE process = 'renewal') AS renewals,"
    " (SELECT count(*) FROM runs WHERE process = 'subscription_expiry_scan' AND status = 'completed') AS scans,"
    " (SELECT count(*) FROM runs WHERE process = 'subscription_expiry_scan' AND status = 'failed') AS failures"
)


@pytest.fixture
async def platform(fresh_database_url, task_queue):
    settings = Settings(DATABASE_URL=fresh_database_url, task_queue=task_queue)
    async with Platform.open(settings) as platform:
        for tenant in (TENANT, OTHER):
            async with platform.database.session(tenant) as session:
                session.add(TenantRow(id=tenant, name=tenant))
        await platform.publisher.publish_directory(DEFINITIONS)
        await platform.publisher.publish(TENANT, RENEWAL)
        yield platform


async def counts(platform, tenant=TENANT):
    async with platform.database.session(tenant) as session:
        return (await session.execute(COUNTS)).one()


async def scanned(platform, schedules, tenant=TENANT, *, runs):
    """What there is once ``runs`` more runs of the scan have ended."""
    before = await counts(platform, tenant)
    (schedule,) = await schedules.list(tenant)
    await schedules.run_now(tenant, schedule.id)
    async with asyncio.timeout(90):
        while (now := await counts(platform, tenant)).scans < before.scans + runs:
            assert now.failures == 0
            await asyncio.sleep(0.1)
    return now


async def test_each_subscription_that_ends_soon_starts_its_renewal_once_for_each_period(
    platform, temporal_client, task_queue
):
    schedules = Schedules(platform.database, temporal_client, task_queue)
    async with platform.database.session(TENANT) as session:
        await session.execute(SUBSCRIBE, {"tenant": TENANT, "count": 205})
    async with build_worker(platform, temporal_client, Failpoints("")):
        first = await scanned(platform, schedules, runs=2)  # two pages
        assert (first.events, first.renewals) == (205, 205)
        again = await scanned(platform, schedules, runs=2)
        assert (again.events, again.renewals) == (205, 205)
        async with platform.database.session(TENANT) as session:
            await session.execute(RENEW_ONE)
        next_period = await scanned(platform, schedules, runs=2)
        assert (next_period.events, next_period.renewals) == (206, 206)
        assert (await scanned(platform, schedules, OTHER, runs=1)).events == 0
    async with platform.database.session(TENANT) as session:
        run = (await session.execute(text("SELECT input, event_id FROM runs WHERE process = 'renewal' LIMIT 1"))).one()
    assert {"customer_id", "subscription_id", "expiry_date", "renewal_term", "customer_email"} <= run.input.keys()
    assert run.input["renewal_term"] == 12
    assert run.event_id is not None
