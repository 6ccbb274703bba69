"""Deployments: the customers' own instances, and who sets them up."""

import re
import secrets
import unicodedata
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy import Row, bindparam, text

from domain.actions import Call, Connector, Effect, action
from domain.errors import ConnectorError, ErrorCode
from domain.provisioning import Provisioner, ProvisionOrder
from services.request import Name, Request, Slug
from store.database import Database
from store.session import Session
from store.tables.base import Json

_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "manual": "manual",
        "kubernetes": "kubernetes",
        "k8s": "kubernetes",
        "awx": "awx",
        "ansible": "awx",
        "docker": "docker",
        "docker_compose": "docker",
        "terraform": "terraform",
        "tf": "terraform",
    }
)
_RESERVED_HOSTS: Final = frozenset(
    {"admin", "api", "app", "auth", "ftp", "login", "mail", "ns", "smtp", "status", "www"}
)
"""Host names that no customer gets: people would take them for the platform's own."""

_MAX_STEM: Final = 56
"""A DNS label has at most 63 signs (RFC 1035, 2.3.4); seven are kept for a suffix."""
_SLUG_TRIES: Final = 4
_DETAILS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "pending_manual": "The work order is recorded; the URL answers once somebody has set the instance up.",
        "active": "The instance is set up.",
    }
)


class ProvisionTenant(Request):
    """Which customer gets an instance, under which licence, and how it is set up."""

    customer_id: UUID
    license_key: Name
    deployment_type: Literal[
        "manual", "kubernetes", "k8s", "awx", "ansible", "docker", "docker_compose", "terraform", "tf"
    ]
    environment: Slug = "production"
    region: Slug | None = None
    config: dict[str, JsonValue] = Field(default_factory=dict)


class Instance(BaseModel):
    """The customer's instance, as far as it is."""

    model_config = ConfigDict(frozen=True)

    tenant_url: str
    instance_id: UUID
    status: Literal["pending_manual", "active"]
    endpoints: dict[str, str]
    """What answers where; empty until something does."""
    deployment_type: str
    environment: str
    detail: str


_INSTANCE: Final = """instances.id AS instance_id, instances.status, instances.tenant_url, instances.endpoints,
    instances.deployment_type, instances.environment"""
_LOOK_UP = text(f"""
    SELECT customers.name AS customer_name, customers.status AS customer_status,
        licenses.id AS license_id, licenses.customer_id AS holder, licenses.status AS license_status,
        licenses.expires_at <= now() AS expired, {_INSTANCE}
    FROM (VALUES (1)) AS one (n)
    LEFT JOIN customers ON customers.tenant_id = :tenant AND customers.id = :customer
    LEFT JOIN licenses ON licenses.tenant_id = :tenant AND licenses.license_key = :license_key
    LEFT JOIN instances ON instances.tenant_id = :tenant AND instances.effect_key = :key
""")  # noqa: S608
_RECORD = text(f"""
    INSERT INTO instances (tenant_id, id, effect_key, customer_id, license_id, deployment_type, environment, region,
        config, slug, tenant_url, status, endpoints, created_at, updated_at)
    VALUES (:tenant, :instance, :key, :customer, :license, :deployment_type, :environment, :region,
        :config, :slug, :tenant_url, :status, '{{}}', now(), now())
    ON CONFLICT DO NOTHING RETURNING {_INSTANCE}
""").bindparams(bindparam("config", type_=Json))  # noqa: S608
_FIND = text(f"SELECT {_INSTANCE} FROM instances WHERE tenant_id = :tenant AND effect_key = :key")  # noqa: S608
_READY = text(f"""
    UPDATE instances SET status = 'active', tenant_url = coalesce(:url, tenant_url), endpoints = :endpoints,
        failure = NULL, updated_at = now()
    WHERE tenant_id = :tenant AND id = :instance RETURNING {_INSTANCE}
""").bindparams(bindparam("endpoints", type_=Json))  # noqa: S608
_FAILED = text("""
    UPDATE instances SET status = 'failed', failure = :failure, updated_at = now()
    WHERE tenant_id = :tenant AND id = :instance AND status <> 'active'
""")


