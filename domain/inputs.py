"""The input of a run: checked against the definition's JSON Schema, with the schema's defaults filled in."""

import copy
from collections.abc import Mapping
from typing import Any, Final

from referencing.exceptions import Unresolvable

from domain.documents import json_faults
from domain.errors import Fault, InputInvalid
from domain.schemas import cached_checker, value_faults

JsonObject = dict[str, Any]

_MAX_REFERENCES: Final = 32


def accept_input(schema: Mapping[str, Any], value: object) -> JsonObject:
    """``value`` with the defaults of ``schema`` filled in; ``None`` counts as an empty object.

    Defaults come from ``properties``, also within nested objects, lists, ``allOf`` and local references. ``value`` is
    not changed. Raises ``InputInvalid`` with pointers into ``value``.
    """
    given = {} if value is None else value
    faults = json_faults(given)
    if not isinstance(given, dict):
        faults = [Fault(path="", reason="the input must be an object", remedy="send {…}")]
    if faults:
        raise InputInvalid("the input is invalid", faults)
    try:
        filled: JsonObject = _filled(given, schema, schema)
        faults = value_faults(cached_checker(schema), filled)
    except (RecursionError, Unresolvable) as error:
        reason = "the process cannot check its input: its schema refers to nothing, or to itself without end"
        fault = Fault(path="", reason=reason, remedy="publish the process with another input schema")
        raise InputInvalid("the input is invalid", [fault]) from error
    if faults:
        raise InputInvalid("the input is invalid", faults)
    return filled


def _filled(value: Any, schema: Any, root: Mapping[str, Any], references: int = 0) -> Any:
    """A copy of ``value`` with defaults, as far down as ``schema`` says anything."""
    if not isinstance(schema, Mapping):
        return value
    target = _referred(schema.get("$ref"), root)
    if target is not None and references < _MAX_REFERENCES:
        value = _filled(value, target, root, references + 1)
    for part in schema.get("allOf", ()):
        value = _filled(value, part, root, references + 1) if references < _MAX_REFERENCES else value
    if isinstance(value, dict):
        return _filled_object(value, schema.get("properties", {}), root)
    if isinstance(value, list) and "items" in schema:
        return [_filled(item, schema["items"], root) for item in value]
    return value


def _filled_object(value: JsonObject, properties: Mapping[str, Any], root: Mapping[str, Any]) -> JsonObject:
    filled = dict(value)
    for name, part in properties.items():
        if name not in filled and isinstance(part, Mapping) and "default" in part:
            filled[name] = copy.deepcopy(part["default"])
        if name in filled:
            filled[name] = _filled(filled[name], part, root)
    return filled


def _referred(reference: object, root: Mapping[str, Any]) -> Any:
    """What a local reference such as ``#/$defs/address`` stands for; None for any other."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    target: Any = root
    for part in reference[1:].split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(target, Mapping) or name not in target:
            return None
        target = target[name]
    return target
