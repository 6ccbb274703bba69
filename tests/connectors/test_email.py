"""Mail: what arrives, what cannot be smuggled in, and what is known when the mail server fails."""

import asyncio
import base64

import pytest
from pydantic import ValidationError

from connectors.email import EmailConnector, NoMailer, SmtpMailer
from connectors.mail_message import envelope
from domain.actions import Catalogue, Effect
from domain.errors import ConnectorError, ErrorCode
from domain.mail import Attachment, Mail
from tests.connectors.fakes import CALL

SENDER = "Stepwell <no-reply@stepwell.example>"
MAIL = Mail(to=("jane@example.com",), subject="Hello", text="Hi Jane\n")


@pytest.fixture
def mailer(smtp_sandbox):
    return SmtpMailer(smtp_sandbox.url, SENDER, timeout_seconds=5)


@pytest.fixture
def send(mailer):
    action = Catalogue([EmailConnector(mailer)])["smtp.send"]

    async def send(**request):
        return await action.handler(action.input_model.model_validate(request), CALL)

    return send


def test_email_send_is_another_name_and_is_never_repeated(mailer):
    catalogue = Catalogue([EmailConnector(mailer)])
    assert catalogue["email.send"] is catalogue["smtp.send"]
    assert catalogue["smtp.send"].info.effect is Effect.AT_MOST_ONCE


async def test_a_mail_arrives_with_all_its_parts(send, smtp_sandbox):
    sent = await send(
        to=["Jane Doe <jane@example.com>", '"Doe, John" <john@example.com>'],
        cc="cc@example.com",
        bcc=["bcc@bücher.example"],
        reply_to="help@example.com",
        subject="Grüße, Jürgen",
        body="Hallo\n.\nEnde",
        html="<b>Hallo</b>",
        headers={"X-Order": "4711"},
        attachments=[{"filename": "Rechnung ü.pdf", "content_type": "application/pdf", "content_base64": "JVBERg=="}],
    )
    [mail] = smtp_sandbox.mails
    assert mail.sender == "no-reply@stepwell.example"
    recipients = ("jane@example.com", "john@example.com", "cc@example.com", "bcc@xn--bcher-kva.example")
    assert mail.recipients == recipients
    assert (mail.subject, mail.text, mail.html.strip()) == ("Grüße, Jürgen", "Hallo\n.\nEnde\n", "<b>Hallo</b>")
    message = mail.message
    assert message["From"] == SENDER
    assert message["To"] == 'Jane Doe <jane@example.com>, "Doe, John" <john@example.com>'
    assert (message["Cc"], message["Reply-To"], message["X-Order"]) == ("cc@example.com", "help@example.com", "4711")
    assert "bcher" not in mail.raw.decode()
    [file] = mail.attachments
    assert (file.filename, file.content_type, file.content) == ("Rechnung ü.pdf", "application/pdf", b"%PDF")
    assert sent.message_id == message["Message-ID"]


async def test_text_is_another_name_for_body(send, smtp_sandbox):
    await send(to="jane@example.com", subject="s", text="one", **{"from": "Billing <billing@example.com>"})
    assert (smtp_sandbox.mails[0].text, smtp_sandbox.mails[0].message["From"]) == (
        "one\n",
        "Billing <billing@example.com>",
    )


@pytest.mark.parametrize("content", [{"body": "a", "text": "b"}, {}])
async def test_a_mail_has_one_text(send, content):
    with pytest.raises(ValidationError):
        await send(to="jane@example.com", subject="s", **content)


async def test_every_try_of_a_step_has_the_same_message_id(mailer, smtp_sandbox):
    ids = [await mailer.send(MAIL, key="run-1/mail") for _ in range(2)]
    ids.append(await mailer.send(MAIL, key="run-2/mail"))
    ids.append(await mailer.send(MAIL.model_copy(update={"subject": "Other"}), key="run-1/mail"))
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert [mail.message["Message-ID"] for mail in smtp_sandbox.mails] == ids


INJECTIONS = ["a\r\nBcc: eve@evil.example", "a\nBcc: eve@evil.example", "a\rb", "a\x00b", "a\u2028b", "a\x85b"]
ENCODED = "=?utf-8?q?a=0d=0aBcc:_eve@evil.example?="


