"""The mail sandbox: what is sent to it over SMTP can be read again, and mails cannot harm their reader."""

from email.message import EmailMessage

import aiosmtplib
import httpx2
import pytest

from sandbox.mail import MailSandbox
from sandbox.mail_page import mail_page


def _mail(subject="Willkommen, Jürgen", text="Hallo\n", html=None):
    message = EmailMessage()
    message["From"] = "billing@example.com"
    message["To"] = "jane@example.com"
    message["Subject"] = subject
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    return message


async def _send(sandbox, message, **options):
    return await aiosmtplib.send(message, hostname="127.0.0.1", port=sandbox.port, start_tls=False, **options)


@pytest.fixture
def page(smtp_sandbox):
    transport = httpx2.ASGITransport(app=mail_page(smtp_sandbox))
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1")


async def test_a_sent_mail_is_kept_with_its_envelope_and_parts(smtp_sandbox):
    message = _mail(html="<b>Hallo</b>")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="invoice.pdf")
    await _send(smtp_sandbox, message, recipients=["jane@example.com", "hidden@example.com"])
    [mail] = smtp_sandbox.mails
    assert (mail.sender, mail.recipients) == ("billing@example.com", ("jane@example.com", "hidden@example.com"))
    assert (mail.subject, mail.text.strip(), mail.html.strip()) == ("Willkommen, Jürgen", "Hallo", "<b>Hallo</b>")
    assert [(file.filename, file.content) for file in mail.attachments] == [("invoice.pdf", b"%PDF")]


async def test_mails_survive_a_restart(smtp_sandbox, tmp_path):
    await _send(smtp_sandbox, _mail())
    await smtp_sandbox.stop()
    again = MailSandbox(tmp_path / "mail")
    await again.start()
    assert again.mails == smtp_sandbox.mails
    await again.stop()


async def test_a_refused_recipient_gets_the_reply_that_the_test_wants(smtp_sandbox):
    smtp_sandbox.refusals["jane@example.com"] = "550 5.1.1 unknown"
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
        await _send(smtp_sandbox, _mail())
    assert smtp_sandbox.mails == []


async def test_a_lost_answer_leaves_the_mail_delivered(smtp_sandbox):
    smtp_sandbox.lose_answers = True
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await _send(smtp_sandbox, _mail())
    assert len(smtp_sandbox.mails) == 1


async def test_a_refused_message_is_not_kept(smtp_sandbox):
    smtp_sandbox.data_reply = "451 4.3.0 try again"
    with pytest.raises(aiosmtplib.SMTPDataError):
        await _send(smtp_sandbox, _mail())
    assert smtp_sandbox.mails == []


async def test_the_page_lists_and_shows_mails_without_trusting_them(smtp_sandbox, page):
    await _send(smtp_sandbox, _mail(subject="<script>alert(1)</script>", html="<script>alert(2)</script>"))
    [mail] = smtp_sandbox.mails
    index = (await page.get("/")).text
    shown = (await page.get(f"/mails/{mail.id}")).text
    body = await page.get(f"/mails/{mail.id}/html")
    assert "<script>" not in index + shown
    assert "&lt;script&gt;alert(1)" in index
    assert "<iframe sandbox " in shown
    assert body.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


async def test_the_page_offers_mails_as_json_and_forgets_them_on_request(smtp_sandbox, page):
    await _send(smtp_sandbox, _mail())
    [mail] = (await page.get("/mails")).json()
    assert (mail["to"], mail["subject"], mail["text"]) == (["jane@example.com"], "Willkommen, Jürgen", "Hallo\n")
    assert (await page.delete("/mails")).status_code == 204
    assert (await page.get("/mails")).json() == []


async def test_attachments_are_downloads_whatever_they_claim_to_be(smtp_sandbox, page):
    message = _mail()
    message.add_attachment("<script>", subtype="html", filename="rechnung ü.html")
    await _send(smtp_sandbox, message)
    answer = await page.get(f"/mails/{smtp_sandbox.mails[0].id}/attachments/0")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment;")


async def test_other_hosts_and_unknown_mails_are_refused(page):
    assert (await page.get("/", headers={"Host": "evil.example"})).status_code == 400
    assert (await page.get("/mails/nothing")).status_code == 404
    assert (await page.get("/mails/../../etc/passwd")).status_code == 404
