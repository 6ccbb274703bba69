import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.checks import check_definition
from domain.dialects import parse_definition, point_back, read_definition, read_what_can_be
from domain.errors import DefinitionInvalid, Fault
from domain.rules import parse_condition
from domain.scope import Scope
from domain.steps import ActionStep, TransformStep, WaitForSignalStep

CUSTOM_WORKFLOW: dict[str, Any] = {
    "name": "my_custom_workflow",
    "description": "Custom workflow",
    "definition": {
        "steps": [
            {
                "name": "step1",
                "type": "service_call",
                "service": "customer_service",
                "method": "create_from_lead",
                "params": {"lead_id": "${context.lead_id}", "tenant_id": "${context.tenant_id}"},
            }
        ]
    },
    "version": "1.0.0",
}
SIGNAL_TRIGGER = {
    "type": "signal",
    "config": {"model": "auth.User", "signal": "post_save", "condition": "created == true"},
}
PREPAID = {"operator": "eq", "left": "${context.payment_type}", "right": "prepaid"}


def steps_of(*steps, **fields):
    return parse_definition({"name": "p", "steps": list(steps), **fields}).steps


def faults_of(document):
    with pytest.raises(DefinitionInvalid) as refused:
        parse_definition(document)
    return refused.value.faults


def test_the_rest_document_of_a_custom_workflow_is_read():
    definition = parse_definition(CUSTOM_WORKFLOW)
    assert (definition.name, definition.description, definition.version) == (
        "my_custom_workflow",
        "Custom workflow",
        "1.0.0",
    )
    (step,) = definition.steps
    assert isinstance(step, ActionStep)
    assert (step.name, step.action) == ("step1", "customer_service.create_from_lead")
    assert step.config == {"lead_id": "${context.lead_id}", "tenant_id": "${context.tenant_id}"}


def test_a_rest_document_may_say_the_rest_inside_or_outside_but_not_differently():
    inside = {"name": "p", "definition": {"input": {"type": "object"}, **CUSTOM_WORKFLOW["definition"]}}
    assert parse_definition({**inside, "tags": ["crm"], "is_active": True}).tags == {"crm": True}
    (fault,) = faults_of({**CUSTOM_WORKFLOW, "definition": {**CUSTOM_WORKFLOW["definition"], "version": "2"}})
    assert fault.path == "/definition/version"


def test_a_parsed_definition_reads_back_from_its_body():
    definition = parse_definition(CUSTOM_WORKFLOW)
    assert parse_definition(definition.body) == definition
    assert parse_definition(definition.body).digest == definition.digest


def test_a_service_call_keeps_its_retries_and_its_condition_is_evaluated_before_it():
    call = {**CUSTOM_WORKFLOW["definition"]["steps"][0], "max_retries": 2, "condition": PREPAID}
    (step,) = steps_of(call)
    assert step.retry.max_retries == 2
    assert step.when == PREPAID


@pytest.mark.parametrize("operator", ["eq", "ne", "gt", "lt", "gte", "lte", "in", "not_in"])
def test_every_operator_of_conditions_is_understood(operator):
    right = [1] if "in" in operator else 1
    (step,) = steps_of({"action": "core.log", "condition": {"operator": operator, "left": "${x}", "right": right}})
    assert parse_condition(step.when)


def test_steps_without_name_and_type_are_numbered_as_step_n_counts_them():
    steps = steps_of(
        {"action": "http.post", "config": {"url": "x"}}, {"action": "core.log"}, {"id": "z", "action": "a.b"}
    )
    assert [(step.name, step.type) for step in steps] == [("step_1", "action"), ("step_2", "action"), ("z", "action")]


def test_nested_steps_without_names_are_named_after_the_step_around_them():
    log = {"action": "core.log"}
    (step,) = steps_of({"type": "branch", "on": "x", "branches": {"a": [log, log], "b": [log]}, "default": [log]})
    names = [inner.name for _, block in step.blocks() for inner in block]
    assert names == ["step_1_1", "step_1_2", "step_1_3", "step_1_4"]


def test_the_type_of_a_step_may_name_its_action():
    (step,) = steps_of({"id": "notify", "type": "slack.post_message", "params": {"channel": "#sales"}})
    assert (step.name, step.action, step.config) == ("notify", "slack.post_message", {"channel": "#sales"})


