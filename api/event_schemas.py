"""What the API takes and gives of events and triggers, as JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from api.redaction import redacted
from api.schemas import Given
from domain.durations import parse_timestamp
from domain.errors import ExpressionError
from domain.events import LINE, EventStatus
from store.tables.events import DeliveryRow, EventRow, TriggerRow

MAX_ID = 2**63 - 1


def _timestamp(value: object) -> object:
    """Raises ``ValueError`` for what is no timestamp with its offset."""
    if value is None:
        return None
    try:
        return parse_timestamp(value)  # type: ignore[arg-type]  # checked there
    except ExpressionError as error:
        raise ValueError(str(error)) from error


class GivenEvent(Given):
    """An event, plainly. The same ``idempotency_key`` of the same ``source`` is the same event."""

    event_type: str = Field(min_length=1, max_length=200, pattern=LINE)
    payload: Any = Field(default_factory=dict)
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=300, pattern=LINE)
    source: str = Field(default="api", min_length=1, max_length=200, pattern=LINE)
    subject: str | None = Field(default=None, min_length=1, max_length=300, pattern=LINE)
    occurred_at: Annotated[datetime | None, BeforeValidator(_timestamp)] = None
    """RFC 3339, with its offset from UTC."""


class TriedEvent(GivenEvent):
    """An event to try triggers out on."""

    kind: Literal["event", "webhook", "row"] = "event"
    headers: dict[str, str] = Field(default_factory=dict)


class Replayed(BaseModel):
    """An event whose triggers were asked again."""

    event_id: int
    trace_id: str
    status: EventStatus
    run_ids: list[int]
    """The runs that it has started, or signals, this time."""


class ReplayDead(Given):
    """Which dead events to replay; nothing: all."""

    type: str | None = Field(default=None, max_length=200)
    source: str | None = Field(default=None, max_length=200)


class ReplayedMany(BaseModel):
    """How many events the workers will ask the triggers of again."""

    events: int


class Delivery(BaseModel):
    """What a trigger made of an event. ``key``, ``payload``, ``explain`` are null for those who may not read them."""

    trigger_id: int
    process: str
    status: str
    reason: str
    key: str | None
    run_id: int | None
    signal: str | None
    payload: Any
    """Of the signal."""
    explain: Any
    created_at: datetime

    @classmethod
    def of(cls, row: DeliveryRow, *, readable: bool) -> "Delivery":
        """As the row says, and the reader may see it."""
        data = row.model_dump(include=set(cls.model_fields))
        hidden = {name: redacted(data[name], readable=readable) for name in ("key", "payload", "explain")}
        return cls(**{**data, **hidden})


class Event(BaseModel):
    """An event. ``payload`` and ``headers`` are null in lists, and for those who may not read them."""

    id: int
    kind: str
    source: str
    type: str
    key: str
    subject: str | None
    status: str
    reason: str | None
    """Why it is dead."""
    attempts: int
    """How often its triggers were asked."""
    trace_id: str
    occurred_at: datetime
    received_at: datetime
    payload: Any = None
    headers: dict[str, Any] | None = None
    run_ids: list[int] | None = None
    """The runs that it has started, or signalled. Null in lists."""
    deliveries: list[Delivery] | None = None
    """Null in lists."""

    @classmethod
    def of(cls, row: EventRow, *, readable: bool = False) -> "Event":
        """As the row says, and the reader may see it."""
        data = row.model_dump(include=set(cls.model_fields))
        hidden = {name: redacted(data[name], readable=readable) for name in ("payload", "headers")}
        return cls(**{**data, **hidden})

    def with_deliveries(self, deliveries: list[Delivery]) -> Self:
        """Likewise with what its triggers have made of it."""
        own = {each.run_id for each in deliveries if each.run_id is not None and each.status != "duplicate"}
        return self.model_copy(update={"deliveries": deliveries, "run_ids": sorted(own)})


class CreateTrigger(Given):
    """A trigger for a process."""

    process: str = Field(min_length=1, max_length=64)
    type: str = Field(min_length=1, max_length=20)
    config: dict[str, Any]
    is_active: bool = True
    note: str = Field(default="", max_length=2000)


class ChangeTrigger(Given):
    """What to change of a trigger; what is left out stays."""

    config: dict[str, Any] | None = None
    is_active: bool | None = None
    note: str | None = Field(default=None, max_length=2000)


class TriggerOut(BaseModel):
    """A trigger."""

    id: int
    process: str
    type: str
    config: dict[str, Any]
    is_active: bool
    note: str
    definition_id: int | None
    """Whose definition names it; null for one that people have made here."""
    tenant_id: str | None
    """Null: of a built-in process."""
    created_by: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: TriggerRow) -> "TriggerOut":
        """As the row says."""
        return cls(**{**row.model_dump(include=set(cls.model_fields)), "tenant_id": row.tenant_id or None})


class TriedTrigger(Given):
    """A trigger to try out, without making it."""

    process: str = Field(min_length=1, max_length=64)
    type: str = Field(min_length=1, max_length=20)
    config: dict[str, Any]


class TryTriggers(Given):
    """An event, given or stored, and the trigger to try out on it; without one, all that the tenant has."""

    event: dict[str, Any] | None = None
    """Plainly, or a CloudEvent."""
    event_id: int | None = Field(default=None, ge=1, le=MAX_ID)
    trigger: TriedTrigger | None = None
    trigger_id: int | None = Field(default=None, ge=1, le=MAX_ID)

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if (self.event is None) == (self.event_id is None):
            raise ValueError("give either event or event_id")
        if self.trigger is not None and self.trigger_id is not None:
            raise ValueError("give either trigger or trigger_id, or neither to try all triggers")
        return self
