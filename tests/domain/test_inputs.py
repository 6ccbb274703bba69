from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InputInvalid
from domain.inputs import accept_input
from domain.schema_faults import schema_faults

LEAD = "550e8400-e29b-41d4-a716-446655440000"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["lead_id"],
    "properties": {
        "lead_id": {"type": "string", "format": "uuid"},
        "plan_id": {"type": "string", "default": "basic-plan"},
        "seats": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
        "colour": {"enum": ["red", "blue"]},
        "address": {"$ref": "#/$defs/address", "default": {}},
        "extras": {"type": "array", "items": {"allOf": [{"$ref": "#/$defs/extra"}]}},
        "code": {"type": "string", "pattern": "^(a+)+$"},
    },
    "additionalProperties": False,
    "$defs": {
        "address": {"type": "object", "properties": {"country": {"type": "string", "default": "DE"}}},
        "extra": {"type": "object", "required": ["count"], "properties": {"count": {"type": "integer", "default": 1}}},
    },
}


def refusal(value, schema=SCHEMA):
    with pytest.raises(InputInvalid) as refused:
        accept_input(schema, value)
    return {fault.path: f"{fault.reason} {fault.remedy}" for fault in refused.value.faults}


def test_defaults_are_filled_in_everywhere_and_the_callers_value_stays_as_it_was():
    given_value = {"lead_id": LEAD, "extras": [{}, {"count": 2}]}
    accepted = accept_input(SCHEMA, given_value)
    assert accepted == {
        "lead_id": LEAD,
        "plan_id": "basic-plan",
        "address": {"country": "DE"},
        "extras": [{"count": 1}, {"count": 2}],
    }
    assert given_value == {"lead_id": LEAD, "extras": [{}, {"count": 2}]}


def test_a_default_is_not_shared_between_runs():
    schema: dict[str, Any] = {"properties": {"list": {"default": []}}}
    accept_input(schema, {})["list"].append(1)
    assert accept_input(schema, {}) == {"list": []}


def test_given_values_win_over_defaults():
    assert accept_input(SCHEMA, {"lead_id": LEAD, "plan_id": "gold"})["plan_id"] == "gold"


def test_no_input_is_an_empty_one():
    assert accept_input({}, None) == {}
    assert "/lead_id" in refusal(None)


def test_all_faults_are_told_at_once_with_pointers():
    faults = refusal({"lead_id": "x", "seats": "2", "colour": "rde", "plann_id": "x", "extras": [{}, 5]})
    assert faults.keys() == {"/lead_id", "/seats", "/colour", "/plann_id", "/extras/1"}
    assert "uuid" in faults["/lead_id"]
    assert "a whole number or null" in faults["/seats"]
    assert "did you mean 'red'" in faults["/colour"]
    assert "did you mean 'plan_id'" in faults["/plann_id"]


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([], ""),
        ("x", ""),
        ({"lead_id": LEAD, "seats": 0}, "/seats"),
        ({"lead_id": "\0"}, "/lead_id"),
        ({"lead_id": LEAD, "seats": float("nan")}, "/seats"),
        ({"lead_id": LEAD, "seats": 2**64}, "/seats"),
        ({1: 2}, ""),
        ({"a/b~c": 1, "lead_id": LEAD}, "/a~1b~0c"),
    ],
)
def test_what_is_not_fitting_json_is_refused_where_it_is(value, path):
    assert list(refusal(value)) == [path]


def test_a_pattern_that_others_would_choke_on_is_matched_in_linear_time():
    value = {"lead_id": LEAD, "code": "a" * 50_000 + "b"}
    assert "/code" in refusal(value)
    assert "/code" in refusal(value, {"$schema": "https://json-schema.org/draft/2020-12/schema", **SCHEMA})


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("date-time", "2027-01-31T09:00:00+01:00", "2027-01-31"),
        ("date", "2027-01-31", "2027-02-31"),
        ("email", "ada@example.com", "ada"),
        ("uuid", LEAD, "1"),
    ],
)
def test_formats_are_checked(form, good, bad):
    schema = {"properties": {"a": {"format": form}}}
    assert accept_input(schema, {"a": good}) == {"a": good}
    assert accept_input(schema, {"a": 5}) == {"a": 5}
    assert form in refusal({"a": bad}, schema)["/a"]


