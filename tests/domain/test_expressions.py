import copy
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ExpressionError, MissingPath
from domain.expressions import parse_expression
from domain.jsonlogic import OPERATIONS_BUDGET
from domain.rules import parse_rule
from domain.scope import Scope

INPUT = {
    "amount": 600,
    "price": 12.5,
    "currency": "usd",
    "digits": "12",
    "nothing": None,
    "yes": True,
    "lines": [1, 2, 3],
    "address": {"city": "Lisbon"},
    "zero": 0,
    "odd.key": "dotted",
    "at": "2026-01-01T00:00:00Z",
    "same_at": "2026-01-01T01:00:00+01:00",
}


def make_scope(**fields: object) -> Scope:
    scope = Scope({**INPUT, **fields}, {"id": 1, "tenant": "acme"}, {"payload": {"created": True}}, order=["ask"])
    scope.set_output("ask", {"text": "hello"})
    scope.set_skipped("review")
    return scope


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("1", 1),
        ("-1.5", -1.5),
        ("1e3", 1000.0),
        ("'it''s'", ExpressionError),
        (r"'it\'s'", "it's"),
        (r'"tab\tquote\" \u00e9"', 'tab\tquote" é'),
        ("true", True),
        ("null", None),
        ("[1, 'a', input.amount]", [1, "a", 600]),
        ("[]", []),
        ("created == true", True),
        ("input.amount > 500 && input.currency == 'usd'", True),
        ("input.amount > 500 and not (input.currency != 'usd')", True),
        ("input.amount < 500 || currency == 'usd'", True),
        ("input.lines[1]", 2),
        ("input.lines.1", 2),
        ("input['odd.key']", "dotted"),
        ("input['odd.key'] == 'dotted'", True),
        ("default(input['not.there'], 'x')", "x"),
        ("step.1.output.text", "hello"),
        ("steps.ask.output.text == step_ask_result.text", True),
        ("context.tenant_id", "acme"),
        ("amount + 1", 601),
        ("amount - 1 - 2", 597),
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("amount / 7 * 7", 600),
        ("7 / 2", 3.5),
        ("-amount", -600),
        ("amount % 7", 5),
        ("number(digits) * 2", 24),
        ("amount in [600, 1]", True),
        ("'us' in currency", True),
        ("5 not in lines", True),
        ("2 in lines", True),
        ("amount > 500 ? 'big' : 'small'", "big"),
        ("amount > 900 ? 'big' : amount > 500 ? 'middle' : 'small'", "middle"),
        ("default(input.missing, 5)", 5),
        ("default(nothing, input.missing, 'last')", "last"),
        ("default(nothing, 'last')", "last"),
        ("default(input.missing, amount)", 600),
        ("default(input.missing, 1) > 0", True),
        ("has(input.missing)", False),
        ("has(nothing)", True),
        ("has(steps.review.output.decision)", False),
        ("has(input.missing) && input.missing > 3", False),
        ("!has(input.missing) || input.missing > 3", True),
        ("has(input.missing) ? input.missing : 'none'", "none"),
        ("nothing != null && nothing > 3", False),
        ("len(lines)", 3),
        ("len(address)", 1),
        ("len(currency) == 3", True),
        ("upper(currency)", "USD"),
        ("lower('ÄB')", "äb"),
        ("amount == '600'", False),
        ("yes == 1", False),
        ("nothing == false", False),
        ("nothing == null", True),
        ("1 == 1.0", True),
        ("lines == [1, 2, 3]", True),
        ("'b' > 'a'", True),
        ("currency >= digits", True),
        ("at == same_at", True),
        ("!zero", True),
        ("zero || 'fallback'", "fallback"),
        ("in_stock", ExpressionError),
        ("notes == 1", ExpressionError),
    ],
)
def test_an_expression_has_its_value(source, value):
    if value is ExpressionError:
        with pytest.raises(ExpressionError):
            parse_expression(source).evaluate(make_scope())
    else:
        found = parse_expression(source).evaluate(make_scope())
        assert found == value
        assert isinstance(found, bool) == isinstance(value, bool)


