"""Whether a webhook comes from where it says: signatures, tokens, addresses. Pure: the clock and the secrets are given.

Signatures are over the bytes of the body as they were sent: with a ``Content-Encoding``, over the compressed bytes.
Signatures are compared as text, in constant time, so that nothing but the very signature is accepted, and of several
secrets each is tried. Whatever is missing, malformed or out of date is simply not verified.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError
from stripe import SignatureVerificationError, WebhookSignature

from domain.webhooks import (
    WITHOUT_SECRETS,
    BearerConfig,
    EndpointConfig,
    HmacConfig,
    SendgridConfig,
    SimplybookConfig,
    TwilioConfig,
    Verification,
    Verifier,
    form_fields,
    is_allowed,
)

TOLERANCE_SECONDS: Final = 300
FORM: Final = "application/x-www-form-urlencoded"

_SECONDS_DIGITS: Final = 12
_MILLISECONDS_DIGITS: Final = 13
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request, as it was sent."""

    body: bytes
    """As on the wire, not decompressed."""
    headers: Mapping[str, str]
    """By lower-case name."""
    url: str = ""
    """The whole of it, as the sender wrote it."""
    address: str | None = None
    """Where it came from."""


def verify(what: Verification, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:
    """Whether ``delivery`` proves what ``what`` asks for, with any one of ``secrets``. Raises nothing."""
    if what.allow_ips and not is_allowed(delivery.address, what.allow_ips):
        return False
    usable = [secret for secret in secrets if secret.strip()]
    if not usable and what.verifier not in WITHOUT_SECRETS:
        return False
    if what.verifier is Verifier.IP:
        return bool(what.allow_ips)
    return what.verifier is Verifier.UNSIGNED or _VERIFIERS[what.verifier](what.config, delivery, usable, now)


def _stripe(_: EndpointConfig, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:
    """``Stripe-Signature: t=…,v1=…``, https://docs.stripe.com/webhooks/signature.

    The SDK checks the signature. The age is checked here: the SDK's own check passes timestamps of the future.
    """
    header = delivery.headers.get("stripe-signature", "")
    times = [value for name, _, value in (item.partition("=") for item in header.split(",")) if name == "t"]
    if not header.isascii() or len(times) != 1 or not _is_recent(times[0], now):
        return False
    return any(_signed_for_stripe(delivery.body, header, secret) for secret in secrets)


def _signed_for_stripe(body: bytes, header: str, secret: str) -> bool:
    try:
        return bool(WebhookSignature.verify_header(body, header, secret))
    except (SignatureVerificationError, UnicodeDecodeError):  # the latter: a body that is no text
        return False


def _slack(_: EndpointConfig, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:
    """``X-Slack-Signature: v0=…``, https://docs.slack.dev/authentication/verifying-requests-from-slack."""
    time = delivery.headers.get("x-slack-request-timestamp", "")
    if not _is_recent(time, now):
        return False
    expected = [f"v0={_hex('sha256', secret, f'v0:{time}:'.encode() + delivery.body)}" for secret in secrets]
    return _is_any(delivery.headers.get("x-slack-signature"), expected)


def _github(_: EndpointConfig, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:  # noqa: ARG001
    """``X-Hub-Signature-256: sha256=…``, over the body alone: neither the event's name nor its id is signed.

    https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    """
    expected = [f"sha256={_hex('sha256', secret, delivery.body)}" for secret in secrets]
    return _is_any(delivery.headers.get("x-hub-signature-256"), expected)


def _standard_webhooks(_: EndpointConfig, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:
    """``webhook-id``, ``-timestamp`` and ``-signature``, 300 s in either direction, as the library verifies them.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md. The library signs, and
    the comparison is here: its own reads the machine's clock, and leaks ``ValueError`` for malformed headers.
    """
    identifier, time = delivery.headers.get("webhook-id", ""), delivery.headers.get("webhook-timestamp", "")
    if not identifier or not _is_recent(time, now):
        return False
    expected = [signature for secret in secrets if (signature := _standard(secret, identifier, time, delivery.body))]
    given = delivery.headers.get("webhook-signature", "").split(" ")
    return any(_is_any(each, expected) for each in given)


def _standard(secret: str, identifier: str, time: str, body: bytes) -> str | None:
    try:
        return Webhook(secret).sign(identifier, datetime.fromtimestamp(int(time), UTC), body.decode())
    except (ValueError, EmptyWebhookSecretError):  # a secret that is no base64, a body that is no text
        return None


def _twilio(config: EndpointConfig, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:  # noqa: ARG001
    """``X-Twilio-Signature``: HMAC-SHA1 over the URL and the form's sorted fields, or over a URL with ``bodySHA256``.

    https://www.twilio.com/docs/usage/security#validating-requests. As the SDKs do, the URL is tried with its port and
    without. A body that is no form must be named by ``bodySHA256``, or nothing would bind it to the signature.
    A field that is repeated with the same value is signed once, and refused here.
    """
    assert isinstance(config, TwilioConfig)  # noqa: S101  # by CONFIGS
    url = _split(_public(delivery.url, config.public_url))
    if url is None:
        return False
    if delivery.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM:
        try:
            fields = form_fields(delivery.body)
        except ValueError:
            return False
        if len(set(fields)) != len(fields):
            return False
        signed = "".join(name + value for name, value in sorted(fields))
    else:
        digest = [value for name, value in parse_qsl(url.query) if name == "bodySHA256"]
        if len(digest) != 1 or not _equal(digest[0], hashlib.sha256(delivery.body).hexdigest()):
            return False
        signed = ""
    messages = [(each + signed).encode() for each in _with_and_without_port(url)]
    expected = [_base64("sha1", secret, message) for secret in secrets for message in messages]
    return _is_any(delivery.headers.get("x-twilio-signature"), expected)


def _public(url: str, public_url: str | None) -> str:
    """The URL as the sender wrote it, behind a proxy."""
    given = _split(url)
    if public_url is None or given is None:
        return url
    return public_url.rstrip("/") + given.path + (f"?{given.query}" if given.query else "")


def _split(url: str) -> SplitResult | None:
    """The parts of a URL; None if the sender has made up a host or port that is none."""
    try:
        parts = urlsplit(url)
        known = parts.port != 0  # reading the port checks it
    except ValueError:
        return None
    return parts if known else None


def _with_and_without_port(url: SplitResult) -> list[str]:
    port = url.port or _DEFAULT_PORTS.get(url.scheme)
    host = url.netloc if url.port is None else url.netloc.rpartition(":")[0]
    return [url._replace(netloc=host).geturl(), url._replace(netloc=f"{host}:{port}").geturl()]


def _sendgrid(config: EndpointConfig, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:
    """ECDSA on P-256 over timestamp and body, by SendGrid's key, whose public half stands for the secret.

    https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
    """
    assert isinstance(config, SendgridConfig)  # noqa: S101  # by CONFIGS
    time = delivery.headers.get("x-twilio-email-event-webhook-timestamp", "")
    text = delivery.headers.get("x-twilio-email-event-webhook-signature", "")
    if not time or (config.tolerance_seconds and not _is_recent(time, now, config.tolerance_seconds)):
        return False
    try:
        signature = b64decode(text.encode(), validate=True)
    except NotBase64:
        return False
    if not _equal(b64encode(signature).decode(), text):  # another spelling of the same bytes
        return False
    return any(_signed_by(public, signature, time.encode() + delivery.body) for public in secrets)


def _signed_by(public: str, signature: bytes, message: bytes) -> bool:
    try:
        pem = public.strip().startswith("-----")
        key = load_pem_public_key(public.encode()) if pem else load_der_public_key(b64decode(public, validate=False))
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            return False
        key.verify(signature, message, ec.ECDSA(SHA256()))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _simplybook(config: EndpointConfig, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:  # noqa: ARG001
    """A token in the query of the callback URL.

    No signature of SimplyBook.me's callbacks could be established from what it publishes, and those that others'
    code expects contradict each other. A token (and ``allow_ips``) is what its callback settings allow for certain.
    """
    assert isinstance(config, SimplybookConfig)  # noqa: S101  # by CONFIGS
    url = _split(delivery.url)
    given = [value for name, value in parse_qsl(url.query if url else "") if name == config.parameter]
    return len(given) == 1 and _is_any(given[0], secrets)


def _hmac(config: EndpointConfig, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:
    """Any signature by HMAC, as the configuration describes it. Hexadecimal may be in capitals throughout."""
    assert isinstance(config, HmacConfig)  # noqa: S101  # by CONFIGS
    time = ""
    if config.timestamp_header is not None:
        time = delivery.headers.get(config.timestamp_header, "")
        seconds = time[:-3] if len(time) == _MILLISECONDS_DIGITS else time
        if not (time.isascii() and time.isdigit() and _is_recent(seconds, now, config.tolerance_seconds)):
            return False
    before, after = (part.replace("{timestamp}", time).encode() for part in config.template.split("{body}"))
    message = before + delivery.body + after
    if config.encoding == "base64":
        expected = [_base64(config.algorithm, secret, message) for secret in secrets]
    else:
        digests = [_hex(config.algorithm, secret, message) for secret in secrets]
        expected = [*digests, *(each.upper() for each in digests)]
    return _is_any(delivery.headers.get(config.header), [config.prefix + each for each in expected])


def _bearer(config: EndpointConfig, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:  # noqa: ARG001
    """``Authorization: Bearer …`` (RFC 6750), or a header of one's own whose whole value is the token."""
    assert isinstance(config, BearerConfig)  # noqa: S101  # by CONFIGS
    given = delivery.headers.get(config.header)
    return _is_any(_after("bearer", given) if config.header == "authorization" else given, secrets)


def _basic(_: EndpointConfig, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:  # noqa: ARG001
    """``Authorization: Basic …`` (RFC 7617); the secret is ``user:password``, in UTF-8."""
    expected = [b64encode(secret.encode()).decode() for secret in secrets]
    return _is_any(_after("basic", delivery.headers.get("authorization")), expected)


_VERIFIERS: Final[Mapping[Verifier, Callable[[EndpointConfig, Delivery, Sequence[str], datetime], bool]]] = {
    Verifier.STRIPE: _stripe,
    Verifier.SLACK: _slack,
    Verifier.GITHUB: _github,
    Verifier.STANDARD_WEBHOOKS: _standard_webhooks,
    Verifier.TWILIO: _twilio,
    Verifier.SENDGRID: _sendgrid,
    Verifier.SIMPLYBOOK: _simplybook,
    Verifier.HMAC: _hmac,
    Verifier.BEARER: _bearer,
    Verifier.BASIC: _basic,
}


def _is_recent(seconds: str, now: datetime, tolerance: int = TOLERANCE_SECONDS) -> bool:
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= _SECONDS_DIGITS):
        return False
    return abs(now.timestamp() - int(seconds)) <= tolerance


def _after(scheme: str, header: str | None) -> str | None:
    given, _, value = (header or "").partition(" ")
    return value if given.lower() == scheme else None


def _hex(algorithm: str, secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, algorithm).hexdigest()


def _base64(algorithm: str, secret: str, message: bytes) -> str:
    return b64encode(hmac.new(secret.encode(), message, algorithm).digest()).decode()


def _is_any(given: str | None, expected: Sequence[str]) -> bool:
    """Whether ``given`` is one of these."""
    return bool(given) and any(_equal(given or "", each) for each in expected)


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
