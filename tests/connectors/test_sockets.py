"""The client's own connections: encryption, much data, and sides that go away."""

import asyncio
import ssl

import pytest

from connectors.http_client import HttpClient
from domain.errors import ConnectorError, ErrorCode
from tests.connectors.fakes import Names, reply


@pytest.fixture
async def trusting(certificate):
    client = HttpClient(
        allow_private=["localhost"],
        resolver=Names(["127.0.0.1"]),
        tls=ssl.create_default_context(cafile=certificate),
        max_response_bytes=32 * 1024 * 1024,
    )
    yield client
    await client.close()


async def test_https_works_and_the_connection_is_used_again(tls_server, trusting):
    for _ in range(2):
        assert (await trusting.send("POST", tls_server.origin, content=b"x")).content == b'{"ok":true}'
    assert tls_server.connections == 1


async def test_a_certificate_must_be_for_the_name_in_the_url(tls_server, certificate):
    client = HttpClient(
        allow_private=["crm.internal"],
        resolver=Names(["127.0.0.1"]),
        tls=ssl.create_default_context(cafile=certificate),
    )
    with pytest.raises(ConnectorError) as error:
        await client.send("GET", f"https://crm.internal:{tls_server.port}/")
    assert error.value.code is ErrorCode.CONFIG_INVALID
    await client.close()


async def test_much_data_passes_both_ways(web, tls_server, trusting):
    for server in (web, tls_server):
        server.replies = [reply(200, b"a" * 20_000_000, "text/plain")]
        answer = await trusting.send("POST", f"{server.scheme}://localhost:{server.port}/", content=b"b" * 20_000_000)
        assert (len(answer.content), len(server.received[0].body)) == (20_000_000, 20_000_000)


async def test_an_idle_connection_that_was_closed_is_not_used_again(web, http):
    closed = asyncio.Event()

    async def answer_and_close(writer):
        writer.write(reply())
        writer.close()
        await writer.wait_closed()
        closed.set()

    web.replies = [answer_and_close, reply(201)]
    await http.send("POST", web.origin)
    await closed.wait()
    await asyncio.sleep(0.01)
    assert (await http.send("POST", web.origin)).status == 201
    assert web.connections == 2


async def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next(web, http):
    first_is_read, second_is_sent = asyncio.Event(), asyncio.Event()

    async def answer_twice(writer):
        writer.write(reply(200, b"first", "text/plain"))
        await first_is_read.wait()
        writer.write(reply(200, b"smuggled", "text/plain"))
        await writer.drain()
        second_is_sent.set()

    web.replies = [answer_twice, reply(201)]
    assert (await http.send("GET", web.origin)).content == b"first"
    first_is_read.set()
    await second_is_sent.wait()
    await asyncio.sleep(0.01)
    assert (await http.send("GET", web.origin)).status == 201


async def test_plain_text_where_tls_was_expected_is_a_failure_without_doubt(web):
    client = HttpClient(allow_private=["127.0.0.1"])
    with pytest.raises(ConnectorError) as error:
        await client.send("POST", f"https://127.0.0.1:{web.port}/", timeout_seconds=0.3)
    assert not error.value.ambiguous
    await client.close()


async def test_a_server_that_does_not_read_is_given_up(unused_tcp_port):
    async def never_read(_reader, writer):
        try:
            await asyncio.Event().wait()
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(never_read, "127.0.0.1", unused_tcp_port)
    client = HttpClient(allow_private=["127.0.0.1"])
    with pytest.raises(ConnectorError) as error:
        await client.send(
            "POST", f"http://127.0.0.1:{unused_tcp_port}/", content=b"x" * 20_000_000, timeout_seconds=0.3
        )
    assert (error.value.code, error.value.ambiguous) == (ErrorCode.TIMEOUT, True)
    await client.close()
    server.close()
    for task in asyncio.all_tasks():
        if "never_read" in repr(task.get_coro()):
            task.cancel()
    await server.wait_closed()
