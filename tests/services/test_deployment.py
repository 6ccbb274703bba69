import asyncio
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from domain.errors import ConnectorError, ErrorCode
from services.deployment import DeploymentService
from services.licensing import LicenseService
from tests.services.fakes import FakeProvisioner

PROVISION = "deployment_service.provision_tenant"


@dataclass
class Office:
    """The service at work in a test's books, for customers that hold licences. Names are this test's own."""

    books: Any
    service: DeploymentService
    mark: str = field(default_factory=lambda: uuid4().hex[:8])

    async def licensed(self, name: str = "Ada") -> dict[str, Any]:
        customer = await self.books.customer(f"{name} {self.mark}")
        template = await self.books.license_template(f"template-{uuid4().hex}")
        issued = await self.books.transact(
            LicenseService(), "license_service.issue_license", customer_id=customer, license_template_id=template
        )
        return {"customer_id": str(customer), "license_key": issued.license_key}

    async def provision(self, **request: Any) -> Any:
        return await self.books.perform(self.service, PROVISION, **{"deployment_type": "manual"} | request)

    async def refusal(self, **request: Any) -> ConnectorError:
        with pytest.raises(ConnectorError) as caught:
            await self.provision(**request)
        return caught.value


@pytest.fixture
def by_hand(books, database) -> Office:
    return Office(books, DeploymentService(database, "stepwell.localhost"))


@pytest.fixture
def provisioner() -> FakeProvisioner:
    return FakeProvisioner()


@pytest.fixture
def office(books, database, provisioner) -> Office:
    return Office(books, DeploymentService(database, "stepwell.localhost", provisioner))


async def test_manual_records_the_work_order_and_says_that_nothing_answers_yet(by_hand):
    request = await by_hand.licensed("Ada Lovelace")
    instance = await by_hand.provision(
        **request, tenant_id=by_hand.books.tenant, region="eu-west-1", config={"size": "small"}
    )
    assert instance.tenant_url == f"https://ada-lovelace-{by_hand.mark}.stepwell.localhost"
    assert (instance.status, instance.endpoints, instance.environment) == ("pending_manual", {}, "production")
    [row] = await by_hand.books.rows("SELECT id, status, region, config, deployment_type FROM instances")
    assert row == (instance.instance_id, "pending_manual", "eu-west-1", {"size": "small"}, "manual")


async def test_the_same_key_gives_the_same_instance_and_another_key_another(by_hand):
    request = await by_hand.licensed()
    first = await by_hand.provision(**request, key="run-1/provision")
    assert await by_hand.provision(**request, key="run-1/provision") == first
    second = await by_hand.provision(**request, key="run-2/provision")
    assert second.instance_id != first.instance_id
    assert second.tenant_url.startswith(f"https://ada-{by_hand.mark}-")


async def test_twenty_tries_under_one_key_at_once_make_one_instance(by_hand):
    request = await by_hand.licensed()
    made = await asyncio.gather(*(by_hand.provision(**request, key="run-1/provision") for _ in range(20)))
    assert len({instance.instance_id for instance in made}) == 1
    assert len(await by_hand.books.rows("SELECT 1 FROM instances")) == 1


async def test_customers_of_one_name_get_different_hosts_even_across_tenants(by_hand, other_books):
    theirs = Office(other_books, by_hand.service, mark=by_hand.mark)
    offices = [by_hand] * 10 + [theirs] * 10
    requests = [await office.licensed() for office in offices]
    made = await asyncio.gather(
        *(office.provision(**request) for office, request in zip(offices, requests, strict=True))
    )
    assert len({instance.tenant_url for instance in made}) == 20


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("Zoë & Söhne GmbH.", "zoe-sohne-gmbh"),
        ("  --Ada--  ", "ada"),
        ("A_b/c", "a-b-c"),
        ("x" * 300, "x" * 56),
        ("株式会社", "customer-"),
        ("Admin", "admin-"),
        ("evil.example.com/?", "evil-example-com"),
    ],
)
async def test_a_host_name_is_safe_for_dns(by_hand, name, host):
    by_hand.mark = ""
    url = (await by_hand.provision(**await by_hand.licensed(name))).tenant_url
    label = url.removeprefix("https://").removesuffix(".stepwell.localhost")
    assert label.startswith(host)
    assert len(label) <= 63
    assert set(label) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not label.startswith("-")
    assert not label.endswith("-")


async def test_the_licence_must_be_valid_and_the_customers_own(by_hand, other_books):
    books, request = by_hand.books, await by_hand.licensed()
    unknown = str(uuid4())
    cases = [
        ({"customer_id": unknown}, ErrorCode.NOT_FOUND, f"there is no customer {unknown}"),
        ({"customer_id": str(await books.customer(status="closed"))}, ErrorCode.INVALID_INPUT, "is closed"),
        ({"customer_id": str(await books.customer())}, ErrorCode.NOT_FOUND, "has no licence with this key"),
        ({"license_key": "NOT-A-KEY"}, ErrorCode.NOT_FOUND, "has no licence with this key"),
        ({"tenant_id": other_books.tenant}, ErrorCode.FORBIDDEN, "is not the run's tenant"),
    ]
    for change, code, words in cases:
        error = await by_hand.refusal(**request | change)
        assert (error.code, words in str(error)) == (code, True)
        assert request["license_key"] not in str(error)
    await books.change("UPDATE licenses SET status = 'revoked'")
    assert "is revoked" in str(await by_hand.refusal(**request))
    await books.change("UPDATE licenses SET status = 'active', expires_at = now() - interval '1 second'")
    assert "is expired" in str(await by_hand.refusal(**request))
    assert await books.rows("SELECT 1 FROM instances") == []


