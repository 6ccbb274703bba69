"""The rows of tenants, users and API keys."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select

from store.session import Session
from store.tables.identity import ApiKeyRow, TenantRow, UserRow

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 0))")


async def ensure_tenant(session: Session, tenant: str, name: str) -> None:
    """Make the tenant unless it exists."""
    await session.execute(
        insert(TenantRow).values(TenantRow(id=tenant, name=name).model_dump()).on_conflict_do_nothing()
    )


async def lock_users(session: Session, tenant: str) -> None:
    """Others who change the tenant's users through this wait for the end of the transaction."""
    await session.execute(_LOCK, {"what": f"users|{tenant}"})


async def has_role(session: Session, tenant: str, role: str) -> bool:
    """Whether some active user of the tenant has this role."""
    query = select(UserRow.id).where(
        UserRow.tenant_id == tenant, col(UserRow.is_active), col(UserRow.roles).contains([role])
    )
    return (await session.exec(query.limit(1))).first() is not None


async def user_by_email(session: Session, email: str) -> UserRow | None:
    """The user with this e-mail address, whatever its capitals."""
    query = select(UserRow).where(func.lower(UserRow.email) == func.lower(email))
    return (await session.exec(query)).first()


async def user(session: Session, user_id: UUID) -> UserRow | None:
    """The user of this id, if the session may see it."""
    return await session.get(UserRow, user_id)


async def users(session: Session, tenant: str) -> Sequence[UserRow]:
    """The tenant's users, the oldest first."""
    query = select(UserRow).where(UserRow.tenant_id == tenant).order_by(col(UserRow.created_at), col(UserRow.email))
    return (await session.exec(query)).all()


async def api_key_by_hash(session: Session, key_hash: str) -> ApiKeyRow | None:
    """The API key of this hash, revoked or not."""
    return (await session.exec(select(ApiKeyRow).where(ApiKeyRow.key_hash == key_hash))).first()


async def api_keys(session: Session, tenant: str) -> Sequence[ApiKeyRow]:
    """The tenant's API keys, revoked ones included, the oldest first."""
    query = select(ApiKeyRow).where(ApiKeyRow.tenant_id == tenant).order_by(col(ApiKeyRow.created_at))
    return (await session.exec(query)).all()


async def revoke_api_key(session: Session, tenant: str, key_id: UUID, at: datetime) -> str | None:
    """Revoke a key and return its hash; None if the tenant has no such key in force."""
    statement = (
        update(ApiKeyRow)
        .where(col(ApiKeyRow.tenant_id) == tenant, col(ApiKeyRow.id) == key_id, col(ApiKeyRow.revoked_at).is_(None))
        .values(revoked_at=at)
        .returning(col(ApiKeyRow.key_hash))
    )
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else str(row.key_hash)
