"""The actions ``http.*``: what is sent, what comes back, and what neither headers nor bodies can do."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from connectors.http import HttpConnector
from domain.actions import Catalogue, Effect
from domain.errors import ConnectorError, ErrorCode
from tests.connectors.fakes import CALL, reply


@pytest.fixture
def perform(http):
    catalogue = Catalogue([HttpConnector(http)])

    async def perform(name, **request):
        action = catalogue[name]
        return await action.handler(action.input_model.model_validate(request), CALL)

    return perform


def test_reading_may_be_repeated_and_writing_goes_by_key(http):
    effects = {name: info.effect for name, info in Catalogue([HttpConnector(http)]).infos().items()}
    assert effects.pop("http.get") is Effect.READ
    assert set(effects) == {"http.post", "http.put", "http.patch", "http.delete"}
    assert set(effects.values()) == {Effect.KEYED}


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
async def test_a_write_carries_json_and_the_steps_key(web, perform, method):
    web.replies = [reply(201, b'{"id": 5}', etag='"1"')]
    answer = await perform(f"http.{method}", url=f"{web.origin}/orders", json={"name": "Jürgen", "amount": 12.5})
    [request] = web.received
    assert (request.method, request.target) == (method.upper(), "/orders")
    assert json.loads(request.body) == {"name": "Jürgen", "amount": 12.5}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"] == CALL.key
    assert (answer.status, answer.ok, answer.body, answer.headers["etag"]) == (201, True, {"id": 5}, '"1"')


async def test_the_caller_may_choose_the_key(web, perform):
    await perform("http.post", url=web.origin, idempotency_key="order-1")
    await perform("http.post", url=web.origin, headers={"Idempotency-Key": "order-2"})
    assert [each.headers["idempotency-key"] for each in web.received] == ["order-1", "order-2"]


async def test_json_null_is_content_and_nothing_is_not(web, perform):
    await perform("http.post", url=web.origin, json=None)
    await perform("http.post", url=web.origin)
    assert [each.body for each in web.received] == [b"null", b""]
    assert "content-type" not in web.received[1].headers


async def test_a_get_sends_params_and_headers_and_no_key(web, perform):
    params = {"q": "a b&c", "page": 2, "open": True, "tag": ["x", "y"], "none": None}
    await perform("http.get", url=f"{web.origin}/s?z=1", params=params, headers={"X-Team": "ops"})
    [request] = web.received
    query = parse_qs(urlsplit(request.target).query, keep_blank_values=True)
    assert query == {"z": ["1"], "q": ["a b&c"], "page": ["2"], "open": ["true"], "tag": ["x", "y"], "none": [""]}
    assert request.headers["x-team"] == "ops"
    assert "idempotency-key" not in request.headers


async def test_forms_and_texts_are_sent_as_such(web, perform):
    await perform("http.post", url=web.origin, form={"to": "+49 1", "on": True, "tag": ["a", "b"]})
    await perform("http.put", url=web.origin, body="<a/>", headers={"Content-Type": "application/xml"})
    form, text = web.received
    assert (form.headers["content-type"], form.body) == (
        "application/x-www-form-urlencoded",
        b"to=%2B49+1&on=true&tag=a&tag=b",
    )
    assert (text.headers["content-type"], text.body) == ("application/xml", b"<a/>")


async def test_an_unexpected_status_is_an_error_and_an_expected_one_is_not(web, perform):
    web.replies = [reply(404, b'{"why":"gone"}')]
    with pytest.raises(ConnectorError, match="was answered with 404") as error:
        await perform("http.get", url=f"{web.origin}/x?token=hush")
    assert error.value.code is ErrorCode.NOT_FOUND
    assert error.value.details == {"status": 404, "url": f"{web.origin}/x", "body": '{"why":"gone"}'}
    answer = await perform("http.get", url=web.origin, expect_status=[404])
    assert (answer.ok, answer.body) == (False, {"why": "gone"})


async def test_only_harmless_headers_come_back(web, perform):
    web.replies = [reply(200, set_cookie="a=1", authorization="x", x_request_id="r1", x_ratelimit_left="3", server="s")]
    answer = await perform("http.get", url=web.origin)
    assert answer.headers == {"x-request-id": "r1", "x-ratelimit-left": "3"}


@pytest.mark.parametrize(
    ("content", "content_type", "body", "encoded"),
    [
        (b"", None, None, None),
        (b"plain", "text/plain", "plain", None),
        (b"plain", None, "plain", None),
        ("Jürgen".encode("latin-1"), "text/plain; charset=iso-8859-1", "Jürgen", None),
        (b"x", "text/plain; charset=nonsense", "x", None),
        (b"<a/>", "application/xml", "<a/>", None),
        (b'{"a":1}', "application/problem+json; charset=utf-8", {"a": 1}, None),
        (b'\xef\xbb\xbf{"a":1}', "application/json", {"a": 1}, None),
        (b"\x89PNG\x00", "image/png", None, "iVBORwA="),
        (b"\xff\xfe", "application/octet-stream", None, "//4="),
        (rb'["a\u0000b", "\\u0000"]', "application/json", ["a\ufffdb", r"\u0000"], None),
        (b"[1e300, 12345678901234567890]", "application/json", [1e300, 12345678901234567890], None),
    ],
)
async def test_a_body_comes_back_as_what_it_is(web, perform, content, content_type, body, encoded):
    web.replies = [reply(200, content, content_type)]
    answer = await perform("http.post", url=web.origin)
    assert (answer.body, answer.body_base64) == (body, encoded)


@pytest.mark.parametrize(
    "content", [b'{"a":NaN}', b"[Infinity]", b"[1e400]", b"[-1e400]", b"{", b'["\\ud800"]', b"[" * 500]
)
async def test_what_only_claims_to_be_json_is_refused(web, perform, content):
    web.replies = [reply(200, content)]
    with pytest.raises(ConnectorError, match="something that is not JSON") as error:
        await perform("http.post", url=web.origin)
    assert (error.value.code, error.value.retryable, error.value.ambiguous) == (ErrorCode.UPSTREAM_5XX, False, True)
    with pytest.raises(ConnectorError) as error:
        await perform("http.get", url=web.origin)
    assert (error.value.retryable, error.value.ambiguous) == (True, False)


@pytest.mark.parametrize(
    "headers",
    [
        {"x": "a\r\nx-injected: 1"},
        {"x": "a\nb"},
        {"x": "a\x00"},
        {"x\r\ny": "1"},
        {"x: y": "1"},
        {"": "1"},
        {"x": "ü"},
        {"Host": "evil"},
        {"Content-Length": "0"},
        {"transfer-encoding": "chunked"},
        {"Connection": "close"},
        {"Proxy-Authorization": "x"},
    ],
)
async def test_headers_cannot_change_the_request_they_travel_in(web, perform, headers):
    with pytest.raises(ValidationError):
        await perform("http.post", url=web.origin, headers=headers)
    with pytest.raises(ValidationError):
        await perform("http.get", url=web.origin, headers=headers)
    assert web.connections == 0


async def test_a_refused_header_is_named_without_its_value(web, perform):
    with pytest.raises(ValidationError) as error:
        await perform("http.post", url=web.origin, headers={"Host": "hush"})
    [fault] = error.value.errors(include_input=False)
    assert "the header Host is set by the platform" in fault["msg"]


@pytest.mark.parametrize(
    "request_",
    [
        {"json": 1, "body": "x"},
        {"json": None, "form": {}},
        {"timeout_seconds": 0},
        {"timeout_seconds": 301},
        {"jsn": 1},
    ],
)
async def test_a_contradictory_request_is_refused(web, perform, request_):
    with pytest.raises(ValidationError):
        await perform("http.post", url=web.origin, **request_)


async def test_a_url_beyond_http_is_refused(perform):
    with pytest.raises(ValidationError):
        await perform("http.get", url="file:///etc/passwd")
