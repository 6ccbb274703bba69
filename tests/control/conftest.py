"""A tenant, a published process, and the control layer on the session's servers."""

import uuid

import pytest

from control.notifications import Notifications
from control.publishing import Publisher
from control.runs import Runs
from domain.actions import ActionInfo, Effect
from store.database import ALL_TENANTS
from store.tables import TenantRow

ACTIONS = {
    "core.log": ActionInfo(
        name="core.log",
        title="Log",
        description="",
        effect=Effect.READ,
        input_schema={"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]},
        output_schema={},
    )
}


def definition(name="greet", message="hello", **more):
    return {
        "name": name,
        "input": {
            "type": "object",
            "required": ["who"],
            "properties": {"who": {"type": "string"}, "polite": {"type": "boolean", "default": True}},
        },
        "steps": [{"name": "say", "action": "core.log", "config": {"message": message}}],
        **more,
    }


async def make_tenant(database):
    tenant = f"t-{uuid.uuid4().hex[:12]}"
    async with database.session(ALL_TENANTS) as session:
        session.add(TenantRow(id=tenant, name=tenant))
    return tenant


@pytest.fixture
async def tenant(database):
    return await make_tenant(database)


@pytest.fixture
async def other_tenant(database):
    return await make_tenant(database)


@pytest.fixture
async def notifications(database_url):
    notifications = Notifications(database_url)
    await notifications.start()
    yield notifications
    await notifications.close()


@pytest.fixture
def publisher(database):
    return Publisher(database, ACTIONS)


@pytest.fixture
async def process(publisher, tenant):
    """The tenant's process ``greet``."""
    return await publisher.publish(tenant, definition())


@pytest.fixture
def runs(database, temporal_client, notifications, task_queue):
    return Runs(database, temporal_client, notifications, task_queue)
