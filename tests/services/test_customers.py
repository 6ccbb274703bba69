import asyncio
from uuid import UUID, uuid4

import pytest

from domain.errors import ConnectorError, ErrorCode
from services.customers import CustomerService
from store.database import Transaction

CREATE = "customer_service.create_from_lead"
LEAD_OF_THE_DOCUMENT = UUID("550e8400-e29b-41d4-a716-446655440000")

service = CustomerService()


async def refusal(books, **request) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        await books.transact(service, CREATE, **request)
    return caught.value


async def test_a_lead_becomes_a_customer_and_is_linked_to_it(books):
    lead = await books.lead(id=LEAD_OF_THE_DOCUMENT, status="qualified", phone="+1 555 0100")
    customer = await books.transact(service, CREATE, lead_id=str(lead), tenant_id=books.tenant)
    assert (customer.name, customer.email, customer.customer_number) == (
        "Ada Lovelace",
        "ada@example.com",
        "CUS-000001",
    )
    [row] = await books.rows("SELECT status, customer_id, converted_at FROM leads")
    assert (row.status, row.customer_id) == ("converted", customer.customer_id)
    assert row.converted_at is not None
    [kept] = await books.rows("SELECT id, phone, status FROM customers")
    assert kept == (customer.customer_id, "+1 555 0100", "active")


@pytest.mark.parametrize("status", ["new", "contacted", "qualified"])
async def test_a_lead_that_is_still_open_can_be_converted(books, status):
    lead = await books.lead(status=status)
    assert (await books.transact(service, CREATE, lead_id=lead)).email == "ada@example.com"


async def test_converting_again_gives_the_same_customer(books):
    lead = await books.lead()
    first = await books.transact(service, CREATE, lead_id=lead)
    assert await books.transact(service, CREATE, lead_id=lead) == first


async def test_a_converted_lead_keeps_its_customer_though_the_customer_has_a_new_address(books):
    lead = await books.lead()
    first = await books.transact(service, CREATE, lead_id=lead)
    await books.change("UPDATE customers SET email = 'new@example.com'")
    again = await books.transact(service, CREATE, lead_id=lead)
    assert (again.customer_id, again.email) == (first.customer_id, "new@example.com")


async def test_the_same_address_in_other_letters_is_the_same_customer(books):
    first = await books.transact(service, CREATE, lead_id=await books.lead(email="Ada@Example.com"))
    other = await books.lead(name="A. Lovelace", email=" ada@example.COM ")
    again = await books.transact(service, CREATE, lead_id=other)
    assert again == first
    assert {row.customer_id for row in await books.rows("SELECT customer_id FROM leads")} == {first.customer_id}


async def test_an_unknown_lead_is_refused_by_name(books):
    lead = uuid4()
    error = await refusal(books, lead_id=lead)
    assert error.code is ErrorCode.NOT_FOUND
    assert not error.retryable
    assert f"there is no lead {lead}" in str(error)


async def test_a_lost_lead_is_refused(books):
    error = await refusal(books, lead_id=await books.lead(status="lost"))
    assert error.code is ErrorCode.INVALID_INPUT
    assert "is lost" in str(error)
    assert await books.rows("SELECT 1 FROM customers") == []


@pytest.mark.parametrize("email", [None, "", "  "])
async def test_a_lead_without_an_address_is_refused(books, email):
    error = await refusal(books, lead_id=await books.lead(email=email))
    assert error.code is ErrorCode.INVALID_INPUT
    assert "no e-mail address" in str(error)


async def test_another_tenants_id_in_the_request_is_forbidden(books, other_books):
    error = await refusal(books, lead_id=await books.lead(), tenant_id=other_books.tenant)
    assert error.code is ErrorCode.FORBIDDEN


async def test_another_tenants_lead_does_not_exist(books, other_books):
    lead = await other_books.lead()
    assert (await refusal(books, lead_id=lead)).code is ErrorCode.NOT_FOUND


async def test_two_tenants_have_customers_of_the_same_address_and_number(books, other_books):
    mine = await books.transact(service, CREATE, lead_id=await books.lead(id=LEAD_OF_THE_DOCUMENT))
    theirs = await other_books.transact(service, CREATE, lead_id=await other_books.lead(id=LEAD_OF_THE_DOCUMENT))
    assert mine.customer_id != theirs.customer_id
    assert mine.customer_number == theirs.customer_number
    assert [row.id for row in await books.rows("SELECT id FROM customers")] == [mine.customer_id]


async def test_twenty_conversions_of_one_lead_at_once_make_one_customer(books):
    lead = await books.lead()
    made = await asyncio.gather(*(books.transact(service, CREATE, lead_id=lead) for _ in range(20)))
    assert len({customer.customer_id for customer in made}) == 1
    assert len(await books.rows("SELECT 1 FROM customers")) == 1


async def test_twenty_leads_with_one_address_at_once_make_one_customer(books):
    leads = [await books.lead(email=f"{'A' if n % 2 else 'a'}da@example.com") for n in range(20)]
    made = await asyncio.gather(*(books.transact(service, CREATE, lead_id=lead) for lead in leads))
    assert len({customer.customer_id for customer in made}) == 1
    assert len(await books.rows("SELECT 1 FROM leads WHERE status = 'converted'")) == 20


async def test_what_is_rolled_back_leaves_nothing(books):
    lead = await books.lead()
    with pytest.raises(ZeroDivisionError):
        async with books.database.session(books.tenant) as session:
            await _convert_and_fail(books, session, lead)
    assert await books.rows("SELECT 1 FROM customers") == []
    assert [row.status for row in await books.rows("SELECT status FROM leads")] == ["new"]


async def _convert_and_fail(books, session, lead):
    from_catalogue = next(service.actions())
    call = Transaction.within(books.call(), session)
    await from_catalogue.handler(from_catalogue.input_model(lead_id=lead), call)
    raise ZeroDivisionError
