"""Installations of the platform; what their processes log is shown when a test fails."""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from sandbox.mail import MailSandbox
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
