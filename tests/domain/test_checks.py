# ruff: noqa: E501 - the tables keep a case on a line
import copy
import json
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from connectors.core import CoreConnector
from connectors.database import DatabaseConnector
from domain.actions import ActionInfo, Effect
from domain.checks import MAX_NESTING, MAX_STEPS, check_definition
from domain.dialects import parse_definition, read_definition, read_what_can_be
from domain.documents import parse_document
from domain.errors import DefinitionInvalid


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Post(Request):
    url: str
    headers: dict[str, str] = Field(default_factory=dict)
    json_body: Any = Field(default=None, alias="json")
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 30
    expect: list[int] | None = None


class Log(Request):
    message: str
    level: Literal["debug", "info", "warning"] = "info"


class Sms(Request):
    kind: Literal["sms"]
    to: Annotated[str, Field(pattern=r"^\+\d+$")]


class Mail(Request):
    kind: Literal["mail"]
    to: str


class Notify(Request):
    by: Annotated[Sms | Mail, Field(discriminator="kind")]
    customer: UUID | None = None


class Posted(BaseModel):
    status: int
    body: Any = None


def info(name, request, output=None):
    return ActionInfo(
        name=name,
        title=name,
        description="",
        effect=Effect.READ,
        input_schema=request.model_json_schema(),
        output_schema=output.model_json_schema() if output else {},
    )


ACTIONS = {
    "http.post": info("http.post", Post, Posted),
    "core.log": info("core.log", Log),
    "core.notify": info("core.notify", Notify),
}
POST = {"name": "post", "action": "http.post", "config": {"url": "https://example.com"}}
LOG = {"name": "log", "action": "core.log", "config": {"message": "hello"}}
CLOSED = {
    "type": "object",
    "required": ["amount"],
    "properties": {
        "amount": {"type": "number"},
        "users": {"type": "array"},
        "owner": {"type": "object", "properties": {"email": {"type": "string"}}, "additionalProperties": False},
    },
    "additionalProperties": False,
}


def log(message, **fields):
    return {"name": "log", "action": "core.log", "config": {"message": message}, **fields}


def document(*steps, **fields):
    return {"name": "process_under_test", "steps": [*steps], **fields}


def faults_of(body, secrets=None, processes=("other",)):
    parsed = read_definition(body)
    return check_definition(
        parsed.definition, actions=ACTIONS, processes=processes, secrets=secrets, origins=parsed.origins
    )


def branch(name, on, **branches):
    return {"name": name, "type": "branch", "on": on, "branches": branches}


def foreach(name, *steps, items="{{input.users}}", **fields):
    return {"name": name, "type": "foreach", "items": items, "steps": [*steps], **fields}


def stop(name="halt", **fields):
    return {"name": name, "type": "stop", **fields}


TRIAGE = {"if": [{">": [{"var": "input.amount"}, 500]}, "needs_review", "auto_approve"]}

