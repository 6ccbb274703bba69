"""The API as an ASGI application: its routes and its edge."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from api import (
    auth,
    catalogue,
    docs,
    endpoints,
    errors,
    events,
    executions,
    health,
    schedules,
    secrets,
    triggers,
    watches,
    webhooks,
    workflows,
)
from api.edge import Edge, Metrics
from api.parts import Parts
from config import Settings

PREFIX = "/api/v1"
"""Every route is also found below it."""

Assemble = Callable[[Settings], AbstractAsyncContextManager[Parts]]


def create_app(settings: Settings, assemble: Assemble) -> FastAPI:
    """The application. ``assemble`` builds its parts when it starts, and takes them down when it ends.

    Raises ``RuntimeError`` if a route declares neither a permission nor that it is public.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with assemble(settings) as parts:
            app.state.parts = parts
            yield

    app = FastAPI(
        title="Stepwell",
        version=version("stepwell"),
        description="Business processes as durable workflows.",
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.metrics = Metrics()
    for router in (
        executions.router,
        workflows.router,
        events.router,
        triggers.router,
        schedules.router,
        endpoints.router,
        auth.router,
        secrets.router,
        catalogue.router,
        watches.router,
    ):
        app.include_router(router)
        app.include_router(router, prefix=PREFIX, include_in_schema=False)
    app.include_router(webhooks.router)
    app.include_router(health.router)
    docs.install(app)
    errors.install(app)
    app.add_middleware(Edge, metrics=app.state.metrics)
    auth.require_declared_access(app, public_paths=frozenset({app.openapi_url or "", docs.ASSETS_PATH}))
    return app
