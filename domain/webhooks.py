"""Webhook endpoints: the addresses that others send to, what verifies them, and what an endpoint must say of itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from domain.errors import Fault

PATH: Final = "/api/automate/webhooks"
"""Below it, ``/{source}/`` is the default endpoint of a source and ``/{source}/{key}/`` any endpoint."""

SOURCE: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"
MAX_SECRETS: Final = 5
MAX_FORM_FIELDS: Final = 1000

_WIDEST: Final = {4: 8, 6: 16}
"""Wider networks than these are no restriction, by IP version."""

_CREDENTIALS: Final = frozenset(
    {
        "authorization",
        "cookie",
        "proxy-authorization",
        "stripe-signature",
        "webhook-signature",
        "x-api-key",
        "x-hub-signature",
        "x-hub-signature-256",
        "x-slack-signature",
        "x-twilio-email-event-webhook-signature",
        "x-twilio-signature",
    }
)


class Verifier(StrEnum):
    """How a request proves where it comes from."""

    STRIPE = "stripe"
    SLACK = "slack"
    GITHUB = "github"
    STANDARD_WEBHOOKS = "standard-webhooks"
    TWILIO = "twilio"
    SENDGRID = "sendgrid"
    SIMPLYBOOK = "simplybook"
    HMAC = "hmac"
    """Any other signature with a shared secret."""
    BEARER = "bearer"
    BASIC = "basic"
    IP = "ip"
    """By the address that it comes from, and nothing else."""
    UNSIGNED = "unsigned"
    """Not at all: an administrator's choice."""


WITHOUT_SECRETS: Final = frozenset({Verifier.IP, Verifier.UNSIGNED})

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$", to_lower=True)]
FieldPath = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class EndpointConfig(BaseModel):
    """What every endpoint may say of its events. What it leaves out is as the vendor does it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    type_header: HeaderName | None = None
    """Header that holds the event's type."""
    type_path: FieldPath | None = None
    """Where in the body the type is, with dots: ``event.name``."""
    key_header: HeaderName | None = None
    """Header that holds the sender's id of the event; the same in every delivery of it."""
    key_path: FieldPath | None = None
    """Where in the body that id is."""
    subject_path: FieldPath | None = None
    """Where in the body it says whom or what the event is about."""

    @model_validator(mode="after")
    def _keeps_no_credentials(self) -> Self:
        for name in (self.type_header, self.key_header):
            if name is not None and name in _CREDENTIALS | {self.proof_header}:
                raise ValueError(f"{name} holds the request's proof, which is never kept: name another header")
        return self

    @property
    def proof_header(self) -> str | None:
        """The header with the signature or token, where the configuration names it."""
        return None


class TwilioConfig(EndpointConfig):
    """Twilio signs the address that it was told."""

    public_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]+$", max_length=500)] | None = None
    """How Twilio reaches this server, without the path, where a proxy changes scheme, host or port."""


class SendgridConfig(EndpointConfig):
    """SendGrid signs with its private key; the "secret" is the public key that it shows."""

    tolerance_seconds: int | None = Field(default=None, ge=1, le=86_400)
    """How far the timestamp may be from now. SendGrid names no limit, so by default there is none."""


class SimplybookConfig(EndpointConfig):
    """The token is a parameter of the callback URL."""

    parameter: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "token"


