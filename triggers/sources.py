"""What events a verified webhook becomes: type, key, subject and time, as each vendor says them.

How a request is read follows its endpoint's verifier, or the name of its source where the verifier is of no vendor
(``stripe`` behind ``ip`` is read as Stripe's). What the endpoint's configuration says wins. The key is an id that the
sender gives the event, never made of the body: without one, each delivery is an event of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ValidationError

from domain.errors import InputInvalid
from domain.events import EventKind, NewEvent
from domain.refusals import faults_of
from domain.webhooks import EndpointConfig, Verifier

DEFAULT_TYPE: Final = "webhook"

FORM_WITH_JSON: Final = {"github": "payload", "slack": "payload"}
"""The field in which these senders put JSON when they send a form."""

KEY_HEADERS: Final = ("idempotency-key", "webhook-id", "x-webhook-id", "x-event-id", "x-delivery-id")
"""Where a sender of no known kind may put the event's id. ``X-Request-Id`` is not among them: proxies and callers pass
one on to all that a request sets off, so that two events would be taken for one."""

KEPT_HEADERS: Final = frozenset(
    {
        "content-type",
        "i-twilio-idempotency-token",
        "user-agent",
        "webhook-timestamp",
        "x-github-delivery",
        "x-github-event",
        "x-github-hook-id",
        "x-slack-retry-num",
        "x-slack-retry-reason",
        *KEY_HEADERS,
    }
)
"""Headers that events keep, besides those that the endpoint reads; none is a credential."""

MAX_SUBJECT: Final = 300

_KEPT_CHARACTERS: Final = 500
_LATEST_SECONDS: Final = 4_102_444_800
"""The year 2100: numbers above are not seconds."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a request holds: one value, or several with their numbers."""

    values: Sequence[Any]
    is_many: bool = False
    """Each value is an event of its own: the lines of NDJSON, the events of a batch."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a vendor says of an event; values of the body are as they come."""

    type: Any = None
    key: Any = None
    """The id of the event in the body."""
    delivery: Any = None
    """The id of the request in its headers."""
    subject: Any = None
    occurred_at: Any = None
    """Seconds since 1970, or ISO 8601."""


def shape_of(source: str, verifier: Verifier) -> str:
    """As whose the requests of an endpoint are read; ``""`` for no known sender."""
    return next((each for each in (verifier.value, source) if each in _READERS), "")


def batch(shape: str, value: Any) -> Content:
    """The content of a JSON body. SendGrid sends lists of events; any other list is one event's payload."""
    if shape == Verifier.SENDGRID and isinstance(value, list):
        return Content(value, is_many=True)
    return Content([value])


def challenge(shape: str, content: Content) -> str | None:
    """What Slack wants to read back before it sends anything; None if this is no such request.

    https://docs.slack.dev/reference/events/url_verification
    """
    value = content.values[0] if len(content.values) == 1 else None
    if shape != Verifier.SLACK or _at(value, "type") != "url_verification":
        return None
    given = _at(value, "challenge")
    return given if isinstance(given, str) else None


def events_of(
    source: str,
    verifier: Verifier,
    config: EndpointConfig,
    headers: Mapping[str, str],
    content: Content,
    *,
    trace_id: str,
) -> list[NewEvent]:
    """The events of a verified request. ``headers`` by lower-case name.

    Raises ``InputInvalid`` when what should be a type or key cannot be one.
    """
    read = _READERS.get(shape_of(source, verifier), _unknown)
    kept = _kept(config, headers)
    events = []
    for number, value in enumerate(content.values, start=1):
        reading = read(headers, value)
        given = {
            "type": _type(config, headers, value, reading),
            "key": _key(config, headers, value, reading, number if content.is_many else None),
            "subject": _line(_text(_at(value, config.subject_path)) or _text(reading.subject)),
            "occurred_at": _time(reading.occurred_at),
        }
        known = {name: each for name, each in given.items() if each is not None}
        try:
            events.append(
                NewEvent(kind=EventKind.WEBHOOK, source=source, payload=value, headers=kept, trace_id=trace_id, **known)
            )
        except ValidationError as error:
            faults = faults_of(error.errors())
            raise InputInvalid("the webhook cannot be an event", faults) from error
    return events


def _type(config: EndpointConfig, headers: Mapping[str, str], value: Any, reading: _Reading) -> str:
    configured = _text(_at(value, config.type_path)) or _text(headers.get(config.type_header or ""))
    return configured or _text(reading.type) or DEFAULT_TYPE


def _key(
    config: EndpointConfig, headers: Mapping[str, str], value: Any, reading: _Reading, number: int | None
) -> str | None:
    """The sender's id. In a batch, an id of the whole request is one of the event by the event's number."""
    own = _text(_at(value, config.key_path))
    request = _text(headers.get(config.key_header or ""))
    if own is None and request is None:
        own, request = _text(reading.key), _text(reading.delivery)
    if own is not None or request is None:
        return own
    return request if number is None else f"{request}:{number}"


