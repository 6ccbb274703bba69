"""Published processes and their immutable versions."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from store.tables.base import Json, Timestamp, now


class DefinitionRow(SQLModel, table=True):
    """A process by name. ``tenant_id`` is ``""`` for the built-in ones, which every tenant sees.

    Its integer id is the API's ``workflow_id``.
    """

    __tablename__ = "definitions"
    __table_args__ = (
        Index("uq_definitions_name", "tenant_id", "name", unique=True, postgresql_where=text("deleted_at IS NULL")),
    )

    id: int | None = Field(default=None, primary_key=True)
    tenant_id: str = ""
    name: str = Field(max_length=64)
    description: str = ""
    is_active: bool = True
    digest: str
    """The version that new runs get."""
    tags: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)
    updated_at: datetime = Field(default_factory=now, sa_type=Timestamp)
    deleted_at: datetime | None = Field(default=None, sa_type=Timestamp)
    """Deleted processes start no more runs; those under way are pinned to their version and go on."""


class DefinitionVersionRow(SQLModel, table=True):
    """One version of a process, never changed once it is there."""

    __tablename__ = "definition_versions"

    definition_id: int = Field(foreign_key="definitions.id", ondelete="CASCADE", primary_key=True)
    digest: str = Field(primary_key=True)
    tenant_id: str = ""
    version: str = Field(max_length=20)
    body: dict[str, Any] = Field(sa_type=Json)
    source: dict[str, Any] | None = Field(default=None, sa_type=Json)
    """The document as it was written, where a dialect was translated."""
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)
