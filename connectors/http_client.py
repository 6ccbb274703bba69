"""The one HTTP client of the platform: guarded, limited in time and size, without memory between calls.

    client = HttpClient(allow_private=["crm.internal:8080"])
    answer = await client.send("POST", "https://api.example.com/orders", content=b"{}")

It keeps no cookies, reads no proxy or netrc settings from the environment, logs no URL, and never retries. Build one
per worker: it pools connections.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import unquote

import httpcore2
import httpx2

from connectors.http_answer import REDIRECTS, Answer, shown, writes
from connectors.ssrf import Guard, GuardedBackend, Resolver, system_resolver
from domain.errors import ConnectorError, ErrorCode

CONNECT_SECONDS: Final = 10.0
MAX_CONNECTIONS: Final = 200
# Just under the five seconds after which many servers close an idle connection, so that a request seldom meets that.
KEEPALIVE_SECONDS: Final = 4.0
MAXREDIRECTS: Final = 5
MAX_URL_LENGTH: Final = 8192

_HEADERS: Final[Mapping[str, str]] = {
    "accept": "*/*",
    "accept-encoding": "gzip, deflate",
    "user-agent": "stepwell",
}
_FOR_ANY_ORIGIN: Final = frozenset({*_HEADERS, "content-type"})
_DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}
_MAX_PORT: Final = 65535


def network_code(error: httpx2.RequestError) -> ErrorCode:
    """The error code of a request that got no proper answer."""
    match error:
        case httpx2.TimeoutException():
            return ErrorCode.TIMEOUT
        case httpx2.UnsupportedProtocol() | httpx2.LocalProtocolError() | httpx2.TooManyRedirects():
            return ErrorCode.INVALID_INPUT
        case httpx2.DecodingError():
            return ErrorCode.UPSTREAM_5XX
        case httpx2.ConnectError() if _untrusted(error):
            return ErrorCode.CONFIG_INVALID
        case _:
            return ErrorCode.TRANSIENT_NETWORK


class HttpClient:
    """Sends requests. ``timeout_seconds`` is for a whole exchange, ``max_response_bytes`` for decompressed content.

    ``allow_private``: ``host`` or ``host:port`` that may be reached wherever they lead.
    ``resolver`` and ``tls`` (the certificates to trust) replace the system's.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float = 30.0,
        max_response_bytes: int = 1024 * 1024,
        allow_private: Iterable[str] = (),
        resolver: Resolver = system_resolver,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._max_response_bytes = max_response_bytes
        self._transport = GuardedTransport(Guard(allow_private, resolver), tls)

    async def send(
        self,
        method: str,
        url: str | httpx2.URL,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        timeout_seconds: float | None = None,
        follow_redirects: bool = False,
    ) -> Answer:
        """Send one request and read the whole answer, whatever its status.

        Raises ``ConnectorError``; ``ambiguous`` when a writing request went out and its answer was lost.
        Redirects are followed on demand only, up to five, each checked like the first URL; another origin gets none
        of the caller's headers.
        """
        request = _Outgoing.to(method, url, headers or {}, content)
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        progress = _Progress()
        extensions = {"timeout": {"connect": min(seconds, CONNECT_SECONDS)}, "trace": progress}
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(request, extensions, MAXREDIRECTS if follow_redirects else 0)
        except TimeoutError:
            why = f"no complete answer within {seconds:g} seconds"
            code = ErrorCode.TIMEOUT
        except httpx2.RequestError as error:
            why = type(error).__name__
            code = network_code(error)
            if code is ErrorCode.CONFIG_INVALID:
                why = "its certificate cannot be verified"
        except ConnectorError as error:
            error.ambiguous = error.ambiguous or (progress.sent and writes(method))
            raise
        raise ConnectorError(
            code,
            f"{request.method} {shown(request.url)} failed: {why}",
            ambiguous=progress.sent and writes(method),
            details={"url": shown(request.url)},
        )

    async def _exchange(self, request: "_Outgoing", extensions: dict[str, Any], redirects: int) -> Answer:
        limit = redirects
        while True:
            response = await self._transport.handle_async_request(request.built(extensions))
            try:
                if not limit or response.status_code not in REDIRECTS or "location" not in response.headers:
                    content = await self._read(request, response)
                    break
            finally:
                await response.aclose()
            if not redirects:
                raise ConnectorError(
                    ErrorCode.INVALID_INPUT, f"{shown(request.url)} leads to more than {MAXREDIRECTS} redirects"
                )
            redirects -= 1
            request = request.redirected(response.status_code, response.headers["location"])
        return Answer(request.method, shown(request.url), response.status_code, response.headers, content)

    async def _read(self, request: "_Outgoing", response: httpx2.Response) -> bytes:
        """The content, decompressed piece by piece until it is too much."""
        limit = self._max_response_bytes
        if "," in response.headers.get("content-encoding", ""):
            raise ConnectorError(
                ErrorCode.UPSTREAM_5XX, f"{shown(request.url)} answers with nested compression", retryable=False
            )
        announced = response.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > limit:
            raise self._too_large(request, int(announced))
        parts, size = [], 0
        async for part in _decoded(response):
            size += len(part)
            if size > limit or response.num_bytes_downloaded > limit:
                raise self._too_large(request, max(size, response.num_bytes_downloaded))
            parts.append(part)
        return b"".join(parts)

    def _too_large(self, request: "_Outgoing", size: int) -> ConnectorError:
        limit = self._max_response_bytes
        return ConnectorError(
            ErrorCode.OUTPUT_TOO_LARGE,
            f"the answer of {shown(request.url)} has {size} bytes or more, the limit is {limit}: ask for less (a page, "
            "a filter, fewer fields); the operator may raise STEPWELL_HTTP_MAX_RESPONSE_BYTES",
            details={"url": shown(request.url), "size": size, "limit": limit},
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


class GuardedTransport(httpx2.AsyncHTTPTransport):
    """Transport whose connections go only where ``guard`` lets them. For vendors' clients that take a transport."""

    def __init__(self, guard: Guard, tls: ssl.SSLContext | None = None) -> None:
        context = tls or httpx2.create_ssl_context(trust_env=False)
        super().__init__(verify=context, trust_env=False)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=MAX_CONNECTIONS,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=GuardedBackend(guard),
        )


