"""Installations of the platform; what their processes log is shown when a test fails."""

import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from temporalio.client import Client, WorkflowHistory

from sandbox.mail import MailSandbox
from tests.e2e.echo import EchoServer, echoing
from tests.e2e.nursery import Nursery
from tests.e2e.platform import Installation, installed
from tests.embedded import create_database, drop_database

_INSTALLATIONS = pytest.StashKey[list[Installation]]()

Install = Callable[..., AbstractAsyncContextManager[Installation]]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for installation in item.config.stash.get(_INSTALLATIONS, []):
            report.sections += [(f"log of {name}", text) for name, text in installation.logs().items()]
    return report


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture(scope="session")
def install(request, nursery, tmp_path_factory, temporal_address) -> Install:
    """Makes installations: ``async with install(database_url, SMTP_URL=…) as installation``."""
    open_ones = request.config.stash.setdefault(_INSTALLATIONS, [])

    @asynccontextmanager
    async def make(database_url: str, *, temporal: str = temporal_address, **env: str) -> AsyncIterator[Installation]:
        directory: Path = tmp_path_factory.mktemp("installation")
        async with installed(
            nursery, directory, database_url, temporal, f"e2e-{uuid.uuid4().hex}", **env
        ) as installation:
            open_ones.append(installation)
            try:
                yield installation
            finally:
                open_ones.remove(installation)

    return make


@pytest.fixture(scope="module")
def module_database_url(postgres_url) -> Iterator[str]:
    """Owner URL of a freshly migrated database for the tests of one module."""
    name = f"e2e_{uuid.uuid4().hex}"
    yield create_database(postgres_url, name)
    drop_database(postgres_url, name)


@pytest.fixture(scope="module")
async def module_mail(tmp_path_factory) -> AsyncIterator[MailSandbox]:
    """A mail server for the tests of one module."""
    sandbox = MailSandbox(tmp_path_factory.mktemp("mail"))
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


@dataclass
class Running:
    """An installation at work: a worker, an API, a mail server, and the administrator logged in."""

    installation: Installation
    client: httpx2.AsyncClient
    mail: MailSandbox
    temporal: Client

    async def execute(self, process: str, context: dict[str, Any], **headers: str) -> httpx2.Response:
        return await self.client.post(f"/workflows/execute/{process}?wait=30", json=context, headers=headers)

    async def publish(self, name: str, steps: list[dict[str, Any]], **more: Any) -> None:
        answer = await self.client.post("/workflows", json={"name": name, "steps": steps, **more})
        assert answer.status_code == 201, answer.text

    async def history(self, run: Mapping[str, Any]) -> WorkflowHistory:
        """Temporal's history of a run, given by its row."""
        return await self.temporal.get_workflow_handle(run["workflow_id"]).fetch_history()


@pytest.fixture(scope="module")
async def running(install, module_database_url, module_mail, temporal_client) -> AsyncIterator[Running]:
    settings = {
        "SMTP_URL": module_mail.url,
        "STEPWELL_HTTP_ALLOW_PRIVATE": "127.0.0.1",
        "STEPWELL_QUERY_CONNECTIONS": json.dumps({"own": module_database_url}),
    }
    async with install(module_database_url, **settings) as installation:
        worker = installation.worker()
        await installation.api()
        await installation.worker_polls(worker, temporal_client)
        async with installation.client() as client:
            yield Running(installation, client, module_mail, temporal_client)


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    with echoing() as server:
        yield server