def test_the_tutorials_action_waits_for_a_signal():
    config = {"signal": "approved", "timeout": "24h", "on_timeout": "continue"}
    (step,) = steps_of({"id": "wait", "action": "core.wait_for_signal", "config": config})
    assert isinstance(step, WaitForSignalStep)
    assert (step.signal, step.timeout, step.on_timeout) == ("approved", "24h", "continue")


def test_a_condition_step_ends_the_run_as_completed_if_it_is_false():
    (step,) = steps_of({"name": "only_prepaid", "type": "condition", "condition": PREPAID, "max_retries": 3})
    assert step.on == PREPAID
    assert step.branches == {"true": []}
    assert [(inner.type, inner.status, inner.when) for inner in step.default] == [("stop", "completed", None)]


def test_transforms_of_a_list_are_read():
    mapping = {
        "type": "transform",
        "transform_type": "map",
        "source": "${context.users}",
        "mapping": {"e": "${item.email}"},
    }
    condition = {"operator": "gt", "left": "${item.age}", "right": 17}
    filtering = {
        "type": "transform",
        "transform_type": "filter",
        "source": "users",
        "condition": condition,
        "max_retries": 3,
    }
    first, second = steps_of(mapping, filtering)
    assert isinstance(first, TransformStep)
    assert isinstance(second, TransformStep)
    assert first.map is not None
    assert second.filter is not None
    assert (first.map.source, first.map.template) == ("${context.users}", {"e": "${item.email}"})
    assert (second.filter.source, second.filter.condition, second.when) == ("${users}", condition, None)


def test_a_wait_is_in_seconds():
    (step,) = steps_of({"name": "wait_for_acceptance", "type": "wait", "duration": 86400, "max_retries": 3})
    assert step.duration == 86400


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        (SIGNAL_TRIGGER, {"signal": "post_save", "condition": "created == true"}),
        ({"type": "signal", "config": {"model": "auth.User", "action": "deleted"}}, {"signal": "deleted"}),
        ({"type": "signal", "config": {"model": "auth.User", "signal": "create"}}, {"signal": "created"}),
        ({"type": "webhook", "config": {"path": "*"}}, {"path": "*"}),
        ({"type": "webhook", "config": {"source": "stripe"}}, {"path": "stripe"}),
        ({"type": "schedule", "config": {"cron": "0 8 * * *"}}, {"cron": "0 8 * * *", "overlap": "skip"}),
        ({"type": "event", "config": {"event_type": "order.*"}}, {"event": "order.*"}),
        ({"type": "manual"}, {}),
    ],
)
def test_triggers_of_all_documents_are_read(trigger, expected):
    for form in ({"trigger": trigger}, {"triggers": [trigger]}):
        (read,) = parse_definition({"name": "p", "steps": [{"action": "core.log"}], **form}).triggers
        assert read.type == trigger["type"]
        assert expected.items() <= read.config.model_dump().items()


def test_an_operator_form_condition_decides_as_the_document_says():
    condition = parse_condition(PREPAID)
    decided = [
        condition.holds(Scope({"payment_type": kind} if kind else {}, {"id": 1, "tenant": "a"}))
        for kind in ("prepaid", "postpaid", None)
    ]
    assert decided == [True, False, False]


