"""Webhook endpoints: what one must be, whose it is, and where requests find it."""

import asyncio

import pytest

from control.endpoints import Endpoints
from control.secrets import Secrets
from domain.errors import Conflict, Forbidden, InputInvalid, NotFound
from domain.webhooks import EndpointChange, NewEndpoint
from store.vault import MasterKeys, SecretVault

KEYS = MasterKeys({"k1": bytes(32)})


@pytest.fixture
def endpoints(database, tenant):
    vault = SecretVault(database, KEYS, {}, default_tenant=tenant, lifetime_seconds=0.0)
    return Endpoints(database, vault, default_tenant=tenant)


def new(source="stripe", verifier="stripe", secrets=("WHSEC",), **more):
    return NewEndpoint(source=source, verifier=verifier, secrets=list(secrets), **more)


async def test_a_new_endpoint_is_found_by_source_and_key_together(endpoints, tenant):
    made = await endpoints.create(tenant, new(), by="ann")
    assert len(made.key) == 32
    found = await endpoints.receiving("stripe", made.key)
    assert (found.id, found.tenant_id, found.secrets) == (made.id, tenant, ["WHSEC"])
    assert (await endpoints.get(tenant, made.id)).created_by == "ann"
    for source, key in (("github", made.key), ("stripe", made.key[:-1]), ("stripe", made.key.upper()), ("stripe", "")):
        with pytest.raises(NotFound, match=r"^there is no such webhook endpoint$"):
            await endpoints.receiving(source, key)


async def test_the_default_endpoint_is_found_without_a_key_and_others_are_not(endpoints, tenant):
    await endpoints.create(tenant, new())
    with pytest.raises(NotFound):
        await endpoints.receiving("stripe")
    made = await endpoints.create(tenant, new(is_default=True))
    assert (await endpoints.receiving("stripe")).id == made.id
    assert (await endpoints.receiving("stripe", made.key)).id == made.id


async def test_a_source_has_one_default_endpoint(endpoints, tenant):
    await endpoints.create(tenant, new(is_default=True))
    with pytest.raises(Conflict, match="'stripe' has its default endpoint"):
        await endpoints.create(tenant, new(is_default=True))
    other = await endpoints.create(tenant, new())
    with pytest.raises(Conflict):
        await endpoints.update(tenant, other.id, EndpointChange(is_default=True))
    await endpoints.create(tenant, new("github", "github", is_default=True))


async def test_only_the_default_tenant_has_default_endpoints(endpoints, other_tenant):
    with pytest.raises(InputInvalid, match="/is_default"):
        await endpoints.create(other_tenant, new(is_default=True))


