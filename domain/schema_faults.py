"""What is wrong with a JSON Schema itself: found when its definition is published."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from domain.documents import json_pointer
from domain.errors import Fault
from domain.schemas import COSTLY, DIALECT, checker, fault_of, linear_pattern, value_faults

Place = tuple[str | int, ...]

_SHOWN: Final = 80
_DATA_KEYWORDS: Final = frozenset({"const", "enum", "default", "examples"})


def schema_faults(schema: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with a schema itself, by pointer into it."""
    faults = list(_foreign_faults(schema, ()))
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        faults.append(fault_of(error))
    if faults:
        return faults
    faults = list(_dangling_faults(schema))
    try:
        faults += [fault for fault in value_faults(checker(schema), {}) if fault is COSTLY]
        return faults or [fault for place in _defaults(schema, ()) for fault in _default_faults(schema, *place)]
    except RecursionError:
        return [Fault(path="", reason="the schema refers to itself without end", remedy="break the circle of $ref")]
    except Unresolvable:
        return faults


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
            case "$id" | "$schema", str() if path:
                yield Fault(path=json_pointer(place), reason=f"{key} may stand at the top only", remedy="remove it")
            case "$schema", str() if value.rstrip("#") != DIALECT:
                yield Fault(path=json_pointer(place), reason=f"{value!r} is not understood", remedy=f"use {DIALECT}")
            case "pattern", str() if linear_pattern(value) is None:
                yield _pattern_fault(place, value)
            case "patternProperties", dict():
                yield from (_pattern_fault((*place, each), each) for each in value if linear_pattern(each) is None)
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
    return Fault(path=json_pointer(place), reason=f"the pattern {pattern[:_SHOWN]!r} is not supported", remedy=remedy)


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
