"""Tenants and who may act for them."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Column, Index, func
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlmodel import Field, SQLModel

from store.tables.base import Timestamp, now


class InstallationRow(SQLModel, table=True):
    """What tells this database's things on a Temporal server from those of others: one row, drawn once.

    It goes with the database into its dumps, so that one that is restored under its name finds its things again.
    """

    __tablename__ = "installation"

    id: str = Field(primary_key=True, max_length=12)


class TenantRow(SQLModel, table=True):
    """A customer of the platform whose data and runs are kept apart."""

    __tablename__ = "tenants"

    id: str = Field(primary_key=True, max_length=63)
    name: str
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)


class UserRow(SQLModel, table=True):
    """A person who logs in. E-mail addresses are unique over all tenants."""

    __tablename__ = "users"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    tenant_id: str = Field(foreign_key="tenants.id", index=True)
    email: str
    name: str = ""
    password_hash: str
    roles: list[str] = Field(sa_column=Column(ARRAY(TEXT), nullable=False))
    is_active: bool = True
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)


Index("uq_users_email", func.lower(UserRow.email), unique=True)


class ApiKeyRow(SQLModel, table=True):
    """A key for machines. Only a hash is kept; the prefix tells keys apart."""

    __tablename__ = "api_keys"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    tenant_id: str = Field(foreign_key="tenants.id", index=True)
    name: str
    prefix: str
    key_hash: str = Field(unique=True)
    roles: list[str] = Field(sa_column=Column(ARRAY(TEXT), nullable=False))
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)
    revoked_at: datetime | None = Field(default=None, sa_type=Timestamp)
