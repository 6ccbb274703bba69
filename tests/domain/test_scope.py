import pytest

from domain.errors import MissingPath
from domain.paths import path_text
from domain.scope import Scope

RUN = {"id": 7, "tenant": "acme", "process": "refund", "version": "1.0.0", "workflow_id": "refund:acme:7"}


def make_scope() -> Scope:
    scope = Scope(
        {"amount": 600, "lines": [{"sku": "A1"}], "source": "web", "empty": None},
        RUN,
        {"type": "order.paid", "source": "stripe", "payload": {"created": True, "instance": {"email": "a@b.c"}}},
        order=["charge", "mail"],
    )
    scope.set_output("charge", {"id": "ch_1", "rows": [{"x": 1}, {"x": 2}]})
    return scope


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("event", "payload", "created"), True),
        (("event", "created"), True),
        (("event", "type"), "order.paid"),
        (("event", "instance", "email"), "a@b.c"),
        (("input", "lines", 0, "sku"), "A1"),
        (("inputs", "lines", "0", "sku"), "A1"),
        (("input", "empty"), None),
        (("context", "amount"), 600),
        (("context", "charge", "id"), "ch_1"),
        (("context", "step_charge_result", "id"), "ch_1"),
        (("context", "tenant_id"), "acme"),
        (("steps", "charge", "output", "rows", 1, "x"), 2),
        (("steps", "charge"), {"output": {"id": "ch_1", "rows": [{"x": 1}, {"x": 2}]}}),
        (("step", 1, "output", "id"), "ch_1"),
        (("step", "charge", "output", "id"), "ch_1"),
        (("step_charge_result", "id"), "ch_1"),
        (("run", "id"), 7),
        (("created",), True),
        (("instance", "email"), "a@b.c"),
        (("amount",), 600),
        (("source",), "web"),
        (("type",), "order.paid"),
    ],
)
def test_a_path_finds_its_value(path, value):
    assert make_scope().resolve(path) == value
    assert make_scope().has(path)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (("input", "amuont"), "input.amuont does not exist: input has no amuont; did you mean amount?"),
        (("input", "lines", 3, "sku"), "input.lines.3.sku does not exist: input.lines is a list of 1"),
        (("input", "amount", "cents"), "input.amount is a number, so it has no cents"),
        (("amuont",), "neither the event nor the input has amuont; did you mean amount?"),
        (("event", "instence", "email"), "event has no instence; did you mean instance?"),
        (("steps", "chrage", "output"), "no step chrage has ended before; did you mean charge?"),
        (("steps", "charge", "id"), "did you mean steps.charge.output.id?"),
        (("step", 9, "output"), "there is no step number 9, there are 2"),
        (("step_mail_result", "id"), "no step mail has ended before"),
        (("context", "leed_id"), "context has no leed_id"),
        (("item", "id"), "item is known inside a foreach only"),
    ],
)
def test_a_missing_path_is_named_with_what_is_close(path, told):
    with pytest.raises(MissingPath) as caught:
        make_scope().resolve(path)
    assert told in str(caught.value)
    assert caught.value.path == path_text(path)
    assert not make_scope().has(path)


def test_a_run_without_an_event_says_so():
    with pytest.raises(MissingPath, match="was not started by an event"):
        Scope({}, RUN).resolve(("event", "x"))


@pytest.mark.parametrize("path", [("steps", "mail", "output"), ("step", 2, "output"), ("context", "mail", "id")])
def test_a_skipped_step_has_no_output_and_says_why(path):
    scope = make_scope()
    scope.set_skipped("mail")
    with pytest.raises(MissingPath, match="the step mail was skipped"):
        scope.resolve(path)


def test_the_inputs_own_tenant_comes_before_the_runs():
    assert Scope({"tenant_id": "t"}, RUN).resolve(("context", "tenant_id")) == "t"


def test_an_iteration_sees_outside_but_is_not_seen_there():
    outer = make_scope()
    first, second = outer.child(item={"id": 1}, index=0), outer.child(item={"id": 2}, index=1)
    first.set_output("inner", "of the first")
    assert first.resolve(("item", "id")) == 1
    assert second.resolve(("index",)) == 1
    assert first.resolve(("steps", "inner", "output")) == "of the first"
    assert first.resolve(("steps", "charge", "output", "id")) == "ch_1"
    assert not second.has(("steps", "inner", "output"))
    assert not outer.has(("steps", "inner", "output"))


def test_what_ends_outside_later_is_visible_inside():
    outer = make_scope()
    frame = outer.child(item=1, index=0)
    outer.set_output("mail", "sent")
    assert frame.resolve(("steps", "mail", "output")) == "sent"


def test_the_inner_of_two_loops_hides_the_outer_item():
    frame = make_scope().child(item="outer", index=3).child(item="inner", index=0)
    assert frame.resolve(("item",)) == "inner"
    assert frame.resolve(("index",)) == 0


def test_the_whole_context_holds_input_outputs_and_tenant():
    frame = make_scope().child(item=1, index=0)
    frame.set_output("inner", 5)
    whole = frame.resolve(("context",))
    assert (whole["amount"], whole["charge"]["id"], whole["inner"], whole["tenant_id"]) == (600, "ch_1", 5, "acme")
    assert frame.resolve(("steps",))["inner"] == {"output": 5}


def test_a_field_of_the_input_may_be_null_and_is_there():
    assert make_scope().has(("input", "empty"))


def test_text_is_not_indexed():
    assert not Scope({"s": "abc"}, RUN).has(("input", "s", 0))


def test_paths_are_written_as_in_expressions():
    assert path_text(("a", 0, "b")) == "a.0.b"
    assert path_text(("headers", "content-type")) == "headers['content-type']"
