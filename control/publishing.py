"""Publishing processes: every fault is found before anything is stored, and what is stored never changes.

A change makes a new version, known by its digest; the version's label is the author's affair. Built-in processes belong
to ``ids.BUILTIN_TENANT``: every tenant sees them, none may change them, each may publish its own under the same name.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from control.drafts import Draft, invalid, read_directory, read_draft
from domain import ids
from domain.actions import ActionInfo
from domain.definition import Definition
from domain.errors import Conflict, Fault, NotFound
from store import definitions, triggers
from store.database import ALL_TENANTS, Database
from store.session import Session
from store.tables import DefinitionRow, DefinitionVersionRow
from store.tables.base import now

MAX_PAGE = 1000
"""Limit of a listing."""


@dataclass(frozen=True, slots=True)
class Published:
    """A process and the version of it that new runs get."""

    definition: DefinitionRow
    version: DefinitionVersionRow
    created: bool
    """Whether this version is new."""
    changed: bool
    """Whether new runs got another version before, or there was no such process."""


class Publisher:
    """Checks and publishes definitions, and keeps the list of them.

    ``actions``              the catalogue, by name and alias.
    ``python_processes``     names of processes that are written in Python.
    ``environment_secrets``  names of secrets that the environment holds, by tenant.
    """

    def __init__(
        self,
        database: Database,
        actions: Mapping[str, ActionInfo],
        python_processes: Collection[str] = (),
        *,
        environment_secrets: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self._database = database
        self._actions = actions
        self._python_processes = frozenset(python_processes)
        self._environment_secrets = environment_secrets or {}

    async def check(self, tenant: str, document: object) -> tuple[Definition | None, Sequence[Fault]]:
        """Everything that is wrong with ``document`` (JSON values or a ``Document``), and what could be read of it."""
        draft = read_draft(document)
        async with self._session(tenant) as session:
            faults = await self._faults(session, tenant, [draft])
        return None if draft.parsed is None else draft.parsed.definition, faults

    async def publish(self, tenant: str, document: object, *, strict: bool = False) -> Published:
        """Store ``document`` as what new runs of its process get. Publishing the same again changes nothing.

        ``strict``: refuse other content under a version label that is in use. Raises ``DefinitionInvalid`` with every
        fault at once, and ``Conflict``; nothing is stored then.
        """
        draft = read_draft(document)
        async with self._session(tenant) as session:
            await self._refuse_faulty(session, tenant, [draft])
            return await _store(session, tenant, draft, strict=strict)

    async def publish_directory(self, path: Path) -> Sequence[Published]:
        """Publish the built-in processes: every definition of a directory, or none if one of them has a fault.

        They may start each other in any order. Raises ``DefinitionInvalid`` with the faults of all files.
        """
        return await self.publish_all(ids.BUILTIN_TENANT, await asyncio.to_thread(read_directory, path))

    async def check_all(self, tenant: str, drafts: Sequence[Draft]) -> Sequence[Fault]:
        """Everything that is wrong with any of the drafts, which may start each other."""
        async with self._session(tenant) as session:
            return await self._faults(session, tenant, drafts)

    async def publish_all(self, tenant: str, drafts: Sequence[Draft]) -> Sequence[Published]:
        """Publish all drafts, or none if one has a fault. Raises ``DefinitionInvalid`` with the faults of all."""
        # Always in the same order, so that two who publish at once do not wait for each other.
        ordered = sorted(drafts, key=lambda draft: draft.name or "")
        async with self._session(tenant) as session:
            await self._refuse_faulty(session, tenant, ordered)
            return [await _store(session, tenant, draft) for draft in ordered]

    async def list(
        self, tenant: str, *, is_active: bool | None = None, limit: int = 100, offset: int = 0
    ) -> tuple[Sequence[DefinitionRow], int]:
        """The processes that the tenant may start, by name, and how many there are in all."""
        async with self._session(tenant) as session:
            return await definitions.page(
                session, tenant, is_active=is_active, limit=min(limit, MAX_PAGE), offset=offset
            )

    async def present(self, tenant: str, rows: Sequence[DefinitionRow]) -> Sequence[Published]:
        """Listed processes in their present versions."""
        async with self._session(tenant) as session:
            versions = await definitions.present(session, rows)
        return [Published(*each, created=False, changed=False) for each in zip(rows, versions, strict=True)]

    async def get(self, tenant: str, definition_id: int) -> Published:
        """A process by its id, in its present version. Raises ``NotFound``."""
        async with self._session(tenant) as session:
            row = await definitions.get(session, tenant, definition_id)
            return await _present(session, row, definition_id)

    async def find(self, tenant: str, name: str) -> Published:
        """The process that the tenant means by ``name``, in its present version. Raises ``NotFound``."""
        async with self._session(tenant) as session:
            return await _present(session, await definitions.find(session, tenant, name), name)

    async def versions(self, tenant: str, definition_id: int) -> Sequence[DefinitionVersionRow]:
        """All versions of a process, the newest first. Raises ``NotFound``."""
        async with self._session(tenant) as session:
            if await definitions.get(session, tenant, definition_id) is None:
                raise NotFound("process", definition_id)
            return await definitions.versions(session, definition_id)

    async def update(
        self,
        tenant: str,
        definition_id: int,
        *,
        document: object = None,
        description: str | None = None,
        tags: dict[str, Any] | None = None,
        is_active: bool | None = None,
    ) -> Published:
        """Change the tenant's own process: its definition (of the same name), its description, its tags, its switch.

        None leaves a thing as it is. Raises ``NotFound``, ``Conflict`` (it is built in), ``DefinitionInvalid``.
        """
        async with self._session(tenant) as session:
            row = await _own(session, tenant, definition_id)
            published = None
            if document is not None:
                draft = read_draft(document)
                _check_same_name(row, draft)
                await self._refuse_faulty(session, tenant, [draft])
                published = await _store(session, tenant, draft)
                row = published.definition
            changes = {"description": description, "tags": tags, "is_active": is_active}
            _change(row, {name: value for name, value in changes.items() if value is not None})
            session.add(row)
            return published or await _present(session, row, definition_id)

    async def set_active(self, tenant: str, definition_id: int, *, is_active: bool) -> Published:
        """Switch the tenant's own process on or off; switched off, it starts no more runs. Raises as ``update``."""
        return await self.update(tenant, definition_id, is_active=is_active)

    async def delete(self, tenant: str, definition_id: int) -> None:
        """Delete the tenant's own process: runs under way go on, its name is free again. Raises as ``update``."""
        async with self._session(tenant) as session:
            row = await _own(session, tenant, definition_id)
            row.deleted_at = row.updated_at = now()
            session.add(row)
            await triggers.remove_of_definition(session, tenant, definition_id, row.name)

    def _session(self, tenant: str) -> Any:
        return self._database.session(ALL_TENANTS if tenant == ids.BUILTIN_TENANT else tenant)

    async def _refuse_faulty(self, session: Session, tenant: str, drafts: Sequence[Draft]) -> None:
        if faults := await self._faults(session, tenant, drafts):
            raise invalid(faults)

    async def _faults(self, session: Session, tenant: str, drafts: Sequence[Draft]) -> Sequence[Fault]:
        """What is wrong with any of the drafts, which may name each other."""
        processes = {*await definitions.names(session, tenant), *self._python_processes}
        processes.update(draft.name for draft in drafts if draft.name)
        secrets = None
        if tenant != ids.BUILTIN_TENANT:  # a built-in process finds its secrets with the tenant that runs it
            secrets = await definitions.secret_names(session, tenant) | set(self._environment_secrets.get(tenant, ()))
        return [fault for draft in drafts for fault in draft.check(self._actions, processes, secrets)]


