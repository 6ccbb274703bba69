"""Routes of watches: list, watch a table, unwatch. For administrators."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from api.auth import Requires
from api.parts import Parts, UsesParts
from api.schemas import Given, answer
from api.strict_json import JsonBody, accepts
from control.identity import Principal
from domain.errors import Forbidden, NotFound
from domain.permissions import Permission
from triggers.relay import Relay
from triggers.watches import Watch, Watches

router = APIRouter(prefix="/watches", tags=["watches"])

WatchManager = Annotated[Principal, Depends(Requires(Permission.MANAGE_WATCHES))]

_MAX_ID = 2**63 - 1


class WatchTable(Given):
    """Input of ``POST /watches``."""

    table: str = Field(min_length=1, max_length=200, description="The table, with its schema unless that is public.")
    model: str | None = Field(None, max_length=180, description="What its events call it; default: the table's name.")
    exclude: list[str] | None = Field(
        default=None, max_length=1600, description="Columns to leave out; those of before if not given."
    )
    connection: str = Field("", max_length=200, description="A connection of STEPWELL_WATCH_CONNECTIONS.")


class WatchShown(BaseModel):
    """A watch, and how it is doing."""

    id: int
    table: str
    model: str
    connection: str
    exclude: list[str]
    left_out: list[str] | None
    """All columns that are left out, those of secret names included."""
    state: str
    """installed, disabled, missing, unreachable, unlisted."""
    waiting: int | None
    """Changes that are not events yet."""
    waiting_since: datetime | None
    failing: int
    reason: str | None
    created_by: str
    created_at: datetime

    @classmethod
    def of(cls, watch: Watch) -> "WatchShown":
        """As the API shows it."""
        return cls.model_validate(watch, from_attributes=True)


class Unwatched(BaseModel):
    """Answer of ``DELETE /watches/{id}``."""

    relayed: int
    """Changes that still became events first."""


@router.get("", response_model=list[WatchShown])
async def list_watches(principal: WatchManager, parts: UsesParts) -> Response:
    """The tenant's watches: whether their triggers are installed, and how many changes wait."""
    return answer([WatchShown.of(watch) for watch in await _watches(parts).listing(principal.tenant)])


@router.post("", status_code=201, response_model=WatchShown, openapi_extra=accepts(WatchTable.model_json_schema()))
async def watch_table(
    principal: WatchManager, parts: UsesParts, body: Annotated[WatchTable, Depends(JsonBody(WatchTable))]
) -> Response:
    """Let the changes of a table become events. Watching it again changes the model and the excluded columns."""
    _only_the_operator(principal, parts)
    watch = await _watches(parts).watch(
        principal.tenant,
        body.table,
        body.model,
        exclude=body.exclude,
        connection=body.connection,
        by=principal.name,
    )
    return answer(WatchShown.of(watch), status=201)


@router.delete("/{watch_id}", response_model=Unwatched)
async def unwatch_table(
    principal: WatchManager,
    parts: UsesParts,
    watch_id: int,
    discard: Annotated[bool, Query(description="Throw away the changes that wait, instead of relaying them.")] = False,
) -> Response:
    """Remove the triggers, relay what waits, and forget the watch."""
    _only_the_operator(principal, parts)
    if not 0 < watch_id <= _MAX_ID:
        raise NotFound("watch", watch_id)
    return answer(Unwatched(relayed=await _watches(parts).unwatch(principal.tenant, watch_id, discard=discard)))


def _only_the_operator(principal: Principal, parts: Parts) -> None:
    """A watched database belongs to whoever runs the platform, not to each of its tenants."""
    if principal.tenant != parts.settings.default_tenant:
        raise Forbidden(
            "tables are watched by administrators of the platform's own tenant; for others its operator uses "
            "`stepwell watch … --tenant`"
        )


def _watches(parts: Parts) -> Watches:
    connections = parts.settings.watch_connections
    return Watches(parts.database, connections, Relay(parts.database, parts.dispatcher, connections))