@pytest.mark.parametrize("text", [*INJECTIONS, ENCODED])
@pytest.mark.parametrize(
    "field",
    [
        lambda text: {"subject": text},
        lambda text: {"to": (f"jane@example.com{text}",)},
        lambda text: {"to": (f"{text} <jane@example.com>",)},
        lambda text: {"cc": (f'"{text}" <jane@example.com>',)},
        lambda text: {"bcc": (text,)},
        lambda text: {"reply_to": (text,)},
        lambda text: {"sender": f"{text} <jane@example.com>"},
        lambda text: {"headers": {"X-A": text}},
        lambda text: {"headers": {f"X-{text}": "1"}},
        lambda text: {"attachments": (Attachment(filename=text, content=b""),)},
        lambda text: {"attachments": (Attachment(filename="f", content_type=f"text/{text}", content=b""),)},
    ],
)
def test_no_field_can_add_a_header_line(field, text):
    with pytest.raises(ConnectorError) as error:
        envelope(MAIL.model_copy(update=field(text)), default_sender=SENDER, key="k")
    assert (error.value.code, error.value.retryable) == (ErrorCode.INVALID_INPUT, False)


@pytest.mark.parametrize("text", INJECTIONS[:4])
@pytest.mark.parametrize("field", ["subject", "to", "cc", "bcc", "reply_to", "from"])
async def test_line_breaks_are_refused_before_anything_is_sent(send, smtp_sandbox, field, text):
    with pytest.raises((ValidationError, ConnectorError)):
        await send(**{"to": "jane@example.com", "subject": "s", "body": "b", field: f"jane@example.com{text}"})
    assert smtp_sandbox.mails == []


@pytest.mark.parametrize(
    "name", ["Bcc", "From", "To", "Sender", "Content-Type", "Message-ID", "Date", "X", "X-", "Return-Path"]
)
def test_headers_that_the_platform_writes_cannot_be_given(name):
    with pytest.raises(ConnectorError):
        envelope(MAIL.model_copy(update={"headers": {name: "1"}}), default_sender=SENDER, key="k")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "jane",
        "@example.com",
        "jane@",
        "a@b, c@d",
        "jane@ex ample.com",
        "jane@-x.com",
        "a..b@x.com",
        ".a@x.com",
        "jürgen@example.com",
        "<jane@x.com",
        "jane@x.com>",
        "a@b@c",
        "jane@[127.0.0.1]",
        "x" * 65 + "@x.com",
        "a@" + ".".join(["x" * 60] * 5),
        "-oQ/tmp <a b@x.com>",
    ],
)
def test_what_is_not_one_address_is_refused(address):
    with pytest.raises(ConnectorError, match="the mail's to"):
        envelope(MAIL.model_copy(update={"to": (address,)}), default_sender=SENDER, key="k")


def test_a_mail_to_nobody_is_refused():
    with pytest.raises(ConnectorError, match="names nobody"):
        envelope(MAIL.model_copy(update={"to": ()}), default_sender=SENDER, key="k")


def test_an_attached_mail_stays_a_file():
    files = (Attachment(filename="x.eml", content_type="message/rfc822", content=b"Subject: x\r\n\r\n"),)
    ready = envelope(MAIL.model_copy(update={"attachments": files}), default_sender=SENDER, key="k")
    assert b"application/octet-stream" in ready.content


def test_attachments_must_be_base64(mailer):
    model = Catalogue([EmailConnector(mailer)])["smtp.send"].input_model
    with pytest.raises(ValidationError):
        model.model_validate(
            {"to": "a@x", "subject": "s", "body": "b", "attachments": [{"filename": "f", "content_base64": "no!"}]}
        )


# --- when the mail server fails


@pytest.mark.parametrize(
    ("answer", "code", "retryable"),
    [
        ("550 5.1.1 unknown", ErrorCode.INVALID_INPUT, False),
        ("450 4.2.1 greylisted", ErrorCode.TRANSIENT_NETWORK, True),
        ("421 closing", ErrorCode.TRANSIENT_NETWORK, True),
        ("530 authentication required", ErrorCode.AUTH_FAILED, False),
    ],
)
async def test_a_refused_recipient_stops_the_mail_for_all(mailer, smtp_sandbox, answer, code, retryable):
    smtp_sandbox.refusals["john@example.com"] = answer
    with pytest.raises(ConnectorError) as error:
        await mailer.send(MAIL.model_copy(update={"cc": ("john@example.com",)}), key="k")
    assert (error.value.code, error.value.retryable, error.value.ambiguous) == (code, retryable, False)
    assert error.value.details["reply"] == answer
    assert smtp_sandbox.mails == []


@pytest.mark.parametrize(
    ("answer", "code"),
    [("554 5.6.0 spam", ErrorCode.INVALID_INPUT), ("452 4.3.1 full", ErrorCode.TRANSIENT_NETWORK)],
)
async def test_a_refused_message_has_surely_not_gone_out(mailer, smtp_sandbox, answer, code):
    smtp_sandbox.data_reply = answer
    with pytest.raises(ConnectorError) as error:
        await mailer.send(MAIL, key="k")
    assert (error.value.code, error.value.ambiguous, error.value.status) == (code, False, int(answer[:3]))


