"""Secrets: encrypted for one tenant, name and version, resolved for actions, encrypted anew."""

import asyncio
import base64
import uuid

import pytest

from control.secrets import Secrets
from domain.errors import ConnectorError, ErrorCode, InputInvalid, NotFound, Unavailable
from store import identity as rows
from store.database import Database
from store.secrets import newest
from store.vault import MasterKeys, SecretVault, environment_secrets

KEY_1, KEY_2 = bytes(range(32)), bytes(range(32, 64))
OLD = MasterKeys({"k1": KEY_1})
BOTH = MasterKeys({"k2": KEY_2, "k1": KEY_1})
NEW = MasterKeys({"k2": KEY_2})


def vault(database, keys=OLD, env=None, **more):
    return SecretVault(database, keys, env or {}, **{"lifetime_seconds": 0.0, **more})


@pytest.fixture
async def tenant(database) -> str:
    tenant = f"t-{uuid.uuid4().hex[:12]}"
    async with database.session(tenant) as session:
        await rows.ensure_tenant(session, tenant, tenant)
    return tenant


async def stored(database, tenant, name):
    async with database.session(tenant) as session:
        [row] = await newest(session, tenant, [name])
    return row


async def test_a_secret_is_resolved_in_its_newest_version_for_its_tenant_only(database, tenant):
    secrets = Secrets(database, OLD)
    assert await secrets.put(tenant, "TOKEN", "one") == 1
    assert await secrets.rotate(tenant, "TOKEN", "zwei ü") == 2
    assert await vault(database).resolve(tenant, {"TOKEN"}) == {"TOKEN": "zwei ü"}
    assert await vault(database).resolve(tenant, set()) == {}
    with pytest.raises(ConnectorError):
        await vault(database).resolve("t-other", {"TOKEN"})


async def test_a_secret_that_is_not_set_is_named(database, tenant):
    with pytest.raises(ConnectorError, match="'ABSENT' is not set") as missing:
        await vault(database).resolve(tenant, {"ABSENT"})
    assert (missing.value.code, missing.value.retryable) == (ErrorCode.CONFIG_INVALID, False)


async def test_the_environments_secrets_are_the_default_tenants_and_the_table_wins(database, tenant):
    env = {"STEPWELL_SECRET_A": "new", "AUTOMATE_A": "old", "AUTOMATE_B": "b", "AUTOMATE_C": "", "STEPWELL_JWT": "x"}
    assert environment_secrets(env) == {"A": "new", "B": "b"}
    own = vault(database, env=env, default_tenant=tenant)
    assert await own.resolve(tenant, {"A", "B"}) == {"A": "new", "B": "b"}
    assert await own.names(tenant) == {"A", "B"}
    await Secrets(database, OLD).put(tenant, "A", "from the table")
    assert await own.resolve(tenant, {"A"}) == {"A": "from the table"}
    with pytest.raises(ConnectorError):
        await vault(database, env=env, default_tenant="t-default").resolve(tenant, {"B"})


async def test_a_value_is_kept_for_a_moment_and_then_read_anew(database, tenant):
    secrets = Secrets(database, OLD)
    await secrets.put(tenant, "TOKEN", "one")
    keeping = vault(database, lifetime_seconds=60.0)
    assert await keeping.resolve(tenant, {"TOKEN"}) == {"TOKEN": "one"}
    await secrets.put(tenant, "TOKEN", "two")
    assert await keeping.resolve(tenant, {"TOKEN"}) == {"TOKEN": "one"}
    keeping.forget(tenant, "TOKEN")
    assert await keeping.resolve(tenant, {"TOKEN"}) == {"TOKEN": "two"}


