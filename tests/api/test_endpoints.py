"""Managing webhook endpoints over REST: addresses, rotation, who may, and whose they are."""

import uuid

import pytest

from tests.api.conftest import client_of

PATH = "/webhooks/endpoints"


def new(**more):
    return {"source": f"s-{uuid.uuid4().hex[:12]}", "verifier": "stripe", "secrets": ["WHSEC"], **more}


@pytest.fixture
async def editor(app, tenant):
    async with client_of(app, authorization=f"Bearer {tenant.tokens['editor']}") as client:
        yield client


async def test_a_new_endpoint_tells_its_address_and_which_secrets_are_not_set(editor, admin, tenant):
    body = new(secrets=[f"A_{uuid.uuid4().hex[:8]}", "WHSEC_SET"])
    await admin.put("/secrets/WHSEC_SET", json={"value": "hush"})
    answer = await editor.post(PATH, json=body)
    made = answer.json()
    assert answer.status_code == 201
    assert made["path"] == f"/api/automate/webhooks/{body['source']}/{made['key']}/"
    assert (made["default_path"], made["missing_secrets"]) == (None, body["secrets"][:1])
    assert made["created_by"] == tenant.emails["editor"]
    assert answer.headers["location"] == f"{PATH}/{made['id']}"
    assert (await editor.get(answer.headers["location"])).json() == made
    assert made in (await editor.get(PATH)).json()
    assert (await editor.get(PATH, params={"source": body["source"]})).json() == [made]
    assert "hush" not in answer.text


async def test_secrets_and_keys_are_replaced(editor):
    made = (await editor.post(PATH, json=new())).json()
    address = f"{PATH}/{made['id']}"
    changed = (await editor.patch(address, json={"secrets": ["NEW", "WHSEC"]})).json()
    assert changed == {**made, "secrets": ["NEW", "WHSEC"], "missing_secrets": ["NEW", "WHSEC"]}
    rotated = (await editor.post(f"{address}/rotate-key")).json()
    assert rotated["key"] != made["key"]
    assert rotated["path"].endswith(f"/{rotated['key']}/")
    assert (await editor.delete(address)).status_code == 204
    assert (await editor.get(address)).status_code == 404


async def test_an_endpoint_of_another_tenant_is_404_for_everything(editor, stranger):
    made = (await editor.post(PATH, json=new())).json()
    address = f"{PATH}/{made['id']}"
    answers = [
        await stranger.get(address),
        await stranger.patch(address, json={"is_active": False}),
        await stranger.post(f"{address}/rotate-key"),
        await stranger.delete(address),
    ]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert made["id"] not in [each["id"] for each in (await stranger.get(PATH)).json()]
    assert (await editor.get(address)).json() == made


async def test_only_those_who_may_change_workflows_manage_endpoints(app, anyone, tenant):
    assert (await anyone.get(PATH)).status_code == 401
    for role in ("viewer", "operator", "approver"):
        async with client_of(app, authorization=f"Bearer {tenant.tokens[role]}") as client:
            assert (await client.get(PATH)).status_code == 403
            assert (await client.post(PATH, json=new())).status_code == 403


async def test_an_editor_cannot_open_an_unsigned_endpoint_and_an_administrator_is_named(editor, admin, anyone, tenant):
    unsigned = new(verifier="unsigned", secrets=[])
    assert (await editor.post(PATH, json=unsigned)).status_code == 403
    made = (await admin.post(PATH, json=unsigned)).json()
    assert made["unsigned_by"].startswith(f"{tenant.emails['admin']} (user:")
    assert (await anyone.post(made["path"], json={"a": 1})).status_code == 202
    signed = (await editor.post(PATH, json=new())).json()
    change = {"verifier": "unsigned", "secrets": []}
    assert (await editor.patch(f"{PATH}/{signed['id']}", json=change)).status_code == 403


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"source": "No Good"}, "/source"),
        ({"source": "x" * 65}, "/source"),
        ({"verifier": "none"}, "/verifier"),
        ({"verifier": None}, "/verifier"),
        ({"secrets": []}, "/secrets"),
        ({"secrets": ["A"] * 6}, "/secrets"),
        ({"secrets": ["whsec_a+b="]}, "/secrets/0"),
        ({"config": {"algorithm": "sha256"}}, "/config/algorithm"),
        ({"allow_ips": ["0.0.0.0/0"]}, "/allow_ips/0"),
        ({"is_default": True}, "/is_default"),
        ({"key": "0" * 32}, "/key"),
        ({"tenant_id": "x"}, "/tenant_id"),
    ],
)
async def test_what_does_not_fit_is_422_with_its_place(editor, body, place):
    answer = await editor.post(PATH, json={**new(), **body})
    assert answer.status_code == 422
    assert place in [fault["path"] for fault in answer.json()["faults"]]


async def test_endpoints_are_found_below_the_prefix_too_and_webhooks_are_not(editor, anyone):
    made = (await editor.post("/api/v1" + PATH, json=new())).json()
    assert (await editor.get(f"/api/v1{PATH}/{made['id']}")).status_code == 200
    assert (await anyone.post("/api/v1" + made["path"], json={})).status_code == 404