async def test_an_endpoint_of_another_tenant_is_not_there(endpoints, tenant, other_tenant):
    made = await endpoints.create(other_tenant, new())
    assert await endpoints.list(tenant) == []
    for attempt in (
        endpoints.get(tenant, made.id),
        endpoints.update(tenant, made.id, EndpointChange(is_active=False)),
        endpoints.rotate_key(tenant, made.id),
        endpoints.delete(tenant, made.id),
        endpoints.get(tenant, 2**70),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert (await endpoints.receiving("stripe", made.key)).tenant_id == other_tenant


async def test_an_endpoint_of_a_tenant_that_does_not_exist_cannot_be_made(endpoints):
    with pytest.raises(NotFound, match="tenant"):
        await endpoints.create("t-nobody", new())


async def test_endpoints_are_listed_the_oldest_first(endpoints, tenant):
    for source in ("stripe", "github", "stripe"):
        await endpoints.create(tenant, new(source))
    assert [each.source for each in await endpoints.list(tenant)] == ["stripe", "github", "stripe"]
    assert len(await endpoints.list(tenant, source="stripe")) == 2


async def test_secrets_are_replaced_in_two_steps(endpoints, tenant):
    made = await endpoints.create(tenant, new())
    await endpoints.update(tenant, made.id, EndpointChange(secrets=["NEW", "WHSEC"]))
    assert (await endpoints.receiving("stripe", made.key)).secrets == ["NEW", "WHSEC"]
    changed = await endpoints.update(tenant, made.id, EndpointChange(secrets=["NEW"]))
    assert (changed.secrets, changed.verifier, changed.key) == (["NEW"], "stripe", made.key)


async def test_another_key_takes_the_old_address_out_of_force(endpoints, tenant):
    made = await endpoints.create(tenant, new())
    old = made.key
    changed = await endpoints.rotate_key(tenant, made.id)
    assert (await endpoints.receiving("stripe", changed.key)).id == made.id
    with pytest.raises(NotFound):
        await endpoints.receiving("stripe", old)


async def test_an_endpoint_that_is_switched_off_or_deleted_is_not_found(endpoints, tenant):
    made = await endpoints.create(tenant, new(is_default=True))
    await endpoints.update(tenant, made.id, EndpointChange(is_active=False))
    for key in (made.key, None):
        with pytest.raises(NotFound):
            await endpoints.receiving("stripe", key)
    await endpoints.update(tenant, made.id, EndpointChange(is_active=True))
    await endpoints.receiving("stripe", made.key)
    await endpoints.delete(tenant, made.id)
    with pytest.raises(NotFound):
        await endpoints.receiving("stripe", made.key)


async def test_only_an_administrator_opens_an_endpoint_without_a_verifier_and_is_named(endpoints, tenant):
    with pytest.raises(Forbidden):
        await endpoints.create(tenant, new(verifier="unsigned", secrets=()), by="ed")
    made = await endpoints.create(tenant, new(verifier="unsigned", secrets=()), by="ann", administrator="ann")
    assert made.unsigned_by == "ann"
    signed = await endpoints.create(tenant, new(), administrator="ann")
    assert signed.unsigned_by is None
    change = EndpointChange(verifier="unsigned", secrets=[])
    with pytest.raises(Forbidden):
        await endpoints.update(tenant, signed.id, change)
    assert (await endpoints.update(tenant, signed.id, change, administrator="bob")).unsigned_by == "bob"
    back = await endpoints.update(tenant, signed.id, EndpointChange(verifier="stripe", secrets=["WHSEC"]))
    assert back.unsigned_by is None


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"secrets": []}, "/secrets: the verifier stripe needs a secret"),
        ({"secrets": ["whsec_a/b+c=="]}, "/secrets/0: this is not a secret's name"),
        ({"verifier": "ip", "secrets": []}, "/allow_ips: the verifier ip needs addresses"),
        ({"verifier": "ip", "allow_ips": ["203.0.113.7"]}, "/secrets: the verifier ip takes no secrets"),
        ({"allow_ips": ["0.0.0.0/0"]}, "/allow_ips/0: '0.0.0.0/0' is too wide"),
        ({"allow_ips": ["128.0.0.0/1"]}, "/allow_ips/0: '128.0.0.0/1' is too wide"),
        ({"allow_ips": ["::/0"]}, "/allow_ips/0"),
        ({"allow_ips": ["::ffff:0:0/96"]}, "/allow_ips/0: '::ffff:0:0/96' is an IPv4 address in disguise"),
        ({"allow_ips": ["203.0.113.7/24"]}, "/allow_ips/0: '203.0.113.7/24' is not an address or network"),
        ({"allow_ips": ["stripe.com"]}, "/allow_ips/0"),
        ({"config": {"header": "X"}}, "/config/header"),
        ({"verifier": "hmac"}, "/config/header"),
        ({"verifier": "hmac", "config": {"header": "X", "algorithm": "md5"}}, "/config/algorithm"),
        ({"verifier": "hmac", "config": {"header": "X: y"}}, "/config/header"),
        ({"verifier": "hmac", "config": {"header": "X", "signed": "{timestamp}"}}, "signed must contain {body} once"),
        ({"verifier": "hmac", "config": {"header": "X", "signed": "{timestamp}{body}"}}, "{timestamp} once if"),
        (
            {"verifier": "hmac", "config": {"header": "X", "timestamp_header": "T", "signed": "{body}"}},
            "{timestamp} once if",
        ),
        ({"verifier": "hmac", "config": {"header": "X", "timestamp_header": "T", "tolerance_seconds": 0}}, "tolerance"),
        ({"verifier": "bearer", "config": {"key_header": "Authorization"}}, "never kept"),
        ({"verifier": "twilio", "config": {"public_url": "ftp://x"}}, "/config/public_url"),
    ],
)
async def test_an_endpoint_that_could_not_work_is_refused_with_the_place(endpoints, tenant, given, fault):
    with pytest.raises(InputInvalid) as refused:
        await endpoints.create(tenant, new(**given))
    assert fault in str(refused.value)
    assert await endpoints.list(tenant) == []


async def test_a_change_that_does_not_fit_changes_nothing(endpoints, tenant):
    made = await endpoints.create(tenant, new())
    for change in (EndpointChange(secrets=[]), EndpointChange(verifier="hmac"), EndpointChange(allow_ips=["x"])):
        with pytest.raises(InputInvalid):
            await endpoints.update(tenant, made.id, change)
    assert (await endpoints.get(tenant, made.id)).secrets == ["WHSEC"]


async def test_secrets_that_are_not_set_yet_are_told(endpoints, database, tenant):
    made = await endpoints.create(tenant, new(secrets=("NEW", "WHSEC")))
    await Secrets(database, KEYS).put(tenant, "WHSEC", "x")
    [shown] = await endpoints.shown(tenant, [made])
    assert (shown.secrets, shown.missing_secrets) == (["NEW", "WHSEC"], ["NEW"])


async def test_changes_at_the_same_time_are_all_kept(endpoints, tenant):
    made = await endpoints.create(tenant, new())
    await asyncio.gather(
        endpoints.update(tenant, made.id, EndpointChange(secrets=["A"])),
        endpoints.update(tenant, made.id, EndpointChange(allow_ips=["203.0.113.7"])),
        endpoints.rotate_key(tenant, made.id),
    )
    row = await endpoints.get(tenant, made.id)
    assert (row.secrets, row.allow_ips, row.key != made.key) == (["A"], ["203.0.113.7"], True)
