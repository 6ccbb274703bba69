"""The onboarding over HTTP, by the very requests of the document that Stepwell's API follows."""

from typing import Any

import pytest

from services.demo import DEMO_LEAD
from tests.e2e.platform import ADMIN, PASSWORD

pytestmark = pytest.mark.xdist_group("onboarding")

PROCESS = "lead_to_customer_onboarding"
LEAD = {"lead_id": "550e8400-e29b-41d4-a716-446655440000", "tenant_id": "tenant-1"}
LONGER = {**LEAD, "plan_id": "basic-plan", "license_template_id": "standard-license"}
CUSTOM = {
    "name": "my_custom_workflow",
    "description": "Custom workflow",
    "definition": {
        "steps": [
            {
                "name": "step1",
                "type": "service_call",
                "service": "customer_service",
                "method": "create_from_lead",
                "params": {"lead_id": "${context.lead_id}", "tenant_id": "${context.tenant_id}"},
            }
        ]
    },
    "version": "1.0.0",
}
TABLES = ("customers", "subscriptions", "licenses", "instances", "mails", "tickets")


@pytest.fixture(scope="module")
async def first(running) -> dict[str, Any]:
    """The answer to the document's first request."""
    answer = await running.execute(PROCESS, LEAD)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def count(running) -> dict[str, int]:
    rows = {table: await running.installation.rows(f"SELECT * FROM {table}") for table in TABLES}  # noqa: S608
    return {table: len(found) for table, found in rows.items()}


async def test_logging_in_gives_a_token(running):
    answer = await running.client.post("/auth/login", json={"email": ADMIN, "password": PASSWORD})
    assert answer.status_code == 200
    assert set(answer.json()) == {"access_token", "token_type", "expires_in"}


async def test_executing_by_name_with_the_context_as_body_answers_the_completed_run(running, first):
    assert LEAD["lead_id"] == str(DEMO_LEAD)
    assert first["status"] == "completed"
    assert first["trigger_type"] == "api"
    assert first["execution_id"] == first["id"]
    assert isinstance(first["workflow_id"], int)
    assert LEAD.items() <= first["context"].items()
    assert first["result"].keys() == {"customer_id", "subscription_id", "license_key", "tenant_url", "ticket_number"}
    assert first["error_message"] is None


async def test_each_step_leaves_its_record_in_the_services_tables(running, first):
    at, result = running.installation, first["result"]
    customer = await at.row("SELECT * FROM customers WHERE id = :id", id=result["customer_id"])
    lead = await at.row("SELECT * FROM leads WHERE id = :id", id=LEAD["lead_id"])
    subscription = await at.row("SELECT * FROM subscriptions WHERE id = :id", id=result["subscription_id"])
    licence = await at.row("SELECT * FROM licenses WHERE license_key = :key", key=result["license_key"])
    instance = await at.row("SELECT * FROM instances WHERE tenant_url = :url", url=result["tenant_url"])
    ticket = await at.row("SELECT * FROM tickets WHERE ticket_number = :number", number=result["ticket_number"])
    assert (lead["status"], lead["customer_id"]) == ("converted", customer["id"])
    assert {each["customer_id"] for each in (subscription, licence, instance, ticket)} == {customer["id"]}
    assert (subscription["plan_id"], licence["license_template_id"]) == ("basic-plan", "standard-license")
    assert (instance["status"], instance["license_id"]) == ("pending_manual", licence["id"])
    assert (ticket["title"], ticket["assigned_team"]) == ("New Customer Onboarding", "customer_success")


async def test_the_customer_gets_a_welcome_that_names_url_and_licence(running, first):
    mail = running.mail.mails[0]
    assert mail.recipients == ("ada.lovelace@example.com",)
    assert first["result"]["tenant_url"] in mail.text
    assert first["result"]["license_key"] in mail.text


async def test_the_longer_request_onboards_the_same_customer_once_more(running, first):
    before = await count(running)
    answer = await running.execute(PROCESS, LONGER)
    assert answer.status_code == 200
    again = answer.json()
    assert again["status"] == "completed"
    assert LONGER.items() <= again["context"].items()
    for same in ("customer_id", "subscription_id"):
        assert again["result"][same] == first["result"][same]
    grown = {table: after - before[table] for table, after in (await count(running)).items()}
    assert grown == {"customers": 0, "subscriptions": 0, "licenses": 1, "instances": 1, "mails": 1, "tickets": 1}


async def test_an_execution_shows_its_steps_in_order(running, first):
    answer = await running.client.get(
        f"/workflows/executions/{first['execution_id']}", params={"include_steps": "true"}
    )
    shown = answer.json()
    assert {name: shown[name] for name in ("id", "status", "result", "context")} == {
        name: first[name] for name in ("id", "status", "result", "context")
    }
    assert shown["duration_seconds"] > 0
    assert [(step["name"], step["status"]) for step in shown["steps"]] == [
        ("create_customer", "completed"),
        ("create_subscription", "completed"),
        ("issue_license", "completed"),
        ("provision_tenant", "completed"),
        ("send_welcome_email", "completed"),
        ("create_onboarding_ticket", "completed"),
    ]


async def test_the_executions_are_a_bare_array_with_durations_and_the_total_in_a_header(running, first):
    answer = await running.client.get("/workflows/executions", params={"include_duration": "true"})
    shown = answer.json()
    assert answer.headers["X-Total-Count"] == str(len(shown))
    assert first["id"] in [each["id"] for each in shown]
    assert all({"id", "duration_seconds", "status"} <= each.keys() for each in shown)


async def test_the_statistics_count_what_has_run(running, first):
    answer = await running.client.get(f"/workflows/{first['workflow_id']}/stats")
    runs = await running.installation.rows("SELECT * FROM runs WHERE process = :process", process=PROCESS)
    totals = answer.json()
    assert totals["workflow_id"] == first["workflow_id"]
    assert totals["total_executions"] == totals["successful_executions"] == len(runs)
    assert totals["failed_executions"] == 0
    assert totals["success_rate"] == 1.0
    assert totals["average_duration_seconds"] > 0


async def test_the_documents_own_custom_workflow_is_published_and_runs(running, first):
    created = await running.client.post("/workflows", json=CUSTOM)
    assert created.status_code == 201, created.text
    shown = created.json()
    assert (shown["name"], shown["description"], shown["version"]) == ("my_custom_workflow", "Custom workflow", "1.0.0")
    assert shown["is_active"] is True
    listed = (await running.client.get("/workflows")).json()
    assert {"my_custom_workflow", PROCESS} <= {each["name"] for each in listed["workflows"]}
    answer = await running.execute("my_custom_workflow", LEAD)
    assert answer.status_code == 200
    assert answer.json()["status"] == "completed"
    assert answer.json()["workflow_id"] == shown["id"]
    assert answer.json()["result"]["step1"]["customer_id"] == first["result"]["customer_id"]
