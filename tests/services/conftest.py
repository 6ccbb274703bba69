"""A tenant of one's own for each test, with what the services need to work on."""

from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlmodel import SQLModel

from domain.actions import Call, Catalogue, Connector
from store.database import Database, Transaction
from store.tables import CustomerRow, LeadRow, LicenseTemplateRow, PlanRow


@dataclass
class Books:
    """A tenant's records, and the services at work on them, as the ledger would have them work."""

    database: Database
    tenant: str
    _keys: Any = field(default_factory=lambda: count(1))

    def call(self, key: str | None = None) -> Call:
        return Call(tenant=self.tenant, run_id=1, step="step", key=key or f"run-1/{next(self._keys)}")

    async def transact(self, service: Connector, name: str, **request: Any) -> Any:
        """Perform a transactional action in a transaction of its own."""
        action = Catalogue([service])[name]
        async with self.database.session(self.tenant) as session:
            call = Transaction.within(self.call(), session)
            return await action.handler(action.input_model.model_validate(request), call)

    async def perform(self, service: Connector, name: str, *, key: str | None = None, **request: Any) -> Any:
        """Perform any other action."""
        action = Catalogue([service])[name]
        return await action.handler(action.input_model.model_validate(request), self.call(key))

    async def add(self, *rows: SQLModel) -> None:
        async with self.database.session(self.tenant) as session:
            session.add_all(rows)

    async def rows(self, sql: str, **values: Any) -> list[Any]:
        async with self.database.session(self.tenant) as session:
            return list((await session.execute(text(sql), values)).all())

    async def change(self, sql: str, **values: Any) -> None:
        async with self.database.session(self.tenant) as session:
            await session.execute(text(sql), values)

    async def lead(self, name: str = "Ada Lovelace", email: str | None = "ada@example.com", **fields: Any) -> UUID:
        id_ = fields.pop("id", None) or uuid4()
        await self.add(LeadRow(tenant_id=self.tenant, id=id_, name=name, email=email, **fields))
        return id_

    async def customer(self, name: str = "Ada Lovelace", **fields: Any) -> UUID:
        id_ = uuid4()
        values = {"customer_number": f"CUS-{id_}", "email": f"{id_}@example.com", **fields}
        await self.add(CustomerRow(tenant_id=self.tenant, id=id_, name=name, **values))
        return id_

    async def plan(self, id_: str = "basic-plan", **fields: Any) -> str:
        values = {"name": id_, "amount_cents": 2900, **fields}
        await self.add(PlanRow(tenant_id=self.tenant, id=id_, **values))
        return id_

    async def license_template(self, id_: str = "standard-license", **fields: Any) -> str:
        await self.add(LicenseTemplateRow(tenant_id=self.tenant, id=id_, name=id_, **fields))
        return id_


@pytest.fixture
def books(database: Database) -> Books:
    return Books(database, f"t-{uuid4().hex}")


@pytest.fixture
def other_books(database: Database) -> Books:
    """Another tenant's."""
    return Books(database, f"t-{uuid4().hex}")
