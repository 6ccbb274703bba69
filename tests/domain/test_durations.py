from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.durations import MAX_DURATION, parse_duration, parse_timestamp
from domain.errors import ExpressionError


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("3d", timedelta(days=3)),
        ("90s", timedelta(seconds=90)),
        ("1h30m", timedelta(minutes=90)),
        ("250ms", timedelta(milliseconds=250)),
        ("1.5h", timedelta(minutes=90)),
        ("2w", timedelta(weeks=2)),
        (" 5m ", timedelta(minutes=5)),
        ("PT5M", timedelta(minutes=5)),
        ("P3D", timedelta(days=3)),
        ("P1DT12H", timedelta(hours=36)),
        ("PT0.5S", timedelta(seconds=0.5)),
        ("P2W", timedelta(weeks=2)),
        (86400, timedelta(days=1)),
        (0.25, timedelta(milliseconds=250)),
        (0, timedelta(0)),
    ],
)
def test_a_duration_may_be_written_in_many_ways(written, meant):
    assert parse_duration(written) == meant


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("", "write 90s"),
        ("90", "as 90s"),
        ("3 fortnights", "write 90s"),
        ("1m1m", "write 90s"),
        ("-5m", "write 90s"),
        (-1, "negative"),
        (float("inf"), "endless"),
        (float("nan"), "endless"),
        ("P1M", "as 30d"),
        ("P1Y", "as 30d"),
        ("P", "write 90s"),
        ("PT", "write 90s"),
        ("P1DT", "write 90s"),
        ("11000d", "over ten years"),
        (10**12, "over ten years"),
        (True, "not a duration"),
        ("٣d", "write 90s"),
    ],
)
def test_a_duration_that_is_none_is_refused_with_a_hint(written, hint):
    with pytest.raises(ExpressionError, match=hint):
        parse_duration(written)


@given(st.text(max_size=20) | st.integers() | st.floats())
def test_anything_is_a_duration_within_the_limit_or_refused(written):
    with suppress(ExpressionError):
        assert timedelta(0) <= parse_duration(written) <= MAX_DURATION


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2027-01-31T09:00:00Z", datetime(2027, 1, 31, 9, tzinfo=UTC)),
        ("2027-01-31t09:00:00z", datetime(2027, 1, 31, 9, tzinfo=UTC)),
        ("2027-01-31T09:00:00+01:00", datetime(2027, 1, 31, 8, tzinfo=UTC)),
        ("2027-01-31 09:00:00.5-02:30", datetime(2027, 1, 31, 11, 30, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_a_timestamp_is_given_in_utc(written, meant):
    assert parse_timestamp(written) == meant
    assert parse_timestamp(written).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "written",
    [
        "2027-01-31",
        "2027-01-31T09:00:00",
        "2027-02-30T09:00:00Z",
        "2027-01-31T25:00:00Z",
        "2027-01-31T09:00:60Z",
        "0001-01-01T00:00:00+14:00",
        "tomorrow",
        "",
        5,
        None,
    ],
)
def test_a_timestamp_without_offset_or_of_no_real_time_is_refused(written):
    with pytest.raises(ExpressionError):
        parse_timestamp(written)
