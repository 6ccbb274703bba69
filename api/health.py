"""Routes for whoever watches the service: is it up, can it work, how does it do."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder
from sqlalchemy import text

from api.auth import PUBLIC
from api.edge import Metrics
from api.parts import Parts, UsesParts
from api.schemas import answer_json
from control.rpc import temporal_call
from domain.errors import Unavailable
from store.database import ALL_TENANTS

router = APIRouter(tags=["health"], dependencies=[PUBLIC])

_CHECK_SECONDS: Final = 2


@router.get("/healthz")
async def is_alive() -> Response:
    """The process answers."""
    return answer_json({"status": "ok"})


@router.get("/readyz")
async def is_ready(parts: UsesParts) -> Response:
    """Whether work is accepted: 503 without Postgres. Without Temporal it is, and runs start when that is back."""
    postgres, temporal = await asyncio.gather(_check(_postgres(parts)), _check(_temporal(parts)))
    status = "ok" if postgres == temporal == "ok" else "degraded" if postgres == "ok" else "unavailable"
    content = {"status": status, "checks": {"postgres": postgres, "temporal": temporal}}
    if postgres == "ok":
        return answer_json(content)
    return answer_json(content, status=503, headers={"Retry-After": "5"})


@router.get("/metrics")
async def metrics(request: Request, parts: UsesParts) -> Response:
    """Numbers for Prometheus. Those of the inbox are left out while Postgres cannot be reached."""
    numbers: Metrics = request.app.state.metrics
    for gauge in (numbers.backlog, *numbers.activity.values()):
        gauge.clear()
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            counts, activity = await parts.events.backlog(), await parts.events.activity()
    except (Unavailable, TimeoutError):
        counts, activity = {}, {}
    for state, count in counts.items():
        numbers.backlog.labels(state).set(count)
    for (what, label), count in activity.items():
        gauge = numbers.activity[what]
        (gauge.labels(label) if label else gauge).set(count)
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(request.app.state.metrics.registry), headers={"Content-Type": content_type})


async def _check(check: Awaitable[Any]) -> str:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await check
    except (Unavailable, TimeoutError):
        return "unavailable"
    return "ok"


async def _postgres(parts: Parts) -> None:
    async with parts.database.session(ALL_TENANTS) as session:
        await session.execute(text("SELECT 1"))


async def _temporal(parts: Parts) -> None:
    with temporal_call("health"):
        await parts.temporal.service_client.check_health(timeout=timedelta(seconds=_CHECK_SECONDS))
