"""Sessions on Postgres: always as the application role, always for a tenant."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, fields
from typing import Any

import psycopg
from sqlalchemy import PoolProxiedConnection, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import greenlet_spawn

from domain.actions import Call
from domain.errors import Unavailable
from store.session import Session

APP_ROLE = "stepwell_app"
"""Role that everything but migrations runs as. It owns no table, so row-level security holds for it."""

ALL_TENANTS = "*"
"""For the platform's own loops (starter, reconciler) and the log-in: sees the rows of every tenant."""

_TENANT = "stepwell.tenant"
_SET_TENANT = "SELECT set_config('stepwell.tenant', %s, false)"


@dataclass(frozen=True, slots=True)
class Transaction(Call):
    """A call whose changes commit together with their ledger row: what transactional actions are given."""

    session: Session = None  # type: ignore[assignment]  # always given; a default is needed after those of Call

    @classmethod
    def within(cls, call: Call, session: Session) -> "Transaction":
        """``call`` inside the transaction of ``session``."""
        return cls(**{field.name: getattr(call, field.name) for field in fields(call)}, session=session)


def sqlalchemy_url(url: str) -> URL:
    """``url`` for SQLAlchemy with psycopg 3; socket directories (``?host=/dir``) work."""
    parsed = make_url(url)
    return parsed.set(drivername="postgresql+psycopg")


def psycopg_dsn(url: str) -> str:
    """``url`` for psycopg itself."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


class Database:
    """The platform's Postgres, as the application role sees it."""

    def __init__(self, url: str, *, pool_size: int = 16) -> None:
        self.url = url
        self.engine: AsyncEngine = create_async_engine(
            sqlalchemy_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=30,
            hide_parameters=True,
            connect_args={
                "options": f"-c role={APP_ROLE} -c timezone=UTC",
                "connect_timeout": 5,
                "prepare_threshold": 2,
                "application_name": "stepwell",
            },
        )

    def session(self, tenant: str) -> AbstractAsyncContextManager[Session]:
        """A transaction that sees the rows of ``tenant`` only: committed at the end, rolled back on an error.

        Raises ``Unavailable`` when Postgres cannot be reached.
        """
        return self._session(tenant, autocommit=False)

    def statements(self, tenant: str) -> AbstractAsyncContextManager[Session]:
        """Like ``session``, but each statement commits by itself: one round trip where a transaction takes three."""
        return self._session(tenant, autocommit=True)

    @asynccontextmanager
    async def _session(self, tenant: str, *, autocommit: bool) -> AsyncIterator[Session]:
        try:
            pooled = await self.engine.raw_connection()
            try:
                await _become(pooled, tenant, autocommit=autocommit)
                session = Session(self.engine, pooled)
                yield session
                await session.commit()
            except BaseException:
                await asyncio.shield(self._give_back(pooled))  # may take a round trip, and must not be cut short
                raise
            await greenlet_spawn(pooled.close)
        except (psycopg.OperationalError, OperationalError, PoolExhausted) as error:
            raise Unavailable("the database cannot be reached") from error

    async def _give_back(self, pooled: PoolProxiedConnection) -> None:
        """Roll back and return the connection. If it is lost, so are the others that were made before."""
        driver: Any = pooled.driver_connection  # None: SQLAlchemy has found it lost, and has done this already
        lost = driver is not None and driver.closed
        await greenlet_spawn(pooled.close)
        if lost:
            await self.engine.dispose()

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


async def _become(pooled: PoolProxiedConnection, tenant: str, *, autocommit: bool) -> None:
    """Let a pooled connection act for ``tenant``. One that did so last needs no round trip."""
    driver: Any = pooled.driver_connection
    if pooled.info.get(_TENANT) != tenant:
        pooled.info.pop(_TENANT, None)
        await driver.set_autocommit(True)
        await driver.execute(_SET_TENANT, (tenant,))
        pooled.info[_TENANT] = tenant
    if driver.autocommit is not autocommit:
        await driver.set_autocommit(autocommit)


def notify(channel: str, payload: object = "") -> Any:
    """The statement that wakes listeners of ``channel`` when the transaction commits."""
    return text("SELECT pg_notify(:channel, :payload)").bindparams(channel=channel, payload=str(payload))
