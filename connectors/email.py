"""Mail by SMTP: the action ``smtp.send`` (alias ``email.send``), and the mailer that services are given."""

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Annotated, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPTimeoutError,
)
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from connectors.mail_message import HEADER_PATTERN, LINE_PATTERN, TYPE_PATTERN, Envelope, envelope
from domain.actions import Call, Connector, Effect, action
from domain.errors import ConnectorError, ErrorCode
from domain.mail import Attachment, Mail, Mailer

MAX_RECIPIENTS: Final = 100
MAX_ATTACHMENTS: Final = 20
_DEFAULT_PORTS: Final = {"smtp": 25, "smtps": 465}
_QUIT_SECONDS: Final = 2.0
_TEMPORARY: Final = range(400, 500)
_NOT_AUTHENTICATED: Final = frozenset({530, 534, 535, 538})

EmailAddress = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+@[^\x00-\x1f\x7f]+$", max_length=600),
    Field(examples=["jane@example.com", "Jane Doe <jane@example.com>"]),
]
EmailAddresses = EmailAddress | Annotated[list[EmailAddress], Field(max_length=MAX_RECIPIENTS)]
Line = Annotated[str, StringConstraints(pattern=LINE_PATTERN, max_length=990)]


class AttachedFile(BaseModel):
    """A file to attach."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    filename: Line = Field(examples=["invoice.pdf"])
    content_type: Annotated[str, StringConstraints(pattern=TYPE_PATTERN)] = "application/octet-stream"
    content_base64: Base64Bytes = Field(description="The file's content in base64.")


class SendMail(BaseModel):
    """A mail: to whom, and what it says. ``body`` (or ``text``), ``html``, or both."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: EmailAddresses
    cc: EmailAddresses = Field(default_factory=list)
    bcc: EmailAddresses = Field(default_factory=list)
    subject: Line = Field(examples=["Your order {{input.order_number}}"])
    body: str | None = Field(None, description="The plain text.")
    text: str | None = Field(None, description="Another name for body.")
    html: str | None = Field(None, description="The HTML form. Values put into it are not escaped here.")
    reply_to: EmailAddresses = Field(default_factory=list)
    from_: EmailAddress | None = Field(None, alias="from", description="Sender; the deployment's own if not given.")
    headers: dict[Annotated[str, StringConstraints(pattern=HEADER_PATTERN)], Line] = Field(
        default_factory=dict,
        description="More headers: X-…, In-Reply-To, References, List-Unsubscribe and a few more.",
        examples=[{"X-Order": "4711"}],
    )
    attachments: list[AttachedFile] = Field(default_factory=list, max_length=MAX_ATTACHMENTS)

    @model_validator(mode="after")
    def _has_one_text(self) -> Self:
        if self.body is not None and self.text is not None:
            raise ValueError("give body or text, not both")
        if self.body is None and self.text is None and self.html is None:
            raise ValueError("give body, html or both")
        return self

    def mail(self) -> Mail:
        """The same as the platform's mail."""
        return Mail(
            to=_listed(self.to),
            cc=_listed(self.cc),
            bcc=_listed(self.bcc),
            reply_to=_listed(self.reply_to),
            sender=self.from_,
            subject=self.subject,
            text=self.body or self.text or "",
            html=self.html,
            headers=self.headers,
            attachments=tuple(
                Attachment(filename=file.filename, content_type=file.content_type, content=file.content_base64)
                for file in self.attachments
            ),
        )


class SentMail(BaseModel):
    """The mail server has taken the mail over."""

    model_config = ConfigDict(frozen=True)

    message_id: str
    recipients: list[str]
    status: str = "sent"


class EmailConnector(Connector):
    """Sends mails by ``mailer``."""

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer

    @action("smtp.send", effect=Effect.AT_MOST_ONCE, aliases=("email.send",))
    async def send(self, request: SendMail, call: Call) -> SentMail:
        """Send a mail.

        Text, HTML or both, with attachments. SMTP cannot tell a second copy from a first: where the answer of the mail
        server is lost, the step parks and asks a person, unless it says ``on_unknown: retry`` or ``skip``. All
        recipients get the mail, or none does.
        """
        mail = request.mail()
        message_id = await self._mailer.send(mail, key=call.key)
        return SentMail(message_id=message_id, recipients=[*mail.to, *mail.cc, *mail.bcc])


def _listed(addresses: EmailAddresses) -> tuple[str, ...]:
    return (addresses,) if isinstance(addresses, str) else tuple(addresses)


class NoMailer:
    """Stands where the operator has named no mail server: says so when a mail is to be sent."""

    async def send(self, mail: Mail, *, key: str) -> str:
        """Refuse. Raises ``ConnectorError`` (``CONFIG_INVALID``)."""
        message = f"the mail {mail.subject!r} cannot be sent: SMTP_URL is not set (smtp://user:password@host:587)"
        raise ConnectorError(ErrorCode.CONFIG_INVALID, message, details={"key": key})


