from datetime import UTC, datetime, timedelta

import pytest

from domain.checks import check_definition
from domain.cron import Cron, CronRefused
from domain.dialects import read_definition
from domain.errors import InputInvalid
from domain.schedules import read_timing, schedule_faults
from domain.triggers import ScheduleConfig

NOW = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
"""A Friday."""


def timing(**config):
    return read_timing(ScheduleConfig(**config))


def faults(**config):
    return {fault.path: fault for fault in schedule_faults(ScheduleConfig(**config))}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"cron": "0 8 * * 1-5", "timezone": "Europe/Berlin"}, "every weekday at 08:00 Europe/Berlin"),
        ({"cron": "0 8 * * mon-fri"}, "every weekday at 08:00 UTC"),
        ({"cron": "  30   6 * * *  "}, "every day at 06:30 UTC"),
        ({"cron": "0 8,20 * * *"}, "every day at 08:00 and 20:00 UTC"),
        ({"cron": "0 9 * * 0,6"}, "every Saturday and Sunday at 09:00 UTC"),
        ({"cron": "0 9 * * 7"}, "every Sunday at 09:00 UTC"),
        ({"cron": "0 9 * * MON,WED,FRI"}, "every Monday, Wednesday and Friday at 09:00 UTC"),
        ({"cron": "* * * * *"}, "every minute UTC"),
        ({"cron": "*/15 * * * *"}, "every 15 minutes UTC"),
        ({"cron": "@hourly"}, "at the start of every hour UTC"),
        ({"cron": "@daily"}, "every day at 00:00 UTC"),
        ({"cron": "@Weekly"}, "every Sunday at 00:00 UTC"),
        ({"cron": "0 9 1 * *"}, "at 09:00 on the first day of every month UTC"),
        ({"every": "15m"}, "every 15 minutes"),
        ({"every": "1h"}, "every hour"),
        ({"every": "2d"}, "every 2 days"),
        ({"every": 90}, "every 90 seconds"),
        ({"every": "1h", "jitter": "1m"}, "every hour, up to 1 minute later"),
    ],
)
def test_a_schedule_is_told_in_words(config, words):
    assert timing(**config).words() == words


@pytest.mark.parametrize(
    ("cron", "reason"),
    [
        ("0 9 * * * *", "sixth is a year"),
        ("30 0 9 * * 1", "six fields"),
        ("0 9 * *", "4 fields"),
        ("", "0 fields"),
        ("daily", "1 fields"),
        ("0 9 * * MON#2", "every Monday"),
        ("0 9 L * *", "Temporal"),
        ("0 9 LW * *", "Temporal"),
        ("0 9 15W * *", "Temporal"),
        ("0 9 * * 5L", "Temporal"),
        ("0 9 * * FRIL", "Temporal"),
        ("0 9 ? * MON", "Quartz"),
        ("0 0 13 * 5", "both the day of the month and the day of the week"),
        ("0 0 */2 * 1-5", "both the day of the month and the day of the week"),
        ("0 0 31 2 *", "at most 29 days"),
        ("0 0 31 4,6,9,11 *", "at most 30 days"),
        ("0 0 30 FEB *", "never run"),
        ("CRON_TZ=Europe/Berlin 0 9 * * *", "time zone"),
        ("TZ=UTC 0 9 * * *", "time zone"),
        ("@every 5m", "is not one of"),
        ("@reboot", "is not one of"),
        ("60 9 * * *", "no minute"),
        ("0 24 * * *", "no hour"),
        ("0 9 0 * *", "no day of the month"),
        ("0 9 * 13 *", "no month"),
        ("0 9 * * 8", "no day of the week"),
        ("0 9 * * FRI-MON", "no day of the week"),
        ("0 18-6 * * *", "no hour"),
        ("*/0 * * * *", "no minute"),
        ("0 9 * FOO *", "no month"),
        ("0 9 ,1 * *", "no day of the month"),
        ("-5 9 * * *", "no minute"),
        ("0 9 * * MONDAY", "no day of the week"),
        ("\u0665 9 * * *", "no minute"),
    ],
)
def test_what_temporal_would_take_for_something_else_or_for_nothing_is_refused_with_the_reason(cron, reason):
    fault = faults(cron=cron)["/cron"]
    assert reason in fault.reason
    assert fault.remedy
    with pytest.raises(InputInvalid, match="/cron"):
        timing(cron=cron)


def test_every_minute_field_of_every_kind_is_read():
    cron = Cron.parse("5,10-20/5,50 */6 1 JAN-MAR/2,12 *")
    assert sorted(cron.minutes) == [5, 10, 15, 20, 50]
    assert sorted(cron.hours) == [0, 6, 12, 18]
    assert sorted(cron.months) == [1, 3, 12]
    assert sorted(Cron.parse("0 0 * * 5-7").weekdays) == [0, 5, 6]
    with pytest.raises(CronRefused):
        Cron.parse("0 0 * * 5-8")


