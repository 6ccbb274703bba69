"""A web server whose answers the test decides, and a client that may reach it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from connectors.http_client import HttpClient
from tests.connectors.fakes import WebServer, reply


@pytest.fixture
async def web() -> AsyncIterator[WebServer]:
    server = WebServer(replies=[reply(body=b'{"ok":true}')])
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(server.serve(reader, writer)))

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    listening.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await listening.wait_closed()


@pytest.fixture
async def http(web: WebServer) -> AsyncIterator[HttpClient]:
    client = HttpClient(allow_private=[web.address], timeout_seconds=5, max_response_bytes=64 * 1024)
    yield client
    await client.close()
