"""Encrypted secrets, a row a version."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from store.tables.base import Timestamp, now


class SecretRow(SQLModel, table=True):
    """One version of a tenant's secret: AES-256-GCM under the key ``kid``, AAD ``tenant|name|version``."""

    __tablename__ = "secrets"

    tenant_id: str = Field(foreign_key="tenants.id", primary_key=True)
    name: str = Field(primary_key=True, max_length=64)
    version: int = Field(primary_key=True)
    kid: str
    nonce: bytes
    ciphertext: bytes
    created_by: str = ""
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)
