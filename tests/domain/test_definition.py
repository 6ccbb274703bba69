import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from domain.definition import Definition, definition_schema
from domain.dialects import parse_definition
from domain.documents import parse_document
from domain.steps import ActionStep, BranchStep, ForeachStep, Retry, WaitForSignalStep

DEFINITIONS = Path(__file__).parents[2] / "definitions"

EVERY_KIND: dict[str, Any] = {
    "name": "everything",
    "steps": [
        {"name": "a", "type": "action", "action": "http.post", "config": {"url": "https://example.com"}},
        {"name": "b", "type": "branch", "on": "{{input.x}}", "branches": {"x": []}, "default": []},
        {
            "name": "c",
            "type": "parallel",
            "branches": {"l": [{"name": "d", "type": "wait", "duration": 1}], "r": []},
        },
        {
            "name": "e",
            "type": "foreach",
            "items": "{{input.list}}",
            "steps": [{"name": "f", "type": "transform", "set": "{{item}}"}],
            "max_parallel": 5,
            "collect": {"n": "{{index}}"},
        },
        {"name": "g", "type": "wait", "until": "2027-01-31T09:00:00Z"},
        {"name": "h", "type": "wait_for_signal", "signal": "go", "timeout": "3d", "on_timeout": "continue"},
        {"name": "i", "type": "transform", "map": {"source": "{{input.list}}", "template": "{{item}}"}},
        {"name": "j", "type": "transform", "filter": {"source": [1, 2], "condition": {">": [{"var": "item"}, 1]}}},
        {"name": "k", "type": "process", "process": "other", "input": {}, "wait": False},
        {
            "name": "l",
            "type": "approval",
            "config": {"title": "?", "approvers": ["role:finance"], "timeout": "3d", "on_timeout": "reject"},
        },
        {"name": "m", "type": "stop", "status": "failed", "message": "no", "result": None, "when": False},
    ],
}


def test_a_definition_is_the_same_after_a_round_trip_and_keeps_what_was_written():
    definition = Definition.model_validate(EVERY_KIND)
    assert definition.body == EVERY_KIND
    assert Definition.model_validate(json.loads(json.dumps(definition.body))) == definition


def test_the_digest_is_the_same_for_the_same_words_in_any_order_and_changes_with_any_of_them():
    definition = Definition.model_validate(EVERY_KIND)
    shuffled = json.loads(json.dumps(EVERY_KIND, sort_keys=True))
    changed = {**EVERY_KIND, "description": "x"}
    assert Definition.model_validate(shuffled).digest == definition.digest
    assert Definition.model_validate(changed).digest != definition.digest
    assert len(definition.digest) == 64


def test_steps_have_the_documented_defaults():
    step = ActionStep(name="a", action="http.get")
    assert step.time_limit == timedelta(seconds=60)
    assert (step.on_error, step.on_unknown, step.lane, step.compensate) == ("fail", None, None, None)
    assert (step.retry.max_retries, step.retry.max_attempts, step.retry.backoff) == (3, 4, 2.0)
    assert (step.retry.initial_delay, step.retry.max_delay) == (timedelta(seconds=1), timedelta(minutes=1))


def test_durations_are_typed_but_stay_as_written():
    step = ActionStep(name="a", action="http.get", timeout="PT5M", retry=Retry(initial_interval=0.5))
    assert step.time_limit == timedelta(minutes=5)
    assert step.retry.initial_delay == timedelta(milliseconds=500)
    assert step.timeout == "PT5M"


def test_steps_show_the_blocks_inside_them():
    steps = Definition.model_validate(EVERY_KIND).steps
    places = {step.name: [place for place, _ in step.blocks()] for step in steps if any(step.blocks())}
    assert places == {
        "b": [("branches", "x"), ("default",)],
        "c": [("branches", "l"), ("branches", "r")],
        "e": [("steps",)],
    }
    assert isinstance(steps[1], BranchStep)
    assert isinstance(steps[3], ForeachStep)


def test_a_signal_may_be_waited_for_as_long_as_a_template_says():
    step = WaitForSignalStep(name="a", type="wait_for_signal", signal="go", timeout="{{input.patience}}")
    assert step.timeout == "{{input.patience}}"
    with pytest.raises(ValidationError, match="placeholder"):
        ActionStep(name="a", action="http.get", timeout="{{input.patience}}")


def test_a_definition_cannot_be_changed():
    definition = Definition.model_validate(EVERY_KIND)
    with pytest.raises(ValidationError):
        setattr(definition, "name", "other")  # noqa: B010 - a type checker refuses the assignment
    with pytest.raises(ValidationError):
        setattr(definition.steps[0], "name", "other")  # noqa: B010


def test_the_published_schema_is_current():
    # To renew it: json.dumps(definition_schema(), indent=2, ensure_ascii=False) and a line's end.
    assert json.loads((DEFINITIONS / "schema.json").read_text()) == definition_schema()


def test_the_published_schema_accepts_what_the_model_accepts_and_refuses_a_misspelt_field():
    schema = definition_schema()
    validator = jsonschema.Draft202012Validator(schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator.validate(EVERY_KIND)
    misspelt = {**EVERY_KIND, "steps": [{**EVERY_KIND["steps"][0], "timeot": "3s"}]}
    assert not validator.is_valid(misspelt)


@pytest.mark.parametrize("path", sorted(DEFINITIONS.glob("*.yaml")), ids=lambda path: path.stem)
def test_built_in_definitions_parse_fit_the_schema_and_are_named_as_their_file(path):
    document = parse_document(path.read_text(), file=path.name)
    assert parse_definition(document.value).name == path.stem
    jsonschema.Draft202012Validator(definition_schema()).validate(document.value)