@pytest.mark.parametrize(
    ("config", "path", "reason"),
    [
        ({}, "", "either cron or every"),
        ({"cron": "0 9 * * *", "every": "1h"}, "", "cannot have cron and every"),
        ({"cron": "0 9 * * *", "timezone": "Mars/Olympus"}, "/timezone", "no time zone 'Mars/Olympus'"),
        ({"cron": "0 9 * * *", "timezone": "../../etc/passwd"}, "/timezone", "no time zone"),
        ({"cron": "0 9 * * *", "timezone": ""}, "/timezone", "no time zone"),
        ({"every": "1d", "timezone": "Europe/Berlin"}, "/timezone", "makes no difference"),
        ({"every": "500ms"}, "/every", "whole seconds"),
        ({"every": 1.5}, "/every", "whole seconds"),
        ({"cron": "0 9 * * *", "catchup_window": "5s"}, "/catchup_window", "10 s"),
        ({"every": "1h", "input": {"a": ["{{event.id}}"]}}, "/input/a/0", "a schedule has no event"),
        ({"every": "1h", "input": {"a": "of ${run.id}"}}, "/input/a", "nothing fills in"),
        ({"every": "1h", "input": {"a": {"$secret": "KEY"}}}, "/input/a", "secret"),
    ],
)
def test_other_faults_of_a_schedule_say_where_and_what_to_do(config, path, reason):
    fault = faults(**config)[path]
    assert reason in fault.reason
    assert fault.remedy


def test_the_next_times_follow_the_time_zone_over_the_change_of_the_clock():
    berlin = timing(cron="0 8 * * *", timezone="Europe/Berlin")
    times = berlin.next_times(datetime(2027, 3, 26, 12, tzinfo=UTC), 3)
    assert [each.hour for each in times] == [7, 6, 6]
    skipped = timing(cron="30 2 * * *", timezone="Europe/Berlin").next_times(datetime(2027, 3, 27, tzinfo=UTC), 3)
    assert [(each.day, each.hour) for each in skipped] == [(27, 1), (29, 0), (30, 0)]


def test_a_time_that_the_clock_repeats_in_autumn_is_previewed_once():
    times = timing(cron="30 2 * * *", timezone="Europe/Berlin").next_times(datetime(2027, 10, 30, 12, tzinfo=UTC), 2)
    assert [(each.day, each.hour) for each in times] == [(31, 1), (1, 1)]


def test_every_counts_from_the_beginning_of_1970():
    assert timing(every="15m").next_times(NOW, 2) == [
        datetime(2026, 11, 20, 12, 15, tzinfo=UTC),
        datetime(2026, 11, 20, 12, 30, tzinfo=UTC),
    ]
    on_the_spot = datetime(2026, 11, 20, 12, 15, tzinfo=UTC)
    assert timing(every="15m").next_times(on_the_spot, 1) == [on_the_spot + timedelta(minutes=15)]
    assert timing(every="7d").next_times(NOW, 1) == [datetime(2026, 11, 26, tzinfo=UTC)]


def test_the_next_time_is_after_the_present_one():
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert timing(cron="0 12 * * *").next_times(noon, 1) == [noon + timedelta(days=1)]
    assert timing(cron="0 12 * * *").next_times(noon - timedelta(microseconds=1), 1) == [noon]
    assert timing(cron="0 0 29 2 *").next_times(noon, 2) == [
        datetime(2028, 2, 29, tzinfo=UTC),
        datetime(2032, 2, 29, tzinfo=UTC),
    ]


def test_publishing_refuses_a_schedule_that_cannot_work_where_the_author_wrote_it():
    document = {
        "name": "report",
        "input": {"type": "object", "required": ["to"], "properties": {"to": {"type": "string"}}},
        "triggers": [
            {"type": "schedule", "config": {"cron": "0 9 * * MON#1", "input": {"to": "ann"}}},
            {"type": "schedule", "config": {"every": "1h"}},
            {"type": "schedule", "config": {"every": "1h", "input": {"to": "{{event.to}}"}}},
            {"type": "schedule", "config": {"every": "1h", "input": {"to": "ann"}}},
        ],
        "steps": [{"name": "done", "type": "stop"}],
    }
    parsed = read_definition(document)
    found = check_definition(parsed.definition, actions={}, processes=(), origins=parsed.origins)
    assert {fault.path for fault in found} == {
        "/triggers/0/config/cron",
        "/triggers/1/config/input/to",
        "/triggers/2/config/input/to",
    }
    (missing,) = [fault for fault in found if fault.path == "/triggers/1/config/input/to"]
    assert "each run would be refused" in missing.reason
