import json

from config import Settings
from domain.definition import definition_schema

STEPS = "steps: [{name: note, action: core.log, config: {message: hello}}]"


def test_validate_tells_every_fault_with_its_file_line_and_remedy(stepwell, definition):
    wrong = definition(
        "wrong",
        "steps:",
        "  - {name: a, action: core.logg, config: {}}",
        '  - {name: b, action: core.log, config: {message: "{{steps.c.output}}"}}',
    )
    fine = definition("fine", STEPS)
    checked = stepwell("validate", wrong, fine, env={"DATABASE_URL": None})
    assert checked.code == 1
    assert f"{wrong}:3  /steps/0/action" in checked.err
    assert "did you mean core.log?" in checked.err
    assert f"{wrong}:4  /steps/1/config/message" in checked.err
    assert "2 faults in 2 definitions" in checked.err + checked.out


def test_validate_needs_no_database_and_knows_the_built_in_processes(stepwell, definition):
    parent = definition("parent", "steps: [{name: a, type: process, process: lead_to_customer_onboarding}]")
    nowhere = {"DATABASE_URL": None, "TEMPORAL_ADDRESS": None}
    assert stepwell("validate", parent, Settings().definitions_dir, env=nowhere).code == 0


def test_validate_gives_machines_the_faults(stepwell, definition):
    checked = stepwell("validate", "--json", definition("wrong", "steps: []"))
    assert checked.code == 1
    assert checked.json["valid"] is False
    assert checked.json["faults"][0]["path"] == "/steps"


def test_a_directory_is_published_as_a_whole_in_any_order(stepwell, definition, tmp_path):
    definition("a_parent", "steps: [{name: a, type: process, process: z_child}]")
    definition("z_child", STEPS)
    published = stepwell("publish", tmp_path, "--json")
    assert published.code == 0
    assert {each["name"]: each["created"] for each in published.json["published"]} == {
        "a_parent": True,
        "z_child": True,
    }
    again = stepwell("publish", tmp_path)
    assert again.out.count("unchanged") == 2


def test_one_fault_keeps_all_from_being_published(stepwell, definition):
    good, bad = definition("half_good", STEPS), definition("half_bad", "steps: [{name: a, action: no.such}]")
    assert stepwell("publish", good, bad).code == 1
    assert "half_good" not in {row["name"] for row in stepwell("processes", "--json").json}


def test_check_only_stores_nothing(stepwell, definition):
    checked = stepwell("publish", definition("only_checked", STEPS), "--check-only")
    assert checked.code == 0
    assert "only_checked" not in {row["name"] for row in stepwell("processes", "--json").json}


def test_publish_checks_that_secrets_exist(stepwell, definition):
    config = '{url: "https://example.com", headers: {x-key: "{{$secret.ABSENT}}"}}'
    path = definition("with_secret", f"steps: [{{name: a, action: http.get, config: {config}}}]")
    assert stepwell("validate", path).code == 0
    refused = stepwell("publish", path)
    assert refused.code == 1
    assert "stepwell secrets set ABSENT" in refused.err


def test_json_definitions_are_read_too(stepwell, tmp_path):
    document = {"name": "from_json", "steps": [{"name": "a", "type": "stop"}]}
    path = tmp_path / "from_json.json"
    path.write_text(json.dumps(document))
    assert stepwell("publish", path).code == 0


def test_a_file_that_is_not_there_is_wrong_usage(stepwell, tmp_path):
    assert stepwell("publish", tmp_path / "nothing.yaml").code == 2
    empty = stepwell("publish", tmp_path)
    assert empty.code == 2
    assert "there are no" in empty.err


def test_another_tenants_processes_are_its_own(stepwell, definition):
    assert stepwell("tenants", "create", "publisher", "--admin", "a@publisher.example").code == 0
    assert stepwell("publish", definition("theirs", STEPS), "--tenant", "publisher").code == 0
    assert "theirs" not in {row["name"] for row in stepwell("processes", "--json").json}
    theirs = {row["name"] for row in stepwell("processes", "--json", "-t", "publisher").json}
    assert {"theirs", "lead_to_customer_onboarding"} <= theirs


def test_an_unknown_tenant_is_told_how_to_be_made(stepwell, definition):
    refused = stepwell("publish", definition("nobodys", STEPS), "--tenant", "nobody")
    assert refused.code == 1
    assert "stepwell tenants create nobody" in refused.err


def test_schema_is_the_definitions_schema(stepwell):
    assert stepwell("schema").json == definition_schema()