@pytest.mark.parametrize(
    ("source", "told", "position"),
    [
        ("", "there is no expression here", 0),
        ("amount +", "ends too early", 8),
        ("amount = 3", "equality is written ==", 7),
        ("a === b", "equality is written ==", 4),
        ("a & b", "written && or and", 2),
        ("a | upper", "there are no filters", 2),
        ("a..b", "a path has no spaces", 1),
        ("'open", "the string is not closed", 0),
        ("1 < 2 < 3", "comparisons do not chain", 6),
        ("(1", "')' is missing", 2),
        ("[1", "',' is missing", 2),
        ("a b", "unexpected 'b'", 2),
        ("a ? b", "':' is missing", 5),
        ("5 not 3", "'in' is missing", 6),
        ("leng(a)", "did you mean len?", 0),
        ("eval('1')", "there is no function eval", 0),
        ("a.b('x')", "there is no function a.b", 0),
        ("len(a, b)", "len takes 1 argument(s), not 2", 0),
        ("default(a)", "at least 2", 0),
        ("has(1 + 1)", "has tests paths", 0),
        ("$secret.KEY", "a secret must be a placeholder of its own", 0),
        ("{'a': 1}", "there are no objects", 0),
        ("99999999999999999999", "beyond 64 bits", 0),
        ("1e999", "beyond 64 bits", 0),
        (r"'\x'", "there is no escape", 0),
        (r"'\ud800'", "surrogate", 0),
        ("a" * 5000, "longer than 4096", 0),
    ],
)
def test_a_fault_is_told_with_its_position(source, told, position):
    with pytest.raises(ExpressionError) as caught:
        parse_expression(source)
    assert told in str(caught.value)
    assert caught.value.position == position
    assert caught.value.source == source


@pytest.mark.parametrize(
    "source", ["'a' + b", "true < 3", "a < null", "(a && b) > 3", "lower(5)", "5 in 6", "[1] > 2", "!a + 1"]
)
def test_operands_that_can_never_fit_are_refused_when_parsed(source):
    with pytest.raises(ExpressionError) as caught:
        parse_expression(source)
    assert source in str(caught.value)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("input.nothing > 3", "input.nothing must be a number in 'input.nothing > 3' (input.nothing is null)"),
        ("yes < 3", "yes must be a number"),
        ("digits * 2", "digits must be a number"),
        ("digits < 3", "digits must be a number"),
        ("amount < 'b'", "amount must be a text"),
        ("amount < digits", "amount and digits must be two numbers or two texts"),
        ("amount < yes", "must be two numbers or two texts"),
        ("len(amount)", "amount must be a list, a text or an object"),
        ("upper(amount)", "amount must be a text"),
        ("1 in amount", "amount must be a list or a text"),
        ("number(currency)", "does not work on these values"),
        ("amount / zero", "by zero"),
        ("amount % 0", "by zero"),
        ("default(yes, 3) + 1", "yes must be a number"),
        ("(yes ? currency : 1) + 1", "currency must be a number"),
    ],
)
def test_values_of_the_wrong_kind_are_errors_that_name_them(source, told):
    with pytest.raises(ExpressionError) as caught:
        parse_expression(source).evaluate(make_scope())
    assert told in str(caught.value)
    assert not isinstance(caught.value, MissingPath)


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("input.missing", "input.missing"),
        ("input.missing > 3 || true", "input.missing"),
        ("has(input.a) || yes && input.b == 1", "input.b"),
        ("len(steps.review.output)", "steps.review.output"),
        ("input['not.there'] == 1", "input['not.there']"),
        ("default(input.a, input.b)", "input.b"),
        ("[1, input.lines.9]", "input.lines.9"),
    ],
)
def test_a_missing_path_is_an_error_that_names_it(source, path):
    with pytest.raises(MissingPath) as caught:
        parse_expression(source).evaluate(make_scope())
    assert caught.value.path == path


def test_a_number_that_grows_too_large_is_an_error():
    with pytest.raises(ExpressionError, match="too large"):
        parse_expression("big * big").evaluate(make_scope(big=1e300))


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**70, float("nan"), float("inf"), [2**70], {"a": object()}])
def test_a_value_that_json_cannot_carry_is_an_error(value):
    with pytest.raises(ExpressionError):
        parse_expression("x == 1").evaluate(make_scope(x=value))


def test_large_integers_stay_exact():
    assert parse_expression("x == 9007199254740993").evaluate(make_scope(x=9007199254740993)) is True
    assert parse_expression("x == 9007199254740992").evaluate(make_scope(x=9007199254740993)) is False
    assert parse_expression("x").evaluate(make_scope(x=2**70)) == 2**70