SEEDED = [
    # names
    (document(LOG, LOG), "/steps/1/name", "named 'log'"),
    (document(LOG, foreach("each", LOG)), "/steps/1/steps/0/name", "named 'log'"),
    (document(branch("b", "{{input.x}}", a=[LOG]), LOG), "/steps/1/name", "named 'log'"),
    (document({"name": "both", "type": "parallel", "branches": {"a": [LOG], "b": [LOG]}}), "/steps/0/branches/b", "'log'"),
    # actions and processes
    (document({"action": "http.pots", "config": {}}), "/steps/0/action", "did you mean http.post"),
    (document({"action": "ftp.put"}), "/steps/0/action", "there is no action"),
    (document({**POST, "compensate": {"action": "http.delet"}}), "/steps/0/compensate/action", "no action"),
    (document({"name": "p", "type": "process", "process": "othr"}), "/steps/0/process", "did you mean other"),
    # configs
    (document({"action": "http.post"}), "/steps/0/config/url", "'url' is missing"),
    (document({**POST, "config": {"url": "x", "header": {}}}), "/steps/0/config/header", "did you mean 'headers'"),
    (document({**POST, "config": {"url": 5}}), "/steps/0/config/url", "must be text"),
    (document({**POST, "config": {"url": "x", "timeout_seconds": 0}}), "/steps/0/config/timeout_seconds", "over 0"),
    (document({**POST, "config": {"url": "x", "timeout_seconds": "{{1}}s"}}), "/steps/0/config/timeout_seconds", "number"),
    (document({**POST, "config": {"url": "x", "expect": ["{{1}}", "x"]}}), "/steps/0/config/expect/1", "whole number"),
    (document({**LOG, "config": {"message": "x", "level": "inf"}}), "/steps/0/config/level", "did you mean 'info'"),
    (document({**POST, "compensate": {"action": "core.log"}}), "/steps/0/compensate/config/message", "missing"),
    (document({"action": "core.notify", "config": {"by": {"kind": "sms", "to": "5"}}}), "/steps/0/config/by/to", "match"),
    (document({"action": "core.notify", "config": {"by": {"kind": "mail", "to": "{{1}}"}, "customer": "x"}}), "/steps/0/config/customer", "uuid"),
    # templates
    (document(log("{{ 1 + }}")), "/steps/0/config/message", "too early"),
    (document(log("{{ input.x ")), "/steps/0/config/message", "not closed"),
    (document(log("{{ system('x') }}")), "/steps/0/config/message", "no function"),
    (document({**POST, "config": {"url": "x", "json": {"a": ["ok", "${"]}}}), "/steps/0/config/json/a/1", ""),
    # reading steps
    (document(log("{{steps.psot.output}}"), POST), "/steps/0/config/message", "did you mean post"),
    (document(log("{{steps.post.output}}"), POST), "/steps/0/config/message", "has not run before"),
    (document(log("{{steps.log.output}}")), "/steps/0/config/message", "has not run before"),
    (document(POST, log("{{steps.post.body}}")), "/steps/1/config/message", "steps.post.output.body"),
    (document(POST, log("{{steps.post.output.statsu}}")), "/steps/1/config/message", "did you mean status"),
    (document(POST, log("{{step.1.output.statsu}}")), "/steps/1/config/message", "did you mean status"),
    (document(POST, log("${step_post_result.statsu}")), "/steps/1/config/message", "did you mean status"),
    (document(POST, log("{{step.2.output}}")), "/steps/1/config/message", "has not run before"),
    (document(POST, log("{{step.7.output}}")), "/steps/1/config/message", "1 to 2"),
    (document(POST, log("{{step.0.output}}")), "/steps/1/config/message", "1 to 2"),
    (document(POST, log("${step_psot_result.x}")), "/steps/1/config/message", "did you mean post"),
    (document(log("hi", when="{{has(steps.later.output)}}"), {**LOG, "name": "later"}), "/steps/0/when", "not run before"),
    (document(POST, log("hi", when={"==": [{"var": "steps.psot.output"}, 1]})), "/steps/1/when", "did you mean post"),
    (document(branch("b", "{{input.x}}", a=[POST], b=[log("{{steps.post.output}}")])), "/steps/0/branches/b/0/config/message", "not run"),
    (document({"name": "b", "type": "parallel", "branches": {"a": [POST], "b": [log("{{steps.post.output}}")]}}), "/steps/0/branches/b/0/config/message", "not run"),
    (document(foreach("each", POST), log("{{steps.post.output}}")), "/steps/1/config/message", "steps.each.output"),
    (document(foreach("each", POST), output="{{steps.post.output}}"), "/output", "once for each item"),
    (document(POST, output={"a": {"b": "{{steps.pots.output}}"}}), "/output/a/b", "did you mean post"),
    (document(log("{{item}}")), "/steps/0/config/message", "inside a foreach"),
    (document(foreach("each", POST), output="{{index}}"), "/output", "inside a foreach"),
    (document(POST, log("{{run.idd}}")), "/steps/1/config/message", "did you mean id"),
    # reading the input
    (document(log("{{input.amuont}}"), input=CLOSED), "/steps/0/config/message", "did you mean amount"),
    (document(log("{{inputs.owner.mail}}"), input=CLOSED), "/steps/0/config/message", "did you mean email"),
    (document(log("{{input.amount.cents}}"), input=CLOSED), "/steps/0/config/message", "of the type number"),
    (document(log("${context.amuont}"), input=CLOSED), "/steps/0/config/message", "did you mean amount"),
    (document(log("{{amuont}}"), input=CLOSED), "/steps/0/config/message", "did you mean amount"),
    (document(POST, log("{{post.status}}"), input=CLOSED), "/steps/1/config/message", "did you mean steps.post.output"),
    (document({**POST, "name": "amount"}, log("{{context.amount}}"), input=CLOSED), "/steps/1/config/message", "input.amount or steps.amount.output"),
    # conditions
    (document(log("x", when="{{ input.a = 1 }}")), "/steps/0/when", "equality is written =="),
    (document(log("x", when="{{input.a}} and {{input.b}}")), "/steps/0/when", "one expression"),
    (document(log("x", when={"operator": "equals", "left": 1, "right": 1})), "/steps/0/when", "no operator"),
    (document(log("x", condition={"operator": "eq", "left": "${steps.y.output}", "right": 1})), "/steps/0/condition", "no step y"),
    (document({"type": "transform", "filter": {"source": "{{input.users}}", "condition": "{{"}}), "/steps/0/filter/condition", ""),
    # branches
    (document(branch("b", TRIAGE, needs_review=[])), "/steps/0/on", "'auto_approve', which is no branch"),
    (document(branch("b", TRIAGE, needs_reveiw=[], auto_approve=[])), "/steps/0/on", "did you mean 'needs_reveiw'"),
    (document(branch("b", "{{ input.a ? 'x' : 'y' }}", x=[])), "/steps/0/on", "'y', which is no branch"),
    (document(branch("b", "{{ input.a > 1 }}", true=[])), "/steps/0/on", "'false', which is no branch"),
    (document(branch("b", {"operator": "gt", "left": "${a}", "right": 1}, true=[], false=[], other=[])), "/steps/0/branches/other", "never chosen"),
    # steps
    (document({"name": "w", "type": "wait", "duration": "{{steps.x.output}}"}), "/steps/0/duration", "no step x"),
    (document({"name": "w", "type": "wait", "duration": 1, "retry": {"max_retries": 1}}), "/steps/0/retry", "no use"),
    (document({"name": "w", "type": "wait", "duration": 1, "timeout": "5s"}), "/steps/0/timeout", "no use"),
    (document(branch("b", "{{input.x}}", a=[]) | {"lane": "regular"}), "/steps/0/lane", "no use"),
    (document({"name": "s", "type": "wait_for_signal", "signal": "go", "on_timeout": "fail"}), "/steps/0/on_timeout", "add 'timeout'"),
    (document({"name": "s", "type": "wait_for_signal", "signal": "{{item}}"}), "/steps/0/signal", "inside a foreach"),
    (document(foreach("each", LOG, items="input.users")), "/steps/0/items", "must be a list"),
    (document(foreach("each", LOG, items="{{input.users}}, {{input.more}}")), "/steps/0/items", "must be a list"),
    (document(foreach("each", LOG, collect="{{steps.lgo.output}}")), "/steps/0/collect", "did you mean log"),
    (document({"type": "transform", "map": {"source": "{{input.users}}", "template": "{{itme}}"}}, input=CLOSED), "/steps/0/map/template", "no field itme"),
    (document(stop(), LOG), "/steps/1", "never reached"),
    (document(stop(result="{{steps.x.output}}", when="{{input.a}}"), LOG), "/steps/0/result", "no step x"),
    (document({"name": "p", "type": "process", "process": "other", "input": {"a": "{{item}}"}}), "/steps/0/input/a", "inside"),
    (document({"name": "ask", "type": "approval", "config": {"title": "?", "approvers": ["role:x"], "timeout": "3d", "on_timeout": "reject"}}), "/steps/0/type", "not available yet"),
    # secrets
    (document({**POST, "config": {"url": "{{$secret.HOK}}"}}), "/steps/0/config/url", "did you mean HOOK"),
    (document({**POST, "config": {"url": "x", "json": {"$secret": "HOK"}}}), "/steps/0/config/json", "did you mean HOOK"),
    (document(POST, output="{{$secret.HOOK}}"), "/output", "config of an action only"),
    # input and triggers
    (document(LOG, input={"type": "objekt"}), "/input/type", "did you mean 'object'"),
    (document(LOG, input={"type": "array"}), "/input/type", "is an object"),
    (document(LOG, input={"amount": {"type": "number"}}), "/input/amount", "under 'properties'"),
    (document(LOG, triggers=[{"type": "event", "config": {"event": "x", "condition": "a ="}}]), "/triggers/0/config/condition", ""),
    (document(LOG, triggers=[{"type": "event", "config": {"event": "x", "condition": "steps.log.output"}}]), "/triggers/0/config/condition", "before a run"),
    (document(LOG, triggers=[{"type": "event", "config": {"event": "x", "input": {"a": "{{run.id}}"}}}]), "/triggers/0/config/input/a", "before a run"),
    # dialects
    (document({"name": "s", "type": "service_call", "service": "http", "method": "post", "params": {"ulr": 1, "url": "x"}}), "/steps/0/params/ulr", "did you mean 'url'"),
    ({"name": "p", "definition": {"steps": [{"name": "s", "type": "service_call", "service": "http", "method": "posts"}]}}, "/definition/steps/0/method", "did you mean http.post"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "path", "words"), SEEDED)
