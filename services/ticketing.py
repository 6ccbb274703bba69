"""Tickets: work for a team, with a date by which it is due."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Final, Literal
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import text

from domain.actions import Connector, Effect, action
from domain.errors import ConnectorError, ErrorCode
from services.request import Name, Request, Slug, Text
from store.database import Transaction
from store.tables.base import now

TIME_TO_RESOLVE: Final[Mapping[str, timedelta]] = MappingProxyType(
    {
        "urgent": timedelta(hours=4),
        "high": timedelta(hours=8),
        "normal": timedelta(hours=24),
        "low": timedelta(hours=72),
    }
)
"""How long a team has, by priority, counted round the clock."""


class CreateTicket(Request):
    """The work, for whom, and how urgent it is."""

    title: Name
    description: Annotated[Text, Field(max_length=20_000)] = ""
    customer_id: UUID
    priority: Literal["low", "normal", "medium", "high", "urgent"] = "normal"
    """``medium`` means ``normal``."""
    assigned_team: Slug | None = None
    ticket_type: Slug = "general"


class Ticket(BaseModel):
    """The ticket that was opened."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    ticket_id: UUID
    ticket_number: str
    """``TCK-000001``, ascending for each tenant."""
    status: str
    priority: str
    assigned_team: str | None = None
    sla_due_date: datetime


_OPEN = text("""
    INSERT INTO tickets (tenant_id, id, ticket_number, customer_id, title, description, ticket_type, priority, status,
        assigned_team, sla_due_date, created_at, updated_at)
    SELECT tenant_id, :ticket, next_number('TCK'), id, :title, :description, :ticket_type, :priority, 'open',
        :assigned_team, :due, now(), now()
    FROM customers WHERE tenant_id = :tenant AND id = :customer
    RETURNING id AS ticket_id, ticket_number, status, priority, assigned_team, sla_due_date
""")


class TicketingService(Connector):
    """Keeps the tenant's tickets."""

    @action("ticketing_service.create_ticket", effect=Effect.TRANSACTIONAL)
    async def create_ticket(self, request: CreateTicket, call: Transaction) -> Ticket:
        """Open a ticket about a customer, due by its priority: urgent 4 h, high 8 h, normal 24 h, low 72 h."""
        request.check_tenant(call)
        priority = "normal" if request.priority == "medium" else request.priority
        values = {
            "tenant": call.tenant,
            "ticket": uuid4(),
            "customer": request.customer_id,
            "title": request.title,
            "description": request.description,
            "ticket_type": request.ticket_type,
            "priority": priority,
            "assigned_team": request.assigned_team,
            "due": now() + TIME_TO_RESOLVE[priority],
        }
        row = (await call.session.execute(_OPEN, values)).one_or_none()
        if row is None:
            raise ConnectorError(ErrorCode.NOT_FOUND, f"there is no customer {request.customer_id}")
        return Ticket.model_validate(row)
