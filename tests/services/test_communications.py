from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from domain.errors import ConnectorError, ErrorCode
from services.communications import CommunicationsService
from store.database import Database
from store.tables import EmailTemplateRow
from tests.services.fakes import FakeMailer

SEND = "communications_service.send_template_email"
WELCOME: dict[str, Any] = {
    "template": "customer_welcome",
    "recipient": "ada@example.com",
    "variables": {
        "customer_name": "Ada Lovelace",
        "tenant_url": "https://ada-lovelace.stepwell.localhost",
        "license_key": "AAAAA-BBBBB-CCCCC-DDDDD-EEEEE",
    },
}


@pytest.fixture
def mailer() -> FakeMailer:
    return FakeMailer()


@pytest.fixture
def send(books, mailer):
    service = CommunicationsService(books.database, mailer)

    async def send(key="run-1/mail", **request):
        return await books.perform(service, SEND, key=key, **request)

    return send


async def write(books, subject="Hello {name}", text="Hi {{name}}", html=None, id_="greeting"):
    row = EmailTemplateRow(tenant_id=books.tenant, id=id_, subject=subject, body_text=text, body_html=html)
    await books.add(row)


async def refusal(send, **request) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        await send(**request)
    return caught.value


async def mails(books):
    return await books.rows("SELECT * FROM mails")


async def test_the_welcome_mail_of_the_onboarding_comes_with_the_platform(books, send, mailer):
    sent = await send(**WELCOME, tenant_id=books.tenant)
    [(key, mail)] = mailer.sent
    assert (key, mail.to, mail.subject) == ("run-1/mail", ("ada@example.com",), "Welcome, Ada Lovelace")
    for value in WELCOME["variables"].values():
        assert value in mail.text
        assert value in mail.html
    assert "{" not in mail.text
    [row] = await mails(books)
    assert (row.id, row.status, row.recipient, row.template) == (
        sent.message_id,
        "sent",
        "ada@example.com",
        "customer_welcome",
    )
    assert isinstance(sent.message_id, UUID)
    assert (sent.status, sent.provider_message_id) == ("sent", row.provider_message_id)
    assert row.sent_at is not None


async def test_a_tenants_own_template_comes_before_the_platforms(books, other_books, send, mailer):
    await write(books, id_="customer_welcome", subject="Ours: {customer_name}", text="ours")
    await write(other_books, id_="customer_welcome", subject="Theirs", text="theirs")
    await send(**WELCOME)
    assert mailer.sent[0][1].subject == "Ours: Ada Lovelace"


async def test_another_tenants_template_does_not_exist(books, other_books, send, mailer):
    await write(other_books)
    await send(template="greeting", recipient="ada@example.com")
    assert mailer.sent[0][1].subject == "Notification: greeting"


async def test_values_are_escaped_in_html_and_not_read_again(books, send, mailer):
    await write(books, html='<a title="{{name}}">{name}</a>')
    await send(template="greeting", recipient="ada@example.com", variables={"name": '"><b>{secret}', "secret": "s"})
    [(_, mail)] = mailer.sent
    assert mail.text == 'Hi "><b>{secret}'
    assert mail.html == '<a title="&quot;&gt;&lt;b&gt;{secret}">&quot;&gt;&lt;b&gt;{secret}</a>'


@pytest.mark.parametrize("name", ["a\r\nBcc: all@example.com", "a\nb", "a\0b", "a\u2028b"])
async def test_a_subject_of_two_lines_is_refused(books, send, mailer, name):
    await write(books)
    error = await refusal(send, template="greeting", recipient="ada@example.com", variables={"name": name})
    assert error.code is ErrorCode.INVALID_INPUT
    error = await refusal(send, template="unwritten", recipient="ada@example.com", variables={"subject": name})
    assert error.code is ErrorCode.INVALID_INPUT
    assert mailer.sent == []
    assert await mails(books) == []


@pytest.mark.parametrize("variables", [{}, {"name": None}])
async def test_a_missing_variable_is_named(books, send, mailer, variables):
    await write(books)
    error = await refusal(send, template="greeting", recipient="ada@example.com", variables=variables)
    assert (error.code, error.retryable) == (ErrorCode.INVALID_INPUT, False)
    assert "'name'" in str(error)
    assert mailer.sent == []


async def test_a_template_that_nobody_has_written_gives_a_plain_mail(send, mailer):
    await send(template="order_shipped", recipient="ada@example.com", variables={"order": 7, "items": [1]})
    await send(template="x", recipient="a@example.com", variables={"subject": "Hi", "message": "Read {this}."}, key="2")
    first, second = (mail for _, mail in mailer.sent)
    assert (first.subject, first.text, first.html) == ("Notification: order_shipped", "order: 7\n", None)
    assert (second.subject, second.text) == ("Hi", "Read {this}.\n")


async def test_a_mail_that_surely_did_not_go_out_is_an_error_and_may_be_tried_again(books, send, mailer):
    mailer.failures = [ConnectorError(ErrorCode.INVALID_INPUT, "550 no such mailbox")]
    error = await refusal(send, **WELCOME)
    assert (error.code, error.ambiguous) == (ErrorCode.INVALID_INPUT, False)
    [failed] = await mails(books)
    assert (failed.status, failed.failure) == ("failed", "550 no such mailbox")
    sent = await send(**WELCOME)
    [row] = await mails(books)
    assert (row.id, row.status, row.failure) == (sent.message_id, "sent", None)


async def test_a_mail_that_may_have_gone_out_stays_in_doubt(books, send, mailer):
    mailer.failures = [ConnectorError(ErrorCode.TIMEOUT, "the answer was lost", ambiguous=True)]
    assert (await refusal(send, **WELCOME)).ambiguous
    assert [row.status for row in await mails(books)] == ["sending"]


async def test_an_unexpected_error_passes_through(send, mailer):
    mailer.failures = [ConnectionResetError()]
    with pytest.raises(ConnectionResetError):
        await send(**WELCOME)


async def test_with_the_database_away_the_mail_surely_did_not_go_out(books, mailer):
    gone = Database("postgresql://nobody@127.0.0.1:1/nothing")
    service = CommunicationsService(gone, mailer)
    with pytest.raises(ConnectorError) as caught:
        await books.perform(service, SEND, **WELCOME)
    await gone.close()
    assert (caught.value.retryable, caught.value.ambiguous) == (True, False)


async def test_another_tenants_id_in_the_request_is_forbidden(send, other_books, mailer):
    assert (await refusal(send, **WELCOME, tenant_id=other_books.tenant)).code is ErrorCode.FORBIDDEN
    assert mailer.sent == []


@pytest.mark.parametrize(
    "recipient",
    ["", "ada", "a@b\r\nBcc: c@d", "Ada <ada@example.com>", "a@b,c@d", "a@b@c", "a@b.example\n", "a b@example.com"],
)
async def test_a_recipient_is_one_bare_address(send, recipient):
    with pytest.raises(ValidationError, match="recipient"):
        await send(**WELCOME | {"recipient": recipient})


async def test_tenants_do_not_see_each_others_mails(books, other_books, send):
    await send(**WELCOME)
    assert await mails(other_books) == []