def test_a_seeded_fault_is_found_where_it_is_and_nothing_else(body, path, words):
    faults = faults_of(body, secrets={"HOOK"})
    assert [fault.path for fault in faults][:1] == [path]
    assert {fault.path for fault in faults} <= {path, "/steps/0/branches/needs_reveiw"}
    assert words in f"{faults[0].reason}; {faults[0].remedy}"
    assert all(fault.remedy for fault in faults)


GOOD = [
    document(LOG),
    document(POST, log("{{steps.post.output.status}} {{step.1.output.body.anything.0}} ${step_post_result.status}")),
    document(log("{{input.a.b.c}} ${context.whatever} {{event.payload.x}} {{bare.field}} ${context.tenant_id}")),
    document(log("{{input.owner.email}} ${context.users.0} {{event.x}} {{amount}}"), input=CLOSED),
    document(log("{{bare}}"), input=CLOSED, triggers=[{"type": "event", "config": {"event": "x"}}]),
    document(log("{{default(input.a, 'x')}}", when="{{has(event.payload)}}")),
    document(branch("b", TRIAGE, needs_review=[POST], auto_approve=[]), log("{{default(steps.post.output.status, 0)}}")),
    document(branch("b", "{{input.kind}}", a=[POST], b=[POST]), log("{{steps.post.output.status}}")),
    document({**branch("b", TRIAGE), "branches": {"needs_review": []}, "default": []}),
    document(branch("b", "{{ input.a > 1 }}", true=[stop()], false=[])),
    document(branch("b", "{{ input.a && input.b }}", x=[])),
    document({"name": "b", "type": "parallel", "branches": {"a": [POST], "b": [LOG]}}, {**LOG, "name": "c", "config": {"message": "{{steps.post.output.status}}{{steps.b.output.a}}"}}),
    document(foreach("each", POST, log("{{item.x}} {{index}} {{steps.post.output.status}}"), collect="{{steps.post.output}}{{item}}"), foreach("again", POST), output="{{steps.each.output.0}}"),
    document(foreach("each", foreach("inner", log("{{item}}"), items="{{item.list}}"), items=[{"list": []}, {"list": "{{input.x}}"}])),
    document({"type": "transform", "filter": {"source": "{{input.users}}", "condition": {">": [{"var": "item.age"}, 17]}}}, {"type": "transform", "map": {"source": "{{step.1.output}}", "template": {"n": "{{item.name}} {{index}}"}}}),
    document({"type": "transform", "set": {"a": ["{{input.x + 1}}", None, 5]}}, output={"a": "{{step.1.output.a.0}}"}),
    document({"name": "w", "type": "wait", "until": "{{input.when}}"}, {"name": "s", "type": "wait_for_signal", "signal": "go-{{input.id}}", "timeout": "{{input.t}}", "on_timeout": "continue"}),
    document({"name": "p", "type": "process", "process": "other", "input": {"a": "{{input}}"}}, {"name": "q", "type": "process", "process": "process_under_test", "wait": False}),
    document(stop(when="{{input.a}}"), LOG, stop("last")),
    document({**POST, "compensate": {"action": "core.log", "config": {"message": "undo {{steps.post.output.status}}"}}, "lane": "regular", "on_unknown": "retry", "timeout": "5s", "retry": {"max_retries": 0}}),
    document({**POST, "config": {"url": "https://{{input.host}}/x", "headers": {"A": "Bearer {{$secret.HOOK}}"}, "json": {"$secret": "HOOK"}, "timeout_seconds": "{{input.t}}", "expect": "{{input.codes}}"}}),
    document({"action": "core.notify", "config": {"by": "{{input.by}}", "customer": "{{input.c}}"}}),
    document({"action": "core.notify", "config": {"by": {"kind": "{{input.kind}}", "to": "+{{input.number}}"}}}),
    document({"action": "core.notify", "config": {"by": {"kind": "sms", "to": "{{input.number}}"}, "customer": None}}),
    document(log("{{ '{{' }} not a placeholder, {single} braces, $5")),
    document(LOG, triggers=[{"type": "signal", "config": {"model": "auth.User", "signal": "post_save", "condition": "created == true", "input": {"id": "{{event.instance.id}}"}}}, {"type": "manual"}, {"type": "schedule", "config": {"cron": "0 8 * * *"}}]),
    document({"name": "gate", "type": "condition", "condition": {"operator": "in", "left": "${context.plan}", "right": ["a", "b"]}}, LOG),
]  # fmt: skip


