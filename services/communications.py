"""Mails to customers, written from templates."""

from typing import Annotated, Any, Final
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints
from sqlalchemy import Row, text

from domain.actions import Call, Connector, Effect, action
from domain.errors import ConnectorError, ErrorCode, Unavailable
from domain.ids import BUILTIN_TENANT
from domain.mail import Mail, Mailer
from services.request import Request, Slug
from services.templates import fill_html, fill_line, fill_text
from store.database import Database
from store.tables.base import now

_ADDRESS: Final = r"^[^\s@<>()\[\],;:\\\"\x00-\x1f]+@[^\s@<>()\[\],;:\\\"\x00-\x1f]+$"

Variables = dict[str, JsonValue]


class SendTemplateEmail(Request):
    """Which mail goes to whom."""

    template: Slug
    recipient: Annotated[str, StringConstraints(max_length=320, pattern=_ADDRESS)]
    """One bare e-mail address."""
    variables: Variables = Field(default_factory=dict)


class SentEmail(BaseModel):
    """The mail that went out."""

    model_config = ConfigDict(frozen=True)

    message_id: UUID
    """Id of the mail in the records."""
    status: str
    """``sent``: the mail server has taken it over."""
    provider_message_id: str
    """Its ``Message-ID``."""
    recipient: str
    subject: str


_TEMPLATE = text("""
    SELECT subject, body_text, body_html FROM email_templates
    WHERE id = :template AND tenant_id IN (:tenant, :platform) ORDER BY tenant_id DESC LIMIT 1
""")
# The same key comes again when the try before it has surely failed, or when a person or the step says so.
_RECORD = text("""
    INSERT INTO mails (tenant_id, id, effect_key, template, recipient, subject, status, created_at)
    VALUES (:tenant, :id, :key, :template, :recipient, :subject, 'sending', now())
    ON CONFLICT (tenant_id, effect_key) DO UPDATE
        SET recipient = excluded.recipient, subject = excluded.subject, status = 'sending', failure = NULL
    RETURNING id
""")
_SETTLE = text("""
    UPDATE mails SET status = :status, provider_message_id = :provider_message_id, failure = :failure,
        sent_at = :sent_at
    WHERE tenant_id = :tenant AND id = :id
""")


class CommunicationsService(Connector):
    """Writes to the tenant's customers, by ``mailer``."""

    def __init__(self, database: Database, mailer: Mailer) -> None:
        self._database = database
        self._mailer = mailer

    @action("communications_service.send_template_email", effect=Effect.AT_MOST_ONCE)
    async def send_template_email(self, request: SendTemplateEmail, call: Call) -> SentEmail:
        """Send a mail that is written from a template: the tenant's own, else the platform's of that name.

        Where there is no such template, a plain mail goes out: its subject is ``variables.subject`` or
        "Notification: …", its body ``variables.message`` or the variables, a line each. A variable that the template
        needs and does not get is an error. A mail that cannot be sent is an error, never a quiet "failed".
        """
        request.check_tenant(call)
        try:
            mail, mail_id = await self._record(request, call)
        except Unavailable as error:  # the mail has surely not gone out: no reason to ask a person
            raise ConnectorError(ErrorCode.TRANSIENT_NETWORK, str(error)) from error
        try:
            provider_message_id = await self._mailer.send(mail, key=call.key)
        except ConnectorError as error:
            if not error.ambiguous:
                await self._settle(call, mail_id, "failed", failure=str(error))
            raise
        await self._settle(call, mail_id, "sent", provider_message_id=provider_message_id)
        return SentEmail(
            message_id=mail_id,
            status="sent",
            provider_message_id=provider_message_id,
            recipient=request.recipient,
            subject=mail.subject,
        )

    async def _record(self, request: SendTemplateEmail, call: Call) -> tuple[Mail, UUID]:
        async with self._database.statements(call.tenant) as session:
            wanted = {"template": request.template, "tenant": call.tenant, "platform": BUILTIN_TENANT}
            mail = _write(request, (await session.execute(_TEMPLATE, wanted)).one_or_none())
            values = {
                "tenant": call.tenant,
                "id": uuid4(),
                "key": call.key,
                "template": request.template,
                "recipient": request.recipient,
                "subject": mail.subject,
            }
            return mail, (await session.execute(_RECORD, values)).scalar_one()

    async def _settle(
        self,
        call: Call,
        mail_id: UUID,
        status: str,
        *,
        provider_message_id: str | None = None,
        failure: str | None = None,
    ) -> None:
        values = {
            "tenant": call.tenant,
            "id": mail_id,
            "status": status,
            "provider_message_id": provider_message_id,
            "failure": failure,
            "sent_at": now() if provider_message_id else None,
        }
        async with self._database.statements(call.tenant) as session:
            await session.execute(_SETTLE, values)


def _write(request: SendTemplateEmail, template: Row[Any] | None) -> Mail:
    if template is None:
        return _plain(request)
    variables = request.variables
    return Mail(
        to=(request.recipient,),
        subject=fill_line(template.subject, variables),
        text=fill_text(template.body_text, variables),
        html=None if template.body_html is None else fill_html(template.body_html, variables),
    )


def _plain(request: SendTemplateEmail) -> Mail:
    """The mail for a template that nobody has written."""
    title = f"Notification: {request.template}"
    variables: Variables = {"subject": title, **request.variables}
    if "message" in variables:
        body = fill_text("{message}", variables)
    else:
        values = (name for name, value in request.variables.items() if isinstance(value, str | int | float))
        body = "\n".join(f"{name}: {request.variables[name]}" for name in values if name != "subject") or title
    return Mail(to=(request.recipient,), subject=fill_line("{subject}", variables), text=f"{body}\n")
