"""Whether the template of an action's input can fit the action's input schema.

What is literal is checked as it is. What a placeholder will put in is unknown, and fits anything; a text with
placeholders in it is some text.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from domain.errors import ExpressionError, Fault
from domain.placeholders import split
from domain.schemas import LITERAL, SchemaChecker, checker, value_faults

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class _Unknown:
    """A value that only a run knows."""

    def __repr__(self) -> str:
        return "a placeholder"


class _UnknownText(_Unknown):
    """A text that only a run knows."""

    def __repr__(self) -> str:
        return "a text with placeholders"


_COMBINERS: Final = frozenset({"type", "$ref", "anyOf", "allOf"})
_UNDECIDABLE: Final = frozenset(
    {"not", "if", "contains", "uniqueItems", "dependentSchemas", "unevaluatedProperties", "unevaluatedItems"}
)


def config_faults(config: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Fault]:
    """Why ``config`` can never be an input of the action with that input schema; pointers into ``config``."""
    return value_faults(checker(schema, _ConfigChecker), _with_unknowns(config))


def _with_unknowns(tree: Any) -> Any:
    match tree:
        case str():
            return _text(tree)
        case {"$secret": str()} if len(tree) == 1:
            return _UnknownText()
        case dict():
            return {key: _with_unknowns(value) for key, value in tree.items()}
        case list():
            return [_with_unknowns(item) for item in tree]
        case _:
            return tree


def _text(text: str) -> Any:
    if text.startswith("secretref://"):
        return _UnknownText()
    try:
        parts = split(text)
    except ExpressionError:
        return _Unknown()
    if all(isinstance(part, str) for part in parts):
        return text
    return _Unknown() if len(parts) == 1 else _UnknownText()


def _holds_unknown(value: Any) -> bool:
    match value:
        case dict():
            return any(_holds_unknown(each) for each in value.values())
        case list():
            return any(_holds_unknown(each) for each in value)
        case _:
            return isinstance(value, _Unknown)


def _lenient(keyword: str, strict: Keyword) -> Keyword:
    def check(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if isinstance(instance, _Unknown):
            certain = isinstance(instance, _UnknownText) and keyword in _COMBINERS
        else:
            certain = keyword not in _UNDECIDABLE or not _holds_unknown(instance)
        if certain:
            yield from strict(validator, wanted, instance, schema) or ()

    return check


def _type(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, _UnknownText):
        yield from SchemaChecker.VALIDATORS["type"](validator, wanted, instance, schema)
    elif "string" not in ([wanted] if isinstance(wanted, str) else wanted):
        yield ValidationError("type")


def _one_of(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    keyword = "anyOf" if _holds_unknown(instance) else "oneOf"
    yield from SchemaChecker.VALIDATORS[keyword](validator, wanted, instance, schema)


def _literal(_validator: Any, wanted: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if wanted and isinstance(instance, _Unknown):
        yield ValidationError("literal")


_KEYWORDS: Final[dict[str, Keyword]] = {**SchemaChecker.VALIDATORS, "type": _type, "oneOf": _one_of}

_ConfigChecker: Any = extend(  # type: ignore[no-untyped-call]
    SchemaChecker,
    {
        **{keyword: _lenient(keyword, check) for keyword, check in _KEYWORDS.items()},
        LITERAL: _literal,
    },
)
