"""The API's process: what it is made of, and how it is served."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog
import uvicorn

from api.app import create_app
from api.parts import Parts
from composition import Platform, configure_logging
from config import Settings
from control.endpoints import Endpoints
from control.events import Events
from control.identity import Identity
from control.schedules import Schedules
from control.secrets import Secrets
from control.statistics import Statistics
from control.tokens import AccessTokens
from control.triggers import Triggers
from store.vault import MasterKeys

_log = structlog.get_logger("api")


def serve(settings: Settings) -> None:
    """Serve the API until told to stop. Raises ``ValueError`` that names a setting that is missing or wrong."""
    _tokens(settings)
    _master_keys(settings)
    configure_logging()
    _log.info("serving", url=f"http://{settings.api_host}:{settings.api_port}", docs="/docs")
    uvicorn.run(
        create_app(settings, assemble),
        host=settings.api_host,
        port=settings.api_port,
        loop="auto",
        http="auto",
        access_log=False,
        log_config=None,
        server_header=False,
        forwarded_allow_ips=os.environ.get("FORWARDED_ALLOW_IPS", ""),  # uvicorn would believe any process of this host
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
    )


@asynccontextmanager
async def assemble(settings: Settings) -> AsyncIterator[Parts]:
    """The API's parts, on the platform that ``settings`` describe."""
    tokens, keys = _tokens(settings), _master_keys(settings)
    async with Platform.open(settings) as platform:
        yield Parts(
            settings=settings,
            database=platform.database,
            temporal=platform.temporal,
            runs=platform.runs,
            publisher=platform.publisher,
            statistics=Statistics(platform.database),
            identity=Identity(platform.database, tokens),
            secrets=Secrets(platform.database, keys),
            vault=platform.vault,
            endpoints=Endpoints(platform.database, platform.vault, default_tenant=settings.default_tenant),
            dispatcher=platform.dispatcher,
            events=Events(platform.database),
            triggers=Triggers(platform.database, platform.publisher),
            schedules=Schedules(platform.database, platform.temporal, settings.task_queue),
            actions=platform.catalogue.infos(),
        )


def _tokens(settings: Settings) -> AccessTokens:
    if settings.jwt_secret is None:
        raise ValueError("STEPWELL_JWT_SECRET is not set: give it at least 32 random bytes, the same for every API")
    lifetime = timedelta(seconds=settings.token_lifetime_seconds)
    return AccessTokens(settings.jwt_secret.get_secret_value(), lifetime=lifetime)


def _master_keys(settings: Settings) -> MasterKeys:
    return MasterKeys.parse(settings.master_keys.get_secret_value() if settings.master_keys else None)
