import subprocess
import sys

import pytest

from cli.main import _COMMANDS
from tests.cli.conftest import PROGRAM, call

HEAVY = ("temporalio", "sqlalchemy", "composition", "pydantic")
FOR_OTHERS = ("alembic", "argon2", "jwt")


def test_help_names_every_command_and_loads_nothing_heavy():
    script = (
        "import sys; from cli.main import app\n"
        "try: app(['--help'])\n"
        f"except SystemExit: print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for name, entry in _COMMANDS.items():
        assert name in done.stdout
        assert entry.summary in done.stdout


def test_a_worker_holds_nothing_of_migrations_and_logins_in_memory():
    script = f"import sys, cli.servers, workers.main\nprint([name for name in {FOR_OTHERS} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_has_help(name):
    shown = call({}, name, "--help")
    assert shown.code == 0
    assert f"stepwell {name}" in shown.out or f"root {name}" in shown.out


def test_the_version_is_told_in_both_ways():
    assert call({}, "--version").out == call({}, "version").out
    assert call({}, "version").out.startswith("stepwell ")


def test_without_a_command_the_help_is_shown_as_wrong_usage():
    assert call({}).code == 2


def test_a_mistyped_command_is_told_the_right_one():
    refused = call({}, "doctr")
    assert refused.code == 2
    assert "'doctor'" in refused.err


def test_the_installed_program_tells_errors_in_one_line_and_without_a_traceback(tmp_path):
    done = subprocess.run([PROGRAM, "runs", "list"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: DATABASE_URL is not set")
    assert len(done.stderr.splitlines()) == 1
