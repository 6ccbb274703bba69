"""A mail as it travels: the message of RFC 5322 and its envelope, made so that no value can add a header line."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final

from domain.errors import ConnectorError, ErrorCode
from domain.mail import Attachment, Mail

LINE_PATTERN: Final = r"^[^\x00-\x08\x0a-\x1f\x7f\u0085\u2028\u2029]*$"
"""A text of one line: what may stand in a header."""

HEADER_PATTERN: Final = (
    r"^(?:[Xx]-[A-Za-z0-9-]{1,70}|(?i:in-reply-to|references|auto-submitted|importance|precedence|list-id"
    r"|list-unsubscribe|list-unsubscribe-post))$"
)
"""Headers that a mail may bring along."""

TYPE_PATTERN: Final = r"^[A-Za-z0-9!#$&^_.+-]{1,100}/[A-Za-z0-9!#$&^_.+-]{1,100}$"

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ENCODED_WORD: Final = re.compile(r"=\?[^?\s]*\?[bBqQ]\?")
_LOCAL_PART: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NAMED: Final = re.compile(r"(?:\"(?P<quoted>[^\"\\<>]*)\"|(?P<plain>[^\"\\<>@,;:]*?))\s*<(?P<bare>[^<>]*)>")
_MAX_LOCAL_PART: Final = 64
_MAX_DOMAIN: Final = 255
_LINE: Final = re.compile(LINE_PATTERN)
_HEADER: Final = re.compile(HEADER_PATTERN)
_TYPE: Final = re.compile(TYPE_PATTERN)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the mail server is told, and the bytes that it gets."""

    sender: str
    recipients: tuple[str, ...]
    message_id: str
    content: bytes


def envelope(mail: Mail, *, default_sender: str, key: str) -> Envelope:
    """``mail`` ready to travel. The same mail under the same key gets the same Message-ID, everywhere.

    Raises ``ConnectorError(INVALID_INPUT)`` naming the field that cannot stand in a mail.
    """
    sender = _address("from", mail.sender or default_sender)
    to, cc, bcc = (_addresses(name, getattr(mail, name)) for name in ("to", "cc", "bcc"))
    if not (to or cc or bcc):
        raise _invalid("to", "names nobody")
    # The mail itself is part of the id: another deployment counts its runs from one as well.
    digest = hashlib.sha256(f"{key}\n{sender}\n{mail.model_dump_json(exclude={'attachments'})}".encode()).hexdigest()
    message_id = f"<{digest[:40]}@{sender.domain}>"
    message = EmailMessage()
    message["From"] = sender
    for name, addresses in (("To", to), ("Cc", cc), ("Reply-To", _addresses("reply_to", mail.reply_to))):
        if addresses:
            message[name] = addresses
    message["Subject"] = _line("subject", mail.subject)
    message["Date"] = datetime.now(UTC)
    message["Message-ID"] = message_id
    for name, value in mail.headers.items():
        if not _HEADER.fullmatch(name):
            raise _invalid("headers", "may hold X-…, List-…, In-Reply-To, References and a few more, not others")
        message[name] = _line(f"headers.{name}", value)
    _fill(message, mail)
    recipients = tuple(dict.fromkeys(address.addr_spec for address in (*to, *cc, *bcc)))
    return Envelope(sender.addr_spec, recipients, message_id, message.as_bytes(policy=SMTP))


def _fill(message: EmailMessage, mail: Mail) -> None:
    message.set_content(mail.text)
    if mail.html is not None:
        message.add_alternative(mail.html, subtype="html")
    for attachment in mail.attachments:
        _attach(message, attachment)


def _attach(message: EmailMessage, attachment: Attachment) -> None:
    if not _TYPE.fullmatch(attachment.content_type):
        raise _invalid("attachments.content_type", "must look like application/pdf")
    maintype, _, subtype = attachment.content_type.lower().partition("/")
    if maintype in {"multipart", "message"}:
        maintype, subtype = "application", "octet-stream"
    filename = _line("attachments.filename", attachment.filename)
    message.add_attachment(attachment.content, maintype=maintype, subtype=subtype, filename=filename)


def _addresses(field: str, texts: Iterable[str]) -> tuple[Address, ...]:
    return tuple(_address(field, text) for text in texts)


def _address(field: str, text: str) -> Address:
    """``text`` as one address; a domain beyond ASCII in the form that DNS knows."""
    named = _NAMED.fullmatch(_line(field, text).strip())
    name = (named["quoted"] or named["plain"] or "").strip() if named else ""
    local_part, _, domain = (named["bare"] if named else text.strip()).rpartition("@")
    try:
        domain = domain.encode("idna").decode()
    except UnicodeError:
        domain = ""
    if not _LOCAL_PART.fullmatch(local_part) or not _DOMAIN.fullmatch(domain):
        raise _invalid(field, "must be an address like jane@example.com or Jane Doe <jane@example.com>")
    if len(local_part) > _MAX_LOCAL_PART or len(domain) > _MAX_DOMAIN:
        raise _invalid(field, "is longer than an address may be")
    return Address(name, local_part, domain)


def _line(field: str, text: str) -> str:
    if not _LINE.fullmatch(text):
        raise _invalid(field, "must be one line, without control characters")
    if _ENCODED_WORD.search(text):
        raise _invalid(field, "must be plain text, not an encoded word of RFC 2047, which could hide a line break")
    return text


def _invalid(field: str, why: str) -> ConnectorError:
    return ConnectorError(ErrorCode.INVALID_INPUT, f"the mail's {field} {why}", details={"field": field})