FAULTY = [
    ({}, {"/name": "missing", "/steps": "missing"}),
    ([], {"": "must be a mapping"}),
    ({"name": "P p", "steps": [{"action": "core.log"}]}, {"/name": "small letters"}),
    ({"name": "p", "steps": []}, {"/steps": "at least 1"}),
    ({"name": "p", "stesp": [], "steps": [{"action": "core.log"}]}, {"/stesp": "did you mean 'steps'"}),
    ({"name": "p", "version": 1.0, "steps": [{"action": "core.log"}]}, {"/version": "must be text"}),
    (
        {"name": "p", "steps": [{"action": "core.log", "on_error": "go"}]},
        {"/steps/0/on_error": "'continue', 'compensate'"},
    ),
    ({"name": "p", "steps": [5, {"tpye": "wait"}]}, {"/steps/0": "mapping", "/steps/1/type": "missing"}),
    ({"name": "p", "steps": [{"type": "wiat"}]}, {"/steps/0/type": "did you mean 'wait'"}),
    ({"name": "p", "steps": [{"action": "post"}]}, {"/steps/0/action": "as http.post"}),
    ({"name": "p", "steps": [{"action": "core.log", "timeout": "3x"}]}, {"/steps/0/timeout": "not a duration"}),
    ({"name": "p", "steps": [{"action": "core.log", "timeout": 0}]}, {"/steps/0/timeout": "longer than nothing"}),
    ({"name": "p", "steps": [{"action": "core.log", "retry": {"max": 1}}]}, {"/steps/0/retry/max": "max_retries"}),
    ({"name": "p", "steps": [{"action": "core.log", "max_retries": -1}]}, {"/steps/0/max_retries": "equal to 0"}),
    ({"name": "p", "steps": [{"action": "core.log", "when": 5}]}, {"/steps/0/when": "text or true or false"}),
    ({"name": "p", "steps": [{"type": "wait"}]}, {"/steps/0": "either duration or until"}),
    ({"name": "p", "steps": [{"type": "wait", "until": "tomorrow"}]}, {"/steps/0/until": "offset"}),
    ({"name": "p", "steps": [{"type": "transform"}]}, {"/steps/0": "exactly one of map, filter and set"}),
    ({"name": "p", "steps": [{"type": "foreach", "items": [], "steps": [{}]}]}, {"/steps/0/steps/0/type": "missing"}),
    (
        {"name": "p", "steps": [{"type": "foreach", "items": [], "steps": [], "max_parallel": 101}]},
        {"/steps/0/max_parallel": "100", "/steps/0/steps": "1"},
    ),
    (
        {"name": "p", "steps": [{"type": "branch", "on": "x", "branches": {"a": [{"type": "wait", "durtion": 1}]}}]},
        {"/steps/0/branches/a/0/durtion": "did you mean 'duration'"},
    ),
    ({"name": "p", "steps": [{"type": "service_call", "params": {}}]}, {"/steps/0": "needs 'service'"}),
    (
        {"name": "p", "definition": {"steps": [{"type": "service_call", "service": "S", "method": "m", "params": []}]}},
        {"/definition/steps/0/params": "mapping", "/definition/steps/0/method": "connector.verb"},
    ),
    (
        {"name": "p", "steps": [{"action": "core.wait_for_signal", "config": {"signal": "", "timout": 1}}]},
        {"/steps/0/config/signal": "at least 1", "/steps/0/config/timout": "did you mean 'timeout'"},
    ),
    (
        {"name": "p", "steps": [{"action": "core.log"}], "triggers": [{"type": "signal", "config": {"modl": "x"}}]},
        {
            "/triggers/0/config/modl": "did you mean 'model'",
            "/triggers/0/config/model": "missing",
            "/triggers/0/config/signal": "missing",
        },
    ),
    (
        {"name": "p", "steps": [{"action": "core.log", "config": {"a": float("nan")}}]},
        {"/steps/0/config/a": "not finite"},
    ),
]


@pytest.mark.parametrize(("document", "expected"), FAULTY)
def test_every_fault_is_told_at_once_where_the_author_wrote_it(document, expected):
    faults = faults_of(document)
    assert {fault.path for fault in faults} == set(expected)
    for fault in faults:
        assert fault.remedy
    told = {fault.path: f"{fault.reason} {fault.remedy}" for fault in reversed(faults)}
    assert all(words in told[path] for path, words in expected.items()), told


def test_faults_found_later_point_into_the_document_as_it_was_written():
    origins = read_definition(CUSTOM_WORKFLOW).origins
    paths = ["/steps/0/config/lead_id", "/steps/0/action", "/version"]
    back = point_back([Fault(path=path, reason="") for path in paths], origins)
    assert [fault.path for fault in back] == [
        "/definition/steps/0/params/lead_id",
        "/definition/steps/0/method",
        "/version",
    ]


WORDS = sorted(
    set(re.findall(r"\w+", json.dumps([CUSTOM_WORKFLOW, SIGNAL_TRIGGER, PREPAID])))
    | {"id", "branches", "default", "transform_type", "source", "mapping", "wait", "map", "condition", "on", "foreach"}
    | {"items", "branch", "trigger", "triggers", "tags", "retry", "max_retries", "core.wait_for_signal", "action"}
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=30,
)


@given(ANY_JSON | st.fixed_dictionaries({"name": st.just("p"), "steps": st.lists(ANY_JSON, max_size=4)}))
def test_arbitrary_json_is_a_definition_or_refused(document):
    try:
        definition = parse_definition(document)
    except DefinitionInvalid as refused:
        assert all(fault.reason and fault.remedy for fault in refused.faults)  # noqa: PT017
        if (rest := read_what_can_be(document).parsed) is not None:
            assert all(fault.reason for fault in check_definition(rest.definition, actions={}, processes=()))
    else:
        assert parse_definition(definition.body).digest == definition.digest
