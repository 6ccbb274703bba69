import asyncio

import psycopg

from tests.cli.conftest import call


def verdicts(outcome):
    return {each["part"]: each["verdict"] for each in outcome.json["findings"]}


def remedies(outcome):
    return {each["part"]: each["remedy"] for each in outcome.json["findings"]}


async def test_a_deployment_with_everything_is_sound(environment, worker, smtp_sandbox):
    env = {**environment, "SMTP_URL": smtp_sandbox.url}
    seen = await asyncio.to_thread(call, env, "doctor", "--json")
    assert set(verdicts(seen).values()) == {"ok"}, seen.out
    assert seen.code == 0
    assert smtp_sandbox.mails == []


def test_a_missing_worker_is_found(stepwell):
    seen = stepwell("doctor", "--json", env={"STEPWELL_TASK_QUEUE": "nobody-polls-this"})
    assert seen.code == 1
    assert verdicts(seen)["workers"] == "fail"
    assert "stepwell worker" in remedies(seen)["workers"]


def test_servers_that_cannot_be_reached_are_found_each_with_what_to_do(stepwell):
    nowhere = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x",
        "TEMPORAL_ADDRESS": "127.0.0.1:1",
        "SMTP_URL": "smtp://127.0.0.1:1",
    }
    seen = stepwell("doctor", "--json", env=nowhere)
    assert seen.code == 1
    assert {part for part, verdict in verdicts(seen).items() if verdict == "fail"} == {"postgres", "temporal", "mail"}
    assert all(remedies(seen)[part] for part in ("postgres", "temporal", "mail"))


def test_without_settings_it_says_what_to_set_and_never_breaks(stepwell):
    nothing = dict.fromkeys(("DATABASE_URL", "STEPWELL_JWT_SECRET", "STEPWELL_MASTER_KEYS"))
    seen = stepwell("doctor", "--json", env=nothing)
    assert seen.code == 1
    assert "DATABASE_URL" in remedies(seen)["postgres"]
    assert verdicts(seen)["log-in key"] == verdicts(seen)["secrets keys"] == verdicts(seen)["mail"] == "warn"


def test_a_table_whose_wall_is_down_is_found(stepwell, fresh_database_url):
    with psycopg.connect(fresh_database_url) as connection:
        connection.execute("ALTER TABLE runs NO FORCE ROW LEVEL SECURITY")
    seen = stepwell("doctor", "--json", env={"DATABASE_URL": fresh_database_url})
    assert verdicts(seen)["row-level security"] == "fail"


def test_an_older_schema_is_found(stepwell, fresh_database_url):
    with psycopg.connect(fresh_database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    seen = stepwell("doctor", "--json", env={"DATABASE_URL": fresh_database_url})
    assert verdicts(seen)["schema"] == "fail"
    assert "stepwell migrate" in remedies(seen)["schema"]


def test_a_database_that_nothing_was_published_to_is_found(stepwell, fresh_database_url):
    seen = stepwell("doctor", "--json", env={"DATABASE_URL": fresh_database_url})
    assert verdicts(seen)["content"] == "warn"


def test_a_mistyped_variable_is_found(stepwell):
    seen = stepwell("doctor", "--json", env={"STEPWELL_API_PROT": "1"})
    assert verdicts(seen)["settings"] == "warn"
    assert remedies(seen)["settings"] == "did you mean STEPWELL_API_PORT?"


def test_keys_that_cannot_be_used_are_found_and_not_shown(stepwell):
    bad = {"STEPWELL_JWT_SECRET": "shortsecret", "STEPWELL_MASTER_KEYS": "k1:bm90IGxvbmcgZW5vdWdo"}
    seen = stepwell("doctor", "--json", env=bad)
    assert verdicts(seen)["log-in key"] == verdicts(seen)["secrets keys"] == "fail"
    assert "shortsecret" not in seen.out
    assert "bm90IGxvbmcgZW5vdWdo" not in seen.out


def test_definitions_with_faults_are_found(stepwell, definition, tmp_path):
    definition("broken", "steps: []")
    seen = stepwell("doctor", "--json", env={"STEPWELL_DEFINITIONS_DIR": str(tmp_path)})
    assert verdicts(seen)["definitions"] == "fail"
    assert "stepwell validate" in remedies(seen)["definitions"]


def test_people_see_each_part_with_its_remedy(stepwell):
    seen = stepwell("doctor", env={"SMTP_URL": None})
    assert "! mail  SMTP_URL is not set" in seen.out
    assert "→ set SMTP_URL=" in seen.out
