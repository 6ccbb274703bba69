"""Who may use which route: every route, every role, no token, another tenant."""

import re

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api.auth import Requires, guard_of, require_declared_access
from domain.permissions import GRANTS, Permission, Role
from tests.api.conftest import client_of, definition

PUBLIC_ROUTES = {
    "/auth/login",
    "/healthz",
    "/readyz",
    "/metrics",
    "/docs",
    "/redoc",
    # what verifies a webhook is its endpoint
    "/api/automate/webhooks/{source}",
    "/api/automate/webhooks/{source}/",
    "/api/automate/webhooks/{source}/{endpoint_key}",
    "/api/automate/webhooks/{source}/{endpoint_key}/",
}
ANY_ID = "00000000-0000-4000-8000-000000000000"


def routes(app):
    for context in iter_route_contexts(app.routes):
        guard = guard_of(context)
        if isinstance(guard, Requires):
            for method in sorted(context.methods or ()):
                yield method, re.sub(r"\{\w+\}", "1", str(context.path)).replace("/users/1", f"/users/{ANY_ID}"), guard


def test_only_the_known_routes_are_public(app):
    public = {str(c.path).removeprefix("/api/v1") for c in iter_route_contexts(app.routes) if guard_of(c) is True}
    assert public == PUBLIC_ROUTES


def test_a_route_that_declares_nothing_keeps_the_application_from_starting():
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/open")
    async def open_to_all():
        return {}

    with pytest.raises(RuntimeError, match="/open"):
        require_declared_access(app)


async def test_every_guarded_route_refuses_whoever_sends_no_token(app, anyone):
    for method, path, _ in routes(app):
        answer = await anyone.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED"), (method, path)
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("role", list(Role))
async def test_every_route_refuses_a_role_without_its_permission_and_only_that(app, tenant, role):
    async with client_of(app, authorization=f"Bearer {tenant.tokens[role]}") as client:
        for method, path, guard in routes(app):
            allowed = guard.permission is None or guard.permission in GRANTS[role]
            if allowed and (method, path) != ("GET", "/workflows"):
                continue
            answer = await client.request(method, path)
            assert (answer.status_code == 403) is not allowed, (method, path, role)


def test_every_permission_that_guards_is_granted_to_somebody_and_all_to_the_administrator():
    assert GRANTS[Role.ADMIN] == set(Permission)
    assert GRANTS[Role.VIEWER] == {Permission.VIEW}
    assert Permission.EXECUTE not in GRANTS[Role.APPROVER]


async def test_another_tenants_things_look_as_if_they_were_not_there(app, admin, stranger):
    workflow = (await admin.post("/workflows", json=definition())).json()
    run = (await admin.post(f"/workflows/execute/{workflow['name']}", json={})).json()
    user = (await admin.get("/users")).json()[0]["id"]
    key = (await admin.post("/auth/api-keys", json={"name": "k", "roles": ["viewer"]})).json()["id"]
    await admin.put("/secrets/OURS", json={"value": "v"})
    event = (await admin.post("/events", json={"event_type": "ours"})).json()["event_id"]
    listens = {"process": workflow["name"], "type": "event", "config": {"event": "ours"}}
    trigger = (await admin.post("/triggers", json=listens)).json()["id"]
    requests = [
        ("GET", "/workflows/{}", workflow["id"], None),
        ("GET", "/workflows/{}/stats", workflow["id"], None),
        ("PUT", "/workflows/{}", workflow["id"], {"is_active": False}),
        ("PATCH", "/workflows/{}", workflow["id"], definition(workflow["name"])),
        ("DELETE", "/workflows/{}", workflow["id"], None),
        ("POST", "/workflows/execute/{}", workflow["name"], {}),
        ("GET", "/workflows/executions/{}", run["id"], None),
        ("GET", "/workflows/executions/{}?include_steps=true", run["id"], None),
        ("POST", "/workflows/executions/{}/cancel", run["id"], None),
        ("POST", "/workflows/executions/{}/signal", run["id"], {"name": "go"}),
        ("POST", "/workflows/executions/{}/resolve", run["id"], {"step": "tell", "decision": "skip"}),
        ("PATCH", "/users/{}", user, {"is_active": False}),
        ("DELETE", "/auth/api-keys/{}", key, None),
        ("POST", "/secrets/{}/rotate", "OURS", {"value": "w"}),
        ("DELETE", "/secrets/{}", "OURS", None),
        ("GET", "/events/{}", event, None),
        ("GET", "/events/{}/deliveries", event, None),
        ("POST", "/events/{}/replay", event, None),
        ("GET", "/triggers/{}", trigger, None),
        ("PATCH", "/triggers/{}", trigger, {"is_active": False}),
        ("DELETE", "/triggers/{}", trigger, None),
    ]
    for method, path, ours, body in requests:
        absent = {workflow["name"]: "p_absent", user: ANY_ID, key: ANY_ID, "OURS": "ABSENT"}.get(ours, 2**31 - 1)
        theirs = await stranger.request(method, path.format(ours), json=body)
        nobodys = await stranger.request(method, path.format(absent), json=body)
        assert theirs.status_code == nobodys.status_code == 404, (method, path, theirs.text)
        shapes = [re.sub(r"'.*'|\b\d+\b", "…", answer.json()["detail"]) for answer in (theirs, nobodys)]
        assert shapes[0] == shapes[1], (method, path)
    for listing in ("/workflows/executions", "/auth/api-keys"):
        assert (await stranger.get(listing)).json() == []
    assert '"OURS"' not in (await stranger.get("/secrets")).text
    assert (await stranger.get("/events?type=ours")).json() == []
    assert workflow["name"] not in (await stranger.get("/workflows")).text
    assert (await admin.get(f"/workflows/{workflow['id']}")).status_code == 200


async def test_the_tenant_comes_from_the_principal_and_a_contradiction_is_refused(admin, tenant, other_tenant):
    workflow = (await admin.post("/workflows", json=definition())).json()
    path = f"/workflows/execute/{workflow['name']}"
    assert (await admin.post(path, json={"tenant_id": tenant.id})).status_code == 202
    assert (await admin.post(path, json={"tenant_id": other_tenant.id})).status_code == 403
    assert (await admin.get("/workflows", headers={"x-tenant-id": other_tenant.id})).status_code == 403
    assert (await admin.get("/workflows", headers={"x-tenant-id": tenant.id})).status_code == 200


async def test_every_route_is_also_found_below_the_versioned_prefix(admin):
    assert (await admin.get("/api/v1/workflows")).status_code == 200
    assert (await admin.get("/api/v1/auth/me")).json()["roles"] == ["admin"]
