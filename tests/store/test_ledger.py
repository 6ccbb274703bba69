"""Entries of the ledger: what may follow on what."""

import asyncio
import uuid

import pytest
from sqlalchemy import text

from domain.actions import Call
from store import ledger


@pytest.fixture
def call():
    return Call(tenant=f"t-{uuid.uuid4().hex}", run_id=7, step="s", key="run-7-abc/s")


@pytest.fixture
async def session(database, call):
    async with database.statements(call.tenant) as session:
        yield session


async def attempts(session, call):
    found = await session.execute(text("SELECT attempts FROM effects WHERE tenant_id = :t"), {"t": call.tenant})
    return found.scalar_one()


async def test_an_effect_that_nobody_has_entered_is_unknown(session, call):
    assert await ledger.find(session, call) is None


async def test_of_many_who_intend_an_effect_one_may_act(database, call):
    async def intend():
        async with database.statements(call.tenant) as session:
            return await ledger.intend(session, call, "a")

    assert sorted(await asyncio.gather(*(intend() for _ in range(20)))) == [False] * 19 + [True]


@pytest.mark.parametrize(
    ("status", "plain", "again"), [("failed", True, True), ("skipped", False, True), ("done", False, False)]
)
async def test_who_may_intend_an_effect_once_more(session, call, status, plain, again):
    for once_more, may in ((False, plain), (True, again)):
        await ledger.intend(session, call, "a", again=True)
        await ledger.settle(session, call, "a", status=status)
        assert await ledger.intend(session, call, "a", again=once_more) is may


async def test_an_intent_may_be_entered_again_only_on_purpose(session, call):
    assert await ledger.intend(session, call, "a")
    assert not await ledger.intend(session, call, "a")
    first = (await ledger.find(session, call)).intended_at

    assert await ledger.intend(session, call, "a", again=True)
    assert (await ledger.find(session, call)).intended_at > first
    assert await attempts(session, call) == 2


@pytest.mark.parametrize("outcome", [None, [], {"deep": [1, "ä", None]}, "text", 0])
async def test_the_first_outcome_stays(session, call, outcome):
    assert await ledger.settle(session, call, "a", status="done", outcome=outcome)
    assert not await ledger.settle(session, call, "a", status="done", outcome="other")
    assert not await ledger.settle(session, call, "a", status="failed")

    entry = await ledger.find(session, call)
    assert (entry.status, entry.outcome) == ("done", outcome)


async def test_what_was_given_up_may_still_turn_out_done(session, call):
    await ledger.intend(session, call, "a")
    assert await ledger.settle(session, call, "a", status="skipped")
    assert await ledger.settle(session, call, "a", status="done", outcome=1)


async def test_a_rolled_back_entry_is_none(database, session, call):
    async with database.session(call.tenant) as transaction:
        assert await ledger.settle(transaction, call, "a", status="done")
        await transaction.rollback()

    assert await ledger.find(session, call) is None


async def test_tenants_have_entries_of_their_own(database, session, call):
    await ledger.settle(session, call, "a", status="done", outcome=1)
    theirs = Call(tenant=f"{call.tenant}-b", run_id=7, step="s", key=call.key)

    async with database.statements(theirs.tenant) as other:
        assert await ledger.find(other, theirs) is None
        assert await ledger.find(other, call) is None
        assert await ledger.of_run(other, call.tenant, 7) == []
        assert await ledger.intend(other, theirs, "a")


async def test_the_effects_of_a_run_are_those_that_have_happened_or_may_have(session, call):
    for number, status in enumerate(["intent", "done", "failed", "skipped"]):
        each = Call(tenant=call.tenant, run_id=7, step="s", key=f"run-7/{number}")
        await ledger.intend(session, each, "a")
        if status != "intent":
            await ledger.settle(session, each, "a", status=status)
    other = Call(tenant=call.tenant, run_id=8, step="s", key="run-8/0")
    await ledger.intend(session, other, "a")

    assert await ledger.of_run(session, call.tenant, 7) == ["run-7/1", "run-7/0"]
