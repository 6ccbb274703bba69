"""Who asks, and whether they may: the guard of every route, and the routes of log-in, users and API keys.

A route names its permission by the type of a parameter (``principal: Viewer``), or says that it is ``PUBLIC``. One that
does neither keeps the application from starting.
"""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Request, Response, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from api.parts import UsesParts
from api.schemas import (
    ApiKey,
    ApiKeyCreated,
    ChangeUser,
    CreateApiKey,
    CreateUser,
    Login,
    Me,
    TokenResponse,
    User,
    answer,
)
from api.strict_json import JsonBody, accepts
from control.identity import Principal
from domain.errors import Forbidden, Unauthenticated
from domain.permissions import Permission

_Bearer = Annotated[
    HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False, description="Token of /auth/login"))
]
_ApiKey = Annotated[str | None, Security(APIKeyHeader(name="X-API-Key", auto_error=False))]


class Requires:
    """Dependency: the principal, who has ``permission`` (None: whatever they may do).

    Raises ``Unauthenticated`` and ``Forbidden``. The tenant comes from here alone.
    """

    def __init__(self, permission: Permission | None) -> None:
        self.permission = permission

    async def __call__(self, request: Request, bearer: _Bearer = None, api_key: _ApiKey = None) -> Principal:
        """The principal of one request."""
        identity = request.app.state.parts.identity
        if bearer is not None:
            principal: Principal = await identity.principal_of_token(bearer.credentials)
        elif api_key is not None:
            principal = await identity.principal_of_key(api_key)
        else:
            raise Unauthenticated("send the token of /auth/login as Authorization: Bearer, or an API key as X-API-Key")
        request.state.principal = principal
        if request.headers.get("x-tenant-id", principal.tenant) != principal.tenant:
            raise Forbidden("X-Tenant-ID is not the tenant of this token or key")
        if self.permission is not None and not principal.may(self.permission):
            raise Forbidden(f"this needs the permission {self.permission}")
        return principal


async def _public() -> None:
    """Marks a route that everybody may use."""


PUBLIC: Final = Depends(_public)

Authenticated = Annotated[Principal, Depends(Requires(None))]
Executor = Annotated[Principal, Depends(Requires(Permission.EXECUTE))]
Viewer = Annotated[Principal, Depends(Requires(Permission.VIEW))]
Creator = Annotated[Principal, Depends(Requires(Permission.CREATE))]
Updater = Annotated[Principal, Depends(Requires(Permission.UPDATE))]
Deleter = Annotated[Principal, Depends(Requires(Permission.DELETE))]
SecretViewer = Annotated[Principal, Depends(Requires(Permission.SECRET_VIEW))]
SecretWriter = Annotated[Principal, Depends(Requires(Permission.SECRET_WRITE))]
UserManager = Annotated[Principal, Depends(Requires(Permission.MANAGE_USERS))]


def require_declared_access(app: FastAPI, *, public_paths: frozenset[str] = frozenset()) -> None:
    """Raise ``RuntimeError`` if some route of ``app`` says neither who may use it nor that it is public.

    ``public_paths``: what the framework serves itself.
    """
    undeclared = [
        context.path
        for context in iter_route_contexts(app.routes)
        if context.path not in public_paths and guard_of(context) is None
    ]
    if undeclared:
        raise RuntimeError(f"these routes declare no permission: {', '.join(map(str, undeclared))}")


def guard_of(route: Any) -> Requires | bool | None:
    """What guards a route: a ``Requires``, True if it is public, None if nothing is declared."""
    return _guard(getattr(route, "dependant", None))


def _guard(dependant: Dependant | None) -> Requires | bool | None:
    if dependant is None:
        return None
    if isinstance(dependant.call, Requires):
        return dependant.call
    if dependant.call is _public:
        return True
    return next((guard for each in dependant.dependencies if (guard := _guard(each)) is not None), None)


router = APIRouter(tags=["identity"])


@router.post(
    "/auth/login", dependencies=[PUBLIC], response_model=TokenResponse, openapi_extra=accepts(Login.model_json_schema())
)
async def log_in(request: Request, parts: UsesParts, body: Annotated[Login, Depends(JsonBody(Login))]) -> Response:
    """Exchange e-mail address and password for a token. Too many wrong ones are answered 429 for a while."""
    address = request.client.host if request.client else ""
    token = await parts.identity.log_in(body.email, body.password, address=address)
    return answer(TokenResponse(access_token=token.access_token, expires_in=token.expires_in_seconds))


@router.get("/auth/me", response_model=Me)
async def who_am_i(principal: Authenticated) -> Response:
    """Who the token or key stands for, and what they may do."""
    return answer(
        Me(
            subject=principal.subject,
            tenant_id=principal.tenant,
            name=principal.name,
            roles=list(principal.roles),
            permissions=sorted(principal.permissions),
        )
    )


@router.post(
    "/auth/api-keys",
    status_code=201,
    response_model=ApiKeyCreated,
    openapi_extra=accepts(CreateApiKey.model_json_schema()),
)
async def create_api_key(
    principal: UserManager, parts: UsesParts, body: Annotated[CreateApiKey, Depends(JsonBody(CreateApiKey))]
) -> Response:
    """Make an API key. The answer is the only place where the key is ever shown."""
    row, key = await parts.identity.create_api_key(principal.tenant, body.name, body.roles)
    return answer(ApiKeyCreated(**ApiKey.of(row).model_dump(), key=key), status=201)


@router.get("/auth/api-keys", response_model=list[ApiKey])
async def list_api_keys(principal: UserManager, parts: UsesParts) -> Response:
    """The tenant's API keys, without the keys themselves."""
    return answer([ApiKey.of(row) for row in await parts.identity.api_keys(principal.tenant)])


@router.delete("/auth/api-keys/{key_id}", status_code=204)
async def revoke_api_key(principal: UserManager, parts: UsesParts, key_id: UUID) -> Response:
    """Take an API key out of force: here at once, in other processes within ten seconds."""
    await parts.identity.revoke_api_key(principal.tenant, key_id)
    return Response(status_code=204)


@router.post("/users", status_code=201, response_model=User, openapi_extra=accepts(CreateUser.model_json_schema()))
async def create_user(
    principal: UserManager, parts: UsesParts, body: Annotated[CreateUser, Depends(JsonBody(CreateUser))]
) -> Response:
    """Make a user of one's own tenant."""
    row = await parts.identity.create_user(
        principal.tenant, body.email, body.password, name=body.name, roles=body.roles
    )
    return answer(User.of(row), status=201)


@router.get("/users", response_model=list[User])
async def list_users(principal: UserManager, parts: UsesParts) -> Response:
    """The tenant's users."""
    return answer([User.of(row) for row in await parts.identity.users(principal.tenant)])


@router.patch("/users/{user_id}", response_model=User, openapi_extra=accepts(ChangeUser.model_json_schema()))
async def change_user(
    principal: UserManager, parts: UsesParts, user_id: UUID, body: Annotated[ChangeUser, Depends(JsonBody(ChangeUser))]
) -> Response:
    """Give a user other roles, or let it in no more. The last administrator stays (409)."""
    row = await parts.identity.change_user(principal.tenant, user_id, roles=body.roles, is_active=body.is_active)
    return answer(User.of(row))
