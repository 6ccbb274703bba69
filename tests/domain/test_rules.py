import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ExpressionError
from domain.expressions import Expression
from domain.rules import AllOf, Rule, find_faults, parse_condition, parse_rule
from domain.scope import Scope

CHECKOUT = {
    "and": [
        {"==": [{"var": "type"}, "checkout.session.completed"]},
        {"==": [{"var": "data.object.payment_status"}, "paid"]},
    ]
}
AMOUNT = {"if": [{">": [{"var": "amount"}, 500]}, "needs_review", "auto_approve"]}


def make_scope(event: dict[str, Any] | None = None, **fields: object) -> Scope:
    scope = Scope(fields, {"id": 1, "tenant": "acme"}, event, order=["ask"])
    scope.set_output("ask", {"text": "hello"})
    return scope


def checkout(status: str) -> dict[str, Any]:
    payload = {"type": "checkout.session.completed", "data": {"object": {"payment_status": status}}}
    return {"type": "checkout.session.completed", "source": "stripe", "payload": payload}


@pytest.mark.parametrize(("status", "passed"), [("paid", True), ("unpaid", False)])
def test_the_checkout_rule_looks_into_the_events_body(status, passed):
    assert parse_rule(CHECKOUT).evaluate(make_scope(checkout(status))) is passed


@pytest.mark.parametrize(("amount", "branch"), [(501, "needs_review"), (500, "auto_approve")])
def test_a_rule_names_a_branch(amount, branch):
    assert parse_rule(AMOUNT).evaluate(make_scope(amount=amount)) == branch


@pytest.mark.parametrize(
    ("logic", "value"),
    [
        ({"==": [{"var": "event.type"}, "checkout.session.completed"]}, True),
        ({"==": [{"var": "event.payload.data.object.payment_status"}, "paid"]}, True),
        ({"==": [{"var": "steps.ask.output.text"}, "hello"]}, True),
        ({"==": [{"var": "step.1.output.text"}, "hello"]}, True),
        ({"==": [{"var": "input.n"}, "5"]}, True),
        ({"var": "lines.1.sku"}, "B"),
        ({"var": ["not_there", "fallback"]}, "fallback"),
        ({"var": "not.there"}, None),
        ({"!": [{"var": "not.there"}]}, True),
        ({"contains": [{"var": "tags"}, "vip"]}, True),
        ({"contains": ["a text", "tex"]}, True),
        ({"and": [{"contains": [{"var": "tags"}, "no"]}, True]}, False),
        ({"in": ["vip", {"var": "tags"}]}, True),
        ({"or": [False, {">=": [{"var": "n"}, 5]}]}, True),
        ({"<=": [1, {"var": "n"}, 9]}, True),
        ({"!=": [{"var": "n"}, 6]}, True),
        ({"missing": ["input.n", "nope"]}, ["nope"]),
        ({"some": [{"var": "lines"}, {"==": [{"var": "sku"}, "B"]}]}, True),
        ({"map": [{"var": "lines"}, {"var": "sku"}]}, ["A", "B"]),
        ("apple", "apple"),
        (5, 5),
    ],
)
def test_a_rule_has_its_value(logic, value):
    scope = make_scope(checkout("paid"), n=5, tags=["vip"], lines=[{"sku": "A"}, {"sku": "B"}])
    assert parse_rule(logic).evaluate(scope) == value


def test_a_rule_tells_what_it_reads():
    assert set(parse_rule(CHECKOUT).reads) == {("type",), ("data", "object", "payment_status")}
    assert parse_rule({"some": [{"var": "lines"}, {"==": [{"var": "sku"}, "B"]}]}).reads == (("lines",),)


@pytest.mark.parametrize(
    ("logic", "pointer", "told"),
    [
        ({"and": [{"vr": "x"}]}, "/and/0", "did you mean `var`?"),
        ({"now": []}, "", "unknown operator `now`"),
        ({"method": ["x", "y"]}, "", "unknown operator `method`"),
        ({"a": 1, "b": 2}, "", "2 keys"),
        ({"contains": ["x", {"vr": "y"}]}, "/contains/1", "did you mean `var`?"),
        ({"contains": ["x"]}, "", "contains"),
        ({"==": [1]}, "", "at least 2"),
        ({"==": [float("nan"), 1]}, "", "no JSON"),
        ({"==": [object(), 1]}, "", "no JSON"),
    ],
)
def test_a_fault_of_a_rule_is_told_with_its_place(logic, pointer, told):
    faults = find_faults(logic)
    assert [fault.path for fault in faults] == [pointer]
    assert told in faults[0].reason
    with pytest.raises(ExpressionError):
        parse_rule(logic)


def test_all_faults_of_a_rule_are_told_at_once():
    assert len(find_faults({"and": [{"vr": 1}, {"iff": 1}]})) == 2


@pytest.mark.parametrize("logic", [{"var": {"cat": ["a", "b"]}}, {"var": ""}, {"missing": {"var": "names"}}])
def test_a_rule_must_name_what_it_reads(logic):
    with pytest.raises(ExpressionError):
        parse_rule(logic)


