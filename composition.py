"""The composition root: what each entry point (API, worker, command line) is made of, built from the settings."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from temporalio.client import Client

from config import Settings
from connectors.core import CoreConnector
from connectors.database import DatabaseConnector
from connectors.email import EmailConnector, SmtpMailer
from connectors.http import HttpConnector
from connectors.http_client import HttpClient
from connectors.plugins import plugins
from connectors.provisioner import HttpProvisioner
from control.connection import connect
from control.notifications import Notifications
from control.publishing import Publisher
from control.runs import Runs
from domain.actions import Catalogue
from services.billing import BillingService
from services.communications import CommunicationsService
from services.customers import CustomerService
from services.deployment import DeploymentService
from services.licensing import LicenseService
from services.ticketing import TicketingService
from store.database import Database
from store.vault import MasterKeys, SecretVault


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

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator["Platform"]:
        """The platform of ``settings``; everything is closed at the end.

        Raises ``ConfigInvalid`` naming the variable that is missing or wrong.
        """
        url = required(settings.database_url, "DATABASE_URL")
        async with AsyncExitStack() as stack:
            database = Database(url, pool_size=settings.database_pool_size)
            stack.push_async_callback(database.close)
            notifications = Notifications(url)
            await notifications.start()
            stack.push_async_callback(notifications.close)
            temporal = await connect()
            http = await stack.enter_async_context(http_client(settings))
            catalogue = build_catalogue(settings, database, http)
            yield cls(
                settings=settings,
                database=database,
                temporal=temporal,
                notifications=notifications,
                vault=build_vault(settings, database),
                catalogue=catalogue,
                runs=Runs(database, temporal, notifications, settings.task_queue),
                publisher=Publisher(database, catalogue.infos()),
            )