def test_reads_are_told_and_those_that_may_be_missing_too():
    expression = parse_expression("has(input.a) && input.a > 3 || default(steps.x.output.b, input.c) == lines[0]")
    assert expression.reads == (("input", "a"), ("steps", "x", "output", "b"), ("input", "c"), ("lines", 0))
    assert expression.optional == {("steps", "x", "output", "b")}


def test_what_only_a_test_reads_is_optional():
    assert parse_expression("has(input.a)").optional == {("input", "a")}


def test_an_expression_tells_its_jsonlogic():
    assert parse_expression("has(input.a) && input.a > 3").logic == {
        "and": [{"exists": ["input", "a"]}, {">": [{"var": "input.a"}, 3]}]
    }


@pytest.mark.parametrize("source", ["created == true", "amount > 500 && currency == 'usd'", "lines[0] + 1", "amount"])
def test_the_jsonlogic_says_the_same_as_the_expression(source):
    expression = parse_expression(source)
    assert parse_rule(expression.logic).evaluate(make_scope()) == expression.evaluate(make_scope())


def test_an_explanation_shows_what_was_read_and_what_was_not_needed():
    told = parse_expression("has(input.a) && input.a > 3").explain(make_scope())
    assert told["result"] is False
    assert told["reads"] == [{"path": "input.a", "found": False, "value": None}]
    tested, compared = told["tree"]["parts"]
    assert (tested["evaluated"], tested["result"]) == (True, False)
    assert compared["evaluated"] is False
    json.dumps(told)


def test_an_explanation_of_an_error_tells_the_error():
    told = parse_expression("input.missing > 3").explain(make_scope())
    assert told["result"] is None
    assert "input.missing does not exist" in told["error"]


def test_reading_a_whole_and_its_part_is_no_conflict():
    scope = make_scope()
    before = copy.deepcopy(INPUT)
    assert parse_expression("len(lines) == 3 && lines.0 == 1 && lines['1'] == 2 && lines[0] == 1").evaluate(scope)
    assert before == INPUT


@pytest.mark.parametrize(
    "source", ["(" * 31 + "1" + ")" * 31, "!" * 31 + "yes", "-" * 31 + "amount", "+".join("a" * 900)]
)
def test_nesting_and_width_within_the_limits_work(source):
    parse_expression(source)


@pytest.mark.parametrize(
    "source", ["(" * 40 + "1" + ")" * 40, "!" * 40 + "a", "[" * 4000, "-".join("a" * 100), "not " * 900]
)
def test_nesting_beyond_the_limit_is_refused(source):
    with pytest.raises(ExpressionError, match="nests deeper than 32"):
        parse_expression(source)


def test_an_expression_is_bounded_in_what_it_may_cost():
    assert OPERATIONS_BUDGET <= 100_000


@given(st.text(max_size=80))
def test_any_text_parses_or_is_refused(source):
    with suppress(ExpressionError):
        assert parse_expression(source).source == source


@given(st.text(alphabet="ab.x[]()'\"0129 &|!<>=+-*/%?:,in\\", max_size=40))
def test_any_text_of_the_languages_own_characters_parses_or_is_refused(source):
    with suppress(ExpressionError):
        assert parse_expression(source).source == source


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=6,
)
leaves = st.sampled_from(["a", "b", "a.x", "b.y.z", "a[0]", "1", "0", "'t'", "''", "true", "null", "[]", "[1, a]"])
operators = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "&&", "||", "+", "-", "*", "/", "%", "in", "not in"])
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(
            inner, st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "&&", "||", "+", "-", "*", "/", "%", "in"]), inner
        ).map(lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"),
        st.tuples(inner, inner, inner).map(lambda parts: f"({parts[0]} ? {parts[1]} : {parts[2]})"),
        st.tuples(st.sampled_from(["!{}", "-{}", "len({})", "lower({})", "number({})"]), inner).map(
            lambda parts: parts[0].format(parts[1])
        ),
        st.tuples(st.sampled_from(["a", "b.x"]), inner).map(lambda parts: f"default({parts[0]}, {parts[1]})"),
        st.sampled_from(["has(a)", "has(a.x)"]),
    ),
    max_leaves=8,
)


@given(expressions, json_values, json_values)
def test_evaluation_gives_a_value_or_an_expression_error_and_changes_nothing(source, a, b):
    data = {"a": a, "b": b}
    before = copy.deepcopy(data)
    outcomes = []
    for _ in range(2):
        try:
            outcomes.append(repr(parse_expression(source).evaluate(Scope(data, {}))))
        except ExpressionError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]
    assert repr(data) == repr(before)
