"""The provisioner's contract: one order for each key, patience, heartbeats, and honest failures."""

import json
from datetime import timedelta

import pytest

from connectors.provisioner import HttpProvisioner
from domain.errors import ConnectorError, ErrorCode
from domain.provisioning import Provisioned, ProvisionOrder
from tests.connectors.fakes import drop, reply

ORDER = ProvisionOrder(
    instance_id="i-1",
    tenant="tenant-1",
    customer_id="c-1",
    deployment_type="kubernetes",
    environment="production",
    region="eu-1",
    config={"size": "small"},
    tenant_url="https://jane.example",
    license_key="LIC-1",
)
READY = b'{"status": "ready", "endpoints": {"app": "https://app.example"}, "url": "https://jane.example"}'


@pytest.fixture
def beats():
    return []


@pytest.fixture
def provision(web, http, beats):
    provisioner = HttpProvisioner(http, f"{web.origin}/orders", token="hush", first_pause=timedelta(milliseconds=1))

    async def provision():
        return await provisioner.provision(ORDER, key="run-1/provision", heartbeat=beats.append)

    return provision


async def test_an_order_is_posted_with_key_and_token(web, provision):
    web.replies = [reply(201, READY)]
    made = await provision()
    [request] = web.received
    assert (request.method, request.target) == ("POST", "/orders")
    assert request.headers["idempotency-key"] == "run-1/provision"
    assert request.headers["authorization"] == "Bearer hush"
    assert json.loads(request.body) == ORDER.model_dump()
    assert made == Provisioned(endpoints={"app": "https://app.example"}, url="https://jane.example")


@pytest.mark.parametrize(
    "accepted",
    [
        reply(202, b'{"status": "pending", "status_url": "/orders/i-1"}'),
        reply(202, b'{"status": "queued"}', location="/orders/i-1"),
        reply(202, location="/orders/i-1"),
        reply(200, b'{"status": "running", "status_url": "/orders/i-1"}', retry_after="0"),
    ],
)
async def test_it_is_asked_until_it_is_ready_with_a_heartbeat_each_time(web, provision, beats, accepted):
    web.replies = [accepted, reply(200, b'{"status": "provisioning"}'), reply(200, READY)]
    assert (await provision()).url == "https://jane.example"
    assert [(each.method, each.target) for each in web.received[1:]] == [("GET", "/orders/i-1")] * 2
    assert web.received[2].headers["authorization"] == "Bearer hush"
    assert len(beats) == 2


async def test_a_failure_is_final_and_says_why(web, provision):
    web.replies = [reply(202, location="/x"), reply(200, b'{"status": "failed", "error": "no capacity"}')]
    with pytest.raises(ConnectorError, match="failed to set up instance i-1: no capacity") as error:
        await provision()
    assert (error.value.retryable, error.value.ambiguous) == (False, False)


async def test_a_fault_while_it_is_at_work_leaves_the_outcome_open(web, provision):
    web.replies = [reply(202, location="/x"), drop]
    with pytest.raises(ConnectorError) as error:
        await provision()
    assert (error.value.code, error.value.retryable, error.value.ambiguous) == (ErrorCode.TRANSIENT_NETWORK, True, True)


async def test_the_token_goes_to_no_other_origin(web, provision):
    web.replies = [reply(202, location="http://evil.example/x")]
    with pytest.raises(ConnectorError, match="of its own origin") as error:
        await provision()
    assert error.value.code is ErrorCode.CONFIG_INVALID
    assert len(web.received) == 1


async def test_a_refused_order_keeps_its_reason(web, provision):
    web.replies = [reply(422, b'{"detail": "unknown region"}')]
    with pytest.raises(ConnectorError) as error:
        await provision()
    assert (error.value.code, error.value.ambiguous) == (ErrorCode.INVALID_INPUT, False)
    assert "unknown region" in str(error.value.details["body"])


@pytest.mark.parametrize("body", [b"{}", b'{"status": "great"}', b"[]", b"<html>"])
async def test_an_answer_against_the_contract_is_said_so(web, provision, body):
    web.replies = [reply(200, body)]
    with pytest.raises(ConnectorError, match="does not answer as agreed"):
        await provision()
