"""The rows of encrypted secrets: their newest versions, their history, never their values."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete as delete_from
from sqlalchemy import func, text
from sqlalchemy.dialects.postgresql import distinct_on
from sqlmodel import col, select

from store.session import Session
from store.tables.secrets import SecretRow

_LISTING = text(
    "SELECT DISTINCT ON (name) name, version, min(created_at) OVER (PARTITION BY name), created_at, created_by"
    " FROM secrets WHERE tenant_id = :tenant ORDER BY name, version DESC"
)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:secret, 0))")


@dataclass(frozen=True, slots=True)
class SecretListing:
    """What may be told of a secret: everything but its value."""

    name: str
    version: int
    created_at: datetime
    """When the secret was first set."""
    updated_at: datetime
    """When its newest version was set."""
    updated_by: str


async def newest(session: Session, tenant: str, names: Collection[str]) -> Sequence[SecretRow]:
    """The newest version of each of these secrets that exists."""
    query = (
        select(SecretRow)
        .where(SecretRow.tenant_id == tenant, col(SecretRow.name).in_(names))
        .order_by(SecretRow.name, col(SecretRow.version).desc())
        .ext(distinct_on(col(SecretRow.name)))
    )
    return (await session.exec(query)).all()


async def listing(session: Session, tenant: str) -> list[SecretListing]:
    """All secrets of the tenant, by name."""
    return [SecretListing(*row) for row in (await session.execute(_LISTING, {"tenant": tenant})).all()]


async def lock_version(session: Session, tenant: str, name: str) -> int:
    """The newest version's number, 0 if there is none. Others who change this secret wait for the transaction."""
    await session.execute(_LOCK, {"secret": f"{tenant}|{name}"})
    query = select(func.max(SecretRow.version)).where(SecretRow.tenant_id == tenant, SecretRow.name == name)
    return (await session.exec(query)).one() or 0


async def not_under(session: Session, kid: str, *, limit: int) -> Sequence[SecretRow]:
    """Some of the versions that another key than ``kid`` encrypts, locked; those that others hold are left out."""
    query = select(SecretRow).where(SecretRow.kid != kid).limit(limit).with_for_update(skip_locked=True)
    return (await session.exec(query)).all()


async def remove(session: Session, tenant: str, name: str) -> bool:
    """Remove all versions. False if there were none."""
    statement = (
        delete_from(SecretRow)
        .where(col(SecretRow.tenant_id) == tenant, col(SecretRow.name) == name)
        .returning(col(SecretRow.version))
    )
    return (await session.execute(statement)).first() is not None
