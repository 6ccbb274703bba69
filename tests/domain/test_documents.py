import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.documents import MAX_BYTES, MAX_DEPTH, json_faults, json_pointer, parse_document
from domain.errors import DefinitionInvalid, Fault

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def refusal(text, **options):
    with pytest.raises(DefinitionInvalid) as refused:
        parse_document(text, **options)
    return refused.value.faults


def test_yaml_words_mean_what_yaml_1_2_says():
    text = """
    on: yes
    no: {true: 1, 2: b}
    version: 1.0.0
    when: 2027-01-31T09:00:00Z
    numbers: [0x1F, 0o17, 017, -3, 1e3, .5, 1_000, 12:30:00]
    words: [null, ~, True, false, off, "true", '1']
    nothing:
    """
    assert parse_document(text).value == {
        "on": "yes",
        "no": {"true": 1, "2": "b"},
        "version": "1.0.0",
        "when": "2027-01-31T09:00:00Z",
        "numbers": [31, 15, 17, -3, 1000.0, 0.5, "1_000", "12:30:00"],
        "words": [None, None, True, False, "off", "true", "1"],
        "nothing": None,
    }


def test_an_empty_document_is_null():
    assert parse_document("# nothing\n").value is None


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: 1\nb: *x\n", 2, "alias"),
        ("a: &x 1\n", 1, "anchor"),
        ("a: !!python/object:os.system x\n", 1, "tag"),
        ("a: !custom {b: 1}\n", 1, "tag"),
        ("a: 1\nb: 2\na: 3\n", 3, "twice"),
        ("a: 1\n---\nb: 2\n", 2, "more than one document"),
        ("? [a]\n: 1\n", 1, "key must be text"),
        ("a: .nan\n", 1, "not finite"),
        ("a:\n  b: -.inf\n", 2, "not finite"),
        ("a: 1e999\n", 1, "not finite"),
        ("a: 99999999999999999999\n", 1, "64 bits"),
        ("a: " + "9" * 5000, 1, "64 bits"),
        ('a: "x\\0y"\n', 1, "NUL"),
        ("a: 1\n\tb: 2\n", 2, "not YAML"),
        ("a: [1, 2\nb: 3\n", 2, "not YAML"),
        ("a: 'x\n", 2, "not YAML"),
    ],
)
def test_yaml_that_could_hurt_is_refused_with_its_line(text, line, reason):
    (fault,) = refusal(text, file="p.yaml")
    assert reason in fault.reason
    assert fault.file == f"p.yaml:{line}"


def test_a_bomb_of_aliases_is_refused_before_it_grows():
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
    )
    assert "anchor" in refusal(bomb)[0].reason


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_deep_nesting_is_refused(form):
    assert parse_document("[" * MAX_DEPTH + "]" * MAX_DEPTH, form=form)
    for depth in (MAX_DEPTH + 1, 100_000):
        assert "deeper than 64" in refusal("[" * depth + "]" * depth, form=form)[0].reason


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_document_over_a_mebibyte_is_refused(form):
    assert "limit" in refusal('"' + "x" * MAX_BYTES + '"', form=form)[0].reason


def test_text_must_be_utf_8():
    assert parse_document(b"\xef\xbb\xbfa: 1").value == {"a": 1}
    assert "UTF-8" in refusal(b"a: \xff")[0].reason
    assert "UTF-8" in refusal("a: \ud800")[0].reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 2}', "'a' appears twice"),
        ('{"a": NaN}', "not finite"),
        ('{"a": [1e400]}', "not finite"),
        ('{"a": 9223372036854775808}', "64 bits"),
        ('{"a": ' + "9" * 5000 + "}", "digits"),
        ('{"a": "\\u0000"}', "NUL"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('{"\\u0000": 1}', "character"),
        ('{"a": 1,}', "line 1, column"),
        ("", "not JSON"),
    ],
)
def test_json_that_could_hurt_is_refused(text, reason):
    (fault,) = refusal(text, form="json")
    assert reason in fault.reason


def test_brackets_within_texts_are_no_nesting():
    value = ["[" * 100, '\\"' * 3 + "{" * 100]
    assert parse_document(json.dumps(value), form="json").value == value


def test_the_file_name_tells_json_from_yaml():
    assert parse_document('{"a": "\\ud83d\\ude00"}', file="p.json").value == {"a": "😀"}
    assert parse_document("a: 😀", file="p.yaml").value == {"a": "😀"}


def test_faults_are_located_by_line_or_by_what_is_around_them():
    document = parse_document("steps:\n  - name: a\n    config:\n      url: x\n", file="p.yaml")
    paths = ["/steps/0/config/url", "/steps/0/config/missing", "/steps/7", ""]
    located = document.locate([Fault(path=path, reason="") for path in paths])
    assert [fault.file for fault in located] == ["p.yaml:4", "p.yaml:4", "p.yaml:2", "p.yaml:1"]
    assert parse_document("a: 1").locate([Fault(path="/a", reason="")])[0].file is None


def test_pointers_escape_what_rfc_6901_says():
    assert json_pointer(["a/b", "c~d", 0, ""]) == "/a~1b/c~0d/0/"


def test_values_that_are_not_json_are_found_by_pointer():
    faults = json_faults({"a": [1, {2: 3}], "b": {"c": object()}, "d": "\0"})
    assert [fault.path for fault in faults] == ["/a/1", "/b/c", "/d"]


@given(JSON_VALUES)
def test_json_is_read_as_it_was_written(value):
    text = json.dumps(value)
    if "\\u0000" in text or json_faults(value):
        return
    assert parse_document(text, form="json").value == value


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_text_is_read_or_refused(text):
    for form in ("yaml", "json"):
        try:
            assert json_faults(parse_document(text, form=form).value) == []
        except DefinitionInvalid as refused:
            assert refused.faults  # noqa: PT017