async def test_a_connection_lost_after_the_content_leaves_a_doubt(mailer, smtp_sandbox):
    smtp_sandbox.lose_answers = True
    with pytest.raises(ConnectorError, match="answer was lost") as error:
        await mailer.send(MAIL, key="k")
    assert (error.value.code, error.value.ambiguous) == (ErrorCode.TRANSIENT_NETWORK, True)
    assert len(smtp_sandbox.mails) == 1


async def test_nobody_listening_leaves_no_doubt(unused_tcp_port):
    with pytest.raises(ConnectorError) as error:
        await SmtpMailer(f"smtp://127.0.0.1:{unused_tcp_port}", SENDER).send(MAIL, key="k")
    assert (error.value.code, error.value.ambiguous) == (ErrorCode.TRANSIENT_NETWORK, False)


SCRIPT = ["220 hi", "250 hello", "250 sender", "250 recipient", "354 go on", "250 taken"]


@pytest.mark.parametrize(("answers", "ambiguous"), [(0, False), (1, False), (3, False), (4, True), (5, True)])
@pytest.mark.parametrize("fault", ["silence", "hang-up"])
async def test_a_fault_leaves_a_doubt_from_data_on(answers, ambiguous, fault):
    async with scripted(SCRIPT[:answers], fault) as port:
        mailer = SmtpMailer(f"smtp://127.0.0.1:{port}", SENDER, timeout_seconds=0.3)
        with pytest.raises(ConnectorError) as error:
            await mailer.send(MAIL, key="k")
    wanted = {ErrorCode.TIMEOUT} if fault == "silence" else {ErrorCode.TRANSIENT_NETWORK}
    assert error.value.code in wanted
    assert (error.value.retryable, error.value.ambiguous) == (True, ambiguous)


async def test_a_mail_server_that_offers_no_tls_gets_no_password():
    async with scripted(["220 hi", "250 hello", "250 x", "250 x"], "silence") as port:
        mailer = SmtpMailer(f"smtp://jane:hush@127.0.0.1:{port}", SENDER, timeout_seconds=2)
        with pytest.raises(ConnectorError) as error:
            await mailer.send(MAIL, key="k")
    assert (error.value.code, error.value.ambiguous) == (ErrorCode.CONFIG_INVALID, False)
    assert "hush" not in str(error.value)


async def test_a_wrong_password_is_said_so():
    script = ["220 hi", "250-hello\r\n250 AUTH PLAIN", "535 5.7.8 no", "221 bye"]
    async with scripted(script, "silence") as port:
        mailer = SmtpMailer(f"smtp://jane:hush@127.0.0.1:{port}?starttls=false", SENDER, timeout_seconds=2)
        with pytest.raises(ConnectorError, match="did not accept the login") as error:
            await mailer.send(MAIL, key="k")
    assert (error.value.code, error.value.retryable) == (ErrorCode.AUTH_FAILED, False)
    assert base64.b64encode(b"hush").decode() not in str(error.value)


@pytest.mark.parametrize(
    "url", ["", "mail.example.com", "http://mail.example.com", "smtp://", "smtp://:25", "smtp://x:y", "smtp://[x"]
)
def test_a_wrong_address_of_the_mail_server_is_refused_at_once(url):
    with pytest.raises(ConnectorError, match="SMTP_URL must look like"):
        SmtpMailer(url, SENDER)


async def test_a_deployment_without_mail_server_says_so():
    with pytest.raises(ConnectorError, match="SMTP_URL is not set") as error:
        await NoMailer().send(MAIL, key="k")
    assert (error.value.code, error.value.ambiguous) == (ErrorCode.CONFIG_INVALID, False)


async def test_the_way_to_the_mail_server_can_be_checked_without_a_mail(mailer, smtp_sandbox):
    await mailer.check()
    await smtp_sandbox.stop()
    with pytest.raises(ConnectorError) as error:
        await mailer.check()
    assert error.value.code is ErrorCode.TRANSIENT_NETWORK
    assert smtp_sandbox.mails == []


class scripted:  # noqa: N801  # reads like a function
    """A mail server that gives these answers, one for each line it is sent, and then the fault."""

    def __init__(self, answers, fault):
        self._answers, self._fault, self._tasks = answers, fault, set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    def _accept(self, reader, writer):
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader, writer):
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader, writer):
        for number, answer in enumerate(self._answers):
            if number:
                await self._next(reader, self._answers[number - 1])
            writer.write(answer.encode() + b"\r\n")
        if self._fault == "silence":
            await asyncio.Event().wait()
        elif self._answers:
            await self._next(reader, self._answers[-1])

    async def _next(self, reader, last_answer):
        """Read a command, or the content of a mail after ``354``."""
        await reader.readuntil(b"\r\n.\r\n" if last_answer.startswith("354") else b"\r\n")

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
