"""Bodies of requests, read strictly: what Postgres, Temporal or another JSON reader would refuse is refused here.

A body is JSON in UTF-8 without repeated keys, NaN, infinities, numbers over 64 bits, NUL, lone surrogates or deep
nesting, and no larger than the limit, however it is sent. What is wrong is named by JSON pointer.
"""

import asyncio
import json
import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from api.errors import Refused
from domain.documents import MAX_DEPTH, json_faults, json_pointer, parse_document
from domain.errors import Fault, InputInvalid
from domain.refusals import faults_of

JSON: Final = "application/json"
YAML: Final = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})

_BODY_SECONDS: Final = 30
_DRAINED_BYTES: Final = 16 * 1024 * 1024
_SAFE_DIGITS: Final = 18
_MAX_DIGITS: Final = 30
_OVER_64_BITS: Final = 2**63
_SUSPICIOUS_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")

Model = TypeVar("Model", bound=BaseModel)


class JsonBody(Generic[Model]):
    """Dependency: the body as ``model``. Raises ``Refused`` (400, 413, 415) and ``InputInvalid``."""

    def __init__(self, model: type[Model]) -> None:
        self._model = model

    async def __call__(self, request: Request) -> Model:
        """The body of one request."""
        value = await json_value(request)
        try:
            return self._model.model_validate(value)
        except ValidationError as error:
            raise InputInvalid("the body does not fit", faults_of(error.errors())) from error


async def json_value(request: Request) -> Any:
    """The body's value. Raises ``Refused``."""
    _require(media_type(request), JSON)
    return decode(await read_body(request))


async def json_object_or_nothing(request: Request) -> dict[str, Any]:
    """The body's object; no body at all is an empty one. Raises ``Refused`` and ``InputInvalid``."""
    content = await read_body(request)
    if not content:
        return {}
    _require(media_type(request), JSON)
    value = decode(content)
    if not isinstance(value, dict):
        raise InputInvalid("the body does not fit", [Fault(path="", reason="this must be an object")])
    return value


async def document(request: Request) -> Any:
    """A document that somebody wrote, in JSON or YAML by its media type. Raises ``Refused``, ``DefinitionInvalid``."""
    given = media_type(request)
    if given in YAML:
        return parse_document(await read_body(request), form="yaml").value
    _require(given, JSON, *sorted(YAML))
    return decode(await read_body(request))


async def read_body(request: Request) -> bytes:
    """The body's bytes. Raises ``Refused`` when it is over the limit, compressed, or does not come to its end."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_ENCODING", "bodies must not be compressed")
    return await raw_body(request)


async def raw_body(request: Request) -> bytes:
    """The body's bytes as they are sent, compressed or not. Raises ``Refused`` for the limit of bytes or of time."""
    limit: int = request.app.state.settings.max_body_bytes
    content, size = bytearray(), 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= limit:
                    content += chunk
                elif size > _DRAINED_BYTES:
                    break
    except TimeoutError as error:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, "REQUEST_TIMEOUT", "the body did not come to its end") from error
    if size > limit:
        # A little more than the limit is read and dropped, so that the client gets to read the answer.
        raise Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "BODY_TOO_LARGE",
            f"the body is over the limit of {limit} bytes: send less, or a reference to where the rest is",
            headers={"Connection": "close"},
        )
    return bytes(content)


def decode(content: bytes) -> Any:
    """The value of a JSON text. Raises ``Refused`` (400) with what is wrong and where."""
    try:
        text = content.decode()
        suspicious = _SUSPICIOUS_ESCAPE.search(text) is not None or text.count("[") + text.count("{") > MAX_DEPTH
        reader = _Reader()
        value = reader.read(text)
    except UnicodeDecodeError as error:
        raise _bad([Fault(path="", reason=f"the body is not UTF-8 at byte {error.start}")]) from error
    except json.JSONDecodeError as error:
        reason = f"this is not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        raise _bad([Fault(path="", reason=reason)]) from error
    except RecursionError as error:
        raise _bad([Fault(path="", reason=f"nested deeper than {MAX_DEPTH} levels")]) from error
    if reader.repeated:
        raise _bad(_repeated_keys(value))
    if (suspicious or reader.suspicious) and (faults := json_faults(value)):
        raise _bad(faults)
    return value


def accepts(schema: Mapping[str, Any], *media_types: str) -> dict[str, Any]:
    """What a route's OpenAPI description says of its body."""
    return {"requestBody": {"content": {each: {"schema": schema} for each in media_types or (JSON,)}}}


class _Repeated(dict[str, Any]):
    """An object in which a key was repeated."""

    key = ""


class _Reader:
    """Reads JSON and notes whether the value needs a closer look, which most values do not."""

    def __init__(self) -> None:
        self.repeated = False
        self.suspicious = False
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_int=self._int,
            parse_float=self._float,
            parse_constant=self._constant,
        )

    def read(self, text: str) -> Any:
        return self._decoder.decode(text)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) == len(pairs):
            return value
        self.repeated = True
        marked, seen = _Repeated(value), set[str]()
        for key, _ in pairs:
            if key in seen:
                marked.key = key
            seen.add(key)
        return marked

    def _int(self, digits: str) -> int:
        if len(digits) <= _SAFE_DIGITS:
            return int(digits)
        self.suspicious = True
        return int(digits) if len(digits) <= _MAX_DIGITS else _OVER_64_BITS

    def _float(self, digits: str) -> float:
        value = float(digits)
        self.suspicious = self.suspicious or math.isinf(value)
        return value

    def _constant(self, name: str) -> float:
        self.suspicious = True
        return float(name)


def _repeated_keys(value: Any) -> list[Fault]:
    pending: list[tuple[str, Any]] = [("", value)]
    faults: list[Fault] = []
    while pending:
        pointer, item = pending.pop()
        if isinstance(item, _Repeated):
            reason = f"the key {item.key!r} appears twice in one object"
            faults.append(Fault(path=pointer + json_pointer([item.key]), reason=reason))
        if isinstance(item, dict):
            pending += [(pointer + json_pointer([key]), each) for key, each in item.items()]
        elif isinstance(item, list):
            pending += [(f"{pointer}/{index}", each) for index, each in enumerate(item)]
    return faults


def _bad(faults: list[Fault]) -> Refused:
    detail = "; ".join(f"{fault.path or '/'}: {fault.reason}" for fault in faults[:3])
    return Refused(HTTPStatus.BAD_REQUEST, "JSON_INVALID", detail, faults=faults)


def media_type(request: Request) -> str:
    """The body's media type in small letters; ``""`` if the request names none. Raises ``Refused`` (415)."""
    given, _, parameters = request.headers.get("content-type", "").partition(";")
    name, _, charset = parameters.strip().lower().partition("=")
    if name == "charset" and charset.strip('" ') not in {"utf-8", "utf8"}:
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", "bodies must be UTF-8")
    return given.strip().lower()


def _require(given: str, *accepted: str) -> None:
    if given not in accepted:
        detail = f"the body's Content-Type must be {' or '.join(accepted)}, not {given or 'missing'}"
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "UNSUPPORTED_MEDIA_TYPE",
            detail,
            headers={"Accept-Post": ", ".join(accepted)},
        )
