"""``core.emit_event``: a step that lets something be known, so that other processes may start or wake."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints
from sqlalchemy import text

from domain.actions import Connector, Effect, action
from domain.errors import ConnectorError, ErrorCode
from domain.events import LINE, NewEvent
from store.database import Transaction
from triggers.dispatcher import Dispatcher

DEPTH_HEADER: Final = "stepwell-depth"
MAX_DEPTH: Final = 100

_DEPTH = text(
    "SELECT coalesce(e.headers ->> 'stepwell-depth', '0') AS depth FROM runs r JOIN events e ON e.id = r.event_id"
    " WHERE r.id = :run_id AND r.tenant_id = :tenant"
)

Line = Annotated[str, StringConstraints(pattern=LINE, min_length=1, max_length=200)]


class EmitEvent(BaseModel):
    """What has happened."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    event_type: Line = Field(description="Its type, in dotted words.", examples=["subscription.expiring_soon"])
    payload: dict[str, JsonValue] = Field(default_factory=dict, description="What there is to say about it.")
    subject: Annotated[str, StringConstraints(pattern=LINE, max_length=300)] | None = Field(
        None, description="What it is about, a customer's id say."
    )
    source: Line | None = Field(None, description="Where it comes from; the process unless given.")
    idempotency_key: Annotated[str, StringConstraints(pattern=LINE, min_length=1, max_length=300)] | None = Field(
        None, description="The same key of a source is the same event; the step's own key unless given."
    )


class Emitted(BaseModel):
    """The event in the inbox."""

    model_config = ConfigDict(frozen=True)

    event_id: int
    created: bool = Field(description="False if an event of this source and key was there already.")
    run_ids: list[int] = Field(description="The runs that it has started, or signals.")


class EventConnector(Connector):
    """Emits events into the platform's own inbox."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    @action("core.emit_event", effect=Effect.TRANSACTIONAL)
    async def emit(self, request: EmitEvent, call: Transaction) -> Emitted:
        """Emit an event of the run's tenant.

        It and the runs that it starts are kept together with the step's own outcome, or not at all. Processes that
        start each other by events without end are stopped after a hundred.
        """
        depth = await _depth(call)
        event = NewEvent(
            source=request.source or call.process,
            type=request.event_type,
            key=request.idempotency_key or call.key,
            subject=request.subject,
            payload=request.payload,
            headers={DEPTH_HEADER: str(depth)},
        )
        done = await self._dispatcher.ingest_in(call.session, call.tenant, event)
        return Emitted(event_id=done.event_id, created=done.created, run_ids=done.run_ids)


async def _depth(call: Transaction) -> int:
    """How many events have led to this one, each emitted by a run that the one before has started."""
    row = (await call.session.execute(_DEPTH, {"tenant": call.tenant, "run_id": call.run_id})).one_or_none()
    depth = 1 if row is None else int(row.depth) + 1
    if depth > MAX_DEPTH:
        raise ConnectorError(
            ErrorCode.INVALID_INPUT,
            f"{MAX_DEPTH} events have led to this one, each emitted by a run of the one before: do the processes start "
            "each other without end? Give a trigger a condition or a key that ends it",
        )
    return depth
