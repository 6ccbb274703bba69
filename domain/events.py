"""Events: what happened outside, as it enters the inbox and as rules and runs see it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, field_validator

MAX_PAYLOAD_BYTES: Final = 1_000_000
"""An event is passed to its runs, and Temporal refuses values over 2 MiB."""

LINE: Final = r"^[^\x00-\x1f\x7f]+$"
"""Names and keys are one line of visible text."""


ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "isp.installation.scheduled": "ticket.installation_approved",
        "subscription.expiring": "subscription.expiring_soon",
    }
)
"""Types that older senders use for domain events: triggers on the second meet the first, too."""


class EventKind(StrEnum):
    """How an event came in, which decides the types of triggers that it meets besides ``event``."""

    EVENT = "event"
    """``POST /events``, ``core.emit_event``."""
    WEBHOOK = "webhook"
    ROW = "row"
    """A watched table."""


class EventStatus(StrEnum):
    """Where an event is."""

    PENDING = "pending"
    """Kept; its triggers have not been asked yet."""
    DISPATCHED = "dispatched"
    """Every trigger has been asked; see its deliveries."""
    DEAD = "dead"
    """A trigger failed on it; ``reason`` says why. It can be replayed."""


class DeliveryStatus(StrEnum):
    """What a trigger made of an event."""

    STARTED = "started"
    DUPLICATE = "duplicate"
    """The trigger's key has its run already."""
    DEBOUNCED = "debounced"
    """It took the place of an earlier event whose run had not begun."""
    SIGNALLING = "signalling"
    """The signal is on its way to the run."""
    SIGNALLED = "signalled"
    NO_RUN = "no_run"
    """There is no open run of the key to signal."""
    NO_MATCH = "no_match"
    """Its rule or condition is false for this event."""
    FAILED = "failed"


class NewEvent(BaseModel):
    """An event that comes in. ``key`` is the sender's own id of it: the same (kind, source, key) is the same event."""

    model_config = ConfigDict(frozen=True)

    kind: EventKind = EventKind.EVENT
    source: str = Field(min_length=1, max_length=200, pattern=LINE)
    type: str = Field(min_length=1, max_length=200, pattern=LINE)
    key: str = Field(default_factory=lambda: uuid4().hex, min_length=1, max_length=300, pattern=LINE)
    """Made up where the sender gives none: then every delivery is an event of its own."""
    subject: str | None = Field(default=None, max_length=300, pattern=LINE)
    payload: Any = None
    """JSON."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Those of the request that are worth keeping, by lower-case name; never credentials."""
    occurred_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    trace_id: str = Field(default_factory=lambda: uuid4().hex, max_length=128)

    @field_validator("occurred_at")
    @classmethod
    def _is_aware(cls, value: datetime) -> datetime:
        return value if value.tzinfo else value.replace(tzinfo=UTC)

    @property
    def names(self) -> tuple[str, ...]:
        """Its type, and what triggers may call that."""
        return tuple(dict.fromkeys((self.type, ALIASES.get(self.type, self.type))))

    def seen(self, event_id: int, received_at: datetime) -> dict[str, Any]:
        """The event as the root ``event`` of expressions and rules.

        Its own fields come before those of the payload, so they have names that payloads seldom use.
        """
        return {
            "event_id": event_id,
            "event_kind": self.kind.value,
            "source": self.source,
            "type": self.type,
            "event_key": self.key,
            "subject": self.subject,
            "occurred_at": self.occurred_at.isoformat(),
            "received_at": received_at.isoformat(),
            "trace_id": self.trace_id,
            "headers": self.headers,
            "payload": self.payload,
        }


class Trace(BaseModel):
    """What one trigger makes, or would make, of an event."""

    model_config = ConfigDict(frozen=True)

    trigger_id: int | None
    process: str
    status: DeliveryStatus
    reason: str = ""
    """In words, for people."""
    key: str | None = None
    input: Any = None
    """The input of the run, or the payload of the signal."""
    run_id: int | None = None
    explain: dict[str, Any] | None = None
    """How the rule and the condition came to their values: see ``Condition.explain``."""


class Ingested(BaseModel):
    """An event that is in the inbox."""

    model_config = ConfigDict(frozen=True)

    event_id: int
    trace_id: str
    created: bool
    """False: it was there already, and nothing has been done again."""
    status: EventStatus
    run_ids: list[int] = Field(default_factory=list)
    """The runs that it has started, or signals."""
