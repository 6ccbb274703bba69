import os
import stat
import subprocess

import pytest

from config import RunningStack, Settings
from tests.cli.conftest import PROGRAM


@pytest.fixture
def data_dir(tmp_path, environment):
    """A folder in which a development stack runs, as far as other commands can tell."""
    directory = tmp_path / ".stepwell"
    directory.mkdir()
    RunningStack(environment={**environment, "STEPWELL_DATA_DIR": str(directory)}).write(directory)
    return directory


def test_in_a_folder_where_a_stack_runs_commands_find_it_by_themselves(data_dir):
    done = subprocess.run([PROGRAM, "processes"], cwd=data_dir.parent, capture_output=True, text=True, check=True)
    assert "lead_to_customer_onboarding" in done.stdout


def test_what_the_environment_says_stands(data_dir, environment, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", {"STEPWELL_DATA_DIR": str(data_dir), "STEPWELL_DEFAULT_TENANT": "mine"})
        settings = Settings.load()
        assert settings.default_tenant == "mine"
        assert settings.database_url == environment["DATABASE_URL"]


def test_another_database_is_never_mixed_with_the_stacks_servers(data_dir, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", {"STEPWELL_DATA_DIR": str(data_dir), "DATABASE_URL": "postgresql://other/db"})
        assert Settings.load().database_url == "postgresql://other/db"
        assert "TEMPORAL_ADDRESS" not in os.environ


def test_only_the_owner_can_read_the_stacks_keys(data_dir):
    assert stat.S_IMODE((data_dir / "stack.json").stat().st_mode) == 0o600


def test_a_damaged_file_counts_as_no_stack(data_dir):
    (data_dir / "stack.json").write_text("{")
    assert RunningStack.read(data_dir) is None
