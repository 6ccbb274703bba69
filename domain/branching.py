"""Which branches the condition of a branch step can choose, as far as that is known before a run."""

from difflib import get_close_matches
from typing import Any, Final

from domain.documents import json_pointer
from domain.errors import ExpressionError, Fault
from domain.expressions import Expression
from domain.grammar import Literal, Node, Operation
from domain.rules import parse_condition
from domain.steps import BranchStep

_TRUE_OR_FALSE: Final = frozenset({"true", "false"})
_BOOLEAN: Final = frozenset({"==", "===", "!=", "!==", "<", "<=", ">", ">=", "!", "!!", "in", "contains", "has"})
_SIDES: Final = frozenset({"operator", "left", "right"})


class _Choice:
    """Names that may be chosen. ``complete``: there are no others."""

    def __init__(self, names: frozenset[str] = frozenset(), *, complete: bool = False) -> None:
        self.names = names
        self.complete = complete

    def __or__(self, other: "_Choice") -> "_Choice":
        return _Choice(self.names | other.names, complete=self.complete and other.complete)


def branch_faults(step: BranchStep) -> list[Fault]:
    """Values without a branch, and branches without a value; pointers into the step."""
    choice = _choice(step.on)
    faults: list[Fault] = []
    if step.default is None:
        for name in sorted(choice.names - step.branches.keys()):
            close = get_close_matches(name, step.branches, n=1)
            remedy = f"did you mean {close[0]!r}? Or add the branch, or a default" if close else "add it, or a default"
            faults.append(Fault(path="/on", reason=f"this may choose {name!r}, which is no branch", remedy=remedy))
    if choice.complete:
        for name in sorted(step.branches.keys() - choice.names):
            remedy = f"the condition chooses {', '.join(sorted(choice.names))}"
            path = json_pointer(["branches", name])
            faults.append(Fault(path=path, reason=f"the branch {name!r} is never chosen", remedy=remedy))
    return faults


def _choice(condition: Any) -> _Choice:
    match condition:
        case bool():
            return _of_value(condition)
        case list():
            return _Choice(_TRUE_OR_FALSE, complete=True)
        case dict() if _SIDES.issuperset(condition):
            return _Choice(_TRUE_OR_FALSE, complete=True)
        case dict():
            return _of_rule(condition)
        case _:
            return _of_text(condition)


def _of_text(text: str) -> _Choice:
    try:
        parsed = parse_condition(text)
    except ExpressionError:
        return _Choice()
    return _of_node(parsed.node) if isinstance(parsed, Expression) else _Choice()


def _of_value(value: Any) -> _Choice:
    """A constant, as the name that it stands for."""
    match value:
        case bool():
            return _Choice(frozenset({"true" if value else "false"}), complete=True)
        case str() | int() | float():
            return _Choice(frozenset({str(value)}), complete=True)
        case _:
            return _Choice()


def _of_node(node: Node) -> _Choice:
    match node:
        case Literal(value):
            return _of_value(value)
        case Operation("?:", (_, chosen, otherwise)):
            return _of_node(chosen) | _of_node(otherwise)
        case Operation(operator) if operator in _BOOLEAN:
            return _Choice(_TRUE_OR_FALSE, complete=True)
        case _:
            return _Choice()


def _of_rule(rule: Any) -> _Choice:
    match rule:
        case {"if": [*parts]} | {"?:": [*parts]} if len(rule) == 1:
            return _of_if(parts)
        case dict() if len(rule) == 1 and next(iter(rule)) in _BOOLEAN:
            return _Choice(_TRUE_OR_FALSE, complete=True)
        case dict() | list():
            return _Choice()
        case _:
            return _of_value(rule)


def _of_if(parts: list[Any]) -> _Choice:
    """``[condition, value, condition, value, …, otherwise]``; without the last, another value is null."""
    values = [parts[index] for index in range(1, len(parts), 2)]
    otherwise = parts[-1] if len(parts) % 2 else None
    choice = _of_rule(otherwise)
    for value in values:
        choice |= _of_rule(value)
    return choice
