"""Check of the mail server."""

from typing import Final

from cli.checks.finding import Finding, fail, ok, warn
from config import Settings
from connectors.email import SmtpMailer
from domain.errors import ConnectorError, ErrorCode

_SECONDS: Final = 8.0


async def check_mail(settings: Settings) -> Finding:
    """Whether mails could be handed over: connects, encrypts and logs in, and sends none."""
    part = "mail"
    if settings.smtp_url is None:
        remedy = "set SMTP_URL=smtp://user:password@host:587?starttls=true"
        return warn(part, "SMTP_URL is not set: steps that send mail fail", remedy)
    try:
        mailer = SmtpMailer(settings.smtp_url.get_secret_value(), settings.mail_from, timeout_seconds=_SECONDS)
        await mailer.check()
    except ConnectorError as error:
        wrong = error.code in (ErrorCode.CONFIG_INVALID, ErrorCode.AUTH_FAILED)
        remedy = "correct SMTP_URL" if wrong else "check that the mail server runs and that SMTP_URL is right"
        return fail(part, str(error), remedy)
    return ok(part, f"the mail server answers; mails are from {settings.mail_from}")
