"""An application with SQLModel on a database of its own: its orders are confirmed by mail."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Running
from tests.e2e.test_django import application, recipients, relayed
from tests.triggers.watching import plain_database

pytestmark = pytest.mark.xdist_group("sqlmodel")

PROGRAM = Path(__file__).with_name("sqlmodel_application.py")
CONFIRM = {
    "name": "confirm",
    "action": "email.send",
    "config": {"to": "{{event.instance.email}}", "subject": "Thank you", "body": "You pay {{event.instance.total}}."},
}


@pytest.fixture(scope="module")
def shop_url(postgres_url):
    with plain_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="module")
async def running(install, module_database_url, module_mail, temporal_client, shop_url):
    settings = {"SMTP_URL": module_mail.url, "STEPWELL_WATCH_CONNECTIONS": json.dumps({"shop": shop_url})}
    async with install(module_database_url, **settings) as installation:
        worker = installation.worker()
        await installation.api()
        await installation.worker_polls(worker, temporal_client)
        async with installation.client() as client:
            yield Running(installation, client, module_mail, temporal_client)


async def test_orders_on_another_database_are_confirmed_by_mail_once(running, shop_url):
    await application(shop_url, "create_all", program=PROGRAM)
    watched = await running.installation.command("watch", "orders", "--as", "shop.Order", "--connection", "shop")
    assert watched.code == 0, watched.said
    trigger = {"type": "signal", "config": {"model": "shop.Order", "signal": "created"}}
    await running.publish("confirm_order", [CONFIRM], triggers=[trigger])
    buyers = [f"buyer.{number}@example.com" for number in range(5)]
    await application(shop_url, "order", *buyers, program=PROGRAM)
    await application(shop_url, "raise", program=PROGRAM)
    await relayed(running)
    assert sorted(recipients(running)) == buyers
    assert {mail.text.strip() for mail in running.mail.mails} == {"You pay 19.9."}
    events = await running.installation.rows("SELECT payload FROM events")
    assert sorted(event["payload"]["changed"] for event in events) == [[]] * 5 + [["total"]] * 5
    assert "tok_hush" not in str(events)
    gone = await running.installation.command("unwatch", "shop.Order", "--connection", "shop")
    assert gone.code == 0, gone.said