class HmacConfig(EndpointConfig):
    """A signature by HMAC with a shared secret."""

    header: HeaderName
    """Header that holds the signature."""
    algorithm: Literal["sha256", "sha1", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = Field(default="", max_length=64)
    """What stands before the signature, as ``sha256=``."""
    timestamp_header: HeaderName | None = None
    """Header with the time of sending: seconds since 1970, or milliseconds."""
    tolerance_seconds: int = Field(default=300, ge=1, le=86_400)
    """How far that time may be from now, in either direction."""
    signed: str = Field(default="", max_length=200)
    """What is signed. Default: ``{body}``, or ``{timestamp}.{body}`` with a timestamp header."""

    @model_validator(mode="after")
    def _what_is_signed_fits(self) -> Self:
        if self.signed and self.signed.count("{body}") != 1:
            raise ValueError("signed must contain {body} once: what is not signed could be replaced")
        if self.signed and self.signed.count("{timestamp}") != (self.timestamp_header is not None):
            raise ValueError("signed must contain {timestamp} once if there is a timestamp_header, and only then")
        return self

    @property
    def template(self) -> str:
        """What is signed."""
        return self.signed or ("{timestamp}.{body}" if self.timestamp_header else "{body}")

    @property
    def proof_header(self) -> str | None:
        """The header with the signature."""
        return self.header


class BearerConfig(EndpointConfig):
    """A token in a header: ``Authorization: Bearer …``, or the whole value of another header."""

    header: HeaderName = "authorization"

    @property
    def proof_header(self) -> str | None:
        """The header with the token."""
        return self.header


CONFIGS: Final[Mapping[Verifier, type[EndpointConfig]]] = {
    **dict.fromkeys(Verifier, EndpointConfig),
    Verifier.TWILIO: TwilioConfig,
    Verifier.SENDGRID: SendgridConfig,
    Verifier.SIMPLYBOOK: SimplybookConfig,
    Verifier.HMAC: HmacConfig,
    Verifier.BEARER: BearerConfig,
}
"""What each verifier takes as its configuration."""

VerifierName = Literal[
    "stripe", "slack", "github", "standard-webhooks", "twilio", "sendgrid", "simplybook", "hmac", "bearer", "basic",
    "ip", "unsigned",
]  # fmt: skip
SecretNames = Annotated[list[str], Field(max_length=MAX_SECRETS)]
Addresses = Annotated[list[Annotated[str, StringConstraints(max_length=64)]], Field(max_length=100)]


class NewEndpoint(BaseModel):
    """What a new endpoint is given."""

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str = Field(pattern=SOURCE)
    """Who sends: ``stripe``, ``github``, ``warehouse``. Its events carry it, and its address."""
    verifier: VerifierName
    config: dict[str, Any] = Field(default_factory=dict)
    secrets: SecretNames = Field(default_factory=list)
    """Names of the secrets that are accepted: two while one replaces the other."""
    allow_ips: Addresses = Field(default_factory=list)
    """Addresses or networks that may send; empty: any."""
    is_default: bool = False
    """Answer at the address without a key too. One endpoint of a source, of the default tenant."""


class EndpointChange(BaseModel):
    """What to change of an endpoint; what is left out stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    verifier: VerifierName | None = None
    config: dict[str, Any] | None = None
    secrets: SecretNames | None = None
    allow_ips: Addresses | None = None
    is_default: bool | None = None
    is_active: bool | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What a request to an endpoint must prove."""

    verifier: Verifier
    config: EndpointConfig
    allow_ips: Sequence[str] = ()

    @classmethod
    def of(cls, verifier: str, config: Mapping[str, Any], allow_ips: Sequence[str] = ()) -> "Verification":
        """From what is stored. Raises pydantic's ``ValidationError`` for a configuration that does not fit."""
        kind = Verifier(verifier)
        return cls(kind, CONFIGS[kind].model_validate(dict(config)), tuple(allow_ips))


def endpoint_faults(verifier: Verifier, secrets: Sequence[str], allow_ips: Sequence[str]) -> list[Fault]:
    """What is wrong with an endpoint besides its configuration."""
    faults = [fault for number, each in enumerate(allow_ips) if (fault := _address_fault(number, each))]
    if verifier in WITHOUT_SECRETS and secrets:
        faults.append(Fault(path="/secrets", reason=f"the verifier {verifier} takes no secrets"))
    if verifier not in WITHOUT_SECRETS and not secrets:
        reason, remedy = f"the verifier {verifier} needs a secret", "name the secret that the sender signs with"
        faults.append(Fault(path="/secrets", reason=reason, remedy=remedy))
    if verifier is Verifier.IP and not allow_ips:
        faults.append(Fault(path="/allow_ips", reason="the verifier ip needs addresses that may send"))
    return faults


def is_allowed(address: str | None, allow_ips: Sequence[str]) -> bool:
    """Whether requests may come from ``address``. An IPv4 address written as an IPv6 one is that IPv4 address."""
    try:
        given = _plain(ip_address(address or ""))
    except ValueError:
        return False
    return any(given in ip_network(each) for each in allow_ips)


def form_fields(body: bytes) -> list[tuple[str, str]]:
    """The fields of a form, in order, empty ones too. Raises ``ValueError`` for what is not a form in UTF-8."""
    return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS)


def path_of(source: str, key: str | None = None) -> str:
    """Where an endpoint is: below the API's address."""
    return f"{PATH}/{source}/" if key is None else f"{PATH}/{source}/{key}/"


def _address_fault(number: int, text: str) -> Fault | None:
    path = f"/allow_ips/{number}"
    try:
        network = ip_network(text)
    except ValueError:
        remedy = "write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/48"
        return Fault(path=path, reason=f"{text!r} is not an address or network", remedy=remedy)
    mapped = isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None
    if mapped:
        return Fault(path=path, reason=f"{text!r} is an IPv4 address in disguise", remedy="write it as IPv4")
    if network.prefixlen < _WIDEST[network.version]:
        remedy = (
            f"a network has a prefix of /{_WIDEST[network.version]} or longer; for any address, leave allow_ips out"
        )
        return Fault(path=path, reason=f"{text!r} is too wide to be a restriction", remedy=remedy)
    return None


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