class _Progress:
    """httpcore's trace callback: remembers whether anything of a request went out."""

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent = False

    async def __call__(self, event: str, _info: Mapping[str, Any]) -> None:
        if event == "http11.send_request_headers.started":
            self.sent = True


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """One request of an exchange."""

    method: str
    url: httpx2.URL
    headers: Mapping[str, str]
    content: bytes

    @classmethod
    def to(cls, method: str, url: str | httpx2.URL, headers: Mapping[str, str], content: bytes) -> "_Outgoing":
        target = _checked(url)
        names = {**_HEADERS, **{name.lower(): value for name, value in headers.items()}}
        if target.userinfo and "authorization" not in names:
            names["authorization"] = "Basic " + base64.b64encode(unquote(target.userinfo).encode()).decode()
        return cls(method.upper(), target, names, content)

    def built(self, extensions: dict[str, Any]) -> httpx2.Request:
        return httpx2.Request(
            self.method, self.url, headers=self.headers, content=self.content or None, extensions=extensions
        )

    def redirected(self, status: int, location: str) -> "_Outgoing":
        """The request that follows a redirect (RFC 9110, 15.4)."""
        try:
            target = _checked(self.url.join(location))
        except httpx2.InvalidURL:
            raise _unreadable() from None
        if (self.url.scheme, target.scheme) == ("https", "http"):
            raise ConnectorError(ErrorCode.FORBIDDEN, f"{shown(self.url)} redirects from https to http")
        following = replace(self, url=target)
        if status == 303 or (status in {301, 302} and self.method == "POST"):  # noqa: PLR2004
            kept = {name: value for name, value in self.headers.items() if name != "content-type"}
            following = replace(following, method="GET", content=b"", headers=kept)
        if _origin(target) != _origin(self.url):
            kept = {name: value for name, value in following.headers.items() if name in _FOR_ANY_ORIGIN}
            following = replace(following, headers=kept)
        return following


def _decoded(response: httpx2.Response) -> AsyncIterator[bytes]:
    """The content piece by piece. What is not compressed need not pass through the decoders."""
    if "content-encoding" in response.headers or not isinstance(response.stream, httpx2.AsyncByteStream):
        return response.aiter_bytes()
    return aiter(response.stream)


def _checked(url: str | httpx2.URL) -> httpx2.URL:
    if isinstance(url, str) and len(url) > MAX_URL_LENGTH:
        raise ConnectorError(ErrorCode.INVALID_INPUT, f"the URL is longer than {MAX_URL_LENGTH} characters")
    try:
        target = httpx2.URL(url)
    except httpx2.InvalidURL:  # its text may quote credentials
        raise _unreadable() from None
    if target.scheme not in _DEFAULT_PORTS:
        raise ConnectorError(
            ErrorCode.INVALID_INPUT, f"a URL must begin with http:// or https://, not {target.scheme}:"
        )
    if not target.host or not 0 < _origin(target)[2] <= _MAX_PORT:
        raise _unreadable()
    return target


def _unreadable() -> ConnectorError:
    return ConnectorError(ErrorCode.INVALID_INPUT, "the URL cannot be read; expected https://host[:port]/path")


def _origin(url: httpx2.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, _DEFAULT_PORTS[url.scheme] if url.port is None else url.port


def _untrusted(error: BaseException) -> bool:
    """Whether a certificate was the reason."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
