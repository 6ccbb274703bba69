"""Fills ``{name}`` and ``{{name}}`` in the texts of mails: no expressions, and what was filled in is not read again."""

import html
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from domain.errors import ConnectorError, ErrorCode

_PATH: Final = r"([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*)"
_PLACEHOLDER: Final = re.compile(rf"\{{\{{\s*{_PATH}\s*\}}\}}|\{{{_PATH}\}}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")


def fill_text(template: str, variables: Mapping[str, Any]) -> str:
    """``template`` with its placeholders filled. A dotted name reaches into an object.

    Raises ``ConnectorError`` (``INVALID_INPUT``) for a variable that is missing, null, or no plain value.
    """
    return _fill(template, variables, str)


def fill_html(template: str, variables: Mapping[str, Any]) -> str:
    """Like ``fill_text``, with the values escaped for HTML, attributes included."""
    return _fill(template, variables, html.escape)


def fill_line(template: str, variables: Mapping[str, Any]) -> str:
    """Like ``fill_text`` for a header: a line break or control character is refused (``INVALID_INPUT``)."""
    line = fill_text(template, variables)
    if _CONTROL.search(line):
        raise ConnectorError(
            ErrorCode.INVALID_INPUT, f"the subject {line!r} must be one line without control characters"
        )
    return line


def _fill(template: str, variables: Mapping[str, Any], escape: Callable[[str], str]) -> str:
    return _PLACEHOLDER.sub(lambda match: escape(_value(match[1] or match[2], variables)), template)


def _value(path: str, variables: Mapping[str, Any]) -> str:
    value: Any = variables
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    match value:
        case None:
            raise ConnectorError(
                ErrorCode.INVALID_INPUT, f"the template needs the variable {path!r}; pass it in variables"
            )
        case bool():
            return "yes" if value else "no"
        case str() | int() | float():
            return str(value)
        case _:
            raise ConnectorError(
                ErrorCode.INVALID_INPUT, f"the variable {path!r} must be a text, a number or a boolean to be shown"
            )