def test_nesting_to_any_depth_is_refused_in_peace():
    logic: object = True
    for _ in range(200_000):
        logic = {"!": [logic]}
    with pytest.raises(ExpressionError, match="nests deeper than 64"):
        parse_rule(logic)
    with pytest.raises(ExpressionError):
        parse_condition([logic])
    while isinstance(logic, dict):
        logic = logic["!"].pop()


def test_a_rule_as_deep_as_allowed_works():
    logic: object = True
    for _ in range(32):
        logic = {"!": [logic]}
    assert parse_rule(logic).evaluate(make_scope()) is True


def test_a_rule_that_works_too_long_is_stopped():
    rule = parse_rule({"map": [{"var": "xs"}, {"map": [{"val": [[1], "xs"]}, {"var": ""}]}]})
    assert rule.evaluate(make_scope(xs=[1, 2])) is not None
    with pytest.raises(ExpressionError, match="more than 10000 operations"):
        rule.evaluate(make_scope(xs=list(range(1000))))


def test_an_explanation_of_a_rule_is_a_tree_of_what_passed_and_what_was_read():
    told = parse_rule(CHECKOUT).explain(make_scope(checkout("unpaid")))
    assert told["passed"] is False
    assert [(part["logic"], part["result"]) for part in told["tree"]["parts"]] == [
        (CHECKOUT["and"][0], True),
        (CHECKOUT["and"][1], False),
    ]
    assert {"path": "data.object.payment_status", "found": True, "value": "unpaid"} in told["reads"]
    json.dumps(told)


@pytest.mark.parametrize(
    ("condition", "kind", "holds"),
    [
        (True, Expression, True),
        (False, Expression, False),
        ("created == true", Expression, True),
        ("{{ created == true }}", Expression, True),
        ("${created}", Expression, True),
        (CHECKOUT, Rule, False),
        ([], AllOf, True),
        ([{"==": [{"var": "amount"}, 5]}, "created == true"], AllOf, True),
        ([{"==": [{"var": "amount"}, 5]}, "amount > 9", "never.read"], AllOf, False),
        ({"operator": "eq", "left": "${context.payment_type}", "right": "prepaid"}, Expression, False),
        ({"operator": "ne", "left": "${context.payment_type}", "right": "prepaid"}, Expression, True),
        ({"operator": "eq", "left": "{{amount}}", "right": 5}, Expression, True),
        ({"operator": "gt", "left": "{{amount}}", "right": 4}, Expression, True),
        ({"operator": "lt", "left": "{{amount}}", "right": "{{limit}}"}, Expression, True),
        ({"operator": "gte", "left": "{{amount}}", "right": 5}, Expression, True),
        ({"operator": "lte", "left": "{{amount}}", "right": 4}, Expression, False),
        ({"operator": "in", "left": "{{amount}}", "right": [4, 5]}, Expression, True),
        ({"operator": "in", "left": "a", "right": "{{word}}"}, Expression, True),
        ({"operator": "not_in", "left": "{{amount}}", "right": ["4", "5"]}, Expression, True),
    ],
)
def test_a_condition_may_take_any_form_of_the_documents(condition, kind, holds):
    parsed = parse_condition(condition)
    scope = make_scope({"payload": {"created": True}}, amount=5, limit=6, word="abc")
    assert isinstance(parsed, kind)
    assert parsed.holds(scope) is holds
    assert bool(parsed.explain(scope)["result"]) is holds


@pytest.mark.parametrize(
    "condition",
    [
        None,
        3,
        "",
        "{{a}} == {{b}}",
        "{{ $secret.KEY }}",
        {"operator": "like", "left": 1, "right": 2},
        {"operator": "eq", "left": 1},
        {"operator": "eq", "left": {"a": 1}, "right": 2},
        {"operator": "eq", "left": "a {{b}}", "right": 2},
        {"operator": "gt", "left": "{{a}}", "right": True},
    ],
)
def test_what_is_no_condition_is_refused(condition):
    with pytest.raises(ExpressionError):
        parse_condition(condition)


def test_conditions_in_a_list_tell_all_that_they_read():
    parsed = parse_condition([{"==": [{"var": "a"}, 1]}, "b > 1"])
    assert parsed.reads == (("a",), ("b",))
    assert parsed.optional == {("a",)}


logics = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3) | st.builds(lambda: {"var": "a.x"}),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["==", "<", "and", "or", "!", "if", "in", "contains", "+", "-", "/", "cat", "map", "var", "zz"]
            ),
            st.lists(inner, max_size=3) | inner,
            max_size=1,
        )
    ),
    max_leaves=10,
)


@given(logics, st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(0, 3)))
def test_any_rule_gives_a_value_or_an_expression_error(logic, value):
    with suppress(ExpressionError):
        parse_rule(logic).evaluate(make_scope(a={"x": value}))
