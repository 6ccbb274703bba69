"""What sends mail, as the services and connectors see it."""

from typing import Protocol

from pydantic import BaseModel, ConfigDict


class Mail(BaseModel):
    """One mail. With ``html`` it goes out in both forms."""

    model_config = ConfigDict(frozen=True)

    to: tuple[str, ...]
    subject: str
    text: str
    html: str | None = None


class Mailer(Protocol):
    """Sends mail."""

    async def send(self, mail: Mail, *, key: str) -> str:
        """Hand the mail over and return its Message-ID, which is made from ``key``.

        Raises ``ConnectorError``; ``ambiguous`` where the mail may have gone out all the same.
        """
        ...
