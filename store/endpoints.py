"""The rows of webhook endpoints."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete as delete_from
from sqlalchemy import text
from sqlmodel import col, select

from store.session import Session
from store.tables.events import EndpointRow

_RECEIVING = "SELECT id, tenant_id, source, key, verifier, config, secrets, allow_ips FROM webhook_endpoints"
_BY_KEY = text(f"{_RECEIVING} WHERE key = :key AND source = :source AND is_active")
_DEFAULT = text(f"{_RECEIVING} WHERE tenant_id = :tenant AND source = :source AND is_default AND is_active")


@dataclass(frozen=True, slots=True)
class Receiving:
    """What a request to an endpoint needs to know of it."""

    id: int
    tenant_id: str
    source: str
    key: str
    verifier: str
    config: dict[str, Any]
    secrets: list[str]
    allow_ips: list[str]


async def by_key(session: Session, source: str, key: str) -> Receiving | None:
    """The endpoint at ``/{source}/{key}/``, whosever it is, if it is active."""
    row = (await session.execute(_BY_KEY, {"source": source, "key": key})).one_or_none()
    return None if row is None else Receiving(*row)


async def default(session: Session, tenant: str, source: str) -> Receiving | None:
    """The tenant's default endpoint of a source, if it is active."""
    row = (await session.execute(_DEFAULT, {"tenant": tenant, "source": source})).one_or_none()
    return None if row is None else Receiving(*row)


async def listing(session: Session, tenant: str, source: str | None = None) -> Sequence[EndpointRow]:
    """The tenant's endpoints, the oldest first."""
    query = select(EndpointRow).where(EndpointRow.tenant_id == tenant).order_by(col(EndpointRow.id))
    if source is not None:
        query = query.where(EndpointRow.source == source)
    return (await session.exec(query)).all()


async def get(session: Session, tenant: str, endpoint_id: int, *, lock: bool = False) -> EndpointRow | None:
    """The tenant's endpoint of this id. ``lock``: others who change it wait for the transaction."""
    query = select(EndpointRow).where(EndpointRow.tenant_id == tenant, EndpointRow.id == endpoint_id)
    return (await session.exec(query.with_for_update() if lock else query)).one_or_none()


async def remove(session: Session, tenant: str, endpoint_id: int) -> bool:
    """Delete an endpoint. False if the tenant has no such one."""
    statement = (
        delete_from(EndpointRow)
        .where(col(EndpointRow.tenant_id) == tenant, col(EndpointRow.id) == endpoint_id)
        .returning(col(EndpointRow.id))
    )
    return (await session.execute(statement)).first() is not None
