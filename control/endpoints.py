"""Commands on webhook endpoints: create, list, change, give another key, delete; and the look-up of a request's own."""

import re
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from psycopg.errors import ForeignKeyViolation
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import IntegrityError

from domain.documents import json_pointer
from domain.errors import Conflict, Fault, Forbidden, InputInvalid, NotFound
from domain.webhooks import SOURCE, EndpointChange, NewEndpoint, Verification, Verifier, endpoint_faults, path_of
from store import endpoints as rows
from store.database import ALL_TENANTS, Database
from store.endpoints import Receiving
from store.session import Session
from store.tables.events import EndpointRow
from store.vault import SECRET_NAME_PATTERN, SecretVault

KEY_BYTES: Final = 16

_KEY = re.compile(r"[0-9a-f]{32}")
_SOURCE = re.compile(SOURCE)
_SECRET_NAME = re.compile(SECRET_NAME_PATTERN)
_MAX_ID: Final = 2**63 - 1


class WebhookEndpoint(BaseModel):
    """Where a source sends its webhooks, as people are told."""

    id: int
    source: str
    key: str
    path: str
    """The address, below the API's."""
    default_path: str | None
    """The address without the key, if this is the source's default endpoint."""
    verifier: str
    config: dict[str, Any]
    secrets: list[str]
    """Names, never values."""
    missing_secrets: list[str]
    """Those that are not set yet."""
    allow_ips: list[str]
    is_default: bool
    is_active: bool
    unsigned_by: str | None
    """Who chose to accept unsigned requests."""
    created_by: str
    created_at: datetime

    @classmethod
    def of(cls, row: EndpointRow, known_secrets: Collection[str]) -> "WebhookEndpoint":
        """As the row says. ``known_secrets``: the names of those that are set."""
        return cls(
            **row.model_dump(exclude={"tenant_id"}),
            path=path_of(row.source, row.key),
            default_path=path_of(row.source) if row.is_default else None,
            missing_secrets=[name for name in row.secrets if name not in known_secrets],
        )


