"""What bodies get: each fault is a 4xx that names the place, never a 500."""

import json

import httpx2
import pytest

from api.errors import Refused
from api.strict_json import decode


@pytest.mark.parametrize(
    ("text", "pointer", "reason"),
    [
        ('{"a": [1, NaN]}', "/a/1", "not finite"),
        ('{"a": -Infinity}', "/a", "not finite"),
        ('{"a": {"b": 1e400}}', "/a/b", "not finite"),
        ('{"a": {"b": 1, "b": 2}}', "/a/b", "twice"),
        ('[{"x/y": 1, "x/y": 1}]', "/0/x~1y", "twice"),
        (r'{"a": "x\u0000y"}', "/a", "NUL"),
        (r'{"a": "\ud800"}', "/a", "surrogate"),
        (r'{"a": "\udc00\ud800"}', "/a", "surrogate"),
        (r'{"\u0000": 1}', "", "key"),
        ('{"a": 9223372036854775808}', "/a", "64 bits"),
        ('{"a": ' + "9" * 5000 + "}", "/a", "64 bits"),
        ("[" * 65 + "]" * 65, "/0" * 64, "deeper"),
        ("[" * 100_000, "", "deeper"),
        ('{"a":' * 100_000, "", "deeper"),
        ("", "", "not JSON"),
        ("{'a': 1}", "", "not JSON"),
        ('{"a": 1} x', "", "not JSON"),
        ('{"a": "x\ty"}', "", "not JSON"),
        ("\ufeff{}", "", "not JSON"),
    ],
)
def test_what_another_reader_would_refuse_is_refused_with_its_place(text, pointer, reason):
    with pytest.raises(Refused) as refused:
        decode(text.encode())
    assert refused.value.status == 400
    assert refused.value.faults[0].path == pointer
    assert reason in refused.value.faults[0].reason


@pytest.mark.parametrize("content", [b"\xff\xfe{\x00}\x00", b'{"a": "\xed\xa0\x80"}', b"\x80"])
def test_what_is_not_utf8_is_refused(content):
    with pytest.raises(Refused, match="not UTF-8"):
        decode(content)


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, -2.5, True, None, "ü😀", {"b": {}}], "": 0},
        2**63 - 1,
        -(2**63) + 1,
        json.loads("[" * 64 + "]" * 64),
        [{"x": 1}] * 500,
        "[" * 1000,
    ],
)
def test_what_is_right_comes_through_unchanged(value):
    assert decode(json.dumps(value).encode()) == value


async def _login(client: httpx2.AsyncClient, content, **headers) -> httpx2.Response:
    return await client.post("/auth/login", content=content, headers={"content-type": "application/json", **headers})


async def test_bad_json_is_a_problem_document_that_names_the_field(anyone):
    answer = await _login(anyone, b'{"email": "a@b", "password": NaN}')
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "JSON_INVALID"
    assert problem["faults"][0]["path"] == "/password"
    assert problem["request_id"] == answer.headers["x-request-id"]


async def test_unknown_and_wrong_fields_are_named_and_their_values_kept_out(anyone):
    answer = await _login(anyone, b'{"email": "a@b", "password": ["hunter2"], "tenant_id": "x"}')
    assert answer.status_code == 422
    assert {fault["path"] for fault in answer.json()["faults"]} == {"/password", "/tenant_id"}
    assert "hunter2" not in answer.text


async def test_a_body_over_the_limit_is_413_with_and_without_a_length(anyone):
    big = b'"' + b"x" * 5_000_000 + b'"'

    async def chunks():
        for start in range(0, len(big), 65_536):
            yield big[start : start + 65_536]

    for content in (big, chunks()):
        answer = await _login(anyone, content)
        assert (answer.status_code, answer.json()["code"]) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": ""},
        {"content-type": "application/json; charset=utf-16"},
        {"content-encoding": "gzip"},
    ],
)
async def test_other_media_types_and_compressed_bodies_are_415(anyone, headers):
    assert (await _login(anyone, b"{}", **headers)).status_code == 415


async def test_a_charset_of_utf8_is_welcome(anyone):
    answer = await _login(anyone, b"{}", **{"content-type": 'Application/JSON; charset="UTF-8"'})
    assert answer.status_code == 422
