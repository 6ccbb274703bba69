"""What the routes work with, built once by ``api/app.py`` and found on the application."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from temporalio.client import Client

from config import Settings
from control.endpoints import Endpoints
from control.events import Events
from control.identity import Identity
from control.publishing import Publisher
from control.runs import Runs
from control.schedules import Schedules
from control.secrets import Secrets
from control.statistics import Statistics
from control.triggers import Triggers
from domain.actions import ActionInfo
from store.database import Database
from store.vault import SecretVault
from triggers.dispatcher import Dispatcher


@dataclass(frozen=True, slots=True)
class Parts:
    """The commands and connections behind the routes."""

    settings: Settings
    database: Database
    temporal: Client
    runs: Runs
    publisher: Publisher
    statistics: Statistics
    identity: Identity
    secrets: Secrets
    vault: SecretVault
    endpoints: Endpoints
    dispatcher: Dispatcher
    events: Events
    triggers: Triggers
    schedules: Schedules
    actions: Mapping[str, ActionInfo]
    """What this deployment can do, by name and alias."""


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


UsesParts = Annotated[Parts, Depends(_parts)]
"""Parameter type of routes that need the parts."""
