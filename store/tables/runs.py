"""Runs and the effects that they have had."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from store.tables.base import Json, Timestamp, now


class RunRow(SQLModel, table=True):
    """One execution of one definition version. Its id is the API's ``execution_id``.

    The row is first: a run that is ``pending`` has been accepted and will be started on Temporal, come what may.
    """

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("workflow_id", "temporal_run_id"),
        Index(
            "uq_runs_idempotency_key",
            "tenant_id",
            "process",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
        Index("ix_runs_pending", "task_queue", "id", postgresql_where=text("status = 'pending'")),
        Index("ix_runs_open", "status", postgresql_where=text("status IN ('running', 'waiting')")),
        CheckConstraint(
            "status IN ('pending', 'running', 'waiting', 'completed', 'failed', 'cancelled')", name="status"
        ),
        Index("ix_runs_tenant_id_id", "tenant_id", "id"),
        Index("ix_runs_definition_id", "definition_id"),
        Index(
            "ix_runs_correlation_key",
            "tenant_id",
            "process",
            "correlation_key",
            "id",
            postgresql_where=text("correlation_key IS NOT NULL"),
        ),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    tenant_id: str = Field(foreign_key="tenants.id")
    definition_id: int | None = None
    process: str = Field(max_length=64)
    version: str = ""
    digest: str = ""
    workflow_id: str
    temporal_run_id: str | None = None
    """Temporal's first execution run id; None until the run has begun."""
    task_queue: str
    status: str = "pending"
    trigger_type: str = "manual"
    trigger_source: str | None = None
    idempotency_key: str | None = None
    input_hash: str | None = None
    """Digest of the input that came with the idempotency key."""
    parent_run_id: int | None = Field(default=None, sa_type=BigInteger)
    trigger_id: int | None = Field(default=None, sa_type=BigInteger)
    event_id: int | None = Field(default=None, sa_type=BigInteger)
    """The trigger and the event that have started it."""
    correlation_key: str | None = None
    """What it is about, by its trigger's ``key``: signals of that key find it."""
    not_before: datetime | None = Field(default=None, sa_type=Timestamp)
    """It is held back until then (debounce, throttle)."""
    max_concurrent: int | None = None
    """It is held back while so many runs of its trigger and key are under way."""
    input: Any = Field(default_factory=dict, sa_type=Json)
    result: Any = Field(default=None, sa_column=Column(Json, nullable=True))
    error: dict[str, Any] | None = Field(default=None, sa_type=Json)
    waiting_on: list[dict[str, Any]] = Field(default_factory=list, sa_type=Json)
    steps: list[dict[str, Any]] | None = Field(default=None, sa_type=Json)
    """The steps as they were when the run ended; before that Temporal knows them."""
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)
    claimed_at: datetime | None = Field(default=None, sa_type=Timestamp)
    """When a starter last took it up; only while ``pending``."""
    started_at: datetime | None = Field(default=None, sa_type=Timestamp)
    finished_at: datetime | None = Field(default=None, sa_type=Timestamp)


class EffectRow(SQLModel, table=True):
    """The ledger: what an action of a run has changed outside, or has set out to change."""

    __tablename__ = "effects"
    __table_args__ = (CheckConstraint("status IN ('intent', 'done', 'failed', 'skipped')", name="status"),)

    tenant_id: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    run_id: int = Field(sa_type=BigInteger, index=True)
    action: str
    status: str
    """``intent`` (begun, outcome unknown), ``done``, ``failed`` (surely did not happen), ``skipped``."""
    outcome: Any = Field(default=None, sa_column=Column(Json, nullable=True))
    attempts: int = 1
    intended_at: datetime = Field(default_factory=now, sa_type=Timestamp)
    settled_at: datetime | None = Field(default=None, sa_type=Timestamp)
