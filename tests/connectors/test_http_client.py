"""The client's promises: limits in time and size, honest errors, nothing kept or told between calls."""

import asyncio
import gzip
import inspect
import logging
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest

from connectors.http_answer import status_code
from connectors.http_client import HttpClient, network_code
from domain.errors import ConnectorError, ErrorCode
from tests.connectors.fakes import drop, reply, stall, stall_in_the_middle


async def test_an_answer_of_any_status_comes_back_whole(web, http):
    web.replies = [reply(404, b"no such thing", "text/plain")]
    answer = await http.send("get", f"{web.origin}/a?b=1")
    assert (answer.method, answer.status, answer.content, answer.is_success) == ("GET", 404, b"no such thing", False)
    assert answer.url == f"{web.origin}/a"


async def test_connections_are_used_again(web, http):
    for _ in range(3):
        await http.send("POST", web.origin, content=b"x")
    assert web.connections == 1


async def test_cookies_of_one_call_do_not_reach_the_next(web, http):
    web.replies = [reply(set_cookie="session=1")]
    await http.send("GET", web.origin)
    await http.send("GET", web.origin)
    assert "cookie" not in web.received[1].headers


async def test_proxy_settings_of_the_environment_are_ignored(web, http, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert (await http.send("GET", web.origin)).status == 200


async def test_urls_and_headers_are_not_logged(web, http, caplog):
    caplog.set_level(logging.INFO)
    await http.send("GET", f"{web.origin}/?token=hush", headers={"authorization": "Bearer hush"})
    assert "hush" not in caplog.text


async def test_credentials_in_the_url_log_in_and_are_never_shown(web, http):
    web.replies = [reply(500, b"broken", "text/plain")]
    answer = await http.send("GET", f"http://jane:p%40ss@{web.address}/x?key=1#f")
    assert web.received[0].headers["authorization"] == "Basic amFuZTpwQHNz"
    assert answer.url == f"{web.origin}/x"
    assert str(answer.refusal()) == f"GET {web.origin}/x was answered with 500"


# --- size


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
async def test_a_compression_bomb_is_stopped_at_the_limit(web, http, compress):
    encoding = "gzip" if compress is gzip.compress else "deflate"
    web.replies = [reply(200, compress(b"\0" * 50_000_000), content_encoding=encoding)]
    with pytest.raises(ConnectorError, match="the limit is 65536: ask for less") as error:
        await http.send("GET", web.origin)
    assert error.value.code is ErrorCode.OUTPUT_TOO_LARGE
    assert int(str(error.value.details["size"])) < 3_000_000


async def test_nested_compression_is_refused(web, http):
    web.replies = [reply(200, gzip.compress(gzip.compress(b"\0" * 1_000_000), mtime=0), content_encoding="gzip, gzip")]
    with pytest.raises(ConnectorError, match="nested compression"):
        await http.send("GET", web.origin)


async def test_an_honest_content_length_over_the_limit_is_refused_before_reading(web, http):
    web.replies = [b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"]
    with pytest.raises(ConnectorError) as error:
        await http.send("POST", web.origin)
    assert (error.value.code, error.value.ambiguous) == (ErrorCode.OUTPUT_TOO_LARGE, True)


async def test_a_stream_without_end_is_cut(web, http):
    async def endless(writer):
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await writer.drain()

    web.replies = [endless]
    with pytest.raises(ConnectorError, match="the limit is 65536"):
        await http.send("GET", web.origin)


async def test_a_compressed_answer_within_the_limit_is_read(web, http):
    web.replies = [reply(200, gzip.compress(b'{"a":1}', mtime=0), content_encoding="gzip")]
    assert (await http.send("GET", web.origin)).content == b'{"a":1}'


async def test_damaged_compression_is_the_servers_fault(web, http):
    web.replies = [reply(200, b"not gzip at all", content_encoding="gzip")]
    with pytest.raises(ConnectorError) as error:
        await http.send("POST", web.origin)
    assert (error.value.code, error.value.ambiguous) == (ErrorCode.UPSTREAM_5XX, True)


# --- what may have happened


@pytest.mark.parametrize("fault", [stall, stall_in_the_middle])
@pytest.mark.parametrize(("method", "ambiguous"), [("GET", False), ("POST", True), ("DELETE", True)])
async def test_a_late_answer_is_a_timeout_and_leaves_a_write_in_doubt(web, http, fault, method, ambiguous):
    web.replies = [fault]
    with pytest.raises(ConnectorError, match=r"no complete answer within 0\.2 seconds") as error:
        await http.send(method, web.origin, timeout_seconds=0.2)
    assert (error.value.code, error.value.retryable) == (ErrorCode.TIMEOUT, True)
    assert error.value.ambiguous is ambiguous


@pytest.mark.parametrize(("method", "ambiguous"), [("GET", False), ("POST", True), ("PUT", True), ("PATCH", True)])
async def test_a_lost_answer_leaves_a_write_in_doubt(web, http, method, ambiguous):
    web.replies = [drop]
    with pytest.raises(ConnectorError) as error:
        await http.send(method, web.origin)
    assert (error.value.code, error.value.ambiguous) == (ErrorCode.TRANSIENT_NETWORK, ambiguous)


async def test_a_refused_connection_leaves_no_doubt(unused_tcp_port):
    client = HttpClient(allow_private=["127.0.0.1"])
    with pytest.raises(ConnectorError) as error:
        await client.send("POST", f"http://127.0.0.1:{unused_tcp_port}/", content=b"x")
    assert (error.value.code, error.value.ambiguous) == (ErrorCode.TRANSIENT_NETWORK, False)
    await client.close()


async def test_one_slow_server_does_not_hold_up_others(web, http):
    web.replies = [stall]
    slow = [asyncio.create_task(http.send("GET", web.origin, timeout_seconds=30)) for _ in range(100)]
    while len(web.received) < 100:
        await asyncio.sleep(0.01)
    web.replies = [reply()]
    assert (await http.send("GET", web.origin)).status == 200
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_server_error_leaves_a_write_in_doubt(web, http, status):
    web.replies = [reply(status)]
    assert (await http.send("POST", web.origin)).refusal().ambiguous
    assert not (await http.send("GET", web.origin)).refusal().ambiguous


async def test_a_server_that_is_too_busy_has_done_nothing(web, http):
    web.replies = [reply(503, retry_after="7")]
    error = (await http.send("POST", web.origin)).refusal()
    assert (error.retryable, error.ambiguous, error.retry_after) == (True, False, timedelta(seconds=7))


async def test_a_certificate_that_nobody_trusts_is_not_tried_again(tls_server):
    client = HttpClient(allow_private=["localhost"])
    with pytest.raises(ConnectorError, match="certificate cannot be verified") as error:
        await client.send("POST", tls_server.origin)
    assert (error.value.code, error.value.retryable) == (ErrorCode.CONFIG_INVALID, False)
    assert not error.value.ambiguous
    await client.close()


# --- the map of errors


def _subclasses(kind):
    return {kind}.union(*(_subclasses(each) for each in kind.__subclasses__()))


WANTED = {
    ErrorCode.TIMEOUT: {"TimeoutException", "ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout"},
    ErrorCode.INVALID_INPUT: {"UnsupportedProtocol", "LocalProtocolError", "TooManyRedirects"},
    ErrorCode.UPSTREAM_5XX: {"DecodingError"},
    ErrorCode.TRANSIENT_NETWORK: {
        "RequestError",
        "TransportError",
        "NetworkError",
        "ReadError",
        "WriteError",
        "ConnectError",
        "CloseError",
        "ProxyError",
        "ProtocolError",
        "RemoteProtocolError",
        "SSEError",
    },
}


def test_every_failure_of_a_request_has_its_code():
    known = {kind for kind in _subclasses(httpx2.RequestError) if kind.__module__.startswith("httpx2")}
    assert {kind.__name__ for kind in known} == set().union(*WANTED.values())
    for code, names in WANTED.items():
        for name in names:
            assert network_code(getattr(httpx2, name)("why")) is code


def test_no_other_error_of_httpx_can_come_up():
    """What is left is misuse of the library, or raised only by calls that are not made here."""
    errors = {kind for _, kind in inspect.getmembers(httpx2, inspect.isclass) if issubclass(kind, Exception)}
    rest = {kind.__name__ for kind in errors if not issubclass(kind, httpx2.RequestError)}
    misuse = {"StreamError", "StreamConsumed", "StreamClosed", "ResponseNotRead", "RequestNotRead", "CookieConflict"}
    assert rest - misuse == {"HTTPError", "HTTPStatusError", "InvalidURL"}


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (301, ErrorCode.INVALID_INPUT, False),
        (400, ErrorCode.INVALID_INPUT, False),
        (401, ErrorCode.AUTH_FAILED, False),
        (403, ErrorCode.FORBIDDEN, False),
        (404, ErrorCode.NOT_FOUND, False),
        (408, ErrorCode.TIMEOUT, True),
        (409, ErrorCode.INVALID_INPUT, False),
        (410, ErrorCode.NOT_FOUND, False),
        (422, ErrorCode.INVALID_INPUT, False),
        (429, ErrorCode.RATE_LIMITED, True),
        (500, ErrorCode.UPSTREAM_5XX, True),
        (503, ErrorCode.UPSTREAM_5XX, True),
        (504, ErrorCode.TIMEOUT, True),
        (599, ErrorCode.UPSTREAM_5XX, True),
    ],
)
async def test_a_status_has_its_code(web, http, status, code, retryable):
    web.replies = [reply(status, b"why" * 1000, "text/plain")]
    error = (await http.send("GET", f"{web.origin}/x")).refusal()
    assert (error.code, error.retryable, error.status) == (code, retryable, status)
    assert len(str(error.details["body"])) == 500
    assert status_code(status) is code


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), ("12", 12), ("999999999999", 86400), ("-1", None), ("soon", None), ("", None), ("\u0661", None)],
)
async def test_retry_after_in_seconds(web, http, value, seconds):
    web.replies = [reply(429, retry_after=value.encode().decode("latin-1")).decode().encode("latin-1")]
    wait = (await http.send("GET", web.origin)).retry_after()
    assert wait == (None if seconds is None else timedelta(seconds=seconds))


