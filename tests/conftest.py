"""Fixtures for all tests: a migrated Postgres, a Temporal server, a mail server. All real, all private to the session.

Under pytest-xdist the controlling process starts the servers and tells the others where they are.
"""

import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from sandbox.mail import MailSandbox
from store.database import Database
from tests.embedded import Servers, create_database, drop_database, forget_real_servers

_SERVERS = pytest.StashKey[Servers]()


def pytest_configure(config):
    forget_real_servers()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so would ours
    if not hasattr(config, "workerinput"):
        servers = Servers()
        config.stash[_SERVERS] = servers
        config.add_cleanup(servers.stop)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    servers = node.config.stash[_SERVERS]
    node.workerinput["postgres_url"] = servers.postgres_url()
    node.workerinput["temporal_address"] = servers.temporal_address()


def _servers(request) -> Servers:
    return request.config.stash[_SERVERS]


@pytest.fixture(scope="session")
def postgres_url(request) -> str:
    """Owner URL of the server's maintenance database: for tests that make databases of their own."""
    if hasattr(request.config, "workerinput"):
        return str(request.config.workerinput["postgres_url"])
    return _servers(request).postgres_url()


@pytest.fixture(scope="session")
def database_url(postgres_url) -> Iterator[str]:
    """Owner URL of a freshly migrated database, shared by the tests of this process."""
    name = f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    yield create_database(postgres_url, name)
    drop_database(postgres_url, name)


@pytest.fixture
def fresh_database_url(postgres_url) -> Iterator[str]:
    """Owner URL of a freshly migrated database for this test alone."""
    name = f"test_{uuid.uuid4().hex}"
    yield create_database(postgres_url, name)
    drop_database(postgres_url, name)


@pytest.fixture(scope="session")
async def database(database_url) -> AsyncIterator[Database]:
    """``database_url`` as the platform's ``Database``."""
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture(scope="session")
def temporal_address(request) -> str:
    """Address of the session's Temporal server, namespace ``default``, search attributes registered."""
    if hasattr(request.config, "workerinput"):
        return str(request.config.workerinput["temporal_address"])
    return _servers(request).temporal_address()


@pytest.fixture(scope="session")
async def temporal_client(temporal_address) -> Client:
    """A client of the session's Temporal server that speaks the platform's messages."""
    return await Client.connect(temporal_address, data_converter=pydantic_data_converter)


@pytest.fixture
def task_queue() -> str:
    """A task queue that no other test uses."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
async def smtp_sandbox(tmp_path) -> AsyncIterator[MailSandbox]:
    """A mail server for this test alone, see ``sandbox/mail.py``; ``smtp_sandbox.url`` is its ``SMTP_URL``."""
    sandbox = MailSandbox(tmp_path / "mail")
    await sandbox.start()
    yield sandbox
    await sandbox.stop()
