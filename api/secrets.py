"""Routes of secrets: set, rotate, list, delete. No route shows a value."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.auth import SecretViewer, SecretWriter
from api.parts import UsesParts
from api.schemas import Secret, SecretValue, SecretVersion, answer
from api.strict_json import JsonBody, accepts

router = APIRouter(prefix="/secrets", tags=["secrets"])

_Value = Annotated[SecretValue, Depends(JsonBody(SecretValue))]
_BODY = accepts(SecretValue.model_json_schema())


@router.get("", response_model=list[Secret])
async def list_secrets(principal: SecretViewer, parts: UsesParts) -> Response:
    """Which secrets there are: names, versions, dates."""
    return answer([Secret.of(each) for each in await parts.secrets.list(principal.tenant)])


@router.put("/{name}", response_model=SecretVersion, openapi_extra=_BODY)
async def set_secret(principal: SecretWriter, parts: UsesParts, name: str, body: _Value) -> Response:
    """Set a secret, new or not. Steps read it as ``{{$secret.name}}``."""
    version = await parts.secrets.put(principal.tenant, name, body.value, by=principal.name)
    return answer(SecretVersion(name=name, version=version))


@router.post("/{name}/rotate", response_model=SecretVersion, openapi_extra=_BODY)
async def rotate_secret(principal: SecretWriter, parts: UsesParts, name: str, body: _Value) -> Response:
    """Replace the value of a secret that exists. Actions use the new one within a few seconds."""
    version = await parts.secrets.rotate(principal.tenant, name, body.value, by=principal.name)
    return answer(SecretVersion(name=name, version=version))


@router.delete("/{name}", status_code=204)
async def delete_secret(principal: SecretWriter, parts: UsesParts, name: str) -> Response:
    """Remove a secret with all its versions."""
    await parts.secrets.delete(principal.tenant, name)
    return Response(status_code=204)