@pytest.mark.parametrize("body", GOOD)
def test_a_good_definition_raises_no_false_alarm(body):
    assert faults_of(body, secrets={"HOOK"}) == []


REFUND_APPROVAL = """
name: refund_approval
title: Refund approval
version: 1.0.0
input:
  type: object
  required: [payment_intent, amount, currency, requested_by]
triggers:
  - {type: event, config: {event: refund.requested}}
steps:
  - name: triage
    type: branch
    on: {"if": [{">": [{"var": "amount"}, 500]}, "needs_review", "auto_approve"]}
    branches:
      needs_review:
        - name: review
          type: approval
          config:
            title: "Refund {{input.amount}} {{input.currency}}"
            approvers: ["role:finance"]
            required: 1
            exclude: ["{{input.requested_by}}"]
            timeout: 3d
            on_timeout: reject
            notify: [{action: slack.request_approval, config: {channel: "#refunds"}}]
        - name: stop_if_rejected
          type: stop
          when: '{{steps.review.output.decision != "approved"}}'
          result: rejected
      auto_approve: []
  - name: refund
    action: http.post
    config: {url: "{{input.url}}", json: {intent: "{{input.payment_intent}}", amount: "{{input.amount_cents}}"}}
    retry: {max_retries: 5}
    timeout: 30s
output: {refund_id: "{{steps.refund.output.body.id}}"}
"""


