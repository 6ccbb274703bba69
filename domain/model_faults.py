"""What the definition's model finds wrong, said in the words of whoever wrote the document."""

from collections.abc import Iterator
from difflib import get_close_matches
from inspect import isclass
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from domain.documents import MAX_FAULTS, json_pointer
from domain.errors import Fault
from domain.steps import Step
from domain.triggers import Trigger

NO_APPROVAL: Final = Fault(path="", reason="approval is not available yet", remedy="use wait_for_signal for now")
"""What an approval step is told, complete or not, at its type."""

Location = tuple[str | int, ...]

_EXPECTED: Final = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "dict_type": "a mapping",
    "list_type": "a list",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_NAMES: Final = "use small letters, digits and _, a letter first"
_REMEDIES: Final = {
    "action": "write connector.verb or service.method in small letters, as http.post",
}


def model_faults(error: ValidationError, document: object, model: type[BaseModel]) -> list[Fault]:
    """``error``, raised by ``model`` for ``document``, as faults that point into the document: at most a hundred."""
    faults: list[Fault] = []
    mistyped: dict[Location, tuple[str, list[str]]] = {}
    for each in error.errors(include_url=False)[:MAX_FAULTS]:
        location, owner = _place(each, document, model)
        if approval := _approval(location, document):
            fault = NO_APPROVAL.model_copy(update={"path": json_pointer((*approval, "type"))})
            faults += [fault] if fault not in faults else []
        elif each["type"] in _EXPECTED:
            _, nouns = mistyped.setdefault(location, (_short(each["input"]), []))
            nouns.append(_EXPECTED[each["type"]])
        else:
            faults.append(_fault(each, location, owner))
    for location, (given, nouns) in mistyped.items():
        wanted = " or ".join(dict.fromkeys(nouns))
        reason = f"this must be {wanted}, not {given}"
        faults.append(Fault(path=json_pointer(location), reason=reason, remedy=f"write {wanted}"))
    return faults


def _approval(location: Location, document: object) -> Location:
    """Where the approval step is that holds ``location``; empty if none does."""
    value = document
    for index, part in enumerate(location):
        value = _inner(value, part)[1]
        here = location[: index + 1]
        is_step = isinstance(part, int) and _kind_of_list([*here]) == "steps"
        if is_step and isinstance(value, dict) and value.get("type") == "approval":
            return here
    return ()


def _fault(error: ErrorDetails, location: Location, owner: type[BaseModel]) -> Fault:
    path, name, given = json_pointer(location), str(location[-1]) if location else "", _short(error["input"])
    match error["type"]:
        case "missing":
            return Fault(path=path, reason=f"{name!r} is missing", remedy=f"add {name!r}")
        case "extra_forbidden":
            close = _close(name, owner.model_fields)
            return Fault(path=path, reason=f"there is no field {name!r} here", remedy=close)
        case "union_tag_invalid":
            known = _KINDS["triggers" if location[:1] == ("triggers",) else "steps"]
            tag = str(error["ctx"]["tag"])
            return Fault(path=path + "/type", reason=f"there is no type {tag!r}", remedy=_close(tag, known))
        case "union_tag_not_found":
            return Fault(path=f"{path}/type", reason="'type' is missing", remedy="give its 'type', or its 'action'")
        case "string_pattern_mismatch":
            return Fault(path=path, reason=f"{given} is not a {name}", remedy=_REMEDIES.get(name, _NAMES))
        case "value_error":
            reason, _, remedy = str(error["ctx"]["error"]).partition(": ")
            return Fault(path=path, reason=reason, remedy=remedy or "correct it")
        case "too_short" | "string_too_short":
            least, what = error["ctx"]["min_length"], "letter" if error["type"] == "string_too_short" else "entry"
            reason = f"{name!r} is empty, it needs at least {least} {what}"
            return Fault(path=path, reason=reason, remedy=f"write at least {least} {what}")
        case "string_too_long":
            most = error["ctx"]["max_length"]
            return Fault(path=path, reason=f"{name!r} is longer than {most} letters", remedy="shorten it")
        case "literal_error" | "enum":
            allowed = str(error["ctx"]["expected"])
            return Fault(path=path, reason=f"{given} is none of {allowed}", remedy=f"write {allowed}")
        case _:
            reason = f"{error['msg'].removeprefix('Input ').removeprefix('Value ')}, not {given}"
            return Fault(path=path, reason=reason, remedy="give a value within the limit")


def _place(error: ErrorDetails, document: object, model: type[BaseModel]) -> tuple[Location, type[BaseModel]]:
    """Where the error is in the document, and the model of the mapping that it is in.

    The model's location also names the chosen members of unions, which the document does not have.
    """
    location: list[str | int] = []
    value, owner, kind = document, model, ""
    parts = error["loc"]
    for index, part in enumerate(parts):
        if kind and isinstance(part, str):
            owner, kind = _KINDS[kind][part], ""
            continue
        found, value = _inner(value, part)
        if not found:
            missing = error["type"] == "missing" and index == len(parts) - 1
            return (*location, part) if missing else tuple(location), owner
        location.append(part)
        if isinstance(part, int):
            kind = _kind_of_list(location)
        else:
            owner = _submodel(owner, part) if index < len(parts) - 1 else owner
    return tuple(location), owner


def _kind_of_list(location: list[str | int]) -> str:
    if location[:-1] == ["triggers"]:
        return "triggers"
    if location[-2] in {"steps", "default"} or location[-3:-2] == ["branches"]:
        return "steps"
    return ""


def _inner(value: object, part: str | int) -> tuple[bool, Any]:
    if isinstance(value, dict) and part in value:
        return True, value[part]
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return True, value[part]
    return False, None


def _submodel(owner: type[BaseModel], name: str) -> type[BaseModel]:
    field = owner.model_fields.get(name)
    if field is None:
        return owner
    candidates = (field.annotation, *get_args(field.annotation))
    return next((each for each in candidates if isclass(each) and issubclass(each, BaseModel)), owner)


def _members(union: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    for member in get_args(get_args(union)[0]):
        yield get_args(member.model_fields["type"].annotation)[0], member


_KINDS: Final = {"steps": dict(_members(Step)), "triggers": dict(_members(Trigger))}


def _close(name: str, known: Any) -> str:
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"


def _short(value: object) -> str:
    match value:
        case None:
            return "null"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            text = repr(value)
            return text if len(text) <= 80 else text[:77] + "…"  # noqa: PLR2004
