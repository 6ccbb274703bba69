"""The composition root: what each entry point (API, worker, command line) is made of, built from the settings.

A ``ValueError`` from here names the environment variable that is missing or wrong.
"""

import logging
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
from pydantic import SecretStr
from temporalio.client import Client

from config import Settings
from connectors.core import CoreConnector
from connectors.database import DatabaseConnector
from connectors.email import EmailConnector, NoMailer, SmtpMailer
from connectors.http import HttpConnector
from connectors.http_client import HttpClient
from connectors.plugins import plugins
from connectors.provisioner import HttpProvisioner
from control.connection import connect
from control.notifications import Notifications
from control.publishing import Publisher
from control.runs import Runs
from domain.actions import ActionInfo, Catalogue
from domain.mail import Mailer
from services.billing import BillingService
from services.communications import CommunicationsService
from services.customers import CustomerService
from services.deployment import DeploymentService
from services.expiring import ExpiryService
from services.licensing import LicenseService
from services.ticketing import TicketingService
from store.database import Database
from store.vault import MasterKeys, SecretVault, environment_secrets
from triggers.dispatcher import Dispatcher
from triggers.emit import EventConnector


@dataclass(frozen=True, slots=True)
class Platform:
    """The parts that all entry points share. Opening it connects to nothing: each part connects when it is used."""

    settings: Settings
    database: Database
    temporal: Client
    notifications: Notifications
    vault: SecretVault
    catalogue: Catalogue
    runs: Runs
    publisher: Publisher
    dispatcher: Dispatcher

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator["Platform"]:
        """The platform of ``settings``; everything is closed at the end."""
        if settings.database_url is None:
            raise ValueError(
                "DATABASE_URL is not set: give the address of a Postgres, postgresql://user:password@host/name"
            )
        async with AsyncExitStack() as stack:
            database = Database(settings.database_url, pool_size=settings.database_pool_size)
            stack.push_async_callback(database.close)
            notifications = Notifications(settings.database_url)
            await notifications.start()
            stack.push_async_callback(notifications.close)
            http = _http_client(settings)
            stack.push_async_callback(http.close)
            temporal = await connect()
            dispatcher = Dispatcher(database, settings.task_queue)
            catalogue = build_catalogue(settings, database, http, dispatcher)
            yield cls(
                settings=settings,
                database=database,
                temporal=temporal,
                notifications=notifications,
                vault=_vault(settings, database),
                catalogue=catalogue,
                runs=Runs(database, temporal, notifications, settings.task_queue),
                publisher=Publisher(database, catalogue.infos(), environment_secrets=_environment_secrets(settings)),
                dispatcher=dispatcher,
            )


def build_catalogue(settings: Settings, database: Database, http: HttpClient, dispatcher: Dispatcher) -> Catalogue:
    """All actions of this deployment, plug-ins included."""
    mailer = _mailer(settings)
    return Catalogue(
        [
            CoreConnector(),
            DatabaseConnector(settings.query_connections),
            EmailConnector(mailer),
            EventConnector(dispatcher),
            HttpConnector(http),
            BillingService(),
            CommunicationsService(database, mailer),
            CustomerService(),
            DeploymentService(database, settings.tenant_domain, _provisioner(settings)),
            ExpiryService(database),
            LicenseService(),
            TicketingService(),
            *plugins(),
        ]
    )


def describe_actions(settings: Settings) -> Mapping[str, ActionInfo]:
    """What the actions of this deployment are called, take and give. Connects to nothing."""
    database = Database(settings.database_url or "postgresql://")
    dispatcher = Dispatcher(database, settings.task_queue)
    return build_catalogue(settings, database, _http_client(settings), dispatcher).infos()


def configure_logging() -> None:
    """Logs as one JSON object a line on standard error, the libraries' too."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processor=structlog.processors.JSONRenderer(),
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _http_client(settings: Settings) -> HttpClient:
    return HttpClient(
        timeout_seconds=settings.http_timeout_seconds,
        max_response_bytes=settings.http_max_response_bytes,
        allow_private=settings.http_allow_private,
    )


def _provisioner(settings: Settings) -> HttpProvisioner | None:
    """The operator's own endpoint may be private: only the provisioner reaches it, no tenant's ``http.*`` step does."""
    url = settings.provisioner_url
    if url is None:
        return None
    http = HttpClient(timeout_seconds=settings.http_timeout_seconds, allow_private=[urlsplit(url).netloc])
    return HttpProvisioner(http, url, token=_value(settings.provisioner_token))


def _mailer(settings: Settings) -> Mailer:
    url = _value(settings.smtp_url)
    return NoMailer() if url is None else SmtpMailer(url, settings.mail_from)


def _vault(settings: Settings, database: Database) -> SecretVault:
    keys = MasterKeys.parse(_value(settings.master_keys))
    return SecretVault(database, keys, os.environ, default_tenant=settings.default_tenant)


def _environment_secrets(settings: Settings) -> Mapping[str, frozenset[str]]:
    return {settings.default_tenant: frozenset(environment_secrets(os.environ))}


def _value(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
