"""The tutorial: a Django application creates a user through its ORM, and the welcome mail goes out."""

import json
import sys
from pathlib import Path

import pytest

from tests.e2e.platform import outcome_of, until

pytestmark = pytest.mark.xdist_group("django")

APPLICATION = Path(__file__).with_name("django_application.py")
TRIGGER = {
    "type": "signal",
    "config": {"model": "auth.User", "signal": "post_save", "condition": "created == true"},
}
WELCOME = {
    "action": "smtp.send",
    "name": "welcome",
    "config": {"to": "{{event.instance.email}}", "subject": "Welcome!", "body": "Hello {{event.instance.username}}!"},
}


async def application(url, *arguments, program=APPLICATION):
    """What the application does, as a process of its own."""
    env = {"APPLICATION_DATABASE_URL": url, "PYTHONWARNINGS": "ignore"}
    outcome = await outcome_of(sys.executable, "-P", str(program), *arguments, env=env)
    assert outcome.code == 0, outcome.said


async def relayed(running):
    """Every change has become an event, and every run has ended."""

    async def look():
        found = await running.client.get("/watches")
        runs = await running.installation.rows("SELECT * FROM runs WHERE status NOT IN ('completed', 'failed')")
        return all(watch["waiting"] == 0 for watch in found.json()) and not runs

    await until(look, "all is relayed and done")


@pytest.fixture(scope="module")
async def django(running):
    """The application, migrated, its users watched; runs its commands."""
    url = running.installation.database_url
    await application(url, "migrate")
    watched = await running.installation.command("watch", "auth_user", "--as", "auth.User")
    assert watched.code == 0, watched.said
    assert "left out: password" in watched.said
    await running.publish("welcome_user", [WELCOME], triggers=[TRIGGER])

    async def command(*arguments):
        await application(url, *arguments)
        await relayed(running)

    return command


def recipients(running):
    return [recipient for mail in running.mail.mails for recipient in mail.recipients]


async def test_a_user_that_django_creates_is_welcomed_by_mail(running, django):
    await django("create", "ada@example.com")
    [mail] = [mail for mail in running.mail.mails if mail.recipients == ("ada@example.com",)]
    assert (mail.subject, mail.text.strip()) == ("Welcome!", "Hello ada!")


async def test_a_user_that_is_changed_gets_no_mail(running, django):
    await django("create", "bob@example.com")
    await django("rename", "bob@example.com")
    await django("bulk_update", "bob@example.com")
    await django("delete", "bob@example.com")
    assert recipients(running).count("bob@example.com") == 1
    events = await running.installation.rows(
        "SELECT type, payload FROM events WHERE payload->'instance'->>'email' = 'bob@example.com' ORDER BY id"
    )
    assert [(event["type"], event["payload"]["changed"]) for event in events] == [
        ("auth.User.post_save", []),
        ("auth.User.post_save", ["first_name"]),
        ("auth.User.post_save", ["is_active"]),
        ("auth.User.post_delete", []),
    ]


async def test_users_that_are_created_in_bulk_are_welcomed_too(running, django):
    many = [f"user.{number}@example.com" for number in range(20)]
    await django("bulk_create", *many)
    assert sorted(recipient for recipient in recipients(running) if recipient in many) == sorted(many)


async def test_a_user_that_is_rolled_back_was_never_there(running, django):
    await django("change_mind", "ghost@example.com")
    assert "ghost@example.com" not in recipients(running)


async def test_no_password_leaves_the_table(running, django):
    await django("create", "eve@example.com")
    [stored] = await running.installation.rows("SELECT * FROM events WHERE payload::text LIKE '%eve@example.com%'")
    assert "password" not in json.dumps(stored["payload"])
    [run] = await running.installation.rows("SELECT * FROM runs WHERE input::text LIKE '%eve@example.com%'")
    assert "pbkdf2" not in str(run)


async def test_watches_are_listed_made_and_removed_over_rest(running, django):
    made = await running.client.post("/watches", json={"table": "auth_group", "exclude": ["name"]})
    assert made.status_code == 201, made.text
    shown = made.json()
    assert (shown["table"], shown["model"], shown["left_out"]) == ("public.auth_group", "auth_group", ["name"])
    listed = {watch["table"]: watch for watch in (await running.client.get("/watches")).json()}
    assert listed["public.auth_user"]["model"] == "auth.User"
    assert {watch["state"] for watch in listed.values()} == {"installed"}
    refused = await running.client.post("/watches", json={"table": "auth_usr"})
    assert (refused.status_code, "did you mean auth_user" in refused.json()["detail"]) == (404, True)
    assert (await running.client.post("/watches", json={"table": "users"})).status_code == 409
    gone = await running.client.delete(f"/watches/{shown['id']}")
    assert (gone.status_code, gone.json()) == (200, {"relayed": 0})
    assert (await running.client.delete(f"/watches/{shown['id']}")).status_code == 404


async def test_the_command_line_lists_watches_and_says_what_is_wrong(running, django):
    listed = await running.installation.command("watches")
    assert "public.auth_user" in listed.said
    assert "installed" in listed.said
    wrong = await running.installation.command("watch", "auth_user", "--exclude", "pasword")
    assert (wrong.code, "did you mean password" in wrong.said) == (1, True)
    made = await running.installation.command("watch", "auth_permission", "--json")
    assert made.code == 0, made.said
    gone = await running.installation.command("unwatch", "auth_permission")
    assert (gone.code, "watched no more" in gone.said) == (0, True)
