"""``core.log``: one line for each call, whatever is in it."""

import io

import pytest
import structlog
from structlog.testing import capture_logs

from connectors.core import CoreConnector
from domain.actions import Catalogue, Effect
from tests.connectors.fakes import CALL

ACTION = Catalogue([CoreConnector()])["core.log"]


async def _log(**request):
    return await ACTION.handler(ACTION.input_model.model_validate(request), CALL)


async def test_a_line_carries_who_wrote_it_and_the_fields():
    with capture_logs() as lines:
        answer = await _log(message="order paid", level="warning", fields={"order": 7})
    assert answer.model_dump() == {"logged": True}
    assert lines == [
        {
            "event": "order paid",
            "log_level": "warning",
            "tenant": "tenant-1",
            "run_id": 7,
            "process": "onboarding",
            "step": "notify",
            "fields": {"order": 7},
        }
    ]


async def test_anything_but_text_is_written_as_json():
    with capture_logs() as lines:
        await _log(message={"a": [1, None]})
    assert lines[0]["event"] == '{"a":[1,null]}'


@pytest.mark.parametrize("sign", ["\n", "\r", "\x1b[2J", "\x00", "\u2028", "\u202e", "\x85"])
async def test_control_characters_add_no_lines_and_move_no_cursor(sign):
    with capture_logs() as lines:
        await _log(message=f"a{sign}b", fields={f"k{sign}": [f"v{sign}"]})
    assert sign not in repr(lines) + lines[0]["event"] + "".join(lines[0]["fields"])
    assert lines[0]["event"].startswith("a\\u00") or lines[0]["event"].startswith("a\\u20")


async def test_fields_cannot_pass_for_the_platforms_own():
    with capture_logs() as lines:
        await _log(message="x", fields={"tenant": "other", "event": "login", "level": "critical"})
    assert (lines[0]["tenant"], lines[0]["event"]) == ("tenant-1", "x")


async def test_the_console_shows_one_line():
    out = io.StringIO()
    structlog.configure(
        processors=[structlog.dev.ConsoleRenderer(colors=False)], logger_factory=structlog.PrintLoggerFactory(out)
    )
    try:
        await _log(message="a\nb", fields={"c": "d\ne"})
    finally:
        structlog.reset_defaults()
    assert len(out.getvalue().splitlines()) == 1


def test_a_log_line_may_be_repeated():
    assert ACTION.info.effect is Effect.READ
