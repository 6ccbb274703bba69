"""The input of a run: checked against the definition's JSON Schema, with the schema's defaults filled in."""

import copy
from collections.abc import Mapping
from typing import Any

from referencing.exceptions import Unresolvable

from domain.documents import json_faults
from domain.errors import Fault, InputInvalid
from domain.schemas import COSTLY, Costly, Meter, cached_checker, value_faults

JsonObject = dict[str, Any]


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
        filled: JsonObject = _Filler(schema).filled(given, schema)
        faults = value_faults(cached_checker(schema), filled)
    except (RecursionError, Unresolvable) as error:
        reason = "the process cannot check its input: its schema refers to nothing, or to itself without end"
        fault = Fault(path="", reason=reason, remedy="publish the process with another input schema")
        raise InputInvalid("the input is invalid", [fault]) from error
    except Costly as error:
        raise InputInvalid("the input is invalid", [COSTLY]) from error
    if faults:
        raise InputInvalid("the input is invalid", faults)
    return filled


class _Filler:
    """Fills in the defaults of one schema, in one value."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._meter = Meter()

    def filled(self, value: Any, schema: Any) -> Any:
        """A copy of ``value`` with defaults, as far down as ``schema`` says anything."""
        if not isinstance(schema, Mapping):
            return value
        target = _referred(schema.get("$ref"), self._root)
        if target is not None:
            self._meter.count()
            value = self.filled(value, target)
        for part in schema.get("allOf", ()):
            value = self.filled(value, part)
        if isinstance(value, dict):
            return self._object(value, schema.get("properties", {}))
        if isinstance(value, list) and "items" in schema:
            return [self.filled(item, schema["items"]) for item in value]
        return value

    def _object(self, value: JsonObject, properties: Mapping[str, Any]) -> JsonObject:
        filled = dict(value)
        for name, part in properties.items():
            if name not in filled and isinstance(part, Mapping) and "default" in part:
                filled[name] = copy.deepcopy(part["default"])
            if name in filled:
                filled[name] = self.filled(filled[name], part)
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
