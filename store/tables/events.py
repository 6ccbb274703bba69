"""What comes in from outside: events, the triggers that they meet, and where they come from."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from store.tables.base import Json, Timestamp, now


class EventRow(SQLModel, table=True):
    """One event of the inbox. Unique by (tenant, kind, source, key): a second delivery finds the first one's row."""

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("tenant_id", "kind", "source", "key"),
        CheckConstraint("status IN ('pending', 'dispatched', 'dead')", name="status"),
        CheckConstraint("kind IN ('event', 'webhook', 'row')", name="kind"),
        Index("ix_events_tenant_id_id", "tenant_id", "id"),
        Index("ix_events_tenant_id_type_id", "tenant_id", "type", "id"),
        Index("ix_events_received_at", "received_at"),
        Index("ix_events_unsettled", "status", "id", postgresql_where=text("status <> 'dispatched'")),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    tenant_id: str = Field(foreign_key="tenants.id")
    kind: str
    source: str = Field(max_length=200)
    type: str = Field(max_length=200)
    key: str = Field(max_length=300)
    subject: str | None = Field(default=None, max_length=300)
    payload: Any = Field(default=None, sa_column=Column(Json, nullable=True))
    headers: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    trace_id: str = Field(max_length=128)
    occurred_at: datetime = Field(sa_type=Timestamp)
    received_at: datetime = Field(default_factory=now, sa_type=Timestamp)
    status: str = "pending"
    reason: str | None = None
    """Why it is dead."""
    attempts: int = 0
    """How often its triggers were asked."""


class TriggerRow(SQLModel, table=True):
    """One trigger of a process. Those of a definition change with its present version, those of people by REST.

    ``tenant_id`` is ``""`` for the triggers of built-in processes, which every tenant has.
    """

    __tablename__ = "triggers"
    __table_args__ = (
        UniqueConstraint("definition_id", "position"),
        CheckConstraint("type IN ('event', 'webhook', 'signal', 'schedule', 'manual')", name="type"),
        Index("ix_triggers_tenant_id_type", "tenant_id", "type"),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    tenant_id: str = ""
    process: str = Field(max_length=64)
    definition_id: int | None = Field(default=None, foreign_key="definitions.id", ondelete="CASCADE")
    """Whose definition names it; None for one that people have made over REST."""
    position: int | None = None
    """Its place among the definition's triggers."""
    type: str
    pattern: str = Field(default="", max_length=200)
    """What it listens to: the type of events, the source of webhooks, or the model of rows."""
    config: dict[str, Any] = Field(sa_type=Json)
    is_active: bool = True
    note: str = ""
    """Why it was switched off, say."""
    created_by: str = ""
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)
    updated_at: datetime = Field(default_factory=now, sa_type=Timestamp)


class DeliveryRow(SQLModel, table=True):
    """What one trigger made of one event."""

    __tablename__ = "deliveries"
    __table_args__ = (
        CheckConstraint(
            "status IN ('started', 'duplicate', 'debounced', 'signalling', 'signalled', 'no_run', 'no_match',"
            " 'failed')",
            name="status",
        ),
        Index("ix_deliveries_trigger_id", "tenant_id", "trigger_id"),
        Index("ix_deliveries_run_id", "run_id"),
        Index("ix_deliveries_created_at", "created_at"),
        Index("ix_deliveries_no_run", "tenant_id", "process", "key", postgresql_where=text("status = 'no_run'")),
        Index("ix_deliveries_signalling", "event_id", postgresql_where=text("status = 'signalling'")),
    )

    event_id: int = Field(
        sa_column=Column(BigInteger, primary_key=True),
    )
    trigger_id: int = Field(sa_column=Column(BigInteger, primary_key=True))
    tenant_id: str
    process: str = Field(max_length=64)
    status: str
    reason: str = ""
    key: str | None = None
    run_id: int | None = Field(default=None, sa_type=BigInteger)
    signal: str | None = None
    payload: Any = Field(default=None, sa_column=Column(Json, nullable=True))
    """Of the signal."""
    explain: dict[str, Any] | None = Field(default=None, sa_type=Json)
    claimed_at: datetime | None = Field(default=None, sa_type=Timestamp)
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)


class EndpointRow(SQLModel, table=True):
    """Where a source sends its webhooks, and how their signatures are verified."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        UniqueConstraint("key"),
        Index(
            "uq_webhook_endpoints_default",
            "tenant_id",
            "source",
            unique=True,
            postgresql_where=text("is_default"),
        ),
        CheckConstraint("verifier <> 'unsigned' OR unsigned_by IS NOT NULL", name="unsigned"),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    tenant_id: str = Field(foreign_key="tenants.id")
    source: str = Field(max_length=64)
    key: str = Field(max_length=64)
    """The opaque part of its address: 128 random bits."""
    verifier: str
    config: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    """What the verifier must know: header, algorithm, encoding…; never a secret."""
    secrets: list[str] = Field(default_factory=list, sa_type=Json)
    """Names of the secrets that are accepted: several while one is being replaced."""
    allow_ips: list[str] = Field(default_factory=list, sa_type=Json)
    """Addresses or networks that may send; empty: any."""
    is_default: bool = False
    """Whether it answers at the address without a key, for the default tenant."""
    is_active: bool = True
    unsigned_by: str | None = None
    """The administrator who chose to accept unsigned requests."""
    created_by: str = ""
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)


class WatchRow(SQLModel, table=True):
    """A watched table: its changes become events of the tenant."""

    __tablename__ = "watches"
    __table_args__ = (UniqueConstraint("connection", "table_name"),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    tenant_id: str = Field(foreign_key="tenants.id")
    connection: str = ""
    """Name of the operator's connection; empty: the platform's own database."""
    table_name: str
    """With its schema: ``public.auth_user``."""
    model: str = Field(max_length=200)
    """What its events call it: ``auth.User``."""
    exclude: list[str] = Field(default_factory=list, sa_type=Json)
    """Columns that are left out."""
    is_active: bool = True
    created_by: str = ""
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)
