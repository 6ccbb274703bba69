"""A mail server that delivers nothing: it keeps what it is sent, so that people and tests can read it.

For development and tests only. It speaks real SMTP on loopback and keeps every mail as an ``.eml`` file;
``sandbox/mail_page.py`` shows them.
"""

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

HOST = "127.0.0.1"
_MAX_MAIL_BYTES = 32 * 1024 * 1024
_FILE_NAME = re.compile(r"(\d{8}T\d{12}Z)-\d{6}\.eml")
_TIME = "%Y%m%dT%H%M%S%fZ"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with a mail."""

    filename: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class ReceivedMail:
    """One mail as it arrived. ``sender`` and ``recipients`` are the envelope's; ``raw`` is the message itself."""

    id: str
    received_at: datetime
    sender: str
    recipients: tuple[str, ...]
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        """The message, parsed."""
        return message_from_bytes(self.raw, policy=policy.default)

    @property
    def subject(self) -> str:
        """Its subject line, decoded."""
        return str(self.message.get("subject", ""))

    @property
    def text(self) -> str:
        """Its plain-text body, or nothing."""
        return self._body("plain")

    @property
    def html(self) -> str:
        """Its HTML body, or nothing."""
        return self._body("html")

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The files that came with it."""
        return tuple(
            Attachment(part.get_filename("attachment"), part.get_content_type(), _bytes(part))
            for part in self.message.iter_attachments()
        )

    def _body(self, kind: str) -> str:
        part = self.message.get_body(preferencelist=(kind,))
        return str(part.get_content()).replace("\r\n", "\n") if part is not None else ""


def _bytes(part: EmailMessage) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


class MailSandbox:
    """The mail server. ``directory`` keeps the mails over restarts; ``port`` 0 takes any free one.

    For tests of what mail servers do: ``refusals`` maps a recipient to the reply that it gets (``"550 unknown"``),
    ``data_reply`` answers every message so instead of keeping it, and ``lose_answers`` keeps the message but drops
    the connection instead of saying so.
    """

    def __init__(self, directory: Path, *, port: int = 0) -> None:
        self.mails: list[ReceivedMail] = []
        self.refusals: dict[str, str] = {}
        self.data_reply: str | None = None
        self.lose_answers = False
        self._directory = directory
        self._port = port
        self._server: asyncio.Server | None = None
        self._sessions: set[SMTP] = set()
        self._count = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    @property
    def url(self) -> str:
        """What ``SMTP_URL`` must be to send here."""
        return f"smtp://{HOST}:{self._port}"

    async def start(self) -> None:
        """Read the kept mails and listen."""
        self._load()
        self._server = await asyncio.get_running_loop().create_server(self._session, HOST, self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close all connections and stop listening."""
        if self._server is not None:
            self._server.close()
            for session in self._sessions:
                if session.transport is not None:
                    session.transport.close()
            self._sessions.clear()
            await self._server.wait_closed()
            self._server = None

    def find(self, mail_id: str) -> ReceivedMail | None:
        """The mail with this id."""
        return next((mail for mail in self.mails if mail.id == mail_id), None)

    def clear(self) -> None:
        """Forget all mails."""
        for mail in self.mails:
            (self._directory / mail.id).unlink(missing_ok=True)
        self.mails.clear()

    def _session(self) -> SMTP:
        session = SMTP(
            self,
            hostname="sandbox.localhost",
            ident="Stepwell mail sandbox",
            data_size_limit=_MAX_MAIL_BYTES,
            enable_SMTPUTF8=True,
            auth_require_tls=False,
            loop=asyncio.get_running_loop(),
        )
        self._sessions = {known for known in self._sessions if known.transport is not None} | {session}
        return session

    async def handle_RCPT(  # noqa: N802  # named by aiosmtpd
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """aiosmtpd asks whether a recipient exists."""
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """aiosmtpd hands over a message."""
        if self.data_reply is not None:
            return self.data_reply
        self._keep(envelope)
        if self.lose_answers and server.transport is not None:
            server.transport.close()
        return "250 OK"

    def _keep(self, envelope: Envelope) -> None:
        self._count += 1
        received_at = datetime.now(UTC)
        content = envelope.original_content or b""
        sender, recipients = envelope.mail_from or "", tuple(envelope.rcpt_tos)
        name = f"{received_at.strftime(_TIME)}-{self._count:06}.eml"
        head = f"X-Envelope-From: {sender}\r\nX-Envelope-To: {', '.join(recipients)}\r\n"
        (self._directory / name).write_bytes(head.encode() + content)
        self.mails.append(ReceivedMail(name, received_at, sender, recipients, content))

    def _load(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self.mails.clear()
        for file in sorted(self._directory.glob("*.eml")):
            match = _FILE_NAME.fullmatch(file.name)
            if match is None:
                continue
            received_at = datetime.strptime(match[1], _TIME).replace(tzinfo=UTC)
            first, second, content = file.read_bytes().split(b"\r\n", 2)
            sender = first.decode().partition(": ")[2]
            recipients = tuple(second.decode().partition(": ")[2].split(", "))
            self.mails.append(ReceivedMail(file.name, received_at, sender, recipients, content))
