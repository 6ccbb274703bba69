"""The platform, as commands use it: opened from the settings for one piece of work."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import structlog
import typer
from sqlalchemy import text

from composition import Platform
from config import Settings
from domain.errors import NotFound

T = TypeVar("T")

Tenant = Annotated[
    str | None, typer.Option("--tenant", "-t", help="Whose it is. Default: STEPWELL_DEFAULT_TENANT.", metavar="TENANT")
]
"""Parameter type of ``--tenant``."""

_TENANT_EXISTS = text("SELECT 1 FROM tenants WHERE id = :tenant")


def with_platform(work: Callable[[Platform], Awaitable[T]]) -> T:
    """Do ``work`` with the platform of the settings, or of the development stack that runs in this folder."""
    _log_errors_only()

    async def opened() -> T:
        async with Platform.open(Settings.load()) as platform:
            return await work(platform)

    return asyncio.run(opened())


async def tenant_of(platform: Platform, given: str | None) -> str:
    """The tenant that a command is about. Raises ``NotFound``."""
    tenant = given or platform.settings.default_tenant
    async with platform.database.session(tenant) as session:
        if (await session.execute(_TENANT_EXISTS, {"tenant": tenant})).first() is None:
            message = f"there is no tenant {tenant!r}: make it with `stepwell tenants create {tenant}`"
            raise NotFound("tenant", tenant, message=message)
    return tenant


def _log_errors_only() -> None:
    """A command's output is for its caller; what fails is told by the command itself."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
