"""A tenant of one's own, a provider, and the activities at work on both, as a worker would call them."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import select
from temporalio.common import RawValue
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.effects import Effects
from domain.actions import Catalogue, Connector
from domain.messages import ActionOutcome, OnUnknown, PerformAction, SecretSlot
from store.database import Database
from store.tables import CustomerRow, EffectRow, LeadRow
from store.vault import MasterKeys, SecretVault
from tests.activities.fakes import Deaths, Provider
from tests.control.conftest import make_tenant

KEY = "run-1-abc/step"
MAX_OUTPUT_BYTES = 1000


def environment(*, local: bool, attempt: int = 1, task_queue: str = "test") -> ActivityEnvironment:
    """An activity's surroundings in the fast lane (``local``) or the regular one."""
    surroundings = ActivityEnvironment()
    surroundings.info = replace(surroundings.info, is_local=local, attempt=attempt, task_queue=task_queue)
    surroundings.payload_converter = pydantic_data_converter.payload_converter
    return surroundings


@dataclass
class Desk:
    """Where orders for actions are handed in; each hand-in is one try."""

    database: Database
    tenant: str
    provider: Connector
    deaths: Deaths = field(default_factory=Deaths)
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def effects(self) -> Effects:
        environment_secrets = {f"STEPWELL_SECRET_{name}": value for name, value in self.secrets.items()}
        vault = SecretVault(self.database, MasterKeys({}), environment_secrets, default_tenant=self.tenant)
        return Effects(self.database, Catalogue([self.provider]), vault, MAX_OUTPUT_BYTES, self.deaths)

    async def perform(
        self,
        action: str,
        input: dict[str, Any] | None = None,  # noqa: A002  # as the message calls it
        *,
        key: str = KEY,
        on_unknown: OnUnknown | None = None,
        secrets: list[SecretSlot] | None = None,
        surroundings: ActivityEnvironment | None = None,
        run_id: int = 1,
    ) -> ActionOutcome:
        order = PerformAction(
            run_id=run_id,
            tenant=self.tenant,
            process="p",
            step="step",
            key=key,
            action=action,
            input=input or {},
            secrets=secrets or [],
            on_unknown=on_unknown,
        )
        payload = pydantic_data_converter.payload_converter.to_payload(order)
        return await (surroundings or environment(local=True)).run(self.effects.perform, [RawValue(payload)])

    async def refused(self, action: str, *args: Any, **options: Any) -> ApplicationError:
        """The error of a try that fails."""
        with pytest.raises(ApplicationError) as caught:
            await self.perform(action, *args, **options)
        return caught.value

    async def entry(self, key: str = KEY) -> EffectRow | None:
        async with self.database.session(self.tenant) as session:
            query = select(EffectRow).where(EffectRow.tenant_id == self.tenant, EffectRow.key == key)
            return (await session.exec(query)).one_or_none()

    async def status(self, key: str = KEY) -> str | None:
        row = await self.entry(key)
        return None if row is None else row.status

    async def age(self, hours: int) -> None:
        """Let the intents of the tenant be that much older."""
        statement = "UPDATE effects SET intended_at = intended_at - make_interval(hours => :hours)"
        async with self.database.session(self.tenant) as session:
            await session.execute(
                text(f"{statement} WHERE tenant_id = :tenant"), {"hours": hours, "tenant": self.tenant}
            )

    async def names(self, table: type[LeadRow | CustomerRow]) -> list[str]:
        """The names in that table of the tenant."""
        async with self.database.session(self.tenant) as session:
            return sorted((await session.exec(select(table.name).where(table.tenant_id == self.tenant))).all())


@pytest.fixture
async def tenant(database):
    return await make_tenant(database)


@pytest.fixture
def provider():
    return Provider()


@pytest.fixture
def desk(database, tenant, provider):
    return Desk(database, tenant, provider)
