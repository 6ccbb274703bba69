"""Errors as problem documents: the maps are complete, and nothing of our inside gets out."""

import dataclasses
from http import HTTPStatus

import pytest

from api.errors import CONNECTOR_STATUS, STATUS, status_of
from domain.errors import ConnectorError, ErrorCode, StepwellError, Unavailable
from tests.api.conftest import client_of, running


def kinds(error):
    for kind in error.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_every_error_of_the_platform_has_a_status():
    public = {kind for kind in kinds(StepwellError) if kind.__module__ == "domain.errors" and kind.__name__[0] != "_"}
    assert public == set(STATUS)


def test_every_connector_code_has_a_status():
    assert set(CONNECTOR_STATUS) == set(ErrorCode)
    assert status_of(ConnectorError(ErrorCode.TIMEOUT, "slow")) is HTTPStatus.GATEWAY_TIMEOUT


def test_an_error_below_a_known_one_has_its_status():
    class StillUnavailable(Unavailable):
        pass

    assert status_of(StillUnavailable("down")) is HTTPStatus.SERVICE_UNAVAILABLE


class Broken:
    def __init__(self, error: Exception) -> None:
        self.error = error

    async def log_in(self, *args, **kwargs):
        raise self.error


@pytest.fixture
async def failing(parts):
    async def ask(error):
        async with running(dataclasses.replace(parts, identity=Broken(error))) as app, client_of(app) as client:
            return await client.post("/auth/login", json={"email": "a@b", "password": "p"})

    return ask


async def test_postgres_down_is_503_with_the_time_to_come_back(failing):
    answer = await failing(Unavailable("the database cannot be reached"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["code"] == "UNAVAILABLE"


async def test_an_unexpected_error_is_500_and_tells_nothing_but_the_request_id(failing, capsys):
    answer = await failing(RuntimeError("password=hunter2 at 10.0.0.1"))
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "hunter2" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_unknown_paths_and_methods_are_problem_documents(anyone, admin):
    for answer, status in ((await anyone.get("/nowhere"), 404), (await admin.put("/connectors"), 405)):
        assert answer.status_code == answer.json()["status"] == status
        assert answer.headers["content-type"] == "application/problem+json"


async def test_wrong_parameters_are_422_that_names_them(admin):
    answer = await admin.get("/workflows/executions?limit=0&status=odd&since=yesterday")
    assert answer.status_code == 422
    assert {fault["path"] for fault in answer.json()["faults"]} == {"/query/limit", "/query/status", "/query/since"}


@pytest.mark.parametrize("path", ["/workflows/x%00y", "/workflows/executions?workflow=%00", "/secrets/a%00"])
async def test_nul_in_a_url_is_400(admin, path):
    assert (await admin.get(path)).status_code == 400


@pytest.mark.parametrize("number", ["0", "-1", "2147483648", "9223372036854775808", "9" * 100])
async def test_a_number_that_no_id_can_be_is_404(admin, number):
    for path in (f"/workflows/{number}", f"/workflows/{number}/stats", f"/workflows/executions/{number}"):
        assert (await admin.get(path)).status_code == 404, path
