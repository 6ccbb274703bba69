"""Log-in, users, API keys and secrets over REST."""

import uuid

import pytest

from tests.api.conftest import PASSWORD, client_of, make_tenant


async def test_a_log_in_gives_a_token_that_works(app, anyone, tenant):
    body = {"email": tenant.emails["operator"].upper(), "password": PASSWORD}
    answer = await anyone.post("/auth/login", json=body)
    assert answer.status_code == 200
    token = answer.json()
    assert (token["token_type"], token["expires_in"]) == ("bearer", 3600)
    me = await anyone.get("/auth/me", headers={"authorization": f"Bearer {token['access_token']}"})
    assert (me.json()["tenant_id"], me.json()["name"]) == (tenant.id, tenant.emails["operator"])
    assert "workflow:execute" in me.json()["permissions"]


async def test_a_wrong_password_and_an_unknown_address_look_the_same(anyone, tenant):
    wrong = await anyone.post("/auth/login", json={"email": tenant.emails["viewer"], "password": "x"})
    unknown = await anyone.post("/auth/login", json={"email": "nobody@example.com", "password": "x"})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json()["detail"] == unknown.json()["detail"]


async def test_guessing_is_answered_429_after_a_few_tries(anyone, tenant):
    body = {"email": tenant.emails["approver"], "password": "guess"}
    statuses = [(await anyone.post("/auth/login", json=body)).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    answer = await anyone.post("/auth/login", json={**body, "password": PASSWORD})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 300


async def test_an_api_key_works_until_it_is_revoked_and_is_shown_once(app, admin):
    created = await admin.post("/auth/api-keys", json={"name": "ci", "roles": ["viewer"]})
    assert created.status_code == 201
    key = created.json()["key"]
    async with client_of(app, **{"x-api-key": key}) as machine:
        assert (await machine.get("/auth/me")).json()["name"] == "ci"
        assert (await machine.get("/workflows")).status_code == 200
        assert (await machine.get("/users")).status_code == 403
        listed = (await admin.get("/auth/api-keys")).text
        assert created.json()["prefix"] in listed
        assert key not in listed
        path = f"/auth/api-keys/{created.json()['id']}"
        assert (await admin.delete(path)).status_code == 204
        assert (await machine.get("/workflows")).status_code == 401
        assert (await admin.delete(path)).status_code == 404


@pytest.mark.parametrize("key", ["", "stw_", "stw_" + "A" * 43, "x" * 5000])
async def test_a_key_that_is_none_is_401(app, key):
    async with client_of(app, **{"x-api-key": key}) as machine:
        assert (await machine.get("/workflows")).status_code == 401


async def test_users_are_made_listed_and_let_in_no_more(app, parts, anyone):
    tenant = await make_tenant(parts)
    async with client_of(app, authorization=f"Bearer {tenant.tokens['admin']}") as admin:
        email = f"new-{uuid.uuid4().hex}@example.com"
        body = {"email": email, "password": "a long enough password", "roles": ["editor"]}
        created = await admin.post("/users", json=body)
        assert created.status_code == 201
        assert "password" not in created.text
        assert (await admin.post("/users", json=body)).status_code == 409
        assert email in [user["email"] for user in (await admin.get("/users")).json()]
        login = {"email": email, "password": body["password"]}
        token = (await anyone.post("/auth/login", json=login)).json()["access_token"]
        async with client_of(app, authorization=f"Bearer {token}") as user:
            assert (await user.get("/workflows")).status_code == 200
            await admin.patch(f"/users/{created.json()['id']}", json={"roles": ["viewer"]})
            assert (await user.post("/workflows/validate", json={})).status_code == 403
            await admin.patch(f"/users/{created.json()['id']}", json={"is_active": False})
            assert (await user.get("/workflows")).status_code == 401
        assert (await anyone.post("/auth/login", json=login)).status_code == 401


async def test_the_last_administrator_stays(app, parts):
    tenant = await make_tenant(parts)
    async with client_of(app, authorization=f"Bearer {tenant.tokens['admin']}") as admin:
        me = (await admin.get("/auth/me")).json()["subject"].removeprefix("user:")
        for body in ({"is_active": False}, {"roles": ["viewer"]}):
            assert (await admin.patch(f"/users/{me}", json=body)).status_code == 409
        assert (await admin.get("/users")).status_code == 200


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"email": "a@b.c", "password": "a long enough password", "roles": ["king"]}, "/roles/0"),
        ({"email": "a@b.c", "password": "short", "roles": ["viewer"]}, "/password"),
        ({"email": "nobody", "password": "a long enough password", "roles": ["viewer"]}, "/email"),
        ({"email": "a@b.c", "password": "a long enough password", "roles": []}, "/roles"),
        (
            {"email": "a@b.c", "password": "a long enough password", "roles": ["viewer"], "tenant_id": "x"},
            "/tenant_id",
        ),
    ],
)
async def test_a_user_that_cannot_be_is_422_that_names_the_field(admin, body, place):
    answer = await admin.post("/users", json=body)
    assert (answer.status_code, answer.json()["faults"][0]["path"]) == (422, place)
    assert body["password"] not in answer.text


async def test_secrets_are_written_and_never_read(admin, parts, tenant):
    assert (await admin.put("/secrets/STRIPE_KEY", json={"value": "canary-1"})).json() == {
        "name": "STRIPE_KEY",
        "version": 1,
    }
    assert (await admin.post("/secrets/STRIPE_KEY/rotate", json={"value": "canary-2"})).json()["version"] == 2
    listed = await admin.get("/secrets")
    assert "canary" not in listed.text
    secret = next(each for each in listed.json() if each["name"] == "STRIPE_KEY")
    assert secret.keys() == {"name", "version", "created_at", "updated_at", "updated_by"}
    assert (secret["version"], secret["updated_by"]) == (2, tenant.emails["admin"])
    assert (await admin.get("/secrets/STRIPE_KEY")).status_code == 405
    assert (await admin.delete("/secrets/STRIPE_KEY")).status_code == 204
    assert (await admin.post("/secrets/STRIPE_KEY/rotate", json={"value": "x"})).status_code == 404


@pytest.mark.parametrize(
    ("name", "value", "place"), [("9x", "v", "/name"), ("a b", "v", "/name"), ("OK", "", "/value")]
)
async def test_a_secret_that_cannot_be_is_422(admin, name, value, place):
    answer = await admin.put(f"/secrets/{name}", json={"value": value})
    assert (answer.status_code, answer.json()["faults"][0]["path"]) == (422, place)
