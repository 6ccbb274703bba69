"""The application over ASGI, on the real Postgres. Temporal is not needed: runs are accepted without it, and
``Worker`` writes into their rows what a worker would."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import BaseModel, SecretStr
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from api.app import create_app
from api.parts import Parts
from config import Settings
from control.endpoints import Endpoints
from control.events import Events
from control.identity import Identity
from control.notifications import Notifications
from control.passwords import Passwords
from control.publishing import Publisher
from control.runs import Runs
from control.schedules import Schedules
from control.secrets import Secrets
from control.statistics import Statistics
from control.tokens import AccessTokens
from control.triggers import Triggers
from domain.actions import Call, Catalogue, Connector, Effect, action
from domain.permissions import Role
from store import identity as rows
from store import lifecycle
from store.database import Database
from store.tables import RunRow
from store.tables.base import now
from store.vault import MasterKeys, SecretVault
from triggers.dispatcher import Dispatcher

PASSWORD = "correct horse battery staple"
JWT_SECRET = "a secret for tests that has at least 32 bytes"
MASTER_KEYS = "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
WEAK_HASHER = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)


class Post(BaseModel):
    channel: str
    text: str = ""


class Posted(BaseModel):
    id: str


class Chat(Connector):
    @action("chat.post", effect=Effect.READ, aliases=("chat.say",))
    async def post(self, request: Post, call: Call) -> Posted:
        """Post a message.

        To a channel.
        """
        return Posted(id=call.key)


@dataclass
class Tenant:
    """A tenant with a user of each role."""

    id: str
    emails: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)


@dataclass
class Worker:
    """Begins and ends runs in their rows, as a worker's activities do."""

    database: Database

    async def begin(self, run_id: int) -> None:
        async with self.database.session("*") as session:
            row = await lifecycle.begin(
                session,
                run_id=run_id,
                workflow_id=await self._workflow_id(session, run_id),
                temporal_run_id=uuid.uuid4().hex,
                started_at=now(),
            )
            assert row is not None

    async def finish(self, tenant: str, run_id: int, **end: Any) -> None:
        outcome = {"status": "completed", "result": None, "error": None, "steps": [], "finished_at": now(), **end}
        async with self.database.session(tenant) as session:
            await lifecycle.finish(session, tenant=tenant, run_id=run_id, end=outcome)

    async def _workflow_id(self, session, run_id):
        return (await session.get(RunRow, run_id)).workflow_id


@pytest.fixture(scope="session")
def settings(database_url) -> Settings:
    return Settings(
        DATABASE_URL=database_url,
        jwt_secret=SecretStr(JWT_SECRET),
        master_keys=SecretStr(MASTER_KEYS),
        max_body_bytes=64 * 1024,
        wait_seconds=0.0,
    )


@pytest.fixture(scope="session")
async def parts(settings, database) -> AsyncIterator[Parts]:
    notifications = Notifications(database.url)
    await notifications.start()
    nowhere = await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter)
    actions = Catalogue([Chat()]).infos()
    tokens = AccessTokens(JWT_SECRET, lifetime=timedelta(hours=1))
    vault = SecretVault(database, MasterKeys.parse(MASTER_KEYS), {}, lifetime_seconds=0.0)
    yield Parts(
        settings=settings,
        database=database,
        temporal=nowhere,
        runs=Runs(database, nowhere, notifications, "test-api"),
        publisher=Publisher(database, actions),
        statistics=Statistics(database),
        identity=Identity(database, tokens, Passwords(WEAK_HASHER)),
        secrets=Secrets(database, MasterKeys.parse(MASTER_KEYS)),
        vault=vault,
        endpoints=Endpoints(database, vault, default_tenant=settings.default_tenant),
        dispatcher=Dispatcher(database, "test-api"),
        events=Events(database),
        triggers=Triggers(database, Publisher(database, actions)),
        schedules=Schedules(database, nowhere, "test-api"),
        actions=actions,
    )
    await notifications.close()


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[Any]:
    """The application with these parts, started."""

    @asynccontextmanager
    async def assemble(_: Settings) -> AsyncIterator[Parts]:
        yield parts

    app = create_app(parts.settings, assemble)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture(scope="session")
async def app(parts) -> AsyncIterator[Any]:
    async with running(parts) as app:
        yield app


def client_of(app: Any, **headers: str) -> httpx2.AsyncClient:
    """A client of ``app`` without network. Errors of the application are answers, as they are behind a server."""
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=("198.51.100.7", 1234))
    return httpx2.AsyncClient(transport=transport, base_url="http://api.test", headers=headers)


async def make_tenant(parts: Parts) -> Tenant:
    """A new tenant with a user of each role, each with a token."""
    tenant = Tenant(f"t-{uuid.uuid4().hex[:12]}")
    async with parts.database.session(tenant.id) as session:
        await rows.ensure_tenant(session, tenant.id, tenant.id)
    tokens = AccessTokens(JWT_SECRET, lifetime=timedelta(hours=1))
    for role in Role:
        email = f"{role}@{tenant.id}.example"
        user = await parts.identity.create_user(tenant.id, email, PASSWORD, roles=[role])
        tenant.emails[role] = email
        tenant.tokens[role] = tokens.issue(user.id)
    return tenant


@pytest.fixture(scope="session")
async def tenant(parts) -> Tenant:
    return await make_tenant(parts)


@pytest.fixture(scope="session")
async def other_tenant(parts) -> Tenant:
    return await make_tenant(parts)


@pytest.fixture
async def anyone(app) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(app) as client:
        yield client


@pytest.fixture
async def admin(app, tenant) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(app, authorization=f"Bearer {tenant.tokens['admin']}") as client:
        yield client


@pytest.fixture
async def viewer(app, tenant) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(app, authorization=f"Bearer {tenant.tokens['viewer']}") as client:
        yield client


@pytest.fixture
async def stranger(app, other_tenant) -> AsyncIterator[httpx2.AsyncClient]:
    """The administrator of another tenant."""
    async with client_of(app, authorization=f"Bearer {other_tenant.tokens['admin']}") as client:
        yield client


@pytest.fixture
def worker(database) -> Worker:
    return Worker(database)


def definition(name: str | None = None, **more: Any) -> dict[str, Any]:
    """A small valid definition, of a name that no other test uses."""
    return {
        "name": name or f"p_{uuid.uuid4().hex[:12]}",
        "version": "1.0.0",
        "steps": [{"name": "tell", "action": "chat.post", "config": {"channel": "#a", "text": "hello"}}],
        **more,
    }
