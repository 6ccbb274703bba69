"""Customers, and how a lead becomes one."""

from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict
from sqlalchemy import text

from domain.actions import Connector, Effect, action
from domain.errors import ConnectorError, ErrorCode
from services.request import Request
from store.database import Transaction
from store.session import Session


class CreateFromLead(Request):
    """Which lead to convert."""

    lead_id: UUID


class Customer(BaseModel):
    """The customer that the lead has become."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    customer_id: UUID
    name: str
    email: str
    customer_number: str


# The lock makes conversions of one lead queue; whoever waited finds it converted, and no row here.
_CONVERT = text("""
    WITH lead AS (
        SELECT name, btrim(email) AS email, phone FROM leads
        WHERE tenant_id = :tenant AND id = :lead AND status IN ('new', 'contacted', 'qualified') AND btrim(email) <> ''
        FOR UPDATE
    ), customer AS (
        INSERT INTO customers (tenant_id, id, customer_number, name, email, phone, status, created_at, updated_at)
        SELECT :tenant, :customer, next_number('CUS'), name, email, phone, 'active', now(), now() FROM lead
        ON CONFLICT (tenant_id, lower(email)) DO UPDATE SET email = customers.email
        RETURNING id AS customer_id, name, email, customer_number
    ), converted AS (
        UPDATE leads SET status = 'converted', customer_id = customer.customer_id, converted_at = now(),
            updated_at = now()
        FROM customer WHERE leads.tenant_id = :tenant AND leads.id = :lead
    )
    SELECT customer_id, name, email, customer_number FROM customer
""")
_FIND_CONVERTED = text("""
    SELECT leads.status AS lead_status, customers.id AS customer_id, customers.name, customers.email,
        customers.customer_number
    FROM leads LEFT JOIN customers ON customers.tenant_id = leads.tenant_id AND customers.id = leads.customer_id
    WHERE leads.tenant_id = :tenant AND leads.id = :lead
""")
_STATUS = text("SELECT status FROM customers WHERE tenant_id = :tenant AND id = :customer")


class CustomerService(Connector):
    """Keeps the tenant's customers."""

    @action("customer_service.create_from_lead", effect=Effect.TRANSACTIONAL)
    async def create_from_lead(self, request: CreateFromLead, call: Transaction) -> Customer:
        """Make a lead a customer.

        The lead is marked converted and linked. A lead that is converted already, and one whose e-mail address
        (in any letter case) a customer of the tenant has, gives that customer. A lead that is lost, or has no e-mail
        address, is refused.
        """
        request.check_tenant(call)
        values = {"tenant": call.tenant, "lead": request.lead_id, "customer": uuid4()}
        row = (await call.session.execute(_CONVERT, values)).one_or_none()
        if row is not None:
            return Customer.model_validate(row)
        return await _converted_before(call, request.lead_id)


async def _converted_before(call: Transaction, lead_id: UUID) -> Customer:
    row = (await call.session.execute(_FIND_CONVERTED, {"tenant": call.tenant, "lead": lead_id})).one_or_none()
    if row is None:
        raise ConnectorError(ErrorCode.NOT_FOUND, f"there is no lead {lead_id}; create it before it is onboarded")
    if row.customer_id is not None:
        return Customer.model_validate(row)
    if row.lead_status == "lost":
        raise ConnectorError(ErrorCode.INVALID_INPUT, f"lead {lead_id} is lost; set it to qualified to convert it")
    raise ConnectorError(ErrorCode.INVALID_INPUT, f"lead {lead_id} has no e-mail address; add one to convert it")


async def require_active_customer(session: Session, tenant: str, customer_id: UUID) -> None:
    """Refuse a customer that is not there (``NOT_FOUND``) or no longer active (``INVALID_INPUT``)."""
    status = (await session.execute(_STATUS, {"tenant": tenant, "customer": customer_id})).scalar_one_or_none()
    if status is None:
        raise ConnectorError(ErrorCode.NOT_FOUND, f"there is no customer {customer_id}")
    if status != "active":
        raise ConnectorError(ErrorCode.INVALID_INPUT, f"customer {customer_id} is {status}; reactivate it first")
