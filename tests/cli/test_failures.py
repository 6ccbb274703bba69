import psycopg
import pytest

from tests.embedded import drop_database

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


def test_a_database_that_cannot_be_reached_is_told_with_its_reason(stepwell):
    failed = stepwell("runs", "list", env={"DATABASE_URL": NOWHERE})
    assert failed.code == 3
    assert "Connection refused" in failed.err
    assert "stepwell doctor" in failed.err
    assert len(failed.err.splitlines()) == 1


def test_with_json_an_error_is_one_json_document(stepwell):
    failed = stepwell("runs", "list", "--json", env={"DATABASE_URL": NOWHERE})
    assert failed.code == 3
    assert failed.json["error"]["code"] == "UNAVAILABLE"
    assert failed.err == ""


def test_a_database_without_schema_asks_for_migrations(stepwell, empty_database_url):
    failed = stepwell("runs", "list", env={"DATABASE_URL": empty_database_url})
    assert failed.code == 1
    assert "stepwell migrate" in failed.err


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("DATABASE_URL", "what", "DATABASE_URL is not a database URL"),
        ("STEPWELL_API_PORT", "many", "STEPWELL_API_PORT"),
        ("STEPWELL_QUERY_CONNECTIONS", "{", "query_connections"),
        ("STEPWELL_MASTER_KEYS", "k1:short", "STEPWELL_MASTER_KEYS"),
        ("SMTP_URL", "carrier-pigeon", "SMTP_URL"),
    ],
)
def test_a_bad_setting_is_named_and_counts_as_wrong_usage(stepwell, name, value, told):
    refused = stepwell("runs", "list", env={name: value})
    assert refused.code == 2
    assert told in refused.err


def test_temporal_down_keeps_an_accepted_run_for_later(stepwell, definition):
    assert stepwell("publish", definition("kept", "steps: [{name: a, type: stop}]")).code == 0
    nobody = {"TEMPORAL_ADDRESS": "127.0.0.1:1", "STEPWELL_TASK_QUEUE": "nobody-works-here"}
    accepted = stepwell("run", "kept", "--wait", 0, "--json", env=nobody)
    assert accepted.code == 0
    assert accepted.json["status"] == "pending"


@pytest.fixture
def empty_database_url(postgres_url):
    name = "cli_empty"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield postgres_url.replace("/postgres?", f"/{name}?")
    drop_database(postgres_url, name)