async def test_retry_after_as_a_date(web, http):
    web.replies = [reply(429, retry_after=format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True))]
    wait = (await http.send("GET", web.origin)).retry_after()
    assert wait is not None
    assert timedelta(seconds=60) < wait <= timedelta(seconds=90)


async def test_retry_after_in_the_past_is_now(web, http):
    web.replies = [reply(429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT")]
    assert (await http.send("GET", web.origin)).retry_after() == timedelta(0)


# --- URLs and redirects


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "example.com",
        "http://",
        "http://x:0/",
        "https://x:99999/",
        "http://\r\n",
        "http://[::1%25eth0/",
        "https://" + "a" * 9000,
        "gopher://x",
        "unix:///x",
        "//example.com/",
    ],
)
async def test_what_is_not_a_web_address_is_refused(http, url):
    with pytest.raises(ConnectorError) as error:
        await http.send("GET", url)
    assert error.value.code is ErrorCode.INVALID_INPUT


async def test_redirects_are_not_followed_unless_asked(web, http):
    web.replies = [reply(302, location="/elsewhere?token=1")]
    answer = await http.send("GET", f"{web.origin}/")
    assert answer.status == 302
    assert "set follow_redirects" in str(answer.refusal())
    assert len(web.received) == 1


async def test_a_redirect_is_followed_when_asked(web, http):
    web.replies = [reply(302, location="/b"), reply(307, location="c"), reply(body=b"{}")]
    answer = await http.send("GET", f"{web.origin}/a", headers={"x-key": "1"}, follow_redirects=True)
    assert [each.target for each in web.received] == ["/a", "/b", "/c"]
    assert (answer.status, answer.url) == (200, f"{web.origin}/c")
    assert web.received[2].headers["x-key"] == "1"


