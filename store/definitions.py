"""Published processes and their versions: found by name, listed, changed.

Every function takes a session made for a tenant, and the tenant again: the session may see more than that tenant's rows
(the built-in ones, or all of them when the platform itself looks).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, or_, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from domain.ids import BUILTIN_TENANT
from store.session import Session
from store.tables import DefinitionRow, DefinitionVersionRow, SecretRow

_Alive = col(DefinitionRow.deleted_at).is_(None)


_STARTABLE = text(
    "SELECT nextval(pg_get_serial_sequence('runs', 'id')) AS run_id, process.id AS definition_id, process.is_active,"
    " chosen.version, chosen.digest, chosen.body -> 'input' AS input_schema"
    " FROM (SELECT id, is_active, digest FROM definitions"
    " WHERE tenant_id IN (:tenant, :builtin) AND name = :name AND deleted_at IS NULL"
    " ORDER BY tenant_id DESC LIMIT 1) AS process"
    " LEFT JOIN LATERAL (SELECT version, digest, body FROM definition_versions WHERE definition_id = process.id"
    " AND CASE WHEN CAST(:label AS text) IS NULL THEN digest = process.digest ELSE :label IN (version, digest) END"
    " ORDER BY created_at DESC LIMIT 1) AS chosen ON true"
)


@dataclass(frozen=True, slots=True)
class Startable:
    """What a new run of a process must know of it."""

    run_id: int
    """An id for the new run; one that is not used leaves a gap."""
    definition_id: int
    is_active: bool
    version: str | None
    """None when the process has no such version."""
    digest: str | None
    input_schema: dict[str, Any] | None


async def startable(session: Session, tenant: str, name: str, label: str | None = None) -> Startable | None:
    """The process that the tenant means by ``name``, in its present version or the newest one called ``label``.

    ``label`` may be a digest. One statement, since every accepted run asks for it.
    """
    values = {"tenant": tenant, "builtin": BUILTIN_TENANT, "name": name, "label": label}
    row = (await session.execute(_STARTABLE, values)).one_or_none()
    return None if row is None else Startable(*row)


async def find(session: Session, tenant: str, name: str) -> DefinitionRow | None:
    """The process that the tenant means by ``name``: its own before the built-in one."""
    query = (
        select(DefinitionRow)
        .where(_of(tenant), DefinitionRow.name == name, _Alive)
        .order_by(col(DefinitionRow.tenant_id).desc())
        .limit(1)
    )
    return (await session.exec(query)).one_or_none()


async def get(session: Session, tenant: str, definition_id: int) -> DefinitionRow | None:
    """The process with that id, if it is the tenant's own or built in, and not deleted."""
    query = select(DefinitionRow).where(DefinitionRow.id == definition_id, _of(tenant), _Alive)
    return (await session.exec(query)).one_or_none()


async def lock(session: Session, tenant: str, definition_id: int) -> DefinitionRow | None:
    """Like ``get``; others who change it wait for the transaction."""
    query = select(DefinitionRow).where(DefinitionRow.id == definition_id, _of(tenant), _Alive).with_for_update()
    return (await session.exec(query)).one_or_none()


async def names(session: Session, tenant: str) -> list[str]:
    """The names of all processes that the tenant sees, switched off or not, in their order."""
    query = select(DefinitionRow.name).where(_of(tenant), _Alive).distinct()
    return sorted((await session.exec(query)).all())


async def page(
    session: Session, tenant: str, *, is_active: bool | None, limit: int, offset: int
) -> tuple[Sequence[DefinitionRow], int]:
    """The tenant's processes by name, the built-in ones included that it has not replaced by its own; and how many."""
    own = aliased(DefinitionRow)
    replaced = (
        select(own.id)
        .where(own.tenant_id == tenant, own.name == DefinitionRow.name, col(own.deleted_at).is_(None))
        .exists()
    )
    conditions = [_of(tenant), _Alive, or_(col(DefinitionRow.tenant_id) == tenant, ~replaced)]
    if is_active is not None:
        conditions.append(col(DefinitionRow.is_active).is_(is_active))
    query = select(DefinitionRow).where(*conditions).order_by(DefinitionRow.name).limit(limit).offset(offset)
    total = (await session.exec(select(func.count()).select_from(DefinitionRow).where(*conditions))).one()
    return (await session.exec(query)).all(), total


async def claim_name(session: Session, row: DefinitionRow) -> tuple[DefinitionRow, bool]:
    """The row of that tenant and name, made of ``row`` if there is none (True); locked until the transaction ends."""
    inserted = await session.execute(
        insert(DefinitionRow)
        .values(**row.model_dump(exclude={"id"}))
        .on_conflict_do_nothing(index_elements=["tenant_id", "name"], index_where=_Alive)
        .returning(col(DefinitionRow.id))
    )
    is_new = inserted.one_or_none() is not None
    query = (
        select(DefinitionRow)
        .where(DefinitionRow.tenant_id == row.tenant_id, DefinitionRow.name == row.name, _Alive)
        .with_for_update()
    )
    return (await session.exec(query)).one(), is_new


async def add_version(session: Session, row: DefinitionVersionRow) -> DefinitionVersionRow:
    """Enter a version. The process's row must be locked, and have no such version."""
    session.add(row)
    await session.flush()
    return row


async def version(session: Session, definition_id: int, digest: str) -> DefinitionVersionRow | None:
    """One version of a process, by its digest."""
    return (await session.exec(_versions(definition_id).where(DefinitionVersionRow.digest == digest))).one_or_none()


async def present(session: Session, rows: Sequence[DefinitionRow]) -> list[DefinitionVersionRow]:
    """The version of each of these processes that new runs get, in the same order."""
    wanted = tuple_(col(DefinitionVersionRow.definition_id), col(DefinitionVersionRow.digest))
    query = select(DefinitionVersionRow).where(wanted.in_([(row.id, row.digest) for row in rows]))
    found = {version.definition_id: version for version in await session.exec(query)}
    return [found[row.id or 0] for row in rows]


async def labelled(session: Session, definition_id: int, label: str) -> DefinitionVersionRow | None:
    """The newest version of a process that its author called ``label``, or whose digest that is."""
    named = or_(col(DefinitionVersionRow.version) == label, col(DefinitionVersionRow.digest) == label)
    return (await session.exec(_versions(definition_id).where(named).limit(1))).one_or_none()


async def versions(session: Session, definition_id: int) -> Sequence[DefinitionVersionRow]:
    """All versions of a process, the newest first."""
    return (await session.exec(_versions(definition_id))).all()


async def secret_names(session: Session, tenant: str) -> set[str]:
    """The names of the tenant's secrets."""
    return set((await session.exec(select(SecretRow.name).where(SecretRow.tenant_id == tenant).distinct())).all())


def _of(tenant: str) -> Any:
    visible: Collection[str] = {tenant, BUILTIN_TENANT}
    return col(DefinitionRow.tenant_id).in_(visible)


def _versions(definition_id: int) -> SelectOfScalar[DefinitionVersionRow]:
    query = select(DefinitionVersionRow).where(DefinitionVersionRow.definition_id == definition_id)
    return query.order_by(col(DefinitionVersionRow.created_at).desc())
