"""HTTP requests as steps: ``http.get``, ``http.post``, ``http.put``, ``http.patch``, ``http.delete``."""

import base64
from collections.abc import Mapping
from typing import Annotated, Final, Self
from urllib.parse import urlencode

import httpx2
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator
from pydantic_core import to_json

from connectors.http_answer import Answer
from connectors.http_client import HttpClient
from domain.actions import Call, Connector, Effect, action

MAX_TIMEOUT_SECONDS: Final = 300.0
IDEMPOTENCY_HEADER: Final = "idempotency-key"

_OURS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that say how the bytes travel: a caller who could set them could smuggle a second request."""

_KEPT: Final = frozenset(
    {
        "content-disposition",
        "content-type",
        "etag",
        "last-modified",
        "link",
        "location",
        "request-id",
        "retry-after",
        "x-request-id",
        "x-total-count",
    }
)

HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$")]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\t\x20-\x7e]{0,8000}$", strip_whitespace=True)]
Scalar = str | int | float | bool | None
Url = Annotated[
    str,
    StringConstraints(pattern=r"^[Hh][Tt][Tt][Pp][Ss]?://", max_length=8192),
    Field(
        description="http:// or https://. Private addresses are refused unless the operator allows them.",
        examples=["https://api.example.com/v1/orders"],
    ),
]


class Request(BaseModel):
    """Where to, and what is common to all methods."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Url
    params: dict[str, Scalar | list[Scalar]] = Field(
        default_factory=dict, description="Query parameters, added to those of the URL.", examples=[{"page": 2}]
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict,
        description="Request headers. They are never logged or given back.",
        examples=[{"authorization": "Bearer {{$secret.API_TOKEN}}"}],
    )
    timeout_seconds: float | None = Field(
        None, gt=0, le=MAX_TIMEOUT_SECONDS, description="For the whole exchange; the deployment's own if not given."
    )
    expect_status: list[Annotated[int, Field(ge=100, le=599)]] = Field(
        default_factory=list,
        description="Statuses outside 2xx that are an answer, not an error.",
        examples=[[404]],
    )
    follow_redirects: bool = Field(default=False, description="Follow up to five redirects, each checked like the URL.")

    @model_validator(mode="after")
    def _headers_are_the_callers(self) -> Self:
        for name in self.headers:
            if name.lower() in _OURS or name.lower().startswith("proxy-"):
                raise ValueError(f"the header {name} is set by the platform and may not be given")
        return self


class WriteRequest(Request):
    """A request with content: ``json``, ``body`` (text) or ``form``, at most one of them."""

    json_: JsonValue = Field(None, alias="json", description="Sent as application/json.", examples=[{"amount": 12}])
    body: str | None = Field(None, description="Sent as it is; text/plain unless a content-type header says otherwise.")
    form: dict[str, Scalar | list[Scalar]] | None = Field(
        None, description="Sent as application/x-www-form-urlencoded."
    )
    idempotency_key: HeaderValue | None = Field(
        None,
        description="Sent as Idempotency-Key instead of the step's own key, which stays the same over all retries.",
    )

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if len(self.model_fields_set & {"json_", "body", "form"}) > 1:
            raise ValueError("give one of json, body and form")
        return self

    def content(self) -> tuple[bytes, str | None]:
        """The bytes to send, and their type."""
        if self.form is not None:
            return urlencode(_pairs(self.form)).encode(), "application/x-www-form-urlencoded"
        if self.body is not None:
            return self.body.encode(), "text/plain; charset=utf-8"
        if "json_" in self.model_fields_set:
            return to_json(self.json_), "application/json"
        return b"", None


class HttpAnswer(BaseModel):
    """What the server answered."""

    model_config = ConfigDict(frozen=True)

    status: int
    ok: bool = Field(description="Whether the status is 2xx; false only for a status listed in expect_status.")
    headers: dict[str, str] = Field(description="Some headers, by lower-case name.", examples=[{"etag": '"a1"'}])
    body: JsonValue = Field(None, description="The parsed document if it is JSON, else the text.")
    body_base64: str | None = Field(None, description="The content if it is neither JSON nor text.")
    url: str = Field(description="The URL that answered, without credentials and query.")


