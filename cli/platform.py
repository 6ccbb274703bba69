"""The platform, as commands use it: opened from the settings for one piece of work."""

import asyncio
import getpass
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import Annotated, TypeVar

import structlog
import typer
from pydantic import ValidationError
from pydantic_settings.exceptions import SettingsError
from sqlalchemy import text

from cli.failures import SettingError
from composition import Platform, describe_actions
from config import Settings
from domain.actions import ActionInfo
from domain.errors import ConnectorError, NotFound

T = TypeVar("T")

Tenant = Annotated[
    str | None, typer.Option("--tenant", "-t", help="Whose it is. Default: STEPWELL_DEFAULT_TENANT.", metavar="TENANT")
]
"""Parameter type of ``--tenant``."""

_TENANT_EXISTS = text("SELECT 1 FROM tenants WHERE id = :tenant")


def with_platform(work: Callable[[Platform], Awaitable[T]]) -> T:
    """Do ``work`` with the platform of the settings, or of the development stack that runs in this folder."""
    _log_errors_only()
    settings = load_settings()
    database_url(settings)

    async def opened() -> T:
        async with AsyncExitStack() as stack:
            with _settings_understood():
                platform = await stack.enter_async_context(Platform.open(settings))
            return await work(platform)

    return asyncio.run(opened())


def known_actions(settings: Settings) -> Mapping[str, ActionInfo]:
    """The actions of this deployment. Raises ``SettingError``."""
    with _settings_understood():
        return describe_actions(settings)


def load_settings() -> Settings:
    """The settings. Raises ``SettingError`` that names the variables that are wrong, never their values."""
    try:
        return Settings.load()
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)
        raise SettingError("; ".join(f"{_variable(each['loc'])}: {each['msg']}" for each in faults)) from error
    except SettingsError as error:
        raise SettingError(f"{error}: its value must be JSON") from error


async def tenant_of(platform: Platform, given: str | None) -> str:
    """The tenant that a command is about. Raises ``NotFound``."""
    tenant = given or platform.settings.default_tenant
    async with platform.database.session(tenant) as session:
        if (await session.execute(_TENANT_EXISTS, {"tenant": tenant})).first() is None:
            message = f"there is no tenant {tenant!r}: make it with `stepwell tenants create {tenant}`"
            raise NotFound("tenant", tenant, message=message)
    return tenant


def database_url(settings: Settings) -> str:
    """Where Postgres is. Raises ``SettingError`` when nothing says so."""
    if settings.database_url is None:
        raise SettingError(
            f"DATABASE_URL is not set, and no development stack runs in {settings.data_dir}: give the URL of a "
            "Postgres, postgresql://user:password@host/name, or start all by `stepwell dev`"
        )
    return settings.database_url


def operator_name() -> str:
    """Who runs the command, as the machine knows them: for the records of what they did."""
    try:
        return f"{getpass.getuser()} (command line)"
    except (KeyError, OSError):  # a container's made-up user has no name
        return f"user {os.getuid()} (command line)"


@contextmanager
def _settings_understood() -> Iterator[None]:
    """The parts say by ``ValueError``, or as connectors do, that they cannot make sense of a setting."""
    try:
        yield
    except (ValueError, ConnectorError) as error:
        raise SettingError(str(error)) from error


def _variable(location: tuple[int | str, ...]) -> str:
    """The environment variable behind a field of the settings; aliases stand in capitals."""
    name = str(location[0]) if location else "settings"
    return name if name.isupper() else f"STEPWELL_{name.upper()}"


def _log_errors_only() -> None:
    """A command's output is for its caller; what fails is told by the command itself."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
