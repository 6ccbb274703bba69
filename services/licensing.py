"""Licences."""

import secrets
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict
from sqlalchemy import text

from domain.actions import Connector, Effect, action
from domain.errors import ConnectorError, ErrorCode
from services.customers import require_active_customer
from services.request import Request, Slug
from store.database import Transaction

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Thirty-two signs that are not mistaken for one another: no I, L, O, U."""
_GROUPS: Final = 5
_GROUP_LENGTH: Final = 5


class IssueLicense(Request):
    """Who gets a licence, on which terms."""

    customer_id: UUID
    license_template_id: Slug


class License(BaseModel):
    """The licence that was issued."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    license_key: str
    """``XXXXX-XXXXX-XXXXX-XXXXX-XXXXX``, 125 bits that cannot be guessed."""
    license_id: UUID
    status: str
    expiry_date: datetime | None
    """None: it does not expire."""
    max_activations: int


_ISSUE = text("""
    INSERT INTO licenses (tenant_id, id, customer_id, license_template_id, license_key, status, max_activations,
        expires_at, created_at)
    SELECT customers.tenant_id, :license, customers.id, terms.id, :key, 'active', terms.max_activations,
        now() + make_interval(days => terms.validity_days), now()
    FROM customers, license_templates AS terms
    WHERE customers.tenant_id = :tenant AND customers.id = :customer AND customers.status = 'active'
        AND terms.tenant_id = :tenant AND terms.id = :template AND terms.is_active
    RETURNING id AS license_id, license_key, status, expires_at AS expiry_date, max_activations
""")
_TEMPLATE_IS_ACTIVE = text("SELECT is_active FROM license_templates WHERE tenant_id = :tenant AND id = :template")


class LicenseService(Connector):
    """Keeps the tenant's licences."""

    @action("license_service.issue_license", effect=Effect.TRANSACTIONAL)
    async def issue_license(self, request: IssueLicense, call: Transaction) -> License:
        """Issue a licence to a customer, on the terms of a licence template."""
        request.check_tenant(call)
        values = {
            "tenant": call.tenant,
            "license": uuid4(),
            "customer": request.customer_id,
            "template": request.license_template_id,
            "key": _new_key(),
        }
        row = (await call.session.execute(_ISSUE, values)).one_or_none()
        if row is None:
            raise await _refusal(request, call)
        return License.model_validate(row)


def _new_key() -> str:
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS))


async def _refusal(request: IssueLicense, call: Transaction) -> ConnectorError:
    await require_active_customer(call.session, call.tenant, request.customer_id)
    template = request.license_template_id
    values = {"tenant": call.tenant, "template": template}
    if (await call.session.execute(_TEMPLATE_IS_ACTIVE, values)).scalar_one_or_none() is None:
        return ConnectorError(ErrorCode.NOT_FOUND, f"there is no license template {template!r}")
    return ConnectorError(ErrorCode.INVALID_INPUT, f"license template {template!r} is retired; choose another")
