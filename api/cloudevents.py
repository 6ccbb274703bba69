"""CloudEvents 1.0 as they come over HTTP, made into events of the inbox. Nothing here does I/O.

Structured mode (one JSON document), batches of such, binary mode (attributes in ``ce-…`` headers, data in the body).
The sender's ``id`` is the event's key, ``time`` when it occurred; all other attributes are kept among the headers as
``ce_…``. What is wrong is told all at once, by attribute.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from api.errors import Refused
from api.strict_json import decode
from domain.documents import json_pointer
from domain.durations import parse_timestamp
from domain.errors import ExpressionError, Fault, InputInvalid
from domain.events import NewEvent

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
FAMILY: Final = "application/cloudevents"
"""What the media types of all event formats begin with."""

_PREFIX: Final = "ce-"
_REQUIRED: Final = frozenset({"id", "source", "type", "specversion"})
_DATA: Final = frozenset({"data", "data_base64"})
_LIMITS: Final = {"id": 300, "source": 200, "type": 200, "subject": 300}
_NAME = re.compile(r"[a-z0-9]+", re.ASCII)
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_REFUSAL: Final = "the CloudEvent does not fit"


def is_binary(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request's headers say that it is a CloudEvent in binary mode: it has any of the required ones."""
    names = {_PREFIX + name for name in _REQUIRED}
    return any(name.decode("latin-1").lower() in names for name, _ in headers)


def read_structured(document: Any, *, trace_id: str) -> NewEvent:
    """The event of a structured-mode document. Raises ``InputInvalid`` with every fault.

    ``trace_id`` is the event's unless its ``traceparent`` says otherwise.
    """
    if not isinstance(document, dict):
        raise InputInvalid(_REFUSAL, [Fault(path="", reason="this must be an object", remedy=f"see {STRUCTURED}")])
    given = {name: value for name, value in document.items() if name not in _DATA and value is not None}
    attributes = _Attributes(given, lambda name: json_pointer([name]))
    payload = attributes.data(document)
    return attributes.event(payload, trace_id)


def read_binary(headers: Iterable[tuple[bytes, bytes]], body: bytes, *, trace_id: str) -> NewEvent:
    """The event of a binary-mode request. Raises ``InputInvalid``, and ``Refused`` for a body that is not its type."""
    given: dict[str, Any] = {}
    attributes = _Attributes(given, lambda name: f"/header/{_PREFIX}{name}")
    content_type = None
    for raw_name, raw in headers:
        name = raw_name.decode("latin-1").lower()
        if name == "content-type":
            content_type = raw.decode("latin-1")
        elif name.startswith(_PREFIX):
            attributes.take_header(name.removeprefix(_PREFIX), raw)
    if "datacontenttype" in given:
        attributes.fault("datacontenttype", "the type of the data is said by Content-Type", "leave it out")
    payload = _data(body, content_type or "application/json")
    if content_type is not None:
        given["datacontenttype"] = content_type
    return attributes.event(payload, trace_id)


def trace_of(traceparent: str | None) -> str | None:
    """The trace id of a W3C ``traceparent``; None if it is not a valid one. https://www.w3.org/TR/trace-context/"""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    return match[1] if match else None


