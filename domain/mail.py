"""What sends mail, as the services and connectors see it."""

from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field


class Attachment(BaseModel):
    """A file that goes with a mail."""

    model_config = ConfigDict(frozen=True)

    filename: str
    content_type: str = "application/octet-stream"
    content: bytes = Field(repr=False)


class Mail(BaseModel):
    """One mail. With ``html`` it goes out in both forms.

    An address is ``jane@example.com`` or ``Jane Doe <jane@example.com>``. ``sender``: the deployment's own if None.
    ``headers``: more header lines; see the mailer for those that it accepts.
    """

    model_config = ConfigDict(frozen=True)

    to: tuple[str, ...]
    subject: str
    text: str
    html: str | None = None
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    reply_to: tuple[str, ...] = ()
    sender: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()


class Mailer(Protocol):
    """Sends mail."""

    async def send(self, mail: Mail, *, key: str) -> str:
        """Hand the mail over and return its Message-ID, which is made from ``key``.

        Raises ``ConnectorError``; ``ambiguous`` where the mail may have gone out all the same.
        """
        ...