class SmtpMailer:
    """Sends mail through one mail server, a connection for each mail.

    ``url``: ``smtp://user:password@host:587?starttls=true`` or ``smtps://…`` (TLS from the start). ``starttls``:
    ``true`` insists on encryption, ``false`` forgoes it, and without it encryption is used where the server offers it,
    and insisted on where there is a password. ``sender`` is the default From. ``timeout_seconds`` is for a whole mail.
    """

    def __init__(self, url: str, sender: str, *, timeout_seconds: float = 30.0) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise ConnectorError(
                ErrorCode.CONFIG_INVALID, "SMTP_URL must look like smtp://user:password@host:587?starttls=true"
            )
        self._hostname = parts.hostname
        self._port = port or _DEFAULT_PORTS[parts.scheme]
        self._username = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._use_tls = parts.scheme == "smtps"
        wish = parse_qs(parts.query).get("starttls", [""])[-1].lower()
        self._start_tls = False if self._use_tls else _start_tls(wish, has_password=self._password is not None)
        self._tls = ssl.create_default_context()
        self._sender = sender
        self._timeout_seconds = timeout_seconds

    async def send(self, mail: Mail, *, key: str) -> str:
        """Hand ``mail`` to the mail server and return its Message-ID.

        Raises ``ConnectorError``: retryable where the server says 4xx or cannot be reached, ``ambiguous`` where the
        connection was lost after the mail's content had begun to travel.
        """
        ready = envelope(mail, default_sender=self._sender, key=key)
        delivery = _Delivery(ready)
        client = self._client()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await delivery.by(client)
            with suppress(SMTPException, OSError):
                await client.quit(timeout=_QUIT_SECONDS)
        except SMTPException as error:
            raise _failure(error, ambiguous=delivery.is_in_doubt(error)) from error
        except TimeoutError as error:
            raise ConnectorError(
                ErrorCode.TIMEOUT,
                f"the mail server took longer than {self._timeout_seconds:g} seconds",
                ambiguous=delivery.begun,
            ) from error
        except OSError as error:  # TLS, from STARTTLS on
            raise _unreachable(error, ambiguous=delivery.begun) from error
        finally:
            client.close()
        return ready.message_id

    async def check(self) -> None:
        """Connect, encrypt and log in as for a mail, and send none. Raises ``ConnectorError``."""
        client = self._client()
        try:
            await client.connect()
            with suppress(SMTPException, OSError):
                await client.quit(timeout=_QUIT_SECONDS)
        except SMTPException as error:
            raise _failure(error, ambiguous=False) from error
        except OSError as error:  # TLS, from STARTTLS on
            raise _unreachable(error, ambiguous=False) from error
        finally:
            client.close()

    def _client(self) -> SMTP:
        return SMTP(
            hostname=self._hostname,
            port=self._port,
            username=self._username,
            password=self._password,
            use_tls=self._use_tls,
            start_tls=self._start_tls,
            tls_context=self._tls,
            timeout=self._timeout_seconds,
            local_hostname=_own_name(),
        )


def _start_tls(wish: str, *, has_password: bool) -> bool | None:
    match wish:
        case "true" | "1" | "yes" | "required":
            return True
        case "false" | "0" | "no":
            return False
        case _:
            return True if has_password else None


def _own_name() -> str:
    """How to say hello: the machine's full name if it has one; looking it up could take seconds."""
    name = socket.gethostname()
    return name if "." in name and name.isascii() else "[127.0.0.1]"


class _Delivery:
    """One mail on its way. ``begun``: the server has been asked to take its content."""

    def __init__(self, mail: Envelope) -> None:
        self._mail = mail
        self.begun = False

    async def by(self, client: SMTP) -> None:
        await client.connect()
        await client.mail(self._mail.sender)
        for recipient in self._mail.recipients:
            await client.rcpt(recipient)
        self.begun = True
        await client.data(self._mail.content)

    def is_in_doubt(self, error: SMTPException) -> bool:
        """Whether the mail may have been taken although ``error`` came: the server did not say no."""
        return self.begun and not isinstance(error, SMTPResponseException)


def _failure(error: SMTPException, *, ambiguous: bool) -> ConnectorError:
    match error:
        case SMTPResponseException():
            return _reply(error)
        case SMTPTimeoutError():
            return ConnectorError(ErrorCode.TIMEOUT, "the mail server did not answer in time", ambiguous=ambiguous)
        case ConnectionError():
            return _unreachable(error, ambiguous=ambiguous)
        case _:
            return ConnectorError(
                ErrorCode.CONFIG_INVALID, f"the mail server does not do what SMTP_URL asks for: {error.message}"
            )


def _unreachable(error: OSError, *, ambiguous: bool) -> ConnectorError:
    if isinstance(error, ssl.SSLCertVerificationError) or isinstance(error.__cause__, ssl.SSLCertVerificationError):
        return ConnectorError(ErrorCode.CONFIG_INVALID, "the mail server's certificate cannot be verified")
    what = "the mail server's answer was lost" if ambiguous else "the connection to the mail server failed"
    return ConnectorError(ErrorCode.TRANSIENT_NETWORK, what, ambiguous=ambiguous)


def _reply(error: SMTPResponseException) -> ConnectorError:
    """The server said no, in so many words: the mail has surely not gone out."""
    what = f"{error.recipient} was refused" if isinstance(error, SMTPRecipientRefused) else "the mail was refused"
    if error.code in _TEMPORARY:
        code = ErrorCode.TRANSIENT_NETWORK
    elif isinstance(error, SMTPAuthenticationError) or error.code in _NOT_AUTHENTICATED:
        code, what = ErrorCode.AUTH_FAILED, "the mail server did not accept the login"
    else:
        code = ErrorCode.INVALID_INPUT
    reply = error.message.replace("\r", " ").replace("\n", " ")[:200]
    return ConnectorError(
        code, f"{what}: {error.code} {reply}", status=error.code, details={"reply": f"{error.code} {reply}"}
    )