@dataclass(slots=True)
class _Attributes:
    """The attributes of one event, and what is wrong with them."""

    given: dict[str, Any]
    place: Callable[[str], str]
    faults: list[Fault] = field(default_factory=list)

    def fault(self, name: str, reason: str, remedy: str) -> None:
        self.faults.append(Fault(path=self.place(name), reason=reason, remedy=remedy))

    def take_header(self, name: str, raw: bytes) -> None:
        """Add an attribute from its header: quoted or not, percent-encoded UTF-8."""
        if name in self.given:
            self.fault(name, "this header is there twice", "send it once")
            return
        try:
            text = raw.decode()
            if quoted := _QUOTED.fullmatch(text):
                text = re.sub(r"\\(.)", r"\1", quoted[1])
            self.given[name] = unquote_to_bytes(text).decode()
        except UnicodeDecodeError:
            self.given[name] = ""
            self.fault(name, "this is not UTF-8", "encode the value in UTF-8, and that in percent-encoding")

    def data(self, document: Mapping[str, Any]) -> Any:
        """The payload of a structured-mode document."""
        encoded = document.get("data_base64")
        if encoded is None:
            return document.get("data")
        if document.get("data") is not None:
            self.fault("data_base64", "there are both data and data_base64", "give one of them")
            return None
        try:
            content = base64.b64decode(encoded, validate=True)
        except (binascii.Error, TypeError, ValueError):
            self.fault("data_base64", "this is not Base64", "encode the data in Base64, or send it as data")
            return None
        content_type = self.given.get("datacontenttype")
        try:
            return _data(content, content_type if isinstance(content_type, str) else "application/octet-stream")
        except Refused as refused:
            self.fault("data_base64", f"this is not {content_type}: {refused}", "encode the data as its type says")
            return None

    def event(self, payload: Any, trace_id: str) -> NewEvent:
        """The event. Raises ``InputInvalid`` if anything was wrong."""
        for name in sorted(_REQUIRED - self.given.keys()):
            self.fault(name, f"{name!r} is missing", f"add {name!r}")
        version = self.given.get("specversion", "1.0")
        if version != "1.0":
            self.fault("specversion", f"{version!r} is not 1.0, the version that is understood", "send CloudEvents 1.0")
        texts = {name: self._text(name, most) for name, most in _LIMITS.items()}
        occurred_at = self._time()
        headers = {f"ce_{name}": self._kept(name) for name in self.given if name not in {*texts, "specversion", "time"}}
        if self.faults:
            raise InputInvalid(_REFUSAL, self.faults)
        return NewEvent(
            source=texts["source"] or "",
            type=texts["type"] or "",
            key=texts["id"] or "",
            subject=texts["subject"],
            payload=payload,
            headers=headers,
            occurred_at=occurred_at,
            trace_id=trace_of(headers.get("ce_traceparent")) or trace_id,
        )

    def _text(self, name: str, most: int) -> str | None:
        value = self.given.get(name)
        if name not in self.given:
            return None
        if not isinstance(value, str) or not value:
            self.fault(name, "this must be text, and not empty", f"give {name!r} a text")
        elif _UNFIT.search(value):
            self.fault(name, "this holds a control character", "remove it")
        elif len(value) > most:
            self.fault(name, f"this has {len(value)} characters, the limit is {most}", "shorten it")
        else:
            return value
        return None

    def _time(self) -> datetime:
        if "time" not in self.given:
            return datetime.now(UTC)
        try:
            return parse_timestamp(self.given["time"])
        except ExpressionError as error:
            reason, _, remedy = str(error).partition(": ")
            self.fault("time", reason, remedy)
            return datetime.now(UTC)

    def _kept(self, name: str) -> str:
        value = self.given[name]
        if not _NAME.fullmatch(name) or name in _DATA:
            remedy = "names of attributes are small letters and digits; put everything else into data"
            self.fault(name, f"{name!r} is no name of an attribute", remedy)
        elif isinstance(value, bool):
            return "true" if value else "false"
        elif isinstance(value, int):
            return str(value)
        elif not isinstance(value, str) or _UNFIT.search(value):
            self.fault(
                name, "this must be text without control characters, a whole number, true or false", "correct it"
            )
        else:
            return value
        return ""


def _data(content: bytes, content_type: str) -> Any:
    """The JSON value of ``content``: of JSON the value, of text the text, of anything else its Base64."""
    media_type = content_type.partition(";")[0].strip().lower()
    if not content:
        return None
    if media_type.endswith(("/json", "+json")):
        return decode(content)
    if media_type.startswith("text/") or media_type.endswith(("/xml", "+xml", "/x-www-form-urlencoded", "/yaml")):
        try:
            text = content.decode()
        except UnicodeDecodeError:
            text = "\0"
        if "\0" not in text:
            return text
    return {"data_base64": base64.b64encode(content).decode()}
