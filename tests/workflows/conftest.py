"""A time-skipping Temporal server: a wait of thirty days takes a moment."""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from tests.workflows.harness import server_binary


@pytest.fixture(scope="session")
async def time_skipping() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_time_skipping(
        data_converter=pydantic_data_converter, test_server_existing_path=server_binary("temporal-test-server")
    ) as environment:
        yield environment


@pytest.fixture
def client(time_skipping) -> Client:
    return time_skipping.client
