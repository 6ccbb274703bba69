"""Rows of processes: what a tenant means by a name, and the wall around built-in ones."""

import uuid

import pytest
from sqlalchemy.exc import ProgrammingError

from domain.ids import BUILTIN_TENANT
from store import definitions
from store.database import ALL_TENANTS
from store.tables import DefinitionRow, DefinitionVersionRow


@pytest.fixture
def name():
    return f"p_{uuid.uuid4().hex[:8]}"


def known(value):
    """``value``, which must not be None."""
    assert value is not None
    return value


async def add(session, tenant, name, *versions):
    row, _ = await definitions.claim_name(session, DefinitionRow(tenant_id=tenant, name=name, digest=versions[-1]))
    for digest in versions:
        await definitions.add_version(
            session,
            DefinitionVersionRow(
                definition_id=known(row.id),
                tenant_id=tenant,
                digest=digest,
                version="1",
                body={"input": {"title": digest}},
            ),
        )
    return row


async def test_a_name_means_the_tenants_own_process_before_the_built_in_one(database, name):
    async with database.session(ALL_TENANTS) as session:
        builtin = await add(session, BUILTIN_TENANT, name, "b")
        own = await add(session, "mine", name, "m")

    async with database.session("mine") as session:
        assert known(await definitions.find(session, "mine", name)).id == own.id
        assert known(await definitions.startable(session, "mine", name)).digest == "m"
    async with database.session("theirs") as session:
        assert known(await definitions.find(session, "theirs", name)).id == builtin.id
        assert known(await definitions.startable(session, "theirs", name)).input_schema == {"title": "b"}


async def test_a_label_means_the_newest_version_of_that_label(database, name):
    async with database.session("mine") as session:
        await add(session, "mine", name, "old", "new")

        assert known(await definitions.startable(session, "mine", name, "1")).digest == "new"
        assert known(await definitions.startable(session, "mine", name, "old")).digest == "old"
        assert known(await definitions.startable(session, "mine", name, "2")).digest is None
        assert await definitions.startable(session, "mine", name + "_", "1") is None


async def test_a_tenants_session_cannot_write_a_built_in_process(database, name):
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with database.session("mine") as session:
            await add(session, BUILTIN_TENANT, name, "b")


async def test_a_session_of_another_tenant_finds_nothing(database, name):
    async with database.session("mine") as session:
        row = await add(session, "mine", name, "m")

    async with database.session("theirs") as session:
        assert await definitions.find(session, "mine", name) is None
        assert await definitions.get(session, "mine", row.id) is None
        assert await definitions.versions(session, row.id) == []
        assert name not in await definitions.names(session, "mine")
