"""A tenant, processes that it publishes, and the inbox on the session's database."""

import pytest

from control.publishing import Publisher
from store import events
from tests.control.conftest import ACTIONS, make_tenant
from triggers.dispatcher import Dispatcher


def definition(name, *triggers, **more):
    """A process with triggers; ``steps`` and all else may be given."""
    steps = [{"name": "say", "action": "core.log", "config": {"message": "hello"}}]
    return {"name": name, "triggers": list(triggers), "steps": steps, **more}


@pytest.fixture
async def tenant(database):
    return await make_tenant(database)


@pytest.fixture
async def other_tenant(database):
    return await make_tenant(database)


@pytest.fixture
def publisher(database):
    return Publisher(database, ACTIONS)


@pytest.fixture
def publish(publisher, tenant):
    """Publish a process with these triggers for the tenant."""

    async def published(name, *triggers, **more):
        return await publisher.publish(tenant, definition(name, *triggers, **more))

    return published


@pytest.fixture
def dispatcher(database, task_queue):
    return Dispatcher(database, task_queue)


@pytest.fixture
def delivered(database, tenant):
    """What triggers have made of an event: (process, status), by trigger."""

    async def found(event_id):
        async with database.session(tenant) as session:
            return [(row.process, row.status) for row in await events.deliveries(session, tenant, event_id)]

    return found
