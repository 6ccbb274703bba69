"""Routes of webhook endpoints: make, list, change, give another key, delete."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from api.auth import Updater
from api.parts import UsesParts
from api.schemas import answer
from api.strict_json import JsonBody, accepts
from control.endpoints import WebhookEndpoint
from control.identity import Principal
from domain.permissions import Permission
from domain.webhooks import SOURCE, EndpointChange, NewEndpoint

router = APIRouter(prefix="/webhooks/endpoints", tags=["webhooks"])

_New = Annotated[NewEndpoint, Depends(JsonBody(NewEndpoint))]
_Change = Annotated[EndpointChange, Depends(JsonBody(EndpointChange))]


@router.post(
    "", status_code=201, response_model=WebhookEndpoint, openapi_extra=accepts(NewEndpoint.model_json_schema())
)
async def create_endpoint(principal: Updater, parts: UsesParts, body: _New) -> Response:
    """Make an endpoint; the answer tells its address. ``unsigned`` takes an administrator."""
    row = await parts.endpoints.create(
        principal.tenant, body, by=principal.name, administrator=_administrator(principal)
    )
    [shown] = await parts.endpoints.shown(principal.tenant, [row])
    return answer(shown, status=201, headers={"Location": f"/webhooks/endpoints/{row.id}"})


@router.get("", response_model=list[WebhookEndpoint])
async def list_endpoints(
    principal: Updater, parts: UsesParts, source: Annotated[str | None, Query(pattern=SOURCE)] = None
) -> Response:
    """The tenant's endpoints, of one source or all."""
    rows = await parts.endpoints.list(principal.tenant, source=source)
    return answer(await parts.endpoints.shown(principal.tenant, rows))


@router.get("/{endpoint_id}", response_model=WebhookEndpoint)
async def show_endpoint(principal: Updater, parts: UsesParts, endpoint_id: int) -> Response:
    """One endpoint."""
    row = await parts.endpoints.get(principal.tenant, endpoint_id)
    [shown] = await parts.endpoints.shown(principal.tenant, [row])
    return answer(shown)


@router.patch(
    "/{endpoint_id}", response_model=WebhookEndpoint, openapi_extra=accepts(EndpointChange.model_json_schema())
)
async def change_endpoint(principal: Updater, parts: UsesParts, endpoint_id: int, body: _Change) -> Response:
    """Change an endpoint: its secrets while one replaces another, say. What the body leaves out stays."""
    row = await parts.endpoints.update(principal.tenant, endpoint_id, body, administrator=_administrator(principal))
    [shown] = await parts.endpoints.shown(principal.tenant, [row])
    return answer(shown)


@router.post("/{endpoint_id}/rotate-key", response_model=WebhookEndpoint)
async def rotate_key(principal: Updater, parts: UsesParts, endpoint_id: int) -> Response:
    """Give an endpoint another address; the old one is gone at once."""
    row = await parts.endpoints.rotate_key(principal.tenant, endpoint_id)
    [shown] = await parts.endpoints.shown(principal.tenant, [row])
    return answer(shown)


@router.delete("/{endpoint_id}", status_code=204)
async def delete_endpoint(principal: Updater, parts: UsesParts, endpoint_id: int) -> Response:
    """Delete an endpoint. Its events stay."""
    await parts.endpoints.delete(principal.tenant, endpoint_id)
    return Response(status_code=204)


def _administrator(principal: Principal) -> str | None:
    return f"{principal.name} ({principal.subject})" if principal.may(Permission.MANAGE_USERS) else None