async def test_at_most_five_redirects_are_followed(web, http):
    web.replies = [reply(302, location="/again")]
    with pytest.raises(ConnectorError, match="more than 5 redirects"):
        await http.send("GET", web.origin, follow_redirects=True)
    assert len(web.received) == 6


@pytest.mark.parametrize(("status", "method", "body"), [(303, "GET", b""), (302, "GET", b""), (307, "POST", b"x")])
async def test_a_redirected_post_goes_on_as_http_says(web, http, status, method, body):
    web.replies = [reply(status, location="/next"), reply()]
    await http.send("POST", web.origin, content=b"x", headers={"content-type": "text/plain"}, follow_redirects=True)
    assert (web.received[1].method, web.received[1].body) == (method, body)


async def test_another_origin_gets_none_of_the_callers_headers(web):
    web.replies = [reply(307, location=f"http://localhost:{web.port}/"), reply()]
    client = HttpClient(allow_private=["127.0.0.1", "localhost"])
    headers = {"authorization": "Bearer t", "x-api-key": "k", "content-type": "text/plain"}
    await client.send("POST", f"http://jane:secret@{web.address}/", headers=headers, follow_redirects=True)
    assert {"authorization", "x-api-key"} <= web.received[0].headers.keys()
    assert {"authorization", "x-api-key"}.isdisjoint(web.received[1].headers)
    await client.close()
