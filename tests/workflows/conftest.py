"""Two Temporal servers: the real one, and one where a wait of thirty days takes a moment."""

from collections.abc import AsyncIterator

import pytest
from temporalio.api.enums.v1.common_pb2 import INDEXED_VALUE_TYPE_KEYWORD
from temporalio.api.operatorservice.v1.request_response_pb2 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from control.connection import DATA_CONVERTER
from domain import ids
from tests.workflows.harness import server_binary


@pytest.fixture(scope="session")
async def time_skipping() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_time_skipping(
        data_converter=DATA_CONVERTER, test_server_existing_path=server_binary("temporal-test-server")
    ) as environment:
        await environment.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=environment.client.namespace,
                search_attributes=dict.fromkeys(ids.SEARCH_ATTRIBUTES, INDEXED_VALUE_TYPE_KEYWORD),
            )
        )
        yield environment


@pytest.fixture
def client(temporal_client) -> Client:
    """The real server: for whatever does not need time to pass."""
    return temporal_client


@pytest.fixture
def skipping_client(time_skipping) -> Client:
    """The time-skipping server. While a test awaits a result, time runs to the next timer at once."""
    return time_skipping.client