def test_a_huge_value_is_not_repeated_in_the_fault():
    faults = refusal({"lead_id": "x" * 100_000})
    assert len(faults["/lead_id"]) < 200


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "objekt"}, "/type"),
        ({"properties": []}, "/properties"),
        ({"required": "lead_id"}, "/required"),
        ({"properties": {"a": {"$ref": "https://example.com/schema.json"}}}, "/properties/a/$ref"),
        ({"properties": {"a": {"$ref": "other.json#/x"}}}, "/properties/a/$ref"),
        ({"$ref": "#/$defs/none"}, "/$ref"),
        ({"$ref": "#"}, ""),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/$schema"),
        ({"properties": {"a": {"$id": "https://example.com/a"}}}, "/properties/a/$id"),
        ({"items": {"$schema": "https://json-schema.org/draft/2020-12/schema"}}, "/items/$schema"),
        ({"properties": {"a": {"pattern": "(?=a)b"}}}, "/properties/a/pattern"),
        ({"patternProperties": {"(a)\\1": {}}}, "/patternProperties/(a)\\1"),
        ({"properties": {"a": {"type": "integer", "default": "one"}}}, "/properties/a/default"),
    ],
)
def test_a_schema_that_cannot_be_used_is_found_at_publish(schema, path):
    assert [fault.path for fault in schema_faults(schema)] == [path]


@pytest.mark.parametrize(
    "schema",
    [
        {},
        SCHEMA,
        {"properties": {"$ref": {"type": "string"}}},
        {"properties": {"a": {"const": {"$ref": "https://example.com"}}}},
        {"properties": {"tree": {"$ref": "#/$defs/tree"}}, "$defs": {"tree": {"items": {"$ref": "#/$defs/tree"}}}},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/me"},
    ],
)
def test_a_good_schema_has_no_faults(schema):
    assert schema_faults(schema) == []


def test_a_schema_that_refers_to_itself_without_end_refuses_the_input_instead_of_crashing():
    schema = {"properties": {"a": {"$ref": "#/$defs/loop"}}, "$defs": {"loop": {"$ref": "#/$defs/loop"}}}
    assert "" in refusal({"a": 1}, schema)


def test_a_schema_that_doubles_itself_is_refused_in_good_time():
    doubling = {f"d{level}": {"allOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 2} for level in range(40)}
    schema: dict[str, Any] = {"$defs": {**doubling, "d40": {}}, "$ref": "#/$defs/d0"}
    assert "references" in schema_faults(schema)[0].reason
    assert "references" in refusal({}, schema)[""]
    tree = {"properties": {"a": {"allOf": [{"$ref": "#/$defs/tree"}] * 2}}}
    value: dict[str, Any] = {}
    for _ in range(40):
        value = {"a": value}
    assert "references" in refusal(value, {"$defs": {"tree": tree}, "$ref": "#/$defs/tree"})[""]


def test_items_are_unique_by_value():
    schema = {"properties": {"a": {"uniqueItems": True}}}
    unique = {"a": [1, True, "1", {"b": 1}, {"b": True}, None, *({"n": n} for n in range(20_000))]}
    assert accept_input(schema, unique) == unique
    twice: list[list[Any]] = [[1, 1.0], [{"b": 1, "c": 2}, {"c": 2, "b": 1}]]
    for items in twice:
        assert "/a" in refusal({"a": items}, schema)


ANY_VALUE = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(SCHEMA["properties"])), inner),
    max_leaves=12,
)


@given(ANY_VALUE)
def test_any_value_is_accepted_or_refused(value):
    try:
        accepted = accept_input(SCHEMA, value)
    except InputInvalid as refused:
        assert all(fault.reason and fault.remedy for fault in refused.faults)  # noqa: PT017
    else:
        assert accept_input(SCHEMA, accepted) == accepted
