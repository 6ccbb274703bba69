from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ExpressionError, MissingPath
from domain.messages import SecretName, SecretSlot
from domain.scope import Scope
from domain.templates import MASK, find_faults, parse_template


def make_scope(**fields: object) -> Scope:
    payload = {
        "instance": {"email": "a@b.c"},
        "user": {"email": "u@b.c"},
        "data": {"object": {"customer_email": "c@d.e"}},
    }
    event = {"source": "stripe", "payload": payload}
    scope = Scope({"lead_id": 42, "amount": 12.0, **fields}, {"id": 1, "tenant": "acme"}, event, order=["ask"])
    scope.set_output("ask", {"text": "hi", "rows": [{"y": ["first"]}]})
    scope.set_output("create_customer", {"customer_id": "cus_1"})
    scope.set_output("create_order_result", {})
    scope.set_output("create_order", {"order_number": "ORD-1"})
    return scope


def render(tree: object, **fields: object) -> Any:
    return parse_template(tree).render(make_scope(**fields)).value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{event.instance.email}}", "a@b.c"),
        ("{{event.payload.instance.email}}", "a@b.c"),
        ("{{event.source}}", "stripe"),
        ("{{event.user.email}}", "u@b.c"),
        ("{{ event.data.object.customer_email }}", "c@d.e"),
        ("{{step.1.output.text}}", "hi"),
        ("{{steps.ask.output.text}}", "hi"),
        ("${context.lead_id}", 42),
        ("${lead_id}", 42),
        ("${step_create_customer_result.customer_id}", "cus_1"),
        ("${step_ask_result.rows.0.y.0}", "first"),
        ("${context.tenant_id}", "acme"),
        ("Order ${step_create_order_result.order_number} is ready", "Order ORD-1 is ready"),
        ("Hello {{event.user.email}}, from {{event.source}}!", "Hello u@b.c, from stripe!"),
        ("{{ amount > 10 ? 'much' : 'little' }}", "much"),
        ("plain", "plain"),
        ("", ""),
        ("a }} b { c } $ d", "a }} b { c } $ d"),
        ("Refund ${{amount}}", "Refund $12"),
        ("{{ '{{' }}name}}", "{{name}}"),
        ("{{ '${' }}HOME}", "${HOME}"),
        ("{{ 'a }} b' }}", "a }} b"),
        ("${ '}' }", "}"),
        ("{{lead_id}}}", "42}"),
    ],
)
def test_a_text_renders(text, value):
    assert render(text) == value


@pytest.mark.parametrize("value", [5, 1.5, True, None, [1, {"a": 2}], {"k": "v"}, "text"])
def test_a_text_that_is_one_placeholder_keeps_the_type(value):
    rendered = render({"a": ["{{x}}", "${x}"]}, x=value)
    assert rendered == {"a": [value, value]}
    assert type(rendered["a"][0]) is type(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "[]"),
        (True, "[true]"),
        (5, "[5]"),
        (5.0, "[5]"),
        (0.1 + 0.2, "[0.3]"),
        (1234567.89, "[1234567.89]"),
        ([1, "é"], '[[1, "é"]]'),
        ({"a": None}, '[{"a": null}]'),
    ],
)
def test_values_join_as_text(value, text):
    assert render("[{{x}}]", x=value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("nan")], object()])
def test_what_is_no_json_does_not_join(value):
    with pytest.raises(ExpressionError):
        render("[{{x}}]", x=value)


def test_everything_but_text_stays_as_it_is():
    tree: dict[str, object] = {"n": 1, "f": 1.5, "t": True, "z": None, "l": [], "o": {}}
    assert render(tree) == tree


def test_a_rendered_tree_shares_nothing_with_its_template():
    template = parse_template({"headers": {"a": "b"}, "list": [1]})
    first = template.render(make_scope()).value
    first["headers"]["a"] = "changed"
    first["list"].append(2)
    assert template.render(make_scope()).value == {"headers": {"a": "b"}, "list": [1]}


def test_a_missing_path_is_named():
    with pytest.raises(MissingPath, match=r"input\.nope does not exist"):
        render({"a": "x {{input.nope}}"})