def test_an_approval_parses_whole_and_is_all_that_is_refused_about_its_process():
    read = parse_document(REFUND_APPROVAL, file="refund_approval.yaml")
    (fault,) = read.locate(faults_of(read.value))
    assert (fault.path, fault.file) == ("/steps/0/branches/needs_review/0/type", "refund_approval.yaml:17")
    assert "not available yet" in fault.reason


def test_all_faults_are_told_at_once_each_with_path_reason_and_remedy():
    faults = faults_of(
        document({"action": "http.psot"}, {**LOG, "config": {}}, log("{{steps.x.output}}") | {"name": "z"})
    )
    assert [fault.path for fault in faults] == ["/steps/0/action", "/steps/1/config/message", "/steps/2/config/message"]
    assert all(fault.reason and fault.remedy for fault in faults)


def test_secrets_are_not_checked_where_they_are_not_known():
    body = document({**POST, "config": {"url": "{{$secret.ANY}}"}})
    assert faults_of(body, secrets=None) == []
    assert [fault.path for fault in faults_of(body, secrets=set())] == ["/steps/0/config/url"]


def nested(depth):
    steps = [LOG]
    for level in range(depth - 1):
        steps = [branch(f"level_{level}", "{{input.x}}", a=steps)]
    return document(*steps)