def _kept(config: EndpointConfig, headers: Mapping[str, str]) -> dict[str, str]:
    names = {*KEPT_HEADERS, config.type_header, config.key_header}
    return {name: value[:_KEPT_CHARACTERS] for name, value in headers.items() if name in names}


def _stripe(headers: Mapping[str, str], value: Any) -> _Reading:  # noqa: ARG001
    """https://docs.stripe.com/api/events/object; the same event keeps its ``id`` in every delivery."""
    return _Reading(
        type=_at(value, "type"),
        key=_at(value, "id"),
        subject=_at(value, "data.object.id"),
        occurred_at=_at(value, "created"),
    )


def _github(headers: Mapping[str, str], value: Any) -> _Reading:
    """https://docs.github.com/en/webhooks/webhook-events-and-payloads#delivery-headers."""
    event, action = headers.get("x-github-event"), _text(_at(value, "action"))
    return _Reading(
        type=f"{event}.{action}" if event and action else event,
        delivery=headers.get("x-github-delivery"),
        subject=_at(value, "repository.full_name") or _at(value, "organization.login"),
    )


def _slack(headers: Mapping[str, str], value: Any) -> _Reading:  # noqa: ARG001
    """https://docs.slack.dev/apis/events-api#callback-field; retries keep ``event_id``."""
    return _Reading(
        type=_at(value, "event.type") or _at(value, "type"),
        key=_at(value, "event_id"),
        subject=_at(value, "team_id"),
        occurred_at=_at(value, "event_time"),
    )


def _standard_webhooks(headers: Mapping[str, str], value: Any) -> _Reading:
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md."""
    return _Reading(type=_at(value, "type"), delivery=headers.get("webhook-id"), occurred_at=_at(value, "timestamp"))


def _twilio(headers: Mapping[str, str], value: Any) -> _Reading:
    """https://www.twilio.com/docs/usage/webhooks/messaging-webhooks.

    A message's id and status are signed, so they come first; ``I-Twilio-Idempotency-Token``, which is not, is for what
    has no status.
    """
    message, status = _text(_at(value, "MessageSid")), _text(_at(value, "MessageStatus"))
    call = _text(_at(value, "CallStatus"))
    kind = (status and f"message.{status}") or (message and "message.received") or (call and f"call.{call}")
    return _Reading(
        type=kind,
        key=f"{message}:{status}" if message and status else None,
        delivery=headers.get("i-twilio-idempotency-token"),
        subject=message or _at(value, "CallSid"),
    )


def _sendgrid(headers: Mapping[str, str], value: Any) -> _Reading:  # noqa: ARG001
    """https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event."""
    return _Reading(
        type=_at(value, "event"),
        key=_at(value, "sg_event_id"),
        subject=_at(value, "email"),
        occurred_at=_at(value, "timestamp"),
    )


def _simplybook(headers: Mapping[str, str], value: Any) -> _Reading:  # noqa: ARG001
    """``notification_type`` (``create``, ``change``, ``cancel``…) of a ``booking_id``; no id tells changes apart."""
    kind = _text(_at(value, "notification_type"))
    return _Reading(type=f"booking.{kind}" if kind else None, subject=_at(value, "booking_id"))


def _unknown(headers: Mapping[str, str], value: Any) -> _Reading:  # noqa: ARG001
    return _Reading(delivery=next((headers[name] for name in KEY_HEADERS if headers.get(name)), None))


_READERS: Final[Mapping[str, Callable[[Mapping[str, str], Any], _Reading]]] = {
    Verifier.STRIPE: _stripe,
    Verifier.SLACK: _slack,
    Verifier.GITHUB: _github,
    Verifier.STANDARD_WEBHOOKS: _standard_webhooks,
    Verifier.TWILIO: _twilio,
    Verifier.SENDGRID: _sendgrid,
    Verifier.SIMPLYBOOK: _simplybook,
}


def _at(value: Any, path: str | None) -> Any:
    """What stands at a path with dots; None if there is nothing."""
    if path is None:
        return None
    for part in path.split("."):
        if isinstance(value, list) and part.isdecimal() and len(part) <= 4:  # noqa: PLR2004  # no list is longer
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str | None:
    """A name or id: text, or a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() or None if isinstance(value, str) else None


def _line(text: str | None) -> str | None:
    """What there is room for of a subject, in one line."""
    return None if text is None else "".join(each if each.isprintable() else " " for each in text)[:MAX_SUBJECT]


def _time(value: Any) -> datetime | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _LATEST_SECONDS:
        return datetime.fromtimestamp(value, UTC)
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
