def test_a_value_comes_from_standard_input_and_is_never_shown(stepwell):
    made = stepwell("secrets", "set", "STRIPE_KEY", stdin="sk_hush\n")
    listed = stepwell("secrets", "list")
    assert (made.code, listed.code) == (0, 0)
    assert "STRIPE_KEY" in listed.out
    assert "sk_hush" not in made.out + made.err + listed.out + listed.err


def test_rotating_makes_a_new_version_of_what_exists(stepwell, tmp_path):
    value = tmp_path / "value"
    value.write_text("new")
    assert stepwell("secrets", "set", "ROTATED", "--json", stdin="old").json == {"name": "ROTATED", "version": 1}
    assert stepwell("secrets", "rotate", "ROTATED", "--value-file", value, "--json").json["version"] == 2
    refused = stepwell("secrets", "rotate", "ABSENT", "--value-file", value)
    assert refused.code == 1
    assert "ABSENT" in refused.err


def test_deleting_asks_first(stepwell):
    stepwell("secrets", "set", "DOOMED", stdin="x")
    assert stepwell("secrets", "delete", "DOOMED", stdin="n\n").code == 1
    assert "DOOMED" in stepwell("secrets", "list").out
    assert stepwell("secrets", "delete", "DOOMED", stdin="y\n").code == 0
    assert "DOOMED" not in stepwell("secrets", "list").out


def test_after_another_key_comes_first_everything_is_encrypted_under_it(stepwell, environment):
    stepwell("secrets", "set", "MOVED", stdin="x")
    newer = "k2:" + "B" * 43 + "=," + environment["STEPWELL_MASTER_KEYS"]
    assert stepwell("secrets", "reencrypt", "--json", env={"STEPWELL_MASTER_KEYS": newer}).json["reencrypted"] >= 1
    without = stepwell("doctor", "--json")
    assert [each["verdict"] for each in without.json["findings"] if each["part"] == "stored secrets"] == ["fail"]
    both = {"STEPWELL_MASTER_KEYS": environment["STEPWELL_MASTER_KEYS"] + ",k2:" + "B" * 43 + "="}
    assert stepwell("secrets", "reencrypt", env=both).code == 0


def test_without_keys_nothing_is_stored(stepwell):
    refused = stepwell("secrets", "set", "NOWHERE", stdin="x", env={"STEPWELL_MASTER_KEYS": None})
    assert refused.code == 3
    assert "STEPWELL_MASTER_KEYS" in refused.err


def test_a_bad_name_or_an_empty_value_is_refused(stepwell):
    assert stepwell("secrets", "set", "no good", stdin="x").code == 1
    assert stepwell("secrets", "set", "EMPTY", stdin="\n").code == 1
