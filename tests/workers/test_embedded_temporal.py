"""The embedded Temporal server keeps its runs whatever is killed, and is found or replaced at the next start."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from domain.errors import Unavailable
from domain.ids import SEARCH_TENANT
from workers.embedded.ports import is_free, reserved_port
from workers.embedded.temporal import EmbeddedTemporal, find_cli, register_search_attributes


@pytest.fixture
async def server(tmp_path):
    server = EmbeddedTemporal(tmp_path / "temporal", ui=False)
    yield server
    await server.stop()


async def _start_run(address):
    client = await Client.connect(address)
    tenant = SearchAttributePair(SearchAttributeKey.for_keyword(SEARCH_TENANT), "acme")
    await client.start_workflow(
        "refund", id="refund-1", task_queue="nobody", search_attributes=TypedSearchAttributes([tenant])
    )


async def _tenant_of_run(address):
    description = await (await Client.connect(address)).get_workflow_handle("refund-1").describe()
    return description.typed_search_attributes[SearchAttributeKey.for_keyword(SEARCH_TENANT)]


async def test_runs_and_their_search_attributes_are_kept_over_a_restart(server):
    await _start_run(await server.start())
    await server.stop()
    assert await _tenant_of_run(await server.start()) == "acme"


async def test_runs_survive_the_server_being_killed(server):
    await _start_run(await server.start())
    os.kill(server.pid, signal.SIGKILL)
    assert await _tenant_of_run(await server.start()) == "acme"


async def test_runs_survive_the_parent_being_killed(server, tmp_path):
    program = """
        import asyncio, sys
        from pathlib import Path
        from workers.embedded.temporal import EmbeddedTemporal
        print(asyncio.run(EmbeddedTemporal(Path(sys.argv[1]), ui=False).start()), flush=True)
        sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "temporal")]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        await _start_run(parent.stdout.readline().strip())
        parent.kill()
    assert await _tenant_of_run(await server.start()) == "acme"


async def test_a_server_that_was_left_running_is_replaced(server, tmp_path):
    await _start_run(await server.start())
    second = EmbeddedTemporal(tmp_path / "temporal", ui=False)
    assert await _tenant_of_run(await second.start()) == "acme"
    assert server.pid is None
    await second.stop()


async def test_a_busy_port_is_said_so(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Unavailable, match=f"port {port} is busy"):
            await EmbeddedTemporal(tmp_path / "temporal", port=port, ui=False).start()


async def test_missing_search_attributes_are_registered_once(temporal_client):
    assert await register_search_attributes(temporal_client) == ()


def test_the_next_free_port_is_taken_when_the_preferred_one_is_busy():
    with socket.create_server(("127.0.0.1", 0)) as other:
        busy = other.getsockname()[1]
        assert not is_free(busy)
        with reserved_port(busy) as port:
            assert port > busy


def test_two_stacks_that_start_at_once_do_not_agree_on_a_port():
    with reserved_port(40_000) as first, reserved_port(40_000) as second:
        assert first != second
    with reserved_port(40_000) as again:
        assert again == first


def test_a_wrong_cli_path_is_said_so(monkeypatch, tmp_path):
    monkeypatch.setenv("TEMPORAL_CLI_PATH", str(tmp_path / "nothing"))
    with pytest.raises(Unavailable, match="TEMPORAL_CLI_PATH"):
        find_cli()
