"""``core.emit_event``: a step that lets something be known, so that other processes may start or wake."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from domain.actions import Connector, Effect, action
from domain.events import LINE, NewEvent
from store.database import Transaction
from triggers.dispatcher import Dispatcher

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

        It and the runs that it starts are kept together with the step's own outcome, or not at all.
        """
        event = NewEvent(
            source=request.source or call.process,
            type=request.event_type,
            key=request.idempotency_key or call.key,
            subject=request.subject,
            payload=request.payload,
        )
        done = await self._dispatcher.ingest_in(call.session, call.tenant, event)
        return Emitted(event_id=done.event_id, created=done.created, run_ids=done.run_ids)
