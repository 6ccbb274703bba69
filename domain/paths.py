"""Paths into JSON values: how they are written, followed, and what is said of what they lead to."""

from collections.abc import Mapping
from typing import Any, Final

Path = tuple[str | int, ...]

_RESULT_PREFIX: Final = "step_"
_RESULT_SUFFIX: Final = "_result"


class _Absent:
    """Type of the value that stands for "not there", which null does not."""


ABSENT: Final = _Absent()


def path_text(path: Path) -> str:
    """``path`` as it is written in an expression: ``a.0.b``, or ``a['content-type']`` where a dot would not do."""
    text = ""
    for part in path:
        if isinstance(part, int) or part.replace("_", "a").isalnum():
            text += f".{part}" if text else str(part)
        else:
            text += f"[{part!r}]"
    return text


def result_step(root: str) -> str | None:
    """The step that ``step_<name>_result`` stands for; None if ``root`` is not of that form."""
    if root.startswith(_RESULT_PREFIX) and root.endswith(_RESULT_SUFFIX):
        return root[len(_RESULT_PREFIX) : -len(_RESULT_SUFFIX)] or None
    return None


def member(holder: Any, part: str | int) -> Any:
    """The field or element of ``holder``, or ABSENT."""
    if isinstance(holder, dict | Mapping):
        return holder.get(part if isinstance(part, str) else str(part), ABSENT)
    if isinstance(holder, list | tuple):
        position = part if isinstance(part, int) else int(part) if part.isdecimal() else -1
        return holder[position] if 0 <= position < len(holder) else ABSENT
    return ABSENT


def kind_of(value: Any) -> str:
    """What people call the JSON type of ``value``: ``a number``, ``a text``, ``null``…"""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "an object"
        case _:
            return f"no JSON ({type(value).__name__})"