def test_nesting_has_a_limit():
    assert faults_of(nested(MAX_NESTING)) == []
    (fault,) = faults_of(nested(MAX_NESTING + 1))
    assert "nested deeper than 16" in fault.reason


def test_the_number_of_steps_has_a_limit():
    steps = [{"name": f"s{index}", "type": "wait", "duration": 1} for index in range(MAX_STEPS + 1)]
    assert faults_of(document(*steps[:-1])) == []
    (fault,) = faults_of(document(*steps))
    assert fault.path == "/steps"


@given(st.data())
def test_any_damage_to_a_good_definition_is_judged_without_a_crash(data):
    body = copy.deepcopy(data.draw(st.sampled_from(GOOD)))
    step = data.draw(st.sampled_from(body["steps"]))
    texts = st.text("{}$ .abinputsteps01'\"", max_size=12)
    step[data.draw(st.sampled_from(["config", "when", "on", "items", "set", "collect", "result"]))] = data.draw(
        st.recursive(texts, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2))
    )
    try:
        definition = parse_definition(body)
    except DefinitionInvalid as refused:
        assert all(fault.reason and fault.remedy for fault in refused.faults)  # noqa: PT017
    else:
        faults = check_definition(definition, actions=ACTIONS, processes=())
        assert all(fault.reason and fault.remedy for fault in faults)


@pytest.mark.parametrize("query", ["SELECT * FROM t WHERE id = '{{input.id}}'", "{{input.query}}"])
def test_sql_is_never_made_of_a_runs_data(query):
    info = DatabaseConnector({}).actions()
    actions = {action.name: action.info for action in info}
    step = {"name": "q", "action": "db.query", "config": {"connection": "reports", "query": query}}
    faults = check_definition(parse_definition({"name": "p", "steps": [step]}), actions=actions, processes=())
    assert [(fault.path, "literal" in fault.reason) for fault in faults] == [("/steps/0/config/query", True)]


def all_faults_of(body):
    """What the model and the checks find, as ``path: reason``."""
    reading = read_what_can_be(body)
    parsed = reading.parsed
    assert parsed is not None
    found = check_definition(parsed.definition, actions=ACTIONS, processes=("other",), origins=parsed.origins)
    return {f"{fault.path}: {fault.reason}" for fault in (*reading.faults, *found)}


def steps_within(steps):
    for step in steps:
        yield step
        branches = step.get("branches", {}).values()
        for block in (*branches, step.get("default") or [], step.get("steps", [])):
            yield from steps_within(block)


