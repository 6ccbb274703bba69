"""JSON Schema 2020-12, as definitions and actions use it: without network, without run-away patterns, said plainly.

Patterns are matched in linear time (look-around and back-references are refused), references stay inside the schema,
and ``format`` is checked.
"""

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from pydantic_core import SchemaError as PatternError
from pydantic_core import SchemaValidator, core_schema
from pydantic_core import ValidationError as PatternMismatch
from referencing import Registry

from domain.documents import MAX_FAULTS, json_pointer
from domain.durations import parse_timestamp
from domain.errors import ExpressionError, Fault

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
"""The only ``$schema`` that is understood."""

LITERAL: Final = "x-stepwell-literal"
"""Keyword of an action's input: the field is written in the definition, never made of a run's data (such as SQL)."""

MAX_REFERENCES: Final = 20_000
"""How many ``$ref`` may be followed while one value is checked."""

COSTLY: Final = Fault(
    path="",
    reason=f"the schema takes more than {MAX_REFERENCES} references to check this value",
    remedy="refer to each part of the schema once, rather than in several ways",
)
"""The fault of a schema that multiplies itself."""

_SHOWN: Final = 80
_REGISTRY: Final[Registry[Any]] = Registry()


class Costly(Exception):
    """Checking a value takes too many references: a schema that doubles itself could otherwise go on for ever."""


class Meter(FormatChecker):
    """Checks formats, and counts the references of one check, since all parts of a validator share it."""

    def __init__(self) -> None:
        super().__init__()
        self.checks("date-time", raises=ExpressionError)(_is_timestamp)
        self.references = 0

    def count(self) -> None:
        """Count a reference that is followed. Raises ``Costly``."""
        self.references += 1
        if self.references > MAX_REFERENCES:
            raise Costly


def _is_timestamp(value: object) -> bool:
    return not isinstance(value, str) or bool(parse_timestamp(value))


@lru_cache(maxsize=512)
def linear_pattern(pattern: str) -> SchemaValidator | None:
    """A linear-time matcher; None if the pattern needs more than that."""
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except PatternError:
        return None


def matches(pattern: str, text: str) -> bool:
    """Whether ``text`` contains a match. A pattern that cannot be matched in linear time matches everything."""
    matcher = linear_pattern(pattern)
    if matcher is None:
        return True
    try:
        matcher.validate_python(text)
    except PatternMismatch:
        return False
    return True


def _check_pattern(_: Validator, pattern: str, instance: object, __: object) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not matches(pattern, instance):
        yield ValidationError("pattern")


def _check_pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: object, _: object
) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for pattern, schema in patterns.items():
            for name, value in instance.items():
                if matches(pattern, name):
                    yield from validator.descend(value, schema, path=name, schema_path=pattern)


def _check_additional(validator: Any, allowed: Any, instance: object, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for name in unexpected(schema, instance):
            if allowed is False:
                yield ValidationError("additionalProperties", path=[name])
            elif isinstance(allowed, dict):
                yield from validator.descend(instance[name], allowed, path=name)


def _check_reference(validator: Any, reference: str, instance: object, schema: object) -> Iterator[ValidationError]:
    validator.format_checker.count()
    yield from Draft202012Validator.VALIDATORS["$ref"](validator, reference, instance, schema) or ()


def _check_unique(_: Validator, wanted: object, instance: object, __: object) -> Iterator[ValidationError]:
    """In linear time, unlike the library's."""
    if wanted and isinstance(instance, list):
        distinct = {json.dumps(_with_plain_numbers(item), sort_keys=True, default=id) for item in instance}
        if len(distinct) < len(instance):
            yield ValidationError("uniqueItems")


def _with_plain_numbers(value: object) -> object:
    """``value`` with equal numbers written alike: 1.0 is 1."""
    match value:
        case dict():
            return {key: _with_plain_numbers(each) for key, each in value.items()}
        case list():
            return [_with_plain_numbers(each) for each in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def _check_required(_: Validator, names: list[str], instance: object, __: object) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for name in names:
            if name not in instance:
                yield ValidationError(name)


def unexpected(schema: Mapping[str, Any], instance: Mapping[str, Any]) -> list[str]:
    """The names of ``instance`` that neither ``properties`` nor ``patternProperties`` speak of."""
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    return [name for name in instance if name not in known and not any(matches(pattern, name) for pattern in patterns)]


SchemaChecker: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        "$ref": _check_reference,
        "uniqueItems": _check_unique,
        "pattern": _check_pattern,
        "required": _check_required,
        "patternProperties": _check_pattern_properties,
        "additionalProperties": _check_additional,
    },
)
"""The validator class of all our schemas."""