async def test_another_tenants_customer_and_licence_do_not_exist(by_hand, other_books):
    theirs = await Office(other_books, by_hand.service).licensed()
    assert (await by_hand.refusal(**theirs)).code is ErrorCode.NOT_FOUND


async def test_without_a_provisioner_other_types_say_what_to_configure(by_hand):
    error = await by_hand.refusal(**await by_hand.licensed(), deployment_type="kubernetes")
    assert error.code is ErrorCode.CONFIG_INVALID
    assert "STEPWELL_PROVISIONER_URL" in str(error)
    assert not error.retryable
    assert await by_hand.books.rows("SELECT 1 FROM instances") == []


@pytest.mark.parametrize(
    ("deployment_type", "kind"),
    [
        ("kubernetes", "kubernetes"),
        ("k8s", "kubernetes"),
        ("awx", "awx"),
        ("ansible", "awx"),
        ("docker", "docker"),
        ("docker_compose", "docker"),
        ("terraform", "terraform"),
        ("tf", "terraform"),
    ],
)
async def test_the_provisioner_gets_the_order_under_the_calls_key(office, provisioner, deployment_type, kind):
    request = await office.licensed()
    instance = await office.provision(**request, deployment_type=deployment_type, key="run-7/provision")
    [(key, order)] = provisioner.orders
    assert (key, order.deployment_type, order.tenant) == ("run-7/provision", kind, office.books.tenant)
    assert (order.customer_id, order.license_key) == (request["customer_id"], request["license_key"])
    assert (order.instance_id, order.tenant_url) == (str(instance.instance_id), instance.tenant_url)
    assert (instance.status, instance.endpoints) == ("active", {"app": instance.tenant_url})
    assert request["license_key"] not in repr(order)


async def test_what_is_set_up_is_not_set_up_again(office, provisioner):
    request = await office.licensed() | {"deployment_type": "docker", "key": "run-1/provision"}
    first = await office.provision(**request)
    assert await office.provision(**request) == first
    assert len(provisioner.orders) == 1


async def test_the_provisioner_may_say_that_the_instance_answers_elsewhere(office, provisioner):
    provisioner.url = "https://lb-1.example.com"
    instance = await office.provision(**await office.licensed(), deployment_type="tf")
    assert instance.tenant_url == "https://lb-1.example.com"
    assert [row.tenant_url for row in await office.books.rows("SELECT tenant_url FROM instances")] == [
        instance.tenant_url
    ]


async def test_a_failure_is_recorded_and_the_next_try_goes_on_with_the_same_instance(office, provisioner):
    provisioner.failures = [ConnectorError(ErrorCode.UPSTREAM_5XX, "the cluster is full")]
    request = await office.licensed() | {"deployment_type": "k8s", "key": "run-1/provision"}
    assert (await office.refusal(**request)).code is ErrorCode.UPSTREAM_5XX
    [failed] = await office.books.rows("SELECT id, status, failure FROM instances")
    assert (failed.status, failed.failure) == ("failed", "the cluster is full")
    instance = await office.provision(**request)
    assert (instance.instance_id, instance.status) == (failed.id, "active")
    assert {order.instance_id for _, order in provisioner.orders} == {str(failed.id)}
    [row] = await office.books.rows("SELECT status, failure FROM instances")
    assert row == ("active", None)


async def test_a_lost_answer_is_no_failure_and_the_next_try_goes_on_with_the_same_instance(office, provisioner):
    provisioner.failures = [ConnectorError(ErrorCode.TIMEOUT, "no answer", ambiguous=True)]
    request = await office.licensed() | {"deployment_type": "k8s", "key": "run-1/provision"}
    assert (await office.refusal(**request)).ambiguous
    assert [row.status for row in await office.books.rows("SELECT status FROM instances")] == ["provisioning"]
    instance = await office.provision(**request)
    assert [(key, order.instance_id) for key, order in provisioner.orders] == [
        ("run-1/provision", str(instance.instance_id))
    ] * 2


async def test_a_try_that_is_cut_off_is_taken_up_by_the_next(office, provisioner):
    provisioner.failures = [asyncio.CancelledError()]
    request = await office.licensed() | {"deployment_type": "k8s", "key": "run-1/provision"}
    with pytest.raises(asyncio.CancelledError):
        await office.provision(**request)
    instance = await office.provision(**request)
    assert [row.id for row in await office.books.rows("SELECT id FROM instances")] == [instance.instance_id]