class HttpConnector(Connector):
    """Speaks HTTP through the guarded client."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    @action("http.get", effect=Effect.READ)
    async def get(self, request: Request, _call: Call) -> HttpAnswer:
        """Fetch a URL.

        Any status but 2xx is an error unless ``expect_status`` lists it.
        """
        return await self._send("GET", request, b"", {})

    @action("http.post", effect=Effect.KEYED)
    async def post(self, request: WriteRequest, call: Call) -> HttpAnswer:
        """Send a POST request.

        It carries an ``Idempotency-Key`` that stays the same over all retries of the step: a receiver that honours it
        acts once. Any status but 2xx is an error unless ``expect_status`` lists it.
        """
        return await self._write("POST", request, call)

    @action("http.put", effect=Effect.KEYED)
    async def put(self, request: WriteRequest, call: Call) -> HttpAnswer:
        """Send a PUT request.

        As ``http.post``, ``Idempotency-Key`` included.
        """
        return await self._write("PUT", request, call)

    @action("http.patch", effect=Effect.KEYED)
    async def patch(self, request: WriteRequest, call: Call) -> HttpAnswer:
        """Send a PATCH request.

        As ``http.post``, ``Idempotency-Key`` included.
        """
        return await self._write("PATCH", request, call)

    @action("http.delete", effect=Effect.KEYED)
    async def delete(self, request: WriteRequest, call: Call) -> HttpAnswer:
        """Send a DELETE request.

        As ``http.post``, ``Idempotency-Key`` included. A retry may find the thing gone: list 404 in ``expect_status``
        if that is fine.
        """
        return await self._write("DELETE", request, call)

    async def _write(self, method: str, request: WriteRequest, call: Call) -> HttpAnswer:
        content, content_type = request.content()
        defaults = {IDEMPOTENCY_HEADER: call.key}
        if content_type:
            defaults["content-type"] = content_type
        if request.idempotency_key is not None:
            defaults[IDEMPOTENCY_HEADER] = request.idempotency_key
        return await self._send(method, request, content, defaults)

    async def _send(self, method: str, request: Request, content: bytes, defaults: Mapping[str, str]) -> HttpAnswer:
        headers = {**defaults, **{name.lower(): value for name, value in request.headers.items()}}
        answer = await self._http.send(
            method,
            _with_params(request),
            headers=headers,
            content=content,
            timeout_seconds=request.timeout_seconds,
            follow_redirects=request.follow_redirects,
        )
        if not answer.is_success and answer.status not in request.expect_status:
            raise answer.refusal()
        return _output(answer)


def _with_params(request: Request) -> str | httpx2.URL:
    if not request.params:
        return request.url
    try:
        return httpx2.URL(request.url).copy_merge_params(request.params)
    except httpx2.InvalidURL:
        return request.url  # the client says what is wrong with it


def _pairs(values: Mapping[str, Scalar | list[Scalar]]) -> list[tuple[str, str]]:
    """Fields as text, a list as one field for each item; null is the empty text, true and false as in JSON."""
    return [
        (name, _field(item))
        for name, value in values.items()
        for item in (value if isinstance(value, list) else [value])
    ]


def _field(value: Scalar) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)


def _output(answer: Answer) -> HttpAnswer:
    body, encoded = _body(answer)
    return HttpAnswer(
        status=answer.status,
        ok=answer.is_success,
        headers={
            name: value
            for name, value in answer.headers.items()
            if name in _KEPT or name.startswith(("ratelimit-", "x-ratelimit-"))
        },
        body=body,
        body_base64=encoded,
        url=answer.url,
    )


def _body(answer: Answer) -> tuple[JsonValue, str | None]:
    """The content as JSON or text, or else in base64. NUL, which no text in Postgres may hold, becomes U+FFFD."""
    if not answer.content:
        return None, None
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        return answer.json(), None
    if b"\x00" in answer.content:
        return None, base64.b64encode(answer.content).decode()
    text = answer.text()
    if "\ufffd" in text and not media_type.startswith("text/"):
        return None, base64.b64encode(answer.content).decode()
    return text, None
