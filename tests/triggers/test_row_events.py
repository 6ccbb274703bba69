"""What a changed row says of itself."""

from datetime import UTC, datetime

import pytest

from store.tables import WatchRow
from store.watches import RowChange
from triggers.row_events import row_event


def event_of(old: str | None, new: str | None):
    watch = WatchRow(id=1, tenant_id="t", table_name="public.num", model="app.Num")
    operation = "insert" if old is None else "delete" if new is None else "update"
    return row_event(watch, RowChange(1, operation, "1", old, new, datetime(2026, 11, 21, tzinfo=UTC))).payload


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("12.50", 12.5),
        ("1e3", 1000.0),
        ("-0.1", -0.1),
        ("1234567890123456.78", "1234567890123456.78"),
        ("0.12345678901234567890123", "0.12345678901234567890123"),
        ("9223372036854775807", 9223372036854775807),
        ("9223372036854775808", "9223372036854775808"),
    ],
)
def test_numbers_stay_exact(written, seen):
    assert event_of(None, f'{{"n": {written}}}')["instance"] == {"n": seen}


def test_a_change_in_the_last_digit_is_one():
    payload = event_of('{"n": 1234567890123456.78, "m": 1}', '{"n": 1234567890123456.79, "m": 1}')
    assert payload["changed"] == ["n"]