class DeploymentService(Connector):
    """Keeps the customers' instances. Each gets a host name under ``tenant_domain``.

    ``provisioner`` sets up what is not done by hand.
    """

    def __init__(self, database: Database, tenant_domain: str, provisioner: Provisioner | None = None) -> None:
        self._database = database
        self._tenant_domain = tenant_domain
        self._provisioner = provisioner

    @action("deployment_service.provision_tenant", effect=Effect.KEYED)
    async def provision_tenant(self, request: ProvisionTenant, call: Call) -> Instance:
        """Give a licensed customer an instance with a URL of its own.

        ``manual`` records the work order and answers ``pending_manual``: people do the rest. Every other type is
        set up by the provisioner of this deployment, and answers when the instance is ready. The licence must be
        valid and the customer's own. One instance for each step of a run, however often it is tried.
        """
        request.check_tenant(call)
        kind = _TYPES[request.deployment_type]
        if kind == "manual":
            return _instance(await self._order(request, call, kind))
        if self._provisioner is None:
            raise ConnectorError(
                ErrorCode.CONFIG_INVALID,
                f"no provisioner is configured for deployment_type {request.deployment_type!r};"
                " set STEPWELL_PROVISIONER_URL, or use deployment_type 'manual'",
            )
        return await self._set_up(self._provisioner, request, call, kind)

    async def _set_up(self, provisioner: Provisioner, request: ProvisionTenant, call: Call, kind: str) -> Instance:
        ordered = await self._order(request, call, kind)
        if ordered.status == "active":
            return _instance(ordered)
        order = ProvisionOrder(
            instance_id=str(ordered.instance_id),
            tenant=call.tenant,
            customer_id=str(request.customer_id),
            deployment_type=kind,
            environment=request.environment,
            region=request.region,
            config=request.config,
            tenant_url=ordered.tenant_url,
            license_key=request.license_key,
        )
        try:
            made = await provisioner.provision(order, key=call.key, heartbeat=call.heartbeat)
        except ConnectorError as error:
            if not error.ambiguous:
                failed = {"tenant": call.tenant, "instance": ordered.instance_id, "failure": str(error)}
                async with self._database.statements(call.tenant) as session:
                    await session.execute(_FAILED, failed)
            raise
        ready = {
            "tenant": call.tenant,
            "instance": ordered.instance_id,
            "url": made.url,
            "endpoints": made.endpoints,
        }
        async with self._database.statements(call.tenant) as session:
            return _instance((await session.execute(_READY, ready)).one())

    async def _order(self, request: ProvisionTenant, call: Call, kind: str) -> Any:
        """The instance that this call orders, or has ordered at an earlier try."""
        values = {
            "tenant": call.tenant,
            "customer": request.customer_id,
            "license_key": request.license_key,
            "key": call.key,
        }
        async with self._database.statements(call.tenant) as session:
            found = (await session.execute(_LOOK_UP, values)).one()
            if found.instance_id is not None:
                return found
            _check(request, found)
            values |= {
                "license": found.license_id,
                "deployment_type": kind,
                "environment": request.environment,
                "region": request.region,
                "config": request.config,
                "status": "pending_manual" if kind == "manual" else "provisioning",
            }
            return await self._record(session, found.customer_name, values)

    async def _record(self, session: Session, customer_name: str, values: dict[str, Any]) -> Any:
        for slug in _slugs(customer_name):
            named = {"instance": uuid4(), "slug": slug, "tenant_url": f"https://{slug}.{self._tenant_domain}"}
            recorded = (await session.execute(_RECORD, values | named)).one_or_none()
            if recorded is not None:
                return recorded
        # Either another try of this very call was quicker, or all these names are taken.
        recorded = (await session.execute(_FIND, {"tenant": values["tenant"], "key": values["key"]})).one_or_none()
        if recorded is None:
            raise ConnectorError(ErrorCode.INTERNAL_ERROR, f"no free host name was found for {customer_name!r}")
        return recorded


def _instance(row: Any) -> Instance:
    return Instance(
        tenant_url=row.tenant_url,
        instance_id=row.instance_id,
        status=row.status,
        endpoints=row.endpoints,
        deployment_type=row.deployment_type,
        environment=row.environment,
        detail=_DETAILS[row.status],
    )


def _check(request: ProvisionTenant, found: Row[Any]) -> None:
    """Refuse unless the customer is active and holds the licence. The key itself is told to nobody."""
    if found.customer_name is None:
        raise ConnectorError(ErrorCode.NOT_FOUND, f"there is no customer {request.customer_id}")
    if found.customer_status != "active":
        raise ConnectorError(
            ErrorCode.INVALID_INPUT, f"customer {request.customer_id} is {found.customer_status}; reactivate it first"
        )
    if found.license_id is None or found.holder != request.customer_id:
        raise ConnectorError(
            ErrorCode.NOT_FOUND, f"customer {request.customer_id} has no licence with this key; issue one first"
        )
    if found.license_status != "active" or found.expired:
        state = "expired" if found.expired else found.license_status
        raise ConnectorError(ErrorCode.INVALID_INPUT, f"licence {found.license_id} is {state}; issue a new one")


def _slugs(customer_name: str) -> Iterator[str]:
    """Host names to try, the plain one first; a suffix, since who has the plain one may be another tenant's."""
    plain = unicodedata.normalize("NFKD", customer_name).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_MAX_STEM].strip("-")
    if stem and stem not in _RESERVED_HOSTS:
        yield stem
    for _ in range(_SLUG_TRIES):
        yield f"{stem or 'customer'}-{secrets.token_hex(3)}"