async def _store(session: Session, tenant: str, draft: Draft, *, strict: bool = False) -> Published:
    """Enter the version, and let new runs get it. Others who publish the same process wait for the transaction."""
    definition = draft.definition()
    described: dict[str, Any] = {
        "description": definition.description or definition.title,
        "tags": definition.tags,
        "digest": definition.digest,
    }
    row, is_new = await definitions.claim_name(
        session, DefinitionRow(tenant_id=tenant, name=definition.name, **described)
    )
    definition_id = row.id or 0
    stored = await definitions.version(session, definition_id, definition.digest)
    if strict and stored is None and await definitions.labelled(session, definition_id, definition.version):
        raise Conflict(f"{definition.name} has another version {definition.version}: give this one a new number")
    version = stored or await definitions.add_version(
        session,
        DefinitionVersionRow(
            definition_id=definition_id,
            digest=definition.digest,
            tenant_id=tenant,
            version=definition.version,
            body=definition.body,
            source=draft.source,
        ),
    )
    await triggers.replace_of_definition(session, tenant, definition_id, definition.name, definition.triggers)
    changed = is_new or row.digest != definition.digest
    if row.digest != definition.digest:
        _change(row, described)
        session.add(row)
    return Published(row, version, created=stored is None, changed=changed)


def _change(row: DefinitionRow, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(row, name, value)
    if values:
        row.updated_at = now()


async def _present(session: Session, row: DefinitionRow | None, asked: object) -> Published:
    version = None if row is None else await definitions.version(session, row.id or 0, row.digest)
    if row is None or version is None:
        raise NotFound("process", asked)
    return Published(row, version, created=False, changed=False)


async def _own(session: Session, tenant: str, definition_id: int) -> DefinitionRow:
    seen = await definitions.get(session, tenant, definition_id)
    if seen is not None and seen.tenant_id != tenant:
        raise Conflict(
            f"{seen.name} is built in and cannot be changed; publish a process of that name to replace it for you"
        )
    row = await definitions.lock(session, tenant, definition_id)
    if row is None:
        raise NotFound("process", definition_id)
    return row


def _check_same_name(row: DefinitionRow, draft: Draft) -> None:
    if draft.name not in (None, row.name):
        reason = f"the process {row.name!r} cannot be renamed to {draft.name!r}"
        remedy = "publish it as a process of its own"
        raise invalid(draft.document.locate([Fault(path="/name", reason=reason, remedy=remedy)]))