@pytest.mark.parametrize("good", GOOD)
@pytest.mark.parametrize("damage", [{"fieldd": 1}, {"on_error": "retry"}, {"name": 5}, {"when": 5}])
def test_a_refused_step_raises_no_false_alarm_elsewhere(good, damage):
    steps = (good.get("definition") or good)["steps"]
    for index in range(len(list(steps_within(steps)))):
        body = json.loads(json.dumps(good))  # unlike deepcopy, this gives each place a step of its own
        damaged = list(steps_within((body.get("definition") or body)["steps"]))[index]
        if "name" in damage and damaged.get("name", damaged.get("id")) is not None:
            continue  # what reads it by its name is lost, rightly
        damaged.update(damage)
        (fault,) = all_faults_of(body)
        assert next(iter(damage)) in fault


def test_faults_of_the_model_do_not_hide_those_of_other_steps():
    body = document(
        {"name": "bad", "action": "http.post", "confg": {}},
        log("{{steps.bad.output.x}} {{steps.nope.output}}"),
        {"name": "each", "type": "foreach", "itms": 1, "steps": [{"name": "inner", "action": "ftp.put"}]},
        {"name": "last", "action": "ftp.get", "on_error": "retry"},
        output="{{steps.each.output}} {{steps.gone.output}}",
    )
    assert all_faults_of(body) == {
        "/steps/0/confg: there is no field 'confg' here",
        "/steps/1/config/message: there is no step nope",
        "/steps/2/itms: there is no field 'itms' here",
        "/steps/2/items: 'items' is missing",
        "/steps/2/steps/0/action: there is no action 'ftp.put'",
        "/steps/3/on_error: 'retry' is none of 'fail', 'continue', 'compensate' or 'park'",
        "/steps/3/action: there is no action 'ftp.get'",
        "/output: there is no step gone",
    }


@pytest.mark.parametrize(
    "branches", [{"a": {"name": "hidden", "action": "core.log"}}, [[{"id": "hidden"}]], {"a": [[{"id": "hidden"}]]}]
)
def test_steps_in_blocks_of_a_wrong_form_are_known_by_name(branches):
    body = document({"name": "b", "type": "parallel", "branches": branches}, log("{{steps.hidden.output}}"))
    (fault,) = all_faults_of(body)
    assert fault.startswith("/steps/0/branches")


def test_a_step_with_faults_of_two_kinds_is_judged_without_a_crash():
    body = document({"name": "w", "type": "wait", "on_error": "retry"}, log("{{steps.w.output}}"))
    (fault,) = all_faults_of(body)
    assert fault.startswith("/steps/0/on_error")


def test_an_approval_is_told_one_thing_complete_or_not():
    config = {"title": "?", "approvers": ["role:x"], "timeout": "3d", "on_timeout": "reject"}
    for step in ({"config": config}, {"config": config, "when": "{{"}, {}, {"config": {"title": 5}, "timeot": 1}):
        body = document({"name": "ask", "type": "approval", **step}, {**LOG, "when": "{{steps.ask.output.approved}}"})
        assert all_faults_of(body) == {"/steps/0/type: approval is not available yet"}


def test_each_faulty_placeholder_of_a_text_is_told():
    faults = faults_of(document(log("{{ 1 + }} {{ steps.nope.output }} {{ system() }} ${ input.x")))
    assert [fault.path for fault in faults] == ["/steps/0/config/message"] * 4
    for words in ("too early", "no step nope", "no function system", "not closed"):
        assert sum(words in fault.reason for fault in faults) == 1


def test_a_log_line_takes_no_secret():
    actions = {action.name: action.info for action in CoreConnector().actions()}
    step = {"name": "l", "action": "core.log", "config": {"message": "token {{$secret.HOOK}}"}}
    faults = check_definition(parse_definition({"name": "p", "steps": [step]}), actions=actions, processes=())
    assert [fault.path for fault in faults] == ["/steps/0/config/message"]
