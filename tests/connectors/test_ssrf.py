"""Outbound requests reach the open internet, and of everything else only what the operator lists."""

import ipaddress

import pytest

from connectors.http_client import HttpClient
from connectors.ssrf import Guard, is_public
from domain.errors import ConnectorError, ErrorCode
from tests.connectors.fakes import Names, reply

INSIDE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",  # noqa: S104
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "100::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "ff02::1",
]
OUTSIDE = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_that_is_not_of_the_open_internet_is_seen_as_such(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_of_the_open_internet_is_public(address):
    assert is_public(ipaddress.ip_address(address))


def _literal(address):
    return f"[{address}]" if ":" in address else address


@pytest.mark.parametrize(
    "host",
    [_literal(address) for address in INSIDE if "%" not in address]
    + ["2130706433", "0x7f000001", "017700000001", "0x7f.1", "127.1", "127。0。0。1", "localhost", "LOCALHOST"]
    + ["user:password@127.0.0.1", "example.com\\@127.0.0.1"],
)
async def test_a_url_of_this_machine_or_network_is_refused_however_it_is_written(host, web):
    client = HttpClient()
    with pytest.raises(ConnectorError) as refused:
        await client.send("GET", f"http://{host}:{web.port}/")
    assert refused.value.code in {ErrorCode.FORBIDDEN, ErrorCode.INVALID_INPUT}
    assert not refused.value.retryable
    assert "password" not in str(refused.value)
    assert web.connections == 0
    await client.close()


async def test_a_refusal_names_the_host_the_address_and_the_remedy():
    client = HttpClient(resolver=Names(["10.1.2.3"]))
    with pytest.raises(
        ConnectorError,
        match=r"crm\.example may not be reached: 10\.1\.2\.3 is not a public address.*"
        "STEPWELL_HTTP_ALLOW_PRIVATE",
    ) as refused:
        await client.send("POST", "http://crm.example/x")
    assert not refused.value.ambiguous
    await client.close()


async def test_one_private_address_among_public_ones_is_enough_to_refuse():
    with pytest.raises(ConnectorError, match=r"127\.0\.0\.1 is not"):
        await Guard(resolver=Names(["8.8.8.8", "127.0.0.1"])).addresses("both.example", 443)


async def test_a_name_that_changes_its_address_after_the_check_gains_nothing(web):
    names = Names(["8.8.8.8"], ["127.0.0.1"])
    guard = Guard(resolver=names)
    assert await guard.addresses("flip.example", web.port) == ["8.8.8.8"]
    assert names.asked == ["flip.example"]  # the connection goes to what that one answer said
    with pytest.raises(ConnectorError, match=r"127\.0\.0\.1 is not"):
        await guard.addresses("flip.example", web.port)


async def test_a_connection_goes_to_the_address_that_was_checked(web):
    names = Names(["127.0.0.1"], ["203.0.113.1"])
    client = HttpClient(resolver=names, allow_private=[f"crm.internal:{web.port}"])
    assert (await client.send("GET", f"http://crm.internal:{web.port}/")).status == 200
    assert names.asked == ["crm.internal"]
    assert web.received[0].headers["host"] == f"crm.internal:{web.port}"
    await client.close()


async def test_the_next_address_is_tried_when_the_first_does_not_answer(web):
    client = HttpClient(resolver=Names(["127.0.0.2", "127.0.0.1"]), allow_private=["crm.internal"])
    assert (await client.send("GET", f"http://crm.internal:{web.port}/")).status == 200
    await client.close()


@pytest.mark.parametrize("target", ["http://127.0.0.1:{other}/", "http://[::1]/", "http://169.254.169.254/latest/"])
async def test_a_redirect_to_this_machine_is_refused(target, web, http):
    web.replies = [reply(302, location=target.format(other=web.port + 1))]
    with pytest.raises(ConnectorError) as refused:
        await http.send("GET", f"{web.origin}/", follow_redirects=True)
    assert refused.value.code is ErrorCode.FORBIDDEN


async def test_a_listed_host_may_be_reached_on_its_port_only(web):
    guard = Guard(allow_private=["127.0.0.1:8080", "[::1]:9000", "crm.internal"], resolver=Names(["10.0.0.5"]))
    assert await guard.addresses("127.0.0.1", 8080) == ["127.0.0.1"]
    assert await guard.addresses("::1", 9000) == ["::1"]
    assert await guard.addresses("CRM.internal", 22) == ["10.0.0.5"]
    for host, port in (("127.0.0.1", 8081), ("::1", 9001), ("other.internal", 80)):
        with pytest.raises(ConnectorError):
            await guard.addresses(host, port)


@pytest.mark.parametrize("port", [22, 25, 53, 445, 1023])
async def test_ports_of_other_protocols_are_refused(port):
    with pytest.raises(ConnectorError, match=f"port {port} is not one of the web's"):
        await Guard().addresses("8.8.8.8", port)


async def test_a_name_that_nobody_knows_is_a_passing_fault():
    with pytest.raises(ConnectorError) as unknown:
        await Guard(resolver=Names([])).addresses("nobody.example", 443)
    assert (unknown.value.code, unknown.value.retryable) == (ErrorCode.TRANSIENT_NETWORK, True)
