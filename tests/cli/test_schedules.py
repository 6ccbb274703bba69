import time

import pytest

DEFINITION = ("steps: [{name: done, type: stop}]",)


@pytest.fixture
def process(stepwell, definition):
    assert stepwell("publish", definition("cli_scheduled", *DEFINITION)).code == 0
    return "cli_scheduled"


def test_a_preview_needs_no_database_and_says_what_is_wrong(stepwell):
    nowhere = {"DATABASE_URL": None}
    told = stepwell("schedules", "preview", "--cron", "0 8 * * 1-5", "-z", "Europe/Berlin", env=nowhere)
    assert told.code == 0
    assert "every weekday at 08:00 Europe/Berlin" in told.out
    assert len(stepwell("schedules", "preview", "-e", "15m", "-n", 3, "--json", env=nowhere).json["next_runs"]) == 3
    refused = stepwell("schedules", "preview", "--cron", "0 9 * * MON#2", env=nowhere)
    assert refused.code == 1
    assert "every Monday" in refused.err


def test_a_schedule_is_made_paused_shown_run_and_deleted(stepwell, process):
    made = stepwell("schedules", "create", process, "--cron", "0 8 * * *", "--note", "try", "--json").json
    number = made["id"]
    assert made["words"] == "every day at 08:00 UTC"
    assert "holidays" in stepwell("schedules", "pause", number, "--note", "holidays", "--json").json["note"]
    listed = stepwell("schedules", "list", "--process", process).out
    assert "paused: holidays" in listed
    assert stepwell("schedules", "resume", number).code == 0
    shown = stepwell("schedules", "show", number)
    assert shown.code == 0
    assert "every day at 08:00 UTC" in shown.out
    assert len(stepwell("schedules", "show", number, "--json").json["next_runs"]) == 5
    assert stepwell("schedules", "run", number).code == 0
    made_up = stepwell("schedules", "backfill", number, "--from", "2d", "--json").json
    assert made_up == {"id": number, "runs": 2}
    assert stepwell("schedules", "delete", number, stdin="n\n").code == 1
    assert stepwell("schedules", "delete", number, "--yes").code == 0
    gone = stepwell("schedules", "show", number)
    assert (gone.code, "there is no schedule" in gone.err) == (1, True)


@pytest.mark.usefixtures("worker")
def test_a_worker_brings_a_schedule_to_temporal_and_works_on_its_runs(stepwell, process):
    number = stepwell("schedules", "create", process, "--every", "1s", "--json").json["id"]
    deadline = time.monotonic() + 60
    while not stepwell("runs", "list", "--process", process, "--status", "completed", "--json").json:
        assert time.monotonic() < deadline, stepwell("schedules", "show", number).out
    assert stepwell("schedules", "delete", number, "--yes").code == 0
