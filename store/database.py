"""Sessions on Postgres: always as the application role, always for a tenant."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, fields
from typing import Any

import psycopg
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.ext.asyncio import AsyncSession as SQLAlchemySession
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.actions import Call
from domain.errors import Unavailable

APP_ROLE = "stepwell_app"
"""Role that everything but migrations runs as. It owns no table, so row-level security holds for it."""

ALL_TENANTS = "*"
"""For the platform's own loops (starter, reconciler) and the log-in: sees the rows of every tenant."""

_TENANT = "stepwell.tenant"
_SET_TENANT = "SELECT set_config('stepwell.tenant', %s, false)"


class Session(AsyncSession):
    """SQLModel's session. ``execute`` is SQLAlchemy's own, for statements that are not of one model."""

    execute = SQLAlchemySession.execute  # SQLModel's warns at each call


@dataclass(frozen=True, slots=True)
class Transaction(Call):
    """A call whose changes commit together with their ledger row: what transactional actions are given."""

    session: AsyncSession = None  # type: ignore[assignment]  # always given; a default is needed after those of Call

    @classmethod
    def within(cls, call: Call, session: AsyncSession) -> "Transaction":
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
            pool_timeout=15,
            hide_parameters=True,
            connect_args={
                "options": f"-c role={APP_ROLE} -c timezone=UTC",
                "connect_timeout": 5,
                "prepare_threshold": 2,
                "application_name": "stepwell",
            },
        )
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    def session(self, tenant: str) -> AbstractAsyncContextManager[Session]:
        """A transaction that sees the rows of ``tenant`` only: committed at the end, rolled back on an error.

        Raises ``Unavailable`` when Postgres cannot be reached.
        """
        return self._session(self.engine, tenant)

    def statements(self, tenant: str) -> AbstractAsyncContextManager[Session]:
        """Like ``session``, but each statement commits by itself: one round trip where a transaction takes three."""
        return self._session(self._autocommit, tenant)

    @asynccontextmanager
    async def _session(self, engine: AsyncEngine, tenant: str) -> AsyncIterator[Session]:
        try:
            async with Session(engine, expire_on_commit=False) as session:
                await _become(session, tenant)
                yield session
                await session.commit()
        except (OperationalError, PoolExhausted, psycopg.OperationalError) as error:
            raise Unavailable("the database cannot be reached") from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise Unavailable("the database connection was lost") from error
            raise

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


async def _become(session: AsyncSession, tenant: str) -> None:
    """Let the session's connection act for ``tenant``. A pooled connection that did so last needs no round trip."""
    connection = await (await session.connection()).get_raw_connection()
    if connection.info.get(_TENANT) == tenant:
        return
    driver: Any = connection.driver_connection
    connection.info.pop(_TENANT, None)
    autocommit = driver.autocommit
    await driver.set_autocommit(True)
    await driver.execute(_SET_TENANT, (tenant,))
    await driver.set_autocommit(autocommit)
    connection.info[_TENANT] = tenant


def notify(channel: str, payload: object = "") -> Any:
    """The statement that wakes listeners of ``channel`` when the transaction commits."""
    return text("SELECT pg_notify(:channel, :payload)").bindparams(channel=channel, payload=str(payload))
