"""What surrounds every answer: ids, headers, a line in the log, metrics, health, documentation."""

import dataclasses
import json

import pytest
import structlog

from store.database import Database
from tests.api.conftest import PASSWORD, client_of, running


async def test_every_answer_carries_its_id_and_the_security_headers(anyone):
    for path in ("/healthz", "/nowhere", "/workflows"):
        answer = await anyone.get(path)
        assert len(answer.headers["x-request-id"]) == 32
        assert answer.headers["x-correlation-id"] == answer.headers["x-request-id"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_a_callers_ids_are_kept_unless_they_are_odd(anyone):
    answer = await anyone.get("/healthz", headers={"x-request-id": "r-1", "x-correlation-id": "c:2"})
    assert (answer.headers["x-request-id"], answer.headers["x-correlation-id"]) == ("r-1", "c:2")
    for odd in ('a"b', "x" * 129, "a b", ""):
        assert (await anyone.get("/healthz", headers={"x-request-id": odd})).headers["x-request-id"] != odd


async def test_a_request_is_one_line_in_the_log_without_its_query_and_body(app, tenant):
    with structlog.testing.capture_logs() as lines:
        async with client_of(app, authorization=f"Bearer {tenant.tokens['viewer']}") as client:
            await client.get("/workflows?token=hunter2", headers={"x-request-id": "r-9"})
            await client.post("/auth/login", json={"email": "a@b", "password": PASSWORD})
    first, second = [line for line in lines if line["event"] == "request"]
    assert (first["method"], first["path"], first["status"], first["tenant"]) == ("GET", "/workflows", 200, tenant.id)
    assert first["request_id"] == "r-9"
    assert second["tenant"] is None
    assert "hunter2" not in json.dumps(lines)
    assert PASSWORD not in json.dumps(lines)


async def test_metrics_count_requests_by_route_and_not_by_path(anyone, admin):
    for path in ("/workflows/1234567", "/workflows/7654321", "/never/heard/of"):
        await admin.get(path)
    answer = await anyone.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'route="/workflows/{workflow_id}",status="404"' in answer.text
    assert 'route="unmatched"' in answer.text
    assert "1234567" not in answer.text
    assert "python_info" in answer.text


async def test_it_is_ready_while_temporal_is_away_and_says_so(anyone):
    assert (await anyone.get("/healthz")).json() == {"status": "ok"}
    answer = await anyone.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "degraded", "checks": {"postgres": "ok", "temporal": "unavailable"}}


async def test_it_is_ready_with_postgres_and_temporal(parts, temporal_client):
    async with running(dataclasses.replace(parts, temporal=temporal_client)) as app, client_of(app) as client:
        assert (await client.get("/readyz")).json()["status"] == "ok"


async def test_it_is_not_ready_without_postgres(parts):
    nowhere = Database("postgresql://nobody@127.0.0.1:1/none")
    async with running(dataclasses.replace(parts, database=nowhere)) as app, client_of(app) as client:
        answer = await client.get("/readyz")
    await nowhere.close()
    assert (answer.status_code, answer.json()["checks"]["postgres"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "5"


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_the_documentation_loads_nothing_from_elsewhere(anyone, page):
    answer = await anyone.get(page)
    assert answer.status_code == 200
    assert "https://" not in answer.text
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    for asset in [part.split('"')[0] for part in answer.text.split('"/docs-assets/')[1:]]:
        assert (await anyone.get(f"/docs-assets/{asset}")).status_code == 200


async def test_the_description_knows_the_documents_routes_and_bodies(anyone):
    description = (await anyone.get("/openapi.json")).json()
    assert {
        "/auth/login",
        "/workflows",
        "/workflows/{workflow_id}",
        "/workflows/execute/{name}",
        "/workflows/executions",
        "/workflows/executions/{execution_id}",
        "/workflows/{workflow_id}/stats",
    } <= description["paths"].keys()
    assert not any(path.startswith("/api/v1/") for path in description["paths"])
    login = description["paths"]["/auth/login"]["post"]
    assert set(login["requestBody"]["content"]["application/json"]["schema"]["required"]) == {"email", "password"}
    assert description["paths"]["/workflows"]["get"]["security"]
