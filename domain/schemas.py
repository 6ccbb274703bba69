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
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from pydantic_core import SchemaError as PatternError
from pydantic_core import SchemaValidator, core_schema
from pydantic_core import ValidationError as PatternMismatch
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from domain.documents import json_pointer
from domain.durations import parse_timestamp
from domain.errors import ExpressionError, Fault

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
"""The only ``$schema`` that is understood."""

Place = tuple[str | int, ...]

_DATA_KEYWORDS: Final = frozenset({"const", "enum", "default", "examples"})
_MAX_FAULTS: Final = 100
_SHOWN: Final = 80
_REGISTRY: Final[Registry[Any]] = Registry()


def _formats() -> FormatChecker:
    formats = FormatChecker()
    formats.checks("date-time", raises=ExpressionError)(
        lambda value: not isinstance(value, str) or bool(parse_timestamp(value))
    )
    return formats


_FORMATS: Final = _formats()


@lru_cache(maxsize=512)
def _pattern(pattern: str) -> SchemaValidator | None:
    """A linear-time matcher; None if the pattern needs more than that."""
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except PatternError:
        return None


def matches(pattern: str, text: str) -> bool:
    """Whether ``text`` contains a match. A pattern that cannot be matched in linear time matches everything."""
    matcher = _pattern(pattern)
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
    return kind(schema, registry=_REGISTRY, format_checker=_FORMATS)


def cached_checker(schema: Mapping[str, Any]) -> Any:
    """Like ``checker``, compiled once for equal schemas."""
    return _compiled(json.dumps(schema, sort_keys=True, separators=(",", ":")))


def schema_faults(schema: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with a schema itself, by pointer into it."""
    faults = list(_foreign_faults(schema, ()))
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        faults.append(_fault(_telling(error)))
    if faults:
        return faults
    faults = list(_dangling_faults(schema))
    try:
        checker(schema).is_valid({})
        return faults or [fault for place in _defaults(schema, ()) for fault in _default_faults(schema, *place)]
    except RecursionError:
        return [Fault(path="", reason="the schema refers to itself without end", remedy="break the circle of $ref")]
    except Unresolvable:
        return faults


def value_faults(validator: Any, value: object) -> list[Fault]:
    """What keeps ``value`` from fitting, by pointer into it: at most a hundred faults."""
    faults: dict[tuple[str, str], Fault] = {}
    for error in validator.iter_errors(value):
        fault = _fault(_telling(error))
        faults.setdefault((fault.path, fault.reason), fault)
        if len(faults) >= _MAX_FAULTS:
            break
    return sorted(faults.values(), key=lambda fault: fault.path)


def _default_faults(root: Mapping[str, Any], path: Place, default: Any, part: Any) -> list[Fault]:
    found = value_faults(checker(root).evolve(schema=part), default)
    reason = "the default does not fit its own schema: "
    place = json_pointer((*path, "default"))
    return [Fault(path=place, reason=reason + fault.reason, remedy="correct the default") for fault in found]


def _foreign_faults(schema: object, path: Place) -> Iterator[Fault]:
    """References that leave the schema, and patterns that may take for ever."""
    for key, value, place in _parts(schema, path):
        match key, value:
            case "$ref" | "$dynamicRef", str() if not value.startswith("#"):
                remedy = "copy what it refers to under $defs and refer to #/$defs/…"
                yield Fault(path=json_pointer(place), reason=f"{value!r} lies outside of this schema", remedy=remedy)
            case "$id", str() if path:
                yield Fault(path=json_pointer(place), reason="$id may stand at the top only", remedy="remove it")
            case "$schema", str() if value.rstrip("#") != DIALECT:
                yield Fault(path=json_pointer(place), reason=f"{value!r} is not understood", remedy=f"use {DIALECT}")
            case "pattern", str() if _pattern(value) is None:
                yield _pattern_fault(place, value)
            case "patternProperties", dict():
                yield from (_pattern_fault((*place, each), each) for each in value if _pattern(each) is None)
        if isinstance(value, dict | list):
            yield from _foreign_faults(value, place)


def _dangling_faults(schema: Mapping[str, Any]) -> Iterator[Fault]:
    """References to nothing."""
    resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    for value, place in _references(schema, ()):
        try:
            resolver.lookup(value)
        except Unresolvable:
            remedy = "refer to something under #/$defs"
            yield Fault(path=json_pointer(place), reason=f"there is nothing at {value!r}", remedy=remedy)


def _references(schema: object, path: Place) -> Iterator[tuple[str, Place]]:
    for key, value, place in _parts(schema, path):
        if key == "$ref" and isinstance(value, str):
            yield value, place
        elif isinstance(value, dict | list):
            yield from _references(value, place)


def _pattern_fault(place: Place, pattern: str) -> Fault:
    remedy = "write a regular expression without look-around and back-references"
    return Fault(path=json_pointer(place), reason=f"the pattern {_short(pattern)} is not supported", remedy=remedy)


def _parts(schema: object, path: Place) -> Iterator[tuple[str | int, Any, Place]]:
    if isinstance(schema, dict):
        yield from ((key, value, (*path, key)) for key, value in schema.items() if key not in _DATA_KEYWORDS)
    elif isinstance(schema, list):
        yield from ((index, value, (*path, index)) for index, value in enumerate(schema))


def _defaults(schema: object, path: Place) -> Iterator[tuple[Place, Any, Any]]:
    """Each property that has a default: where, the default, the property's schema."""
    if isinstance(schema, dict) and isinstance(properties := schema.get("properties"), dict):
        for name, part in properties.items():
            if isinstance(part, dict) and "default" in part:
                yield (*path, "properties", name), part["default"], part
    for _, value, place in _parts(schema, path):
        if isinstance(value, dict | list):
            yield from _defaults(value, place)


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


def _fault(error: Any) -> Fault:
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