@lru_cache(maxsize=512)
def _compiled(canonical: str) -> Any:
    return checker(json.loads(canonical))


def checker(schema: Mapping[str, Any], kind: Any = SchemaChecker) -> Any:
    """A validator for ``schema``, which never fetches anything."""
    # A validator follows "$schema" to the library's own class, which knows none of our limits.
    own = {key: value for key, value in schema.items() if key != "$schema"}
    return kind(own, registry=_REGISTRY, format_checker=Meter())


def cached_checker(schema: Mapping[str, Any]) -> Any:
    """Like ``checker``, compiled once for equal schemas."""
    return _compiled(json.dumps(schema, sort_keys=True, separators=(",", ":")))


def value_faults(validator: Any, value: object) -> list[Fault]:
    """What keeps ``value`` from fitting, by pointer into it: at most a hundred faults."""
    faults: dict[tuple[str, str], Fault] = {}
    try:
        for error in validator.evolve(format_checker=Meter()).iter_errors(value):
            fault = fault_of(error)
            faults.setdefault((fault.path, fault.reason), fault)
            if len(faults) >= MAX_FAULTS:
                break
    except Costly:
        return [COSTLY]
    return sorted(faults.values(), key=lambda fault: fault.path)


def _telling(error: Any) -> Any:
    """The one error to speak of, where a choice of schemas has failed in each of its ways."""
    while error.validator in {"anyOf", "oneOf"} and error.context:
        nearer = [each for each in error.context if each.path or each.validator != "type"]
        if not nearer:
            wanted = [each.validator_value for each in error.context]
            return _with_types(error, wanted)
        error = best_match(nearer) or nearer[0]
    return error


def _with_types(error: Any, wanted: list[Any]) -> Any:
    """A failed choice between types as one failed type."""
    error.validator, error.validator_value = "type", [each for each in wanted if isinstance(each, str)]
    return error


def fault_of(error: Any) -> Fault:
    """A validator's error, or a schema's, in plain words."""
    error = _telling(error)
    path, wanted = list(error.absolute_path), error.validator_value
    given, kind = _short(error.instance), str(error.validator)
    reason, remedy = f"{given} does not satisfy {kind} {_short(wanted)}", ""
    match kind:
        case "required":
            path.append(error.message)
            reason, remedy = f"{error.message!r} is missing", f"add {error.message!r}"
        case "additionalProperties" if error.schema[kind] is False:
            reason = f"there is no field {path[-1]!r} here"
            remedy = _close(str(path[-1]), list(error.schema.get("properties", {})))
        case "type":
            names = [wanted] if isinstance(wanted, str) else list(wanted)
            reason = f"this must be {' or '.join(_NOUNS.get(name, name) for name in names)}, not {given}"
        case "enum":
            reason = f"{given} is none of {', '.join(map(_short, wanted))}"
            remedy = _close(str(error.instance), [str(each) for each in wanted])
        case _ if kind == LITERAL:
            reason, remedy = "this must be literal, without placeholders", "pass what varies as parameters"
        case "format":
            reason = f"{given} is not a {wanted}"
        case "pattern":
            reason = f"{given} does not match {wanted}"
        case _ if kind in _BOUNDS:
            reason = f"{given} is not {_BOUNDS[kind]} {wanted}"
    return Fault(path=json_pointer(path), reason=reason, remedy=remedy or "give a value that fits")


_NOUNS: Final = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
}
_BOUNDS: Final = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "over", "exclusiveMaximum": "under"}


def _close(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known are {', '.join(known)}" if known else ""


def _short(value: object) -> str:
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
