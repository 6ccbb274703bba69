"""Routes that others send webhooks to. No log-in: what proves a request is its endpoint's verifier.

The answer comes when the events and the runs that they start are committed, and before any run begins. Neither a
signature nor a secret is logged or kept.
"""

from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from api.auth import PUBLIC
from api.errors import Refused
from api.parts import Parts, UsesParts
from api.schemas import answer_json
from api.strict_json import JSON, accepts, raw_body
from api.webhook_body import content_of
from domain.errors import ConnectorError
from domain.events import Ingested, NewEvent
from domain.webhooks import PATH, Verification, Verifier
from store.endpoints import Receiving
from store.tables.base import now
from triggers.sources import challenge, events_of, shape_of
from triggers.verifiers import FORM, Delivery, verify

router = APIRouter(prefix=PATH, tags=["webhooks"])

_BODY = accepts({}, JSON, FORM, "application/x-ndjson")
_CHALLENGES: Final = {Verifier.BASIC: 'Basic realm="webhooks", charset="UTF-8"'}
"""What an unverified sender is told to send; by default a token, which says nothing of what is checked."""

_log = structlog.get_logger("webhooks")


class Received(BaseModel):
    """What became of a webhook. A delivery that came before is answered with what became of it then."""

    event_id: int
    trace_id: str
    event_ids: list[int] | None = None
    """All of them, where there are several."""


_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": Received, "description": "It had come before"},
    401: {"description": "Not verified"},
    404: {"description": "No such endpoint"},
}


@router.post("/{source}", dependencies=[PUBLIC], include_in_schema=False)
@router.post(
    "/{source}/",
    status_code=202,
    dependencies=[PUBLIC],
    response_model=Received,
    responses=_ANSWERS,
    openapi_extra=_BODY,
)
async def receive_at_default(request: Request, parts: UsesParts, source: str) -> Response:
    """Take a webhook of the default tenant's default endpoint of this source."""
    return await _receive(request, parts, await parts.endpoints.receiving(source))


@router.post("/{source}/{endpoint_key}", dependencies=[PUBLIC], include_in_schema=False)
@router.post(
    "/{source}/{endpoint_key}/",
    status_code=202,
    dependencies=[PUBLIC],
    response_model=Received,
    responses=_ANSWERS,
    openapi_extra=_BODY,
)
async def receive(request: Request, parts: UsesParts, source: str, endpoint_key: str) -> Response:
    """Take a webhook.

    Answers 202 when its events are kept, 200 with the same ids when they had come before.
    """
    return await _receive(request, parts, await parts.endpoints.receiving(source, endpoint_key))


async def _receive(request: Request, parts: Parts, endpoint: Receiving) -> Response:
    what = Verification.of(endpoint.verifier, endpoint.config, endpoint.allow_ips)
    delivery = Delivery(
        body=await raw_body(request),
        headers=dict(request.headers),
        url=_url(request),
        address=request.client.host if request.client else None,
    )
    if not verify(what, delivery, await _secrets(parts, endpoint), now()):
        request.app.state.metrics.events.labels("webhook", "refused").inc()
        headers = {"WWW-Authenticate": _CHALLENGES.get(what.verifier, "Bearer")}
        raise Refused(HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED", "the webhook is not verified", headers=headers)
    shape = shape_of(endpoint.source, what.verifier)
    content = content_of(request, delivery.body, shape)
    if (wanted := challenge(shape, content)) is not None:
        return answer_json({"challenge": wanted})
    trace_id = request.state.correlation_id
    events = events_of(endpoint.source, what.verifier, what.config, delivery.headers, content, trace_id=trace_id)
    ingested = await _ingest(parts, endpoint.tenant_id, events)
    for each in ingested:
        request.app.state.metrics.events.labels("webhook", "created" if each.created else "duplicate").inc()
    return _told(ingested)


async def _secrets(parts: Parts, endpoint: Receiving) -> list[str]:
    """The values of the endpoint's secrets that are set. While one replaces another, either may not be set yet."""
    values: list[str] = []
    unset: list[str] = []
    for name in endpoint.secrets:
        try:
            values += (await parts.vault.resolve(endpoint.tenant_id, [name])).values()
        except ConnectorError:
            unset.append(name)
    if unset:
        _log.warning("secrets of a webhook endpoint are not set", endpoint_id=endpoint.id, secrets=unset)
    return values


async def _ingest(parts: Parts, tenant: str, events: list[NewEvent]) -> list[Ingested]:
    """All of the events or none, so that a sender who tries again after an error doubles nothing."""
    async with parts.database.session(tenant) as session:
        return await parts.dispatcher.ingest_all(session, tenant, events)


def _told(ingested: list[Ingested]) -> Response:
    first = ingested[0]
    content: dict[str, Any] = {"event_id": first.event_id, "trace_id": first.trace_id}
    if len(ingested) > 1:
        content["event_ids"] = [each.event_id for each in ingested]
    return answer_json(content, status=202 if any(each.created for each in ingested) else 200)


def _url(request: Request) -> str:
    """The address as the sender wrote it; empty if it is no text, which no verifier accepts."""
    try:
        return str(request.url)
    except UnicodeDecodeError:
        return ""