class Endpoints:
    """The webhook endpoints of all tenants, one tenant at a time.

    ``default_tenant`` is whose default endpoints answer at the addresses without a key.
    """

    def __init__(self, database: Database, vault: SecretVault, *, default_tenant: str) -> None:
        self._database = database
        self._vault = vault
        self._default_tenant = default_tenant

    async def create(
        self, tenant: str, new: NewEndpoint, *, by: str = "", administrator: str | None = None
    ) -> EndpointRow:
        """Make an endpoint with a key of 128 random bits.

        ``administrator`` names the one who asks, if they are one: nobody else opens an endpoint without a verifier.
        Raises ``InputInvalid``, ``Forbidden``, ``Conflict`` (the source has its default endpoint), ``NotFound`` (no
        such tenant).
        """
        row = EndpointRow(
            tenant_id=tenant,
            source=new.source,
            key=_new_key(),
            verifier=new.verifier,
            config=new.config,
            secrets=new.secrets,
            allow_ips=new.allow_ips,
            is_default=new.is_default,
            created_by=by,
        )
        _take_responsibility(row, administrator)
        self._check(row)
        async with self._database.session(tenant) as session:
            await _store(session, row)
        return row

    async def list(self, tenant: str, *, source: str | None = None) -> Sequence[EndpointRow]:
        """The tenant's endpoints, the oldest first."""
        async with self._database.statements(tenant) as session:
            return await rows.listing(session, tenant, source)

    async def get(self, tenant: str, endpoint_id: int) -> EndpointRow:
        """One endpoint. Raises ``NotFound``."""
        async with self._database.statements(tenant) as session:
            return await _existing(session, tenant, endpoint_id)

    async def update(
        self, tenant: str, endpoint_id: int, change: EndpointChange, *, administrator: str | None = None
    ) -> EndpointRow:
        """Change what ``change`` sets, in force for the next request. Raises as ``create`` does, and ``NotFound``."""
        async with self._database.session(tenant) as session:
            row = await _existing(session, tenant, endpoint_id, lock=True)
            was = row.verifier
            for name, value in change.model_dump(exclude_none=True).items():
                setattr(row, name, value)
            if row.verifier != was:
                _take_responsibility(row, administrator)
            self._check(row)
            await _store(session, row)
        return row

    async def rotate_key(self, tenant: str, endpoint_id: int) -> EndpointRow:
        """Give the endpoint another key: the old address is gone at once. Raises ``NotFound``."""
        async with self._database.session(tenant) as session:
            row = await _existing(session, tenant, endpoint_id, lock=True)
            row.key = _new_key()
            await _store(session, row)
        return row

    async def delete(self, tenant: str, endpoint_id: int) -> None:
        """Delete an endpoint; its events stay. Raises ``NotFound``."""
        async with self._database.session(tenant) as session:
            if not await rows.remove(session, tenant, endpoint_id):
                raise NotFound("webhook endpoint", endpoint_id)

    async def shown(self, tenant: str, endpoints: Sequence[EndpointRow]) -> Sequence[WebhookEndpoint]:
        """These endpoints of the tenant as people are told, with the secrets that are not set yet."""
        known = await self._vault.names(tenant)
        return [WebhookEndpoint.of(row, known) for row in endpoints]

    async def receiving(self, source: str, key: str | None = None) -> Receiving:
        """The active endpoint that a request is for; without ``key``, the default tenant's default one of the source.

        Raises ``NotFound``, the same whatever is wrong.
        """
        row = None
        if _SOURCE.fullmatch(source) and (key is None or _KEY.fullmatch(key)):
            async with self._database.statements(self._default_tenant if key is None else ALL_TENANTS) as session:
                if key is None:
                    row = await rows.default(session, self._default_tenant, source)
                else:
                    row = await rows.by_key(session, source, key)
        if row is None:
            raise NotFound("webhook endpoint", source, message="there is no such webhook endpoint")
        return row

    def _check(self, row: EndpointRow) -> None:
        faults = endpoint_faults(Verifier(row.verifier), row.secrets, row.allow_ips)
        try:
            Verification.of(row.verifier, row.config)
        except ValidationError as error:
            faults += [_config_fault(each) for each in error.errors(include_url=False, include_input=False)]
        for number, name in enumerate(row.secrets):
            if not _SECRET_NAME.fullmatch(name):
                remedy = "give the name under which the secret is stored, not its value"
                faults.append(Fault(path=f"/secrets/{number}", reason="this is not a secret's name", remedy=remedy))
        if row.is_default and row.tenant_id != self._default_tenant:
            remedy = "use the address with the key"
            faults.append(Fault(path="/is_default", reason="this is for the default tenant alone", remedy=remedy))
        if faults:
            raise InputInvalid("the webhook endpoint does not fit", faults)


def _new_key() -> str:
    return secrets.token_hex(KEY_BYTES)


def _take_responsibility(row: EndpointRow, administrator: str | None) -> None:
    """Record who chose to accept unsigned requests, if that is so. Raises ``Forbidden``."""
    row.unsigned_by = None
    if row.verifier == Verifier.UNSIGNED:
        if not administrator:
            raise Forbidden("only an administrator may let an endpoint accept unsigned requests")
        row.unsigned_by = administrator


async def _existing(session: Session, tenant: str, endpoint_id: int, *, lock: bool = False) -> EndpointRow:
    row = await rows.get(session, tenant, endpoint_id, lock=lock) if 0 < endpoint_id <= _MAX_ID else None
    if row is None:
        raise NotFound("webhook endpoint", endpoint_id)
    return row


async def _store(session: Session, row: EndpointRow) -> None:
    source, tenant = row.source, row.tenant_id  # a flush that fails takes them away
    session.add(row)
    try:
        await session.flush()
    except IntegrityError as error:
        if isinstance(error.orig, ForeignKeyViolation):
            raise NotFound("tenant", tenant) from error
        raise Conflict(f"{source!r} has its default endpoint: change that one, or make this one no default") from error


def _config_fault(error: Any) -> Fault:
    return Fault(path="/config" + json_pointer(error["loc"]), reason=error["msg"].removeprefix("Value error, "))
