"""Row-level security around the business's tables: the wall that holds even where a query forgets the tenant."""

from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from store.database import sqlalchemy_url
from store.tables import EmailTemplateRow, LeadRow, TicketRow, business, metadata
from store.tables.base import now

TABLES = sorted(
    row.__tablename__
    for row in vars(business).values()
    if getattr(row, "__module__", "") == business.__name__
    if hasattr(row, "__tablename__")
)


@pytest.mark.parametrize("table", TABLES)
def test_every_table_is_walled_and_begins_its_key_with_the_tenant(database_url, table):
    owner = create_engine(sqlalchemy_url(database_url))
    with owner.connect() as connection:
        walled = connection.execute(
            text("SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = to_regclass(:table)"),
            {"table": table},
        ).scalar_one()
    owner.dispose()
    assert walled
    assert [column.name for column in metadata.tables[table].primary_key] == ["tenant_id", "id"]


async def test_a_tenant_cannot_write_for_another(books, other_books):
    with pytest.raises(ProgrammingError, match="row-level security"):
        await books.add(LeadRow(tenant_id=other_books.tenant, name="Mallory"))


async def test_a_tenant_cannot_change_or_delete_anothers_rows(books, other_books):
    await other_books.lead()
    await books.change("UPDATE leads SET name = 'changed'")
    await books.change("DELETE FROM leads")
    assert [row.name for row in await other_books.rows("SELECT name FROM leads")] == ["Ada Lovelace"]


async def test_a_row_cannot_refer_to_another_tenants_customer(books, other_books):
    ticket = TicketRow(
        tenant_id=books.tenant,
        ticket_number="TCK-000001",
        customer_id=await other_books.customer(),
        title="T",
        description="",
        ticket_type="general",
        priority="normal",
        sla_due_date=now(),
    )
    with pytest.raises(IntegrityError, match="fk_tickets_tenant_id_customers"):
        await books.add(ticket)


async def test_the_platforms_templates_are_read_by_all_and_written_by_no_tenant(books):
    [welcome] = await books.rows("SELECT tenant_id FROM email_templates WHERE id = 'customer_welcome'")
    assert welcome.tenant_id == ""
    await books.change("UPDATE email_templates SET subject = 'changed'")
    await books.change("DELETE FROM email_templates")
    [welcome] = await books.rows("SELECT subject FROM email_templates WHERE id = 'customer_welcome'")
    assert welcome.subject == "Welcome, {{customer_name}}"
    with pytest.raises(ProgrammingError, match="row-level security"):
        await books.add(EmailTemplateRow(tenant_id="", id=f"t-{uuid4().hex}", subject="s", body_text="b"))


async def test_a_session_without_a_tenant_sees_nothing(books, database):
    await books.lead()
    async with database.session("") as session:
        assert (await session.execute(text("SELECT 1 FROM leads"))).all() == []
