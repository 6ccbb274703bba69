"""The API's process: its settings are checked before it serves, and its log is one JSON object a line."""

import json
import subprocess
import sys

import pytest
from pydantic import SecretStr

from api.main import serve
from config import Settings

LOG = """
import logging, structlog
from api.main import configure_logging
configure_logging()
structlog.get_logger().info("two\\nlines\\x1b[0m", path="/a\\nb\\r")
logging.getLogger("uvicorn.error").warning("a\\nb")
try:
    {}["absent"]
except KeyError as error:
    structlog.get_logger().error("failed", exc_info=error)
"""


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({}, "STEPWELL_JWT_SECRET"),
        ({"jwt_secret": SecretStr("short")}, "STEPWELL_JWT_SECRET"),
        ({"jwt_secret": SecretStr("x" * 32), "master_keys": SecretStr("k1:short")}, "STEPWELL_MASTER_KEYS"),
    ],
)
def test_a_setting_that_is_missing_or_wrong_is_named_before_anything_starts(more, named):
    with pytest.raises(ValueError, match=named):
        serve(Settings(DATABASE_URL="postgresql://nobody@127.0.0.1:1/none", **more))


def test_every_entry_of_the_log_is_one_line_of_json_whatever_it_holds():
    done = subprocess.run([sys.executable, "-c", LOG], capture_output=True, text=True, check=True)
    first, second, third = [json.loads(line) for line in done.stderr.splitlines()]
    assert (first["event"], first["path"]) == ("two\nlines\x1b[0m", "/a\nb\r")
    assert (second["event"], second["logger"]) == ("a\nb", "uvicorn.error")
    assert "KeyError" in third["exception"]