def test_a_secret_leaves_a_mask_and_a_slot():
    template = parse_template(
        {
            "headers": {"Authorization": "Bearer {{$secret.SENDGRID_KEY}}"},
            "list": ["{{$secret.A}}", {"$secret": "B"}, "secretref://env/default/C", "secretref://env/crm/D"],
            "mixed": "{{lead_id}}:{{ $secret.A }}@{{amount}}/${$secret.E}",
        }
    )
    rendered = template.render(make_scope())
    assert template.secrets == {"SENDGRID_KEY", "A", "B", "C", "crm__D", "E"}
    assert rendered.value == {
        "headers": {"Authorization": f"Bearer {MASK}"},
        "list": [MASK, MASK, MASK, MASK],
        "mixed": f"42:{MASK}@12/{MASK}",
    }
    a, b, c, d, e = (SecretName(secret=name) for name in ("A", "B", "C", "crm__D", "E"))
    assert rendered.secrets == [
        SecretSlot(pointer=["headers", "Authorization"], parts=["Bearer ", SecretName(secret="SENDGRID_KEY")]),
        SecretSlot(pointer=["list", 0], parts=[a]),
        SecretSlot(pointer=["list", 1], parts=[b]),
        SecretSlot(pointer=["list", 2], parts=[c]),
        SecretSlot(pointer=["list", 3], parts=[d]),
        SecretSlot(pointer=["mixed"], parts=["42:", a, "@12/", e]),
    ]


@pytest.mark.parametrize(
    ("tree", "pointer", "told"),
    [
        ("{{ $secret.A + 1 }}", "", "a placeholder of its own"),
        ("{{ default(x, $secret.A) }}", "", "a placeholder of its own"),
        ({"{{$secret.A}}": 1}, "/{{$secret.A}}", "keys are plain text"),
        ({"${x}": 1}, "/${x}", "keys are plain text"),
        ({"$secret": 5}, "", "no name of a secret"),
        ({"a": [1, "{{ x"]}, "/a/1", "is not closed"),
        ({"a": "${x"}, "/a", "is not closed"),
        ("{{}}", "", "there is no expression"),
        ("{{ x }", "", "unexpected '}'"),
        ("{{{{x}}}}", "", "unexpected '{'"),
        ({"a/b": {"~": "{{ = }}"}}, "/a~1b/~0", "equality"),
        ({5: 1}, "", "not a text"),
        ([object()], "/0", "no JSON"),
    ],
)
def test_a_fault_of_a_template_is_told_with_its_place(tree, pointer, told):
    faults = find_faults(tree)
    assert [fault.path for fault in faults] == [pointer]
    assert told in faults[0].reason
    with pytest.raises(ExpressionError) as caught:
        parse_template(tree)
    assert told in str(caught.value)


def test_all_faults_are_told_at_once():
    assert [fault.path for fault in find_faults({"a": "{{", "b": ["{{x}}", "${1 +}"], "c": "fine"})] == ["/a", "/b/1"]
    assert find_faults({"a": "{{x}}"}) == []


def test_a_template_that_nests_without_end_is_refused():
    tree: object = "x"
    for _ in range(500):
        tree = [tree]
    with pytest.raises(ExpressionError, match="nests deeper than 64"):
        parse_template(tree)


def test_a_template_tells_what_it_reads_and_whether_it_is_static():
    template = parse_template({"a": "{{input.x}} {{default(input.y, 1)}}", "b": "${input.x}"})
    assert template.reads == (("input", "x"), ("input", "y"))
    assert template.optional == {("input", "y")}
    assert not template.is_static
    assert parse_template({"a": ["x", 1, "{{ '{{' }}"]}).is_static
    assert not parse_template("{{$secret.A}}").is_static


hostile = st.sampled_from(
    ["{{input.lead_id}}", "{{$secret.KEY}}", "${run.id}", '{"$secret": "K"}', "{{", "secretref://env/default/K"]
)


@given(st.lists(hostile | st.text(max_size=5), max_size=4).map("".join))
def test_what_comes_from_data_is_never_read_again(text):
    rendered = parse_template({"one": "{{x}}", "joined": "<{{x}}>", "deep": "{{wrapped}}"}).render(
        make_scope(x=text, wrapped={"$secret": "K", "text": text})
    )
    assert rendered.value == {"one": text, "joined": f"<{text}>", "deep": {"$secret": "K", "text": text}}
    assert rendered.secrets == []


@given(hostile)
def test_data_beside_a_secret_adds_no_slot(text):
    rendered = parse_template("{{x}}{{$secret.REAL}}").render(make_scope(x=text))
    assert rendered.secrets == [SecretSlot(pointer=[], parts=[text, SecretName(secret="REAL")])]


@given(st.text(alphabet="{}$ a.'secret[]()+\\", max_size=30))
def test_any_text_is_a_template_or_refused(text):
    if find_faults(text):
        with pytest.raises(ExpressionError) as caught:
            parse_template(text)
        assert 0 <= (caught.value.position or 0) <= len(text)
    else:
        parse_template(text)
