"""Bodies of webhooks: decompressed within bounds, and read strictly, whatever their media type.

Signatures have been verified over the bytes as they came, so nothing here sees the body of a stranger.
"""

import zlib
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request

from api.errors import Refused
from api.strict_json import JSON, decode, media_type
from domain.documents import json_faults
from domain.webhooks import form_fields
from triggers.sources import FORM_WITH_JSON, Content, batch
from triggers.verifiers import FORM

NDJSON: Final = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
)

MAX_RATIO: Final = 100
"""How many times its size a compressed body may have inside."""

MAX_EVENTS: Final = 5000
"""How many events one request may hold."""

_FREE_BYTES: Final = 64 * 1024
"""So much is always allowed: small texts that repeat themselves compress better than any limit."""
_ZLIB, _RAW, _GZIP = 15, -15, 31
_ACCEPTED: Final = (JSON, FORM, *sorted(NDJSON))


def content_of(request: Request, body: bytes, shape: str) -> Content:
    """What a verified request holds. ``shape``: as whose it is read, see ``triggers.sources.shape_of``.

    Raises ``Refused``: 415 for another media type or encoding, 413 for too much inside, 400 for what it is not.
    """
    kind = media_type(request)
    plain = _decompressed(
        body, request.headers.get("content-encoding", ""), limit=request.app.state.settings.max_body_bytes
    )
    if kind == JSON or (kind.startswith("application/") and kind.endswith("+json")):
        content = batch(shape, decode(plain))
    elif kind in NDJSON:
        content = _lines(plain)
    elif kind == FORM:
        content = Content([_form(plain, FORM_WITH_JSON.get(shape))])
    else:
        detail = f"the body's Content-Type must be {', '.join(_ACCEPTED)} or …+json, not {kind or 'missing'}"
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", detail)
    if not content.values:
        raise _bad("the body holds no event")
    if len(content.values) > MAX_EVENTS:
        raise _too_large(f"the body holds {len(content.values)} events, the limit is {MAX_EVENTS}: send fewer at once")
    return content


def _lines(plain: bytes) -> Content:
    values = []
    for number, line in enumerate(plain.split(b"\n"), start=1):
        if line.strip():
            try:
                values.append(decode(line))
            except Refused as error:
                raise Refused(error.status, error.code, f"line {number}: {error}", faults=error.faults) from error
    return Content(values, is_many=True)


def _form(plain: bytes, json_field: str | None) -> Any:
    """The fields as an object, a repeated one as a list; or the JSON that one of them holds."""
    try:
        fields = form_fields(plain)
    except ValueError as error:
        raise _bad("the body is not a form in UTF-8, or has too many fields") from error
    values: dict[str, Any] = {}
    for name, value in fields:
        if name not in values:
            values[name] = value
        elif isinstance(values[name], list):
            values[name].append(value)
        else:
            values[name] = [values[name], value]
    if json_field is not None and isinstance(given := values.get(json_field), str):
        return decode(given.encode())
    if faults := json_faults(values):
        raise Refused(HTTPStatus.BAD_REQUEST, "BODY_INVALID", "the form holds what JSON cannot", faults=faults)
    return values


def _decompressed(body: bytes, encoding: str, *, limit: int) -> bytes:
    """The body without its ``Content-Encoding`` (RFC 9110, 8.4): gzip or deflate, once."""
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            window = _GZIP
        case "deflate":
            window = _ZLIB if _has_zlib_header(body) else _RAW  # some send the bare stream, though the RFC says zlib
        case _:
            detail = f"a body may be compressed with gzip or deflate, not {encoding}"
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_ENCODING", detail)
    allowed = min(limit, max(_FREE_BYTES, MAX_RATIO * len(body)))
    stream = zlib.decompressobj(window)
    try:
        plain = stream.decompress(body, allowed + 1)
    except zlib.error as error:
        raise _bad(f"the body is not {encoding}") from error
    if len(plain) > allowed:
        raise _too_large(f"the body is over {allowed} bytes once decompressed: send less, or less compressed")
    if not stream.eof or stream.unused_data:
        raise _bad(f"the body is not one whole stream of {encoding}")
    return plain


def _has_zlib_header(body: bytes) -> bool:
    """RFC 1950, 2.2: the method is 8, and the first two bytes are a multiple of 31."""
    return len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2]) % 31 == 0  # noqa: PLR2004


def _bad(detail: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, "BODY_INVALID", detail)


def _too_large(detail: str) -> Refused:
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "BODY_TOO_LARGE", detail)
