"""Activities of the processes written by hand: the same work on the same services, in ordinary transactions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import httpx2
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.ext.asyncio import AsyncSession as SQLAlchemySession
from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio import activity

from services.billing import BillingService, CreateSubscription, Subscription
from services.customers import CreateFromLead, Customer, CustomerService
from services.licensing import IssueLicense, LicenseService
from services.licensing import License as IssuedLicense
from services.ticketing import CreateTicket, TicketingService
from services.ticketing import Ticket as OpenedTicket
from store.database import APP_ROLE, Transaction, sqlalchemy_url


class PlainSession(AsyncSession):
    """SQLModel's own session, as one takes it without Stepwell."""

    execute = SQLAlchemySession.execute  # SQLModel's warns at each call


def plain_engine(url: str, tenant: str) -> AsyncEngine:
    """SQLAlchemy's own engine, whose connections act for the tenant."""
    options = f"-c role={APP_ROLE} -c timezone=UTC -c stepwell.tenant={tenant}"
    connect_args = {"options": options, "prepare_threshold": 2}
    return create_async_engine(sqlalchemy_url(url), pool_size=16, max_overflow=0, connect_args=connect_args)


class Lead(BaseModel):
    """The lead to make a customer of."""

    lead_id: UUID


class Subscribe(BaseModel):
    """Who subscribes to what."""

    customer_id: UUID
    plan_id: str


class License(BaseModel):
    """Who gets which licence."""

    customer_id: UUID
    license_template_id: str


class Ticket(BaseModel):
    """The ticket to open."""

    customer_id: UUID
    description: str


class Onboarded(BaseModel):
    """The end of an onboarding."""

    customer_id: UUID
    ticket_number: str


class PostOrder(BaseModel):
    """What to post where."""

    url: str
    value: int


@dataclass(frozen=True)
class ServiceActivities:
    """The business's services, called directly."""

    engine: AsyncEngine
    tenant: str
    billing: BillingService
    customers: CustomerService
    licenses: LicenseService
    tickets: TicketingService

    @activity.defn
    async def create_customer(self, order: Lead) -> Customer:
        """Make a lead a customer."""
        async with self._transaction() as call:
            return await self.customers.create_from_lead(CreateFromLead(lead_id=order.lead_id), call)

    @activity.defn
    async def create_subscription(self, order: Subscribe) -> Subscription:
        """Subscribe a customer to a plan."""
        request = CreateSubscription(customer_id=order.customer_id, plan_id=order.plan_id)
        async with self._transaction() as call:
            return await self.billing.create_subscription(request, call)

    @activity.defn
    async def issue_license(self, order: License) -> IssuedLicense:
        """Issue a licence."""
        request = IssueLicense(customer_id=order.customer_id, license_template_id=order.license_template_id)
        async with self._transaction() as call:
            return await self.licenses.issue_license(request, call)

    @activity.defn
    async def create_ticket(self, order: Ticket) -> OpenedTicket:
        """Open the onboarding ticket."""
        request = CreateTicket(
            customer_id=order.customer_id,
            title="New Customer Onboarding",
            description=order.description,
            priority="medium",
            assigned_team="customer_success",
        )
        async with self._transaction() as call:
            return await self.tickets.create_ticket(request, call)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        info = activity.info()
        async with PlainSession(self.engine, expire_on_commit=False) as session:
            yield Transaction(self.tenant, 0, info.activity_id, info.activity_id, session=session)  # type: ignore[arg-type]
            await session.commit()


@dataclass(frozen=True)
class PostActivities:
    """HTTP through one client."""

    http: httpx2.AsyncClient

    @activity.defn
    async def post(self, order: PostOrder) -> int:
        """Post a value, and give the one that comes back."""
        answer = await self.http.post(order.url, json={"value": order.value})
        answer.raise_for_status()
        return int(answer.json()["value"])
