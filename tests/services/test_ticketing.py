import asyncio
from datetime import UTC, datetime, timedelta
from hashlib import md5
from uuid import uuid4

import psycopg
import pytest
from pydantic import ValidationError
from sqlalchemy import create_engine, text

from domain.errors import ConnectorError, ErrorCode
from services.ticketing import TicketingService
from store.database import Transaction, sqlalchemy_url

CREATE = "ticketing_service.create_ticket"

service = TicketingService()


async def test_the_onboarding_ticket_of_the_document(books):
    request = {
        "title": "New Customer Onboarding",
        "description": "Complete onboarding for new customer",
        "customer_id": str(await books.customer()),
        "priority": "medium",
        "assigned_team": "customer_success",
    }
    ticket = await books.transact(service, CREATE, **request)
    assert (ticket.ticket_number, ticket.status, ticket.priority) == ("TCK-000001", "open", "normal")
    [row] = await books.rows("SELECT id, title, assigned_team, ticket_type FROM tickets")
    assert row == (ticket.ticket_id, "New Customer Onboarding", "customer_success", "general")


@pytest.mark.parametrize(
    ("priority", "hours"), [("urgent", 4), ("high", 8), ("normal", 24), ("medium", 24), ("low", 72)]
)
async def test_the_priority_says_by_when_it_is_due(books, priority, hours):
    ticket = await books.transact(service, CREATE, title="T", customer_id=await books.customer(), priority=priority)
    due = datetime.now(UTC) + timedelta(hours=hours)
    assert due - timedelta(minutes=1) < ticket.sla_due_date <= due


@pytest.mark.parametrize(
    "request_", [{"title": "  "}, {"title": "a\r\nb"}, {"priority": "asap"}, {"description": "\0"}, {"colour": "red"}]
)
def test_a_bad_request_is_refused_before_anything_happens(request_):
    [action] = service.actions()
    with pytest.raises(ValidationError):
        action.input_model.model_validate({"title": "T", "customer_id": str(uuid4())} | request_)


async def test_an_unknown_customer_and_another_tenants_are_refused(books, other_books):
    for customer in (uuid4(), await other_books.customer()):
        with pytest.raises(ConnectorError, match=f"there is no customer {customer}") as caught:
            await books.transact(service, CREATE, title="T", customer_id=customer)
        assert caught.value.code is ErrorCode.NOT_FOUND
    with pytest.raises(ConnectorError) as caught:
        await books.transact(
            service, CREATE, title="T", customer_id=await books.customer(), tenant_id=other_books.tenant
        )
    assert caught.value.code is ErrorCode.FORBIDDEN


async def test_twenty_tickets_at_once_get_twenty_numbers_in_a_row(books, other_books):
    customer, theirs = await books.customer(), await other_books.customer()
    await other_books.transact(service, CREATE, title="T", customer_id=theirs)
    made = await asyncio.gather(*(books.transact(service, CREATE, title="T", customer_id=customer) for _ in range(20)))
    assert sorted(ticket.ticket_number for ticket in made) == [f"TCK-{n:06}" for n in range(1, 21)]


async def test_an_open_transaction_makes_no_other_wait_for_its_number(books):
    customer = await books.customer()
    await books.transact(service, CREATE, title="first", customer_id=customer)
    async with books.database.session(books.tenant) as session:
        [action] = service.actions()
        request = action.input_model(title="slow", customer_id=customer)
        slow = await action.handler(request, Transaction.within(books.call(), session))
        quick = await books.transact(service, CREATE, title="quick", customer_id=customer)
    assert (slow.ticket_number, quick.ticket_number) == ("TCK-000002", "TCK-000003")


async def test_numbers_grow_beyond_six_digits(books, database_url):
    customer = await books.customer()
    await books.transact(service, CREATE, title="first", customer_id=customer)
    owner = create_engine(sqlalchemy_url(database_url))
    sequence = f"number_{md5(f'TCK/{books.tenant}'.encode(), usedforsecurity=False).hexdigest()}"
    with owner.begin() as connection:
        connection.execute(text("SELECT setval(:sequence, 1234566)"), {"sequence": sequence})
    owner.dispose()
    ticket = await books.transact(service, CREATE, title="T", customer_id=customer)
    assert ticket.ticket_number == "TCK-1234567"


@pytest.mark.parametrize("tenant", ["", "*"])
async def test_a_number_belongs_to_one_tenant(database, tenant):
    with pytest.raises(psycopg.Error, match="one tenant"):
        async with database.session(tenant) as session:
            await session.execute(text("SELECT next_number('TCK')"))