async def test_nothing_of_the_value_is_in_the_row_and_it_is_bound_to_its_place(database, tenant):
    secrets = Secrets(database, OLD)
    await secrets.put(tenant, "A", "canary")
    await secrets.put(tenant, "B", "other")
    row = await stored(database, tenant, "A")
    for form in (b"canary", base64.b64encode(b"canary")):
        assert form not in row.ciphertext
    assert OLD.open(row) == "canary"
    for change in (
        {"name": "B"},
        {"tenant_id": "t-other"},
        {"version": 2},
        {"ciphertext": row.ciphertext[:-1] + b"\0"},
    ):
        moved = row.model_copy(update=change)
        with pytest.raises(ConnectorError, match="cannot be decrypted") as refused:
            OLD.open(moved)
        assert "canary" not in str(refused.value)


async def test_versions_count_up_although_many_set_at_once(database, tenant):
    secrets = Secrets(database, OLD)
    versions = await asyncio.gather(*(secrets.put(tenant, "A", str(number)) for number in range(8)))
    assert sorted(versions) == list(range(1, 9))


async def test_the_listing_tells_everything_but_values(database, tenant):
    secrets = Secrets(database, OLD)
    await secrets.put(tenant, "B", "x", by="ann")
    await secrets.put(tenant, "A", "x", by="ann")
    await secrets.put(tenant, "A", "y", by="bob")
    first, second = await secrets.list(tenant)
    assert (first.name, first.version, first.updated_by) == ("A", 2, "bob")
    assert first.created_at < first.updated_at
    assert (second.name, second.version, second.updated_by) == ("B", 1, "ann")


async def test_everything_is_encrypted_anew_under_the_first_key_and_the_old_one_may_go(fresh_database_url):
    database = Database(fresh_database_url)
    for tenant in ("t-1", "t-2"):
        async with database.session(tenant) as session:
            await rows.ensure_tenant(session, tenant, tenant)
        for value in ("one", "two"):
            await Secrets(database, OLD).put(tenant, "A", value)
    with pytest.raises(ConnectorError, match="'k1', which STEPWELL_MASTER_KEYS lacks"):
        await vault(database, NEW).resolve("t-1", {"A"})
    assert await vault(database, BOTH).resolve("t-1", {"A"}) == {"A": "two"}
    assert await Secrets(database, BOTH).reencrypt() == 4
    assert await Secrets(database, BOTH).reencrypt() == 0
    for tenant in ("t-1", "t-2"):
        assert await vault(database, NEW).resolve(tenant, {"A"}) == {"A": "two"}
    await database.close()


async def test_without_keys_nothing_is_stored_and_what_is_bad_or_absent_is_refused(database, tenant):
    with pytest.raises(Unavailable, match="STEPWELL_MASTER_KEYS"):
        await Secrets(database, MasterKeys({})).put(tenant, "A", "x")
    secrets = Secrets(database, OLD)
    for name, value in (("1A", "x"), ("A B", "x"), ("A|1", "x"), ("A" * 65, "x"), ("A", ""), ("A", "x" * 65_537)):
        with pytest.raises(InputInvalid):
            await secrets.put(tenant, name, value)
    with pytest.raises(NotFound):
        await secrets.rotate(tenant, "A", "x")
    with pytest.raises(NotFound):
        await secrets.delete(tenant, "A")
    assert await secrets.list(tenant) == []


@pytest.mark.parametrize("text", ["k1", "k1:", "k1:xyz", f"k1:{'A' * 40}", ":AAAA", "k 1:AAAA"])
def test_master_keys_that_are_none_are_refused_without_being_shown(text):
    with pytest.raises(ValueError, match="STEPWELL_MASTER_KEYS") as refused:
        MasterKeys.parse(text)
    assert "A" * 40 not in str(refused.value)


def test_the_first_master_key_encrypts():
    entries = [f"{kid}:{base64.b64encode(key).decode()}" for kid, key in (("n", KEY_2), ("o", KEY_1))]
    assert MasterKeys.parse(",".join(entries)).primary == "n"
    assert MasterKeys.parse(None).primary is None
    with pytest.raises(ValueError, match="entry 2"):
        MasterKeys.parse(f"{entries[0]},{entries[0]}")
