import pytest

from domain.errors import ConnectorError
from services.templates import fill_html, fill_line, fill_text


@pytest.mark.parametrize(
    ("template", "variables", "expected"),
    [
        ("{a} and {{a}} and {{ a }}", {"a": "x"}, "x and x and x"),
        ("{n} {f} {yes} {no}", {"n": 3, "f": 1.5, "yes": True, "no": False}, "3 1.5 yes no"),
        ("{{a.b.c}}", {"a": {"b": {"c": "deep"}}}, "deep"),
        ("{a}", {"a": ""}, ""),
        ("p { color: red } {} { a } {1}", {}, "p { color: red } {} { a } {1}"),
        ("{a}", {"a": "{b}", "b": "never"}, "{b}"),
        ("{__class__}", {"__class__": "only a name"}, "only a name"),
    ],
)
def test_placeholders_are_filled_once(template, variables, expected):
    assert fill_text(template, variables) == expected


@pytest.mark.parametrize(
    ("template", "variables"),
    [
        ("{a}", {}),
        ("{a}", {"a": None}),
        ("{a.b}", {"a": "text"}),
        ("{a.__class__}", {"a": "text"}),
        ("{a.b}", {"a": {}}),
        ("{a}", {"a": {"b": 1}}),
        ("{a}", {"a": [1]}),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(template, variables):
    with pytest.raises(ConnectorError, match=r"'a(\.\w+)?'"):
        fill_text(template, variables)


def test_html_is_escaped_and_the_template_itself_is_not():
    assert fill_html("<p>{a}</p>", {"a": "<i>'&\""}) == "<p>&lt;i&gt;&#x27;&amp;&quot;</p>"


def test_a_header_is_one_line():
    assert fill_line("Grüße, {a}", {"a": "Zoë"}) == "Grüße, Zoë"
    with pytest.raises(ConnectorError):
        fill_line("Hello\n{a}", {"a": "x"})
