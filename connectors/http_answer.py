"""What a server answered, and what it means as an error."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx2
from pydantic import JsonValue
from pydantic_core import from_json

from domain.errors import ConnectorError, ErrorCode

MAX_RETRY_AFTER: Final = timedelta(days=1)
EXCERPT_LENGTH: Final = 500
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SURELY_NOT_DONE: Final = frozenset({501, 503})
_HIDDEN: Final = frozenset("@?#")
_NUL: Final = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
_MAYBE_INFINITE: Final = re.compile(rb"[eE]\+?\d{3}|\d{300}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered. ``content`` is decompressed; ``url`` has neither credentials nor query."""

    method: str
    url: str
    status: int
    headers: httpx2.Headers
    content: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return self.status // 100 == 2  # noqa: PLR2004

    def text(self) -> str:
        """The content in its charset, UTF-8 unless it says otherwise; what does not fit is replaced."""
        try:
            return self.content.decode(
                httpx2.Response(200, headers=self.headers).charset_encoding or "utf-8", "replace"
            )
        except LookupError:
            return self.content.decode("utf-8", "replace")

    def json(self) -> JsonValue:
        """The content as JSON. NUL, which no text in Postgres may hold, becomes U+FFFD.

        Raises ``ConnectorError`` for what is not JSON, NaN and numbers beyond a double included; ``ambiguous`` for a
        writing request, since it was carried out.
        """
        content = _NUL.sub(rb"\1\\ufffd", self.content.removeprefix(b"\xef\xbb\xbf"))
        try:
            document: JsonValue = from_json(content, allow_inf_nan=False)
        except ValueError as error:
            raise self._not_json(str(error)) from None
        if _MAYBE_INFINITE.search(content) and _holds_infinity(document):
            raise self._not_json("a number is too large")
        return document

    def _not_json(self, why: str) -> ConnectorError:
        return ConnectorError(
            ErrorCode.UPSTREAM_5XX,
            f"{self.method} {self.url} was answered with {self.status} and something that is not JSON: {why}",
            retryable=not writes(self.method),
            ambiguous=writes(self.method),
            status=self.status,
            details={"status": self.status, "url": self.url},
        )

    def retry_after(self) -> timedelta | None:
        """How long the server asks to wait (RFC 9110, 10.2.3), at most a day."""
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit():
            wait = timedelta(seconds=min(int(value[:9]), MAX_RETRY_AFTER.total_seconds()))
        else:
            try:
                wait = parsedate_to_datetime(value).replace(tzinfo=UTC) - datetime.now(UTC)
            except (ValueError, TypeError, OverflowError):
                return None
        return max(timedelta(0), min(wait, MAX_RETRY_AFTER))

    def refusal(self) -> ConnectorError:
        """This answer as an error, for whoever expected another status."""
        code = status_code(self.status)
        details: dict[str, JsonValue] = {"status": self.status, "url": self.url}
        if self.content:
            details["body"] = self.text()[:EXCERPT_LENGTH].replace("\x00", "\ufffd")
        hint = ""
        if self.status in REDIRECTS:
            hint = " (a redirect: use the URL that it names, or set follow_redirects)"
            details["location"] = shown(self.headers.get("location", ""))
        return ConnectorError(
            code,
            f"{self.method} {self.url} was answered with {self.status}{hint}",
            retry_after=self.retry_after(),
            ambiguous=self.status >= 500 and self.status not in _SURELY_NOT_DONE and writes(self.method),  # noqa: PLR2004
            status=self.status,
            details=details,
        )


def status_code(status: int) -> ErrorCode:
    """The error code of an HTTP status that nobody expected."""
    match status:
        case 401:
            return ErrorCode.AUTH_FAILED
        case 403:
            return ErrorCode.FORBIDDEN
        case 404 | 410:
            return ErrorCode.NOT_FOUND
        case 408 | 504:
            return ErrorCode.TIMEOUT
        case 429:
            return ErrorCode.RATE_LIMITED
        case _ if status >= 500:  # noqa: PLR2004
            return ErrorCode.UPSTREAM_5XX
        case _:
            return ErrorCode.INVALID_INPUT


def writes(method: str) -> bool:
    """Whether a request of that method may change something at the server."""
    return method.upper() not in _READING


def shown(url: str | httpx2.URL) -> str:
    """``url`` as it may be shown: without credentials, query and fragment."""
    if isinstance(url, httpx2.URL) and not _HIDDEN.intersection(plain := str(url)):
        return plain
    try:
        return str(httpx2.URL(url).copy_with(username="", password="", query=None, fragment=None))
    except httpx2.InvalidURL:
        return ""


def _holds_infinity(value: Any) -> bool:
    match value:
        case dict():
            return any(_holds_infinity(inner) for inner in value.values())
        case list():
            return any(_holds_infinity(inner) for inner in value)
        case _:
            return isinstance(value, float) and math.isinf(value)
