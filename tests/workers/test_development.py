"""A developer's folder: its keys are kept and private, and only one stack uses it at a time."""

import pytest

from domain.errors import Conflict
from workers.development import development_keys, only_one


def test_keys_are_made_once_and_for_their_owner_alone(tmp_path):
    keys = development_keys(tmp_path)
    assert development_keys(tmp_path) == keys
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600
    assert len(keys.jwt_secret) >= 32


def test_no_two_folders_share_keys(tmp_path):
    (tmp_path / "other").mkdir()
    assert development_keys(tmp_path) != development_keys(tmp_path / "other")


def test_damaged_keys_are_said_so_and_not_replaced(tmp_path):
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(Conflict, match=r"keys\.json is damaged"):
        development_keys(tmp_path)
    assert (tmp_path / "keys.json").read_text() == "{"


def test_a_half_written_key_file_is_no_obstacle(tmp_path):
    (tmp_path / "keys.new").write_text("{")
    assert development_keys(tmp_path)


def test_a_second_stack_on_the_same_folder_is_refused_until_the_first_ends(tmp_path):
    with only_one(tmp_path), pytest.raises(Conflict, match=r"runs on .* already"), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass
